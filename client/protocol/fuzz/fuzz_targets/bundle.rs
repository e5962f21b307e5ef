//! Bundles.
#![no_main]

use keycell_fuzz::seed;
use keycell_protocol::{Bundle, IdentityEncryptionKey, IdentityName, KdcIdentity, SignerKey, TrustedZone};
use libfuzzer_sys::fuzz_target;

fuzz_target!(
    init: seed(|| {
        let identity = |name, byte| KdcIdentity {
            name,
            signing_key: SignerKey::new([byte; 32]),
            encryption_key: IdentityEncryptionKey([byte; IdentityEncryptionKey::SIZE]),
        };
        let bundle = |trusted| Bundle {
            zone: "cell1.internal".parse().unwrap(),
            urls: vec!["https://kdc1.internal:7443".to_owned(), "https://kdc2.internal:7443".to_owned()],
            tls_roots: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            identities: vec![identity(IdentityName::PRIMARY, 1)],
            trusted,
        };
        let other = TrustedZone {
            zone: "cell2.internal".parse().unwrap(),
            identities: vec![identity(IdentityName::SECONDARY, 2)],
        };
        vec![bundle(Vec::new()).to_json(), bundle(vec![other]).to_json()]
    }),
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
