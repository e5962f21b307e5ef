//! Hosts that wait for an administrator.

use futures_util::future::join_all;
use keycell_kdc::enrollment::{Admission, ConflictsRule, EnrollmentMode, Refusal, WaitingFor, WaitingState};
use keycell_kdc::store::Kind;

use super::host::{ADDRESS, Host, refused};
use crate::zone::{DAY, Zone};

impl Zone {
    /// As an administrator does.
    pub(super) async fn approve(&self, host: &Host) {
        let mut record = self.waiting(host).await.unwrap();
        record.state = WaitingState::Approved;
        self.put(Kind::Enrollment, &host.fingerprint().to_string(), &record).await;
    }

    async fn deny(&self, host: &Host) {
        let mut record = self.waiting(host).await.unwrap();
        (record.state, record.until) = (WaitingState::Denied, None);
        self.put(Kind::Enrollment, &host.fingerprint().to_string(), &record).await;
    }
}

async fn zone() -> Zone {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Approve).await;
    zone
}

#[tokio::test]
async fn a_host_waits_until_it_is_approved() {
    let mut zone = zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    assert_eq!(host.waits(&zone).await, 60);
    assert!(zone.kdc.directory().is_empty());
    let waiting = zone.waiting(&host).await.unwrap();
    assert_eq!((waiting.state, waiting.because), (WaitingState::Waiting, Some(WaitingFor::Approval)));
    assert_eq!((waiting.public_key, waiting.address), (Some(host.key.public()), Some(ADDRESS)));
    // It asks again, less and less often, and nothing is written for it.
    zone.clock.advance(60_000);
    assert_eq!(host.waits(&zone).await, 120);
    zone.restart().await;
    zone.clock.advance(120_000);
    assert_eq!(host.waits(&zone).await, 240);
    assert_eq!(zone.waiting(&host).await.unwrap(), waiting);
    assert_eq!(zone.events("enrollment.wait").await.len(), 1);

    zone.approve(&host).await;
    let aboard = host.enrolls(&zone).await.unwrap();
    assert!(zone.waiting(&host).await.is_none());
    let party = zone.kdc.directory().party(aboard.enrolled.name.as_str()).unwrap();
    assert_eq!(party.record().enrollment.as_ref().unwrap().admission, Admission::Approval);
}

#[tokio::test]
async fn who_is_denied_stays_out_in_every_mode() {
    let zone = zone().await;
    let token = zone.join_token(|_| {}).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1);
    host.waits(&zone).await;
    zone.deny(&host).await;
    let host = host.with(&token);
    for mode in EnrollmentMode::ALL {
        zone.set(|setting| setting.mode = *mode).await;
        refused(host.enrolls(&zone).await, Refusal::Denied);
    }
    // Also by a row that somebody damaged.
    zone.sql("UPDATE document SET body = replace(body, 'denied', 'approved') WHERE kind = 'enrollment'")
        .await;
    refused(host.enrolls(&zone).await, Refusal::Denied);
    assert_eq!(zone.uses(&token).await, 0);
}

#[tokio::test]
async fn what_was_approved_is_one_name() {
    let zone = zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    host.waits(&zone).await;
    // Before and after: the same key is not let in as what nobody saw.
    refused(Host::new(&zone, "nanoprobe", "db1", 1).enrolls(&zone).await, Refusal::OtherName);
    zone.approve(&host).await;
    refused(Host::new(&zone, "cma", "web1", 1).enrolls(&zone).await, Refusal::OtherName);
    host.enrolls(&zone).await.unwrap();
}

#[tokio::test]
async fn who_waits_too_long_is_forgotten() {
    let zone = zone().await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    host.waits(&zone).await;
    zone.approve(&host).await;
    zone.clock.advance(7 * DAY);
    assert_eq!(host.waits(&zone).await, 60);
    assert_eq!(zone.events("enrollment.wait").await.len(), 2);
    zone.approve(&host).await;
    host.enrolls(&zone).await.unwrap();
}

/// Also those who bring a token, and wait because their host is known by another key; also after a restart.
#[tokio::test]
async fn who_is_held_for_a_conflict_takes_a_place_too() {
    let mut zone = zone().await;
    zone.set(|setting| {
        (setting.mode, setting.conflicts) = (EnrollmentMode::Token, ConflictsRule::Hold);
        setting.pending_most = 1;
    })
    .await;
    let token = zone.join_token(|_| {}).await;
    let host = |zone: &Zone, number| Host::new(zone, "nanoprobe", "web1.example", number).with(&token);
    host(&zone, 1).enrolls(&zone).await.unwrap();
    host(&zone, 2).waits(&zone).await;
    refused(host(&zone, 3).enrolls(&zone).await, Refusal::Crowded);
    zone.restart().await;
    refused(host(&zone, 3).enrolls(&zone).await, Refusal::Crowded);
    // One whose time is over takes none.
    zone.clock.advance(7 * DAY);
    zone.restart().await;
    let late = zone.join_token(|_| {}).await;
    host(&zone, 3).with(&late).waits(&zone).await;
}

#[tokio::test]
async fn no_more_wait_than_may() {
    let zone = zone().await;
    zone.set(|setting| setting.pending_most = 20).await;
    let host = |number: u8, address: u8| {
        let mut host = Host::new(&zone, "nanoprobe", &format!("web{number}"), number);
        host.address = [198, 51, 100, address].into();
        host
    };
    // Three from one network at once: a tenth of all there may be.
    let hosts = [host(1, 1), host(2, 1), host(3, 1)];
    let sent: Vec<_> = hosts.iter().map(|host| host.request(&zone)).collect();
    let answers = join_all(sent.iter().map(|sent| zone.kdc.enroll(&sent.json, None, hosts[0].address))).await;
    assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 2);
    refused(host(4, 1).enrolls(&zone).await, Refusal::NetworkCrowded);
    for number in 4..22 {
        host(number, number).waits(&zone).await;
    }
    refused(host(30, 30).enrolls(&zone).await, Refusal::Crowded);
    // Those who wait are told so all the same.
    host(5, 5).waits(&zone).await;
    // Room is made by whoever is decided on, here or elsewhere.
    zone.approve(&host(5, 5)).await;
    host(30, 30).waits(&zone).await;
    refused(host(31, 31).enrolls(&zone).await, Refusal::Crowded);
}
