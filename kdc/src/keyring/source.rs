//! Where the master key comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::{self, Guard};
use super::{KeyringError, MasterKey};

/// A place that holds a master key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum MasterKeySource {
    /// A file that only this process's user may use.
    File(PathBuf),
    /// A credential of this name that systemd hands to the service (`LoadCredential=`).
    Credential(String),
    /// An environment variable of this name.
    Environment(String),
}

impl MasterKeySource {
    /// Reads the master key.
    ///
    /// # Errors
    /// [`KeyringError::Missing`], [`KeyringError::Loose`], [`KeyringError::Owner`], [`KeyringError::Form`] and
    /// [`KeyringError::File`].
    pub fn load(&self) -> Result<MasterKey, KeyringError> {
        self.load_with(|name| std::env::var_os(name))
    }

    pub(super) fn load_with(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<MasterKey, KeyringError> {
        match self {
            Self::File(path) => read(path, Guard::Owner),
            Self::Credential(name) => {
                let folder = environment("CREDENTIALS_DIRECTORY").ok_or_else(|| KeyringError::Missing {
                    place: format!(
                        "the systemd credential {name}: the service has no LoadCredential={name}:PATH"
                    ),
                })?;
                read(&Path::new(&folder).join(name), Guard::Systemd)
            }
            Self::Environment(name) => {
                let place = format!("the environment variable {name}");
                let Some(text) = environment(name) else { return Err(KeyringError::Missing { place }) };
                let text = text.into_string().map_err(|_| KeyringError::Form { place: place.clone() })?;
                MasterKey::parse(&Zeroizing::new(text), &place)
            }
        }
    }
}

fn read(path: &Path, guard: Guard) -> Result<MasterKey, KeyringError> {
    MasterKey::parse(&file::read(path, guard)?, &path.display().to_string())
}
