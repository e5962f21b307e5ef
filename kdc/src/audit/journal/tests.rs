use std::sync::atomic::Ordering;

use futures_util::TryStreamExt as _;
use keycell_protocol::UnixMillis;

use super::super::fake::{Fake, Log, event, key};
use super::super::{Action, Actor, FindingKind, verify_export};
use super::*;
use crate::clock::ManualClock;

fn journal(log: Log) -> (Arc<Fake>, Journal) {
    let store = Fake::new(log);
    (store.clone(), Journal::new(store, key(), Arc::new(ManualClock::new(UnixMillis(10_000_000)))))
}

fn trim_event() -> Event {
    Event::new(UnixMillis(9_000_000), Actor::Kdc, Action::AuditTrim, "")
}

async fn exported(journal: &Journal) -> Vec<u8> {
    journal.export().try_collect::<Vec<_>>().await.unwrap().concat()
}

#[tokio::test]
async fn a_log_of_many_pages_is_sound_here_and_in_a_file() {
    let (store, journal) = journal(Log::of(3500));
    let noted = journal.seal().await.unwrap().unwrap().link;
    journal.commit(&Act { writes: Vec::new(), events: vec![event(3501)] }).await.unwrap();
    let verdict = journal.verify(&[noted]).await.unwrap();
    assert_eq!(verdict.findings, []);
    assert_eq!((verdict.summary.records, verdict.summary.checkpoints), (3501, 3));
    let there = verify_export(exported(&journal).await.as_slice(), None, &[noted]).unwrap();
    assert_eq!(there.verdict, verdict);

    store.log.lock().unwrap().records[1700].target.push('x');
    let kinds = |verdict: Verdict| {
        verdict.findings.iter().map(|finding| (finding.kind, finding.seq)).collect::<Vec<_>>()
    };
    assert_eq!(kinds(journal.verify(&[]).await.unwrap()), [(FindingKind::Changed, 1701)]);
    let there = verify_export(exported(&journal).await.as_slice(), None, &[]).unwrap();
    assert_eq!(kinds(there.verdict), [(FindingKind::Changed, 1701)]);
}

#[tokio::test]
async fn an_empty_log_can_be_exported() {
    let (_, journal) = journal(Log::empty());
    assert_eq!(journal.seal().await.unwrap(), None);
    let there = verify_export(exported(&journal).await.as_slice(), None, &[]).unwrap();
    assert_eq!(there.verdict.findings[0].kind, FindingKind::HeadMissing);
}

#[tokio::test]
async fn rows_added_by_hand_are_no_newer_records() {
    let (store, journal) = journal(Log::of(20));
    let forged = store.log.lock().unwrap().records[19].link().next(&event(21));
    store.log.lock().unwrap().records.push(forged);
    let verdict = journal.verify(&[]).await.unwrap();
    assert_eq!(verdict.findings[0].kind, FindingKind::Appended);
}

#[tokio::test]
async fn trims_leave_a_log_that_verifies() {
    let (store, journal) = journal(Log::of(2500));
    // The record n was written at n seconds.
    for (before, from, through) in
        [(700, 1, 699), (1300, 700, 1299), (2001, 1300, 2000), (99_999, 2001, 2502)]
    {
        let trimmed =
            journal.trim(UnixMillis(before * 1000), trim_event(), OnDamage::Refuse).await.unwrap().unwrap();
        assert_eq!((trimmed.from, trimmed.through, trimmed.records), (from, through, through - from + 1));
        assert_eq!(trimmed.actions.values().sum::<u64>(), trimmed.records);
        assert_eq!(trimmed.findings, 0);
        let verdict = journal.verify(&[]).await.unwrap();
        assert_eq!(verdict.findings, []);
        assert_eq!((verdict.summary.trimmed_through, verdict.summary.first), (through, Some(through + 1)));
        let there = verify_export(exported(&journal).await.as_slice(), None, &[]).unwrap();
        assert_eq!(there.verdict, verdict);
        let last = store.log.lock().unwrap().records.last().unwrap().clone();
        assert_eq!(last.action, "audit.trim");
        assert!(last.detail.contains(&format!("\"through\":{through}")), "{}", last.detail);
    }
    // The record of the trim before, and the one of the last, are what is left.
    assert_eq!(
        store.log.lock().unwrap().records.iter().map(|record| record.seq).collect::<Vec<_>>(),
        [2503, 2504]
    );
}

#[tokio::test]
async fn a_trim_keeps_what_is_young_and_the_last_record() {
    let (_, empty) = journal(Log::empty());
    let (store, journal) = journal(Log::of(20));
    assert_eq!(journal.trim(UnixMillis(1000), trim_event(), OnDamage::Refuse).await.unwrap(), None);
    assert_eq!(store.commits.load(Ordering::SeqCst), 0);
    let trimmed = journal.trim(UnixMillis(u64::MAX), trim_event(), OnDamage::Refuse).await.unwrap().unwrap();
    assert_eq!(
        (trimmed.through, trimmed.first_at, trimmed.last_at),
        (19, UnixMillis(1000), UnixMillis(19_000))
    );
    assert_eq!(empty.trim(UnixMillis(u64::MAX), trim_event(), OnDamage::Refuse).await.unwrap(), None);
    assert_eq!(journal.days_ago(0), UnixMillis(10_000_000));
    assert_eq!(journal.days_ago(1), UnixMillis(0));
}

#[tokio::test]
async fn a_trim_does_not_wash_away_what_was_tampered_with() {
    for place in [3, 18, 19] {
        let (store, journal) = journal(Log::of(20));
        store.log.lock().unwrap().records[place].actor.push('x');
        let refused = journal.trim(UnixMillis(20_000), trim_event(), OnDamage::Refuse).await;
        assert!(matches!(refused, Err(JournalError::Damaged { .. })), "{place}");
        let noted = journal.trim(UnixMillis(20_000), trim_event(), OnDamage::Note).await.unwrap().unwrap();
        assert_eq!(noted.findings, 1);
        let seal = store.log.lock().unwrap().seals.trims[0].clone();
        assert_eq!(Trimmed::of(&seal), Some(noted));
    }
}

#[tokio::test]
async fn much_is_removed_in_pieces() {
    let (store, journal) = journal(Log::of(2500));
    let before = UnixMillis(2_000_001);
    let trimmed = journal.trim_by(300, before, &trim_event(), OnDamage::Refuse).await.unwrap().unwrap();
    assert_eq!((trimmed.from, trimmed.through, trimmed.records), (1, 2000, 2000));
    assert_eq!(trimmed.actions.values().sum::<u64>(), 2000);
    let seals = store.log.lock().unwrap().seals.trims.clone();
    let ends: Vec<_> = seals.iter().map(|seal| seal.link.seq).collect();
    assert_eq!(ends, [300, 600, 900, 1200, 1500, 1800, 2000]);
    assert_eq!(journal.verify(&[]).await.unwrap().findings, []);
    // The pieces' own records are not chased.
    let all =
        journal.trim_by(300, UnixMillis(u64::MAX), &trim_event(), OnDamage::Refuse).await.unwrap().unwrap();
    assert_eq!((all.from, all.through), (2001, 2506));

    let (store, journal) = self::journal(Log::of(2500));
    store.log.lock().unwrap().records[1299].target.push('x');
    let trimmed = journal.trim_by(300, before, &trim_event(), OnDamage::Refuse).await.unwrap().unwrap();
    assert_eq!(trimmed.through, 900, "nothing goes that the next proof does not hold for");
    let error = journal.trim_by(300, before, &trim_event(), OnDamage::Refuse).await.unwrap_err();
    assert!(matches!(error, JournalError::Damaged { .. }), "{error}");
}
