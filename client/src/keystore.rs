//! A key file that is kept up by one process.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use subtle::ConstantTimeEq as _;

use crate::keyfile::{self, AgentKey, KeyFileError};

/// A key file that this process alone keeps up, as long as this value lives.
///
/// The lock is on the file itself, so that it needs no other: it is given up by the end of the process, however that
/// comes. Reading with [`AgentKey::load`] needs no lock, and sees the file before a change or after it, never between.
#[derive(Debug)]
pub struct KeyStore {
    path: PathBuf,
    /// What the path leads to, opened and locked.
    held: File,
    stamp: Stamp,
}

impl KeyStore {
    /// Reads a key file and keeps every other process from doing the same.
    ///
    /// # Errors
    /// [`KeyFileError::InUse`] when another process has; [`KeyFileError`] as from [`AgentKey::load`].
    pub fn open(path: impl AsRef<Path>) -> Result<(Self, AgentKey), KeyFileError> {
        let path = path.as_ref().to_owned();
        for _ in 0..TRIES {
            let held = keyfile::open_to_lock(&path)?;
            lock(&held, &path)?;
            let stamp = Stamp::of(&held).map_err(|error| KeyFileError::Read { path: path.clone(), error })?;
            // The one that was opened may have been replaced before it was locked: then it is no longer the file.
            if Stamp::at(&path).is_ok_and(|there| there == stamp) {
                let key = AgentKey::read(&held, &path)?;
                let store = Self { path, held, stamp };
                store.sweep();
                return Ok((store, key));
            }
        }
        Err(KeyFileError::InUse { path })
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Puts other keys into the file: all of it or nothing, and on the disk when this returns.
    ///
    /// Whoever changed the addresses of the KDCs in it meanwhile has them kept.
    ///
    /// # Errors
    /// [`KeyFileError::Changed`] when somebody put other keys into it; [`KeyFileError::Write`], for instance when the
    /// disk is full. Either way the file is what it was.
    pub fn save(&mut self, key: &AgentKey) -> Result<(), KeyFileError> {
        let failed = |error| KeyFileError::Write { path: self.path.clone(), error };
        // A link to the file stays one.
        let target = fs::canonicalize(&self.path).map_err(failed)?;
        // Held until the new file is in place.
        let (json, _there) = match self.changed(key)? {
            None => (key.to_json(), None),
            Some((there, file)) => (key.to_json_with(&there.kdc), Some(file)),
        };
        let (held, durable) = replace(&target, &json, &self.held).map_err(failed)?;
        self.stamp = Stamp::of(&held).map_err(failed)?;
        self.held = held;
        durable.map_err(failed)
    }

    /// What is in the file by now, if it is not what this process left there; an error unless it is the same key.
    fn changed(&self, key: &AgentKey) -> Result<Option<(AgentKey, File)>, KeyFileError> {
        let path = &self.path;
        let there = Stamp::at(path).map_err(|error| KeyFileError::Read { path: path.clone(), error })?;
        if there == self.stamp {
            return Ok(None);
        }
        let file = keyfile::open_to_lock(path)?;
        if there.inode != self.stamp.inode || there.device != self.stamp.device {
            lock(&file, path)?;
        }
        let there = AgentKey::read(&file, path)?;
        let known = [Some(&key.key), key.staged.as_ref()].into_iter().flatten();
        let known = known.chain(key.retiring.iter().map(|old| &old.key));
        let mut known = known.filter(|known| known.generation() == there.key.generation());
        // Somebody may have written it from what was there some turns before.
        let is_known = known.next().is_some_and(|known| {
            let reached = there.key.clone().advance(known.epoch());
            reached.is_ok_and(|reached| reached.expose_secret().ct_eq(known.expose_secret()).into())
        });
        // An author key is registered once: another one in the file is not to be lost.
        let author = |file: &AgentKey| file.author.as_ref().map(|author| author.public());
        let is_known = is_known && (there.author.is_none() || author(&there) == author(key));
        if there.name == key.name && is_known {
            Ok(Some((there, file)))
        } else {
            Err(KeyFileError::Changed { path: path.clone() })
        }
    }

    /// Removes what an earlier process left when it was killed while saving: there are keys in it.
    fn sweep(&self) {
        if let Ok(target) = fs::canonicalize(&self.path) {
            let _ = fs::remove_file(beside(&target));
        }
    }
}

impl Drop for KeyStore {
    fn drop(&mut self) {
        // Closing is not enough while a child process that is just being made has the file open too.
        let _ = flock(&self.held, FlockOperation::Unlock);
    }
}

fn lock(file: &File, path: &Path) -> Result<(), KeyFileError> {
    let path = path.to_owned();
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(KeyFileError::InUse { path }),
        Err(error) => Err(KeyFileError::Read { path, error: error.into() }),
    }
}

/// Puts a file in the place of `old`, for which the caller holds the lock, and locks it before anybody sees it. The
/// second result tells whether it will be there after a crash.
fn replace(target: &Path, bytes: &[u8], old: &File) -> io::Result<(File, io::Result<()>)> {
    let old = old.metadata()?;
    let temporary = beside(target);
    match fs::remove_file(&temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let mut file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&temporary)?;
    let placed = flock(&file, FlockOperation::NonBlockingLockExclusive)
        .map_err(io::Error::from)
        .and_then(|()| file.write_all(bytes))
        .and_then(|()| like(&file, &old))
        .and_then(|()| file.sync_all())
        .and_then(|()| fs::rename(&temporary, target));
    if let Err(error) = placed {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    let durable = File::open(keyfile::folder(target)).and_then(|folder| folder.sync_all());
    Ok((file, durable))
}

/// Gives a file the group and the rights of another, as far as they are its owner's.
fn like(file: &File, old: &fs::Metadata) -> io::Result<()> {
    if file.metadata()?.gid() != old.gid() {
        // A group has no rights to it: worth a try, no more.
        let _ = fchown(file, None, Some(old.gid()));
    }
    file.set_permissions(Permissions::from_mode(old.mode() & 0o700))
}

/// Where a file is written before it takes the place of `target`. One name, so that what is left of it is found; nobody
/// else writes there, for the lock is held.
fn beside(target: &Path) -> PathBuf {
    let name = target.file_name().unwrap_or_default().to_string_lossy();
    keyfile::folder(target).join(format!(".{name}.keycell-new"))
}

/// Tells whether a file is the same, and was not written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    modified: (i64, i64),
    size: u64,
}

impl Stamp {
    fn of(file: &File) -> io::Result<Self> {
        file.metadata().map(|metadata| Self::from(&metadata))
    }

    fn at(path: &Path) -> io::Result<Self> {
        fs::metadata(path).map(|metadata| Self::from(&metadata))
    }
}

impl From<&fs::Metadata> for Stamp {
    fn from(metadata: &fs::Metadata) -> Self {
        Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            size: metadata.len(),
        }
    }
}

/// How often a file may be replaced by others while it is being opened.
const TRIES: u32 = 10;

#[cfg(test)]
mod tests;
