//! Why a cell cannot be made, opened or migrated.

use std::io;
use std::path::PathBuf;

use crate::administration::AdminError;
use crate::audit::AuditKeyError;
use crate::certificates::CertificateError;
use crate::config::ConfigError;
use crate::directory::FollowError;
use crate::identities::IdentityError;
use crate::keyring::KeyringError;
use crate::oidc::IssuersError;
use crate::policy::RuleError;
use crate::store::StoreError;
use crate::tls::TlsError;
use crate::token::TokenError;
use crate::watermark::WatermarkError;

/// Why a cell cannot be made or opened.
#[derive(Debug, thiserror::Error)]
pub enum CellError {
    /// There is something in the folder.
    #[error("{} is not empty; nothing was changed. Choose another folder, or remove it if you mean to lose that cell", folder.display())]
    Taken {
        /// The folder.
        folder: PathBuf,
    },
    /// Something else than a folder is in its place.
    #[error("{} is there and is not a folder", path.display())]
    NoFolder {
        /// The path.
        path: PathBuf,
    },
    /// It is not known whether the database took the zone.
    #[error(
        "it is not known whether the database took the zone: see with `keycell check-config`. If it did, the cell in {} \
         is complete; if not, remove that folder and begin again", folder.display()
    )]
    Uncertain {
        /// The folder, with the only master key there is.
        folder: PathBuf,
        /// What the database said.
        source: StoreError,
    },
    /// A file or folder cannot be made.
    #[error("cannot make {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A KDC would refuse the configuration.
    #[error("{what}; nothing was made")]
    Setting {
        /// Which setting, and what it may be.
        what: &'static str,
    },
    /// The configuration cannot be written as TOML.
    #[error("the configuration cannot be written")]
    Config,
    /// The database lacks something that `init` puts there.
    #[error(
        "the database has no {what}; it was not made by `keycell init`, or something was deleted from it"
    )]
    Incomplete {
        /// What is missing.
        what: String,
    },
    /// The row of the zone is not as it was made.
    #[error(
        "the database row zone ({zone}) was changed by hand: a zone's name and ratchet period are what its keys are made for, and never change. Put it back as it was, or restore a backup"
    )]
    Zone {
        /// The name that it gives.
        zone: String,
    },
    /// The configuration.
    #[error(transparent)]
    Read(#[from] ConfigError),
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The master key, or what it wraps.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The parties.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// The certificates.
    #[error(transparent)]
    Certificate(#[from] CertificateError),
    /// The token key.
    #[error(transparent)]
    Token(#[from] TokenError),
    /// The external issuers.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// An identity of the KDC.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// The audit key.
    #[error(transparent)]
    Audit(#[from] AuditKeyError),
    /// The rules to begin with.
    #[error(transparent)]
    Rule(#[from] RuleError),
    /// A token cannot be made as asked.
    #[error(transparent)]
    Admin(#[from] AdminError),
    /// What is remembered of revocations.
    #[error(transparent)]
    Watermark(#[from] WatermarkError),
    /// The server's certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}
