//! Who vouches for authors: the signing keys of a zone's KDC (docs/protocol.md §9, §10).

mod trusted;

use core::fmt;

use ed25519_dalek::{Signature, VerifyingKey};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::codec;
use crate::name::{Name, Zone};

pub use trusted::{TrustedSigners, TrustedSignersError, ZoneSigners};

/// The public half of a KDC identity's signing key: Ed25519, 32 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct SignerKey(#[serde(with = "codec::b64")] [u8; Self::SIZE]);

impl SignerKey {
    /// Its length in bytes.
    pub const SIZE: usize = 32;

    /// A key as it was published.
    #[must_use]
    pub const fn new(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }

    /// How a voucher names it: the first 8 bytes of its SHA-256.
    #[must_use]
    pub fn id(&self) -> SignerId {
        let hash: [u8; 32] = Sha256::digest(self.0).into();
        let mut id = [0; SignerId::SIZE];
        id.copy_from_slice(hash.split_at(SignerId::SIZE).0);
        SignerId(id)
    }

    pub(crate) fn verify(&self, message: &[u8], signature: &[u8; 64]) -> bool {
        verify(&self.0, message, signature)
    }
}

impl fmt::Debug for SignerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SignerKey({:?})", self.id())
    }
}

/// Which signing key made a voucher: 8 bytes.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SignerId([u8; Self::SIZE]);

impl SignerId {
    /// Its length in bytes.
    pub const SIZE: usize = 8;

    pub(crate) const fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl fmt::Debug for SignerId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The signing keys of zones, each good for the names of its own zone only.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Signers(Vec<(Zone, SignerKey)>);

impl Signers {
    /// None: nobody is vouched for.
    #[must_use]
    pub const fn new() -> Self {
        Self(Vec::new())
    }

    /// Takes these keys for the zone, and no others.
    pub fn set(&mut self, zone: &Zone, keys: &[SignerKey]) {
        self.0.retain(|(known, _)| known != zone);
        self.0.extend(keys.iter().map(|key| (zone.clone(), *key)));
    }

    /// The keys of the zone.
    pub fn of(&self, zone: &Zone) -> impl Iterator<Item = &SignerKey> {
        self.0.iter().filter(move |(known, _)| known == zone).map(|(_, key)| key)
    }

    /// Whether there is none.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The key of that id that may vouch for `name`.
    pub(crate) fn find(&self, id: SignerId, name: &Name) -> Option<&SignerKey> {
        self.0
            .iter()
            .filter(|(zone, _)| zone.as_str() == name.zone())
            .map(|(_, key)| key)
            .find(|key| key.id() == id)
    }
}

/// Ed25519 as strictly as it goes: nothing of small order, one spelling of each key and of each signature.
pub(crate) fn verify(public: &[u8; 32], message: &[u8], signature: &[u8; 64]) -> bool {
    canonical(public)
        && VerifyingKey::from_bytes(public)
            .is_ok_and(|key| key.verify_strict(message, &Signature::from_bytes(signature)).is_ok())
}

/// Whether the point's y, what is left without the sign of x, is below 2^255 - 19. The other way to write a point twice,
/// a sign for x = 0, is open to points of small order only, which are refused anyway.
fn canonical(public: &[u8; 32]) -> bool {
    let [low, middle @ .., high] = public;
    *low < 0xed || high & 0x7f != 0x7f || middle.iter().any(|byte| *byte != 0xff)
}

#[cfg(test)]
mod tests;
