//! X-Wing (draft-connolly-cfrg-xwing-kem-06): ML-KEM-768 and X25519 together, so that what is written to an identity stays
//! secret while either of them holds.
//!
//! ```text
//! d ‖ z ‖ sk_X = SHAKE256(seed, 96)
//! pk = ML-KEM-768.KeyGen_internal(d, z) 1184 ‖ X25519(sk_X, 9) 32
//! ct = ct_M 1088 ‖ ct_X 32
//! ss = SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ "\.//^\")
//! ```

mod context;

use core::fmt;

use hpke::kem::SharedSecret;
use hpke::{Deserializable, HpkeError, Kem, Serializable};
use hybrid_array::sizes::{U32, U1120, U1216};
use ml_kem::kem::Decapsulate as _;
use ml_kem::{B32, EncapsulateDeterministic as _, Encoded, EncodedSizeUser, KemCore, MlKem768};
use rand_core::CryptoRng;
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use sha3::{Digest as _, Sha3_256, Shake256};
use subtle::{Choice, ConstantTimeEq};
use x25519_dalek::{PublicKey, StaticSecret};
use zeroize::{Zeroize as _, Zeroizing};

use crate::bundle::IdentityEncryptionKey;

pub(crate) use context::{Receiver, Sender, receiver, sender};

/// The private half of the key that an identity is written to with: the 32 bytes that X-Wing makes both its keys of.
///
/// The keys are made once, since that is half the work of opening. Erased when dropped. It has no equality but the one of
/// constant time, and prints nothing.
#[derive(Clone)]
pub struct IdentitySecret {
    seed: Zeroizing<[u8; Self::SIZE]>,
    keys: Box<Keys>,
}

impl IdentitySecret {
    /// Its length in bytes.
    pub const SIZE: usize = 32;

    /// A secret as it was stored.
    #[must_use]
    pub fn new(seed: [u8; Self::SIZE]) -> Self {
        Self::of(Zeroizing::new(seed))
    }

    /// A fresh one.
    pub fn generate(rng: &mut impl CryptoRng) -> Self {
        let mut seed = Zeroizing::new([0; Self::SIZE]);
        rng.fill_bytes(&mut *seed);
        Self::of(seed)
    }

    /// The secret itself, for whoever wraps or stores it.
    #[must_use]
    pub fn expose_secret(&self) -> &[u8; Self::SIZE] {
        &self.seed
    }

    /// Its public half.
    #[must_use]
    pub fn public(&self) -> IdentityEncryptionKey {
        let mut public = [0; IdentityEncryptionKey::SIZE];
        let (ml_kem, x25519) = public.split_at_mut(ML_KEM_KEY);
        ml_kem.copy_from_slice(&self.keys.ml_kem.encapsulation_key().as_bytes());
        x25519.copy_from_slice(self.keys.public_x25519.as_bytes());
        IdentityEncryptionKey(public)
    }

    fn of(seed: Zeroizing<[u8; Self::SIZE]>) -> Self {
        let keys = Box::new(Keys::of(&seed));
        Self { seed, keys }
    }
}

impl fmt::Debug for IdentitySecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { seed: _, keys: _ } = self;
        f.write_str("IdentitySecret(..)")
    }
}

/// What is made of a seed. Both private keys erase themselves.
#[derive(Clone)]
struct Keys {
    ml_kem: <MlKem768 as KemCore>::DecapsulationKey,
    x25519: StaticSecret,
    public_x25519: PublicKey,
}

impl Keys {
    fn of(seed: &[u8; IdentitySecret::SIZE]) -> Self {
        let mut hash = Shake256::default();
        hash.update(seed);
        let mut expanded = hash.finalize_xof();
        let (mut d, mut z, mut x25519) = (B32::default(), B32::default(), Zeroizing::new([0; 32]));
        expanded.read(&mut d);
        expanded.read(&mut z);
        expanded.read(&mut *x25519);
        let (ml_kem, _) = MlKem768::generate_deterministic(&d, &z);
        d.as_mut_slice().zeroize();
        z.as_mut_slice().zeroize();
        let x25519 = StaticSecret::from(*x25519);
        let public_x25519 = PublicKey::from(&x25519);
        Self { ml_kem, x25519, public_x25519 }
    }
}

/// X-Wing as HPKE uses it (RFC 9180 §4; draft-ietf-hpke-pq-03 §4).
pub(crate) enum XWing {}

impl Kem for XWing {
    type PublicKey = IdentityEncryptionKey;
    type PrivateKey = IdentitySecret;
    type EncappedKey = Encapsulated;
    type NSecret = U32;
    const KEM_ID: u16 = 0x647a;

    fn sk_to_pk(secret: &IdentitySecret) -> IdentityEncryptionKey {
        secret.public()
    }

    /// `seed = SHAKE256(ikm ‖ "HPKE-v1" ‖ "KEM" ‖ KEM_ID ‖ LP16("DeriveKeyPair") ‖ u16 32, 32)`. Nothing here asks for it.
    fn derive_keypair(ikm: &[u8]) -> (IdentitySecret, IdentityEncryptionKey) {
        let mut hash = Shake256::default();
        hash.update(ikm);
        hash.update(b"HPKE-v1KEM\x64\x7a\x00\x0dDeriveKeyPair\x00\x20");
        let mut seed = Zeroizing::new([0; IdentitySecret::SIZE]);
        hash.finalize_xof().read(&mut *seed);
        let secret = IdentitySecret::of(seed);
        let public = secret.public();
        (secret, public)
    }

    fn decap(
        secret: &IdentitySecret,
        sender: Option<&IdentityEncryptionKey>,
        encapsulated: &Encapsulated,
    ) -> Result<SharedSecret<Self>, HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::DecapError);
        }
        let keys = &secret.keys;
        let (ml_kem, x25519) =
            encapsulated.0.split_first_chunk::<ML_KEM_CIPHERTEXT>().ok_or(HpkeError::DecapError)?;
        let x25519: [u8; 32] = x25519.try_into().map_err(|_| HpkeError::DecapError)?;
        let mut ml_kem = keys.ml_kem.decapsulate(&(*ml_kem).into()).map_err(|()| HpkeError::DecapError)?;
        let shared = keys.x25519.diffie_hellman(&PublicKey::from(x25519));
        let combined = combine(&ml_kem, shared.as_bytes(), &x25519, keys.public_x25519.as_bytes());
        ml_kem.as_mut_slice().zeroize();
        Ok(combined)
    }

    fn encap_with_rng(
        public: &IdentityEncryptionKey,
        sender: Option<(&IdentitySecret, &IdentityEncryptionKey)>,
        rng: &mut impl CryptoRng,
    ) -> Result<(SharedSecret<Self>, Encapsulated), HpkeError> {
        if sender.is_some() {
            return Err(HpkeError::EncapError);
        }
        let (ml_kem, x25519) = public.0.split_first_chunk::<ML_KEM_KEY>().ok_or(HpkeError::EncapError)?;
        let x25519: [u8; 32] = x25519.try_into().map_err(|_| HpkeError::EncapError)?;
        let ml_kem = ml_kem_key(ml_kem)?;

        let (mut message, mut ephemeral) = (B32::default(), Zeroizing::new([0; 32]));
        rng.fill_bytes(&mut message);
        rng.fill_bytes(&mut *ephemeral);
        let ephemeral = StaticSecret::from(*ephemeral);
        let (ciphertext, mut secret) =
            ml_kem.encapsulate_deterministic(&message).map_err(|()| HpkeError::EncapError)?;
        let sent = PublicKey::from(&ephemeral);
        let shared = ephemeral.diffie_hellman(&PublicKey::from(x25519));
        let combined = combine(&secret, shared.as_bytes(), sent.as_bytes(), &x25519);
        message.as_mut_slice().zeroize();
        secret.as_mut_slice().zeroize();

        let mut encapsulated = [0; Encapsulated::SIZE];
        let (first, last) = encapsulated.split_at_mut(ML_KEM_CIPHERTEXT);
        first.copy_from_slice(&ciphertext);
        last.copy_from_slice(sent.as_bytes());
        Ok((combined, Encapsulated(encapsulated)))
    }
}

/// A key of ML-KEM, if it is written as one is (FIPS 203 §7.2): each number below the modulus.
fn ml_kem_key(bytes: &[u8; ML_KEM_KEY]) -> Result<MlKemKey, HpkeError> {
    let encoded: Encoded<MlKemKey> = (*bytes).into();
    let key = MlKemKey::from_bytes(&encoded);
    if key.as_bytes() == encoded { Ok(key) } else { Err(HpkeError::ValidationError) }
}

fn combine(ml_kem: &[u8], x25519: &[u8; 32], sent: &[u8; 32], public: &[u8; 32]) -> SharedSecret<XWing> {
    let hash = Sha3_256::new();
    let mut hash = hash
        .chain_update(ml_kem)
        .chain_update(x25519)
        .chain_update(sent)
        .chain_update(public)
        .chain_update(LABEL)
        .finalize();
    let mut secret = SharedSecret::default();
    secret.0.copy_from_slice(&hash);
    hash[..].zeroize();
    secret
}

/// What travels to the identity, so that it knows the shared secret: `ct`.
#[derive(Clone)]
pub(crate) struct Encapsulated(pub(crate) [u8; Self::SIZE]);

impl Encapsulated {
    pub(crate) const SIZE: usize = ML_KEM_CIPHERTEXT + 32;
}

impl Serializable for Encapsulated {
    type OutputSize = U1120;

    fn write_exact(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

impl Deserializable for Encapsulated {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        exactly(bytes).map(Self)
    }
}

impl Serializable for IdentityEncryptionKey {
    type OutputSize = U1216;

    fn write_exact(&self, out: &mut [u8]) {
        out.copy_from_slice(&self.0);
    }
}

impl Deserializable for IdentityEncryptionKey {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        exactly(bytes).map(Self)
    }
}

impl Serializable for IdentitySecret {
    type OutputSize = U32;

    fn write_exact(&self, out: &mut [u8]) {
        out.copy_from_slice(&*self.seed);
    }
}

impl Deserializable for IdentitySecret {
    fn from_bytes(bytes: &[u8]) -> Result<Self, HpkeError> {
        exactly(bytes).map(Self::new)
    }
}

impl ConstantTimeEq for IdentitySecret {
    fn ct_eq(&self, other: &Self) -> Choice {
        self.seed.ct_eq(&*other.seed)
    }
}

fn exactly<const N: usize>(bytes: &[u8]) -> Result<[u8; N], HpkeError> {
    bytes.try_into().map_err(|_| HpkeError::IncorrectInputLength(N, bytes.len()))
}

type MlKemKey = <MlKem768 as KemCore>::EncapsulationKey;

const ML_KEM_KEY: usize = 1184;
const ML_KEM_CIPHERTEXT: usize = 1088;
/// The draft's label: a small picture of an X-wing.
const LABEL: &[u8; 6] = br"\.//^\";

#[cfg(test)]
mod tests;
