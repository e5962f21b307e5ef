//! Tests of enrollment: both ends, and everybody who is neither of them.

mod reply;

use super::keys::Address;
use super::*;
use crate::author::AuthorKey;
use crate::bundle::{Bundle, IdentityName, KdcIdentity};
use crate::key::{Epoch, Generation};
use crate::name::Zone;
use crate::request::{Instance, Nonce};
use crate::signer::SignerKey;
use crate::test_rng;
use crate::time::UnixMillis;
use crate::xwing::IdentitySecret;

fn zone() -> Zone {
    "cell1.example".parse().unwrap()
}

fn secret() -> IdentitySecret {
    IdentitySecret::new([3; 32])
}

fn identity() -> KdcIdentity {
    let signing_key = SignerKey::new([4; 32]);
    KdcIdentity { name: IdentityName::PRIMARY, signing_key, encryption_key: secret().public() }
}

fn host_key() -> AuthorKey {
    AuthorKey::new(&[5; 32])
}

fn request() -> EnrollmentRequest {
    EnrollmentRequest {
        service: "nanoprobe".parse().unwrap(),
        host: "web1.example.com".parse().unwrap(),
        public_key: host_key().public(),
        token: Some(JoinToken::generate(&mut test_rng())),
        timestamp: UnixMillis(1_766_000_000_123),
        nonce: Nonce([1; 16]),
        instance: Instance([2; 16]),
    }
}

fn sealed() -> (Vec<u8>, EnrollmentKeys) {
    request().seal(&zone(), &identity(), &host_key(), &mut test_rng()).unwrap()
}

fn same(one: &EnrollmentRequest, other: &EnrollmentRequest) -> bool {
    let text = |request: &EnrollmentRequest| request.token.as_ref().map(|token| token.to_text().to_string());
    one.name() == other.name()
        && one.public_key == other.public_key
        && text(one) == text(other)
        && one.timestamp == other.timestamp
        && (one.nonce, one.instance) == (other.nonce, other.instance)
}

fn key_bytes(keys: &EnrollmentKeys) -> [u8; 32] {
    *keys.long_term_key(Generation(1), Epoch(7)).expose_secret()
}

/// What a program that is not ours may send: this JSON, signed by that key over that address.
fn written(zone: &Zone, identity: IdentityName, key: &AuthorKey, json: &[u8]) -> SealedEnrollment {
    let (to, rng) = (secret().public(), &mut test_rng());
    let address = Address { zone: &self::zone(), identity: IdentityName::PRIMARY };
    let (encapsulated, mut context, _) = address.sender(&to, rng).unwrap();
    let signed = Address { zone, identity }.signed(&encapsulated, json);
    let plaintext = [&key.sign_enrollment(&signed)[..], json].concat();
    let sealed = crate::codec::base64url(&context.seal(&plaintext, &[]).unwrap());
    let form = serde_json::json!({
        "zone": self::zone(),
        "identity": IdentityName::PRIMARY,
        "encapsulated": crate::codec::base64url(&encapsulated.0),
        "sealed": sealed,
    });
    SealedEnrollment::parse(form.to_string().as_bytes()).unwrap()
}

fn json(token: bool) -> serde_json::Value {
    let mut json = serde_json::json!({
        "service": "nanoprobe",
        "host": "web1.example.com",
        "public_key": host_key().public(),
        "timestamp": 1_766_000_000_123_u64,
        "nonce": Nonce([1; 16]),
        "instance": Instance([2; 16]),
    });
    if token {
        json["token"] = (*JoinToken::generate(&mut test_rng()).to_text()).clone().into();
    }
    json
}

#[test]
fn both_ends_hold_the_same_keys() {
    let (body, keys) = sealed();
    let parsed = SealedEnrollment::parse(&body).unwrap();
    assert_eq!((parsed.zone(), parsed.identity()), (&zone(), IdentityName::PRIMARY));
    let (read, others) = parsed.open(&secret()).unwrap();
    assert!(same(&read, &request()));
    assert_eq!(key_bytes(&keys), key_bytes(&others));
    let key = keys.long_term_key(Generation(3), Epoch(9));
    assert_eq!((key.generation(), key.epoch()), (Generation(3), Epoch(9)));
    // A retry is the same request; sealed again it is another.
    assert_eq!(parsed.digest(), SealedEnrollment::parse(&body).unwrap().digest());
    let mut rng = test_rng();
    let mut seal = || request().seal(&zone(), &identity(), &host_key(), &mut rng).unwrap();
    let ((first, first_keys), (second, second_keys)) = (seal(), seal());
    assert_eq!(first, body);
    assert_ne!(
        SealedEnrollment::parse(&first).unwrap().digest(),
        SealedEnrollment::parse(&second).unwrap().digest()
    );
    assert_ne!(key_bytes(&first_keys), key_bytes(&second_keys));
}

#[test]
fn a_changed_byte_spoils_it() {
    let (body, _) = sealed();
    let secret = secret();
    for at in 0..body.len() {
        // Each bit of what is not a key or a ciphertext, where a bit more or less is all the same.
        let bits = if at < 60 || at % 16 == 0 { 0..8 } else { at % 8..at % 8 + 1 };
        for bit in bits {
            let mut changed = body.clone();
            changed[at] ^= 1 << bit;
            let outcome = SealedEnrollment::parse(&changed).and_then(|sealed| sealed.open(&secret));
            assert!(outcome.is_err(), "bit {bit} of byte {at} does not matter");
        }
    }
}

#[test]
fn it_is_for_one_zone_one_identity_and_one_secret() {
    let (body, _) = sealed();
    let parsed = SealedEnrollment::parse(&body).unwrap();
    assert_eq!(parsed.open(&IdentitySecret::new([9; 32])).unwrap_err(), EnrollmentError::Forged);
    let text = String::from_utf8(body).unwrap();
    for (from, to) in [("cell1.example", "cell2.example"), ("#KDC#00001", "#KDC#00002")] {
        let other = text.replacen(from, to, 1);
        let parsed = SealedEnrollment::parse(other.as_bytes()).unwrap();
        assert_eq!(parsed.open(&secret()).unwrap_err(), EnrollmentError::Forged);
    }
}

#[test]
fn only_the_holder_of_the_key_enrolls_with_it() {
    let body = json(true).to_string();
    let open = |zone: &Zone, identity, key: &AuthorKey| {
        written(zone, identity, key, body.as_bytes()).open(&secret()).map(|(request, _)| request)
    };
    assert!(same(&open(&zone(), IdentityName::PRIMARY, &host_key()).unwrap(), &request()));
    let forged = |outcome: Result<EnrollmentRequest, _>| outcome.unwrap_err() == EnrollmentError::Forged;
    assert!(forged(open(&zone(), IdentityName::PRIMARY, &AuthorKey::new(&[6; 32]))));
    // A KDC that was written to, or who stole its secret, cannot write on to another in the host's name.
    assert!(forged(open(&"cell2.example".parse().unwrap(), IdentityName::PRIMARY, &host_key())));
    assert!(forged(open(&zone(), IdentityName::SECONDARY, &host_key())));
    let other = AuthorKey::new(&[6; 32]);
    let refused = request().seal(&zone(), &identity(), &other, &mut test_rng());
    assert_eq!(refused.unwrap_err(), EnrollmentError::Forged);
}

#[test]
fn what_was_signed_for_one_encapsulation_is_not_sealed_again() {
    let address = |zone: &Zone| {
        let zone = zone.clone();
        move |rng: &mut chacha20::ChaCha20Rng| {
            let address = Address { zone: &zone, identity: IdentityName::PRIMARY };
            let (encapsulated, context, _) = address.sender(&secret().public(), rng).unwrap();
            (encapsulated, context)
        }
    };
    let (start, mut rng, json) = (address(&zone()), test_rng(), json(false).to_string());
    let ((first, _), (second, mut context)) = (start(&mut rng), start(&mut rng));
    let address = Address { zone: &zone(), identity: IdentityName::PRIMARY };
    let signature = host_key().sign_enrollment(&address.signed(&first, json.as_bytes()));
    let sealed = context.seal(&[&signature[..], json.as_bytes()].concat(), &[]).unwrap();
    let form = serde_json::json!({
        "zone": zone(),
        "identity": IdentityName::PRIMARY,
        "encapsulated": crate::codec::base64url(&second.0),
        "sealed": crate::codec::base64url(&sealed),
    });
    let outcome = SealedEnrollment::parse(form.to_string().as_bytes()).unwrap().open(&secret());
    assert_eq!(outcome.unwrap_err(), EnrollmentError::Forged);
}

#[test]
fn what_the_holder_of_the_key_signed_has_to_be_a_request() {
    let open = |json: &serde_json::Value| {
        written(&zone(), IdentityName::PRIMARY, &host_key(), json.to_string().as_bytes())
            .open(&secret())
            .map(|(request, _)| request)
            .map_err(|error| assert_eq!(error, EnrollmentError::Malformed, "{json}"))
    };
    assert!(open(&json(true)).is_ok());
    assert!(open(&json(false)).unwrap().token.is_none());
    for field in ["service", "host", "timestamp", "nonce", "instance"] {
        let mut less = json(true);
        less.as_object_mut().unwrap().remove(field);
        assert!(open(&less).is_err(), "{field}");
    }
    for (field, value) in [
        ("more", "1"),
        ("service", "#nanoprobe"),
        ("host", "#KDC#00001"),
        ("host", "WEB1.example.com"),
        ("host", "web1.example.com."),
        ("token", ""),
        ("token", "kcj_"),
        ("nonce", "AQ"),
    ] {
        let mut other = json(true);
        other[field] = value.into();
        assert!(open(&other).is_err(), "{field}: {value}");
    }
    let mut null = json(true);
    null["token"] = serde_json::Value::Null;
    assert!(open(&null).is_err());
}

#[test]
fn what_has_no_key_in_it_is_signed_by_nobody() {
    for json in ["", "{}", "nonsense", r#"{"public_key":"AQ"}"#] {
        let sealed = written(&zone(), IdentityName::PRIMARY, &host_key(), json.as_bytes());
        assert_eq!(sealed.open(&secret()).unwrap_err(), EnrollmentError::Forged, "{json}");
    }
    // Two keys, of which the signature is by one.
    let twice = json(false).to_string().replacen('{', r#"{"public_key":"AQ","#, 1);
    let sealed = written(&zone(), IdentityName::PRIMARY, &host_key(), twice.as_bytes());
    assert_eq!(sealed.open(&secret()).unwrap_err(), EnrollmentError::Forged);
}

#[test]
fn nothing_else_is_a_request() {
    let (body, _) = sealed();
    let text = String::from_utf8(body.clone()).unwrap();
    let malformed =
        |text: &str| SealedEnrollment::parse(text.as_bytes()).unwrap_err() == EnrollmentError::Malformed;
    assert!(malformed(""));
    assert!(malformed("{}"));
    assert!(malformed(&format!("{text}{text}")));
    assert!(malformed(&text.replacen('{', r#"{"more":1,"#, 1)));
    assert!(malformed(&text.replacen('{', r#"{"zone":"cell1.example","#, 1)));
    assert!(malformed(&text.replacen("cell1", "Cell1", 1)));
    assert!(malformed(&text.replacen("#KDC#00001", "#KDC#00000", 1)));
    assert!(malformed(&text.replacen(r#""sealed":""#, r#""sealed":"="#, 1)));
    assert!(malformed(&text.replacen(r#""encapsulated":""#, r#""encapsulated":"AAAA"#, 1)));
    let room = SealedEnrollment::MAX - text.len();
    assert!(SealedEnrollment::parse(format!("{text}{}", " ".repeat(room)).as_bytes()).is_ok());
    assert!(malformed(&format!("{text}{}", " ".repeat(room + 1))));
    // Too short for a tag, for a signature.
    for sealed in ["", "AAAA", &"A".repeat(96)] {
        let mut short: serde_json::Value = serde_json::from_slice(&body).unwrap();
        short["sealed"] = sealed.into();
        let parsed = SealedEnrollment::parse(short.to_string().as_bytes()).unwrap();
        assert_eq!(parsed.open(&secret()).unwrap_err(), EnrollmentError::Forged);
    }
}

#[test]
fn the_longest_request_fits() {
    let longest = EnrollmentRequest {
        service: "s".repeat(ServiceName::MAX).parse().unwrap(),
        host: format!("{}.{}", "h".repeat(63), "h".repeat(56)).parse().unwrap(),
        timestamp: UnixMillis(u64::MAX),
        ..request()
    };
    let zone: Zone = "z".repeat(Zone::MAX).parse().unwrap();
    let plaintext = longest.plaintext();
    assert!(plaintext.len() < plaintext.capacity(), "a buffer that grows leaves a join token behind");
    assert_eq!(plaintext.capacity(), crate::author::SIGNATURE + request::MAX_JSON);
    let (body, _) = longest.seal(&zone, &identity(), &host_key(), &mut test_rng()).unwrap();
    assert!(body.len() <= SealedEnrollment::MAX / 2, "{}", body.len());
    let (read, _) = SealedEnrollment::parse(&body).unwrap().open(&secret()).unwrap();
    assert!(same(&read, &longest));
}

#[test]
fn an_identity_that_nothing_can_be_written_to() {
    let mut to = identity();
    to.encryption_key.0[..32].fill(0xff);
    let refused = request().seal(&zone(), &to, &host_key(), &mut test_rng());
    assert_eq!(refused.unwrap_err(), EnrollmentError::Identity);
}

#[test]
fn no_label_begins_another() {
    let labels = [
        keys::ENROLLMENT,
        crate::author::AUTHOR,
        crate::author::AUTHOR_KEY,
        crate::voucher::CONTEXT,
        crate::trust::TRUST_OFFER,
    ];
    for (at, label) in labels.iter().enumerate() {
        assert_eq!(label.iter().position(|byte| *byte == 0), Some(label.len() - 1));
        for (other, begins) in labels.iter().enumerate() {
            assert_eq!(label.starts_with(begins), at == other);
        }
    }
}

#[test]
fn secrets_do_not_print() {
    let (body, keys) = sealed();
    assert_eq!(format!("{keys:?}"), "EnrollmentKeys(..)");
    assert_eq!(
        format!("{:?}", SealedEnrollment::parse(&body).unwrap()),
        r##"SealedEnrollment { zone: "cell1.example", identity: IdentityName(1), .. }"##
    );
    let token = request().token.unwrap();
    let printed = format!("{:?}", request());
    assert!(printed.contains(&format!("JoinToken({}, ..)", token.id())), "{printed}");
    assert!(!printed.contains(&token.to_text()[21..]), "{printed}");
}
