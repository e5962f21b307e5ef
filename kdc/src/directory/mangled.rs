//! Documents that another release wrote, which holds the master key, and ones that somebody changed who does not.

use keycell_protocol::UnixSeconds;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::documents::{GroupRecords, TokenRecords, groups, settings, tokens};
use crate::keyring::{Keyring, MasterKey};
use crate::mangle::{edits, json_edits};
use crate::settings::{LimitsSetting, MasterKeySetting, ZoneSetting};
use crate::store::{ChangeNumber, Document, Documents, Kind};
use crate::token::TokenRecord;

fn keyring(version: u32) -> Keyring {
    let mut rng = crate::random::system();
    Keyring::create(MasterKey::generate(version, &mut rng), &mut rng).0
}

fn sealed(keyring: &Keyring, kind: Kind, id: &str, body: &Value) -> Document {
    keyring.seal_document(kind, id.to_owned(), 7, body.to_string(), &mut crate::random::system())
}

fn documents(document: Document) -> Documents {
    Documents { change: ChangeNumber(7), documents: vec![document], damaged: Vec::new() }
}

fn group() -> Value {
    let chain = |version| json!({"version": version, "first": 5, "begins_at": 1000, "lifetime_seconds": 300, "ended_at": 2000});
    json!({
        "name": "g@z", "members": ["g.*@z"], "excluded": ["g.a@z"], "lifetime_seconds": 300, "author_proof": true,
        "note": "what for", "created_at": 1, "updated_at": 2, "revision": 3, "chains": [chain(1), chain(2)],
    })
}

fn token() -> Value {
    json!({
        "subject": "alice", "role": "admin", "created_at": 1000, "expires_at": 2000, "created_by": "console:root",
        "revoked_at": 1500,
    })
}

proptest! {
    #[test]
    fn a_group_is_understood_or_is_none(
        json in json_edits(),
        edits in edits(),
        id in select(vec!["g", "g", "h"]),
        at in any::<u64>(),
    ) {
        let keyring = keyring(1);
        let document = sealed(&keyring, Kind::Group, id, &json.of(&group()));
        let read = groups(&documents(document.clone()), &keyring, &GroupRecords::new()).records;
        if let Some(record) = read.get(id) {
            prop_assert_eq!((record.name.local(), record.revision), (id, 7));
            let written = serde_json::to_value(record).unwrap();
            let again = sealed(&keyring, Kind::Group, id, &written);
            prop_assert_eq!(&groups(&documents(again), &keyring, &GroupRecords::new()).records, &read);
            // Whatever numbers it has: a member is given the last key, this one and the next.
            for chain in &record.chains {
                prop_assert!(chain.given(UnixSeconds(at)).len() <= 3);
            }
        }
        let changed = Document { body: edits.text(&document.body), ..document.clone() };
        let believed = !groups(&documents(changed.clone()), &keyring, &GroupRecords::new()).records.is_empty();
        prop_assert!(!believed || changed == document);
    }

    #[test]
    fn settings_are_understood_or_refused(
        json in json_edits(),
        (id, body) in select(vec![
            (ZoneSetting::ID, json!({"ticket_lifetime_seconds": 900, "audit_retention_days": 5, "rotate_keys_after_days": 9})),
            (LimitsSetting::ID, json!({
                "per_address": {"per_second": 1, "burst": 2}, "failures_per_address": null, "tickets_per_party": null,
            })),
            (MasterKeySetting::ID, json!({"active": 2, "rewrapped": true})),
        ]),
    ) {
        let keyring = keyring(1);
        let body = json.of(&body);
        let Ok(read) = settings(&documents(sealed(&keyring, Kind::Setting, id, &body)), &keyring) else {
            return Ok(());
        };
        let written = match id {
            ZoneSetting::ID => serde_json::to_value(&read.zone),
            LimitsSetting::ID => serde_json::to_value(&read.limits),
            _ => serde_json::to_value(read.master_key),
        };
        let again = settings(&documents(sealed(&keyring, Kind::Setting, id, &written.unwrap())), &keyring);
        prop_assert_eq!(again.unwrap(), read);
    }

    /// Of a token under a master key that is not here yet, only that it is revoked is believed.
    #[test]
    fn a_token_is_believed_as_it_was_sealed(json in json_edits(), edits in edits(), here in any::<bool>()) {
        let keyring = keyring(1);
        let body = json.of(&token());
        let document = if here {
            sealed(&keyring, Kind::Token, "t", &body)
        } else {
            let mut document = sealed(&self::keyring(2), Kind::Token, "t", &body);
            document.body = edits.text(&document.body);
            document
        };
        let before: TokenRecord = serde_json::from_value(json!({
            "subject": "bob", "role": "auditor", "created_at": 1000, "expires_at": 3000, "created_by": "console:root",
        })).unwrap();
        let known = TokenRecords::from([("t".to_owned(), before.clone())]);
        let read = tokens(&documents(document.clone()), &keyring, &known);
        let told = serde_json::from_str::<TokenRecord>(&document.body).ok();
        if here {
            prop_assert_eq!(read.get("t"), told.as_ref());
        } else {
            let revoked_at = told.and_then(|told| told.revoked_at);
            prop_assert_eq!(read.get("t"), Some(&TokenRecord { revoked_at, ..before }));
        }
    }
}

#[test]
fn the_documents_of_these_tests_are_read() {
    let keyring = keyring(1);
    let group = documents(sealed(&keyring, Kind::Group, "g", &group()));
    assert_eq!(groups(&group, &keyring, &GroupRecords::new()).records.len(), 1);
    let token = documents(sealed(&keyring, Kind::Token, "t", &token()));
    assert_eq!(tokens(&token, &keyring, &TokenRecords::new()).len(), 1);
}
