//! A folder that one user alone has, and its files: read only if nobody else could have written them, written as a whole
//! or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, OFlags, flock};
use zeroize::Zeroizing;

use super::HostStoreError;
use crate::keyfile;

/// What others may do with a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum For {
    /// Read it.
    Everybody,
    /// Nothing.
    Owner,
}

impl For {
    const fn mode(self) -> u32 {
        match self {
            Self::Everybody => 0o644,
            Self::Owner => 0o600,
        }
    }
}

/// The folder.
#[derive(Debug, Clone)]
pub(super) struct Folder(PathBuf);

impl Folder {
    /// Opens it, and makes it if there is none.
    pub(super) fn open(path: &Path) -> Result<Self, HostStoreError> {
        let failed = |error| HostStoreError::Folder { path: path.to_owned(), error };
        match DirBuilder::new().mode(0o700).create(path) {
            Ok(()) => File::open(keyfile::folder(path)).and_then(|above| above.sync_all()).map_err(failed)?,
            Err(_) if path.is_dir() => {}
            Err(error) => return Err(failed(error)),
        }
        let metadata = File::open(path).and_then(|folder| folder.metadata()).map_err(failed)?;
        check(path, &metadata, 0o700)?;
        Ok(Self(path.to_owned()))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// Whether it has a file whose name ends so.
    pub(super) fn has(&self, end: &str) -> Result<bool, HostStoreError> {
        let mut entries =
            fs::read_dir(&self.0).map_err(|error| HostStoreError::Folder { path: self.0.clone(), error })?;
        Ok(entries.any(|entry| entry.is_ok_and(|entry| entry.file_name().to_string_lossy().ends_with(end))))
    }

    /// The only one who writes in it, of all processes, until the value is dropped. What others left behind when they were
    /// killed at it is gone then.
    pub(super) fn turn(&self) -> Result<Turn, HostStoreError> {
        let failed = |error| HostStoreError::Folder { path: self.0.clone(), error };
        let held = File::open(&self.0).map_err(failed)?;
        // For milliseconds, and given up by the end of a process, however that comes.
        flock(&held, FlockOperation::LockExclusive).map_err(|error| failed(error.into()))?;
        for entry in fs::read_dir(&self.0).map_err(failed)?.flatten() {
            if keyfile::is_left_over(&entry.file_name().to_string_lossy()) {
                let _ = fs::remove_file(entry.path());
            }
        }
        Ok(Turn(held))
    }
}

/// Leave to write, given to one process at a time.
pub(super) struct Turn(File);

impl Turn {
    /// Writes a file that is not there yet. `false` if there is one: it stays.
    pub(super) fn write_new(&self, path: &Path, bytes: &[u8], whom: For) -> Result<bool, HostStoreError> {
        match keyfile::write_new(path, bytes, whom.mode()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(HostStoreError::Write { path: path.to_owned(), error }),
        }
    }

    /// Writes a file, in the place of one that may be there.
    pub(super) fn replace(&self, path: &Path, bytes: &[u8], whom: For) -> Result<(), HostStoreError> {
        let written = keyfile::write_over(path, bytes, whom.mode());
        written.map_err(|error| HostStoreError::Write { path: path.to_owned(), error })
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        // Closing is not enough while a child process that is just being made has it open too.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

/// Opens a file of the folder; `None` if there is none. A link is not followed, and a pipe not waited for.
pub(super) fn open(path: &Path, whom: For) -> Result<Option<File>, HostStoreError> {
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK;
    let file = OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path);
    let file = match file {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(_) if path.symlink_metadata().is_ok_and(|found| !found.is_file()) => {
            return Err(HostStoreError::NotAFile { path: path.to_owned() });
        }
        // What is refused for its mode can be mended.
        Err(error) => return Err(HostStoreError::Read { path: path.to_owned(), error }),
    };
    let metadata = file.metadata().map_err(|error| HostStoreError::Read { path: path.to_owned(), error })?;
    if !metadata.is_file() {
        return Err(HostStoreError::NotAFile { path: path.to_owned() });
    }
    check(path, &metadata, whom.mode())?;
    Ok(Some(file))
}

/// Reads an opened file of at most `max` bytes.
pub(super) fn read(mut file: &File, path: &Path, max: u64) -> Result<Zeroizing<Vec<u8>>, HostStoreError> {
    let failed = |error| HostStoreError::Read { path: path.to_owned(), error };
    let length = file.metadata().map_err(failed)?.len();
    if length > max {
        let what = format!("it is longer than {max} bytes");
        return Err(HostStoreError::Form { path: path.to_owned(), what });
    }
    // Room for all of it, so that no half-read buffer with a secret in it is left behind.
    let mut bytes = Zeroizing::new(Vec::with_capacity(length as usize + 1));
    file.by_ref().take(max).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}

/// The owner is this user, and others may do no more than `mend` says.
fn check(path: &Path, metadata: &fs::Metadata, mend: u32) -> Result<(), HostStoreError> {
    let path = path.to_owned();
    let me = rustix::process::geteuid().as_raw();
    if metadata.uid() != me {
        return Err(HostStoreError::Owner { path, owner: metadata.uid(), me });
    }
    let mode = metadata.mode() & 0o7777;
    if mode & 0o077 & !mend != 0 {
        return Err(HostStoreError::Mode { path, mode, mend });
    }
    Ok(())
}
