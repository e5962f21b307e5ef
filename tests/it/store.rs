//! The contract of the store: one suite, run on SQLite and on PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "store/acts.rs"]
mod acts;
#[path = "store/at_rest.rs"]
mod at_rest;
#[path = "store/audit.rs"]
mod audit;
#[path = "store/auditors.rs"]
mod auditors;
#[path = "store/bulk.rs"]
mod bulk;
#[path = "store/database.rs"]
mod database;
#[path = "store/documents.rs"]
mod documents;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/whole.rs"]
mod whole;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use acts::{Acts, KEY, answer, document, event, put, put_document};
use at_rest::{
    many_at_once_wrap_each_row_once, the_epoch_only_goes_ahead, what_changed_meanwhile_is_not_written_over,
    what_is_left_is_found_page_by_page, wrapping_anew_is_no_change,
};
use audit::{
    a_failing_act_leaves_no_record, committers_at_once_keep_the_chain,
    damage_is_neither_hidden_nor_in_the_way, many_records_leave_checkpoints, queries_find_what_they_ask_for,
    records_follow_each_other, what_is_trimmed_is_sealed,
};
use bulk::{an_act_may_have_100_000_records, many_parties_are_written_together};
use database::Database;
use documents::{
    a_document_names_the_revision_it_expects, an_answer_is_kept_once, followers_hear_of_documents,
    the_latest_moment_is_noted,
};
use keycell_kdc::keyring::{Keyring, Life, MasterKey, Standing};
use keycell_kdc::store::{
    Change, ChangeNumber, Damaged, KeyState, Kind, PartyRecord, SecretRecord, Store, StoreError, ZoneRecord,
};
use keycell_protocol::{AuthorPublicKey, Epoch, Generation, LongTermKey, Name, RatchetPeriod, UnixMillis};
use keycell_tests::postgres::Postgres;
use rows::{
    a_damaged_row_is_named, a_damaged_row_keeps_no_other_back, a_large_cell_loads, a_moved_row_does_not_open,
    another_schema_is_refused,
};
use schema::{
    a_later_schema_leaves_this_release_working, a_later_schema_may_end_this_release,
    an_older_database_is_migrated, two_who_migrate_follow_each_other,
    what_is_written_may_end_an_older_release,
};
use whole::{all_of_it_goes_out_and_in_again, moments_are_noted_and_the_buried_found};

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
    a_zone_is_made_once,
    all_of_it_goes_out_and_in_again,
    moments_are_noted_and_the_buried_found,
    a_write_names_the_revision_it_expects,
    a_refused_write_leaves_no_gap,
    writers_at_once_leave_no_gap,
    a_name_made_again_counts_on,
    a_follower_learns_the_latest_form,
    a_snapshot_is_of_one_moment,
    everything_is_there_after_a_restart,
    a_follower_is_woken,
    a_damaged_row_is_named,
    a_damaged_row_keeps_no_other_back,
    a_moved_row_does_not_open,
    another_schema_is_refused,
    a_large_cell_loads,
    an_older_database_is_migrated,
    two_who_migrate_follow_each_other,
    a_later_schema_leaves_this_release_working,
    a_later_schema_may_end_this_release,
    what_is_written_may_end_an_older_release,
    records_follow_each_other,
    a_failing_act_leaves_no_record,
    committers_at_once_keep_the_chain,
    many_records_leave_checkpoints,
    queries_find_what_they_ask_for,
    what_is_trimmed_is_sealed,
    damage_is_neither_hidden_nor_in_the_way,
    a_document_names_the_revision_it_expects,
    followers_hear_of_documents,
    an_answer_is_kept_once,
    the_latest_moment_is_noted,
    many_parties_are_written_together,
    an_act_may_have_100_000_records,
    what_is_left_is_found_page_by_page,
    wrapping_anew_is_no_change,
    what_changed_meanwhile_is_not_written_over,
    many_at_once_wrap_each_row_once,
    the_epoch_only_goes_ahead,
}

async fn a_zone_is_made_once(database: Database) {
    let store = database.create().await;
    assert!(matches!(store.zone().await, Err(StoreError::Empty)));
    let secrets = [secret("one"), secret("two")];
    store.make_zone(&zone(), &secrets).await.unwrap();
    assert_eq!(store.zone().await.unwrap(), zone());
    assert_eq!(store.secret("two").await.unwrap(), Some(secret("two")));
    assert_eq!(store.secret("three").await.unwrap(), None);

    let error = store.make_zone(&zone(), &[secret("three")]).await.unwrap_err();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(store.secret("three").await.unwrap(), None, "nothing of a refused zone is kept");
    store.ping().await.unwrap();
}

async fn a_write_names_the_revision_it_expects(database: Database) {
    let store = database.create().await;
    let mut party = party("a@z", &[1]);
    assert!(matches!(store.put_party(&party, Some(1)).await, Err(StoreError::Missing { .. })));
    assert!(matches!(store.delete_party(&party.name, None).await, Err(StoreError::Missing { .. })));
    assert_eq!(store.put_party(&party, None).await.unwrap(), ChangeNumber(1));
    assert!(matches!(store.put_party(&party, None).await, Err(StoreError::Exists { .. })));

    let expected = party.revise(UnixMillis(99));
    party.keys = keys(&[2, 3]);
    assert_eq!(store.put_party(&party, Some(expected)).await.unwrap(), ChangeNumber(2));
    assert_eq!(store.party(&party.name).await.unwrap(), Some(party.clone()));
    assert_eq!(party.revision, 2);

    let changed = |result| matches!(result, Err(StoreError::Changed { expected: 1, found: 2, name }) if name.as_str() == "a@z");
    assert!(changed(store.put_party(&party, Some(1)).await));
    assert!(changed(store.delete_party(&party.name, Some(1)).await));
    assert_eq!(store.delete_party(&party.name, Some(2)).await.unwrap(), ChangeNumber(3));
    assert_eq!(store.party(&party.name).await.unwrap(), None);
    assert!(matches!(store.put_party(&party, Some(2)).await, Err(StoreError::Missing { .. })));
}

async fn a_refused_write_leaves_no_gap(database: Database) {
    let store = database.create().await;
    assert_eq!(store.put_party(&party("a@z", &[1]), None).await.unwrap(), ChangeNumber(1));
    store.put_party(&party("a@z", &[1]), None).await.unwrap_err();
    store.put_party(&party("b@z", &[1]), Some(1)).await.unwrap_err();
    store.delete_party(&name("c@z"), None).await.unwrap_err();
    // Two keys of one generation: refused by the database itself, in the middle of the transaction.
    store.put_party(&party("d@z", &[1, 1]), None).await.unwrap_err();
    assert_eq!(store.party(&name("d@z")).await.unwrap(), None);
    assert_eq!(store.put_party(&party("e@z", &[1]), None).await.unwrap(), ChangeNumber(2));
}

async fn writers_at_once_leave_no_gap(database: Database) {
    let store = database.create().await;
    let beside = database.connect().await.unwrap();
    let writers: Vec<_> = (0..32)
        .map(|i| {
            // As two processes do.
            let store = if i % 2 == 0 { store.clone() } else { beside.clone() };
            tokio::spawn(async move {
                let mut party = party(&format!("p{i}@z"), &[1]);
                let first = store.put_party(&party, None).await.unwrap();
                let expected = party.revise(UnixMillis(5));
                [first, store.put_party(&party, Some(expected)).await.unwrap()]
            })
        })
        .collect();
    // A follower that looks again and again meanwhile misses nothing either.
    let mut seen = BTreeMap::new();
    let mut since = ChangeNumber(0);
    while since < ChangeNumber(64) {
        store.wait_for_change(since, Duration::from_millis(20)).await;
        let changes = store.changes_since(since).await.unwrap();
        assert!(changes.change >= since);
        since = changes.change;
        for change in changes.parties {
            let Change::Put(party) = change else { panic!("nothing was deleted") };
            seen.insert(party.name.clone(), party);
        }
    }
    let mut numbers = Vec::new();
    for writer in writers {
        numbers.extend(writer.await.unwrap().map(|change| change.0));
    }
    numbers.sort_unstable();
    assert_eq!(numbers, (1..=64).collect::<Vec<_>>());

    let snapshot = store.parties().await.unwrap();
    assert_eq!(snapshot.change, ChangeNumber(64));
    assert_eq!(snapshot.parties, seen.into_values().collect::<Vec<_>>());
    assert_eq!(store.changes_since(ChangeNumber(0)).await.unwrap().parties.len(), 32);
}

async fn a_name_made_again_counts_on(database: Database) {
    let store = database.create().await;
    let a = name("a@z");
    assert_eq!(store.last_generation(&a).await, None);
    store.put_party(&party("a@z", &[1, 2]), None).await.unwrap();
    store.put_party(&party("a@z", &[1]), Some(1)).await.unwrap();
    assert_eq!(store.last_generation(&a).await, Some(Generation(2)), "its key is gone, its number is not");
    store.delete_party(&a, None).await.unwrap();
    assert_eq!(store.last_generation(&a).await, Some(Generation(2)));

    let used = |result| matches!(result, Err(StoreError::GenerationUsed { last: Generation(2), .. }));
    assert!(used(store.put_party(&party("a@z", &[2]), None).await));
    store.put_party(&party("a@z", &[3]), None).await.unwrap();
    assert_eq!(store.party(&a).await.unwrap().unwrap().revision, 3, "so do its revisions");
    assert!(matches!(
        store.put_party(&party("a@z", &[2, 3]), Some(3)).await,
        Err(StoreError::GenerationUsed { last: Generation(3), .. })
    ));
    store.delete_party(&a, Some(3)).await.unwrap();
    assert_eq!(store.last_generation(&a).await, Some(Generation(3)));

    store.put_party(&party("b@z", &[]), None).await.unwrap();
    assert_eq!(store.last_generation(&name("b@z")).await, None);
}

async fn a_follower_learns_the_latest_form(database: Database) {
    let store = database.create().await;
    for name in ["c@z", "a@z", "b@z"] {
        store.put_party(&party(name, &[1]), None).await.unwrap();
    }
    let since = store.parties().await.unwrap().change;
    let none = store.changes_since(since).await.unwrap();
    assert_eq!((none.change, none.parties), (since, vec![]));

    let mut b = party("b@z", &[1]);
    for now in [5, 6] {
        let expected = b.revise(UnixMillis(now));
        store.put_party(&b, Some(expected)).await.unwrap();
    }
    store.delete_party(&name("c@z"), None).await.unwrap();
    store.delete_party(&name("a@z"), None).await.unwrap();
    let mut again = party("a@z", &[2]);
    again.revision = 2;
    store.put_party(&again, None).await.unwrap();
    let changes = store.changes_since(since).await.unwrap();
    assert_eq!(changes.change, ChangeNumber(8));
    assert_eq!(changes.parties, [Change::Put(b), Change::Deleted(name("c@z")), Change::Put(again)]);
}

async fn a_snapshot_is_of_one_moment(database: Database) {
    let store = database.create().await;
    let writer = {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..100 {
                store.put_party(&party(&format!("p{i}@z"), &[1, 2]), None).await.unwrap();
            }
        })
    };
    loop {
        let snapshot = store.parties().await.unwrap();
        assert_eq!(u64::try_from(snapshot.parties.len()).unwrap(), snapshot.change.0);
        assert!(snapshot.parties.iter().all(|party| party.keys.len() == 2));
        assert!(snapshot.parties.is_sorted_by(|a, b| a.name < b.name));
        if snapshot.change == ChangeNumber(100) {
            break;
        }
    }
    writer.await.unwrap();
}

async fn everything_is_there_after_a_restart(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one")]).await.unwrap();
    // Names that a locale would sort otherwise.
    for name in ["a-b@z", "a.b@z", "B@z", "#KDC#00001@z", "ab@z", "a_b@z"] {
        store.put_party(&party(name, &[1]), None).await.unwrap();
    }
    store.delete_party(&name("ab@z"), None).await.unwrap();
    let before = store.parties().await.unwrap();
    assert_eq!(before.parties.len(), 5);
    store.close().await;
    assert!(store.ping().await.is_err());

    let store = database.connect().await.unwrap();
    assert_eq!(store.parties().await.unwrap(), before);
    assert_eq!(store.zone().await.unwrap(), zone());
    assert_eq!(store.secret("one").await.unwrap(), Some(secret("one")));
    assert_eq!(store.last_generation(&name("ab@z")).await, Some(Generation(1)));
    assert_eq!(store.put_party(&party("x@z", &[1]), None).await.unwrap(), ChangeNumber(8));
}

async fn a_follower_is_woken(database: Database) {
    let store = database.create().await;
    let waiter = |since| {
        let store = store.clone();
        tokio::spawn(async move { woken(&*store, since).await })
    };
    let (one, two) = (waiter(0), waiter(0));
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    one.await.unwrap();
    two.await.unwrap();
    // What has happened is not waited for.
    woken(&*store, 0).await;
    store.wait_for_change(ChangeNumber(1), Duration::from_millis(1)).await;
    let next = waiter(1);
    store.put_party(&party("b@z", &[1]), None).await.unwrap();
    next.await.unwrap();
    assert_eq!(store.changes_since(ChangeNumber(0)).await.unwrap().change, ChangeNumber(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_change_wakes_the_other_replicas() {
    let database = Database::postgres();
    let one = database.create().await;
    let two = database.connect().await.unwrap();
    let waiter = tokio::spawn(async move {
        woken(&*two, 0).await;
        two.changes_since(ChangeNumber(0)).await.unwrap().parties.len()
    });
    one.put_party(&party("a@z", &[1]), None).await.unwrap();
    assert_eq!(waiter.await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_postgres_acknowledged_survives_its_crash() {
    let cluster = Arc::new(Postgres::start());
    let database = Database::postgres_on(cluster.clone());
    let store = database.create().await;
    let listening = {
        let store = store.clone();
        tokio::spawn(async move { store.wait_for_change(ChangeNumber(20), Duration::from_millis(1)).await })
    };
    for i in 0..20 {
        store.put_party(&party(&format!("p{i}@z"), &[1]), None).await.unwrap();
    }
    listening.await.unwrap();
    cluster.crash();
    let error = store.ping().await.unwrap_err();
    assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
    cluster.restart();

    // The same store finds its way back, through connections that it must give up first.
    while store.ping().await.is_err() {}
    let snapshot = store.parties().await.unwrap();
    assert_eq!((snapshot.change, snapshot.parties.len()), (ChangeNumber(20), 20));
    while store.put_party(&party("again@z", &[1]), None).await.is_err() {}
    woken(&*store, 20).await;
    assert_eq!(store.changes_since(ChangeNumber(20)).await.unwrap().parties.len(), 1);
}

/// Waits for a change far longer than a test may take; only being woken ends it well.
async fn woken(store: &dyn Store, since: u64) {
    let wait = store.wait_for_change(ChangeNumber(since), Duration::from_secs(3600));
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}

fn zone() -> ZoneRecord {
    ZoneRecord {
        zone: "z".parse().unwrap(),
        ratchet_period: RatchetPeriod::from_seconds(3600).unwrap(),
        created_at: UnixMillis(1_700_000_000_123),
    }
}

fn secret(name: &str) -> SecretRecord {
    SecretRecord { name: name.to_owned(), version: 3, master_version: 2, wrapped: name.as_bytes().to_vec() }
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

fn party(text: &str, generations: &[u32]) -> PartyRecord {
    PartyRecord {
        name: name(text),
        enabled: true,
        revision: 1,
        revocation_epoch: 0,
        created_at: UnixMillis(2),
        updated_at: UnixMillis(3),
        log_tickets: false,
        note: String::new(),
        rotate_after: Some(UnixMillis(6)),
        author_key: Some(AuthorPublicKey::new([7; 32])),
        keys: keys(generations),
    }
}

fn keys(generations: &[u32]) -> Vec<keycell_kdc::store::KeyRecord> {
    let key = |generation: &u32| keycell_kdc::store::KeyRecord {
        generation: Generation(*generation),
        state: KeyState::Active,
        epoch: Epoch(u32::MAX),
        created_at: UnixMillis(4),
        ends_at: Some(UnixMillis(5)),
        master_version: 1,
        wrapped: vec![0, 255, 7],
    };
    generations.iter().map(key).collect()
}
