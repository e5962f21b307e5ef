//! Tokens and keys that somebody changed, or that another issuer writes otherwise.

use proptest::prelude::*;

use super::*;
use crate::mangle::{edits, json_edits};
use crate::oidc::claims::Claims;
use crate::oidc::keys::KeySet;
use crate::oidc::token::Unverified;

/// Whether the token is believed, by somebody who has these keys.
fn believed(token: &str, keys: &KeySet) -> bool {
    let verified = Unverified::parse(token).and_then(|parsed| {
        let algorithm = parsed.algorithm(&crate::oidc::Algorithm::all())?;
        let key = keys.find(parsed.kid()?, algorithm).ok_or(OidcError::Signature)?;
        parsed.verify(algorithm, &key)
    });
    verified.is_ok()
}

proptest! {
    #[test]
    fn a_changed_token_is_not_believed(edits in edits()) {
        let signer = Signer::ed25519();
        let keys = KeySet::parse(json!({ "keys": [signer.jwk("k")] }).to_string().as_bytes()).unwrap();
        let token = signer.token(&header("EdDSA", "k"), &claims());
        let changed = edits.text(&token);
        prop_assert_eq!(believed(&changed, &keys), changed == token);
    }

    /// A header that says something else is signed anew: it may be no token, and nothing breaks.
    #[test]
    fn any_header_is_understood_or_refused(header_edits in json_edits(), claim_edits in json_edits()) {
        let signer = Signer::ed25519();
        let keys = KeySet::parse(json!({ "keys": [signer.jwk("k")] }).to_string().as_bytes()).unwrap();
        let (header, claims) = (header_edits.of(&header("EdDSA", "k")), claim_edits.of(&claims()));
        let token = signer.token(&header, &claims);
        if believed(&token, &keys) {
            prop_assert_eq!((&header["alg"], &header["kid"]), (&json!("EdDSA"), &json!("k")));
            prop_assert!(claims["iss"].is_string());
        }
    }

    /// What is signed is looked at all the same.
    #[test]
    fn claims_hold_only_as_they_are_written(edits in json_edits()) {
        let Value::Object(said) = edits.of(&claims()) else { return Ok(()) };
        let (claims, config) = (Claims::signed(said.clone()), config());
        let now = NOW.seconds().0;
        if let Ok(end) = claims.check_times(NOW, config.clock_leeway_seconds) {
            prop_assert!(end.0 + 30 > now && end.0 <= now + 30 + 24 * 3600, "{}", end.0);
            prop_assert_eq!(said["exp"].as_f64().unwrap() as u64, end.0);
        }
        if claims.check_audience(&config).is_ok() {
            let audience = &said["aud"];
            prop_assert!(*audience == json!("keycell") || audience.as_array().unwrap().contains(&json!("keycell")));
        }
        if let Ok(subject) = claims.subject(&config.subject_claim) {
            prop_assert_eq!(&said["sub"], &json!(subject));
            prop_assert!(!subject.is_empty() && !subject.contains(char::is_control));
        }
        if let Ok(role) = claims.role(&config) {
            let groups = said["groups"].to_string();
            let name = if role == Role::Admin { "\"keycell-admins\"" } else { "\"keycell-auditors\"" };
            prop_assert!(groups.contains(name));
        }
    }

    #[test]
    fn any_set_of_keys_is_read_and_signs_nothing(edits in edits(), json in json_edits()) {
        let set = json!({ "keys": [Signer::ed25519().jwk("a"), Signer::p256().jwk("b"), Signer::ed25519().jwk("a")] });
        let set = json.of(&set);
        for text in [set.to_string().into_bytes(), edits.bytes(set.to_string().as_bytes())] {
            let Ok(keys) = KeySet::parse(&text) else { continue };
            for algorithm in crate::oidc::Algorithm::all() {
                for kid in ["a", "b", ""] {
                    let Some(key) = keys.find(kid, algorithm) else { continue };
                    prop_assert!(!kid.is_empty());
                    prop_assert!(!key.signed(algorithm, "message", &encode([0; 64])));
                }
            }
        }
    }
}
