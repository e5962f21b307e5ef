//! Bundles.
#![no_main]

use keycell_fuzz::{accepted, seed};
use keycell_protocol::Bundle;
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seed(|| accepted("bundle", "json")),
    |data: &[u8]| {
        let Ok(bundle) = Bundle::from_json(data) else { return };
        assert_eq!(Bundle::from_json(&bundle.to_json()), Ok(bundle.clone()));
        // Whoever is in it vouches for names of one zone, and each zone has somebody.
        let signers = bundle.signers();
        assert!(signers.of(&bundle.zone).count() == bundle.identities.len());
        for trusted in &bundle.trusted {
            assert!(signers.of(&trusted.zone).count() == trusted.identities.len());
        }
    }
);
