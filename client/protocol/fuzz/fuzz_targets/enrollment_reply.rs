//! Answers to a request to enroll: as they come, and sealed around whatever metadata and secret.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{Known, array, edited, from_base64url, hex, of_kind, plain, seed, seeds};
use keycell_protocol::{
    AuthorKey, EnrollmentKeys, EnrollmentOutcome, EnrollmentReply, EnrollmentRequest, IdentitySecret,
    Instance, KdcIdentity, Nonce, SealedEnrollmentReply, SignerKey, UnixMillis, Zone,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static CASE: LazyLock<Value> = LazyLock::new(|| of_kind("enrollment", "reply_key").remove(0));
static KEY: LazyLock<[u8; 32]> = LazyLock::new(|| array(&CASE, "reply_key"));
static ASKED: LazyLock<Asked> = LazyLock::new(asked);
/// The answers that hold, each to the first request of all.
static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut cases = of_kind("enrollment", "reply_key");
    cases.retain(|case| case["request"] == CASE["request"]);
    seeds(&cases, "json")
});

struct Asked {
    zone: Zone,
    to: KdcIdentity,
    request: EnrollmentRequest,
    keys: EnrollmentKeys,
}

fuzz_target!(
    init: seed(|| {
        let mut seeds = GENUINE.clone();
        assert!(seeds.iter().all(|json| open(json)));
        for json in &GENUINE[..] {
            let answer: Value = serde_json::from_slice(json).unwrap();
            let metadata = from_base64url(answer["metadata"].as_str().unwrap());
            assert!(open(plain::sealed_under(&KEY, &metadata, b"").as_bytes()));
            seeds.push(metadata);
        }
        seeds.push(vec![0, 1, 0, 40, 1]);
        seeds
    }),
    |data: &[u8]| {
        open(data);
        if let Some((which, edits)) = data.split_first() {
            let genuine = &GENUINE[usize::from(*which) % GENUINE.len()];
            let changed = edited(genuine, edits);
            if open(&changed) {
                // Another spelling of the JSON around it, if anything.
                let parts = |json: &[u8]| {
                    let json: Value = serde_json::from_slice(json).unwrap();
                    (json["metadata"].clone(), json["sealed"].clone())
                };
                assert_eq!(parts(&changed), parts(genuine));
            }
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, secret) = data.split_at(cut);
        let secret = secret.get(1..).unwrap_or_default();
        let opened = open(plain::sealed_under(&KEY, metadata, secret).as_bytes());
        assert!(!opened || secret.is_empty());
    }
);

/// Whether it answers the request; then it is checked that it does.
fn open(json: &[u8]) -> bool {
    let Asked { zone, to, request, keys } = &*ASKED;
    let Ok(sealed) = SealedEnrollmentReply::parse(json) else { return false };
    let Ok(answer) = sealed.open(keys, request, zone, to) else { return false };
    match answer.outcome {
        EnrollmentOutcome::Pending { retry_after } => assert!((1..=86_400).contains(&retry_after)),
        EnrollmentOutcome::Enrolled(enrolled) => {
            assert_eq!(enrolled.name, request.name().name(zone));
            assert_eq!((&enrolled.bundle.zone, enrolled.bundle.identities.first()), (zone, Some(to)));
            let again = EnrollmentReply::seal_enrolled(
                request,
                answer.server_time,
                &enrolled,
                keys,
                &mut Known(vec![7; 24]),
            );
            let again = SealedEnrollmentReply::parse(&again).unwrap().open(keys, request, zone, to).unwrap();
            assert!(matches!(again.outcome, EnrollmentOutcome::Enrolled(read) if read == enrolled));
        }
    }
    true
}

fn asked() -> Asked {
    let asked = &CASE["request"];
    let text = |member: &str| asked[member].as_str().unwrap();
    let secret = IdentitySecret::new(array(&CASE, "identity_seed"));
    let to = KdcIdentity {
        name: text("identity").parse().unwrap(),
        signing_key: SignerKey::new(array(&CASE, "signing_key")),
        encryption_key: secret.public(),
    };
    let host = AuthorKey::new(&array(&CASE, "host_seed"));
    let request = EnrollmentRequest {
        service: text("service").parse().unwrap(),
        host: text("host").parse().unwrap(),
        public_key: host.public(),
        token: Some(text("token").parse().unwrap()),
        timestamp: UnixMillis(asked["timestamp"].as_u64().unwrap()),
        nonce: Nonce(hex(text("nonce")).try_into().unwrap()),
        instance: Instance(hex(text("instance")).try_into().unwrap()),
    };
    let zone: Zone = text("zone").parse().unwrap();
    let random = &mut Known(hex(CASE["eseed"].as_str().unwrap()));
    let (_, keys) = request.seal(&zone, &to, &host, random).unwrap();
    Asked { zone, to, request, keys }
}
