//! What one KDC asks another for: requests and answers as they come, and signed or sealed around whatever there is.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{array16, cases, key, of_kind, plain, seed, seeds};
use keycell_protocol::{
    Correlation, Instance, KeysFor, LongTermKey, Nonce, Outcome, PeerPair, PeerRequest, Peers, SealedReply,
    SignedPeerRequest, UnixMillis,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&cases("peer")[0]["key"]));
static KEYS: LazyLock<KeysFor<Peers>> = LazyLock::new(|| KEY.keys_for());
/// What the answers are answers to.
static REQUEST: LazyLock<PeerRequest> = LazyLock::new(|| request(&of_kind("peer", "request")[0]["request"]));

fuzz_target!(
    init: seed(|| {
        let requests: Vec<_> =
            cases("peer").into_iter().filter(|case| case["case"] != "a thousand").collect();
        let mut all = seeds(&requests, "json");
        // Metadata alone, for what is signed and sealed here; after a zero byte, a record.
        all.push(serde_json::to_vec(&*REQUEST).unwrap());
        let nonce = plain::base64url(&REQUEST.nonce.0);
        let [granted, refused] = [0, 1].map(|at| &REQUEST.requests[at].destination);
        let metadata = format!(
            r#"{{"source":"{}","nonce":"{nonce}","server_time":1,"tickets":[{{"destination":"{granted}","expiration":9,"renew_after":8}},{{"destination":"{refused}","problem":"x"}}]}}"#,
            REQUEST.source
        );
        let record = [&[1][..], &[5; 128], &[1, 1], &[6; 80]].concat();
        all.push([metadata.as_bytes(), b"\0", &record].concat());
        all
    }),
    |data: &[u8]| {
        let source = REQUEST.source.as_str();
        let signed = plain::signed_for(source, &KEY, "peer request", data);
        for json in [data, signed.as_bytes()] {
            let Ok(signed) = SignedPeerRequest::parse(json) else { continue };
            if let Ok(request) = signed.verify(&KEYS) {
                assert_eq!(request.source, signed.key().name);
                assert!(request.requests.len() <= PeerRequest::MAX_REQUESTS);
                let again = SignedPeerRequest::sign(&request, &KEYS).unwrap().to_json();
                assert_eq!(SignedPeerRequest::parse(&again).unwrap().verify(&KEYS), Ok(request));
            }
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, records) = data.split_at(cut);
        let sealed = plain::sealed_for(&KEY, "peer reply", metadata, records.get(1..).unwrap_or_default());
        for json in [data, sealed.as_bytes()] {
            let Ok(sealed) = SealedReply::parse(json) else { continue };
            let Ok(reply) = sealed.open_for_zone(&KEYS, &REQUEST) else { continue };
            let names = reply.outcomes.iter().map(|outcome| match outcome {
                Outcome::Granted(grant) => &grant.destination,
                Outcome::Refused { destination, .. } => destination,
            });
            assert!(names.eq(REQUEST.requests.iter().map(|pair| &pair.destination)));
        }
    }
);

fn request(value: &Value) -> PeerRequest {
    let name = |value: &Value| value.as_str().unwrap().parse().unwrap();
    let pair =
        |pair: &Value| PeerPair { source: name(&pair["source"]), destination: name(&pair["destination"]) };
    PeerRequest {
        source: name(&value["source"]),
        requests: value["requests"].as_array().unwrap().iter().map(pair).collect(),
        lifetime_seconds: value["lifetime"].as_u64().unwrap().try_into().unwrap(),
        correlation: Correlation(array16(value, "correlation")),
        timestamp: UnixMillis(value["timestamp"].as_u64().unwrap()),
        nonce: Nonce(array16(value, "nonce")),
        instance: Instance(array16(value, "instance")),
    }
}
