//! A party replaces its own key, step by step, and whatever comes between (docs/protocol.md §4.4).

mod attacked;
pub(crate) mod steps;

use keycell_kdc::administration::{Asker, Caller, PartyError, Precondition};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::limit::Rate;
use keycell_kdc::store::AuditQuery;
use keycell_kdc::store::KeyState::{Active, Dead, Retiring, Staged};
use keycell_protocol::{
    Generation, Instance, LongTermKey, Nonce, ProblemType, RatchetPeriod, Rotated, RotationRequest,
    SignedRotation, Step,
};

use self::steps::{problem, too_soon};
use crate::zone::{DAY, Zone};

/// How long a key that was replaced is accepted: a ticket's 15 minutes, and twice the minute that clocks may be off.
const RETIRING: u64 = (900 + 120) * 1000;

/// The process of the KDC ends after each step, and another goes on from the database.
#[tokio::test]
async fn a_key_turns_over_whatever_ends_in_between() {
    for ends in [false, true] {
        let mut zone = Zone::new().await;
        let (old, other) = (zone.party("a").await, zone.party("b").await);
        zone.clock.advance(1);
        macro_rules! perhaps_end {
            () => {
                if ends {
                    zone.restart().await;
                    // Its own start is not to stand in the way.
                    zone.clock.advance(1);
                }
            };
        }
        let next = zone.stage("a", &old).await;
        assert_eq!((next.generation(), next.epoch()), (Generation(2), old.epoch()));
        assert_ne!(next.expose_secret(), old.expose_secret());
        assert_eq!(zone.states("a").await, [(1, Active), (2, Staged)]);
        perhaps_end!();
        // A staged key is good for nothing: no ticket for it, none with it, no next key with it.
        assert_eq!(zone.ticket("b", &other, "a").unwrap().generation, Generation(1));
        assert_eq!(zone.ticket("a", &next, "b"), Err(ProblemType::Unauthenticated));
        assert_eq!(problem(zone.rotate("a", Step::Stage, &next).await), ProblemType::Unauthenticated);
        zone.ticket("a", &old, "b").unwrap();

        // The answer was lost: the same one again.
        let again = zone.stage("a", &old).await;
        assert_eq!((again.generation(), again.expose_secret()), (next.generation(), next.expose_secret()));
        perhaps_end!();

        zone.commit("a", &next).await;
        assert_eq!(zone.states("a").await, [(1, Retiring), (2, Active)]);
        perhaps_end!();
        assert_eq!(zone.ticket("b", &other, "a").unwrap().generation, Generation(2));
        // Repeated, it is harmless.
        zone.commit("a", &next).await;
        // Both are accepted; the old one gives no other key any more.
        zone.ticket("a", &old, "b").unwrap();
        zone.ticket("a", &next, "b").unwrap();
        for step in [Step::Stage, Step::Commit] {
            let error = zone.rotate("a", step, &old).await.unwrap_err().to_string();
            assert!(error.contains("a newer key is active"), "{error}");
        }
        // One at a time.
        let wait = too_soon(zone.rotate("a", Step::Stage, &next).await);
        assert!((RETIRING - 10..=RETIRING).contains(&wait), "{wait}");

        zone.clock.advance(wait - 1);
        zone.ticket("a", &old, "b").unwrap();
        zone.clock.advance(1);
        // Its time is over by the clock, whether or not anybody has tidied.
        assert_eq!(zone.ticket("a", &old, "b"), Err(ProblemType::Unauthenticated));
        perhaps_end!();
        assert_eq!(zone.states("a").await, [(1, Retiring), (2, Active)]);
        zone.kdc.keep_house().await.unwrap();
        assert_eq!(zone.states("a").await, [(2, Active)]);
        assert_eq!(zone.ticket("a", &old, "b"), Err(ProblemType::Unauthenticated));
        assert_eq!(problem(zone.rotate("a", Step::Commit, &old).await), ProblemType::Unauthenticated);
        zone.ticket("a", &next, "b").unwrap();

        // Generations go on counting.
        assert_eq!(zone.stage("a", &next).await.generation(), Generation(3));
    }
}

#[tokio::test]
async fn a_staged_key_that_nobody_fetches_is_forgotten() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    let lost = zone.stage("a", &old).await;
    zone.clock.advance(DAY - 1);
    assert_eq!(zone.stage("a", &old).await.expose_secret(), lost.expose_secret());
    zone.clock.advance(1);
    assert_eq!(problem(zone.rotate("a", Step::Commit, &lost).await), ProblemType::Unauthenticated);
    let next = zone.stage("a", &old).await;
    assert_eq!(next.generation(), Generation(3));
    assert_eq!(zone.states("a").await, [(1, Active), (3, Staged)]);
    zone.clock.advance(DAY);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.states("a").await, [(1, Active)]);
    assert_eq!(problem(zone.rotate("a", Step::Commit, &next).await), ProblemType::Unauthenticated);
    let next = zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    assert_eq!(zone.states("a").await, [(1, Retiring), (4, Active)]);
}

/// What protects tickets protects rotations: each of these would be a hole of its own.
#[tokio::test]
async fn a_request_to_rotate_is_checked_as_one_for_tickets() {
    let rate = Rate::new(10, 1000);
    let zone = Zone::with(RatchetPeriod::DEFAULT, |config| config.limits.tickets_per_party = rate).await;
    let key = zone.party("a").await;
    zone.clock.advance(1);
    let request = |timestamp| RotationRequest {
        source: zone.name("a"),
        step: Step::Stage,
        timestamp,
        nonce: Nonce([7; 16]),
        instance: Instance([1; 16]),
    };
    let ask = async |request: &RotationRequest, key: &LongTermKey| {
        let json = SignedRotation::sign(request, &key.keys_for()).to_json();
        let answer = zone.kdc.rotate(&SignedRotation::parse(&json).unwrap(), &Asker::default()).await;
        answer.map(drop).map_err(|error| match error {
            PartyError::Denied(denied) => denied.problem(),
            PartyError::Admin(error) => panic!("{error}"),
        })
    };
    let now = zone.now();
    assert_eq!(ask(&request(now.plus(60_001)), &key).await, Err(ProblemType::ClockSkew));
    assert_eq!(ask(&request(now.minus(60_001)), &key).await, Err(ProblemType::ClockSkew));
    assert_eq!(ask(&request(now.minus(2)), &key).await, Err(ProblemType::ClockSkew), "before its start");
    assert_eq!(ask(&request(now), &key).await, Ok(()));
    assert_eq!(ask(&request(now), &key).await, Err(ProblemType::Replayed));
    let forger = LongTermKey::new(key.generation(), key.epoch(), [1; 32]);
    assert_eq!(ask(&request(now), &forger).await, Err(ProblemType::Unauthenticated));
    let nobody = RotationRequest { source: zone.name("nobody"), ..request(now) };
    assert_eq!(ask(&nobody, &forger).await, Err(ProblemType::Unauthenticated));
    zone.set_enabled("a", false).await;
    let other = RotationRequest { nonce: Nonce([8; 16]), ..request(now) };
    assert_eq!(ask(&other, &key).await, Err(ProblemType::PartyDisabled));
    zone.set_enabled("a", true).await;
    // Each costs as much as a hundred tickets. What was refused before cost nothing.
    let mut done = 1;
    loop {
        let nonce = Nonce([done, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        match ask(&RotationRequest { nonce, ..request(now) }, &key).await {
            Ok(()) => done += 1,
            Err(problem) => break assert_eq!((problem, done), (ProblemType::RateLimited, 10)),
        }
    }
}

/// A KDC is a moment behind the others of its zone. What it does to a key begins with the database all the same.
#[tokio::test]
async fn what_another_kdc_did_a_moment_ago_counts() {
    let zone = Zone::new().await;
    let (a, b) = (zone.party("a").await, zone.party("b").await);
    let behind = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    let commit = async |local, key: &LongTermKey| zone.rotate_at(&behind, local, Step::Commit, key).await;
    let stage = async |local, key: &LongTermKey| zone.rotate_at(&behind, local, Step::Stage, key).await;
    let next = zone.stage("a", &a).await;
    assert!(matches!(commit("a", &next).await.unwrap(), Rotated::Committed { .. }));
    // The other one is behind now, and repeats it.
    zone.commit("a", &next).await;
    zone.ticket("a", &next, "b").unwrap();

    let next = zone.stage("b", &b).await;
    zone.commit("b", &next).await;
    let error = stage("b", &b).await.unwrap_err().to_string();
    assert!(error.contains("a newer key is active"), "{error}");
    zone.set_enabled("b", false).await;
    assert_eq!(problem(commit("b", &next).await), ProblemType::PartyDisabled);
    zone.kdc.parties().delete(&Caller::console(), &zone.name("a"), &Precondition::NONE).await.unwrap();
    assert_eq!(problem(stage("a", &a).await), ProblemType::Unauthenticated);
    behind.close().await;
}

#[tokio::test]
async fn who_disables_a_party_in_between_stops_the_rotation() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    let next = zone.stage("a", &old).await;
    zone.set_enabled("a", false).await;
    assert_eq!(problem(zone.rotate("a", Step::Commit, &next).await), ProblemType::PartyDisabled);
    zone.set_enabled("a", true).await;
    zone.commit("a", &next).await;
}

#[tokio::test]
async fn a_party_is_told_to_rotate_until_it_has() {
    let zone = Zone::new().await;
    let (old, other) = (zone.party("a").await, zone.party("b").await);
    zone.clock.advance(1);
    assert!(!zone.ticket("a", &old, "b").unwrap().rotate);
    zone.ask_for_a_new_key("a").await;
    assert!(zone.ticket("a", &old, "b").unwrap().rotate);
    assert!(!zone.ticket("b", &other, "a").unwrap().rotate, "only who is meant");
    // Asking again changes nothing.
    let revision = || zone.kdc.directory().party(zone.name("a").as_str()).unwrap().record().revision;
    let before = revision();
    zone.clock.advance(1000);
    zone.ask_for_a_new_key("a").await;
    assert_eq!(revision(), before);

    let next = zone.stage("a", &old).await;
    assert!(zone.ticket("a", &old, "b").unwrap().rotate, "not before it has");
    zone.commit("a", &next).await;
    assert!(!zone.ticket("a", &next, "b").unwrap().rotate);
    assert!(!zone.ticket("a", &old, "b").unwrap().rotate, "an old key cannot rotate");
    // Asked while the old key is retiring, it is told when that has ended.
    zone.clock.advance(1);
    zone.ask_for_a_new_key("a").await;
    assert!(!zone.ticket("a", &next, "b").unwrap().rotate);
    zone.clock.advance(RETIRING);
    assert!(zone.ticket("a", &next, "b").unwrap().rotate);
}

/// Messages that are on their way open with the key that they are for, and new ones are for the new key at once.
#[tokio::test]
async fn messages_go_on_across_a_rotation() {
    let zone = Zone::new().await;
    let old = zone.party("b").await;
    let (mut a, mut before) = (zone.agent("a").await, zone.agent_with("b", old.clone(), zone.now()));
    let mut c = zone.agent("c").await;
    let early = zone.seal(&mut a, "b", b"early").unwrap();
    let next = zone.stage("b", &old).await;
    zone.commit("b", &next).await;
    // Under a ticket that was given before.
    let late = zone.seal(&mut a, "b", b"late").unwrap();
    let mut after = zone.agent_with("b", next, zone.now());
    for message in [&early, &late] {
        assert!(before.open(zone.now(), message).is_ok());
        assert_eq!(after.open(zone.now(), message).unwrap_err().cause().code(), "no-key");
    }
    let message = zone.seal(&mut c, "b", b"new").unwrap();
    assert_eq!(after.open(zone.now(), &message).unwrap().body, b"new");
    assert_eq!(before.open(zone.now(), &message).unwrap_err().cause().code(), "no-key");
    // A ticket of the old key ends before the key does.
    let end = a.ticket_expiration(zone.now(), &zone.name("b")).unwrap();
    assert!(end.millis() < zone.now().plus(RETIRING));
}

/// A key that somebody else could have staged before is not what an administrator wants now.
#[tokio::test]
async fn a_key_that_was_staged_before_somebody_asked_is_made_anew() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    let early = zone.stage("a", &old).await;
    zone.clock.advance(1);
    zone.ask_for_a_new_key("a").await;
    let next = zone.stage("a", &old).await;
    assert_eq!(next.generation(), Generation(3));
    assert_eq!(zone.stage("a", &old).await.expose_secret(), next.expose_secret());
    assert_eq!(problem(zone.rotate("a", Step::Commit, &early).await), ProblemType::Unauthenticated);
    zone.commit("a", &next).await;
    assert!(!zone.ticket("a", &next, "a").is_ok_and(|ticket| ticket.rotate));
}

#[tokio::test]
async fn keys_that_are_old_are_rotated_if_the_zone_says_so() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    let patch = serde_json::from_value(serde_json::json!({ "rotate_keys_after_days": 10 })).unwrap();
    zone.kdc.settings().change_zone(&Caller::console(), &patch, &Precondition::NONE).await.unwrap();
    zone.clock.advance(9 * DAY);
    assert!(!zone.ticket("a", &old, "b").unwrap().rotate);
    // At 10 days, and up to a day later by its name.
    zone.clock.advance(2 * DAY);
    assert!(zone.ticket("a", &old, "b").unwrap().rotate);
    let next = zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    assert!(!zone.ticket("a", &next, "b").unwrap().rotate);
}

#[tokio::test]
async fn an_administrator_hands_out_a_key() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    zone.stage("a", &old).await;
    let (next, retried) = zone.replace("a", [9; 32], false).await;
    assert_eq!((next.generation(), retried), (Generation(3), false));
    assert_eq!(zone.states("a").await, [(1, Retiring), (3, Active)]);
    zone.ticket("a", &old, "b").unwrap();
    zone.ticket("a", &next, "b").unwrap();
    // The answer was lost: the same again, also days later.
    zone.clock.advance(3 * DAY);
    let (again, retried) = zone.replace("a", [9; 32], false).await;
    assert_eq!((again.generation(), again.epoch(), retried), (Generation(3), next.epoch(), true));
    assert_eq!(again.expose_secret(), next.expose_secret());

    // It was stolen: nothing of it is accepted from this moment.
    zone.replace("b", [7; 32], false).await;
    let (last, _) = zone.replace("a", [8; 32], true).await;
    assert_eq!(zone.states("a").await, [(4, Active)]);
    assert_eq!(zone.ticket("a", &next, "b"), Err(ProblemType::Unauthenticated));
    zone.ticket("a", &last, "b").unwrap();
}

#[tokio::test]
async fn a_party_whose_keys_are_erased_has_none_when_it_is_enabled_again() {
    let zone = Zone::new().await;
    let (old, other) = (zone.party("a").await, zone.party("b").await);
    let patch = PartyPatch { enabled: Some(false), erase_keys: Some(true), ..PartyPatch::default() };
    let name = zone.name("a");
    zone.kdc.parties().update(&Caller::console(), &name, &patch, &Precondition::NONE).await.unwrap();
    assert_eq!(zone.states("a").await, [(1, Dead)]);
    zone.set_enabled("a", true).await;
    assert_eq!(zone.ticket("a", &old, "b"), Err(ProblemType::Unauthenticated));
    assert_eq!(zone.ticket("b", &other, "a"), Err(ProblemType::DestinationDisabled));
    let (next, _) = zone.replace("a", [9; 32], false).await;
    assert_eq!(next.generation(), Generation(2));
    zone.ticket("a", &next, "b").unwrap();
    // Not by the way.
    let patch = PartyPatch { erase_keys: Some(true), ..PartyPatch::default() };
    let error = zone.kdc.parties().update(&Caller::console(), &name, &patch, &Precondition::NONE).await;
    assert!(error.unwrap_err().to_string().starts_with("erase_keys: "));
}

/// Whoever writes to the database cannot give a key more time than it has.
#[tokio::test]
async fn the_end_of_a_key_is_bound_to_it() {
    let mut zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    let next = zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    zone.clock.advance(RETIRING);
    zone.sql("UPDATE party_key SET ends_at = ends_at + 86400000 WHERE party LIKE 'a@%' AND generation = 1")
        .await;
    zone.restart().await;
    zone.clock.advance(1);
    assert_eq!(zone.ticket("a", &old, "b"), Err(ProblemType::Unauthenticated));
    zone.ticket("a", &next, "b").unwrap();
}

#[tokio::test]
async fn each_step_is_recorded() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.clock.advance(1);
    zone.ask_for_a_new_key("a").await;
    let next = zone.stage("a", &old).await;
    zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    zone.commit("a", &next).await;
    zone.clock.advance(RETIRING);
    zone.kdc.keep_house().await.unwrap();
    zone.kdc.keep_house().await.unwrap();
    let query = AuditQuery { action: Some("key".to_owned()), limit: 100, ..AuditQuery::default() };
    let records = zone.kdc.ledger().store().audit(&query).await.unwrap();
    let steps: Vec<_> = records
        .iter()
        .map(|record| (record.action.as_str(), record.actor.clone(), record.detail.clone()))
        .collect();
    let party = format!("party:{}", zone.name("a"));
    let console = Caller::console().actor.to_string();
    let told = |action, actor: &str, detail: &str| (action, actor.to_owned(), detail.to_owned());
    assert_eq!(
        steps,
        [
            told("key.rotate", &console, "{}"),
            told("key.stage", &party, r#"{"generation":2}"#),
            told("key.activate", &party, r#"{"before":1,"generation":2}"#),
            told("key.erase", "kdc", r#"{"generation":1}"#),
        ]
    );
    for secret in [old.expose_secret(), next.expose_secret()] {
        assert!(!format!("{records:?}").contains(&format!("{secret:?}")));
    }
}
