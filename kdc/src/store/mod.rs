//! What the KDC keeps on disk: its zone, its parties with their wrapped keys, and the order of changes.
//!
//! [`Store`] is the contract; SQLite keeps it for one KDC, PostgreSQL for several. Both pass the same tests. The path
//! of a ticket never comes here: it reads the directory in memory, which follows [`Store::changes_since`].

mod act;
mod at_rest;
mod commit;
pub mod dump;
mod error;
mod look;
mod postgres;
mod record;
mod rows;
mod schema;
mod sql;
mod sqlite;
mod turn;
mod writer;

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Name, UnixMillis};

use crate::audit::{AuditKey, Record, Seal, SealKind};

pub use act::{Act, Answer, Document, Documents, Kind, Write};
pub use at_rest::{
    AtRest, BoundEnrollment, BoundKey, KeyPlace, Rewrap, StaleEnrollments, StaleKeys, Target, Wrapped,
};
pub use error::{SchemaError, StoreError};
pub use look::AuditQuery;
pub use record::{
    Buried, Change, ChangeNumber, Changes, Damaged, Earlier, KeyRecord, KeyState, PartyRecord, SecretRecord,
    SeenRecord, Snapshot, UnknownKeyState, ZoneRecord,
};
pub use turn::{Alone, Turn};

/// Where the zone, its parties and their keys are kept.
///
/// Every write is one transaction and returns only when it is durable; an error means that nothing was changed,
/// unless the connection broke at the very commit ([`StoreError::Unavailable`]), which only a new look can tell.
#[async_trait]
pub trait Store: AtRest + Send + Sync + 'static {
    /// Writes the zone, the KDC's own secrets and what a zone begins with into a database that has none.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is a zone already.
    async fn create_zone(
        &self,
        zone: &ZoneRecord,
        secrets: &[SecretRecord],
        act: &Act,
        key: &AuditKey,
    ) -> Result<(), StoreError>;

    /// The zone.
    ///
    /// # Errors
    /// [`StoreError::Empty`] before [`create_zone`](Self::create_zone).
    async fn zone(&self) -> Result<ZoneRecord, StoreError>;

    /// One of the KDC's own secrets.
    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError>;

    /// Adds one of the KDC's own secrets, which a newer release needs.
    ///
    /// # Errors
    /// [`StoreError::Exists`] when there is one of that name.
    async fn add_secret(&self, secret: &SecretRecord) -> Result<(), StoreError>;

    /// Does everything that an act names and appends its events to the audit log, or nothing. The events' times, actors
    /// and so on are taken as they are; their places in the chain are given here, under the lock that makes writers
    /// follow one another, and the new end of the chain is signed with `key`. Every [`CHECKPOINT_EVERY`]th record leaves a
    /// checkpoint too. Each party or document that is put or deleted takes one change number; an act that does neither takes
    /// none. What is returned is the last number, whoever took it. A damaged record does not stop the log: it goes on from
    /// what the head seal says, so that verifying it names the damage.
    ///
    /// # Errors
    /// [`StoreError::Exists`], [`StoreError::Missing`] or [`StoreError::Changed`] when a party's `expected` does not hold;
    /// [`StoreError::GenerationUsed`] when a new key takes a generation that its name has used before;
    /// [`StoreError::DocumentExists`], [`StoreError::DocumentMissing`] or [`StoreError::DocumentChanged`] for a document;
    /// [`StoreError::Exists`] for a [`Write::NoParty`];
    /// [`StoreError::AnswerExists`] when an answer is kept already under that key;
    /// [`StoreError::Damaged`] when `key` did not sign the head seal, when a record lies after it, or when a trim seal does
    /// not fit its record.
    async fn commit(&self, act: &Act, key: &AuditKey) -> Result<ChangeNumber, StoreError>;

    /// The parties of these names that there are, with their keys, in the order of their names.
    async fn some_parties(&self, names: &[Name]) -> Result<Vec<PartyRecord>, StoreError>;

    /// One party with its keys.
    async fn party(&self, name: &Name) -> Result<Option<PartyRecord>, StoreError> {
        Ok(self.some_parties(std::slice::from_ref(name)).await?.pop())
    }

    /// All parties, sorted by name, as they were at one moment; a row that is damaged is left out, and named.
    async fn parties(&self) -> Result<Snapshot, StoreError>;

    /// Every party that was changed or deleted after `since`, in the order of the changes, each in its latest form, and
    /// the kinds of documents that changed. A row that is damaged is named, and does not keep the others back.
    async fn changes_since(&self, since: ChangeNumber) -> Result<Changes, StoreError>;

    /// What each of these names is or was before; names that never were a party's are left out.
    async fn earlier(&self, names: &[Name]) -> Result<HashMap<Name, Earlier>, StoreError>;

    /// The parties that were deleted and not made again; a row that is damaged is left out.
    async fn buried(&self) -> Result<Vec<Buried>, StoreError>;

    /// Notes when parties were last seen; an earlier moment than the one that is there is passed over, and so is a name that
    /// is no party's. The process that signed last is noted apart from that. No change, and no record.
    async fn note_seen(&self, seen: &[SeenRecord]) -> Result<(), StoreError>;

    /// When each party was last seen, of those that were seen at or after `since`.
    async fn seen(&self, since: UnixMillis) -> Result<Vec<SeenRecord>, StoreError>;

    /// All documents of a kind; a row that is damaged is left out, and named.
    async fn documents(&self, kind: Kind) -> Result<Documents, StoreError>;

    /// Up to `limit` documents of a kind in the order of their ids, from the first after the id `after`, damaged rows among
    /// them: for kinds of which there may be too many to be read at once.
    async fn documents_after(&self, kind: Kind, after: &str, limit: u32) -> Result<Documents, StoreError>;

    /// How many documents of a kind there are.
    async fn count_documents(&self, kind: Kind) -> Result<u64, StoreError>;

    /// One document.
    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Document>, StoreError>;

    /// The answer that is kept for this actor under this key.
    async fn answer(&self, actor: &str, idempotency: &str) -> Result<Option<Answer>, StoreError>;

    /// Forgets answers whose time is over. No change, and no record.
    async fn forget_answers(&self, now: UnixMillis) -> Result<(), StoreError>;

    /// Records of the audit log, an altered one too, as far as it can be read: verifying the log names it.
    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError>;

    /// The seals of a kind, in the order of their records.
    async fn audit_seals(&self, kind: SealKind) -> Result<Vec<Seal>, StoreError>;

    /// When something that is no change was last done, such as a backup.
    async fn moment(&self, name: &str) -> Result<Option<UnixMillis>, StoreError>;

    /// Notes when that was. No change, and no record.
    async fn note_moment(&self, name: &str, at: UnixMillis) -> Result<(), StoreError>;

    /// Gives all of the database to `sink`, as it is at one moment, while others go on writing.
    ///
    /// # Errors
    /// [`StoreError::Copy`] is what `sink` said.
    async fn dump(&self, sink: &mut dyn dump::Sink) -> Result<(), StoreError>;

    /// Returns once there is a change after `since`, and after `at_most` in any case.
    ///
    /// It only saves a follower time: a change may go unnoticed here (another process on the same SQLite file, a
    /// broken connection), so follow up with [`changes_since`](Self::changes_since) whichever way it ends.
    async fn wait_for_change(&self, since: ChangeNumber, at_most: Duration);

    /// Whether this release may go on with the tables: another one may have migrated them meanwhile.
    ///
    /// # Errors
    /// [`StoreError::Schema`] when it may not, and [`StoreError::Unavailable`].
    async fn check_schema(&self) -> Result<(), StoreError>;

    /// Whether the database answers.
    async fn ping(&self) -> Result<(), StoreError>;

    /// Closes all connections; what was accepted is finished first.
    async fn close(&self);
}

/// Every so many records, the audit log gets a checkpoint.
pub const CHECKPOINT_EVERY: u64 = 1000;

/// Opens the database at `url`: `sqlite:PATH` or `postgres://USER@HOST/DATABASE`.
///
/// # Errors
/// [`StoreError::Url`], [`StoreError::NoDatabase`], [`StoreError::Schema`] when this release cannot work with its
/// tables, and [`StoreError::Unavailable`].
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

/// Waits until nobody else migrates the database at `url`: [`migrate`], and what a release adds after it, is for one at a
/// time.
///
/// # Errors
/// [`StoreError::Url`], [`StoreError::Lock`] and [`StoreError::Unavailable`].
pub async fn turn(url: &str) -> Result<Turn, StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => Turn::sqlite(&path).await,
        Location::Postgres(url) => Turn::postgres(url).await,
    }
}

/// Sees that no KDC serves the database at `url`.
///
/// # Errors
/// [`StoreError::InUse`], [`StoreError::Url`], [`StoreError::Lock`] and [`StoreError::Unavailable`].
pub async fn alone(url: &str) -> Result<Alone, StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => Alone::sqlite(&path),
        Location::Postgres(url) => Alone::postgres(url).await,
    }
}

/// Brings the tables of the database at `url` to this release's schema, one migration a transaction; KDCs of the release
/// before may serve meanwhile. Take [`turn`] first. Returns the schema it had and the one it has.
///
/// # Errors
/// As [`connect`], but for an older schema.
pub async fn migrate(url: &str) -> Result<(i64, i64), StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => sqlite::SqliteStore::migrate(&path).await,
        Location::Postgres(url) => postgres::PostgresStore::migrate(url).await,
    }
}

/// Fills the database at `url` with all that `source` has, whose tables are of `schema`, and brings them to this release's:
/// all of it or nothing. A SQLite file is made, and must not exist. In a PostgreSQL database a zone that is there goes if it
/// is to be `replaced`.
///
/// # Errors
/// [`StoreError::Exists`], [`StoreError::Occupied`]; [`StoreError::Schema`] for a newer schema; [`StoreError::Copy`] is what
/// `source` said.
pub async fn load(
    url: &str,
    schema: i64,
    replaced: Replaced,
    source: &mut dyn dump::Source,
) -> Result<(), StoreError> {
    match Location::parse(url)? {
        Location::Sqlite(path) => sqlite::SqliteStore::load(&path, schema, source).await,
        Location::Postgres(url) => postgres::PostgresStore::load(url, schema, replaced, source).await,
    }
}

/// What a load does with the zone that is in the database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Replaced {
    /// It goes.
    Yes,
    /// It stays, and the load is refused.
    No,
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
