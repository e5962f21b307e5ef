//! The file: making it, opening it, and what schema it has.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, SqliteConnection, SqlitePool};

use crate::store::{StoreError, schema, sql};

/// What schema the file has. Nothing is set meanwhile: a file that is not ours stays as it is.
pub(super) async fn schema_of(path: &Path) -> Result<schema::Found, StoreError> {
    if !path.is_file() {
        return Err(StoreError::NoDatabase { path: path.to_owned() });
    }
    let mut first = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).connect().await?;
    let found = found(&mut first).await;
    first.close().await?;
    found
}

pub(super) async fn open(path: &Path, connections: u32) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged survives a power cut; WAL with NORMAL would not promise that.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // What a row held is overwritten when it is gone, not only forgotten: keys that have turned are not to be found
        // in the file (docs/master-key.md says what stays elsewhere).
        .pragma("secure_delete", "ON")
        .busy_timeout(BUSY);
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        // A full disk makes SQLite roll back on its own; the driver's own rollback then fails, and it believes for
        // ever to be inside that transaction. Such a connection is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(pool.connect_with(options).await?)
}

pub(super) fn make_file(path: &Path) -> Result<(), StoreError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            StoreError::Exists { what: format!("the database {}", path.display()) }
        }
        _ => StoreError::File { path: path.to_owned(), source },
    };
    // A write-ahead log left by another database would be replayed into the new one.
    for side in with_side_files(path).into_iter().skip(1) {
        if side.exists() {
            return Err(StoreError::Exists {
                what: format!("{}, left by another database,", side.display()),
            });
        }
    }
    // SQLite gives its side files the mode of this one.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)
}

pub(super) fn with_side_files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

pub(super) async fn found(connection: &mut SqliteConnection) -> Result<schema::Found, StoreError> {
    let mut found = schema::Found::default();
    if there(connection, "_sqlx_migrations").await? {
        found.applied = sqlx::query_as(sql::MIGRATIONS).fetch_all(&mut *connection).await?;
    }
    // After the migrations: of one that comes between, the need is known at least.
    if there(connection, "schema_needs").await? {
        found.oldest = sqlx::query_scalar(sql::SCHEMA_NEEDS).fetch_optional(connection).await?;
    }
    Ok(found)
}

async fn there(connection: &mut SqliteConnection, table: &str) -> Result<bool, StoreError> {
    let tables = sqlx::query_scalar("SELECT count(*) > 0 FROM sqlite_schema WHERE name = $1");
    Ok(tables.bind(table).fetch_one(connection).await?)
}

// Another process (`keycell party add` beside a server) may hold the write lock this long.
const BUSY: Duration = Duration::from_secs(5);
const ACQUIRE: Duration = Duration::from_secs(10);
