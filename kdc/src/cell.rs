//! A cell's folder: making one, and opening the KDC that it describes.
//!
//! ```text
//! keycell/             0700
//!   keycell.toml       the configuration
//!   master.key   0600  wraps every secret in the database
//!   keycell.db   0600  the database, unless it is PostgreSQL
//!   tls/roots.pem      what hosts trust        tls/roots.key  0600  signs the server's certificates
//!   tls/server.pem     the server's            tls/server.key 0600
//! ```

use std::fs;
use std::io;
use std::os::unix::fs::DirBuilderExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::{RatchetPeriod, Zone};

use crate::certificates::{self, CertificateError};
use crate::clock::Clock;
use crate::config::{Config, ConfigError, LimitsConfig, Log, Tickets, Tls};
use crate::directory::{FollowError, Follower};
use crate::files;
use crate::kdc::{Kdc, Parts};
use crate::keyring::{Keyring, KeyringError, MasterKey, MasterKeySource};
use crate::store::{self, Store, StoreError, ZoneRecord};
use crate::token::{TokenError, TokenKey};

/// What a new cell is to be.
#[derive(Debug, Clone)]
pub struct NewCell {
    /// The folder to make.
    pub folder: PathBuf,
    /// The zone's name.
    pub zone: Zone,
    /// The address to listen on.
    pub listen: std::net::SocketAddr,
    /// Under which URLs hosts reach the KDC.
    pub urls: Vec<String>,
    /// A PostgreSQL URL; `None` for SQLite in the folder.
    pub database: Option<String>,
    /// The length of an epoch.
    pub ratchet_period: RatchetPeriod,
}

impl NewCell {
    /// Makes the cell: all of it or nothing, for it is made beside its place and moved there when it is complete.
    ///
    /// # Errors
    /// [`CellError::Taken`] when the folder is there and not empty.
    pub async fn create(&self, clock: &dyn Clock) -> Result<(), CellError> {
        if fs::read_dir(&self.folder).is_ok_and(|mut entries| entries.next().is_some()) {
            return Err(CellError::Taken { folder: self.folder.clone() });
        }
        self.config().check().map_err(|what| CellError::Setting { what })?;
        let building = self.building();
        let made = self.build(&building, clock).await;
        if let Err(error) = made {
            // What is left of it must not stand in the way of the next try.
            let _ = fs::remove_dir_all(&building);
            return Err(error);
        }
        fs::rename(&building, &self.folder)
            .map_err(|source| CellError::File { path: self.folder.clone(), source })
    }

    async fn build(&self, folder: &Path, clock: &dyn Clock) -> Result<(), CellError> {
        let file = |path: &Path| {
            let path = path.to_owned();
            move |source| CellError::File { path, source }
        };
        for new in [folder, &folder.join("tls")] {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(new).map_err(file(new))?;
        }

        let made = certificates::make(&self.urls, self.listen, clock.now())?;
        for (name, content, mode) in [
            ("tls/roots.pem", &made.roots, 0o644),
            ("tls/server.pem", &made.server, 0o644),
            ("tls/roots.key", &*made.roots_key, 0o600),
            ("tls/server.key", &*made.server_key, 0o600),
        ] {
            let path = folder.join(name);
            files::write_new(&path, content.as_bytes(), mode).map_err(file(&path))?;
        }

        let config = self.config();
        let text = toml::to_string(&config).map_err(|_| CellError::Config)?;
        let path = folder.join(Config::FILE);
        files::write_new(&path, format!("{HEADER}{text}").as_bytes(), 0o600).map_err(file(&path))?;

        let mut random = crate::random::system();
        let master = MasterKey::generate(1, &mut random);
        master.write_new(&folder.join(MASTER_KEY))?;
        let (keyring, check) = Keyring::create(master, &mut random);
        let tokens = keyring.seal_secret(TOKEN_KEY, 1, &TokenKey::generate()?, &mut random);
        let zone = ZoneRecord {
            zone: self.zone.clone(),
            ratchet_period: self.ratchet_period,
            created_at: clock.now(),
        };
        let url = match &self.database {
            Some(url) => url.clone(),
            None => format!("sqlite:{}", folder.join(DATABASE).display()),
        };
        let store = store::create(&url).await?;
        let made = store.create_zone(&zone, &[check, tokens]).await;
        store.close().await;
        Ok(made?)
    }

    fn config(&self) -> Config {
        Config {
            listen: self.listen,
            urls: self.urls.clone(),
            database: self.database.clone().unwrap_or_else(|| format!("sqlite:{DATABASE}")),
            master_key: MasterKeySource::File(MASTER_KEY.into()),
            tls: Tls {
                certificate: "tls/server.pem".into(),
                key: "tls/server.key".into(),
                roots: "tls/roots.pem".into(),
            },
            tickets: Tickets::default(),
            limits: LimitsConfig::default(),
            log: Log::default(),
        }
    }

    fn building(&self) -> PathBuf {
        let mut name = self.folder.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        self.folder.with_file_name(name)
    }
}

/// The database and the keys of a cell, open.
pub struct Cell {
    /// The database.
    pub store: Arc<dyn Store>,
    /// The zone.
    pub zone: ZoneRecord,
    /// Wraps and unwraps.
    pub keyring: Keyring,
    /// The key of administrators' tokens.
    pub tokens: TokenKey,
}

impl Cell {
    /// Opens what the configuration names.
    ///
    /// # Errors
    /// [`CellError`]: no database, another master key, a damaged row.
    pub async fn open(config: &Config) -> Result<Self, CellError> {
        let master = config.master_key.load()?;
        let store = store::connect(&config.database).await?;
        let zone = store.zone().await?;
        let secret = async |name| store.secret(name).await?.ok_or(CellError::Incomplete { what: name });
        let keyring = Keyring::open(master, &secret(Keyring::CHECK).await?)?;
        let tokens = keyring.open_secret(&secret(TOKEN_KEY).await?)?;
        let tokens = TokenKey::new(&tokens, &zone.zone)?;
        Ok(Self { store, zone, keyring, tokens })
    }

    /// Reads all parties and becomes a KDC.
    ///
    /// # Errors
    /// [`CellError::Follow`] when the parties cannot be read.
    pub async fn into_kdc(self, config: Config, clock: Arc<dyn Clock>) -> Result<Kdc, CellError> {
        let Self { store, zone, keyring, tokens } = self;
        let keyring = Arc::new(keyring);
        let follower = Follower::start(store.clone(), keyring.clone()).await?;
        Ok(Kdc::new(Parts { config, zone, clock, store, keyring, follower, tokens }))
    }
}

/// Why a cell cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// There is something in the folder.
    #[error("{} is not empty; nothing was changed. Choose another folder, or remove it if you mean to lose that cell", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// A file or folder cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A KDC would refuse the configuration.
    #[error("{what}; nothing was made")]
    Setting {
        /// Which setting, and what it may be.
        what: &'static str,
    },
    /// The configuration cannot be written as TOML.
    #[error("the configuration cannot be written")]
    Config,
    /// The database lacks something that `init` puts there.
    #[error(
        "the database has no {what}; it was not made by `keycell init`, or something was deleted from it"
    )]
    Incomplete {
        /// What is missing.
        what: &'static str,
    },
    /// The configuration.
    #[error(transparent)]
    Read(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key, or what it wraps.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The parties.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token key.
    #[error(transparent)]
    Token(#[from] TokenError),
}

const MASTER_KEY: &str = "master.key";
const DATABASE: &str = "keycell.db";
const TOKEN_KEY: &str = "administrator token key";
const HEADER: &str = "# The configuration of a Keycell KDC. `keycell check-config` checks it; docs/operations.md explains it.\n";
