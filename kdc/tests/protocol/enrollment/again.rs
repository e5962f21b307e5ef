//! A host that enrolls again and again.

use std::time::Duration;

use keycell_client::{Enrollment, system_rng};
use keycell_kdc::enrollment::{EnrollError, EnrollmentMode};
use keycell_kdc::store::KeyState::Staged;
use keycell_protocol::{AuthorKey, EnrollmentState, Problem, ProblemType};

use super::host::{ADDRESS, Host};
use crate::zone::Zone;

/// Neither a loop nor a thief of one seed keeps the database writing.
#[tokio::test]
async fn it_gets_another_key_every_ten_seconds() {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let host = Host::new(&zone, "nanoprobe", "web1", 1);
    host.enrolls(&zone).await.unwrap();
    // It was killed before it stored that one.
    zone.clock.advance(1);
    let sent = host.request(&zone);
    let second = sent.go(&zone).await.unwrap();
    let before = revision(&zone, &host);
    for _ in 0..9 {
        zone.clock.advance(1_000);
        let refused = host.enrolls(&zone).await.unwrap_err();
        assert!(matches!(refused, EnrollError::TooSoon(_)), "{refused}");
    }
    assert_eq!(host.enrolls(&zone).await.unwrap_err(), EnrollError::TooSoon(Duration::from_secs(1)));
    assert_eq!(revision(&zone, &host), before);
    assert_eq!(zone.events("party.reenroll").await.len(), 1);
    // What was answered is answered again.
    assert_eq!(sent.go(&zone).await.unwrap().key.expose_secret(), second.key.expose_secret());
    zone.commit(&host.local(), &second.key).await;
    assert!(matches!(host.enrolls(&zone).await.unwrap_err(), EnrollError::TooSoon(_)));
    // Others of its host are not slowed down.
    Host::new(&zone, "nanoprobe", "web1", 2).enrolls(&zone).await.unwrap();
    zone.clock.advance(1_000);
    host.enrolls(&zone).await.unwrap();
    assert_eq!(zone.states(&host.local()).await.last(), Some(&(3, Staged)));
}

fn revision(zone: &Zone, host: &Host) -> u64 {
    let party = zone.kdc.directory().party(zone.name(&host.local()).as_str()).unwrap();
    party.record().revision
}

/// A client does as it is told, and has its key after that.
#[tokio::test]
async fn who_is_too_soon_comes_with_the_same_request_when_it_may() {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let bundle = zone.kdc.bundle().await.unwrap();
    let begin = || {
        let (service, host) = ("nanoprobe".parse().unwrap(), "web1".parse().unwrap());
        Enrollment::new(bundle.clone(), service, host, AuthorKey::new(&[1; 32]), None, system_rng()).unwrap()
    };
    for _ in 0..2 {
        zone.clock.advance(1);
        let mut host = begin();
        let asked = host.wants(zone.now()).unwrap();
        let answer = zone.kdc.enroll(&asked.body, None, ADDRESS).await.unwrap();
        assert!(host.take_reply(zone.now(), &asked, &answer).unwrap().is_some());
    }
    zone.clock.advance(2_000);
    let mut host = begin();
    let asked = host.wants(zone.now()).unwrap();
    let refused = zone.kdc.enroll(&asked.body, None, ADDRESS).await.unwrap_err();
    let EnrollError::TooSoon(wait) = refused else { panic!("{refused}") };
    assert_eq!(wait, Duration::from_secs(8));
    let mut problem = Problem::new(ProblemType::RateLimited);
    problem.retry_after = Some(wait.as_secs());
    host.take_problem(zone.now(), &asked, &problem);
    let next = host.next_wakeup(zone.now()).unwrap();
    assert!(next >= zone.now().plus(8_000) && next < zone.now().plus(20_000), "{next:?}");
    zone.clock.set(next);
    let again = host.wants(zone.now()).unwrap();
    assert_eq!(again.body, asked.body);
    let answer = zone.kdc.enroll(&again.body, None, ADDRESS).await.unwrap();
    let boarded = host.take_reply(zone.now(), &again, &answer).unwrap().unwrap();
    assert_eq!((boarded.state, boarded.key.generation().0), (EnrollmentState::Staged, 3));
}
