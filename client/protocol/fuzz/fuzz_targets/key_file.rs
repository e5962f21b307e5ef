//! Key files.
#![no_main]

use keycell_client::{Agent, AgentConfig, AgentKey};
use keycell_fuzz::{NOW, seed};
use libfuzzer_sys::fuzz_target;

const SEED: &str = r#"{"keycell": 1, "name": "web.host1@cell.example", "generation": 1, "epoch": 20440,
"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ratchet_period": 86400,
"urls": ["https://kdc1.cell.example:7423"], "tls_roots": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"}"#;

const ROTATING: &str = r#"{"keycell": 1, "name": "a@z", "generation": 2, "epoch": 20440,
"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ratchet_period": 60, "urls": [], "tls_roots": "",
"staged": {"generation": 3, "epoch": 20441, "key": "BAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"},
"retiring": [{"generation": 1, "epoch": 20439, "key": "CAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "until": 9}]}"#;

fuzz_target!(
    init: seed(|| vec![SEED.into(), ROTATING.into()]),
    |data: &[u8]| {
        let Ok(key) = AgentKey::from_json(data) else { return };
        let again = AgentKey::from_json(&key.to_json()).unwrap();
        assert_eq!((&again.name, again.ratchet_period, &again.kdc), (&key.name, key.ratchet_period, &key.kdc));
        assert_eq!(again.key.expose_secret(), key.key.expose_secret());
        assert_eq!((again.key.generation(), again.key.epoch()), (key.key.generation(), key.key.epoch()));
        let others = |key: &AgentKey| -> Vec<_> {
            let retiring = key.retiring.iter().map(|old| (&old.key, old.until.0));
            let all = key.staged.iter().map(|staged| (staged, 0)).chain(retiring);
            all.map(|(key, until)| (key.generation(), key.epoch(), *key.expose_secret(), until)).collect()
        };
        assert_eq!(others(&again), others(&key));
        // Each generation once, the active one between the others: whatever the file says, the agent can be made.
        let rest = key.retiring.iter().all(|old| old.key.generation() < key.key.generation());
        assert!(rest && key.staged.as_ref().is_none_or(|staged| staged.generation() > key.key.generation()));
        let agent = Agent::keeping(key, &AgentConfig::default(), NOW, keycell_client::system_rng());
        assert!(agent.unsaved().is_none());
    }
);
