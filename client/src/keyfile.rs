//! The key file of one party: what a host needs, and nothing else.

mod error;
mod form;

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use keycell_protocol::{AuthorKey, LongTermKey, Name, RatchetPeriod, SignerKey, TrustedSigners, UnixSeconds};
use rand_core::Rng as _;
use zeroize::Zeroizing;

pub use error::KeyFileError;

/// A party's name, its long-term keys, and where its KDCs are.
///
/// ```text
/// {"keycell": 1, "name": "web.host1@example.com", "generation": 2, "epoch": 20439, "key": base64url of 32 bytes,
///  "ratchet_period": 86400, "urls": ["https://kdc1.example.com:7423"], "tls_roots": "-----BEGIN CERTIFICATE-----…",
///  "staged": {"generation": 3, "epoch": 20439, "key": …},
///  "retiring": [{"generation": 1, "epoch": 20439, "key": …, "until": Unix seconds, "erased": true}],
///  "author_key": base64url of 32 bytes, "signers": [base64url of 32 bytes],
///  "trusted": [{"zone": "other.example", "signers": [base64url of 32 bytes]}]}
/// ```
///
/// `staged` and `retiring` are there during a rotation only, `erased` after another enrollment, the last three as far as there are
/// any. [`KeyStore`](crate::KeyStore) keeps such a file up.
///
/// Not `Clone`: each copy of a key in memory is one more to lose. It prints no secret.
#[derive(Debug)]
#[non_exhaustive]
pub struct AgentKey {
    /// The party.
    pub name: Name,
    /// Its key: the one that is active.
    pub key: LongTermKey,
    /// How long an epoch lasts in the party's zone.
    pub ratchet_period: RatchetPeriod,
    /// Where the zone's KDCs are.
    pub kdc: KdcAddress,
    /// The next key, of a later generation: the KDC has made it and does not use it yet.
    pub staged: Option<LongTermKey>,
    /// Keys of earlier generations, for the messages that are on their way under them.
    pub retiring: Vec<RetiringKey>,
    /// What the party proves with that it wrote something.
    pub author: Option<AuthorKey>,
    /// The signing keys of the zone's KDC: whom they vouch for is believed as an author.
    pub signers: Vec<SignerKey>,
    /// Those of the zones that this one trusts, likewise.
    pub trusted: TrustedSigners,
}

/// A key that was replaced.
#[derive(Debug)]
pub struct RetiringKey {
    /// The key.
    pub key: LongTermKey,
    /// When to erase it: no message comes under it any more.
    pub until: UnixSeconds,
    /// Whether the KDC has erased it, as in a recovery: whoever still has it may be a thief. It opens messages until then, and
    /// no request is signed with it.
    pub erased: bool,
}

/// Where the KDCs of a zone are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KdcAddress {
    /// The base URLs, in the order in which they are tried, for instance `https://kdc1.example.com:7423`.
    pub urls: Vec<String>,
    /// The certificates to trust, and no others, in PEM. May be empty when no KDC is ever asked.
    pub tls_roots: String,
}

impl AgentKey {
    /// Puts one together.
    #[must_use]
    pub const fn new(name: Name, key: LongTermKey, ratchet_period: RatchetPeriod, kdc: KdcAddress) -> Self {
        Self {
            name,
            key,
            ratchet_period,
            kdc,
            staged: None,
            retiring: Vec::new(),
            author: None,
            signers: Vec::new(),
            trusted: TrustedSigners::none(),
        }
    }

    /// The same, for a party that believes these signing keys of its zone's KDC.
    #[must_use]
    pub fn with_signers(mut self, signers: Vec<SignerKey>) -> Self {
        self.signers = signers;
        self
    }

    /// Reads a key file.
    ///
    /// # Errors
    /// [`KeyFileError`], also when anybody else could read or change the file.
    pub fn load(path: impl AsRef<Path>) -> Result<Self, KeyFileError> {
        let path = path.as_ref();
        Self::read(&open(path)?, path)
    }

    /// Reads an opened key file.
    pub(crate) fn read(file: &File, path: &Path) -> Result<Self, KeyFileError> {
        let failed = |error| KeyFileError::Read { path: path.to_owned(), error };
        // The opened file is looked at, not the path: nobody can exchange it in between.
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(KeyFileError::NotAFile { path: path.to_owned() });
        }
        let me = rustix::process::geteuid().as_raw();
        if metadata.uid() != me {
            return Err(KeyFileError::Owner { path: path.to_owned(), owner: metadata.uid(), me });
        }
        if metadata.mode() & 0o077 != 0 {
            return Err(KeyFileError::Mode { path: path.to_owned(), mode: metadata.mode() & 0o7777 });
        }
        if metadata.len() > MAX_SIZE {
            return Err(KeyFileError::Form { path: path.to_owned(), what: "it is longer than 1 MiB".into() });
        }
        // Room for all of it, so that no half-read buffer with the key in it is left behind.
        let mut json = Zeroizing::new(Vec::with_capacity(metadata.len() as usize + 1));
        file.take(MAX_SIZE).read_to_end(&mut json).map_err(failed)?;
        Self::from_json(&json).map_err(|what| KeyFileError::Form { path: path.to_owned(), what })
    }

    /// Writes a key file that only its owner can read, all of it or nothing, and never over another file.
    ///
    /// # Errors
    /// [`KeyFileError::Exists`] when there is one; [`KeyFileError::Write`].
    pub fn write_new(&self, path: impl AsRef<Path>) -> Result<(), KeyFileError> {
        let path = path.as_ref();
        write_new(path, &self.to_json(), 0o600).map_err(|error| {
            if error.kind() == io::ErrorKind::AlreadyExists {
                KeyFileError::Exists { path: path.to_owned() }
            } else {
                KeyFileError::Write { path: path.to_owned(), error }
            }
        })
    }
}

/// Opens a key file to read it.
pub(crate) fn open(path: &Path) -> Result<File, KeyFileError> {
    OpenOptions::new()
        .read(true)
        // A pipe in its place would hang the agent.
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path)
        .map_err(|error| KeyFileError::Read { path: path.to_owned(), error })
}

/// Opens a key file to lock it.
pub(crate) fn open_to_lock(path: &Path) -> Result<File, KeyFileError> {
    // NFS locks only what is open for writing. Elsewhere that is not needed, and often not allowed.
    let write = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
        .open(path);
    write.or_else(|_| open(path))
}

/// A temporary file beside it, synced, then linked to its place: a link never overwrites.
pub(crate) fn write_new(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_beside(path, bytes, mode)?;
    let linked = fs::hard_link(&temporary, path);
    fs::remove_file(&temporary)?;
    linked?;
    File::open(folder(path))?.sync_all()
}

/// A temporary file beside it, synced, then put in its place, whether there is one or not.
pub(crate) fn write_over(path: &Path, bytes: &[u8], mode: u32) -> io::Result<()> {
    let temporary = write_beside(path, bytes, mode)?;
    if let Err(error) = fs::rename(&temporary, path) {
        let _ = fs::remove_file(&temporary);
        return Err(error);
    }
    File::open(folder(path))?.sync_all()
}

/// A new file beside `path`, which is on the disk when this returns.
fn write_beside(path: &Path, bytes: &[u8], mode: u32) -> io::Result<PathBuf> {
    let name = format!("{TEMPORARY}{:016x}.tmp", crate::system_rng().next_u64());
    let temporary = folder(path).join(name);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(mode).open(&temporary)?;
    match file.write_all(bytes).and_then(|()| file.sync_all()) {
        Ok(()) => Ok(temporary),
        Err(error) => {
            let _ = fs::remove_file(&temporary);
            Err(error)
        }
    }
}

/// Whether a file has a name that only one has that is being written.
pub(crate) fn is_left_over(name: &str) -> bool {
    name.strip_prefix(TEMPORARY).is_some_and(|rest| rest.len() == 20 && rest.ends_with(".tmp"))
}

/// The folder that a file is in.
pub(crate) fn folder(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

const MAX_SIZE: u64 = 1 << 20;
const TEMPORARY: &str = ".keycell-";

#[cfg(test)]
mod tests;
