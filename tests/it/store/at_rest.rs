//! Rows that are wrapped anew while everything goes on.

use keycell_kdc::enrollment::{EnrollmentRecord, EnrollmentSeal};
use keycell_kdc::store::{Answer, BoundKey, Document, KeyPlace, KeyRecord, Rewrap, Target, Wrapped, Write};

use super::audit::chain;
use super::*;

const EPOCH: Epoch = Epoch(20_000);
const ENROLLMENT: &str = r##"{"service":"a","host":"b","public_key":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA",
    "identity":"#KDC#00001","generation":1,"timestamp":1,"request":"00","admission":"tofu","address":"::1",
    "enrolled_at":1,"renewed_at":2}"##;

/// A key at an epoch, under a version.
fn key(generation: u32, epoch: u32, master_version: u32, state: KeyState) -> KeyRecord {
    let wrapped = if state == KeyState::Dead { vec![] } else { vec![7; 40] };
    let epoch = Epoch(epoch);
    KeyRecord { state, epoch, master_version, wrapped, ends_at: None, ..keys(&[generation]).remove(0) }
}

/// Keys of two versions, two epochs and every state; those of disabled parties too.
async fn fill(store: &dyn Store) {
    let states =
        [KeyState::Dead, KeyState::Retiring, KeyState::Active, KeyState::Staged].into_iter().zip(1..);
    let keys: Vec<_> = states.map(|(state, generation)| key(generation, 19_999, 1, state)).collect();
    let fresh = vec![key(1, 20_000, 2, KeyState::Active), key(2, 20_001, 2, KeyState::Staged)];
    for (local, enabled, keys) in [("a", true, keys.clone()), ("b", false, keys), ("c", true, fresh)] {
        let mut party = party(&format!("{local}@z"), &[]);
        (party.enabled, party.keys) = (enabled, keys);
        store.put_party(&party, None).await.unwrap();
    }
    store.act(vec![put_document(Kind::Rule, "r", 1, None)], vec![]).await.unwrap();
    store.act(vec![Write::KeepAnswer(answer("one", 10))], vec![]).await.unwrap();
}

const fn target(master_version: u32) -> Target {
    Target { master_version, epoch: EPOCH }
}

/// The same row under version 2, a key turned too.
fn anew(found: &BoundKey) -> Rewrap {
    let new = KeyRecord { master_version: 2, epoch: EPOCH, wrapped: vec![8; 40], ..found.key.clone() };
    Rewrap::Key(found.clone(), new)
}

async fn stale(store: &dyn Store) -> Vec<BoundKey> {
    store.stale_keys(target(2), None, 1000).await.unwrap().keys
}

pub(crate) async fn what_is_left_is_found_page_by_page(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one"), secret("key check"), secret("key check 2")]).await.unwrap();
    fill(&*store).await;
    let mut after: Option<KeyPlace> = None;
    let mut found = Vec::new();
    loop {
        let page = store.stale_keys(target(2), after.as_ref(), 4).await.unwrap();
        assert!(page.keys.len() <= 4 && page.damaged.is_empty());
        found.extend(page.keys);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let names: Vec<_> = found.iter().map(|one| (one.party.to_string(), one.key.generation.0)).collect();
    let both = ["a@z", "b@z"].map(|name| [2, 3, 4].map(|generation| (name.to_owned(), generation)));
    assert_eq!(names, both.concat(), "no dead one, and none that is as it should be");
    assert_eq!(
        found.iter().map(|one| one.standing.enabled).collect::<Vec<_>>(),
        [true, true, true, false, false, false]
    );
    // An epoch that is over is enough to be found; a later version is not: another KDC knows of it already.
    assert_eq!(store.stale_keys(target(1), None, 9).await.unwrap().keys.len(), 6);
    let counts: Vec<_> = store.wrapped().await.unwrap();
    let count = |master_version, rows| Wrapped { master_version, rows };
    assert_eq!(counts, [count(1, 6 + 1 + 1), count(2, 2 + 1)], "a key check stays under its own version");
    assert_eq!(store.stale(target(2)).await.unwrap(), 8);
    assert_eq!(store.stale(target(3)).await.unwrap(), 11);
    assert_eq!(store.secrets().await.unwrap().len(), 3);

    let damaged = "UPDATE party_key SET epoch = -1 WHERE party = 'a@z' AND generation = 2";
    database.run(damaged).await;
    let page = store.stale_keys(target(2), None, 1000).await.unwrap();
    assert_eq!((page.keys.len(), page.damaged.len(), page.next), (5, 1, None));
    assert_eq!(page.damaged[0].row, "party_key a@z 2");
}

pub(crate) async fn seals_of_enrollments_are_found_and_made_anew(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    let aboard = |name: &str, master_version| {
        let sealed = vec![u8::try_from(master_version).unwrap(); 45];
        let mut record: EnrollmentRecord = serde_json::from_str(ENROLLMENT).unwrap();
        record.seal = EnrollmentSeal { master_version, sealed };
        let mut party = party(name, &[]);
        party.enrollment = Some(Box::new(record));
        party
    };
    for party in [aboard("a@z", 1), aboard("b@z", 2), aboard("c@z", 1), party("d@z", &[])] {
        store.put_party(&party, None).await.unwrap();
    }
    let page = store.stale_enrollments(2, "", 1).await.unwrap();
    assert_eq!((page.enrollments.len(), page.next.as_deref()), (1, Some("a@z")));
    let mut found = page.enrollments;
    let page = store.stale_enrollments(2, "a@z", 5).await.unwrap();
    found.extend(page.enrollments);
    let names: Vec<_> = found.iter().map(|one| one.party.to_string()).collect();
    assert_eq!((names, page.next), (vec!["a@z".to_owned(), "c@z".to_owned()], None));
    assert_eq!(found[0].enrollment.seal.sealed, [1; 45]);
    let one = Wrapped { master_version: 1, rows: 2 };
    assert_eq!(store.wrapped().await.unwrap(), [one, Wrapped { master_version: 2, rows: 1 }]);
    assert_eq!(store.stale(Target { master_version: 2, epoch: Epoch(0) }).await.unwrap(), 2);

    let new = EnrollmentSeal { master_version: 2, sealed: vec![9; 45] };
    let rows: Vec<_> = found.into_iter().map(|one| Rewrap::Enrollment(one, new.clone())).collect();
    let before = store.parties().await.unwrap();
    assert_eq!(store.rewrap(&rows).await.unwrap(), 2);
    assert_eq!(store.rewrap(&rows).await.unwrap(), 0, "who comes second writes nothing");
    let after = store.parties().await.unwrap();
    assert_eq!((after.change, after.parties[0].revision), (before.change, before.parties[0].revision));
    assert_eq!(after.parties[0].enrollment.as_ref().unwrap().seal, new);
    assert_eq!(store.stale(Target { master_version: 2, epoch: Epoch(0) }).await.unwrap(), 0);

    let damaged = "UPDATE party SET enrollment_master = 1, enrollment = 'x' WHERE name = 'c@z'";
    database.run(damaged).await;
    let page = store.stale_enrollments(2, "", 9).await.unwrap();
    assert_eq!((page.enrollments.len(), page.damaged[0].row.as_str()), (0, "party c@z"));
}

pub(crate) async fn wrapping_anew_is_no_change(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[SecretRecord { master_version: 1, ..secret("one") }]).await.unwrap();
    fill(&*store).await;
    let (before, records) = (store.parties().await.unwrap(), chain(&*store).await);
    let mut rows: Vec<_> = stale(&*store).await.iter().map(anew).collect();
    let found = document(Kind::Rule, "r", 1);
    rows.push(Rewrap::Document(found.clone(), Document { master_version: 2, sealed: vec![2], ..found }));
    let found = answer("one", 10);
    rows.push(Rewrap::Answer(found.clone(), Answer { master_version: 2, wrapped: vec![3], ..found }));
    let found = store.secret("one").await.unwrap().unwrap();
    rows.push(Rewrap::Secret(found.clone(), SecretRecord { master_version: 2, wrapped: vec![4], ..found }));
    assert_eq!(store.rewrap(&rows).await.unwrap(), 9);
    // Who comes second, on another KDC, writes nothing.
    assert_eq!(store.rewrap(&rows).await.unwrap(), 0);

    assert_eq!(store.stale(target(2)).await.unwrap(), 0);
    let after = store.parties().await.unwrap();
    assert_eq!((after.change, chain(&*store).await), (before.change, records));
    for (was, is) in before.parties.iter().zip(&after.parties) {
        assert_eq!((was.revision, was.enabled, was.updated_at), (is.revision, is.enabled, is.updated_at));
        for (was, is) in was.keys.iter().zip(&is.keys) {
            assert_eq!((was.generation, was.state, was.created_at), (is.generation, is.state, is.created_at));
            let fresh = is.state == KeyState::Dead || (is.master_version, is.epoch >= EPOCH) == (2, true);
            assert!(fresh, "{is:?}");
        }
    }
    let rule = store.document(Kind::Rule, "r").await.unwrap().unwrap();
    assert_eq!((rule.revision, rule.master_version, rule.sealed), (1, 2, vec![2]));
    assert_eq!(store.answer("console:root", "one").await.unwrap().unwrap().wrapped, [3]);
    assert_eq!(store.secret("one").await.unwrap().unwrap().wrapped, [4]);
    assert_eq!(store.changes_since(before.change).await.unwrap().change, before.change);
}

pub(crate) async fn what_changed_meanwhile_is_not_written_over(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    fill(&*store).await;
    let rows: Vec<_> = stale(&*store).await.iter().map(anew).collect();
    // An administrator changes one party and deletes the other, while the batch is on its way.
    let mut a = store.party(&name("a@z")).await.unwrap().unwrap();
    a.note = "changed".to_owned();
    store.put_party(&a, Some(1)).await.unwrap();
    store.delete_party(&name("b@z"), None).await.unwrap();
    assert_eq!(store.rewrap(&rows).await.unwrap(), 0);
    a.revision = 2;
    assert_eq!(store.party(&name("a@z")).await.unwrap(), Some(a));
    assert_eq!(store.party(&name("b@z")).await.unwrap(), None);
    // The next look finds them as they are.
    let rows: Vec<_> = stale(&*store).await.iter().map(anew).collect();
    assert_eq!(store.rewrap(&rows).await.unwrap(), 3);
    // A document that was changed, and an answer that is another one by now.
    let found = document(Kind::Rule, "r", 1);
    let rewrapped = Document { master_version: 2, sealed: vec![2], ..found.clone() };
    store.write(put_document(Kind::Rule, "r", 2, Some(1))).await.unwrap();
    let old = answer("one", 99);
    let rows = [Rewrap::Document(found, rewrapped), Rewrap::Answer(old.clone(), old)];
    assert_eq!(store.rewrap(&rows).await.unwrap(), 0);
    assert_eq!(store.document(Kind::Rule, "r").await.unwrap(), Some(document(Kind::Rule, "r", 2)));
}

/// Several KDCs and administrators at once: each row is written by one of them, and nobody waits in a circle.
pub(crate) async fn many_at_once_wrap_each_row_once(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    let all: Vec<_> = (0..200).map(|n| format!("p{n:03}@z")).collect();
    let act = all.iter().map(|name| {
        let mut party = party(name, &[]);
        party.keys = vec![key(1, 19_999, 1, KeyState::Active)];
        put(&party, None)
    });
    store.act(act.collect(), vec![]).await.unwrap();
    let mut rows: Vec<_> = stale(&*store).await.iter().map(anew).collect();
    let mut workers = Vec::new();
    for _ in 0..4 {
        // In another order each.
        rows.rotate_left(50);
        let (store, rows) = (store.clone(), rows.clone());
        workers.push(tokio::spawn(async move {
            let mut written = 0;
            for rows in rows.chunks(32) {
                written += store.rewrap(rows).await.unwrap();
            }
            written
        }));
    }
    let administrator = tokio::spawn({
        let store = store.clone();
        async move {
            for name in all.iter().rev() {
                let mut party = store.party(&name.parse().unwrap()).await.unwrap().unwrap();
                party.note = "changed".to_owned();
                store.put_party(&party, Some(1)).await.unwrap();
            }
        }
    });
    administrator.await.unwrap();
    let mut written = 0;
    for worker in workers {
        written += worker.await.unwrap();
    }
    let parties = store.parties().await.unwrap().parties;
    assert!(parties.iter().all(|party| party.note == "changed" && party.revision == 2));
    // What an administrator read before and wrote after is as it was read: the next look finds it.
    let done = parties.iter().filter(|party| party.keys[0].master_version == 2).count();
    assert!(written >= done as u64 && written <= 200, "{written} {done}");
    let rows: Vec<_> = stale(&*store).await.iter().map(anew).collect();
    assert_eq!(store.rewrap(&rows).await.unwrap(), 200 - done as u64);
}

pub(crate) async fn the_epoch_only_goes_ahead(database: Database) {
    let store = database.create().await;
    assert!(matches!(store.ratchet_epoch().await, Err(StoreError::Empty)));
    store.make_zone(&zone(), &[]).await.unwrap();
    assert_eq!(store.ratchet_epoch().await.unwrap(), Epoch(0));
    for (note, is) in [(5, 5), (4, 5), (7, 7)] {
        store.note_ratchet_epoch(Epoch(note)).await.unwrap();
        assert_eq!(store.ratchet_epoch().await.unwrap(), Epoch(is));
    }
    store.act(vec![Write::AcceptEpoch(Epoch(9))], vec![]).await.unwrap();
    assert_eq!(store.ratchet_epoch().await.unwrap(), Epoch(9));
    // A secret in an act comes with all of it or not at all.
    let add = |name: &str| Write::AddSecret(secret(name));
    store.act(vec![add("one")], vec![]).await.unwrap();
    let twice = store.act(vec![add("two"), add("one")], vec![]).await;
    assert!(matches!(twice, Err(StoreError::Exists { .. })));
    assert_eq!(store.secrets().await.unwrap(), [secret("one")]);
}

/// What a row held is not in the files any more once it was wrapped anew, changed or deleted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sqlite_overwrites_what_is_gone() {
    let database = Database::sqlite();
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    let marked = |local: &str, mark: &str| {
        let mut party = party(&format!("{local}@z"), &[]);
        let wrapped = mark.repeat(8).into_bytes();
        party.keys = vec![KeyRecord { wrapped, ..key(1, 19_999, 1, KeyState::Active) }];
        party
    };
    for (local, mark) in [("a", "wrapped "), ("b", "changed "), ("c", "deleted "), ("d", "staying ")] {
        store.put_party(&marked(local, mark), None).await.unwrap();
    }
    let found = stale(&*store).await.remove(0);
    assert_eq!(store.rewrap(&[anew(&found)]).await.unwrap(), 1);
    let mut changed = marked("b", "-");
    changed.note = "longer than before, so that it is written somewhere else".to_owned();
    store.put_party(&changed, Some(1)).await.unwrap();
    store.delete_party(&name("c@z"), None).await.unwrap();
    // While it is open: there is a write-ahead log beside it.
    store.forget_overwritten().await.unwrap();
    let log = database.path().with_file_name("keycell.db-wal");
    let bytes = [std::fs::read(database.path()).unwrap(), std::fs::read(log).unwrap()].concat();
    let holds = |text: &str| bytes.windows(text.len()).any(|window| window == text.as_bytes());
    let found = ["wrapped wrapped", "changed changed", "deleted deleted", "staying staying"].map(holds);
    assert_eq!(found, [false, false, false, true]);
}
