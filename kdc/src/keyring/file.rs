//! The master key's file: who may read it, and how a new one comes to be on the disk.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use zeroize::Zeroizing;

use super::KeyringError;

/// How strictly a file's permissions are looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Guard {
    /// Only this process's user may use it.
    Owner,
    /// Any but everybody: systemd grants a credential by an access list, which shows as a group's permissions, and
    /// keeps the folder closed.
    Systemd,
}

pub(super) fn read(path: &Path, guard: Guard) -> Result<Zeroizing<String>, KeyringError> {
    let failed = |source| KeyringError::File { path: path.to_owned(), source };
    let file = File::open(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => KeyringError::Missing { place: path.display().to_string() },
        _ => failed(error),
    })?;
    // The permissions of the file that is open, not of what has its name by now.
    let metadata = file.metadata().map_err(failed)?;
    let (mode, owner) = (metadata.mode() & 0o7777, metadata.uid());
    let uid = rustix::process::geteuid().as_raw();
    let others = if guard == Guard::Owner { 0o177 } else { 0o007 };
    if mode & others != 0 {
        return Err(KeyringError::Loose { path: path.to_owned(), mode });
    }
    if guard == Guard::Owner && owner != uid {
        return Err(KeyringError::Owner { path: path.to_owned(), owner, uid });
    }
    // Room for all of it: a buffer that grew would leave copies behind.
    let mut text = Zeroizing::new(String::with_capacity(LONGEST));
    match file.take(LONGEST as u64).read_to_string(&mut text) {
        Ok(_) => Ok(text),
        Err(error) if error.kind() == io::ErrorKind::InvalidData => {
            Err(KeyringError::Form { place: path.display().to_string() })
        }
        Err(error) => Err(failed(error)),
    }
}

pub(super) fn write_new(path: &Path, text: &[u8]) -> Result<(), KeyringError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => KeyringError::Exists { path: path.to_owned() },
        _ => KeyringError::File { path: path.to_owned(), source },
    };
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let written = file.write_all(text).and_then(|()| file.sync_all()).and_then(|()| {
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
        File::open(folder.unwrap_or(Path::new(".")))?.sync_all()
    });
    written.map_err(|error| {
        // Half a key is worse than none: it would be in the way of the next attempt.
        let _ = std::fs::remove_file(path);
        failed(error)
    })
}

const LONGEST: usize = 256;
