//! The audit log in a database: tampered with by somebody who can write to it, exported, shortened.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "store/database.rs"]
#[expect(dead_code, reason = "other tests need more of it")]
mod database;

use std::sync::Arc;

use database::Database;
use futures_util::TryStreamExt as _;
use keycell_kdc::audit::{
    Action, Actor, AuditKey, Denial, Event, FindingKind, Journal, OnDamage, Recorder, Verdict, verify_export,
};
use keycell_kdc::clock::ManualClock;
use keycell_kdc::store::{Act, AuditQuery, CHECKPOINT_EVERY, Store, ZoneRecord};
use keycell_protocol::{ProblemType, RatchetPeriod, UnixMillis, Zone};
use tokio_util::sync::CancellationToken;

/// Makes a test for each database of each function named.
macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::database::Database::sqlite()).await })*
        }
        mod postgres {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
            async fn $name() { super::$name(crate::database::Database::postgres()).await })*
        }
    };
}

on_both! {
    a_row_that_was_altered_is_named,
    a_row_that_cannot_be_read_is_named,
    a_log_that_was_cut_is_named,
    a_damaged_end_does_not_stop_the_log,
    the_log_verifies_after_any_number_of_trims,
    denials_are_written,
}

async fn a_row_that_was_altered_is_named(database: Database) {
    let journal = cell(&database, 2500).await;
    let whole = journal.verify(&[]).await.unwrap();
    assert_eq!(told(&whole), []);
    assert_eq!((whole.summary.records, whole.summary.checkpoints), (2500, 2500 / CHECKPOINT_EVERY));
    assert_eq!(told(&in_a_file(&journal).await), []);

    database.run("UPDATE audit SET target = 'p@example' WHERE seq = 1234").await;
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), [(FindingKind::Changed, 1234, 1234)]);
    assert_eq!(told(&in_a_file(&journal).await), [(FindingKind::Changed, 1234, 1234)]);
    database.run("UPDATE audit SET hash = (SELECT hash FROM audit WHERE seq = 7) WHERE seq = 2000").await;
    database.run("DELETE FROM audit WHERE seq IN (400, 401)").await;
    assert_eq!(
        told(&journal.verify(&[]).await.unwrap()),
        [
            (FindingKind::Missing, 400, 401),
            (FindingKind::Changed, 1234, 1234),
            (FindingKind::HashChanged, 2000, 2000)
        ]
    );
}

async fn a_row_that_cannot_be_read_is_named(database: Database) {
    let journal = cell(&database, 2500).await;
    let bytes = if database.is_sqlite() { "X'00'" } else { "'\\x00'" };
    let mut expected = vec![(FindingKind::Changed, 7, 7)];
    database.run("UPDATE audit SET at = -1 WHERE seq = 7").await;
    if database.is_sqlite() {
        database.run("UPDATE audit SET detail = CAST(X'7bff7d' AS TEXT) WHERE seq = 20").await;
        expected.push((FindingKind::Changed, 20, 20));
    }
    database.run(&format!("UPDATE audit SET hash = {bytes} WHERE seq = 1500")).await;
    database
        .run(&format!("UPDATE audit_seal SET hash = {bytes} WHERE kind = 'checkpoint' AND seq = 2000"))
        .await;
    expected.extend([(FindingKind::HashChanged, 1500, 1500), (FindingKind::CheckpointForged, 2000, 2000)]);
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), expected);
    assert_eq!(told(&in_a_file(&journal).await), expected);
    let all = AuditQuery { limit: 3000, ..AuditQuery::default() };
    assert_eq!(journal.query(&all).await.unwrap().len(), 2500);
    database.run("UPDATE audit_seal SET at = -1 WHERE kind = 'head'").await;
    assert!(told(&journal.verify(&[]).await.unwrap()).contains(&(FindingKind::HeadForged, 2500, 2500)));
}

async fn a_log_that_was_cut_is_named(database: Database) {
    let journal = cell(&database, 1500).await;
    let noted = journal.seal().await.unwrap().unwrap().link;
    database.run("DELETE FROM audit WHERE seq > 1490").await;
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), [(FindingKind::CutOff, 1491, 1500)]);
    database.run("DELETE FROM audit_seal WHERE kind = 'head'").await;
    assert_eq!(
        told(&journal.verify(&[noted]).await.unwrap()),
        [(FindingKind::HeadMissing, 1490, 1490), (FindingKind::SetBack, 1491, 1500)]
    );
    database.run("DELETE FROM audit_seal WHERE kind = 'checkpoint'").await;
    let verdict = journal.verify(&[]).await.unwrap();
    assert!(told(&verdict).contains(&(FindingKind::CheckpointMissing, 1000, 1000)), "{verdict:?}");
}

async fn a_damaged_end_does_not_stop_the_log(database: Database) {
    let journal = cell(&database, 20).await;
    database.run("UPDATE audit SET actor = 'console:eve' WHERE seq = 20").await;
    append(&journal, 21..=30).await;
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), [(FindingKind::Changed, 20, 20)]);
    database.run("DELETE FROM audit WHERE seq = 30").await;
    append(&journal, 31..=40).await;
    assert_eq!(
        told(&journal.verify(&[]).await.unwrap()),
        [(FindingKind::Changed, 20, 20), (FindingKind::Missing, 30, 30)]
    );
}

async fn the_log_verifies_after_any_number_of_trims(database: Database) {
    let journal = cell(&database, 2500).await;
    for (before, from, through) in [(700, 1, 699), (1300, 700, 1299), (2400, 1300, 2399)] {
        let event = Event::new(UnixMillis(9_000_000), Actor::Console("root".into()), Action::AuditTrim, "");
        let trimmed =
            journal.trim(UnixMillis(before * 1000), event, OnDamage::Refuse).await.unwrap().unwrap();
        assert_eq!((trimmed.from, trimmed.through), (from, through));
        let verdict = journal.verify(&[]).await.unwrap();
        assert_eq!(told(&verdict), []);
        assert_eq!(verdict.summary.trimmed_through, through);
        assert_eq!(in_a_file(&journal).await, verdict);
    }
    database.run("DELETE FROM audit_seal WHERE kind = 'trim' AND seq = 1299").await;
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), [(FindingKind::TrimMissing, 700, 1299)]);
    database.run("DELETE FROM audit_seal WHERE kind = 'trim'").await;
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), [(FindingKind::Missing, 1, 2399)]);
}

async fn denials_are_written(database: Database) {
    let journal = cell(&database, 1).await;
    let recorder = Recorder::new(Default::default());
    let (party, destination) = ("a@example".parse().unwrap(), "b@example".parse().unwrap());
    let denial =
        Denial { destination: &destination, problem: ProblemType::NotAllowed, rule: None, border: None };
    recorder.denied(journal.now(), &party, None, [denial, denial]);
    let stop = CancellationToken::new();
    stop.cancel();
    recorder.run(journal.clone(), stop).await;
    let query = AuditQuery { action: Some("ticket".into()), limit: 10, ..AuditQuery::default() };
    let records = journal.query(&query).await.unwrap();
    let [record] = records.as_slice() else { panic!("one record: {records:?}") };
    assert_eq!((record.actor.as_str(), record.target.as_str()), ("party:a@example", "b@example"));
    assert!(record.detail.contains("\"count\":2"), "{}", record.detail);
    assert_eq!(told(&journal.verify(&[]).await.unwrap()), []);
}

/// A zone whose log has `n` records, the `n`th written at `n` seconds.
async fn cell(database: &Database, n: u64) -> Journal {
    let zone: Zone = "example".parse().unwrap();
    let store: Arc<dyn Store> = database.create().await;
    let key = Arc::new(AuditKey::new(&AuditKey::generate().unwrap(), &zone).unwrap());
    let created_at = UnixMillis(1000);
    let record = ZoneRecord { zone, ratchet_period: RatchetPeriod::DEFAULT, created_at };
    let act = Act {
        writes: Vec::new(),
        events: vec![Event::new(created_at, Actor::Console("root".into()), Action::ZoneCreate, "")],
    };
    store.create_zone(&record, &[], &act, &key).await.unwrap();
    let journal = Journal::new(store, key, Arc::new(ManualClock::new(UnixMillis(10_000_000))));
    append(&journal, 2..=n).await;
    journal
}

async fn append(journal: &Journal, numbers: std::ops::RangeInclusive<u64>) {
    let numbers: Vec<_> = numbers.collect();
    // Not a divisor of a page, nor of the way to a checkpoint.
    for some in numbers.chunks(370) {
        let event = |n: &u64| {
            let actor = Actor::Administrator("alice".into());
            Event::new(UnixMillis(n * 1000), actor, Action::PartyCreate, format!("p{n}@example"))
        };
        let events = some.iter().map(event).collect();
        journal.commit(&Act { writes: Vec::new(), events }).await.unwrap();
    }
}

async fn in_a_file(journal: &Journal) -> Verdict {
    let file = journal.export().try_collect::<Vec<_>>().await.unwrap().concat();
    verify_export(file.as_slice(), None, &[]).unwrap().verdict
}

fn told(verdict: &Verdict) -> Vec<(FindingKind, u64, u64)> {
    verdict.findings.iter().map(|finding| (finding.kind, finding.seq, finding.through)).collect()
}
