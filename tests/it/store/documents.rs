//! Documents, kept answers, and when parties were last seen.

use keycell_kdc::enrollment::{Process, Sighting};
use keycell_kdc::store::{Documents, SeenRecord, Write};
use keycell_protocol::Instance;

use super::*;

pub(crate) async fn a_document_names_the_revision_it_expects(database: Database) {
    let store = database.create().await;
    let rule = |id, revision, expected| store.write(put_document(Kind::Rule, id, revision, expected));
    let delete = |id: &str, expected| {
        store.write(Write::DeleteDocument { kind: Kind::Rule, id: id.to_owned(), expected })
    };
    let none = Documents { change: ChangeNumber(0), documents: vec![], damaged: vec![] };
    assert_eq!(store.documents(Kind::Rule).await.unwrap(), none);
    assert!(matches!(rule("r", 2, Some(1)).await, Err(StoreError::DocumentMissing { .. })));
    assert!(matches!(delete("r", None).await, Err(StoreError::DocumentMissing { .. })));
    assert_eq!(rule("r", 1, None).await.unwrap(), ChangeNumber(1));
    assert!(matches!(rule("r", 1, None).await, Err(StoreError::DocumentExists { .. })));
    assert_eq!(rule("r", 4, Some(1)).await.unwrap(), ChangeNumber(2));
    for (revision, expected) in [(5, 1), (5, 5), (4, 4), (3, 4)] {
        let result = rule("r", revision, Some(expected)).await;
        assert!(matches!(result, Err(StoreError::DocumentChanged { .. })), "{revision} {expected}");
    }
    assert_eq!(store.document(Kind::Rule, "r").await.unwrap(), Some(document(Kind::Rule, "r", 4)));
    assert_eq!(store.document(Kind::Token, "r").await.unwrap(), None);
    for id in ["b", "B", "a-b", "a.b"] {
        rule(id, 1, None).await.unwrap();
    }
    let all = store.documents(Kind::Rule).await.unwrap();
    assert_eq!(all.change, ChangeNumber(6));
    assert_eq!(
        all.documents.iter().map(|rule| rule.id.as_str()).collect::<Vec<_>>(),
        ["B", "a-b", "a.b", "b", "r"]
    );
    assert!(matches!(delete("r", Some(3)).await, Err(StoreError::DocumentChanged { .. })));
    assert_eq!(delete("r", Some(4)).await.unwrap(), ChangeNumber(7));
    assert_eq!(delete("b", None).await.unwrap(), ChangeNumber(8));
    assert_eq!(store.documents(Kind::Rule).await.unwrap().documents.len(), 3);
}

pub(crate) async fn documents_come_some_at_a_time(database: Database) {
    let store = database.create().await;
    for id in ["b", "B", "a-b", "a.b", "r"] {
        store.write(put_document(Kind::Enrollment, id, 1, None)).await.unwrap();
    }
    store.write(put_document(Kind::Rule, "c", 1, None)).await.unwrap();
    assert_eq!(store.count_documents(Kind::Enrollment).await.unwrap(), 5);
    assert_eq!(store.count_documents(Kind::Group).await.unwrap(), 0);
    let (mut ids, mut after) = (Vec::new(), String::new());
    loop {
        let page = store.documents_after(Kind::Enrollment, &after, 2).await.unwrap();
        assert_eq!(page.change, ChangeNumber(5));
        let Some(last) = page.documents.last() else { break };
        after.clone_from(&last.id);
        ids.extend(page.documents.into_iter().map(|document| document.id));
    }
    assert_eq!(ids, ["B", "a-b", "a.b", "b", "r"]);
}

pub(crate) async fn followers_hear_of_documents(database: Database) {
    let store = database.create().await;
    let waiter = {
        let store = store.clone();
        tokio::spawn(async move { woken(&*store, 0).await })
    };
    // Parties and documents in one act: each change has its number, and one look shows all of them.
    let act = vec![
        put(&party("a@z", &[1]), None),
        put_document(Kind::Token, "t", 1, None),
        put(&party("b@z", &[1]), None),
        put_document(Kind::Rule, "r", 1, None),
        Write::DeleteParty { name: name("a@z"), expected: Some(1) },
        put_document(Kind::Rule, "s", 1, None),
    ];
    assert_eq!(store.act(act, vec![]).await.unwrap(), ChangeNumber(6));
    waiter.await.unwrap();
    let changes = store.changes_since(ChangeNumber(0)).await.unwrap();
    assert_eq!(changes.change, ChangeNumber(6));
    assert_eq!(changes.parties, [Change::Put(party("b@z", &[1])), Change::Deleted(name("a@z"))]);
    assert_eq!(changes.documents, [Kind::Rule, Kind::Token]);
    assert_eq!(store.documents(Kind::Rule).await.unwrap().change, ChangeNumber(6));
    assert_eq!(store.documents(Kind::Token).await.unwrap().change, ChangeNumber(2));

    let expect = |change| Write::Expect { kind: Kind::Rule, change: ChangeNumber(change) };
    let delete = Write::DeleteDocument { kind: Kind::Rule, id: "r".to_owned(), expected: None };
    let error = store.act(vec![expect(5), delete.clone()], vec![]).await.unwrap_err();
    assert!(matches!(&error, StoreError::DocumentChanged { kind: Kind::Rule, id } if id == "*"), "{error}");
    assert_eq!(store.act(vec![expect(6), delete], vec![]).await.unwrap(), ChangeNumber(7));
    let settings = Write::Expect { kind: Kind::Setting, change: ChangeNumber(0) };
    store.act(vec![settings], vec![]).await.unwrap();
    assert_eq!(store.changes_since(ChangeNumber(6)).await.unwrap().documents, [Kind::Rule]);
    assert_eq!(store.changes_since(ChangeNumber(7)).await.unwrap().documents, []);
}

pub(crate) async fn an_answer_is_kept_once(database: Database) {
    let store = database.create().await;
    let keep = |answer| store.act(vec![Write::KeepAnswer(answer)], vec![]);
    keep(answer("one", 10)).await.unwrap();
    keep(answer("two", 20)).await.unwrap();
    assert!(matches!(keep(answer("one", 30)).await, Err(StoreError::AnswerExists)));
    let mut other = answer("one", 10);
    other.actor = "kdc".to_owned();
    keep(other.clone()).await.unwrap();
    assert_eq!(store.answer("console:root", "one").await.unwrap(), Some(answer("one", 10)));
    assert_eq!(store.answer("kdc", "one").await.unwrap(), Some(other));
    assert_eq!(store.answer("kdc", "two").await.unwrap(), None);

    store.forget_answers(UnixMillis(10)).await.unwrap();
    assert_eq!(store.answer("console:root", "one").await.unwrap(), None);
    assert_eq!(store.answer("console:root", "two").await.unwrap(), Some(answer("two", 20)));
    keep(answer("one", 30)).await.unwrap();
    // Nothing that followers are to hear of, and nothing that is recorded.
    assert_eq!(store.changes_since(ChangeNumber(0)).await.unwrap().change, ChangeNumber(0));
}

pub(crate) async fn the_latest_moment_is_noted(database: Database) {
    let store = database.create().await;
    for name in ["a@z", "b@z", "c@z"] {
        store.put_party(&party(name, &[1]), None).await.unwrap();
    }
    let seen = |text: &str, at| SeenRecord { name: name(text), at: UnixMillis(at), by: None };
    let note = async |list: &[_]| store.note_seen(list).await.unwrap();
    note(&[seen("b@z", 5), seen("a@z", 3), seen("b@z", 4), seen("nobody@z", 9)]).await;
    assert_eq!(store.seen(UnixMillis(0)).await.unwrap(), [seen("a@z", 3), seen("b@z", 5)]);
    note(&[seen("a@z", 2), seen("b@z", 7)]).await;
    assert_eq!(store.seen(UnixMillis(0)).await.unwrap(), [seen("a@z", 3), seen("b@z", 7)]);
    store.put_party(&party("b@z", &[1]), Some(1)).await.unwrap();
    assert_eq!(store.seen(UnixMillis(0)).await.unwrap().len(), 2, "a change does not forget it");
    store.delete_party(&name("b@z"), None).await.unwrap();
    assert_eq!(store.seen(UnixMillis(0)).await.unwrap(), [seen("a@z", 3)]);
    note(&[]).await;
    assert_eq!(store.parties().await.unwrap().change, ChangeNumber(5));
}

/// Which process signed last is known apart from when the party was seen: two KDCs may note it in any order.
pub(crate) async fn the_latest_process_is_noted(database: Database) {
    let store = database.create().await;
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    let seen = |at, by: Option<(u8, &str, u64)>| SeenRecord {
        name: name("a@z"),
        at: UnixMillis(at),
        by: by.map(|(process, address, at)| Sighting {
            process: Process::of(Instance([process; 16])),
            address: address.parse().unwrap(),
            at: UnixMillis(at),
        }),
    };
    let note = async |list: &[_]| store.note_seen(list).await.unwrap();
    let known = async || store.seen(UnixMillis(0)).await.unwrap();
    note(&[seen(60, Some((1, "192.0.2.1", 70)))]).await;
    assert_eq!(known().await, [seen(60, Some((1, "192.0.2.1", 70)))]);
    note(&[seen(50, Some((2, "2001:db8::2", 80)))]).await;
    assert_eq!(known().await, [seen(60, Some((2, "2001:db8::2", 80)))]);
    note(&[seen(90, Some((1, "192.0.2.1", 75)))]).await;
    assert_eq!(known().await, [seen(90, Some((2, "2001:db8::2", 80)))]);
    // An earlier release notes none.
    note(&[seen(100, None)]).await;
    assert_eq!(known().await, [seen(100, Some((2, "2001:db8::2", 80)))]);
}
