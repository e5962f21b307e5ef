//! Requests that somebody made up, changed, sent again or sent elsewhere.

use futures_util::future::join_all;
use keycell_kdc::enrollment::{EnrollError, EnrollmentMode, Refusal, Unsettled};
use keycell_kdc::limit::Rate;
use keycell_protocol::{IdentityName, RatchetPeriod};
use serde_json::Value;

use super::host::{ADDRESS, Host, refused};
use crate::zone::Zone;

async fn open_zone() -> Zone {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    zone
}

#[tokio::test]
async fn what_was_answered_is_not_answered_anew() {
    let zone = open_zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    let (old, first) = (host.request(&zone), host.request(&zone));
    zone.clock.advance(1);
    let second = host.request(&zone);
    first.go(&zone).await.unwrap();
    // Of the same moment, but another request.
    assert_eq!(old.go(&zone).await.unwrap_err(), EnrollError::Replayed);
    second.go(&zone).await.unwrap();
    assert_eq!(first.go(&zone).await.unwrap_err(), EnrollError::Replayed);
    // Its answer is only for who made the request: the attacker who has it learns nothing new.
    let (one, two) = (
        zone.kdc.enroll(&second.json, None, ADDRESS).await.unwrap(),
        zone.kdc.enroll(&second.json, None, ADDRESS).await.unwrap(),
    );
    assert_ne!(one, two, "sealed anew");
    assert_eq!(zone.events("party.reenroll").await.len(), 1);
    // What is not answered any more because its key was used up since.
    zone.commit(&host.local(), &second.go(&zone).await.unwrap().key).await;
    let third = host.request_at(&zone, zone.now().plus(1));
    zone.commit(&host.local(), &third.go(&zone).await.unwrap().key).await;
    assert_eq!(second.go(&zone).await.unwrap_err(), EnrollError::Replayed);
    // Nor when the key that it made was rotated away.
    let other = Host::new(&zone, "nanoprobe", "web2", 2);
    let sent = other.request(&zone);
    let next = zone.stage(&other.local(), &sent.go(&zone).await.unwrap().key).await;
    zone.commit(&other.local(), &next).await;
    assert_eq!(sent.go(&zone).await.unwrap_err(), EnrollError::Replayed);
}

/// Two requests of one key that come together: one is answered after the other.
#[tokio::test]
async fn a_key_comes_once_in_a_transaction() {
    let zone = open_zone().await;
    let token = zone.join_token(|_| {}).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1).with(&token);
    let sent = host.request(&zone);
    let same = join_all((0..5).map(|_| sent.go(&zone))).await;
    assert!(same.iter().all(Result::is_ok));
    assert_eq!((zone.uses(&token).await, zone.events("party.enroll").await.len()), (1, 1));
    let later: Vec<_> = (1..=4).map(|more| host.request_at(&zone, zone.now().plus(more))).collect();
    let outcomes = join_all(later.iter().map(|sent| sent.go(&zone))).await;
    // In whatever order they were opened: the last is answered, and no generation means two keys.
    assert!(outcomes.last().unwrap().is_ok());
    let mut generations = Vec::new();
    for outcome in outcomes {
        match outcome {
            Ok(aboard) => generations.push(aboard.enrolled.generation.0),
            Err(error) => assert_eq!(error, EnrollError::Replayed),
        }
    }
    generations.sort_unstable();
    assert!(generations.iter().zip(2..).all(|(generation, next)| *generation == next), "{generations:?}");
    assert_eq!(zone.uses(&token).await, 1);
}

#[tokio::test]
async fn a_clock_that_is_off_is_told_so() {
    let zone = open_zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    for timestamp in [zone.now().plus(60_001), zone.now().minus(60_001)] {
        let sent = host.request_at(&zone, timestamp);
        assert_eq!(sent.go(&zone).await.unwrap_err(), EnrollError::ClockSkew);
    }
    host.request_at(&zone, zone.now().minus(60_000)).go(&zone).await.unwrap();
    host.request_at(&zone, zone.now().plus(60_000)).go(&zone).await.unwrap();
}

#[tokio::test]
async fn only_the_primary_answers() {
    let zone = open_zone().await;
    let mut host = Host::new(&zone, "nanoprobe", "web1", 1);
    host.to = zone.kdc.identities().public().remove(1);
    assert_eq!(host.enrolls(&zone).await.unwrap_err(), EnrollError::Identity(IdentityName::PRIMARY));
    // Under the primary's name, but written to the secondary.
    host.to.name = IdentityName::PRIMARY;
    assert_eq!(host.enrolls(&zone).await.unwrap_err(), EnrollError::Forged);
}

#[tokio::test]
async fn nothing_else_is_a_request() {
    let zone = open_zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    let sent = host.request(&zone);
    let whole: Value = serde_json::from_slice(&sent.json).unwrap();
    let changed = |field: &str, value: Value| {
        let mut json = whole.clone();
        json[field] = value;
        json.to_string().into_bytes()
    };
    let ask = async |json: &[u8]| zone.kdc.enroll(json, None, ADDRESS).await.unwrap_err();
    assert_eq!(ask(&changed("zone", "other.internal".into())).await, EnrollError::Zone);
    let secondary = EnrollError::Identity(IdentityName::PRIMARY);
    assert_eq!(ask(&changed("identity", "#KDC#00002".into())).await, secondary);
    assert_eq!(ask(&changed("identity", "#KDC#00003".into())).await, secondary);
    assert_eq!(ask(&changed("identity", "#CMA#00001".into())).await, EnrollError::Malformed);
    assert_eq!(ask(&changed("more", 1.into())).await, EnrollError::Malformed);
    assert_eq!(ask(b"{}").await, EnrollError::Malformed);
    assert_eq!(ask(&vec![b' '; 9000]).await, EnrollError::Malformed);
    // Every part of it, flipped somewhere.
    for field in ["encapsulated", "sealed"] {
        let text = whole[field].as_str().unwrap();
        for at in [0, text.len() / 2, text.len() - 2] {
            let mut bytes = text.as_bytes().to_vec();
            bytes[at] = if bytes[at] == b'A' { b'B' } else { b'A' };
            let json = changed(field, String::from_utf8(bytes).unwrap().into());
            assert_eq!(ask(&json).await, EnrollError::Forged, "{field} {at}");
        }
    }
    assert!(zone.kdc.directory().is_empty());
    sent.go(&zone).await.unwrap();
}

#[tokio::test]
async fn a_name_of_an_administrators_is_not_taken() {
    let zone = open_zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    let key = zone.party(&host.local()).await;
    refused(host.enrolls(&zone).await, Refusal::ByHand);
    zone.party("b").await;
    zone.clock.advance(1);
    zone.ticket(&host.local(), &key, "b").unwrap();
}

/// What somebody did to the row of one party keeps out that one alone, also of those that are committed together.
#[tokio::test]
async fn a_damaged_row_is_in_nobody_elses_way() {
    let mut zone = open_zone().await;
    let broken = Host::new(&zone, "nanoprobe", "web0", 200);
    broken.enrolls(&zone).await.unwrap();
    zone.sql("UPDATE party_key SET master_version = 9").await;
    zone.restart().await;
    zone.clock.advance(1);
    let hosts: Vec<_> =
        (1..=40).map(|number| Host::new(&zone, "nanoprobe", &format!("web{number}"), number)).collect();
    let (before, after) = hosts.split_at(20);
    let all = before.iter().chain([&broken]).chain(after);
    let sent: Vec<_> = all.map(|host| host.request(&zone)).collect();
    let outcomes = join_all(sent.iter().map(|sent| sent.go(&zone))).await;
    // Whoever has that version of the master key settles it.
    assert_eq!(outcomes[20].as_ref().err(), Some(&EnrollError::Unsettled(Unsettled::Unavailable)));
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 40);
}

#[tokio::test]
async fn hosts_enroll_from_where_they_may() {
    let zone = open_zone().await;
    zone.set(|setting| setting.networks = vec!["10.0.0.0/8".parse().unwrap()]).await;
    let mut host = Host::new(&zone, "nanoprobe", "web1", 1);
    refused(host.enrolls(&zone).await, Refusal::Network);
    host.address = "::ffff:10.1.2.3".parse().unwrap();
    host.enrolls(&zone).await.unwrap();
}

#[tokio::test]
async fn a_flood_of_one_address_is_stopped_before_it_is_opened() {
    let rate = Rate::new(1, 3);
    let zone =
        Zone::with(RatchetPeriod::DEFAULT, |config| config.limits.enrollments_per_address = rate).await;
    let ask = async |address: [u8; 4]| zone.kdc.enroll(b"{}", None, address.into()).await.unwrap_err();
    for _ in 0..3 {
        assert_eq!(ask([192, 0, 2, 1]).await, EnrollError::Malformed);
    }
    assert!(matches!(ask([192, 0, 2, 1]).await, EnrollError::TooOften(_)));
    assert_eq!(ask([192, 0, 2, 2]).await, EnrollError::Malformed);
}

/// Another KDC of the zone used the token up, or took the same host aboard, and this one has not heard of it yet.
#[tokio::test]
async fn what_another_kdc_did_a_moment_ago_counts() {
    let zone = open_zone().await;
    let token = zone.join_token(|record| record.uses = 1).await;
    let behind = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    let [one, two] = [1, 2]
        .map(|number| Host::new(&zone, "nanoprobe", &format!("web{number}.example"), number).with(&token));
    let sent = one.request(&zone);
    let first = sent.go(&zone).await.unwrap();
    let late = two.request(&zone).go_to(&zone, &behind).await.unwrap_err();
    assert!(matches!(late, EnrollError::Refused(Refusal::Token(_))), "{late:?}");
    let again = sent.go_to(&zone, &behind).await.unwrap();
    assert_eq!(again.enrolled, first.enrolled);
    assert!(behind.directory().party(again.enrolled.name.as_str()).is_some());
    assert_eq!(zone.uses(&token).await, 1);
    // And disabled it.
    zone.set_enabled(&one.local(), false).await;
    zone.clock.advance(1);
    refused(one.request(&zone).go_to(&zone, &behind).await, Refusal::Disabled);
    behind.close().await;
}
