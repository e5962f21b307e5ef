//! Acts of many writes.

use keycell_kdc::audit::{Action, SealKind};
use keycell_kdc::store::{AuditQuery, Write};

use super::*;

pub(crate) async fn many_parties_are_written_together(database: Database) {
    let store = database.create().await;
    let many = |count: usize| (0..count).map(|n| party(&format!("p{n:04}@z"), &[1, 2]));
    // More than one statement takes, with a name that comes again in the middle.
    let mut writes: Vec<_> = many(2_500).map(|party| put(&party, None)).collect();
    let mut again = party("p0007@z", &[2, 3]);
    again.note = "twice".to_owned();
    again.log_tickets = true;
    let expected = again.revise(UnixMillis(9));
    writes.insert(1_200, put(&again, Some(expected)));
    assert_eq!(store.act(writes, vec![]).await.unwrap(), ChangeNumber(2_501));
    let mut all: Vec<_> = many(2_500).collect();
    all[7] = again.clone();
    assert_eq!(store.parties().await.unwrap().parties, all);
    let names: Vec<_> = ["p2499@z", "p0007@z", "p9999@z"].map(name).into();
    assert_eq!(store.some_parties(&names).await.unwrap(), [again, all[2_499].clone()]);
    assert_eq!(store.some_parties(&[]).await.unwrap(), []);

    // One that is there already: none of the others is written.
    let fresh = (0..1_500).map(|n| put(&party(&format!("q{n}@z"), &[1]), None));
    let clash = fresh.chain([put(&party("p0001@z", &[3]), None)]).collect();
    let error = store.act(clash, vec![event(1, Action::PartyImport, "")]).await.unwrap_err();
    assert!(matches!(&error, StoreError::Exists { what } if what.contains("p0001@z")), "{error}");
    assert_eq!(store.parties().await.unwrap().parties.len(), 2_500);

    // Deleted and made again, all at once: they count on.
    let deleted = all.iter().map(|party| Write::DeleteParty { name: party.name.clone(), expected: None });
    store.act(deleted.collect(), vec![]).await.unwrap();
    let made = (0..2_500).map(|n| put(&party(&format!("p{n:04}@z"), &[4]), None)).collect();
    store.act(made, vec![]).await.unwrap();
    let parties = store.parties().await.unwrap();
    assert_eq!((parties.change, parties.parties.len()), (ChangeNumber(7_501), 2_500));
    for (n, party) in parties.parties.iter().enumerate() {
        assert_eq!(party.revision, if n == 7 { 3 } else { 2 }, "{}", party.name);
    }
    let names: Vec<_> = parties.parties.iter().map(|party| party.name.clone()).collect();
    let earlier = store.earlier(&names).await.unwrap();
    assert!(earlier.len() == 2_500 && earlier.values().all(|earlier| earlier.generation == Generation(4)));
    let changes = store.changes_since(ChangeNumber(0)).await.unwrap();
    assert_eq!(changes.parties.len(), 2_500, "no tombstone is left");
}

pub(crate) async fn an_act_may_have_100_000_records(database: Database) {
    let store = database.create().await;
    let events = (0..100_000).map(|n| event(n, Action::PartyCreate, "a@z")).collect();
    store.act(vec![], events).await.unwrap();
    let query = AuditQuery { newest_first: true, limit: 1, ..AuditQuery::default() };
    let last = store.audit(&query).await.unwrap().remove(0);
    assert_eq!(last.seq, 100_000);
    assert_eq!(store.audit_seals(SealKind::Head).await.unwrap()[0].link, last.link());
    assert_eq!(store.audit_seals(SealKind::Checkpoint).await.unwrap().len(), 100);
}
