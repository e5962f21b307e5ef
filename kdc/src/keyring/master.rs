//! The master key: what wraps every secret in the database.

use std::fmt;
use std::path::Path;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead, KeyInit, Payload};
use chacha20poly1305::{XChaCha20Poly1305, XNonce};
use rand_core::CryptoRng;
use zeroize::{Zeroize, ZeroizeOnDrop, Zeroizing};

use super::{KeyringError, RowBinding, file};
use crate::store::{Document, Kind};

/// 32 secret bytes and their version. Erased when dropped.
#[derive(Zeroize, ZeroizeOnDrop)]
pub struct MasterKey {
    #[zeroize(skip)]
    version: u32,
    secret: [u8; 32],
}

impl MasterKey {
    /// A fresh key.
    pub fn generate(version: u32, rng: &mut impl CryptoRng) -> Self {
        let mut key = Self { version, secret: [0; 32] };
        rng.fill_bytes(&mut key.secret);
        key
    }

    /// Its version.
    #[must_use]
    pub const fn version(&self) -> u32 {
        self.version
    }

    /// Writes it to a new file with mode 0600, and returns when the file is on the disk.
    ///
    /// # Errors
    /// [`KeyringError::Exists`] and [`KeyringError::File`].
    pub fn write_new(&self, path: &Path) -> Result<(), KeyringError> {
        file::write_new(path, self.text().as_bytes())
    }

    /// Reads the one-line text form; `place` is where it was found, for the error.
    pub(super) fn parse(text: &str, place: &str) -> Result<Self, KeyringError> {
        let form = || KeyringError::Form { place: place.to_owned() };
        let text = text.strip_suffix('\n').unwrap_or(text);
        let (version, encoded) =
            text.strip_prefix(PREFIX).and_then(|rest| rest.split_once(':')).ok_or_else(form)?;
        if !version.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(form());
        }
        let mut key = Self { version: version.parse().map_err(|_| form())?, secret: [0; 32] };
        match URL_SAFE_NO_PAD.decode_slice(encoded, &mut key.secret) {
            Ok(32) => Ok(key),
            _ => Err(form()),
        }
    }

    /// Seals a document under this key, whichever is active.
    pub(super) fn seal_document(
        &self,
        kind: Kind,
        id: String,
        revision: u64,
        body: String,
        rng: &mut impl CryptoRng,
    ) -> Document {
        let binding = RowBinding::Document { kind: kind.as_str(), id: &id, revision, body: &body };
        let sealed = self.wrap(&binding, b"", rng);
        Document { kind, id, revision, body, master_version: self.version, sealed }
    }

    /// Version and key, as shares hold them.
    pub(super) fn to_bytes(&self) -> Zeroizing<[u8; 36]> {
        let mut bytes = Zeroizing::new([0; 36]);
        let (version, secret) = bytes.split_at_mut(4);
        version.copy_from_slice(&self.version.to_be_bytes());
        secret.copy_from_slice(&self.secret);
        bytes
    }

    /// What [`to_bytes`](Self::to_bytes) gave.
    pub(super) fn from_bytes(bytes: &[u8; 36]) -> Self {
        let (version, secret) = bytes.split_at(4);
        let mut key = Self { version: 0, secret: [0; 32] };
        key.version = version.iter().fold(0, |version, byte| version << 8 | u32::from(*byte));
        key.secret.copy_from_slice(secret);
        key
    }

    /// Wraps `secret` for the row `binding`.
    pub(super) fn wrap(&self, binding: &RowBinding<'_>, secret: &[u8], rng: &mut impl CryptoRng) -> Vec<u8> {
        let mut nonce = [0; NONCE];
        rng.fill_bytes(&mut nonce);
        let header = header(self.version);
        let sealed = self.seal(&header, &nonce, binding, secret);
        let mut wrapped = Vec::with_capacity(HEADER + NONCE + sealed.len());
        wrapped.extend_from_slice(&header);
        wrapped.extend_from_slice(&nonce);
        wrapped.extend_from_slice(&sealed);
        wrapped
    }

    /// Unwraps what [`wrap`](Self::wrap) made for the same row; `version` is what the row says of the master key.
    pub(super) fn unwrap(
        &self,
        binding: &RowBinding<'_>,
        version: u32,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let damaged = || KeyringError::Damaged { row: binding.to_string() };
        let (found, rest) = wrapped.split_first_chunk::<HEADER>().ok_or_else(damaged)?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>().ok_or_else(damaged)?;
        // Which key a row is under is said twice, in its column and in its bytes: both must say this one.
        if *found != header(version) || version != self.version {
            return Err(damaged());
        }
        let aad = binding.associated_data(found);
        XChaCha20Poly1305::new((&self.secret).into())
            .decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: &aad })
            .map(Zeroizing::new)
            .map_err(|_| damaged())
    }

    /// Whether `wrapped` has the form of a secret of `size` bytes under a master key of `version`.
    pub(super) fn has_form(wrapped: &[u8], version: u32, size: usize) -> bool {
        wrapped.starts_with(&header(version)) && wrapped.len() == HEADER + NONCE + size + TAG
    }

    #[expect(
        clippy::expect_used,
        reason = "a secret is far shorter than XChaCha20-Poly1305's limit of 2^38 bytes"
    )]
    fn seal(&self, header: &[u8], nonce: &[u8; NONCE], binding: &RowBinding<'_>, secret: &[u8]) -> Vec<u8> {
        let aad = binding.associated_data(header);
        XChaCha20Poly1305::new((&self.secret).into())
            .encrypt(&XNonce::from(*nonce), Payload { msg: secret, aad: &aad })
            .expect("short enough")
    }

    /// The text form: one line.
    #[must_use]
    pub fn text(&self) -> Zeroizing<String> {
        let mut encoded = Zeroizing::new([0; 43]);
        let _ = URL_SAFE_NO_PAD.encode_slice(self.secret, encoded.as_mut_slice());
        let encoded = core::str::from_utf8(encoded.as_slice()).unwrap_or_default();
        // Room for all of it, so that no half-written copy is left behind by growing.
        let mut text = Zeroizing::new(String::with_capacity(128));
        for part in [PREFIX, &self.version.to_string(), ":", encoded, "\n"] {
            text.push_str(part);
        }
        text
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { version, secret: _ } = self;
        f.debug_struct("MasterKey").field("version", version).finish_non_exhaustive()
    }
}

fn header(version: u32) -> [u8; HEADER] {
    let [a, b, c, d] = version.to_be_bytes();
    [VERSION, a, b, c, d]
}

const PREFIX: &str = "keycell-master-key-1:";
const VERSION: u8 = 1;
const HEADER: usize = 5;
const NONCE: usize = 24;
const TAG: usize = 16;
