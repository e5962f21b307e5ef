//! The configuration: a file, and variables of the environment over it. Unknown keys are refused in both; units are in the
//! names; paths are relative to the file.

mod effective;
mod environment;
mod error;
mod layers;
mod rules;
mod sections;
#[cfg(test)]
mod tests;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::keyring::MasterKeySource;
use crate::oidc::IssuerConfig;
pub use effective::{Effective, Origin, Setting};
#[cfg(test)]
pub(crate) use environment::COMMAND_LINE;
pub use environment::Environment;
pub use error::{ConfigError, Place};
pub use sections::{
    Backup, GroupsConfig, LimitsConfig, Log, LogFormat, PeersConfig, Telemetry, Tickets, Tls,
};

/// What one KDC process needs to know. What belongs to the zone itself is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Under which URLs hosts reach this zone's KDCs, in the order in which to try them.
    pub urls: Vec<String>,
    /// `sqlite:PATH` or `postgres://…`. Its variable is `KEYCELL_DATABASE`: a password need not stand in a file.
    pub database: String,
    /// What this KDC remembers of revocations, beside the database: restoring a backup never undoes them unnoticed.
    #[serde(default = "revocations")]
    pub revocations: PathBuf,
    /// Where the master key is.
    pub master_key: MasterKeySource,
    /// Certificate and key of the server.
    pub tls: Tls,
    /// Tickets.
    #[serde(default)]
    pub tickets: Tickets,
    /// Groups.
    #[serde(default)]
    pub groups: GroupsConfig,
    /// The KDCs of other zones.
    #[serde(default)]
    pub peers: PeersConfig,
    /// Rates and sizes.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: Log,
    /// Backups.
    #[serde(default, skip_serializing_if = "Backup::is_empty")]
    pub backup: Backup,
    /// What is told of requests, and to whom.
    #[serde(default)]
    pub telemetry: Telemetry,
    /// Issuers outside of Keycell whose tokens administrators may carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<IssuerConfig>,
}

impl Config {
    /// The name of the file in a cell's folder.
    pub const FILE: &'static str = "keycell.toml";
    /// The name of the file of revocations there.
    pub const REVOCATIONS: &'static str = "revocations";

    /// Reads and checks a configuration: the file, and what the environment says over it, if that counts here. Relative
    /// paths are made absolute, or relative to the working directory, by the folder of the file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the place and what is wrong there.
    pub fn load(path: &Path, environment: Option<&Environment>) -> Result<Self, ConfigError> {
        let none = Environment::default();
        Effective::load(path, environment.unwrap_or(&none)).map(|effective| effective.config)
    }

    /// Checks what a type cannot: ranges, and that URLs are URLs.
    ///
    /// # Errors
    /// Which value, and what it may be.
    pub fn check(&self) -> Result<(), &'static str> {
        self.rules()
            .into_iter()
            .chain(IssuerConfig::rules(&self.oidc))
            .find(|(holds, _)| !holds)
            .map_or(Ok(()), |(_, what)| Err(what))
    }

    fn resolve(&mut self, folder: &Path) {
        for file in [&mut self.tls.certificate, &mut self.tls.key, &mut self.tls.roots, &mut self.revocations]
        {
            *file = folder.join(&*file);
        }
        for file in self.oidc.iter_mut().filter_map(|issuer| issuer.roots.as_mut()) {
            *file = folder.join(&*file);
        }
        if let MasterKeySource::File(file) = &mut self.master_key {
            *file = folder.join(&*file);
        }
        if let Some(file) = self.database.strip_prefix("sqlite:") {
            let file = file.strip_prefix("//").unwrap_or(file);
            self.database = format!("sqlite:{}", folder.join(file).display());
        }
    }
}

fn revocations() -> PathBuf {
    Config::REVOCATIONS.into()
}
