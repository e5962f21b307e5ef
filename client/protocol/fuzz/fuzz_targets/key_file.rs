//! Key files.
#![no_main]

use keycell_client::AgentKey;
use keycell_fuzz::seed;
use libfuzzer_sys::fuzz_target;

const SEED: &str = r#"{"keycell": 1, "name": "web.host1@cell.example", "generation": 1, "epoch": 20440,
"key": "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", "ratchet_period": 86400,
"urls": ["https://kdc1.cell.example:7423"], "tls_roots": "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n"}"#;

fuzz_target!(
    init: seed(|| vec![SEED.into()]),
    |data: &[u8]| {
        let Ok(key) = AgentKey::from_json(data) else { return };
        let again = AgentKey::from_json(&key.to_json()).unwrap();
        assert_eq!((&again.name, again.ratchet_period, &again.kdc), (&key.name, key.ratchet_period, &key.kdc));
        assert_eq!(again.key.expose_secret(), key.key.expose_secret());
        assert_eq!((again.key.generation(), again.key.epoch()), (key.key.generation(), key.key.epoch()));
    }
);
