//! The zone's audit key, and what it signs.

use std::fmt;

use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair as _, UnparsedPublicKey};
use aws_lc_rs::{hkdf, hmac};
use keycell_protocol::{SignerKey, UnixMillis, Zone};
use zeroize::Zeroizing;

use super::Link;
use crate::fields::fields;
use crate::named::named;

/// Signs the audit log of one zone (Ed25519). The private key is wrapped in the database as `audit key`.
pub struct AuditKey {
    pair: Ed25519KeyPair,
    watermark: WatermarkKey,
    zone: Zone,
}

/// What authenticates the file of revocations beside the database: derived from the audit key.
#[derive(Clone)]
pub struct WatermarkKey(Zeroizing<[u8; 32]>);

impl WatermarkKey {
    /// The one that [`expose_secret`](Self::expose_secret) gave, if it is of its length.
    #[must_use]
    pub fn from_secret(secret: &[u8]) -> Option<Self> {
        secret.try_into().ok().map(|secret| Self(Zeroizing::new(secret)))
    }

    /// Its bytes, to be wrapped and kept once the identity is retired that it is of.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8] {
        &*self.0
    }

    /// The same to work with.
    #[must_use]
    pub(crate) fn mac(&self) -> hmac::Key {
        hmac::Key::new(hmac::HMAC_SHA256, &*self.0)
    }
}

impl fmt::Debug for WatermarkKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(_) = self;
        f.write_str("WatermarkKey(..)")
    }
}

impl AuditKey {
    /// A fresh key in PKCS #8, to be wrapped and kept.
    ///
    /// # Errors
    /// [`AuditKeyError`] when the machine has no randomness.
    pub fn generate() -> Result<Zeroizing<Vec<u8>>, AuditKeyError> {
        let document = Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new())
            .map_err(|_| AuditKeyError)?;
        Ok(Zeroizing::new(document.as_ref().to_vec()))
    }

    /// The key that [`generate`](Self::generate) made.
    ///
    /// # Errors
    /// [`AuditKeyError`] when it is none.
    pub fn new(pkcs8: &[u8], zone: &Zone) -> Result<Self, AuditKeyError> {
        let pair = Ed25519KeyPair::from_pkcs8(pkcs8).map_err(|_| AuditKeyError)?;
        let info = [b"keycell watermark 1", zone.as_str().as_bytes()];
        let extracted = hkdf::Salt::new(hkdf::HKDF_SHA256, b"").extract(pkcs8);
        let expanded = extracted.expand(&info, hmac::HMAC_SHA256).map_err(|_| AuditKeyError)?;
        let mut watermark = WatermarkKey(Zeroizing::new([0; 32]));
        expanded.fill(&mut *watermark.0).map_err(|_| AuditKeyError)?;
        Ok(Self { pair, watermark, zone: zone.clone() })
    }

    /// The zone whose log it signs.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The public key: 32 bytes, for whoever verifies.
    #[must_use]
    pub fn public(&self) -> &[u8] {
        self.pair.public_key().as_ref()
    }

    /// The public key as those know it who check what else this identity signs.
    #[must_use]
    pub fn signer(&self) -> SignerKey {
        // An Ed25519 public key is of 32 bytes.
        SignerKey::new(self.public().try_into().unwrap_or_default())
    }

    /// Signs something that is no seal: it begins with what it is, as a seal does (docs/decisions/0028).
    #[must_use]
    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        // An Ed25519 signature is of 64 bytes.
        self.pair.sign(message).as_ref().try_into().unwrap_or([0; 64])
    }

    /// What authenticates the file of revocations beside the database: nobody without this key writes into it.
    #[must_use]
    pub(crate) fn watermark(&self) -> WatermarkKey {
        self.watermark.clone()
    }

    /// Signs a seal of an earlier key of the zone anew: what it says stays as it is.
    #[must_use]
    pub(crate) fn seal_anew(&self, seal: &Seal) -> Seal {
        self.seal(seal.kind, seal.link, seal.at, &seal.summary)
    }

    /// Signs that the chain reached `link` at `at`.
    #[must_use]
    pub fn seal(&self, kind: SealKind, link: Link, at: UnixMillis, summary: &str) -> Seal {
        let mut seal = Seal { kind, link, at, summary: summary.to_owned(), signature: Vec::new() };
        seal.signature = self.pair.sign(&seal.signed(&self.zone)).as_ref().to_vec();
        seal
    }
}

impl fmt::Debug for AuditKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pair: _, watermark: _, zone } = self;
        f.debug_struct("AuditKey").field("zone", zone).finish_non_exhaustive()
    }
}

/// A signed statement on the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seal {
    /// What it says.
    pub kind: SealKind,
    /// Of which record.
    pub link: Link,
    /// When it was signed.
    pub at: UnixMillis,
    /// For [`SealKind::Trim`], what was removed, as JSON; else empty.
    pub summary: String,
    /// Ed25519, 64 bytes.
    pub signature: Vec<u8>,
}

impl Seal {
    /// Whether the holder of `public` signed this for `zone`.
    #[must_use]
    pub fn holds(&self, zone: &Zone, public: &[u8]) -> bool {
        UnparsedPublicKey::new(&ED25519, public).verify(&self.signed(zone), &self.signature).is_ok()
    }

    fn signed(&self, zone: &Zone) -> Vec<u8> {
        fields(&[
            b"keycell audit seal 1",
            zone.as_str().as_bytes(),
            self.kind.as_str().as_bytes(),
            &self.link.seq.to_be_bytes(),
            &self.link.hash,
            &self.at.0.to_be_bytes(),
            self.summary.as_bytes(),
        ])
    }
}

named! {
    /// What a seal says of its record.
    SealKind(UnknownSealKind, "a seal is a head, checkpoint or trim") {
        /// It is the last one. There is one such seal, renewed in every transaction.
        Head = "head",
        /// It was the last one once: tells where a rewritten chain leaves the old one.
        Checkpoint = "checkpoint",
        /// It and all before it were removed.
        Trim = "trim",
    }
}

/// The zone's audit key cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the zone's audit key cannot be used")]
pub struct AuditKeyError;
