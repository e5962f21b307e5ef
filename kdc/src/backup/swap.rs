//! Puts one SQLite file in the place of another: a crash leaves the old or the new one, never a mixture.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use keycell_protocol::UnixMillis;

use super::BackupError;
use crate::files;

/// A SQLite database that nobody else serves while this is held.
pub(super) struct Held {
    path: PathBuf,
    _lock: File,
}

impl Held {
    /// Takes the lock that a KDC holds while it serves the database at `path`.
    pub(super) fn take(path: &Path) -> Result<Self, BackupError> {
        let lock = side(path, ".lock");
        let file = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(BackupError::file(&lock))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(BackupError::Refused(format!(
                "a KDC serves {}: stop it first; nothing was changed",
                path.display()
            ))),
            Err(TryLockError::Error(error)) => Err(BackupError::file(&lock)(error)),
        }
    }

    /// Where a database is built before it takes this one's place. What an attempt that was killed has left is removed.
    pub(super) fn building(&self) -> Result<PathBuf, BackupError> {
        let path = side(&self.path, ".restoring");
        for file in with_sides(&path) {
            match fs::remove_file(&file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(BackupError::file(&file)(error));
                }
                _ => {}
            }
        }
        Ok(path)
    }

    /// Puts `new` in the place of this database, and keeps the old one beside it: says where, if there was one. `new` is one
    /// file that nobody has open; the old one has no write-ahead log that matters (see `close`), or one that goes with it.
    pub(super) fn swap(self, new: &Path, now: UnixMillis) -> Result<Option<PathBuf>, BackupError> {
        let [path, wal, shm] = with_sides(&self.path);
        File::open(new).and_then(|file| file.sync_all()).map_err(BackupError::file(new))?;
        let mut kept = None;
        if path.exists() {
            let old = side(&path, &format!(".before-restore-{}", now.0));
            // A second name, so that there is a database at every moment.
            fs::hard_link(&path, &old).map_err(BackupError::file(&old))?;
            kept = Some(old);
        }
        // A log of the old database must never be replayed into the new one. It is there only if the old one could not be
        // opened, so nothing is lost by a crash between here and the next step that was not lost before.
        for (file, suffix) in [(&wal, "-wal"), (&shm, "-shm")] {
            if !file.exists() {
                continue;
            }
            match &kept {
                Some(old) => fs::rename(file, side(old, suffix)).map_err(BackupError::file(file))?,
                None => fs::remove_file(file).map_err(BackupError::file(file))?,
            }
        }
        files::sync_folder(&path).map_err(BackupError::file(&path))?;
        fs::rename(new, &path).map_err(BackupError::file(&path))?;
        files::sync_folder(&path).map_err(BackupError::file(&path))?;
        Ok(kept)
    }
}

/// The path of the file behind a SQLite URL.
pub(super) fn sqlite(url: &str) -> Option<PathBuf> {
    let path = url.strip_prefix("sqlite:")?;
    Some(path.strip_prefix("//").unwrap_or(path).into())
}

pub(super) fn with_sides(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| side(path, suffix))
}

fn side(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}
