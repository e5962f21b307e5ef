//! Hosts come aboard by themselves, and whoever should not does not (docs/protocol.md §10).

mod again;
mod attacked;
mod contested;
mod host;
mod keys;
mod sealed;
mod waiting;

use keycell_kdc::enrollment::{Admission, EnrollError, EnrollmentMode, Refusal, TokenRefusal};
use keycell_kdc::store::AuditQuery;
use keycell_kdc::store::KeyState::Active;
use keycell_protocol::{EnrollmentState, Generation, JoinToken};

use self::host::{ADDRESS, Host, refused};
use crate::zone::Zone;

#[tokio::test]
async fn a_host_with_a_token_is_aboard_at_once() {
    let mut zone = Zone::new().await;
    let token = zone.join_token(|_| {}).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1).with(&token);
    let aboard = host.enrolls(&zone).await.unwrap();
    assert_eq!(aboard.enrolled.state, EnrollmentState::Active);
    assert_eq!(aboard.enrolled.generation, Generation::FIRST);
    assert_eq!(aboard.enrolled.name.to_string(), format!("{}@cell1.internal", host.local()));
    assert_eq!(aboard.enrolled.bundle.identities, zone.kdc.identities().public());
    assert_eq!(zone.states(&host.local()).await, [(1, Active)]);
    // Its key is good for what a key is good for, here and in the process after this.
    let other = zone.party("b").await;
    zone.restart().await;
    zone.clock.advance(1);
    zone.ticket(&host.local(), &aboard.key, "b").unwrap();
    zone.ticket("b", &other, &host.local()).unwrap();

    let party = zone.kdc.directory().party(aboard.enrolled.name.as_str()).unwrap();
    let record = party.record().enrollment.as_deref().unwrap();
    assert_eq!((record.admission, record.token), (Admission::Token, Some(token.id())));
    assert_eq!(record.address, ADDRESS);
    // What it enrolled with is what it signs with as an author.
    assert_eq!(party.record().author_key, Some(host.key.public()));
    assert_eq!(zone.uses(&token).await, 1);
}

/// A release before this one would not know what came aboard: the first host keeps it from the database.
#[tokio::test]
async fn who_comes_aboard_needs_this_release() {
    let zone = Zone::new().await;
    zone.set(|setting| setting.mode = EnrollmentMode::Tofu).await;
    let needs = async || zone.number("SELECT oldest FROM schema_needs").await;
    assert!(needs().await < keycell_kdc::enrollment::SCHEMA);
    Host::new(&zone, "nanoprobe", "web1", 1).enrolls(&zone).await.unwrap();
    assert_eq!(needs().await, keycell_kdc::enrollment::SCHEMA);
}

#[tokio::test]
async fn a_retry_gets_the_same_answer_and_costs_no_use() {
    let mut zone = Zone::new().await;
    let token = zone.join_token(|record| record.uses = 1).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1).with(&token);
    let sent = host.request(&zone);
    let first = sent.go(&zone).await.unwrap();
    // Also when the token is used up, or ended, and by another process.
    zone.clock.advance(30_000);
    zone.set(|setting| setting.mode = EnrollmentMode::Closed).await;
    zone.restart().await;
    let again = sent.go(&zone).await.unwrap();
    assert_eq!(again.key.expose_secret(), first.key.expose_secret());
    assert_eq!(again.enrolled, first.enrolled);
    assert_eq!(zone.uses(&token).await, 1);
    assert_eq!(zone.states(&host.local()).await, [(1, Active)]);
    assert_eq!(zone.events("party.enroll").await.len(), 1);
}

/// The epoch in the answer is the one that the key was made in, whatever is stored since.
#[tokio::test]
async fn a_retry_across_the_turn_of_an_epoch_gets_the_same_key() {
    let zone = Zone::new().await;
    let token = zone.join_token(|record| record.expires_at = zone.now().plus(1 << 40)).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1).with(&token);
    let period = u64::from(zone.kdc.zone_record().ratchet_period.seconds()) * 1000;
    let next = (zone.now().0 / period + 1) * period;
    zone.clock.set(keycell_protocol::UnixMillis(next - 1000));
    let sent = host.request(&zone);
    let first = sent.go(&zone).await.unwrap();
    zone.clock.set(keycell_protocol::UnixMillis(next + 1000));
    let again = sent.go(&zone).await.unwrap();
    assert_eq!((again.key.epoch(), again.enrolled), (first.key.epoch(), first.enrolled));
}

#[tokio::test]
async fn each_mode_lets_in_whom_it_says() {
    let zone = Zone::new().await;
    let token = zone.join_token(|_| {}).await;
    let mut number = 0;
    for (mode, without, with) in [
        (EnrollmentMode::Closed, Err(Refusal::Closed), Err(Refusal::Closed)),
        (EnrollmentMode::Token, Err(Refusal::NoToken), Ok(())),
        (EnrollmentMode::Tofu, Ok(()), Ok(())),
    ] {
        zone.set(|setting| setting.mode = mode).await;
        for (brings, expected) in [(None, without), (Some(&token), with)] {
            number += 1;
            let mut host = Host::new(&zone, "nanoprobe", &format!("web{number}.example"), number);
            host.token = brings.cloned();
            let outcome = host.enrolls(&zone).await.map(drop);
            assert_eq!(outcome, expected.map_err(EnrollError::Refused), "{mode:?}");
        }
    }
    assert_eq!(zone.uses(&token).await, 2);
}

#[tokio::test]
async fn a_token_is_good_for_what_it_says_and_no_more() {
    let zone = Zone::new().await;
    let token = zone.join_token(|record| record.uses = 1).await;
    let host = |service: &str, name: &str, number| Host::new(&zone, service, name, number);
    let cannot = |why| Err(EnrollError::Refused(Refusal::Token(why)));
    let asks = async |host: Host| host.enrolls(&zone).await.map(drop);
    assert_eq!(asks(host("cma", "web1.example", 1).with(&token)).await, cannot(TokenRefusal::Service));
    assert_eq!(asks(host("nanoprobe", "db1.example", 1).with(&token)).await, cannot(TokenRefusal::Host));
    let stranger = JoinToken::generate(&mut keycell_kdc::random::system());
    let guess = host("nanoprobe", "web1.example", 1).with(&stranger);
    assert_eq!(asks(guess).await, cannot(TokenRefusal::Unknown));
    // The right id, and another secret.
    let (text, other) = (token.to_text(), stranger.to_text());
    let forged: JoinToken = format!("{}{}", &text[..21], &other[21..]).parse().unwrap();
    assert_eq!(forged.id(), token.id());
    let guess = host("nanoprobe", "web1.example", 1).with(&forged);
    assert_eq!(asks(guess).await, cannot(TokenRefusal::Secret));
    assert_eq!(zone.uses(&token).await, 0);

    assert_eq!(asks(host("nanoprobe", "web1.example", 1).with(&token)).await, Ok(()));
    assert_eq!(asks(host("nanoprobe", "web2.example", 2).with(&token)).await, cannot(TokenRefusal::UsedUp));
    let ended = zone.join_token(|record| record.expires_at = zone.now()).await;
    assert_eq!(asks(host("nanoprobe", "web3.example", 3).with(&ended)).await, cannot(TokenRefusal::Expired));
    let revoked = zone.join_token(|record| record.revoked_at = Some(zone.now())).await;
    assert_eq!(
        asks(host("nanoprobe", "web3.example", 3).with(&revoked)).await,
        cannot(TokenRefusal::Revoked)
    );
    let near = zone.join_token(|record| record.networks = vec!["198.51.100.0/24".parse().unwrap()]).await;
    let far = host("nanoprobe", "web3.example", 3).with(&near);
    assert_eq!(asks(far).await, cannot(TokenRefusal::Network));
    let mut at_home = host("nanoprobe", "web3.example", 3).with(&near);
    at_home.address = "::ffff:198.51.100.7".parse().unwrap();
    assert_eq!(asks(at_home).await, Ok(()));
}

/// An operator finds by a token's id whom it did not let in, and why; of what somebody guessed there is only the reason.
#[tokio::test]
async fn a_refusal_by_a_token_is_recorded_with_its_id_and_the_reason() {
    let zone = Zone::new().await;
    let token = zone.join_token(|_| {}).await;
    let stranger = JoinToken::generate(&mut keycell_kdc::random::system());
    for (service, host, token) in [
        ("nanoprobe", "db1.example", &token),
        ("cma", "web1.example", &token),
        ("nanoprobe", "web1.example", &stranger),
    ] {
        Host::new(&zone, service, host, 1).with(token).enrolls(&zone).await.unwrap_err();
    }
    let journal = zone.kdc.ledger().journal();
    zone.kdc.recorder().flush(journal, true).await.unwrap();
    let action = Some("enrollment.refuse".to_owned());
    let query = AuditQuery { limit: 100, action, ..AuditQuery::default() };
    let records = journal.query(&query).await.unwrap();
    let reason = |record: &keycell_kdc::audit::Record| {
        let detail: serde_json::Value = serde_json::from_str(&record.detail).unwrap();
        detail["problem"].as_str().unwrap().to_owned()
    };
    let mut told: Vec<_> = records.iter().map(|record| (record.target.clone(), reason(record))).collect();
    told.sort();
    let id = token.id().to_string();
    let expected = [(String::new(), "token-unknown"), (id.clone(), "token-host"), (id, "token-service")];
    assert_eq!(told, expected.map(|(target, reason)| (target, reason.to_owned())));
}

/// More come at once than there are uses: as many get in, and each use is one.
#[tokio::test]
async fn a_batch_takes_no_more_than_a_token_has() {
    let zone = Zone::new().await;
    let token = zone.join_token(|record| record.uses = 7).await;
    let hosts: Vec<_> = (1..=40)
        .map(|number| Host::new(&zone, "nanoprobe", &format!("web{number}.example"), number).with(&token))
        .collect();
    let held = zone.hold_database().await;
    let enrolling = futures_util::future::join_all(hosts.iter().map(|host| host.enrolls(&zone)));
    let all_opened = async {
        // The first is being written, and cannot; all others are opened, or the last of them is.
        let are = |name, number| metric(&zone.kdc.metrics().page().unwrap(), name) == number;
        while !are("keycell_enrollment_batch_count", 1) || !are("keycell_enrollment_queue ", 0) {
            tokio::task::yield_now().await;
        }
        sqlx::Connection::close(held).await.unwrap();
    };
    let (outcomes, ()) = tokio::join!(enrolling, all_opened);
    let aboard = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let used_up = EnrollError::Refused(Refusal::Token(TokenRefusal::UsedUp));
    let late = outcomes.iter().filter(|outcome| outcome.as_ref().err() == Some(&used_up)).count();
    assert_eq!((aboard, late), (7, 33));
    assert_eq!(zone.uses(&token).await, 7);
    assert_eq!(zone.kdc.directory().len(), 7);
    // Those that come while one is written share the next. How many batches that makes, the scheduler says; alone they would be 40.
    let page = zone.kdc.metrics().page().unwrap();
    let batches: u32 = metric(&page, "keycell_enrollment_batch_count");
    assert!(batches <= 20, "{batches}");
}

fn metric(page: &str, name: &str) -> u32 {
    let line = page.lines().find(|line| line.starts_with(name)).unwrap();
    line.rsplit(' ').next().unwrap().parse().unwrap()
}

#[tokio::test]
async fn what_happened_is_in_the_audit_log_and_no_token() {
    let zone = Zone::new().await;
    let token = zone.join_token(|_| {}).await;
    let host = Host::new(&zone, "nanoprobe", "web1.example", 1).with(&token);
    host.enrolls(&zone).await.unwrap();
    zone.clock.advance(1);
    host.enrolls(&zone).await.unwrap();
    refused(Host::new(&zone, "nanoprobe", "web2.example", 2).enrolls(&zone).await, Refusal::NoToken);
    refused(Host::new(&zone, "nanoprobe", "web3.example", 3).enrolls(&zone).await, Refusal::NoToken);
    let journal = zone.kdc.ledger().journal();
    zone.kdc.recorder().flush(journal, true).await.unwrap();
    let query = AuditQuery { limit: 100, ..AuditQuery::default() };
    let records = journal.query(&query).await.unwrap();
    let told: Vec<_> = records
        .iter()
        .filter(|record| record.action.starts_with("party.") || record.action == "enrollment.refuse")
        .map(|record| {
            (record.action.as_str(), record.actor.as_str(), record.target.as_str(), record.detail.clone())
        })
        .collect();
    let (name, fingerprint) = (zone.name(&host.local()).to_string(), host.fingerprint());
    let id = token.id();
    let now = zone.now().0;
    assert_eq!(
        told,
        [
            (
                "party.enroll",
                "address:192.0.2.1",
                &*name,
                format!(
                    r#"{{"admission":"token","fingerprint":"{fingerprint}","generation":1,"state":"active","token":"{id}"}}"#
                ),
            ),
            (
                "party.reenroll",
                "address:192.0.2.1",
                &*name,
                format!(r#"{{"fingerprint":"{fingerprint}","generation":2,"state":"staged"}}"#),
            ),
            // Whatever names strangers make up, it is one record.
            (
                "enrollment.refuse",
                "address:192.0.2.1",
                "",
                format!(r#"{{"count":2,"first_at":{now},"last_at":{now},"problem":"no-token"}}"#),
            ),
        ]
    );
    assert!(!format!("{records:?}").contains(&token.to_text()[21..]));
    let page = zone.kdc.metrics().page().unwrap();
    for (line, count) in [
        ("keycell_enrollments_total{outcome=\"enrolled\"}", 1),
        ("keycell_enrollments_total{outcome=\"renewed\"}", 1),
        ("keycell_enrollments_total{outcome=\"refused\"}", 2),
        ("keycell_enrollment_refusals_total{reason=\"no-token\"}", 2),
    ] {
        assert_eq!(metric(&page, line), count, "{line}");
    }
}
