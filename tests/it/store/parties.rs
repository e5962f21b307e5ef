//! What is written of parties, and by whom at once.

use std::collections::BTreeMap;
use std::time::Duration;

use keycell_kdc::store::{Change, ChangeNumber, StoreError};
use keycell_protocol::{Generation, UnixMillis};

use crate::acts::Acts as _;
use crate::database::Database;
use crate::examples::{keys, name, party};

pub(super) async fn a_write_names_the_revision_it_expects(database: Database) {
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

pub(super) async fn a_refused_write_leaves_no_gap(database: Database) {
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

pub(super) async fn writers_at_once_leave_no_gap(database: Database) {
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

pub(super) async fn a_name_made_again_counts_on(database: Database) {
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

pub(super) async fn a_snapshot_is_of_one_moment(database: Database) {
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
