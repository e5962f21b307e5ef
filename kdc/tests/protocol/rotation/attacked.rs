//! What a clock that is far off, and who writes to the database without the master key, cannot do to keys.

use keycell_protocol::{ProblemType, Step};

use super::steps::too_soon;
use crate::zone::{DAY, Zone};

#[tokio::test]
async fn an_end_that_a_wrong_clock_set_does_not_count_when_it_is_right_again() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    let start = zone.now();
    zone.clock.advance(20 * DAY);
    let next = zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    assert!(zone.ticket("a", &old, "b").is_ok(), "by that clock it is retiring");
    zone.clock.set(start.plus(2 * 3_600_000));
    assert!(zone.ticket("a", &next, "b").is_ok());
    assert_eq!(zone.ticket("a", &old, "b").err(), Some(ProblemType::Unauthenticated));
    let again = zone.stage("a", &next).await;
    assert!(again.generation() > next.generation(), "nor does it keep the host from its next key");
}

#[tokio::test]
async fn a_clock_that_is_not_believed_makes_no_keys_of_the_future() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    assert!(zone.kdc.rewrapper().pass().await.unwrap().believed);
    let start = zone.now();
    zone.clock.advance(3650 * DAY);
    assert!(!zone.kdc.rewrapper().pass().await.unwrap().believed);
    let next = zone.stage("a", &old).await;
    assert!(next.epoch().0 <= old.epoch().0 + 1, "{} {}", old.epoch(), next.epoch());
    zone.commit("a", &next).await;
    zone.clock.set(start.plus(10 * DAY));
    assert!(zone.kdc.rewrapper().pass().await.unwrap().believed);
    let party = zone.kdc.directory().party(zone.name("a").as_str()).unwrap();
    assert_eq!(party.epoch(next.generation()).unwrap().0, old.epoch().0 + 9, "it turns as any other");
    assert!(zone.ticket("a", &next, "b").is_ok());
    assert!(zone.ticket("a", &old, "b").is_err());
}

#[tokio::test]
async fn before_anything_was_turned_the_clock_is_held_against_the_making_of_the_zone() {
    let mut zone = Zone::new().await;
    let old = zone.party("a").await;
    zone.party("b").await;
    zone.sql("UPDATE zone SET ratchet_epoch = 0").await;
    let start = zone.now();
    zone.clock.advance(3650 * DAY);
    zone.restart().await;
    assert!(!zone.kdc.rewrapper().pass().await.unwrap().believed);
    zone.clock.set(start.plus(60_000));
    zone.restart().await;
    zone.clock.advance(1);
    assert!(zone.ticket("a", &old, "b").is_ok());
}

#[tokio::test]
async fn rows_that_are_put_back_under_a_running_kdc_give_nothing_back() {
    let zone = Zone::new().await;
    let cell = zone.cell().await;
    let mark = cell.watermark(&zone.config, None, zone.now()).await.unwrap();
    cell.store.close().await;
    zone.kdc.follower().remember(mark).await.unwrap();
    let (a, c) = (zone.party("a").await, zone.party("c").await);
    zone.party("b").await;
    zone.sql("CREATE TABLE kept AS SELECT * FROM party_key").await;
    zone.set_enabled("a", false).await;
    let (next, _) = zone.replace("c", [9; 32], true).await;
    zone.sql(
        "PRAGMA foreign_keys = ON; UPDATE change_counter SET last = last + 2;
         UPDATE party SET enabled = 1, revocation_epoch = 0, revision = 50,
             change = (SELECT last FROM change_counter) WHERE name LIKE 'a@%';
         UPDATE party SET revision = 50, change = (SELECT last - 1 FROM change_counter) WHERE name LIKE 'c@%';
         DELETE FROM party_key WHERE party LIKE 'a@%' OR party LIKE 'c@%';
         INSERT INTO party_key SELECT * FROM kept WHERE party LIKE 'a@%' OR party LIKE 'c@%'; DROP TABLE kept",
    )
    .await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(zone.ticket("a", &a, "b").err(), Some(ProblemType::PartyDisabled));
    assert_eq!(zone.ticket("c", &c, "b").err(), Some(ProblemType::Unauthenticated));
    assert!(zone.ticket("c", &next, "b").is_ok(), "what is in memory stays");
    zone.kdc.follower().keep_watermark().await;
    let remembered = std::fs::read_to_string(&zone.config.revocations).unwrap();
    assert!(remembered.contains("disabled"), "nor is it forgotten: {remembered}");
}

/// A commit that comes while the key before retires is answered by waiting.
#[tokio::test]
async fn a_retiring_key_keeps_the_pace() {
    let zone = Zone::new().await;
    let old = zone.party("a").await;
    let next = zone.stage("a", &old).await;
    zone.commit("a", &next).await;
    assert!(too_soon(zone.rotate("a", Step::Stage, &next).await) > 0);
}
