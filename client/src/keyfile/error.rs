//! Why a key file is not read or written.

use std::io;
use std::path::PathBuf;

/// Why a key file is not read or written.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// It cannot be read.
    #[error("cannot read the key file {}: {error}", .path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// It is a folder, a pipe or a device.
    #[error("{} is not a regular file", .path.display())]
    NotAFile {
        /// The file.
        path: PathBuf,
    },
    /// It belongs to another user.
    #[error(
        "the key file {0} belongs to user {owner}, and this program runs as {me}; run this as user {owner}, or run: chown {me} {0}",
        .path.display()
    )]
    Owner {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        owner: u32,
        /// Who runs this.
        me: u32,
    },
    /// Others can read or change it.
    #[error("others can read or change the key file {0} (mode {mode:04o}); run: chmod 600 {0}", .path.display())]
    Mode {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// Another process keeps it up.
    #[error(
        "another process uses the key file {} already; stop that one, or give this one a party of its own", .path.display()
    )]
    InUse {
        /// The file.
        path: PathBuf,
    },
    /// Somebody put other keys into it while it was in use.
    #[error(
        "the key file {} was given other keys while this program used it, and is left as it is; start the program again", .path.display()
    )]
    Changed {
        /// The file.
        path: PathBuf,
    },
    /// It is not a key file.
    #[error("{} is not a Keycell key file: {what}", .path.display())]
    Form {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// There is a file in its place already.
    #[error("{} exists already and is not overwritten; name another file, or move that one away", .path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// It cannot be written.
    #[error("cannot write the key file {}: {error}", .path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
}
