//! Genuine messages, changed: whatever is done to one, it opens only as one that was really written.
//!
//! The input is a list of edits, four bytes each; so the fuzzer does not have to find the way past a tag.
#![no_main]

use std::sync::LazyLock;

use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard};
use keycell_fuzz::{NOW, PERIOD, accepted, cases, hex, key, seed};
use keycell_protocol::{Generation, GroupKey, HeldGroup, HeldKey, LongTermKey, SignerKey, UnixSeconds, Zone};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;

/// What one party of the vectors was really sent.
static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let opens = |message: &Vec<u8>| {
        let (mut opener, mut keys) = receiver();
        opener.open(&mut keys, NOW, message).is_ok()
    };
    accepted("message", "message").into_iter().filter(opens).collect()
});

static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&cases("message")[0]["receiver"]["keys"][0]));

/// The groups that the party is a member of, and whom it believes.
static RECEIVER: LazyLock<(Vec<HeldGroup>, Vec<(Zone, SignerKey)>)> = LazyLock::new(|| {
    let cases = cases("message");
    let receiver = &cases.iter().find(|case| case["receiver"].get("signers").is_some()).unwrap()["receiver"];
    let groups = receiver["groups"].as_array().unwrap().iter().map(group);
    let signer = |signer: &Value| {
        let key = hex(signer["key"].as_str().unwrap()).try_into().unwrap();
        (signer["zone"].as_str().unwrap().parse().unwrap(), SignerKey::new(key))
    };
    (groups.collect(), receiver["signers"].as_array().unwrap().iter().map(signer).collect())
});

fn group(value: &Value) -> HeldGroup {
    let key = |key: &Value| HeldKey {
        key: GroupKey::new(
            Generation(key["generation"].as_u64().unwrap().try_into().unwrap()),
            hex(key["secret"].as_str().unwrap()).try_into().unwrap(),
        ),
        begins: UnixSeconds(key["begins"].as_u64().unwrap()),
        ends: UnixSeconds(key["ends"].as_u64().unwrap()),
    };
    HeldGroup {
        group: value["group"].as_str().unwrap().parse().unwrap(),
        author_proof: value["author_proof"].as_bool().unwrap(),
        refresh_at: NOW,
        spread: 0,
        keys: value["keys"].as_array().unwrap().iter().map(key).collect(),
    }
}

fn receiver() -> (Opener, Keys) {
    let config = OpenerConfig { restart_guard: RestartGuard::Off, ..OpenerConfig::default() };
    let mut opener = Opener::new("nanoprobe.web1@cell.example".parse().unwrap(), &config, NOW);
    RECEIVER.0.iter().for_each(|group| opener.hold(group.clone()));
    for (zone, key) in &RECEIVER.1 {
        opener.trust_signers(zone, &[*key]);
    }
    (opener, Keys::new(KEY.clone(), PERIOD))
}

fuzz_target!(
    init: {
        assert!(GENUINE.len() > 40, "the vectors have many messages for this party and its groups");
        seed(|| vec![b"\0".to_vec(), b"\x01\x01\0\x05\x01".to_vec(), b"\x02\x04\0\x30\x00\x03\0\x60\x02".to_vec()]);
    },
    |data: &[u8]| {
        let Some((which, edits)) = data.split_first() else { return };
        let genuine = &GENUINE[usize::from(*which) % GENUINE.len()];
        let mut message = genuine.clone();
        for edit in edits.chunks_exact(4) {
            let [what, high, low, value] = *edit else { return };
            let at = usize::from(u16::from_be_bytes([high, low])) % (message.len() + 1);
            match what % 6 {
                0 => message.truncate(at),
                1 => message.get_mut(at).into_iter().for_each(|byte| *byte ^= value),
                2 => message.get_mut(at).into_iter().for_each(|byte| *byte = value),
                3 => message.insert(at, value),
                4 => drop((at < message.len()).then(|| message.remove(at))),
                // The rest of another genuine message.
                _ => {
                    let other = &GENUINE[usize::from(value) % GENUINE.len()];
                    message.truncate(at);
                    message.extend(other.get(at..).unwrap_or_default());
                }
            }
        }
        let (mut opener, mut keys) = receiver();
        // Sometimes the sender is known already, and the short way is taken.
        let known = which >> 7 == 1 && opener.open(&mut keys, NOW, genuine).is_ok();
        let opened = opener.open(&mut keys, NOW, &message).is_ok();
        assert!(!opened || GENUINE.contains(&message), "a forged message opened");
        assert!(!(opened && known && message == *genuine), "a message opened twice");
        if !opened && !known {
            assert!(opener.open(&mut keys, NOW, genuine).is_ok(), "a refused message left a trace");
        }
    }
);
