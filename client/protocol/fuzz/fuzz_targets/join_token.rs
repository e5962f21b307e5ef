//! Join tokens: one spelling of each, which no other token fits.
#![no_main]

use keycell_fuzz::{edited, of_kind, seed};
use keycell_protocol::{JoinToken, JoinTokenId};
use libfuzzer_sys::fuzz_target;

const TOKEN: &str = "kcj_0123456789abcdef_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";

fuzz_target!(
    init: seed(|| {
        let texts = of_kind("enrollment", "verifier").into_iter().filter(|case| case["expect"].get("accepted").is_some());
        let mut seeds: Vec<Vec<u8>> = texts.map(|case| case["token"].as_str().unwrap().into()).collect();
        seeds.push(vec![1, 0, 30, 1]);
        seeds
    }),
    |data: &[u8]| {
        check(data);
        check(&edited(TOKEN.as_bytes(), data));
        if let Ok(text) = str::from_utf8(data)
            && let Ok(id) = text.parse::<JoinTokenId>()
        {
            assert_eq!(id.to_string(), text);
        }
    }
);

fn check(bytes: &[u8]) {
    let Ok(text) = str::from_utf8(bytes) else { return };
    let Ok(token) = text.parse::<JoinToken>() else { return };
    assert_eq!((token.to_text().as_str(), text.len()), (text, JoinToken::TEXT));
    assert_eq!(token.id().to_string(), text[4..20]);
    assert_eq!(format!("{token:?}"), format!("JoinToken({}, ..)", token.id()));
    assert!(token.checks(&token.verifier()));
    let known: JoinToken = TOKEN.parse().unwrap();
    assert_eq!(known.checks(&token.verifier()), text == TOKEN);
}
