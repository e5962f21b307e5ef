//! Where the master key comes from.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::file::{self, Guard};
use super::{KeyringError, MasterKey, MasterKeys};

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
    /// Reads every version of the master key that is there.
    ///
    /// # Errors
    /// [`KeyringError::Missing`], [`KeyringError::Loose`], [`KeyringError::Owner`], [`KeyringError::Form`],
    /// [`KeyringError::Twice`] and [`KeyringError::File`].
    pub fn load(&self) -> Result<MasterKeys, KeyringError> {
        self.load_with(|name| std::env::var_os(name))
    }

    /// How errors and reports name it.
    #[must_use]
    pub fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Credential(name) => format!("the systemd credential {name}"),
            Self::Environment(name) => format!("the environment variable {name}"),
        }
    }

    /// Adds a fresh version to a file, the next above all that are there, and returns it. Where `above` is given and the
    /// file has a version above it already, that is the one: an earlier attempt was cut off.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`KeyringError::Refused`] for a source that is no file.
    pub fn append(&self, above: Option<u32>, rng: &mut impl CryptoRng) -> Result<u32, KeyringError> {
        let path = self.file()?;
        let mut version = 0;
        file::edit(path, |text| {
            let keys = MasterKeys::parse(text, &self.place())?;
            version = keys.highest();
            if above.is_some_and(|above| version > above) {
                return Ok(None);
            }
            version = version
                .checked_add(1)
                .ok_or_else(|| KeyringError::Refused("there is no version above 4294967295".to_owned()))?;
            Ok(Some(keys.with(MasterKey::generate(version, rng))?.text()))
        })?;
        Ok(version)
    }

    /// Takes a version out of a file.
    ///
    /// # Errors
    /// As [`load`](Self::load); [`KeyringError::Refused`] for a source that is no file, and for a version that is not there
    /// or is the only one.
    pub fn remove(&self, version: u32) -> Result<(), KeyringError> {
        let place = self.place();
        file::edit(self.file()?, |text| {
            let keys = MasterKeys::parse(text, &place)?;
            if keys.version(version).is_none() {
                return Err(KeyringError::Refused(format!(
                    "{place} holds no version {version} of the master key"
                )));
            }
            let rest = keys.without(version);
            if rest.versions().is_empty() {
                return Err(KeyringError::Refused(format!("version {version} is the only one in {place}")));
            }
            Ok(Some(rest.text()))
        })
    }

    /// The file that it is.
    ///
    /// # Errors
    /// [`KeyringError::Refused`] for another source: who keeps it changes it.
    pub(crate) fn file(&self) -> Result<&Path, KeyringError> {
        match self {
            Self::File(path) => Ok(path),
            _ => Err(KeyringError::Refused(format!(
                "{} is not a file that can be changed here: take the line out of it, or put the one of `keycell master-key new` there, and start the KDC again",
                self.place()
            ))),
        }
    }

    pub(super) fn load_with(
        &self,
        environment: impl Fn(&str) -> Option<OsString>,
    ) -> Result<MasterKeys, KeyringError> {
        let keys = match self {
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
                let place = self.place();
                let Some(text) = environment(name) else { return Err(KeyringError::Missing { place }) };
                let text = text.into_string().map_err(|_| KeyringError::Form { place: place.clone() })?;
                MasterKeys::parse(&Zeroizing::new(text), &place)
            }
        };
        Ok(keys?.from(self))
    }
}

fn read(path: &Path, guard: Guard) -> Result<MasterKeys, KeyringError> {
    MasterKeys::parse(&file::read(path, guard)?, &path.display().to_string())
}
