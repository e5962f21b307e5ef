//! Tests of what the KDC answers.

use super::*;
use crate::name::Name;
use crate::reply::ReplyError;
use crate::time::RatchetPeriod;

fn bundle() -> Bundle {
    let secondary =
        KdcIdentity { name: IdentityName::SECONDARY, signing_key: SignerKey::new([8; 32]), ..identity() };
    Bundle {
        zone: zone(),
        urls: vec!["https://kdc.cell1.example:7600".to_owned()],
        tls_roots: String::new(),
        identities: vec![identity(), secondary],
        trusted: Vec::new(),
    }
}

fn enrolled() -> Enrolled {
    Enrolled {
        name: request().name().name(&zone()),
        generation: Generation(2),
        epoch: Epoch(20_440),
        state: EnrollmentState::Staged,
        ratchet_period: RatchetPeriod::DEFAULT,
        bundle: bundle(),
    }
}

/// What the host makes of an answer to the request that it sealed.
fn open(answer: &[u8]) -> Result<EnrollmentAnswer, ReplyError> {
    SealedEnrollmentReply::parse(answer)?.open(&sealed().1, &request(), &zone(), &identity())
}

/// The KDC's answer, with the keys that it has of the request.
fn answer(enrolled: &Enrolled) -> Vec<u8> {
    let (read, keys) = SealedEnrollment::parse(&sealed().0).unwrap().open(&secret()).unwrap();
    EnrollmentReply::seal_enrolled(&read, UnixMillis(1_766_000_000_456), enrolled, &keys, &mut test_rng())
}

fn pending(retry_after: u32) -> Vec<u8> {
    EnrollmentReply::seal_pending(&request(), UnixMillis(5), retry_after, &sealed().1, &mut test_rng())
}

#[test]
fn a_host_hears_what_it_is() {
    let EnrollmentAnswer { server_time, outcome } = open(&answer(&enrolled())).unwrap();
    assert_eq!(server_time, UnixMillis(1_766_000_000_456));
    assert!(matches!(outcome, EnrollmentOutcome::Enrolled(read) if read == enrolled()));
}

#[test]
fn a_host_hears_that_it_has_to_wait() {
    for (said, heard) in [(0, 1), (1, 1), (60, 60), (86_400, 86_400), (u32::MAX, 86_400)] {
        let EnrollmentAnswer { server_time, outcome } = open(&pending(said)).unwrap();
        assert_eq!(server_time, UnixMillis(5));
        assert!(matches!(outcome, EnrollmentOutcome::Pending { retry_after } if retry_after == heard));
    }
}

#[test]
fn an_answer_answers_one_request() {
    let sealed_answer = answer(&enrolled());
    let parsed = SealedEnrollmentReply::parse(&sealed_answer).unwrap();
    let keys = sealed().1;
    let open = |keys: &EnrollmentKeys, request: &EnrollmentRequest, zone: &Zone, to: &KdcIdentity| {
        parsed.open(keys, request, zone, to).map(|_| ()).unwrap_err()
    };
    let mut rng = test_rng();
    let _: Nonce = Nonce::generate(&mut rng);
    let (_, others) = request().seal(&zone(), &identity(), &host_key(), &mut rng).unwrap();
    assert_eq!(open(&others, &request(), &zone(), &identity()), ReplyError::Forged);
    for other in [
        EnrollmentRequest { nonce: Nonce([9; 16]), ..request() },
        EnrollmentRequest { host: "web2.example.com".parse().unwrap(), ..request() },
        EnrollmentRequest { service: "cma".parse().unwrap(), ..request() },
        EnrollmentRequest { public_key: AuthorKey::new(&[6; 32]).public(), ..request() },
    ] {
        assert_eq!(open(&keys, &other, &zone(), &identity()), ReplyError::AnotherRequest);
    }
    let zone2 = "cell2.example".parse().unwrap();
    assert_eq!(open(&keys, &request(), &zone2, &identity()), ReplyError::AnotherRequest);
    let sealed_pending = pending(60);
    let parsed = SealedEnrollmentReply::parse(&sealed_pending).unwrap();
    let other = EnrollmentRequest { nonce: Nonce([9; 16]), ..request() };
    assert_eq!(parsed.open(&keys, &other, &zone(), &identity()).unwrap_err(), ReplyError::AnotherRequest);
}

#[test]
fn nobody_is_given_another_name() {
    for name in ["nanoprobe.web2.example.com::0123@cell1.example", "web@cell1.example"] {
        let name: Name = name.parse().unwrap();
        assert_eq!(open(&answer(&Enrolled { name, ..enrolled() })).unwrap_err(), ReplyError::AnotherRequest);
    }
    let name = request().name().name(&"cell2.example".parse().unwrap());
    assert_eq!(open(&answer(&Enrolled { name, ..enrolled() })).unwrap_err(), ReplyError::AnotherRequest);
}

#[test]
fn the_bundle_is_that_of_the_kdc_that_was_asked() {
    let with = |change: fn(&mut Bundle)| {
        let mut changed = enrolled();
        change(&mut changed.bundle);
        open(&answer(&changed)).map(|_| ())
    };
    assert_eq!(with(|_| ()), Ok(()));
    assert_eq!(with(|bundle| bundle.urls.push("https://kdc2".to_owned())), Ok(()));
    assert_eq!(with(|bundle| bundle.identities.truncate(1)), Ok(()));
    let other = Err(ReplyError::AnotherKdc);
    assert_eq!(with(|bundle| bundle.zone = "cell2.example".parse().unwrap()), other);
    assert_eq!(with(|bundle| bundle.identities.reverse()), other);
    assert_eq!(with(|bundle| bundle.identities[0].name = IdentityName::new(3).unwrap()), other);
    assert_eq!(with(|bundle| bundle.identities[0].signing_key = SignerKey::new([9; 32])), other);
    assert_eq!(with(|bundle| bundle.identities[0].encryption_key.0[0] ^= 1), other);
    // What would be no bundle by itself is none here.
    assert_eq!(with(|bundle| bundle.identities.clear()), Err(ReplyError::Malformed));
    assert_eq!(with(|bundle| bundle.urls.clear()), Err(ReplyError::Malformed));
}

#[test]
fn a_changed_byte_spoils_it() {
    for sealed_answer in [answer(&enrolled()), pending(60)] {
        let keys = sealed().1;
        for at in 0..sealed_answer.len() {
            let mut changed = sealed_answer.clone();
            changed[at] ^= 1 << (at % 8);
            let outcome = SealedEnrollmentReply::parse(&changed)
                .and_then(|answer| answer.open(&keys, &request(), &zone(), &identity()));
            assert!(outcome.is_err(), "byte {at} does not matter");
        }
    }
}

#[test]
fn nothing_else_is_an_answer() {
    let seal = |metadata: serde_json::Value, secret: &[u8]| {
        let mut records = zeroize::Zeroizing::new(vec![0; crate::aead::XNonce::SIZE]);
        records.extend_from_slice(secret);
        let json = crate::reply::write(&metadata, records, &sealed().1.reply, &mut test_rng());
        open(&json).map(|_| ())
    };
    let fields = serde_json::json!({
        "nonce": Nonce([1; 16]), "server_time": 5, "status": "pending", "retry_after": 60
    });
    assert_eq!(seal(fields.clone(), b""), Ok(()));
    assert_eq!(seal(fields.clone(), b"more"), Err(ReplyError::Malformed));
    for (field, value) in [
        ("retry_after", serde_json::json!(0)),
        ("retry_after", serde_json::json!(86_401)),
        ("retry_after", serde_json::json!(-1)),
        ("status", serde_json::json!("enrolled")),
        ("status", serde_json::json!("denied")),
        ("server_time", serde_json::json!(null)),
    ] {
        let mut other = fields.clone();
        other[field] = value;
        assert_eq!(seal(other.clone(), b""), Err(ReplyError::Malformed), "{other}");
    }
    // A later release may say more.
    let mut more = fields;
    more["more"] = 1.into();
    assert_eq!(seal(more, b""), Ok(()));
}
