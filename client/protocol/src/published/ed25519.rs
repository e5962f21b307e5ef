//! Ed25519: what is signed, and what is refused.

use ed25519_dalek::{Signer as _, SigningKey};
use serde::Deserialize;

use super::{Counts, Hex, vectors};
use crate::author::AuthorKey;
use crate::signer;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SignVector {
    id: String,
    seed: Hex,
    public: Hex,
    message: Hex,
    signature: Hex,
}

/// Signing is the crate's; the public half and the strict check are ours.
pub(super) fn sign(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<SignVector>(text) {
        let (public, signature) = (v.public.array(), v.signature.array());
        assert_eq!(AuthorKey::new(&v.seed.array()).public().as_bytes(), &public, "{}", v.id);
        let signed = SigningKey::from_bytes(&v.seed.array()).sign(&v.message.0);
        assert_eq!(signed.to_bytes(), signature, "{}", v.id);
        assert!(signer::verify(&public, &v.message.0, &signature), "{}", v.id);
        for at in 0..64 {
            let mut changed = signature;
            changed[at] ^= 1;
            assert!(!signer::verify(&public, &v.message.0, &changed), "{} with byte {at} changed", v.id);
        }
        for at in 0..32 {
            let mut changed = public;
            changed[at] ^= 1;
            assert!(!signer::verify(&changed, &v.message.0, &signature), "{} under another key", v.id);
        }
        assert!(!signer::verify(&public, &[&v.message.0[..], b"!"].concat(), &signature), "{}", v.id);
        counts.accepted += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct VerifyVector {
    id: String,
    public: Hex,
    message: Hex,
    signature: Hex,
    valid: bool,
}

pub(super) fn verify(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<VerifyVector>(text) {
        let Ok(signature) = v.signature.0.as_slice().try_into() else {
            assert!(!v.valid, "{}", v.id);
            counts.not_expressible += 1;
            continue;
        };
        assert_eq!(signer::verify(&v.public.array(), &v.message.0, signature), v.valid, "{}", v.id);
        *if v.valid { &mut counts.accepted } else { &mut counts.refused } += 1;
    }
    counts
}

/// What is special about A, the public key, and R, the first half of the signature.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum Flag {
    #[serde(rename = "low_order_A")]
    LowOrderA,
    #[serde(rename = "low_order_R")]
    LowOrderR,
    #[serde(rename = "low_order_component_A")]
    LowOrderComponentA,
    #[serde(rename = "low_order_component_R")]
    LowOrderComponentR,
    /// It holds only where both sides are multiplied by the cofactor.
    LowOrderResidue,
    #[serde(rename = "non_canonical_A")]
    NonCanonicalA,
    #[serde(rename = "non_canonical_R")]
    NonCanonicalR,
    /// What is hashed is another spelling than what is shown.
    ReencodedK,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PointsVector {
    id: String,
    public: Hex,
    message: Hex,
    signature: Hex,
    flags: Vec<Flag>,
}

/// RFC 8032 leaves open what becomes of most of these. Here a point may have a part of small order, which only who holds
/// the key can give it, and everything else is refused.
pub(super) fn points(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<PointsVector>(text) {
        let good =
            v.flags.iter().all(|flag| matches!(flag, Flag::LowOrderComponentA | Flag::LowOrderComponentR));
        let holds = signer::verify(&v.public.array(), &v.message.0, &v.signature.array());
        assert_eq!(holds, good, "{}", v.id);
        *if good { &mut counts.accepted } else { &mut counts.refused } += 1;
    }
    counts
}
