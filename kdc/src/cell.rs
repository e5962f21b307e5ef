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
use crate::store::{self, SecretRecord, Store, StoreError, ZoneRecord};
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
    /// Makes the cell: all of it or nothing. It is made in a folder inside its own and moved up when it is complete, the
    /// configuration last; what an attempt that was killed has left is cleared away by the next.
    ///
    /// # Errors
    /// [`CellError::Taken`] when the folder is there and not empty. [`CellError::Uncertain`] when it is not known whether
    /// PostgreSQL took the zone: then everything is kept.
    pub async fn create(&self, clock: &dyn Clock) -> Result<(), CellError> {
        let config = self.config();
        config.check().map_err(|what| CellError::Setting { what })?;
        let made_folder = self.prepare()?;
        let building = self.folder.join(format!("{BUILDING}{}", std::process::id()));
        let done = self.fill(&config, &building, clock).await;
        if matches!(done, Ok(()) | Err(CellError::Uncertain { .. })) {
            return done;
        }
        // What is left of it must not stand in the way of the next try.
        let _ = clear(&self.folder);
        if made_folder {
            let _ = fs::remove_dir(&self.folder);
        }
        done
    }

    /// Makes the folder if need be, or sees that it is empty. Says whether it made it.
    fn prepare(&self) -> Result<bool, CellError> {
        let folder = &self.folder;
        match fs::metadata(folder) {
            Ok(there) if !there.is_dir() => Err(CellError::NoFolder { path: folder.clone() }),
            Ok(_) => {
                let names = names(folder).map_err(file(folder))?;
                let unfinished = names.iter().any(|name| name.starts_with(BUILDING))
                    && names.iter().all(|name| name.starts_with(BUILDING) || PARTS.contains(&name.as_str()));
                if unfinished {
                    clear(folder).map_err(file(folder))?;
                } else if !names.is_empty() {
                    return Err(CellError::Taken { folder: folder.clone() });
                }
                Ok(false)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                if let Some(parent) = folder.parent().filter(|parent| !parent.as_os_str().is_empty()) {
                    fs::create_dir_all(parent).map_err(file(parent))?;
                }
                private_folder(folder)?;
                Ok(true)
            }
            Err(error) => Err(file(folder)(error)),
        }
    }

    async fn fill(&self, config: &Config, building: &Path, clock: &dyn Clock) -> Result<(), CellError> {
        let (zone, secrets) = self.build(config, building, clock)?;
        if self.database.is_none() {
            let url = format!("sqlite:{}", building.join(DATABASE).display());
            let store = store::create(&url).await?;
            let made = store.create_zone(&zone, &secrets).await;
            store.close().await;
            made?;
        }
        // The configuration last: with it the cell is complete.
        let mut parts = names(building).map_err(file(building))?;
        parts.sort_by_key(|name| name == Config::FILE);
        for name in parts {
            fs::rename(building.join(&name), self.folder.join(&name)).map_err(file(&self.folder))?;
        }
        if let Some(url) = &self.database {
            let store = store::create(url).await?;
            let made = store.create_zone(&zone, &secrets).await;
            store.close().await;
            match made {
                Ok(()) => {}
                Err(error @ StoreError::Exists { .. }) => return Err(error.into()),
                // The answer to the commit may be what was lost: the master key must not be.
                Err(source) => return Err(CellError::Uncertain { folder: self.folder.clone(), source }),
            }
        }
        fs::remove_dir(building).map_err(file(building))?;
        files::sync_folder(&self.folder.join(Config::FILE)).map_err(file(&self.folder))?;
        files::sync_folder(&self.folder).map_err(file(&self.folder))
    }

    /// Everything but the database.
    fn build(
        &self,
        config: &Config,
        folder: &Path,
        clock: &dyn Clock,
    ) -> Result<(ZoneRecord, [SecretRecord; 2]), CellError> {
        private_folder(folder)?;
        private_folder(&folder.join("tls"))?;
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
        let text = toml::to_string(config).map_err(|_| CellError::Config)?;
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
        Ok((zone, [check, tokens]))
    }

    fn config(&self) -> Config {
        Config {
            listen: self.listen,
            urls: self.urls.clone(),
            database: match &self.database {
                Some(url) => without_password(url),
                None => format!("sqlite:{DATABASE}"),
            },
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
}

/// The URL as it may stand in a file.
fn without_password(url: &str) -> String {
    match reqwest::Url::parse(url) {
        Ok(mut parsed) if parsed.password().is_some() => {
            // Fails only for a URL that can have no password.
            let _ = parsed.set_password(None);
            parsed.into()
        }
        _ => url.to_owned(),
    }
}

fn private_folder(path: &Path) -> Result<(), CellError> {
    fs::DirBuilder::new().mode(0o700).create(path).map_err(file(path))
}

fn names(folder: &Path) -> io::Result<Vec<String>> {
    fs::read_dir(folder)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

/// Removes what an unfinished attempt has made, and nothing else.
fn clear(folder: &Path) -> io::Result<()> {
    for name in names(folder)? {
        let path = folder.join(&name);
        if name == "tls" || name.starts_with(BUILDING) {
            fs::remove_dir_all(path)?;
        } else if PARTS.contains(&name.as_str()) || name == Config::FILE {
            fs::remove_file(path)?;
        }
    }
    Ok(())
}

fn file(path: &Path) -> impl FnOnce(io::Error) -> CellError + use<> {
    let path = path.to_owned();
    move |source| CellError::File { path, source }
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
    /// Something else than a folder is in its place.
    #[error("{} is there and is not a folder", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// It is not known whether the database took the zone.
    #[error(
        "it is not known whether the database took the zone: see with `keycell check-config`. If it did, the cell in {} \
         is complete; if not, remove that folder and begin again", folder.display()
    )]
    Uncertain {
        /// The folder, with the only master key there is.
        folder: PathBuf,
        /// What the database said.
        source: StoreError,
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

/// What a folder is called in which a cell is being made.
const BUILDING: &str = ".new-";
/// What else an unfinished attempt may have put in its place.
const PARTS: [&str; 3] = ["tls", MASTER_KEY, DATABASE];
const MASTER_KEY: &str = "master.key";
const DATABASE: &str = "keycell.db";
const TOKEN_KEY: &str = "administrator token key";
const HEADER: &str = "# The configuration of a Keycell KDC. `keycell check-config` checks it; docs/operations.md explains it.\n";
