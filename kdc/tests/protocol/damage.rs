//! Rows that somebody else wrote, under a KDC that runs: nothing that was taken back comes to hold again.

use keycell_kdc::administration::{AdminError, Caller, ImportEntry, NewEntry, Precondition};
use keycell_kdc::api::{CreatedToken, ImportOutcome, NewRule, NewToken, RulePatch};
use keycell_kdc::audit::Action;
use keycell_kdc::cell::Cell;
use keycell_kdc::policy::{MAX_RULES, Rule};
use keycell_kdc::store::{Act, Kind, Write};
use keycell_kdc::token::Role;

use super::Zone;
use super::zone::DAY;

async fn token(zone: &Zone) -> CreatedToken {
    let new = NewToken { subject: "alice".to_owned(), role: Role::Admin, ttl_seconds: None };
    zone.kdc.tokens().create(&Caller::console(), &new, |_| Ok(None)).await.unwrap()
}

async fn opens(zone: &Zone, token: &CreatedToken) -> bool {
    zone.kdc.access().check(&token.token, zone.now()).await.is_ok()
}

fn new_rule(id: &str) -> NewRule {
    let new = serde_json::json!({ "id": id, "effect": "deny", "source": "a@cell1.internal", "destination": "b@cell1.internal" });
    serde_json::from_value(new).unwrap()
}

async fn rule(zone: &Zone, id: &str) -> Rule {
    zone.kdc.policies().create(&Caller::console(), &new_rule(id), |_| Ok(None)).await.unwrap()
}

/// Whether the directory is in step with the database.
async fn in_step(zone: &Zone) -> bool {
    zone.kdc.follower().catch_up().await.is_ok()
}

#[tokio::test]
async fn one_unreadable_row_stops_no_revocation() {
    for damage in [
        "INSERT INTO tombstone (name, revision, last_generation, change) SELECT 'no name', 1, 1, last FROM change_counter",
        "UPDATE document SET revision = -1 WHERE kind = 'token' AND id <> '{token}'",
        "INSERT INTO document_change (kind, change) SELECT 'of a newer release', last FROM change_counter",
        "UPDATE party SET revision = -1, change = (SELECT last FROM change_counter) WHERE name LIKE 'd@%'",
        "UPDATE party_key SET state = 'activ' WHERE party LIKE 'd@%'",
        "UPDATE document SET revision = -1 WHERE kind = 'rule'; UPDATE document_change SET change = (SELECT last FROM change_counter)",
        "UPDATE document SET body = CAST(X'ff' AS TEXT) WHERE kind = 'rule'; UPDATE document_change SET change = (SELECT last FROM change_counter)",
    ] {
        let zone = Zone::new().await;
        let (revoked, _other) = (token(&zone).await, token(&zone).await);
        for local in ["c", "d"] {
            zone.party(local).await;
        }
        let sql = damage.replace("{token}", &revoked.info.id);
        zone.sql(&format!("UPDATE change_counter SET last = last + 1; {sql}")).await;
        // By somebody else, as this KDC has it: it learns of it from the database.
        let cell = zone.cell().await;
        let other = cell.into_kdc(zone.config.clone(), zone.clock.clone()).await;
        match other {
            Ok(other) => {
                let caller = Caller::console();
                other.tokens().revoke(&caller, &revoked.info.id).await.unwrap();
                other.parties().delete(&caller, &zone.name("c"), &Precondition::NONE).await.unwrap();
            }
            // It does not start with a policy that does not hold; the one that runs goes on.
            Err(_) => {
                assert!(damage.contains("'rule'"), "{damage}");
                zone.kdc.tokens().revoke(&Caller::console(), &revoked.info.id).await.unwrap();
                let caller = Caller::console();
                zone.kdc.parties().delete(&caller, &zone.name("c"), &Precondition::NONE).await.unwrap();
            }
        }
        assert_eq!(in_step(&zone).await, !damage.contains("'rule'"), "{damage}");
        assert!(!opens(&zone, &revoked).await, "{damage}");
        assert!(zone.kdc.directory().party(zone.name("c").as_str()).is_none(), "{damage}");
        let damaged = zone.kdc.directory().party(zone.name("d").as_str());
        assert_eq!(damaged.is_none(), damage.contains("UPDATE party "), "{damage}");
        assert!(
            !zone.kdc.policies().rules().policy.rules().is_empty(),
            "the old policy is in force: {damage}"
        );
    }
}

#[tokio::test]
async fn a_database_that_went_back_is_read_in_spite_of_damage() {
    let zone = Zone::new().await;
    let revoked = token(&zone).await;
    zone.party("c").await;
    zone.sql("UPDATE change_counter SET last = last - 2; UPDATE document SET revision = -1 WHERE kind = 'rule'; DELETE FROM document WHERE kind = 'token'; DELETE FROM party_key; DELETE FROM party").await;
    assert!(!in_step(&zone).await);
    assert!(zone.kdc.directory().is_empty());
    assert!(!opens(&zone, &revoked).await);
    zone.sql("UPDATE document SET revision = 1 WHERE kind = 'rule'").await;
    assert!(in_step(&zone).await, "what did not hold is looked at again");
}

#[tokio::test]
async fn a_revoked_token_stays_revoked_when_its_old_row_comes_back() {
    let zone = Zone::new().await;
    let token = token(&zone).await;
    zone.sql("CREATE TABLE kept AS SELECT * FROM document WHERE kind = 'token'").await;
    zone.kdc.tokens().revoke(&Caller::console(), &token.info.id).await.unwrap();
    assert!(!opens(&zone, &token).await);
    let back = "INSERT OR REPLACE INTO document SELECT * FROM kept";
    for sql in [back, "DELETE FROM document WHERE kind = 'token'", back] {
        zone.sql_documents("token", sql).await;
        assert!(in_step(&zone).await);
        assert!(!opens(&zone, &token).await, "{sql}");
    }
    let record = zone.cell().await.store.document(Kind::Token, &token.info.id).await.unwrap().unwrap();
    assert_eq!(record.revision, 1, "the old row is there");
}

#[tokio::test]
async fn an_old_rule_does_not_come_back() {
    let zone = Zone::new().await;
    rule(&zone, "no").await;
    zone.sql("CREATE TABLE kept AS SELECT * FROM document WHERE id = 'no'").await;
    let patch: RulePatch = serde_json::from_value(serde_json::json!({ "note": "newer" })).unwrap();
    let newer =
        zone.kdc.policies().update(&Caller::console(), "no", &patch, &Precondition::NONE).await.unwrap();
    zone.sql_documents("rule", "INSERT OR REPLACE INTO document SELECT * FROM kept").await;
    assert!(!in_step(&zone).await);
    assert_eq!(zone.kdc.policies().show("no").unwrap(), newer);
    // Nor with the number of changes set back, as if it were another database.
    zone.sql("UPDATE change_counter SET last = last - 2").await;
    assert!(!in_step(&zone).await);
    assert_eq!(zone.kdc.policies().show("no").unwrap(), newer);
}

#[tokio::test]
async fn what_is_in_force_can_be_taken_back_whatever_its_row_says() {
    for damage in [
        "UPDATE document SET revision = -1 WHERE kind = 'token'",
        "UPDATE document SET body = '{}' WHERE kind = 'token'",
        "UPDATE document SET body = CAST(X'ff' AS TEXT) WHERE kind = 'token'",
        "DELETE FROM document WHERE kind = 'token'",
        "UPDATE party SET revision = -1",
        "UPDATE party SET note = CAST(X'ff' AS TEXT)",
        "UPDATE party_key SET state = 'activ'",
        "UPDATE party_key SET wrapped = X'00'",
        "DELETE FROM party_key; DELETE FROM party",
    ] {
        let mut zone = Zone::new().await;
        let token = token(&zone).await;
        let (mut disabled, mut deleted) = (zone.agent("c").await, zone.agent("d").await);
        zone.agent("b").await;
        zone.sql(damage).await;
        assert!(opens(&zone, &token).await, "it is in force until it is revoked: {damage}");
        let caller = Caller::console();
        zone.kdc.tokens().revoke(&caller, &token.info.id).await.unwrap();
        zone.kdc.tokens().revoke(&caller, &token.info.id).await.unwrap();
        zone.set_enabled("c", false).await;
        zone.kdc.parties().delete(&caller, &zone.name("d"), &Precondition::NONE).await.unwrap();
        for restarted in [false, true] {
            if restarted {
                zone.restart().await;
            }
            assert!(!opens(&zone, &token).await, "{damage}");
            zone.seal(&mut disabled, "b", b"x").unwrap_err();
            zone.seal(&mut deleted, "b", b"x").unwrap_err();
            let c = zone.kdc.directory().party(zone.name("c").as_str()).unwrap();
            assert!(!c.enabled(), "{damage}");
            assert!(zone.kdc.directory().party(zone.name("d").as_str()).is_none(), "{damage}");
        }
        let again = zone.kdc.tokens().show(&token.info.id).unwrap();
        assert!(again.revoked_at.is_some(), "{damage}");
    }
}

#[tokio::test]
async fn what_is_done_is_not_called_failed() {
    let zone = Zone::new().await;
    zone.sql_documents("rule", "UPDATE document SET body = '{}' WHERE kind = 'rule'").await;
    let name = zone.name("c");
    zone.create(&name).await;
    let entry = |local: &str, line| ImportEntry { line, entry: NewEntry::named(zone.name(local)) };
    zone.sql("UPDATE party_key SET wrapped = X'00' WHERE party LIKE 'c@%'").await;
    let mut lines = [entry("c", 1), entry("e", 2)];
    lines[0].entry.secret = Some([7; 32].into());
    let results = zone.kdc.parties().import(&Caller::console(), &lines, false).await;
    let outcomes: Vec<_> = results.iter().map(|result| (result.outcome, result.error.is_some())).collect();
    assert_eq!(outcomes, [(ImportOutcome::Failed, true), (ImportOutcome::Created, false)]);
    assert!(zone.kdc.directory().party(zone.name("e").as_str()).is_some());
    zone.set_enabled("e", false).await;
    assert!(!in_step(&zone).await, "the policy still does not hold");
}

#[tokio::test]
async fn rules_made_at_once_are_counted() {
    let mut zone = Zone::new().await;
    let cell = zone.cell().await;
    // As an older release could leave them: all but one, then those that two KDCs make at once.
    let mut act = Act::default();
    for n in 0..MAX_RULES - 2 {
        let mut rule = zone.kdc.policies().rules().policy.rules()[0].clone();
        rule.id = format!("r{n}").parse().unwrap();
        act.writes.push(put(&cell, &rule));
    }
    cell.store.commit(&act, &cell.audit_key).await.unwrap();
    assert!(in_step(&zone).await);
    assert_eq!(zone.kdc.policies().rules().policy.rules().len(), MAX_RULES - 1);
    let other = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    let (new, caller) = (new_rule("last"), Caller::console());
    other.policies().create(&caller, &new, |_| Ok(None)).await.unwrap();
    // It has not heard of the last one.
    let error = zone.kdc.policies().create(&caller, &new_rule("more"), |_| Ok(None)).await.unwrap_err();
    assert!(matches!(error, AdminError::Invalid { .. }), "{error}");

    let mut rule = zone.kdc.policies().show("last").unwrap();
    rule.id = "beyond".parse().unwrap();
    cell.store
        .commit(&Act { writes: vec![put(&cell, &rule)], events: Vec::new() }, &cell.audit_key)
        .await
        .unwrap();
    zone.restart().await;
    assert_eq!(zone.kdc.policies().rules().policy.rules().len(), MAX_RULES + 1);
    zone.kdc.policies().delete(&caller, "beyond", &Precondition::NONE).await.unwrap();
}

#[tokio::test]
async fn a_step_of_housekeeping_that_fails_keeps_no_other_from_being_done() {
    let zone = Zone::new().await;
    let token = token(&zone).await;
    zone.sql("DROP TABLE answer").await;
    zone.clock.advance(70 * DAY);
    let error = zone.kdc.keep_house().await.unwrap_err().to_string();
    assert!(error.starts_with("forgetting old answers: ") && !error.contains("; "), "{error}");
    assert!(zone.kdc.tokens().show(&token.info.id).is_err(), "it is forgotten");
}

#[tokio::test]
async fn damage_that_stops_retention_is_told_once_an_hour() {
    let zone = Zone::new().await;
    let patch = serde_json::from_value(serde_json::json!({ "audit_retention_days": 30 })).unwrap();
    zone.kdc.settings().change_zone(&Caller::console(), &patch, &Precondition::NONE).await.unwrap();
    zone.sql("UPDATE audit SET at = -1 WHERE seq = 2").await;
    zone.clock.advance(70 * DAY);
    zone.kdc.record(Action::KdcStart).await.unwrap();
    let error = zone.kdc.keep_house().await.unwrap_err().to_string();
    assert!(error.starts_with("audit retention: nothing was removed"), "{error}");
    zone.clock.advance(60_000);
    zone.kdc.keep_house().await.unwrap();
    zone.clock.advance(3_600_000);
    zone.kdc.keep_house().await.unwrap_err();
}

fn put(cell: &Cell, rule: &Rule) -> Write {
    let body = serde_json::to_string(rule).unwrap();
    let rng = &mut rand_core::UnwrapErr(getrandom::SysRng);
    let document = cell.keyring.seal_document(Kind::Rule, rule.id.to_string(), 1, body, rng);
    Write::PutDocument { document, expected: None }
}
