//! Why a cell does not recover.

use keycell_protocol::{IdentityName, Zone};

use crate::audit::AuditKeyError;
use crate::cell::CellError;
use crate::identities::IdentityError;
use crate::keyring::KeyringError;
use crate::store::StoreError;
use crate::token::TokenError;

/// Why a cell does not recover. Nothing was changed then.
#[derive(Debug, thiserror::Error)]
pub enum RecoveryError {
    /// The file is of another zone.
    #[error("the file is of the zone {file}, and the database of {here}: nothing was changed")]
    Zone {
        /// The file's.
        file: Zone,
        /// The database's.
        here: Zone,
    },
    /// There is nothing to recover on.
    #[error("the zone has no identities yet: it gets them when its KDC is next started")]
    None,
    /// The file is the primary.
    #[error(
        "the file holds {primary}, which is the primary: the cell recovers on {secondary}, so take its file; nothing was changed"
    )]
    Primary {
        /// The primary.
        primary: IdentityName,
        /// What is needed.
        secondary: IdentityName,
    },
    /// The file is retired.
    #[error(
        "the file holds {name}, which is retired and stays so: the cell recovers on {secondary}, so take its file; nothing was changed"
    )]
    Retired {
        /// The file's.
        name: IdentityName,
        /// What is needed.
        secondary: IdentityName,
    },
    /// The file is something else.
    #[error(
        "the file holds a {name} that is not this database's: the cell recovers on {secondary} as the database knows it. Is it of another cell, or the database from another time? Nothing was changed"
    )]
    Another {
        /// The file's.
        name: IdentityName,
        /// What is needed.
        secondary: IdentityName,
    },
    /// It was done.
    #[error("{primary} is the primary already: nothing was changed")]
    Done {
        /// The primary.
        primary: IdentityName,
    },
    /// All numbers of identities are used up.
    #[error("the zone has used up the numbers of its identities: make a new zone")]
    Numbers,
    /// The cell.
    #[error(transparent)]
    Cell(#[from] CellError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// An identity.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The new audit key.
    #[error(transparent)]
    Audit(#[from] AuditKeyError),
    /// The new key of tokens.
    #[error(transparent)]
    Token(#[from] TokenError),
}
