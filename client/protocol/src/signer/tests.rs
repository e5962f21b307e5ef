use core::ops::{Add, Mul};

use super::*;
use ed25519_dalek::{Signer as _, SigningKey};

const MESSAGE: &[u8] = b"message";

/// The order of the base point, little-endian (RFC 8032 §5.1).
const ORDER: [u8; 32] = [
    0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14, 0, 0, 0,
    0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10,
];
/// The base point: y = 4/5 (RFC 8032 §5.1).
const BASE: [u8; 32] = {
    let mut base = [0x66; 32];
    base[0] = 0x58;
    base
};
/// 2^255 - 19 and so many more, which says the same as `more` alone.
const fn prime_and(more: u8) -> [u8; 32] {
    let mut bytes = [0xff; 32];
    bytes[0] = 0xed + more;
    bytes[31] = 0x7f;
    bytes
}

fn signed() -> ([u8; 32], [u8; 64]) {
    let key = SigningKey::from_bytes(&[7; 32]);
    (key.verifying_key().to_bytes(), key.sign(MESSAGE).to_bytes())
}

#[test]
fn a_signature_has_one_spelling() {
    let (public, signature) = signed();
    assert!(verify(&public, MESSAGE, &signature));
    assert!(!verify(&public, b"another", &signature));
    // S and the order of the base point: the same number to who does not look.
    let mut again = signature;
    let mut carry = 0;
    for (byte, more) in again[32..].iter_mut().zip(ORDER) {
        let sum = u16::from(*byte) + u16::from(more) + carry;
        (*byte, carry) = (sum as u8, sum >> 8);
    }
    assert!(!verify(&public, MESSAGE, &again));
    for at in 0..64 {
        let mut changed = signature;
        changed[at] ^= 1;
        assert!(!verify(&public, MESSAGE, &changed), "byte {at} does not matter");
    }
}

/// Under such a key, one signature holds for every message: R = S·B for the neutral element.
#[test]
fn keys_of_small_order_sign_nothing() {
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let mut for_all = [0; 64];
    for_all[..32].copy_from_slice(&BASE);
    for_all[32] = 1;
    let lax = |public: &[u8; 32]| {
        let key = VerifyingKey::from_bytes(public).unwrap();
        ed25519_dalek::Verifier::verify(&key, MESSAGE, &Signature::from_bytes(&for_all)).is_ok()
    };
    assert!(lax(&neutral), "a check that is not strict would take it");
    assert!(!verify(&neutral, MESSAGE, &for_all));
    assert!(lax(&prime_and(1)) && !verify(&prime_and(1), MESSAGE, &for_all));
    let mut minus_one = prime_and(0);
    minus_one[0] -= 1;
    for public in [[0; 32], minus_one, prime_and(0)] {
        assert!(!verify(&public, MESSAGE, &for_all));
    }
}

/// R is the neutral element and S = k·a: the equation of RFC 8032 §5.1.7 holds.
#[test]
fn an_r_of_small_order_is_refused() {
    let key = SigningKey::from_bytes(&[7; 32]);
    let public = key.verifying_key();
    let mut neutral = [0; 32];
    neutral[0] = 1;
    let hash = sha2::Sha512::digest([&neutral[..], public.as_bytes(), MESSAGE].concat());
    let s = (modulo(&hash, key.to_scalar()) * key.to_scalar()).to_bytes();
    let signature: [u8; 64] = [neutral, s].concat().try_into().unwrap();
    let lax = ed25519_dalek::Verifier::verify(&public, MESSAGE, &Signature::from_bytes(&signature));
    assert!(lax.is_ok(), "a check that is not strict would take it");
    assert!(!verify(public.as_bytes(), MESSAGE, &signature));
}

/// A little-endian number among the scalars, of which `_one` is one.
fn modulo<S: From<u64> + Add<Output = S> + Mul<Output = S>>(bytes: &[u8], _one: S) -> S {
    bytes.iter().rev().fold(S::from(0), |sum, byte| sum * S::from(256) + S::from(u64::from(*byte)))
}

#[test]
fn a_key_has_one_spelling() {
    for more in 0..19 {
        assert!(!canonical(&prime_and(more)));
        let mut signed = prime_and(more);
        signed[31] |= 0x80;
        assert!(!canonical(&signed));
        let mut low = [0; 32];
        low[0] = more;
        assert!(canonical(&low));
    }
    let mut largest = prime_and(0);
    largest[0] -= 1;
    assert!(canonical(&largest) && canonical(&BASE) && canonical(&signed().0));
    let decompresses = |more| VerifyingKey::from_bytes(&prime_and(more)).is_ok_and(|key| !key.is_weak());
    assert!((2..19).any(decompresses), "some of them would be taken for keys that are good");
}
