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

/// Gives a master key file another text: whoever reads it sees the old or the new one, whole, and a crash leaves one of
/// them. Two that do it at once follow each other: none overwrites a key that the other has just put there.
pub(super) fn edit(
    path: &Path,
    change: impl FnOnce(&str) -> Result<Option<Zeroizing<String>>, KeyringError>,
) -> Result<(), KeyringError> {
    let failed = |source| KeyringError::File { path: path.to_owned(), source };
    // A link stays one, and what it leads to is changed.
    let path = &path.canonicalize().map_err(failed)?;
    let folder = path.parent().unwrap_or(Path::new("/"));
    let lock = File::open(folder).map_err(failed)?;
    lock.lock().map_err(failed)?;
    let text = read(path, Guard::Owner)?;
    let Some(text) = change(&text)? else { return Ok(()) };
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    let new = folder.join(name);
    // What an attempt that was killed has left: nobody else is here.
    match std::fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    write_new(&new, text.as_bytes())?;
    let done = std::fs::rename(&new, path).and_then(|()| lock.sync_all());
    done.map_err(|error| {
        let _ = std::fs::remove_file(&new);
        failed(error)
    })
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

/// Of a file: room for far more versions than anybody keeps.
const LONGEST: usize = 16 * 1024;
