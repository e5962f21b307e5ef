//! Why a backup cannot be made, read or put back.

use std::io;
use std::path::PathBuf;

use crate::cell::CellError;
use crate::store::StoreError;

/// Why a backup cannot be made, read or put back.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The file is something else.
    #[error("{} is no Keycell backup", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// The file is encrypted and nothing opens it.
    #[error("{} is encrypted: name the file with the recovery identity with --identity", path.display())]
    Encrypted {
        /// The file.
        path: PathBuf,
    },
    /// The identities are not those that it is for.
    #[error("none of the identities opens {}: it was made for other recipients ({reason})", path.display())]
    Identity {
        /// The backup.
        path: PathBuf,
        /// What age says.
        reason: String,
    },
    /// The file of identities holds none.
    #[error("{} holds no identity that can be used: {reason}; `keycell backup keygen` makes one", path.display())]
    NoIdentity {
        /// The file.
        path: PathBuf,
        /// Why.
        reason: String,
    },
    /// It is of another format.
    #[error(
        "the backup is of format {found}, written by keycell {release}, and this one reads format {known}: use that release"
    )]
    Format {
        /// Its format.
        found: u64,
        /// Who wrote it.
        release: String,
        /// Ours.
        known: u32,
    },
    /// It does not say what it must.
    #[error("the backup is damaged at line {line}: {what}. Take another one; nothing was changed")]
    Damaged {
        /// The line, from 1.
        line: u64,
        /// What is wrong.
        what: String,
    },
    /// Its end is missing.
    #[error(
        "the backup was cut off after line {line}: its end is missing. Take another one; nothing was changed"
    )]
    CutOff {
        /// The last line that is there.
        line: u64,
    },
    /// What is in it does not hold.
    #[error("the backup does not hold: {what}. Take another one; nothing was changed")]
    Unsound {
        /// What is wrong.
        what: String,
    },
    /// It cannot be done as things are.
    #[error("{0}")]
    Refused(String),
    /// A file cannot be read or written.
    #[error("cannot use {}: {source}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The database.
    #[error(transparent)]
    Store(StoreError),
    /// The cell.
    #[error(transparent)]
    Cell(CellError),
}

impl BackupError {
    pub(super) fn file(path: &std::path::Path) -> impl FnOnce(io::Error) -> Self + use<> {
        let path = path.to_owned();
        move |source| Self::File { path, source }
    }
}

/// What the other side of a dump or a load said is told as it is.
impl From<StoreError> for BackupError {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Copy(inner) => match inner.downcast::<Self>() {
                Ok(own) => *own,
                Err(other) => Self::Store(StoreError::Copy(other)),
            },
            error => Self::Store(error),
        }
    }
}

impl From<CellError> for BackupError {
    fn from(error: CellError) -> Self {
        match error {
            CellError::Store(error) => error.into(),
            error => Self::Cell(error),
        }
    }
}
