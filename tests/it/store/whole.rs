//! The whole database as rows, and what else backups and revocations need.

use keycell_kdc::backup::{Reader, Writer};
use keycell_kdc::store::{self, Buried, Replaced, SeenRecord, Write};

use super::*;

/// Everything as the lines of a backup.
async fn lines(store: &dyn Store) -> String {
    let mut writer = Writer::new(Vec::new(), 1, &[7; 32], Vec::new());
    store.dump(&mut writer).await.unwrap();
    String::from_utf8(writer.finish().unwrap().out).unwrap()
}

pub(crate) async fn all_of_it_goes_out_and_in_again(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one")]).await.unwrap();
    for name in ["a@z", "b@z", "gone@z"] {
        let party = PartyRecord { note: "\u{1f511} \"\\\n".to_owned(), ..party(name, &[1, 2]) };
        store.put_party(&party, None).await.unwrap();
    }
    let gone = Write::DeleteParty { name: "gone@z".parse().unwrap(), expected: None };
    store.act(vec![gone], vec![event(1, keycell_kdc::audit::Action::PartyDelete, "gone@z")]).await.unwrap();
    store.act(vec![put_document(Kind::Rule, "r", 1, None)], vec![]).await.unwrap();
    store.act(vec![Write::KeepAnswer(answer("one", 10))], vec![]).await.unwrap();
    store
        .note_seen(&[SeenRecord { name: "a@z".parse().unwrap(), at: UnixMillis(5), by: None }])
        .await
        .unwrap();
    store.note_moment("backup", UnixMillis(6)).await.unwrap();

    let out = lines(&*store).await;
    let end: serde_json::Value = serde_json::from_str(out.lines().last().unwrap()).unwrap();
    for (table, rows) in end["end"].as_object().unwrap() {
        assert!(rows.as_u64().unwrap() > 0, "the test has nothing in {table}");
    }
    let folder = tempfile::tempdir().unwrap();
    let url = format!("sqlite:{}", folder.path().join("copy.db").display());
    let mut reader = Reader::new(out.as_bytes()).unwrap().unwrap();
    let schema = reader.header().schema;
    store::load(&url, schema, Replaced::No, &mut reader).await.unwrap();
    let copy = store::connect(&url).await.unwrap();
    assert_eq!(lines(&*copy).await, out);
    assert_eq!(copy.parties().await.unwrap(), store.parties().await.unwrap());
    copy.close().await;
    let mut reader = Reader::new(out.as_bytes()).unwrap().unwrap();
    let there = store::load(&url, schema, Replaced::Yes, &mut reader).await;
    assert!(matches!(there, Err(StoreError::Exists { .. })), "{there:?}");
}

pub(crate) async fn moments_are_noted_and_the_buried_found(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[]).await.unwrap();
    assert_eq!(store.moment("backup").await.unwrap(), None);
    for at in [7, 9, 8] {
        store.note_moment("backup", UnixMillis(at)).await.unwrap();
        assert_eq!(store.moment("backup").await.unwrap(), Some(UnixMillis(at)));
    }
    assert_eq!(store.moment("other").await.unwrap(), None);
    store.put_party(&party("a@z", &[1, 2]), None).await.unwrap();
    assert_eq!(store.buried().await.unwrap(), []);
    let name: Name = "a@z".parse().unwrap();
    store.act(vec![Write::DeleteParty { name: name.clone(), expected: None }], vec![]).await.unwrap();
    let buried = Buried { name, revision: 1, generation: 2 };
    assert_eq!(store.buried().await.unwrap(), [buried]);
    store.put_party(&party("a@z", &[3]), None).await.unwrap();
    assert_eq!(store.buried().await.unwrap(), []);
}
