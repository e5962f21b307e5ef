//! What can go wrong in the store, grouped by who can put it right.

use std::io;
use std::path::PathBuf;

use keycell_protocol::{Generation, Name};

use super::dump::CopyError;
use super::{Damaged, Kind};

/// Why the store did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The caller wanted to make something that is there.
    #[error("{what} exists already; nothing was changed")]
    Exists {
        /// What is there.
        what: String,
    },
    /// There is no such party.
    #[error("there is no party {name}")]
    Missing {
        /// The name asked for.
        name: Name,
    },
    /// Somebody else changed the party first.
    #[error("{name} was changed meanwhile (revision {found}, not {expected}): look at it again, then repeat")]
    Changed {
        /// The party.
        name: Name,
        /// The revision the caller knew.
        expected: u64,
        /// The revision it is at.
        found: u64,
    },
    /// A new key claims a generation that meant another key before.
    #[error("{name} has used generation {generation} before; its next key is generation {}, or later", .last.0.saturating_add(1))]
    GenerationUsed {
        /// The party.
        name: Name,
        /// The generation of the new key.
        generation: Generation,
        /// The highest generation ever used.
        last: Generation,
    },
    /// The caller wanted to make a document that is there.
    #[error("there is a {} {id} already", kind.as_str())]
    DocumentExists {
        /// What it is.
        kind: Kind,
        /// Which.
        id: String,
    },
    /// There is no such document.
    #[error("there is no {} {id}", kind.as_str())]
    DocumentMissing {
        /// What was looked for.
        kind: Kind,
        /// Which.
        id: String,
    },
    /// Somebody else changed a document first.
    #[error("the {} {id} was changed meanwhile: look at it again, then repeat", kind.as_str())]
    DocumentChanged {
        /// What it is.
        kind: Kind,
        /// Which; `*` for all of the kind.
        id: String,
    },
    /// An answer is kept under that key already.
    #[error("an answer is kept under this Idempotency-Key already")]
    AnswerExists,
    /// The database has tables but no zone.
    #[error("the database holds no zone yet; `keycell init` makes one")]
    Empty,
    /// The URL names no database that Keycell can use.
    #[error("the database URL must be sqlite:PATH or postgres://USER@HOST/DATABASE")]
    Url,
    /// The SQLite file is not there.
    #[error("there is no database at {}; check the path, or make one with `keycell init`", .path.display())]
    NoDatabase {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The tables are not those of this release.
    #[error(transparent)]
    Schema(#[from] SchemaError),
    /// A row does not say what it must.
    #[error(
        "the database row {row} is damaged: {reason}. Nothing but Keycell may write here: restore a backup, or put the row right by hand"
    )]
    Damaged {
        /// Which row, as `table name`.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file of a new database could not be made.
    #[error("cannot make the database {}: {source}", .path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What takes a dump or gives a load, failed.
    #[error("{0}")]
    Copy(CopyError),
    /// The database that is to be filled has a zone already.
    #[error("the database holds the zone {zone} already; --replace puts the backup in its place")]
    Occupied {
        /// Its zone.
        zone: String,
    },
    /// Others use the database.
    #[error(
        "a KDC or another command uses the database: stop every KDC of the zone first; nothing was changed"
    )]
    InUse,
    /// Who migrates a SQLite file locks its folder.
    #[error("cannot lock {}: {source}; check that this user may read it", .path.display())]
    Lock {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no room left.
    #[error("the database's disk is full: free some room; nothing was changed ({0})")]
    Full(#[source] sqlx::Error),
    /// The database does not answer, or not as it should.
    #[error(
        "the database cannot be used: {0}. Check that it runs and can be reached, and that this user may use it"
    )]
    Unavailable(#[source] sqlx::Error),
}

/// How the tables of a database differ from those this release needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SchemaError {
    /// There are none.
    #[error("the database has no Keycell tables; `keycell init` makes them")]
    None,
    /// They are older.
    #[error(
        "the database is at schema {found} and this keycell needs {needed}: back it up, then run `keycell migrate`"
    )]
    Older {
        /// The schema of the database.
        found: i64,
        /// The schema of this release.
        needed: i64,
    },
    /// They are newer.
    #[error(
        "the database is at schema {found} and this keycell knows up to {known}: run the newer release, which migrated it"
    )]
    Newer {
        /// The schema of the database.
        found: i64,
        /// The schema of this release.
        known: i64,
    },
    /// They were made by a migration of the same number and another text.
    #[error(
        "migration {version} of the database is not the one this keycell has, or did not finish: restore a backup, or run the release that made it"
    )]
    Unknown {
        /// The migration's number.
        version: i64,
    },
}

impl StoreError {
    pub(super) fn damaged(row: impl Into<String>, reason: &impl ToString) -> Self {
        Self::Damaged { row: row.into(), reason: reason.to_string() }
    }
}

impl From<Damaged> for StoreError {
    fn from(Damaged { row, reason }: Damaged) -> Self {
        Self::Damaged { row, reason }
    }
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        // SQLITE_FULL, and PostgreSQL's disk_full.
        let full =
            error.as_database_error().and_then(|e| e.code()).is_some_and(|c| c == "13" || c == "53100");
        if full {
            return Self::Full(error);
        }
        match error {
            // A value of the wrong type: rows are named where they can be told, and this is where they cannot.
            sqlx::Error::ColumnDecode { index, source } => {
                Self::damaged(format!("with the column {index}"), &source)
            }
            error => Self::Unavailable(error),
        }
    }
}
