//! What can keep the directory from keeping up.

use crate::keyring::KeyringError;
use crate::policy::PolicyError;
use crate::store::StoreError;

/// Why the directory could not keep up.
#[derive(Debug, thiserror::Error)]
pub enum FollowError {
    /// The database cannot be read.
    #[error("the directory cannot be read from the database")]
    Store(#[from] StoreError),
    /// A row was not written by Keycell, or was changed since.
    #[error("a row of the database does not hold: restore a backup; what was in force before stays so")]
    Keyring(#[from] KeyringError),
    /// A row was written by Keycell and is not understood.
    #[error("the database row {row} is not understood; was it written by a newer release? ({error})")]
    Document {
        /// Which row.
        row: String,
        /// What is wrong with its body.
        error: serde_json::Error,
    },
    /// An old row was put back.
    #[error(
        "the database row of {id} is at revision {found}, but revision {known} was there: restore a backup; what was in force before stays so"
    )]
    Older {
        /// Which.
        id: String,
        /// The revision that is in force.
        known: u64,
        /// The one that was found.
        found: u64,
    },
    /// The whole database was set back, and gives back what was taken from somebody.
    #[error(
        "the database was set back, and would undo {count} revocations ({first}, …): restore a newer one, or restart with \
         --accept-rollback; what was in force before stays so"
    )]
    SetBack {
        /// The first.
        first: String,
        /// How many.
        count: usize,
    },
    /// The rules do not compile.
    #[error("the policy cannot be used")]
    Policy(#[source] PolicyError),
}
