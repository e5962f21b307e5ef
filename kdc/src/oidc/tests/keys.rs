//! Which keys of a set are used.

use super::*;
use crate::oidc::Algorithm;
use crate::oidc::keys::KeySet;

fn count(key: &Value) -> usize {
    KeySet::parse(json!({ "keys": [key] }).to_string().as_bytes()).unwrap().len()
}

#[test]
fn a_key_that_cannot_check_signatures_is_left_out() {
    let (rsa, ec, ed) = (Signer::rsa().jwk("k"), Signer::p256().jwk("k"), Signer::ed25519().jwk("k"));
    for key in [&rsa, &ec, &ed] {
        assert_eq!(count(key), 1, "{key}");
    }
    let but = |key: &Value, name: &str, value: Value| {
        let mut key = key.clone();
        key[name] = value;
        key
    };
    for good in [
        but(&rsa, "use", json!("sig")),
        but(&rsa, "key_ops", json!(["verify"])),
        but(&rsa, "alg", json!("RS256")),
        but(&rsa, "x5t", json!("whatever")),
    ] {
        assert_eq!(count(&good), 1, "{good}");
    }
    for bad in [
        json!({ "kty": "oct", "kid": "k", "alg": "HS256", "k": encode([7; 32]) }),
        json!("a text"),
        but(&rsa, "use", json!("enc")),
        but(&rsa, "key_ops", json!(["sign"])),
        but(&rsa, "alg", json!("RSA-OAEP")),
        but(&rsa, "alg", json!("HS256")),
        but(&rsa, "kid", Value::Null),
        but(&rsa, "kid", json!("")),
        but(&rsa, "kty", json!("oct")),
        but(&rsa, "kty", json!("EC")),
        but(&rsa, "e", Value::Null),
        but(&rsa, "n", json!("not base64!")),
        but(&rsa, "n", json!(encode([0xff; 128]))),
        but(&rsa, "n", json!(encode([&[0; 200][..], &[0xff; 128]].concat()))),
        but(&rsa, "n", json!(encode([&[0x7f][..], &[0xff; 255]].concat()))),
        but(&rsa, "n", json!(encode([0xff; 1025]))),
        but(&ec, "crv", json!("P-384")),
        but(&ec, "crv", json!("secp256k1")),
        but(&ec, "x", json!(encode([1; 31]))),
        but(&ec, "y", Value::Null),
        but(&ed, "crv", json!("X25519")),
        but(&ed, "x", json!(encode([1; 33]))),
    ] {
        assert_eq!(count(&bad), 0, "{bad}");
    }
}

#[test]
fn a_bad_key_does_not_spoil_the_others() {
    let keys = json!({ "keys": [{ "kty": 7 }, Signer::ed25519().jwk("good"), null] });
    let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    assert!(set.find("good", Algorithm::EdDSA).is_some());
    assert!(set.find("good", Algorithm::ES256).is_none());
    for broken in ["", "[]", "{}", r#"{"keys":{}}"#] {
        assert!(matches!(KeySet::parse(broken.as_bytes()), Err(FetchError::Keys)), "{broken}");
    }
}

#[test]
fn two_keys_of_one_name_are_told_apart_by_their_kind() {
    let keys = json!({ "keys": [Signer::rsa().jwk("k"), Signer::p256().jwk("k")] });
    let set = KeySet::parse(keys.to_string().as_bytes()).unwrap();
    for algorithm in [Algorithm::RS256, Algorithm::ES256] {
        assert!(set.find("k", algorithm).is_some(), "{algorithm:?}");
    }
    assert!(set.find("k", Algorithm::EdDSA).is_none());
}
