//! Rules that no Keycell of this release wrote: as the database has them, and as an administrator sends them.

use serde_json::{Value, json};

use super::*;
use crate::api;
use crate::mangle::{edits, json_edits};

fn stored() -> Value {
    json!({
        "id": "web", "revision": 3, "effect": "allow", "max_lifetime_seconds": 60, "mode": "monitor",
        "source": "a*@z", "destination": "{a,b}?@z", "note": "what for", "expires_at": 2000,
        "created_at": 1, "updated_at": 2,
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    /// A rule is refused, or written as it was read, and decides as it says.
    #[test]
    fn a_stored_rule_is_understood_or_refused(edits in json_edits(), source in any_name(), destination in any_name()) {
        let Ok(rule) = serde_json::from_value::<Rule>(edits.of(&stored())) else { return Ok(()) };
        let written = serde_json::to_value(&rule).unwrap();
        prop_assert_eq!(&serde_json::from_value::<Rule>(written).unwrap(), &rule);
        let rules = [rule];
        let policy = Policy::load(rules.to_vec(), LIFETIME).unwrap();
        prop_assert_eq!(policy.decide(&source, &destination, NOW), reference(&rules, &source, &destination, NOW));
    }

    /// So is a whole policy that is sent.
    #[test]
    fn a_policy_that_is_sent_is_understood_or_refused(edits in edits(), json in json_edits()) {
        let mut rule = stored();
        for name in ["revision", "created_at", "updated_at"] {
            rule.as_object_mut().unwrap().remove(name);
        }
        let sample = json.of(&json!({ "rules": [rule, { "effect": "deny", "source": "a", "destination": "b" }] }));
        for text in [sample.to_string().into_bytes(), edits.bytes(sample.to_string().as_bytes())] {
            let Ok(api::Object(rules)) = serde_json::from_slice::<api::Object<api::Rules>>(&text) else { continue };
            let written = serde_json::to_vec(&rules).unwrap();
            let api::Object(again) = serde_json::from_slice::<api::Object<api::Rules>>(&written).unwrap();
            prop_assert_eq!(again.rules, rules.rules);
        }
    }
}

#[test]
fn the_rule_of_these_tests_is_one() {
    let rule: Rule = serde_json::from_value(stored()).unwrap();
    assert_eq!(serde_json::to_value(rule).unwrap(), stored());
}
