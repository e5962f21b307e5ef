//! Why a host's folder is not used.

use std::io;
use std::path::PathBuf;

use keycell_protocol::{SuccessionError, Zone};

use crate::keyfile::KeyFileError;

/// Why a host's folder is not used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HostStoreError {
    /// It cannot be opened or made.
    #[error("cannot use the folder {}: {error}", .path.display())]
    Folder {
        /// The folder.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file in it cannot be read.
    #[error("cannot read {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file in it cannot be written.
    #[error("cannot write {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a link, a pipe, a device, or a folder where a file is meant.
    #[error("{} is not a regular file; put the file itself there, not a link to it", .path.display())]
    NotAFile {
        /// What stands in the place of the file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "{0} belongs to user {owner}, and this program runs as {me}; run this as user {owner}, or run: chown {me} {0}",
        .path.display()
    )]
    Owner {
        /// The folder or file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        me: u32,
    },
    /// Others can do more with it than they should.
    #[error("others can read or change {0} (mode {mode:04o}); run: chmod {mend:o} {0}", .path.display())]
    Mode {
        /// The folder or file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
        /// What they should be.
        mend: u32,
    },
    /// A file says what it cannot mean.
    #[error("{} cannot be used: {what}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// The public half of a host's pair is there and the secret one is not.
    #[error(
        "the secret half {} of this host's key is missing; put it back, or remove {} to let the host come aboard as another \
         one, with another name", .seed.display(), .other.display()
    )]
    NoSeed {
        /// The file that is missing.
        seed: PathBuf,
        /// What shows that it was there.
        other: PathBuf,
    },
    /// The two halves of a host's pair are of two pairs.
    #[error(
        "{} is not the public half of {}; put back the one of the two that was changed", .public.display(), .seed.display()
    )]
    NotAPair {
        /// The public half.
        public: PathBuf,
        /// The secret one.
        seed: PathBuf,
    },
    /// Another process uses this host's key.
    #[error(
        "another process uses {} already; stop that one, or give this one a service of its own", .path.display()
    )]
    InUse {
        /// The secret half of the host's pair.
        path: PathBuf,
    },
    /// There is no bundle of the zone.
    #[error("there is no bundle of the zone {zone} in {}; fetch one with `keycell bundle` on the KDC and name it", .folder.display())]
    NoBundle {
        /// The folder.
        folder: PathBuf,
        /// The zone.
        zone: Zone,
    },
    /// A bundle names another KDC than the one that is known.
    #[error(
        "the bundle is not that of the KDC of the zone {zone} that {} is of: {why}; compare both with `keycell bundle` on the \
         KDC. If the known one is wrong, remove that file; if the zone was made anew, this host's .key file too", .path.display()
    )]
    OtherKdc {
        /// The bundle that is known.
        path: PathBuf,
        /// The zone of both.
        zone: Zone,
        /// What tells them apart.
        why: SuccessionError,
    },
    /// The host has no key yet.
    #[error("this host is not enrolled: there is no {}; run `keycell join`", .path.display())]
    NotEnrolled {
        /// The key file that is missing.
        path: PathBuf,
    },
    /// The system does not know what it is called.
    #[error(
        "this system calls itself {text:?}, which is not the name of one host; say what it is called, with --host"
    )]
    HostName {
        /// What it says.
        text: String,
    },
    /// As the key file says.
    #[error(transparent)]
    KeyFile(#[from] KeyFileError),
}
