//! Join tokens and hosts that wait, as time goes by and as somebody else writes to the database.

use keycell_kdc::administration::{AdminError, Caller, Crowd, Precondition, WaitingFilter};
use keycell_kdc::api::{JoinTokenState, NewJoinToken};
use keycell_kdc::enrollment::{WaitingFor, WaitingRecord, WaitingState};
use keycell_kdc::store::{Act, Kind, Write};
use keycell_protocol::{AuthorPublicKey, Fingerprint, JoinTokenId};

use crate::zone::{DAY, Zone};

async fn token(zone: &Zone, ttl_seconds: u64) -> JoinTokenId {
    let new: NewJoinToken = serde_json::from_value(
        serde_json::json!({ "service": "web", "hosts": ["*"], "ttl_seconds": ttl_seconds }),
    )
    .unwrap();
    zone.kdc.join_tokens().create(&Caller::console(), &new, |_| Ok(None)).await.unwrap().info.id
}

/// A host waits for so many days.
async fn wait(zone: &Zone, key: u8, days: u64) -> Fingerprint {
    let public_key = AuthorPublicKey::new([key; 32]);
    let record = WaitingRecord {
        state: WaitingState::Waiting,
        because: Some(WaitingFor::Approval),
        service: Some("web".parse().unwrap()),
        host: Some(format!("web{key}.example").parse().unwrap()),
        public_key: Some(public_key),
        token: None,
        address: Some("192.0.2.7".parse().unwrap()),
        first_at: zone.now(),
        decided_at: None,
        decided_by: None,
        until: Some(zone.now().plus(days * DAY)),
        note: String::new(),
        revision: 1,
    };
    let (id, body) = (Fingerprint::of(&public_key), serde_json::to_string(&record).unwrap());
    let keyring = zone.kdc.ledger().keyring();
    let random = &mut keycell_kdc::random::system();
    let document = keyring.seal_document(Kind::Enrollment, id.to_string(), 1, body, random);
    let act = Act { writes: vec![Write::PutDocument { document, expected: None }], events: Vec::new() };
    zone.kdc.ledger().commit(&act).await.unwrap();
    id
}

#[tokio::test]
async fn a_join_token_is_forgotten_a_month_after_its_end() {
    let zone = Zone::new().await;
    let (short, long) = (token(&zone, 60).await, token(&zone, 10 * 86_400).await);
    let state = |id| zone.kdc.join_tokens().show(id).map(|view| view.state).ok();
    zone.clock.advance(60_000);
    assert_eq!(
        (state(short), state(long), zone.kdc.join_tokens().live()),
        (Some(JoinTokenState::Expired), Some(JoinTokenState::Live), 1)
    );
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.kdc.metrics().joining.join_tokens.get(), 1);
    zone.clock.advance(30 * DAY);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(state(short), Some(JoinTokenState::Expired), "what it was can be looked up for a month");
    zone.clock.advance(1000);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!((state(short), state(long)), (None, Some(JoinTokenState::Expired)));
}

#[tokio::test]
async fn whoever_puts_the_row_of_a_revoked_join_token_back_lets_nobody_in() {
    let mut zone = Zone::new().await;
    let id = token(&zone, 86_400).await;
    let state = |zone: &Zone| zone.kdc.join_tokens().show(id).map(|view| view.state).ok();
    zone.sql("CREATE TABLE kept AS SELECT * FROM document WHERE kind = 'join_token'").await;
    zone.kdc.join_tokens().revoke(&Caller::console(), id).await.unwrap();
    zone.sql_documents("join_token", "REPLACE INTO document SELECT * FROM kept").await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(state(&zone), Some(JoinTokenState::Revoked));
    // Nor where it was gone in between, so that nothing in memory is newer.
    zone.sql_documents("join_token", "DELETE FROM document WHERE kind = 'join_token'").await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(state(&zone), None);
    zone.sql_documents("join_token", "REPLACE INTO document SELECT * FROM kept").await;
    zone.kdc.follower().catch_up().await.unwrap();
    assert_eq!(state(&zone), Some(JoinTokenState::Revoked));
    // A row that Keycell did not write lets nobody in after a start.
    zone.sql("UPDATE kept SET body = replace(body, '\"uses\":1,', '\"uses\":9,'), revision = 9").await;
    zone.sql_documents("join_token", "REPLACE INTO document SELECT * FROM kept").await;
    zone.restart().await;
    assert_eq!(state(&zone), None);
}

#[tokio::test]
async fn hosts_that_waited_for_too_long_are_forgotten_and_denials_are_not() {
    let zone = Zone::new().await;
    let (caller, any) = (Caller::console(), Precondition::NONE);
    let (short, long, bad) = (wait(&zone, 1, 1).await, wait(&zone, 2, 7).await, wait(&zone, 3, 1).await);
    zone.kdc.waiting().deny(&caller, bad, &any).await.unwrap();
    let crowd = |waiting, approved, denied| Crowd { waiting, approved, denied };
    assert_eq!(zone.kdc.waiting().crowd().await.unwrap(), crowd(2, 0, 1));
    zone.clock.advance(DAY);
    // It counts no more, and there is nothing to approve, also before the house is kept.
    assert_eq!(zone.kdc.waiting().crowd().await.unwrap(), crowd(1, 0, 1));
    let late = zone.kdc.waiting().approve(&caller, short, &any).await;
    assert!(matches!(late, Err(AdminError::Missing(_))), "{late:?}");
    zone.kdc.keep_house().await.unwrap();
    let kept = async |id: Fingerprint| {
        let document = zone.kdc.ledger().store().document(Kind::Enrollment, &id.to_string()).await.unwrap();
        document.is_some()
    };
    assert_eq!((kept(short).await, kept(long).await, kept(bad).await), (false, true, true));
    assert_eq!(zone.kdc.metrics().joining.waiting.get(), 1);
    // Who is approved has as long as hosts may wait, from then on.
    zone.clock.advance(5 * DAY);
    zone.kdc.waiting().approve(&caller, long, &any).await.unwrap();
    zone.clock.advance(7 * DAY - 1);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.kdc.waiting().crowd().await.unwrap(), crowd(0, 1, 1));
    zone.clock.advance(1);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(zone.kdc.waiting().crowd().await.unwrap(), crowd(0, 0, 1));
    zone.clock.advance(3650 * DAY);
    zone.kdc.keep_house().await.unwrap();
    assert!(kept(bad).await, "a denial is for good");
}

#[tokio::test]
async fn a_row_of_a_host_that_keycell_did_not_write_approves_nobody() {
    let zone = Zone::new().await;
    let (caller, any) = (Caller::console(), Precondition::NONE);
    let (good, bad) = (wait(&zone, 1, 1).await, wait(&zone, 2, 1).await);
    let forged =
        format!("UPDATE document SET body = replace(body, 'waiting', 'approved') WHERE id = '{bad}'");
    zone.sql_documents("enrollment", &forged).await;
    let page = zone.kdc.waiting().page(None, 10, &WaitingFilter::default()).await.unwrap();
    assert_eq!(page.iter().map(|host| host.fingerprint).collect::<Vec<_>>(), [good]);
    assert!(zone.kdc.waiting().approve(&caller, bad, &any).await.is_err());
    // It only stands in the way: it can be forgotten, and comes again as a stranger.
    zone.kdc.waiting().forget(&caller, bad, &any).await.unwrap();
    assert_eq!(zone.kdc.ledger().store().count_documents(Kind::Enrollment).await.unwrap(), 1);
}
