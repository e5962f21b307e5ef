//! The cell of `keycell dev`: made once, then used again, with a KDC that runs in this process.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use keycell_protocol::{Name, RatchetPeriod};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use zeroize::Zeroizing;

use super::Failure;
use crate::administration::{AdminError, Caller, Precondition};
use crate::api::{NewGroup, NewToken};
use crate::cell::{Cell, NewCell};
use crate::clock::SystemClock;
use crate::config::Config;
use crate::kdc::Kdc;
use crate::policy::Profile;
use crate::token::Role;
use crate::{files, serve, tls};

/// Which cell, and where it listens if nobody else does.
pub(super) struct Site {
    zone: &'static str,
    port: u16,
}

impl Site {
    /// The cell of `keycell dev`.
    pub(super) const NEAR: Self = Self { zone: "dev.internal", port: 8443 };
    /// The one beyond the border, with `--zones 2`.
    pub(super) const FAR: Self = Self { zone: "dev2.internal", port: 8444 };
}

/// The cell, served.
pub(crate) struct DevCell {
    folder: PathBuf,
    kdc: Arc<Kdc>,
    roots: String,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

impl DevCell {
    /// Opens the cell in `folder`, or makes one there, and serves it.
    ///
    /// # Errors
    /// The folder holds something else, or its port is taken.
    pub(super) async fn start(folder: &Path, site: &Site) -> Result<Self, Failure> {
        let file = folder.join(Config::FILE);
        let (listener, config, cell) = if file.exists() {
            let config = Config::load(&file, None)?;
            let cell = Cell::open(&config).await?;
            // Nothing is changed before both are sure: two of these in one folder would fight for the parties.
            let listener = match own(&cell, folder, site) {
                Ok(()) => listen(&config).await,
                Err(error) => Err(error),
            };
            match listener {
                Ok(listener) => (listener, config, cell),
                Err(error) => {
                    cell.store.close().await;
                    return Err(error);
                }
            }
        } else {
            let listener = make(folder, site).await?;
            let config = Config::load(&file, None)?;
            let cell = Cell::open(&config).await?;
            (listener, config, cell)
        };
        let roots = tls::roots(&config.tls)?;
        let kdc = Arc::new(cell.into_kdc(config, Arc::new(SystemClock)).await?);
        let tls = kdc.certificate().server()?;
        let stop = CancellationToken::new();
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(serve::serve(kdc.clone(), listener, tls, stopped));
        Ok(Self { folder: folder.to_owned(), kdc, roots, stop, server })
    }

    /// Makes a group anew, to which a message must prove its author.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn group(&self, local: &str) -> Result<Name, Failure> {
        let name = Name::in_zone(local, self.kdc.zone())?;
        let caller = Caller::console();
        match self.kdc.groups().delete(&caller, &name, &Precondition::NONE).await {
            Ok(()) | Err(AdminError::Missing(_)) => {}
            Err(error) => return Err(error.into()),
        }
        let new = NewGroup {
            name: name.clone(),
            members: None,
            lifetime_seconds: None,
            author_proof: true,
            note: String::new(),
        };
        self.kdc.groups().create(&caller, &new, |_| Ok(None)).await?;
        Ok(name)
    }

    /// Takes a party out of a group.
    ///
    /// # Errors
    /// The KDC fails.
    pub(super) async fn remove_member(&self, group: &Name, party: &Name) -> Result<(), Failure> {
        self.kdc.groups().exclude(&Caller::console(), group, party, &Precondition::NONE).await?;
        Ok(())
    }

    /// Writes a token for an administrator.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) async fn token(&self, file: &Path) -> Result<(), Failure> {
        let new = NewToken { subject: "dev".to_owned(), role: Role::Admin, ttl_seconds: None };
        let created = self.kdc.tokens().create(&Caller::console(), &new, |_| Ok(None)).await?;
        let text = Zeroizing::new(format!("{}\n", *created.token));
        files::replace(file, text.as_bytes(), 0o600)
            .map_err(|error| format!("cannot write {}: {error}", file.display()).into())
    }

    /// Its folder.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its KDC.
    pub(crate) fn kdc(&self) -> &Kdc {
        &self.kdc
    }

    /// The certificates to trust, in PEM.
    pub(super) fn roots(&self) -> &str {
        &self.roots
    }

    /// The KDC's URL.
    pub(crate) fn url(&self) -> String {
        self.kdc.config().urls.first().cloned().unwrap_or_default()
    }

    /// Finishes what was accepted and closes the database.
    pub(super) async fn stop(self) {
        self.stop.cancel();
        // A server that panicked has said so already.
        let _ = self.server.await;
    }
}

/// A cell that is somebody's is none to play with.
fn own(cell: &Cell, folder: &Path, site: &Site) -> Result<(), Failure> {
    let zone = &cell.zone.zone;
    if zone.as_str() == site.zone {
        return Ok(());
    }
    let folder = folder.display();
    Err(format!(
        "{folder} holds the cell {zone}, not one that `keycell dev` made; choose another folder with --folder"
    )
    .into())
}

async fn listen(config: &Config) -> Result<TcpListener, Failure> {
    TcpListener::bind(config.listen).await.map_err(|error| {
        format!(
            "cannot listen on {}: {error}; if another `keycell dev` runs there, stop it, or choose another folder \
             with --folder",
            config.listen
        )
        .into()
    })
}

/// A new cell, on the usual port if it is free.
async fn make(folder: &Path, site: &Site) -> Result<TcpListener, Failure> {
    let listener = match TcpListener::bind(("127.0.0.1", site.port)).await {
        Ok(listener) => listener,
        Err(_) => TcpListener::bind(("127.0.0.1", 0)).await?,
    };
    let listen = listener.local_addr()?;
    let cell = NewCell {
        folder: folder.to_owned(),
        zone: site.zone.parse()?,
        listen,
        urls: vec![format!("https://{listen}")],
        database: None,
        ratchet_period: RatchetPeriod::DEFAULT,
        profile: Profile::Open,
    };
    cell.create(&SystemClock).await?;
    Ok(listener)
}
