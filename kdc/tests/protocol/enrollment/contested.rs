//! A host that is known by another key: somebody reinstalled it, or somebody says to be it.

use futures_util::future::join_all;
use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::enrollment::{ConflictRecord, ConflictsRule, EnrollmentMode, WaitingFor};
use keycell_kdc::store::Kind;

use super::host::{ADDRESS, Host};
use crate::zone::Zone;

async fn conflict(zone: &Zone, host: &Host) -> Option<ConflictRecord> {
    let document = zone.kdc.ledger().store().document(Kind::Conflict, &host.local()).await.unwrap()?;
    Some(serde_json::from_str(&document.body).unwrap())
}

async fn open_zone() -> Zone {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    zone
}

#[tokio::test]
async fn it_is_another_party_and_an_alarm_is_raised() {
    let zone = open_zone().await;
    let (one, two) = (Host::new(&zone, "nanoprobe", "web1", 1), Host::new(&zone, "nanoprobe", "web1", 2));
    let first = one.enrolls(&zone).await.unwrap();
    assert!(conflict(&zone, &one).await.is_none());
    let second = two.enrolls(&zone).await.unwrap();
    assert_ne!(first.enrolled.name, second.enrolled.name);
    let raised = conflict(&zone, &two).await.unwrap();
    assert_eq!(raised.party, second.enrolled.name);
    let same = raised.same_host.unwrap();
    assert_eq!((same.others, same.address), (vec![first.enrolled.name], ADDRESS));
    let events = zone.events("conflict.raise").await;
    assert_eq!(events.len(), 1);
    assert_eq!(events[0].target, second.enrolled.name.as_str());
    // Who is known comes back without any.
    zone.clock.advance(1);
    one.enrolls(&zone).await.unwrap();
    assert_eq!(zone.events("conflict.raise").await.len(), 1);
    // Another service of the host, or a host whose name begins the same, is none.
    zone.set(|setting| setting.services.push("cma".parse().unwrap())).await;
    Host::new(&zone, "cma", "web1", 3).enrolls(&zone).await.unwrap();
    Host::new(&zone, "nanoprobe", "web1.example", 4).enrolls(&zone).await.unwrap();
    assert_eq!(zone.events("conflict.raise").await.len(), 1);
}

/// Also when they come in the same moment.
#[tokio::test]
async fn of_those_in_one_transaction_all_but_the_first_are_told_of() {
    let zone = open_zone().await;
    let hosts: Vec<_> = (1..=3).map(|number| Host::new(&zone, "nanoprobe", "web1", number)).collect();
    // Behind enough others that they wait for one transaction.
    let others: Vec<_> =
        (10..40).map(|number| Host::new(&zone, "nanoprobe", &format!("h{number}"), number)).collect();
    let sent: Vec<_> = others.iter().chain(&hosts).map(|host| host.request(&zone)).collect();
    let outcomes = join_all(sent.iter().map(|sent| sent.go(&zone))).await;
    assert!(outcomes.iter().all(Result::is_ok));
    assert_eq!(zone.events("conflict.raise").await.len(), 2);
    let mut told = 0;
    for host in &hosts {
        told += usize::from(conflict(&zone, host).await.is_some());
    }
    assert_eq!(told, 2, "whoever was first found nobody");
}

/// Two KDCs take one host aboard by two keys, and neither has heard of the other.
#[tokio::test]
async fn whoever_commits_second_tells_of_it() {
    let zone = open_zone().await;
    let behind = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    let (one, two) = (Host::new(&zone, "nanoprobe", "web1", 1), Host::new(&zone, "nanoprobe", "web1", 2));
    one.enrolls(&zone).await.unwrap();
    two.request(&zone).go_to(&zone, &behind).await.unwrap();
    assert_eq!(zone.events("conflict.raise").await.len(), 1);
    assert!(conflict(&zone, &two).await.is_some());
    behind.close().await;
}

#[tokio::test]
async fn it_waits_where_administrators_want_to_decide() {
    let zone = open_zone().await;
    zone.set(|setting| setting.conflicts = ConflictsRule::Hold).await;
    let token = zone.join_token(|_| {}).await;
    let one = Host::new(&zone, "nanoprobe", "web1.example", 1);
    let two = Host::new(&zone, "nanoprobe", "web1.example", 2).with(&token);
    one.enrolls(&zone).await.unwrap();
    // Also who has a token; it is not used before it lets anybody in.
    assert_eq!(two.waits(&zone).await, 60);
    let waiting = zone.waiting(&two).await.unwrap();
    assert_eq!((waiting.because, waiting.token), (Some(WaitingFor::Conflict), Some(token.id())));
    assert_eq!(zone.uses(&token).await, 0);
    zone.clock.advance(1000);
    zone.approve(&two).await;
    two.enrolls(&zone).await.unwrap();
    assert_eq!(zone.uses(&token).await, 1);
    assert!(zone.waiting(&two).await.is_none());
    assert!(conflict(&zone, &two).await.is_none(), "the administrator knows");
    // Of two in one transaction the second waits too.
    let twins: Vec<_> = (3..=4).map(|number| Host::new(&zone, "nanoprobe", "web3.example", number)).collect();
    let sent: Vec<_> = twins.iter().map(|host| host.request(&zone)).collect();
    let answers = join_all(sent.iter().map(|sent| zone.kdc.enroll(&sent.json, None, ADDRESS))).await;
    assert!(answers.iter().all(Result::is_ok));
    let waits = (zone.waiting(&twins[0]).await.is_some(), zone.waiting(&twins[1]).await.is_some());
    assert!(waits.0 != waits.1, "{waits:?}");
}

#[tokio::test]
async fn a_party_that_is_gone_or_disabled_contests_nothing() {
    let zone = open_zone().await;
    zone.set(|setting| setting.conflicts = ConflictsRule::Hold).await;
    let [one, two, three] = [1, 2, 3].map(|number| Host::new(&zone, "nanoprobe", "web1", number));
    one.enrolls(&zone).await.unwrap();
    zone.set_enabled(&one.local(), false).await;
    two.enrolls(&zone).await.unwrap();
    let name = zone.name(&two.local());
    zone.kdc.parties().delete(&Caller::console(), &name, &Precondition::NONE).await.unwrap();
    three.enrolls(&zone).await.unwrap();
    assert!(zone.events("conflict.raise").await.is_empty());
}
