//! Backups: a whole cell in one encrypted file, looked through before it is trusted, and put back.
//!
//! ```text
//! age(                                       for the recovery recipients (age-encryption.org/v1)
//!   {"keycell_backup":1, zone, schema, …}    what it is of, and where its audit log ended
//!   {"file":"keycell.toml","text":…}         files of the cell; the master key only if asked for
//!   {"table":"audit","columns":[…]}          every table, as it was at one moment
//!   [1,1795344000000,"console:root",…]       a row for each line
//!   {"end":{"audit":1,…},"sha256":…}         how many rows each table has, and the hash of all before
//! )
//! ```
//!
//! Rows stay wrapped under the master key: a backup alone opens nothing (docs/backup.md).

mod check;
mod create;
mod error;
mod folder;
#[cfg(test)]
mod mangled;
mod open;
mod reader;
mod restore;
mod swap;
mod writer;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

pub use check::{Checked, check};
pub use create::{Backup, Created, Secrets};
pub use error::BackupError;
pub use open::{Opened, open};
pub use reader::Reader;
pub use restore::{Restore, Restored};
pub use writer::{Finished, Writer};

/// The name of the moment of the last backup.
pub const MOMENT: &str = "backup";

/// What a backup is of: its first line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// The version of the format.
    pub keycell_backup: u32,
    /// The release that wrote it.
    pub release: String,
    /// The zone.
    pub zone: String,
    /// The schema of the tables.
    pub schema: i64,
    /// When it was made, in Unix milliseconds.
    pub created_at: u64,
    /// The end of the audit log: `SEQ:HASH`.
    pub audit_head: Option<String>,
    /// The zone's audit key, its public half in hexadecimal.
    pub audit_key: String,
}

/// A file of the cell.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CellFile {
    /// Its name in the cell's folder.
    pub file: String,
    /// Its content.
    pub text: Zeroizing<String>,
}

/// The last line.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    /// How many rows each table has.
    end: std::collections::BTreeMap<String, u64>,
    /// The hash of all lines before this one, in hexadecimal.
    sha256: String,
}

/// The version of the format that this release writes and reads.
const FORMAT: u32 = 1;
/// Longer than any line that Keycell writes: the answer to a large import is the longest.
const MAX_LINE: u64 = 128 << 20;
