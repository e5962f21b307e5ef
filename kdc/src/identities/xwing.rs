//! X-Wing (draft-connolly-cfrg-xwing-kem-06): ML-KEM-768 and X25519 together, so that what is written to an identity stays
//! secret while either of them holds.

use aws_lc_rs::agreement::{PrivateKey, X25519};
use keycell_protocol::IdentityEncryptionKey;
use ml_kem::{EncodedSizeUser as _, KemCore as _, MlKem768};
use sha3::Shake256;
use sha3::digest::{ExtendableOutput as _, Update as _, XofReader as _};
use zeroize::Zeroizing;

/// The encapsulation key of a decapsulation key (section 5.2): `d ‖ z ‖ sk_X = SHAKE256(sk, 96)`,
/// `pk = ML-KEM-768.KeyGen_internal(d, z) ‖ X25519(sk_X, 9)`. `None` where X25519 refuses.
pub(super) fn public_key(secret: &[u8; 32]) -> Option<[u8; IdentityEncryptionKey::SIZE]> {
    let mut hash = Shake256::default();
    hash.update(secret);
    let mut expanded = hash.finalize_xof();
    let mut next = || {
        let mut bytes = Zeroizing::new([0; 32]);
        expanded.read(&mut *bytes);
        bytes
    };
    let (d, z, x25519) = (next(), next(), next());
    let (_, ml_kem) = MlKem768::generate_deterministic(&(*d).into(), &(*z).into());
    let x25519 = PrivateKey::from_private_key(&X25519, &*x25519).ok()?.compute_public_key().ok()?;
    [&ml_kem.as_bytes()[..], x25519.as_ref()].concat().try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_lc_rs::digest::{SHA256, digest};

    /// The first test vector of the draft (its appendix C): the seed, and the public key by its beginning and its hash.
    #[test]
    fn the_public_key_is_that_of_the_draft() {
        let decode = |text: &str| crate::audit::hex::decode::<32>(text).unwrap();
        let seed = decode("7f9c2ba4e88f827d616045507605853ed73b8093f6efbc88eb1a6eacfa66ef26");
        let public = public_key(&seed).unwrap();
        let begins = decode("e2236b35a8c24b39b10aa1323a96a919a2ced88400633a7b07131713fc14b2b5");
        let hash = decode("2e816deebcd76c5c80d0cd2d174478871658e8e2ff42bc9d4a6e486372e856bb");
        assert_eq!(public[..32], begins);
        assert_eq!(digest(&SHA256, &public).as_ref(), hash);
        assert_ne!(public_key(&[0; 32]).unwrap(), public);
    }
}
