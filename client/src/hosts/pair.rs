//! A host's pair of keys on disk.

use std::fs::File;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{AuthorKey, AuthorPublicKey, Fingerprint, HostName, ServiceName, Zone};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::HostStoreError;
use super::folder::{self, For, Turn};

/// Where the files of a service on a host are.
#[derive(Clone)]
pub(super) struct Paths {
    pub(super) public: PathBuf,
    pub(super) seed: PathBuf,
    pub(super) key: PathBuf,
}

/// The public half of a host's pair, for whoever is to compare fingerprints.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Public {
    pub(super) zone: Zone,
    pub(super) service: ServiceName,
    pub(super) host: HostName,
    pub(super) public_key: AuthorPublicKey,
    pub(super) fingerprint: Fingerprint,
}

impl Public {
    pub(super) fn to_json(&self) -> Vec<u8> {
        // Strings only: there is nothing that JSON could not say.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }
}

/// Makes the secret half of a pair; what another process made first is the one.
pub(super) fn make_seed(path: &Path, turn: &Turn) -> Result<File, HostStoreError> {
    let key = AuthorKey::generate(&mut crate::system_rng());
    let mut line = Zeroizing::new([b'\n'; SEED_LINE]);
    // 32 bytes are 43 of base64url, and one is left for the end of the line.
    let _ = URL_SAFE_NO_PAD.encode_slice(key.expose_secret(), &mut *line);
    turn.write_new(path, &*line, For::Owner)?;
    folder::open(path, For::Owner)?.ok_or_else(|| HostStoreError::Read {
        path: path.to_owned(),
        error: std::io::ErrorKind::NotFound.into(),
    })
}

/// Reads it.
pub(super) fn read_seed(file: &File, path: &Path) -> Result<AuthorKey, HostStoreError> {
    let line = folder::read(file, path, SEED_LINE as u64)?;
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    let mut seed = Zeroizing::new([0; AuthorKey::SIZE]);
    match URL_SAFE_NO_PAD.decode_slice(text, &mut *seed) {
        Ok(AuthorKey::SIZE) => Ok(AuthorKey::new(&seed)),
        _ => Err(HostStoreError::Form {
            path: path.to_owned(),
            what: "it is not 32 bytes in base64url".to_owned(),
        }),
    }
}

/// Keeps other processes from using it.
pub(super) fn lock(file: &File, path: &Path) -> Result<(), HostStoreError> {
    match flock(file, FlockOperation::NonBlockingLockExclusive) {
        Ok(()) => Ok(()),
        Err(Errno::WOULDBLOCK) => Err(HostStoreError::InUse { path: path.to_owned() }),
        Err(error) => Err(HostStoreError::Read { path: path.to_owned(), error: error.into() }),
    }
}

/// 43 characters and the end of the line.
const SEED_LINE: usize = 44;
/// The longest public half.
pub(super) const MAX_PUBLIC: u64 = 4096;
