//! What is written to an identity: HPKE (RFC 9180) in base mode, with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305. `info` says
//! what is written and to whom.

use hpke::aead::{AeadCtxR, AeadCtxS, ChaCha20Poly1305};
use hpke::kdf::HkdfSha256;
use hpke::{HpkeError, OpModeR, OpModeS};
use rand_core::CryptoRng;

use super::{Encapsulated, IdentitySecret, XWing};
use crate::bundle::IdentityEncryptionKey;

/// Begins what is written to the identity.
pub(crate) fn sender(
    to: &IdentityEncryptionKey,
    info: &[u8],
    rng: &mut impl CryptoRng,
) -> Result<(Encapsulated, Sender), HpkeError> {
    hpke::setup_sender_with_rng(&OpModeS::Base, to, info, rng)
}

/// Begins to read what was written to the identity.
pub(crate) fn receiver(
    secret: &IdentitySecret,
    encapsulated: &Encapsulated,
    info: &[u8],
) -> Result<Receiver, HpkeError> {
    hpke::setup_receiver(&OpModeR::Base, secret, encapsulated, info)
}

pub(crate) type Sender = AeadCtxS<ChaCha20Poly1305, HkdfSha256, XWing>;
pub(crate) type Receiver = AeadCtxR<ChaCha20Poly1305, HkdfSha256, XWing>;
