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
#[path = "store/examples.rs"]
mod examples;
#[path = "store/followers.rs"]
mod followers;
#[path = "store/parties.rs"]
mod parties;
#[path = "store/rows.rs"]
mod rows;
#[path = "store/schema.rs"]
mod schema;
#[path = "store/whole.rs"]
mod whole;

use std::sync::Arc;
use std::time::Duration;

use acts::{Acts, KEY, answer, document, event, put, put_document};
use at_rest::{
    many_at_once_wrap_each_row_once, seals_of_enrollments_are_found_and_made_anew, the_epoch_only_goes_ahead,
    what_changed_meanwhile_is_not_written_over, what_is_left_is_found_page_by_page,
    wrapping_anew_is_no_change,
};
use audit::{
    a_failing_act_leaves_no_record, another_key_seals_the_log_anew, committers_at_once_keep_the_chain,
    damage_is_neither_hidden_nor_in_the_way, many_records_leave_checkpoints, queries_find_what_they_ask_for,
    records_follow_each_other, what_is_trimmed_is_sealed,
};
use bulk::{an_act_may_have_100_000_records, many_parties_are_written_together};
use database::Database;
use documents::{
    a_document_names_the_revision_it_expects, an_answer_is_kept_once, documents_come_some_at_a_time,
    followers_hear_of_documents, the_latest_moment_is_noted, the_latest_process_is_noted,
};
use examples::{keys, name, party, secret, zone};
use followers::{a_follower_is_woken, a_follower_learns_the_latest_form, woken};
use keycell_kdc::keyring::{Keyring, Life, MasterKey, Standing};
use keycell_kdc::store::{
    Change, ChangeNumber, Damaged, KeyState, Kind, PartyRecord, SecretRecord, Store, StoreError,
};
use keycell_protocol::{Epoch, Generation, LongTermKey, Name, UnixMillis};
use keycell_tests::postgres::Postgres;
use parties::{
    a_name_made_again_counts_on, a_refused_write_leaves_no_gap, a_snapshot_is_of_one_moment,
    a_write_names_the_revision_it_expects, writers_at_once_leave_no_gap,
};
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
    another_key_seals_the_log_anew,
    damage_is_neither_hidden_nor_in_the_way,
    a_document_names_the_revision_it_expects,
    documents_come_some_at_a_time,
    followers_hear_of_documents,
    an_answer_is_kept_once,
    the_latest_moment_is_noted,
    the_latest_process_is_noted,
    many_parties_are_written_together,
    an_act_may_have_100_000_records,
    what_is_left_is_found_page_by_page,
    seals_of_enrollments_are_found_and_made_anew,
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
