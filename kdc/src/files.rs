//! Writing files so that they are whole or not there, and never somebody else's.

use std::fs::{self, File, Metadata, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};

/// Writes a file that must not exist, with these permissions, and makes it durable.
///
/// # Errors
/// What the system says; `AlreadyExists` when there is one. A file that could not be written whole is removed.
pub fn write_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    if let Err(error) = file.write_all(content).and_then(|()| file.sync_all()) {
        let _ = fs::remove_file(path);
        return Err(error);
    }
    sync_folder(path)
}

/// As [`write_new`], but the file has its name only once it is whole and durable: a crash leaves no part of it there.
///
/// # Errors
/// As [`write_new`].
pub fn put_new(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let new = beside(path, ".keycell-new");
    // What a crash has left.
    match fs::remove_file(&new) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    write_new(&new, content, mode)?;
    let put = renameat_with(CWD, &new, CWD, path, RenameFlags::NOREPLACE).map_err(io::Error::from);
    put.inspect_err(|_| drop(fs::remove_file(&new)))?;
    sync_folder(path)
}

/// Writes a file in the place of the one that may be there: a reader sees the old or the new one, never a part.
///
/// # Errors
/// What the system says; then the old file is as it was.
pub fn replace(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    // Root may do this for the user who serves: the file stays whose it was.
    let owner = fs::symlink_metadata(path).ok().filter(Metadata::is_file);
    replace_as(path, content, mode, owner.as_ref())
}

/// As [`replace`], and gives the file to the owner of another one, if one is named.
///
/// # Errors
/// As [`replace`].
pub fn replace_as(path: &Path, content: &[u8], mode: u32, owner: Option<&Metadata>) -> io::Result<()> {
    let new = beside(path, &format!(".new-{}", std::process::id()));
    let write_new = || {
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&new)?;
        let is = file.metadata()?;
        // By the open file, before it has its name: the owner of the folder could have put a link there.
        if let Some(owner) = owner.filter(|owner| (owner.uid(), owner.gid()) != (is.uid(), is.gid())) {
            fchown(&file, Some(owner.uid()), Some(owner.gid()))?;
        }
        file.set_permissions(Permissions::from_mode(mode))?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&new, path)?;
        sync_folder(path)
    };
    write_new().inspect_err(|_| drop(fs::remove_file(&new)))
}

/// Sees that a file could be made at `path`, before something is done that only that file would keep.
///
/// # Errors
/// What the system says.
pub fn can_make(path: &Path) -> io::Result<()> {
    let trial = beside(path, &format!(".trial-{}", std::process::id()));
    write_new(&trial, b"", 0o600)?;
    fs::remove_file(&trial)
}

fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    path.with_file_name(name)
}

/// Makes durable what the folder of `path` says of it.
pub(crate) fn sync_folder(path: &Path) -> io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_new_file_is_private_and_never_overwrites() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        write_new(&path, b"one", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(write_new(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(put_new(&path, b"two", 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        replace(&path, b"two", 0o600).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"two");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_new_file_is_put_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        // A try that was killed has left a part of it.
        fs::write(folder.path().join("file.keycell-new"), b"o").unwrap();
        put_new(&path, b"one", 0o600).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert_eq!(fs::read(&path).unwrap(), b"one");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }
}
