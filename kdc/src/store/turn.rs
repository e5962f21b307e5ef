//! Who migrates a database does so alone.

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use sqlx::PgConnection;

use super::StoreError;
use super::postgres::{self, connection_to};

/// The right to migrate a database, until it is dropped. A KDC that serves meanwhile is not hindered.
pub struct Turn {
    _held: Held,
}

#[expect(dead_code, reason = "what is held is held by being there")]
enum Held {
    Folder(File),
    Session(PgConnection),
}

impl Turn {
    /// Waits until nobody else migrates this file. The folder is locked and not the file, which SQLite locks in its own
    /// way; and nothing is left behind.
    pub(super) async fn sqlite(path: &Path) -> Result<Self, StoreError> {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        let folder = folder.unwrap_or(Path::new(".")).to_owned();
        let locked = tokio::task::spawn_blocking({
            let folder = folder.clone();
            move || File::open(folder).and_then(|folder| folder.lock().map(|()| folder))
        });
        let locked = locked.await.map_err(std::io::Error::from).flatten();
        let held = locked.map_err(|source| StoreError::Lock { path: folder, source })?;
        Ok(Self { _held: Held::Folder(held) })
    }

    /// Waits until nobody else migrates this database.
    pub(super) async fn postgres(url: &str) -> Result<Self, StoreError> {
        let mut session = connection_to(url).await?;
        sqlx::query("SELECT pg_advisory_lock($1)").bind(MIGRATES).execute(&mut session).await?;
        Ok(Self { _held: Held::Session(session) })
    }
}

/// That no KDC serves a database, as far as that can be known, until it is dropped.
pub struct Alone {
    _lock: Option<File>,
}

impl Alone {
    /// Takes the lock that a KDC holds while it serves this file.
    pub(super) fn sqlite(path: &Path) -> Result<Self, StoreError> {
        let mut lock = path.as_os_str().to_owned();
        lock.push(".lock");
        let failed = |source| StoreError::Lock { path: lock.clone().into(), source };
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(failed)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { _lock: Some(file) }),
            Err(TryLockError::WouldBlock) => Err(StoreError::InUse),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Sees that nobody of ours is connected to this database. One that comes later is not kept away.
    pub(super) async fn postgres(url: &str) -> Result<Self, StoreError> {
        let mut connection = connection_to(url).await?;
        postgres::alone(&mut connection).await?;
        Ok(Self { _lock: None })
    }
}

/// Any number will do that nobody else locks in this database: `keycell`, in ASCII.
const MIGRATES: i64 = 0x006b_6579_6365_6c6c;
