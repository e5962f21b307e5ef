//! Tests of X-Wing. The draft's own vectors run with the other published ones.

use super::*;
use crate::test_rng;

fn exchange(secret: &IdentitySecret) -> (SharedSecret<XWing>, Encapsulated) {
    XWing::encap_with_rng(&secret.public(), None, &mut test_rng()).unwrap()
}

#[test]
fn both_ends_hold_the_same_secret() {
    let secret = IdentitySecret::generate(&mut test_rng());
    let (shared, encapsulated) = exchange(&secret);
    assert_eq!(XWing::decap(&secret, None, &encapsulated).unwrap().0, shared.0);
    let other = IdentitySecret::new([1; 32]);
    assert_ne!(XWing::decap(&other, None, &encapsulated).unwrap().0, shared.0);
}

#[test]
fn every_bit_that_travels_counts() {
    let secret = IdentitySecret::generate(&mut test_rng());
    let (shared, encapsulated) = exchange(&secret);
    // Also the highest bit of the X25519 half, which X25519 itself does not look at: the combination does.
    for byte in (0..Encapsulated::SIZE).step_by(7).chain([1087, 1088, 1119]) {
        for bit in [0, 7] {
            let mut changed = encapsulated.clone();
            changed.0[byte] ^= 1 << bit;
            assert_ne!(
                XWing::decap(&secret, None, &changed).unwrap().0,
                shared.0,
                "bit {bit} of byte {byte}"
            );
        }
    }
}

#[test]
fn a_key_that_is_written_wrongly_is_refused() {
    let mut public = IdentitySecret::new([1; 32]).public();
    // Twelve bits that say 4,095: the modulus is 3,329.
    public.0[0] = 0xff;
    public.0[1] |= 0x0f;
    let refused = XWing::encap_with_rng(&public, None, &mut test_rng());
    assert_eq!(refused.err(), Some(HpkeError::ValidationError));
}

#[test]
fn nothing_is_authenticated_by_the_key_exchange() {
    let secret = IdentitySecret::new([1; 32]);
    let public = secret.public();
    let (_, encapsulated) = exchange(&secret);
    assert!(XWing::decap(&secret, Some(&public), &encapsulated).is_err());
    assert!(XWing::encap_with_rng(&public, Some((&secret, &public)), &mut test_rng()).is_err());
}

#[test]
fn bytes_go_both_ways() {
    let (secret, public) = XWing::derive_keypair(b"some bytes");
    assert_eq!(XWing::sk_to_pk(&secret), public);
    assert_eq!(IdentityEncryptionKey::from_bytes(&public.to_bytes()[..]), Ok(public.clone()));
    assert!(bool::from(IdentitySecret::from_bytes(&secret.to_bytes()[..]).unwrap().ct_eq(&secret)));
    assert!(!bool::from(IdentitySecret::new([1; 32]).ct_eq(&secret)));
    let (_, encapsulated) = exchange(&secret);
    assert_eq!(Encapsulated::from_bytes(&encapsulated.to_bytes()[..]).unwrap().0, encapsulated.0);
    assert!(Encapsulated::from_bytes(&encapsulated.0[1..]).is_err());
    assert!(IdentityEncryptionKey::from_bytes(&public.0[1..]).is_err());
    assert!(IdentitySecret::from_bytes(&[0; 33]).is_err());
}

#[test]
fn secrets_do_not_print() {
    assert_eq!(format!("{:?}", IdentitySecret::new([1; 32])), "IdentitySecret(..)");
}
