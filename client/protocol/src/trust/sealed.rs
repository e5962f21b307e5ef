//! A trust offer as it travels.

use core::fmt;

use rand_core::CryptoRng;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{OfferedTo, OfferingZone, TrustOffer, TrustOfferError, text};
use crate::author::SIGNATURE;
use crate::bundle::IdentityEncryptionKey;
use crate::codec::{self, base64url, from_base64url, from_object};
use crate::key::LongTermKey;
use crate::signer::SignerKey;
use crate::time::UnixSeconds;
use crate::xwing::{self, Encapsulated};

/// A trust offer as it travels: what it says, in clear, and the key that only one KDC can open.
#[derive(Clone)]
pub struct SealedTrustOffer {
    offer: TrustOffer,
    metadata: String,
    encapsulated: Encapsulated,
    sealed: [u8; SEALED],
    signature: [u8; SIGNATURE],
}

impl SealedTrustOffer {
    /// The longest text in bytes.
    pub const MAX: usize = 1 << 20;

    /// Seals a key to the identity of the other zone and signs the offer. `sign` is Ed25519 with the first identity of the
    /// bundle in it.
    ///
    /// # Errors
    /// [`TrustOfferError::Inconsistent`] when its parts, or it and the key, do not fit together,
    /// [`TrustOfferError::EncryptionKey`] when nothing can be sealed to the identity, [`TrustOfferError::Signer`] when another
    /// one signed it, [`TrustOfferError::TooLong`] when nobody could read it.
    pub fn seal(
        offer: &TrustOffer,
        key: &LongTermKey,
        to: &IdentityEncryptionKey,
        sign: impl FnOnce(&[u8]) -> [u8; 64],
        rng: &mut impl CryptoRng,
    ) -> Result<Self, TrustOfferError> {
        if !offer.is_consistent() || (key.generation(), key.epoch()) != (offer.generation, offer.epoch) {
            return Err(TrustOfferError::Inconsistent);
        }
        // Strings and numbers only: there is nothing that JSON could not say.
        let metadata = base64url(&serde_json::to_vec(offer).unwrap_or_default());
        let (encapsulated, mut context) =
            xwing::sender(to, &info(offer), rng).map_err(|_| TrustOfferError::EncryptionKey)?;
        let sealed = context.seal(key.expose_secret(), metadata.as_bytes());
        let sealed = sealed.ok().and_then(|sealed| sealed.try_into().ok());
        let sealed = sealed.ok_or(TrustOfferError::EncryptionKey)?;
        let mut this =
            Self { offer: offer.clone(), metadata, encapsulated, sealed, signature: [0; SIGNATURE] };
        this.signature = sign(&this.signed());
        this.check_signature().map_err(|_| TrustOfferError::Signer)?;
        if this.to_text().len() > Self::MAX {
            return Err(TrustOfferError::TooLong);
        }
        Ok(this)
    }

    /// Reads the text of an offer. Around it there may be other text, and within it whatever white space mail programs add.
    ///
    /// # Errors
    /// [`TrustOfferError::TooLong`], [`TrustOfferError::Malformed`], [`TrustOfferError::Several`],
    /// [`TrustOfferError::Version`], and [`TrustOfferError::Inconsistent`] when its parts do not fit together.
    pub fn parse(text: &str) -> Result<Self, TrustOfferError> {
        if text.len() > Self::MAX {
            return Err(TrustOfferError::TooLong);
        }
        let json = text::decode(text)?;
        // First of all: another version may have other fields.
        let Version { version } = from_object(&json).ok_or(TrustOfferError::Malformed)?;
        if version != VERSION {
            return Err(TrustOfferError::Version(version));
        }
        let Form { version: _, metadata, encapsulated, sealed, signature } =
            from_object(&json).ok_or(TrustOfferError::Malformed)?;
        let claims = from_base64url(&metadata).ok_or(TrustOfferError::Malformed)?;
        let offer: TrustOffer = from_object(&claims).ok_or(TrustOfferError::Malformed)?;
        if !offer.is_consistent() {
            return Err(TrustOfferError::Inconsistent);
        }
        Ok(Self { offer, metadata, encapsulated: Encapsulated(encapsulated), sealed, signature })
    }

    /// What the offer says. Nobody has proved that yet: it is for showing to an administrator, and for choosing by whom it
    /// ought to be. Once [`open`](Self::open) gave the key, it is true.
    #[must_use]
    pub const fn claims(&self) -> &TrustOffer {
        &self.offer
    }

    /// Whether the holder of `signer` made it.
    ///
    /// # Errors
    /// [`TrustOfferError::Forged`].
    pub fn verify(&self, signer: &SignerKey) -> Result<(), TrustOfferError> {
        if signer.verify(&self.signed(), &self.signature) { Ok(()) } else { Err(TrustOfferError::Forged) }
    }

    /// Opens the key, once all holds: it is for this zone and identity, now is its time, the first identity of its bundle
    /// signed it, and that bundle is the one of the zone that offers.
    ///
    /// # Errors
    /// [`TrustOfferError`]; then nothing of the offer may be used.
    pub fn open(
        &self,
        to: OfferedTo<'_>,
        by: OfferingZone<'_>,
        now: UnixSeconds,
    ) -> Result<LongTermKey, TrustOfferError> {
        let offer = &self.offer;
        if offer.to != *to.zone {
            return Err(TrustOfferError::Zone(offer.to.clone()));
        }
        if offer.identity != to.identity {
            return Err(TrustOfferError::Identity { to: offer.identity, ours: to.identity });
        }
        if offer.made_at > now.plus(TrustOffer::MAX_AHEAD) {
            return Err(TrustOfferError::Early(offer.made_at));
        }
        if offer.expires_at <= now {
            return Err(TrustOfferError::Expired(offer.expires_at));
        }
        self.check_signature()?;
        by.check(self)?;
        let opened = xwing::receiver(to.secret, &self.encapsulated, &info(offer))
            .and_then(|mut context| context.open(&self.sealed, self.metadata.as_bytes()));
        let opened = Zeroizing::new(opened.map_err(|_| TrustOfferError::AnotherKey)?);
        let secret = opened.first_chunk().ok_or(TrustOfferError::AnotherKey)?;
        Ok(LongTermKey::new(offer.generation, offer.epoch, *secret))
    }

    /// The text to pass on: lines of 64 characters between a BEGIN and an END.
    #[must_use]
    pub fn to_text(&self) -> String {
        let Self { offer: _, metadata, encapsulated, sealed, signature } = self;
        let form = Form {
            version: VERSION,
            metadata: metadata.clone(),
            encapsulated: encapsulated.0,
            sealed: *sealed,
            signature: *signature,
        };
        // Strings and numbers only: there is nothing that JSON could not say.
        text::encode(&serde_json::to_vec(&form).unwrap_or_default())
    }

    /// Whether it is by the first identity of the bundle in it.
    fn check_signature(&self) -> Result<(), TrustOfferError> {
        let first = self.offer.bundle.identities.first().ok_or(TrustOfferError::Inconsistent)?;
        self.verify(&first.signing_key)
    }

    /// All but the metadata has a length of its own, so that nothing can be taken for anything else.
    fn signed(&self) -> Vec<u8> {
        [&*info(&self.offer), b"\0", &self.encapsulated.0, &self.sealed, self.metadata.as_bytes()].concat()
    }
}

/// Sealed and signed, it is nothing but long.
impl fmt::Debug for SealedTrustOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { offer, metadata: _, encapsulated: _, sealed: _, signature: _ } = self;
        f.debug_struct("SealedTrustOffer").field("offer", offer).finish_non_exhaustive()
    }
}

/// `"keycell/1 trust offer\0" || zone || 0 || to || 0 || identity`: none of them holds a zero byte.
fn info(offer: &TrustOffer) -> Vec<u8> {
    let identity = offer.identity.to_string();
    let (zone, to) = (offer.zone.as_str().as_bytes(), offer.to.as_str().as_bytes());
    [TRUST_OFFER, zone, b"\0", to, b"\0", identity.as_bytes()].concat()
}

/// The JSON in the text.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    metadata: String,
    #[serde(with = "codec::b64")]
    encapsulated: [u8; Encapsulated::SIZE],
    #[serde(with = "codec::b64")]
    sealed: [u8; SEALED],
    #[serde(with = "codec::b64")]
    signature: [u8; SIGNATURE],
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

const VERSION: u32 = 1;
/// Begins what a KDC signs in order to offer trust, and HPKE's info.
pub(crate) const TRUST_OFFER: &[u8] = b"keycell/1 trust offer\0";
/// The key, and the tag of ChaCha20-Poly1305.
const SEALED: usize = LongTermKey::SIZE + 16;

#[cfg(test)]
mod tests;
