//! What can go wrong with the master key and with what it wraps.

use std::io;
use std::path::PathBuf;

use keycell_protocol::Name;

/// Why a key could not be read, written, wrapped or unwrapped.
#[derive(Debug, thiserror::Error)]
pub enum KeyringError {
    /// There is no master key where one should be.
    #[error(
        "there is no master key in {place}. It is never made anew on its own, for nothing in the database opens without it: put it back from your backup, or run `keycell init` for a new cell"
    )]
    Missing {
        /// Where it was looked for.
        place: String,
    },
    /// Others may read or write the file.
    #[error("others may use the master key file {} (mode {mode:04o}): chmod 600 {}", .path.display(), .path.display())]
    Loose {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// The file belongs to somebody else.
    #[error("the master key file {} belongs to uid {owner}, and this process runs as uid {uid}: run it as uid {owner}; or, if the file is to be this user's, chown {uid} {}", .path.display(), .path.display())]
    Owner {
        /// The file.
        path: PathBuf,
        /// Its owner.
        owner: u32,
        /// Who wants to read it.
        uid: u32,
    },
    /// The text is no master key.
    #[error(
        "{place} holds no master key: it must be lines like keycell-master-key-1:VERSION:KEY, as `keycell init` and `keycell master-key new` write them, and nothing else"
    )]
    Form {
        /// Where it was read.
        place: String,
    },
    /// Two keys claim one version.
    #[error(
        "{place} holds version {version} of the master key twice: find out which one the database was made with, and remove the other"
    )]
    Twice {
        /// Where it was read.
        place: String,
        /// The version.
        version: u32,
    },
    /// A master key file would be overwritten.
    #[error("{} exists already; a master key is never overwritten", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be read or written.
    #[error("cannot use the master key file {}: {source}", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The master key of a version is not the one that this database knows.
    #[error(
        "this is not the master key of this database (version {version}): give it the one that was made with it (check the path, or your backup)"
    )]
    WrongMasterKey {
        /// The version that is wrong.
        version: u32,
    },
    /// The version of the master key that the zone works with is not here.
    #[error(
        "the zone works with version {version} of its master key, and {place} does not hold it: add its line, keycell-master-key-1:{version}:..., from another KDC of the zone or from your backup"
    )]
    Lacking {
        /// The version.
        version: u32,
        /// Where it was looked for.
        place: String,
    },
    /// The row needs another version of the master key.
    #[error(
        "the database row {row} is wrapped under version {needed} of the master key, which is not here: add its line, keycell-master-key-1:{needed}:..., from another KDC of the zone or from your backup"
    )]
    NoVersion {
        /// The row.
        row: String,
        /// The version it needs.
        needed: u32,
    },
    /// What is to be taken away is still needed, or what is needed is not there.
    #[error("{0}")]
    Refused(String),
    /// The master key is right, and the row does not open.
    #[error(
        "the database row {row} does not open: it was damaged, or changed or moved by hand. Restore it from a backup; a party can be given a new key instead"
    )]
    Damaged {
        /// The row.
        row: String,
    },
    /// The counter of revocations has reached its end.
    #[error("{party} has been disabled 2^32 times: delete it and make it again")]
    TooManyRevocations {
        /// The party.
        party: Name,
    },
}
