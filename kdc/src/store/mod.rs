//! What the KDC keeps on disk: its zone, its parties with their wrapped keys, and the order of changes.
//!
//! [`Store`] is the contract; SQLite keeps it for one KDC, PostgreSQL for several. Both pass the same tests. The path
//! of a ticket never comes here: it reads the directory in memory, which follows [`Store::changes_since`].

mod error;
mod postgres;
mod record;
mod rows;
mod schema;
mod sqlite;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Generation, Name};

pub use error::{SchemaError, StoreError};
pub use record::{
    Change, ChangeNumber, Changes, KeyRecord, KeyState, PartyRecord, SecretRecord, Snapshot, UnknownKeyState,
    ZoneRecord,
};

/// Where the zone, its parties and their keys are kept.
///
/// Every write is one transaction and returns only when it is durable; an error means that nothing was changed,
/// unless the connection broke at the very commit ([`StoreError::Unavailable`]), which only a new look can tell.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Writes the zone and the KDC's own secrets into a database that has none.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a zone already.
    async fn create_zone(&self, zone: &ZoneRecord, secrets: &[SecretRecord]) -> Result<(), StoreError>;

    /// The zone.
    ///
    /// # Errors
    /// [`StoreError::Empty`] before [`create_zone`](Self::create_zone).
    async fn zone(&self) -> Result<ZoneRecord, StoreError>;

    /// One of the KDC's own secrets.
    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError>;

    /// One party with its keys.
    async fn party(&self, name: &Name) -> Result<Option<PartyRecord>, StoreError>;

    /// All parties, sorted by name, as they were at one moment.
    async fn parties(&self) -> Result<Snapshot, StoreError>;

    /// Every party that was changed or deleted after `since`, in the order of the changes, each in its latest form.
    async fn changes_since(&self, since: ChangeNumber) -> Result<Changes, StoreError>;

    /// Writes a party and replaces its keys.
    ///
    /// `expected` is the revision it must be at; `None` means that it must not exist. The revision that is stored is
    /// `expected + 1`, or 1, whatever the record says; [`PartyRecord::revise`] keeps the record in step.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Missing`] or [`StoreError::Changed`] when `expected` does not hold;
    /// [`StoreError::GenerationUsed`] when a new key takes a generation that this name has used before.
    async fn put_party(&self, party: &PartyRecord, expected: Option<u64>)
    -> Result<ChangeNumber, StoreError>;

    /// Deletes a party and its keys; with `expected`, only at that revision.
    ///
    /// # Errors
    /// [`StoreError::Missing`] or [`StoreError::Changed`].
    async fn delete_party(&self, name: &Name, expected: Option<u64>) -> Result<ChangeNumber, StoreError>;

    /// The highest generation this name has ever used, in this life or an earlier one; `None` for a name that never
    /// had a key. The next key takes the one after it.
    async fn last_generation(&self, name: &Name) -> Result<Option<Generation>, StoreError>;

    /// Returns once there is a change after `since`, and after `at_most` in any case.
    ///
    /// It only saves a follower time: a change may go unnoticed here (another process on the same SQLite file, a
    /// broken connection), so follow up with [`changes_since`](Self::changes_since) whichever way it ends.
    async fn wait_for_change(&self, since: ChangeNumber, at_most: Duration);

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Closes all connections; what was accepted is finished first.
    async fn close(&self);
}

/// Opens the database at `url`: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
///
/// # Errors
/// [`StoreError::Url`], [`StoreError::NoDatabase`], [`StoreError::Schema`] when its tables are not those of this
/// release, and [`StoreError::Unavailable`].
pub async fn connect(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => Ok(Arc::new(sqlite::SqliteStore::connect(&path).await?)),
        Location::Postgres(url) => Ok(Arc::new(postgres::PostgresStore::connect(url).await?)),
    }
}

/// Makes the tables and opens the database. A SQLite file is made, with mode 0600, and must not exist; a PostgreSQL
/// database must exist.
///
/// # Errors
/// As [`connect`], and [`StoreError::Exists`] for a SQLite file that is already there.
pub async fn create(url: &str) -> Result<Arc<dyn Store>, StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => Ok(Arc::new(sqlite::SqliteStore::create(&path).await?)),
        Location::Postgres(url) => Ok(Arc::new(postgres::PostgresStore::create(url).await?)),
    }
}

enum Location<'a> {
    Sqlite(PathBuf),
    Postgres(&'a str),
}

impl<'a> Location<'a> {
    // Never puts the URL into an error: it may hold a password.
    fn parse(url: &'a str) -> Result<Self, StoreError> {
        if let Some(path) = url.strip_prefix("sqlite:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            // A database in memory would be a different one for each connection of the pool.
            if path.is_empty() || path == ":memory:" {
                return Err(StoreError::Url);
            }
            return Ok(Self::Sqlite(Path::new(path).to_owned()));
        }
        if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            return Ok(Self::Postgres(url));
        }
        Err(StoreError::Url)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let path = |url| match Location::parse(url) {
            Ok(Location::Sqlite(path)) => path,
            _ => panic!("{url} is a SQLite file"),
        };
        assert_eq!(path("sqlite:a/b.db"), Path::new("a/b.db"));
        assert_eq!(path("sqlite:/a/b.db"), Path::new("/a/b.db"));
        assert_eq!(path("sqlite:///a/b.db"), Path::new("/a/b.db"));
        assert!(matches!(Location::parse("postgres://u@h/d"), Ok(Location::Postgres("postgres://u@h/d"))));
        for bad in ["", "sqlite:", "sqlite://", "sqlite::memory:", "mysql://h/d", "a.db"] {
            assert!(matches!(Location::parse(bad), Err(StoreError::Url)), "{bad}");
        }
    }
}
