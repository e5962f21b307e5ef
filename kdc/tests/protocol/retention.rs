//! What the database forgets, when, and what it never forgets (docs/running.md, "What the database keeps").

use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::{CreatedToken, NewToken};
use keycell_kdc::audit::Action;
use keycell_kdc::store::{Act, Answer, AuditQuery, Write};
use keycell_kdc::token::Role;
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

use crate::zone::{DAY, Zone};

const MINUTE: u64 = 60_000;

/// How many rows a table has.
async fn rows(zone: &Zone, table: &str) -> i64 {
    let mut connection = SqliteConnection::connect(&zone.config.database).await.unwrap();
    let count = format!("SELECT count(*) FROM {table}");
    let count: i64 = sqlx::query_scalar(AssertSqlSafe(count)).fetch_one(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    count
}

async fn token(zone: &Zone) -> CreatedToken {
    let new = NewToken { subject: "alice".to_owned(), role: Role::Admin, ttl_seconds: Some(60) };
    zone.kdc.tokens().create(&Caller::console(), &new, |_| Ok(None)).await.unwrap()
}

#[tokio::test]
async fn a_token_is_forgotten_a_month_after_its_end() {
    let mut zone = Zone::new().await;
    let (first, before) = (token(&zone).await, rows(&zone, "document").await);
    let known = |zone: &Zone, token: &CreatedToken| zone.kdc.tokens().show(&token.info.id).is_ok();
    zone.clock.advance(MINUTE + 31 * DAY);
    zone.kdc.keep_house().await.unwrap();
    assert!(known(&zone, &first), "what it was can be looked up for a month");
    let second = token(&zone).await;
    zone.clock.advance(MINUTE);
    zone.kdc.keep_house().await.unwrap();
    assert!(!known(&zone, &first) && known(&zone, &second));
    // The token that the cell was made with went a day later than the first one.
    assert_eq!(rows(&zone, "document").await, before);
    zone.restart().await;
    assert!(!known(&zone, &first) && known(&zone, &second));
}

#[tokio::test]
async fn records_go_when_they_are_as_old_as_the_zone_says_and_never_without_that() {
    let zone = Zone::new().await;
    let everything = AuditQuery { limit: 1_000, ..AuditQuery::default() };
    for _ in 0..100 {
        zone.clock.advance(DAY);
        zone.kdc.record(Action::KdcStart).await.unwrap();
    }
    zone.kdc.keep_house().await.unwrap();
    let all = rows(&zone, "audit").await;
    assert!(all > 100, "{all}");

    let patch = serde_json::from_value(serde_json::json!({ "audit_retention_days": 30 })).unwrap();
    zone.kdc.settings().change_zone(&Caller::console(), &patch, &Precondition::NONE).await.unwrap();
    zone.kdc.keep_house().await.unwrap();
    let journal = zone.kdc.ledger().journal();
    let left = journal.query(&everything).await.unwrap();
    let oldest = left.first().unwrap().at;
    assert!(oldest >= zone.now().minus(30 * DAY), "{oldest:?}");
    assert!(oldest < zone.now().minus(29 * DAY), "{oldest:?}");
    assert!(journal.verify(&[]).await.unwrap().is_sound());
}

#[tokio::test]
async fn an_answer_is_forgotten_after_its_hour() {
    let zone = Zone::new().await;
    let answer = Answer {
        actor: "administrator:alice".to_owned(),
        idempotency: "once".to_owned(),
        fingerprint: [7; 32],
        status: 201,
        master_version: 1,
        wrapped: vec![1, 2, 3],
        expires_at: zone.now().plus(60 * MINUTE),
    };
    let act = Act { writes: vec![Write::KeepAnswer(answer)], events: Vec::new() };
    zone.kdc.ledger().commit(&act).await.unwrap();
    zone.clock.advance(60 * MINUTE - 1);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(rows(&zone, "answer").await, 1);
    zone.clock.advance(1);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!(rows(&zone, "answer").await, 0);
}

/// A generation that was used once must never be used again, so what is left of a deleted party stays for good. When a
/// party was seen goes with it.
#[tokio::test]
async fn a_tombstone_is_never_forgotten() {
    let mut zone = Zone::new().await;
    let (first, caller) = (zone.party("a").await, Caller::console());
    let mut agent = zone.agent("b").await;
    zone.seal(&mut agent, "a", b"x").unwrap();
    zone.kdc.keep_house().await.unwrap();
    assert_eq!((rows(&zone, "party_seen").await, rows(&zone, "tombstone").await), (1, 0));
    for local in ["a", "b"] {
        zone.kdc.parties().delete(&caller, &zone.name(local), &Precondition::NONE).await.unwrap();
    }
    zone.clock.advance(3650 * DAY);
    zone.kdc.keep_house().await.unwrap();
    assert_eq!((rows(&zone, "party_seen").await, rows(&zone, "tombstone").await), (0, 2));
    zone.restart().await;
    let again = zone.party("a").await;
    assert_eq!((first.generation().0, again.generation().0), (1, 2));
}
