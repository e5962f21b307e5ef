//! Who follows the database, and is woken when it changes.

use std::time::Duration;

use keycell_kdc::store::{Change, ChangeNumber, Store};
use keycell_protocol::UnixMillis;

use crate::acts::Acts as _;
use crate::database::Database;
use crate::examples::{name, party};

pub(super) async fn a_follower_learns_the_latest_form(database: Database) {
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

pub(super) async fn a_follower_is_woken(database: Database) {
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

/// Waits for a change far longer than a test may take; only being woken ends it well.
pub(super) async fn woken(store: &dyn Store, since: u64) {
    let wait = store.wait_for_change(ChangeNumber(since), Duration::from_secs(3600));
    tokio::time::timeout(Duration::from_secs(30), wait).await.unwrap();
}
