//! The configuration file. Unknown keys are refused; units are in the names; paths are relative to the file.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::keyring::MasterKeySource;
use crate::limit::Rate;
use crate::oidc::IssuerConfig;

/// What one KDC process needs to know. What belongs to the zone itself is in the database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Config {
    /// The address and port to listen on.
    pub listen: SocketAddr,
    /// Under which URLs hosts reach this zone's KDCs, in the order in which to try them.
    pub urls: Vec<String>,
    /// `sqlite:PATH` or `postgres://…`. The environment variable `KEYCELL_DATABASE` goes before it, so that a
    /// password need not stand in a file.
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
    /// Rates and sizes.
    #[serde(default)]
    pub limits: LimitsConfig,
    /// What is logged, and how.
    #[serde(default)]
    pub log: Log,
    /// Backups.
    #[serde(default, skip_serializing_if = "Backup::is_empty")]
    pub backup: Backup,
    /// Issuers outside of Keycell whose tokens administrators may carry.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub oidc: Vec<IssuerConfig>,
}

/// The files of the server's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The root certificates that hosts are to trust, PEM: goes into every key file.
    pub roots: PathBuf,
}

/// Backups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Who can open a backup: recipients of age, as `keycell backup keygen` prints them.
    pub recipients: Vec<String>,
}

impl Backup {
    /// Whether nothing is said of backups.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipients.is_empty()
    }
}

/// How tickets are given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tickets {
    /// How long a ticket lasts: 10 seconds to 24 hours.
    pub lifetime_seconds: u32,
    /// How far a request's timestamp may be from the KDC's clock, either way: 1 to 600 seconds.
    pub clock_skew_seconds: u32,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { lifetime_seconds: 900, clock_skew_seconds: 60 }
    }
}

/// Rates and sizes that keep one KDC up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests of one address, before authentication. Many hosts may share one.
    pub per_address: Rate,
    /// Failed authentications of one address; past it, the address is refused unread.
    pub failures_per_address: Rate,
    /// Tickets of one party, after authentication. The burst is at least 1,000, the largest request.
    pub tickets_per_party: Rate,
    /// How many addresses, and how many parties, are remembered for the rates.
    pub remembered: usize,
    /// How many nonces are remembered; at 40 bytes each.
    pub nonces: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address. Many hosts may share one.
    pub connections_per_address: usize,
    /// Requests in work at once; what comes on top is refused with 503.
    pub requests_in_flight: usize,
    /// The largest body in bytes.
    pub body_bytes: usize,
    /// How long a client may take for a TLS handshake, the head of a request, and the whole of one.
    pub request_timeout_seconds: u32,
    /// After how long without a request a connection is ended.
    pub idle_seconds: u32,
    /// How long requests may take to finish when the KDC stops.
    pub shutdown_seconds: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            per_address: Rate::new(2_000, 10_000),
            failures_per_address: Rate::new(10, 100),
            tickets_per_party: Rate::new(500, 100_000),
            remembered: 200_000,
            nonces: 4_000_000,
            connections: 10_000,
            connections_per_address: 2_000,
            requests_in_flight: 1_024,
            body_bytes: 512 * 1024,
            request_timeout_seconds: 10,
            idle_seconds: 120,
            shutdown_seconds: 30,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, also per module; the variable `KEYCELL_LOG` goes before it.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}

impl Config {
    /// The name of the file in a cell's folder.
    pub const FILE: &'static str = "keycell.toml";
    /// The name of the file of revocations there.
    pub const REVOCATIONS: &'static str = "revocations";

    /// Reads and checks a configuration; `database` replaces the file's where it is given. Relative paths are made
    /// absolute, or relative to the working directory, by the folder of the file.
    ///
    /// # Errors
    /// [`ConfigError`], which names the file and what is wrong in it.
    pub fn load(path: &Path, database: Option<String>) -> Result<Self, ConfigError> {
        let text =
            fs::read_to_string(path).map_err(|source| ConfigError::Read { path: path.to_owned(), source })?;
        let mut config: Self =
            toml::from_str(&text).map_err(|error| ConfigError::parse(path, &text, &error))?;
        if let Some(database) = database {
            config.database = database;
        }
        config.resolve(path.parent().unwrap_or(Path::new("")));
        config.check().map_err(|what| ConfigError::Value { path: path.to_owned(), what })?;
        Ok(config)
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

    /// What is out of its range, if anything.
    fn rules(&self) -> Vec<(bool, &'static str)> {
        vec![
            (!self.urls.is_empty(), "urls: at least one URL is needed, such as https://kdc.example.com:8443"),
            (
                self.urls.iter().all(|url| is_base_url(url)),
                "urls: write https://HOST:PORT, HOST being a DNS name or an address",
            ),
            ((10..=86_400).contains(&self.tickets.lifetime_seconds), "tickets.lifetime_seconds: 10 to 86400"),
            ((1..=600).contains(&self.tickets.clock_skew_seconds), "tickets.clock_skew_seconds: 1 to 600"),
            (
                self.limits.tickets_per_party.burst.get() >= 1000,
                "limits.tickets_per_party.burst: at least 1000, the largest request",
            ),
            ((4096..=16 << 20).contains(&self.limits.body_bytes), "limits.body_bytes: 4096 to 16777216"),
            (self.limits.connections > 0, "limits.connections: at least 1"),
            (self.limits.connections_per_address > 0, "limits.connections_per_address: at least 1"),
            ((1..=86_400).contains(&self.limits.idle_seconds), "limits.idle_seconds: 1 to 86400"),
            (self.limits.requests_in_flight > 0, "limits.requests_in_flight: at least 1"),
            (self.limits.nonces >= 1000, "limits.nonces: at least 1000"),
            (
                (1..=300).contains(&self.limits.request_timeout_seconds),
                "limits.request_timeout_seconds: 1 to 300",
            ),
        ]
    }
}

fn revocations() -> PathBuf {
    Config::REVOCATIONS.into()
}

/// Whether it is `https://HOST[:PORT]`, with a host that a certificate can name.
fn is_base_url(text: &str) -> bool {
    let Ok(url) = reqwest::Url::parse(text) else { return false };
    let host = match url.host_str() {
        Some(host) => host.trim_matches(['[', ']']),
        None => return false,
    };
    url.scheme() == "https"
        && matches!(url.path(), "" | "/")
        && url.query().is_none()
        && url.username().is_empty()
        && rustls::pki_types::ServerName::try_from(host).is_ok()
}

/// Why a configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// The file cannot be read.
    #[error("cannot read {}: {source}; `keycell init` makes a new cell", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is not TOML, a key is unknown, or a value has the wrong type.
    #[error("{}, line {line}: {what}", path.display())]
    Parse {
        /// The file.
        path: PathBuf,
        /// The line, from 1.
        line: usize,
        /// What is wrong. Not the line itself: a password may stand in it.
        what: String,
    },
    /// A value is out of its range.
    #[error("{}: {what}", path.display())]
    Value {
        /// The file.
        path: PathBuf,
        /// Which, and what it may be.
        what: &'static str,
    },
}

impl ConfigError {
    fn parse(path: &Path, text: &str, error: &toml::de::Error) -> Self {
        let before = error.span().and_then(|span| text.get(..span.start)).unwrap_or_default();
        let line = before.matches('\n').count() + 1;
        Self::Parse { path: path.to_owned(), line, what: error.message().to_owned() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINIMAL: &str = r#"
        listen = "127.0.0.1:8443"
        urls = ["https://localhost:8443"]
        database = "sqlite:keycell.db"
        master_key = { file = "master.key" }
        tls = { certificate = "tls/server.pem", key = "tls/server.key", roots = "tls/roots.pem" }
    "#;

    fn load(text: &str) -> Result<Config, ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(Config::FILE);
        fs::write(&path, text).unwrap();
        Config::load(&path, None).map(|mut config| {
            let root = format!("{}/", folder.path().display());
            config.database = config.database.replace(&root, "/cell/");
            config
        })
    }

    #[test]
    fn defaults_and_relative_paths() {
        let config = load(MINIMAL).unwrap();
        assert_eq!(config.database, "sqlite:/cell/keycell.db");
        assert_eq!(config.tickets, Tickets::default());
        assert!(config.tls.key.is_absolute() && config.tls.key.ends_with("tls/server.key"));
    }

    const ISSUER: &str = r#"
        [[oidc]]
        issuer = "https://id.example.com"
        audience = "keycell"
        role_claim = "groups"
        roles = { keycell-admins = "admin" }
        roots = "tls/issuer.pem"
    "#;

    #[test]
    fn issuers_have_their_roots_in_the_folder_too() {
        let config = load(&format!("{MINIMAL}{ISSUER}")).unwrap();
        let roots = config.oidc[0].roots.as_ref().unwrap();
        assert!(roots.is_absolute() && roots.ends_with("tls/issuer.pem"));
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
        let error = load(&format!("{MINIMAL}{ISSUER}{ISSUER}")).unwrap_err().to_string();
        assert!(error.contains("oidc.issuer: each issuer once"), "{error}");
    }

    #[test]
    fn what_is_written_is_read() {
        let config = load(MINIMAL).unwrap();
        assert_eq!(toml::from_str::<Config>(&toml::to_string(&config).unwrap()).unwrap(), config);
    }

    #[test]
    fn mistakes_are_named() {
        for (extra, says) in [
            ("colour = 1", "colour"),
            ("[tickets]\nlifetime = 900", "lifetime"),
            ("[tickets]\nlifetime_seconds = 5", "lifetime_seconds: 10 to 86400"),
            ("[limits]\ntickets_per_party = { per_second = 1, burst = 10 }", "at least 1000"),
            ("[limits]\nper_address = { per_second = 0, burst = 10 }", "nonzero"),
        ] {
            let error = load(&format!("{MINIMAL}\n{extra}")).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
        assert!(load("").unwrap_err().to_string().contains("listen"));
        for url in
            ["http://kdc", "https://", "kdc", "https://bad_host!!", "https://kdc/path", "https://u@kdc"]
        {
            let error = load(&MINIMAL.replace("https://localhost:8443", url)).unwrap_err().to_string();
            assert!(error.contains("urls: write https://HOST:PORT"), "{url}: {error}");
        }
        let secret = MINIMAL.replace("\"sqlite:keycell.db\"", "\"postgres://u:hunter2@h/d");
        let error = load(&secret).unwrap_err().to_string();
        assert!(!error.contains("hunter2") && error.contains("line 4"), "{error}");
    }
}
