//! A host that is known by another key: somebody reinstalled it, or somebody says to be it.

use futures_util::future::join_all;
use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::enrollment::{
    ConflictRecord, ConflictsRule, EnrollError, EnrollmentMode, Refusal, WaitingFor,
};
use keycell_kdc::store::Kind;

use super::host::{ADDRESS, Host, refused};
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

/// A thief of a token, or whoever comes in by trust on first use, does not make keys of one host without end.
#[tokio::test]
async fn nobody_comes_in_by_itself_as_a_host_of_nine_keys() {
    let zone = open_zone().await;
    let hosts: Vec<_> =
        (1..=11).map(|number| Host::new(&zone, "nanoprobe", "web1.example", number)).collect();
    // Some of them in one transaction.
    let sent: Vec<_> = hosts.iter().take(6).map(|host| host.request(&zone)).collect();
    assert!(join_all(sent.iter().map(|sent| sent.go(&zone))).await.iter().all(Result::is_ok));
    let sent: Vec<_> = hosts.iter().skip(6).map(|host| host.request(&zone)).collect();
    let outcomes = join_all(sent.iter().map(|sent| sent.go(&zone))).await;
    let contested = EnrollError::Refused(Refusal::Contested);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.as_ref().err() == Some(&contested)).count(), 2);
    // The last of them names eight others, as many as there are.
    let mut named = Vec::new();
    for host in &hosts {
        let others =
            conflict(&zone, host).await.map_or(0, |conflict| conflict.same_host.unwrap().others.len());
        named.push(others);
    }
    assert_eq!(named.iter().max(), Some(&8), "{named:?}");
    let late = Host::new(&zone, "nanoprobe", "web1.example", 20);
    refused(late.enrolls(&zone).await, Refusal::Contested);
    let token = zone.join_token(|_| {}).await;
    let late = late.with(&token);
    late.waits(&zone).await;
    assert_eq!(zone.uses(&token).await, 0);
    // Who is aboard comes back, and other hosts come in.
    zone.clock.advance(1);
    hosts[0].enrolls(&zone).await.unwrap();
    Host::new(&zone, "nanoprobe", "web2.example", 21).enrolls(&zone).await.unwrap();
    // An administrator may let it in all the same; and there is room again where one is gone.
    zone.approve(&late).await;
    late.enrolls(&zone).await.unwrap();
    assert_eq!((zone.uses(&token).await, zone.kdc.directory().by_tofu()), (1, 10));
    let next = Host::new(&zone, "nanoprobe", "web1.example", 22);
    for host in &hosts[..2] {
        refused(next.enrolls(&zone).await, Refusal::Contested);
        zone.set_enabled(&host.local(), false).await;
    }
    next.enrolls(&zone).await.unwrap();
}

/// Those that are disabled are no conflict, however many they are.
#[tokio::test]
async fn those_that_are_disabled_shut_nobody_out() {
    let zone = open_zone().await;
    for number in 1..=100 {
        let host = Host::new(&zone, "nanoprobe", "web1", number);
        host.enrolls(&zone).await.unwrap();
        zone.set_enabled(&host.local(), false).await;
    }
    Host::new(&zone, "nanoprobe", "web1", 101).enrolls(&zone).await.unwrap();
    assert!(zone.events("conflict.raise").await.is_empty());
}

#[tokio::test]
async fn so_many_come_in_by_trust_on_first_use() {
    let mut zone = open_zone().await;
    let token = zone.join_token(|_| {}).await;
    zone.set(|setting| setting.tofu_most = 3).await;
    let host = |zone: &Zone, number| Host::new(zone, "nanoprobe", &format!("web{number}.example"), number);
    // By a token: not one of them.
    host(&zone, 1).with(&token).enrolls(&zone).await.unwrap();
    // More at once than may.
    let sent: Vec<_> = (2..=6).map(|number| host(&zone, number).request(&zone)).collect();
    let outcomes = join_all(sent.iter().map(|sent| sent.go(&zone))).await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 3);
    let most = EnrollError::Refused(Refusal::TofuMost);
    assert_eq!(outcomes.iter().filter(|outcome| outcome.as_ref().err() == Some(&most)).count(), 2);
    // Also after a start, at another KDC, and for one that comes back.
    zone.restart().await;
    let other = zone.cell().await.into_kdc(zone.config.clone(), zone.clock.clone()).await.unwrap();
    refused(host(&zone, 7).enrolls(&zone).await, Refusal::TofuMost);
    refused(host(&zone, 7).request(&zone).go_to(&zone, &other).await, Refusal::TofuMost);
    let aboard = zone.kdc.directory().all();
    assert_eq!((aboard.len(), zone.kdc.directory().by_tofu(), other.directory().by_tofu()), (4, 3, 3));
    zone.clock.advance(1);
    for number in (2..=6).filter(|number| zone.is_aboard(&host(&zone, *number))) {
        host(&zone, number).enrolls(&zone).await.unwrap();
    }
    host(&zone, 8).with(&token).enrolls(&zone).await.unwrap();
    // One that is gone makes room, whoever took it out.
    let gone = (2..=6).map(|number| host(&zone, number)).find(|host| zone.is_aboard(host)).unwrap();
    let name = zone.name(&gone.local());
    zone.kdc.parties().delete(&Caller::console(), &name, &Precondition::NONE).await.unwrap();
    other.follower().catch_up().await.unwrap();
    host(&zone, 9).request(&zone).go_to(&zone, &other).await.unwrap();
    refused(host(&zone, 10).request(&zone).go_to(&zone, &other).await, Refusal::TofuMost);
    let page = other.metrics().page().unwrap();
    assert!(page.contains("keycell_enrollment_refusals_total{reason=\"tofu-most\"} 2"), "{page}");
    other.close().await;
}

impl Zone {
    fn is_aboard(&self, host: &Host) -> bool {
        self.kdc.directory().party(self.name(&host.local()).as_str()).is_some()
    }
}
