//! A host that is known comes again: what becomes of its keys.

use keycell_kdc::administration::{AdminError, Caller, PartyError, Precondition};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::enrollment::{EnrollError, EnrollmentMode, Refusal};
use keycell_kdc::store::KeyState::{Active, Dead, Retiring, Staged};
use keycell_protocol::{EnrollmentState, Generation, ProblemType, Step};

use super::host::{Host, refused};
use crate::zone::{DAY, Zone};

async fn aboard(zone: &Zone) -> (Host, super::host::Aboard) {
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let host = Host::new(zone, "nanoprobe", "web1.example", 1);
    let aboard = host.enrolls(zone).await.unwrap();
    // Nothing but its key is asked of it from now on.
    zone.set(|setting| setting.mode = EnrollmentMode::Closed).await;
    zone.clock.advance(1);
    (host, aboard)
}

#[tokio::test]
async fn both_keys_are_good_until_the_new_one_is_used() {
    let zone = Zone::new().await;
    let (host, first) = aboard(&zone).await;
    let other = zone.party("b").await;
    let local = host.local();
    let second = host.enrolls(&zone).await.unwrap();
    assert_eq!(second.enrolled.name, first.enrolled.name);
    assert_eq!((second.enrolled.state, second.enrolled.generation), (EnrollmentState::Staged, Generation(2)));
    assert_eq!(zone.states(&local).await, [(1, Active), (2, Staged)]);
    // It may have died before it stored the new one: the old one is as good as before.
    zone.ticket(&local, &first.key, "b").unwrap();
    assert_eq!(zone.ticket("b", &other, &local).unwrap().generation, Generation(1));
    assert_eq!(zone.ticket(&local, &second.key, "b"), Err(ProblemType::Unauthenticated));

    // Then it enrolls again, and the one in between is gone: no generation means two keys.
    zone.clock.advance(10_000);
    let third = host.enrolls(&zone).await.unwrap();
    assert_eq!(third.enrolled.generation, Generation(3));
    assert_eq!(zone.states(&local).await, [(1, Active), (3, Staged)]);
    assert_eq!(zone.events("key.erase").await.len(), 1);
    zone.commit(&local, &third.key).await;
    assert_eq!(zone.states(&local).await, [(1, Retiring), (3, Active)]);
    zone.ticket(&local, &first.key, "b").unwrap();
    zone.ticket(&local, &third.key, "b").unwrap();
    assert_eq!(zone.ticket("b", &other, &local).unwrap().generation, Generation(3));
}

/// Else whoever stole the key before would follow the host to each key that it makes to shake them off.
#[tokio::test]
async fn who_holds_the_key_before_is_not_given_the_one_that_the_host_made() {
    let zone = Zone::new().await;
    let (host, first) = aboard(&zone).await;
    let local = host.local();
    let second = host.enrolls(&zone).await.unwrap();
    zone.clock.advance(3_600_000);
    match zone.rotate(&local, Step::Stage, &first.key).await.unwrap_err() {
        PartyError::Admin(AdminError::NotYet { retry_after, .. }) => {
            assert_eq!(u64::try_from(retry_after.as_millis()), Ok(DAY - 3_600_000));
        }
        error => panic!("{error}"),
    }
    assert_eq!(zone.states(&local).await, [(1, Active), (2, Staged)]);
    // Where the host commits it, the one before gets none at all.
    zone.commit(&local, &second.key).await;
    assert!(zone.rotate(&local, Step::Stage, &first.key).await.is_err());
    zone.clock.advance(DAY);
    let third = zone.stage(&local, &second.key).await;
    assert_eq!(third.generation(), Generation(3));
    // Which is one of a rotation's, to be had again.
    assert_eq!(zone.stage(&local, &second.key).await.expose_secret(), third.expose_secret());
    zone.commit(&local, &third).await;
    // Where it never does, the key that is in use rotates as before once the other has ended.
    zone.clock.advance(DAY);
    host.enrolls(&zone).await.unwrap();
    zone.clock.advance(DAY);
    assert_eq!(zone.stage(&local, &third).await.generation(), Generation(5));
}

/// The KDC's clock, and so that of whoever it corrected, was ahead once.
#[tokio::test]
async fn a_moment_that_was_ahead_keeps_no_host_away() {
    let zone = Zone::new().await;
    let right = zone.now();
    zone.clock.advance(3_650 * DAY);
    let (host, _) = aboard(&zone).await;
    zone.clock.set(right);
    let next = host.enrolls(&zone).await.unwrap();
    assert_eq!(next.enrolled.generation, Generation(2));
    // From now on it is as ever.
    let old = host.request(&zone);
    zone.clock.advance(10_000);
    host.enrolls(&zone).await.unwrap();
    assert_eq!(old.go(&zone).await.unwrap_err(), EnrollError::Replayed);
}

#[tokio::test]
async fn who_comes_again_is_known_by_where_and_when_it_came_last() {
    let zone = Zone::new().await;
    let (mut host, _) = aboard(&zone).await;
    host.address = [198, 51, 100, 7].into();
    zone.clock.advance(DAY);
    let next = host.enrolls(&zone).await.unwrap();
    let party = zone.kdc.directory().party(next.enrolled.name.as_str()).unwrap();
    let record = party.record().enrollment.as_deref().unwrap();
    assert_eq!((record.address, record.renewed_at), (host.address, zone.now()));
    assert_eq!(record.enrolled_at, zone.now().minus(DAY + 1));
}

#[tokio::test]
async fn who_never_uses_the_new_key_keeps_the_old_one() {
    let zone = Zone::new().await;
    let (host, first) = aboard(&zone).await;
    zone.party("b").await;
    host.enrolls(&zone).await.unwrap();
    zone.clock.advance(DAY);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.states(&host.local()).await, [(1, Active)]);
    zone.ticket(&host.local(), &first.key, "b").unwrap();
}

#[tokio::test]
async fn keys_do_not_pile_up() {
    let zone = Zone::new().await;
    let (host, _) = aboard(&zone).await;
    for _ in 0..5 {
        let next = host.enrolls(&zone).await.unwrap();
        zone.commit(&host.local(), &next.key).await;
        zone.clock.advance(10_000);
    }
    assert_eq!(zone.states(&host.local()).await, [(4, Retiring), (5, Retiring), (6, Active)]);
    host.enrolls(&zone).await.unwrap();
    assert_eq!(zone.states(&host.local()).await, [(5, Retiring), (6, Active), (7, Staged)]);
}

/// As after a recovery: the host proves itself by its own key, and its new key is good at once.
#[tokio::test]
async fn who_has_no_living_key_gets_one_that_is_active() {
    let zone = Zone::new().await;
    let (host, first) = aboard(&zone).await;
    zone.party("b").await;
    let (name, caller) = (zone.name(&host.local()), Caller::console());
    let erase = PartyPatch { enabled: Some(false), erase_keys: Some(true), ..PartyPatch::default() };
    zone.kdc.parties().update(&caller, &name, &erase, &Precondition::NONE).await.unwrap();
    refused(host.enrolls(&zone).await, Refusal::Disabled);
    zone.set_enabled(&host.local(), true).await;
    assert_eq!(zone.states(&host.local()).await, [(1, Dead)]);
    assert_eq!(zone.kdc.directory().party(name.as_str()).unwrap().record().author_key, None);
    let next = host.enrolls(&zone).await.unwrap();
    assert_eq!((next.enrolled.state, next.enrolled.generation), (EnrollmentState::Active, Generation(2)));
    assert_eq!(zone.states(&host.local()).await, [(1, Dead), (2, Active)]);
    let author = zone.kdc.directory().party(name.as_str()).unwrap().record().author_key;
    assert_eq!(author, Some(host.key.public()));
    zone.ticket(&host.local(), &next.key, "b").unwrap();
    assert_eq!(zone.ticket(&host.local(), &first.key, "b"), Err(ProblemType::Unauthenticated));
}

#[tokio::test]
async fn a_disabled_party_stays_out() {
    let zone = Zone::new().await;
    let (host, _) = aboard(&zone).await;
    zone.set_enabled(&host.local(), false).await;
    refused(host.enrolls(&zone).await, Refusal::Disabled);
    // Nor by what somebody writes past Keycell: its keys are bound to how it was.
    zone.sql("UPDATE party SET enabled = 1").await;
    refused(host.enrolls(&zone).await, Refusal::Disabled);
}

#[tokio::test]
async fn what_somebody_wrote_past_keycell_is_no_party_to_come_back_to() {
    let mut zone = Zone::new().await;
    let (host, _) = aboard(&zone).await;
    zone.set_enabled(&host.local(), false).await;
    zone.sql("UPDATE party SET enabled = 1").await;
    zone.restart().await;
    zone.clock.advance(1);
    // Nothing in memory tells any more that it was disabled; its seal does.
    refused(host.enrolls(&zone).await, Refusal::Damaged);
}

#[tokio::test]
async fn a_name_that_was_given_before_goes_on_counting() {
    let zone = Zone::new().await;
    let (host, _) = aboard(&zone).await;
    let name = zone.name(&host.local());
    zone.kdc.parties().delete(&Caller::console(), &name, &Precondition::NONE).await.unwrap();
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    refused(host.enrolls(&zone).await, Refusal::Denied);
    zone.kdc.waiting().forget(&Caller::console(), host.fingerprint(), &Precondition::NONE).await.unwrap();
    let again = host.enrolls(&zone).await.unwrap();
    assert_eq!((again.enrolled.state, again.enrolled.generation), (EnrollmentState::Active, Generation(2)));
}
