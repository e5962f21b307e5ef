//! Rotations: requests and answers as they come, and signed or sealed around whatever metadata and key.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{accepted, cases, key, plain, seed};
use keycell_protocol::{
    Instance, LongTermKey, Nonce, Rotated, RotationKeys, RotationRequest, SealedRotation, SignedRotation,
    Step, UnixMillis,
};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&cases("rotation")[0]["key"]));
static KEYS: LazyLock<RotationKeys> = LazyLock::new(|| KEY.keys_for());

/// What the answers are answers to.
fn asked(step: Step) -> RotationRequest {
    RotationRequest {
        source: "cma@cell.example".parse().unwrap(),
        step,
        timestamp: UnixMillis(1),
        nonce: Nonce([0; 16]),
        instance: Instance([0; 16]),
    }
}

fuzz_target!(
    init: seed(|| {
        let mut seeds = accepted("rotation", "json");
        // The metadata alone, for what is signed and sealed here; after a zero byte, a key.
        seeds.push(br#"{"source":"cma@cell.example","step":"stage","timestamp":1766059200000,"nonce":"AAAAAAAAAAAAAAAAAAAAAA","instance":"AAAAAAAAAAAAAAAAAAAAAA"}"#.to_vec());
        for (step, generation, secret) in [("stage", 2, &[5; 32][..]), ("commit", 1, b"")] {
            let metadata = format!(
                r#"{{"source":"cma@cell.example","nonce":"AAAAAAAAAAAAAAAAAAAAAA","server_time":1,"step":"{step}","generation":{generation},"epoch":20440}}"#
            );
            seeds.push([metadata.as_bytes(), b"\0", secret].concat());
        }
        seeds
    }),
    |data: &[u8]| {
        if let Ok(signed) = SignedRotation::parse(data)
            && let Ok(request) = signed.verify(&KEYS)
        {
            assert_eq!(request.source, signed.key().name);
        }
        let json = plain::signed_for("cma@cell.example", &KEY, "rotate request", data);
        if let Ok(request) = SignedRotation::parse(json.as_bytes()).unwrap().verify(&KEYS) {
            let again = SignedRotation::sign(&request, &KEYS).to_json();
            assert_eq!(SignedRotation::parse(&again).unwrap().verify(&KEYS), Ok(request));
        }
        let cut = data.iter().position(|byte| *byte == 0).unwrap_or(data.len());
        let (metadata, secret) = data.split_at(cut);
        let secret = secret.get(1..).unwrap_or_default();
        let json = plain::sealed_for(&KEY, "rotate reply", metadata, secret);
        for step in [Step::Stage, Step::Commit] {
            for json in [data, json.as_bytes()] {
                let Ok(sealed) = SealedRotation::parse(json) else { continue };
                match sealed.open(&KEYS, &asked(step)) {
                    Ok(Rotated::Staged { key, .. }) => {
                        assert_eq!(step, Step::Stage);
                        assert!(key.generation() > KEYS.generation());
                    }
                    Ok(Rotated::Committed { generation, .. }) => {
                        assert_eq!((step, generation), (Step::Commit, KEYS.generation()));
                    }
                    Err(_) => {}
                }
            }
        }
    }
);
