//! Group keys: requests and answers as they come, and signed or sealed around whatever metadata and keys.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{hex, key, of_kind, plain, seed, seeds};
use keycell_protocol::{
    GroupKeys, GroupKeysReply, GroupKeysRequest, GroupOutcome, HeldGroup, Instance, KeysFor, LongTermKey,
    Nonce, SealedGroupKeys, SignedGroupRequest, UnixMillis,
};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

static REPLIES: LazyLock<Vec<Value>> = LazyLock::new(|| of_kind("group", "request"));
static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&REPLIES[0]["key"]));
static KEYS: LazyLock<KeysFor<GroupKeys>> = LazyLock::new(|| KEY.keys_for());
static NAMED: LazyLock<GroupKeysRequest> = LazyLock::new(|| {
    let request = &REPLIES[0]["request"];
    let bytes = |field: &str| hex(request[field].as_str().unwrap()).try_into().unwrap();
    GroupKeysRequest {
        source: request["source"].as_str().unwrap().parse().unwrap(),
        groups: request["groups"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().parse().unwrap())
            .collect(),
        timestamp: UnixMillis(request["timestamp"].as_u64().unwrap()),
        nonce: Nonce(bytes("nonce")),
        instance: Instance(bytes("instance")),
    }
});
static ALL: LazyLock<GroupKeysRequest> =
    LazyLock::new(|| GroupKeysRequest { groups: Vec::new(), ..NAMED.clone() });

fuzz_target!(
    init: seed(|| {
        let requests: Vec<_> =
            of_kind("group", "json").into_iter().filter(|case| case.get("request").is_none()).collect();
        let mut all = [seeds(&requests, "json"), seeds(&REPLIES, "json")].concat();
        // Metadata alone, for what is signed and sealed here; after a zero byte, keys.
        all.push(serde_json::to_vec(&*NAMED).unwrap());
        let nonce = plain::base64url(&NAMED.nonce.0);
        let [given, refused] = [0, 1].map(|at| NAMED.groups[at].as_str());
        let answer = format!(
            r#"{{"source":"{}","nonce":"{nonce}","server_time":1,"signers":[],"groups":[{{"group":"{given}","refresh_at":1,"spread":2,"keys":[{{"generation":1,"begins":1,"ends":3}},{{"generation":2,"begins":2,"ends":4}}]}},{{"group":"{refused}","problem":"x"}}]}}"#,
            NAMED.source
        );
        all.push([answer.as_bytes(), b"\0", &[5; 64]].concat());
        all
    }),
    |data: &[u8]| {
        for json in [data, plain::signed_for(NAMED.source.as_str(), &KEY, "group request", data).as_bytes()] {
            if let Ok(signed) = SignedGroupRequest::parse(json)
                && let Ok(request) = signed.verify(&KEYS)
            {
                assert_eq!(request.source, signed.key().name);
                assert!(request.groups.len() <= GroupKeysRequest::MAX_GROUPS);
                let again = SignedGroupRequest::sign(&request, &KEYS).unwrap().to_json();
                assert_eq!(SignedGroupRequest::parse(&again).unwrap().verify(&KEYS), Ok(request));
            }
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, records) = data.split_at(cut);
        let json = plain::sealed_for(&KEY, "group reply", metadata, records.get(1..).unwrap_or_default());
        for json in [data, json.as_bytes()] {
            let Ok(sealed) = SealedGroupKeys::parse(json) else { continue };
            for request in [&*NAMED, &*ALL] {
                if let Ok(reply) = sealed.open(&KEYS, request) {
                    check(request, &reply);
                }
            }
        }
    }
);

fn check(request: &GroupKeysRequest, reply: &GroupKeysReply) {
    let name = |outcome: &GroupOutcome| match outcome {
        GroupOutcome::Granted(held) => held.group.clone(),
        GroupOutcome::Refused { group, .. } => group.clone(),
    };
    let names: Vec<_> = reply.groups.iter().map(name).collect();
    assert!(names.len() <= GroupKeysRequest::MAX_GROUPS);
    assert!(request.groups.is_empty() || request.groups == names);
    for outcome in &reply.groups {
        let GroupOutcome::Granted(HeldGroup { keys, .. }) = outcome else { continue };
        assert!((1..=HeldGroup::MAX_KEYS).contains(&keys.len()));
        assert!(keys.is_sorted_by(|a, b| a.key.generation() < b.key.generation()));
        assert!(keys.iter().all(|held| held.begins < held.ends));
    }
}
