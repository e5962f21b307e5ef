//! Requests: as they come, and signed around whatever metadata.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{accepted, cases, key, plain, seed};
use keycell_protocol::{LongTermKey, SignedRequest, TicketRequest};
use libfuzzer_sys::fuzz_target;

static KEY: LazyLock<LongTermKey> = LazyLock::new(|| key(&cases("request")[0]["key"]));

fuzz_target!(
    init: seed(|| {
        let mut seeds = accepted("request", "json");
        // The metadata alone, for the second half of the target.
        let metadata = r#"{"source":"cma@cell.example","destinations":["b@z"],"timestamp":1766059200000,"nonce":"AAAAAAAAAAAAAAAAAAAAAA","instance":"AAAAAAAAAAAAAAAAAAAAAA"}"#;
        seeds.push(metadata.into());
        seeds
    }),
    |data: &[u8]| {
        let subkeys = KEY.subkeys();
        if let Ok(signed) = SignedRequest::parse(data)
            && let Ok(request) = signed.verify(&subkeys.request)
        {
            check(&request, &signed);
        }
        let json = plain::signed("cma@cell.example", &KEY, data);
        let signed = SignedRequest::parse(json.as_bytes()).unwrap();
        if let Ok(request) = signed.verify(&subkeys.request) {
            check(&request, &signed);
            let again = SignedRequest::sign(&request, &subkeys).unwrap().to_json();
            assert_eq!(SignedRequest::parse(&again).unwrap().verify(&subkeys.request), Ok(request));
        }
    }
);

fn check(request: &TicketRequest, signed: &SignedRequest<'_>) {
    assert_eq!(request.source, signed.key().name);
    assert!((1..=TicketRequest::MAX_DESTINATIONS).contains(&request.destinations.len()));
}
