//! Rows that somebody else wrote: damaged, moved, of another schema, or very many.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use keycell_kdc::keyring::KeyringError;
use keycell_kdc::store::{self, SchemaError, Write};

use super::*;

pub(crate) async fn a_damaged_row_is_named(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one")]).await.unwrap();
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    store.put_party(&party("b@z", &[4]), None).await.unwrap();
    store.delete_party(&name("a@z"), None).await.unwrap();
    let others = vec![put_document(Kind::Rule, "r", 1, None), Write::KeepAnswer(answer("k", 5))];
    store.act(others, vec![]).await.unwrap();
    let short = if database.is_sqlite() { "X'07'" } else { "'\\x07'" };
    for (table, column, value, row) in [
        ("party", "author_key", short, "party b@z"),
        ("party", "enrollment", "'{}'", "party b@z"),
        ("party_key", "state", "'activ'", "party_key b@z 4"),
        ("party_key", "epoch", "-1", "party_key b@z 4"),
        ("party_key", "master_version", "4294967296", "party_key b@z 4"),
        ("party", "revocation_epoch", "4294967296", "party b@z"),
        ("party", "revision", "-1", "party b@z"),
        ("change_counter", "last", "-1", "change_counter 1"),
        ("zone", "ratchet_period", "0", "zone z"),
        ("zone", "name", "'Z'", "zone Z"),
        ("secret", "version", "-1", "secret one"),
        ("document", "revision", "-1", "document rule r"),
        ("answer", "status", "65536", "answer console:root k"),
    ] {
        database
            .run(&format!(
                "CREATE TABLE kept AS SELECT * FROM {table}; UPDATE {table} SET {column} = {value}"
            ))
            .await;
        let read = async {
            store.changes_since(ChangeNumber(0)).await?;
            store.zone().await?;
            store.party(&name("b@z")).await?;
            store.document(Kind::Rule, "r").await?;
            store.answer("console:root", "k").await?;
            store.secret("one").await.map(|_| ())
        };
        match read.await {
            Err(StoreError::Damaged { row: found, .. }) => assert_eq!(found, row),
            other => panic!("{table}.{column} = {value}: {other:?}"),
        }
        let back = format!("UPDATE {table} SET {column} = (SELECT {column} FROM kept); DROP TABLE kept");
        database.run(&back).await;
    }
    store.changes_since(ChangeNumber(0)).await.unwrap();
}

/// What followers read: the rest is there, whatever is wrong with one row.
pub(crate) async fn a_damaged_row_keeps_no_other_back(database: Database) {
    let store = database.create().await;
    for text in ["a@z", "b@z", "c@z", "d@z"] {
        store.put_party(&party(text, &[1, 2]), None).await.unwrap();
    }
    for id in ["r", "s"] {
        store.write(put_document(Kind::Rule, id, 1, None)).await.unwrap();
    }
    store.delete_party(&name("c@z"), None).await.unwrap();
    store.delete_party(&name("d@z"), None).await.unwrap();
    database
        .run(
            "UPDATE party SET revision = -1 WHERE name = 'a@z';
             UPDATE party_key SET state = 'activ' WHERE party = 'b@z' AND generation = 1;
             UPDATE tombstone SET name = 'no name' WHERE name = 'c@z';
             UPDATE document SET revision = -1 WHERE id = 'r';
             INSERT INTO document_change (kind, change) VALUES ('of a newer release', 1)",
        )
        .await;
    let changes = store.changes_since(ChangeNumber(0)).await.unwrap();
    let unreadable = |change: &Change| match change {
        Change::Put(party) => format!("{} {:?}", party.name, party.keys.len()),
        Change::Deleted(name) => format!("no {name}"),
        Change::Unreadable { name, damaged } => format!("{name}: {}", damaged.row),
    };
    let rows = |damaged: &[Damaged]| damaged.iter().map(|one| one.row.clone()).collect::<Vec<_>>();
    assert_eq!(
        changes.parties.iter().map(unreadable).collect::<Vec<_>>(),
        ["b@z 1", "no d@z", "a@z: party a@z", "no name: tombstone no name"]
    );
    assert_eq!(rows(&changes.damaged), ["party_key b@z 1"]);
    assert_eq!(changes.documents, [Kind::Rule]);
    let rules = store.documents(Kind::Rule).await.unwrap();
    assert_eq!((rules.documents.len(), rows(&rules.damaged)), (1, vec!["document rule r".to_owned()]));
    let all = store.parties().await.unwrap();
    assert_eq!(
        (all.parties.len(), rows(&all.damaged)),
        (1, vec!["party_key b@z 1".to_owned(), "party a@z".to_owned()])
    );
    if database.is_sqlite() {
        // A text that is none: its column cannot be read, and the others can.
        database.run("UPDATE party SET note = CAST(X'ff' AS TEXT) WHERE name = 'b@z'").await;
        let changes = store.changes_since(ChangeNumber(0)).await.unwrap();
        assert_eq!(changes.parties.iter().map(unreadable).next_back().unwrap(), "no name: tombstone no name");
        assert!(changes.parties.iter().map(unreadable).any(|one| one == "b@z: party b@z"), "{changes:?}");
    }
}

/// docs/protocol.md §14: database rows moved between parties, generations or states.
pub(crate) async fn a_moved_row_does_not_open(database: Database) {
    let mut rng = rand_core::UnwrapErr(getrandom::SysRng);
    let (keyring, check) = Keyring::create(MasterKey::generate(1, &mut rng), &mut rng);
    let store = database.create().await;
    store.make_zone(&zone(), &[check]).await.unwrap();
    for text in ["a@z", "b@z"] {
        let mut party = party(text, &[]);
        for (generation, state) in [(1, KeyState::Retiring), (2, KeyState::Active)] {
            let key = LongTermKey::generate(Generation(generation), Epoch(9), &mut rng);
            party.keys.push(keyring.seal_key(
                &party.name,
                Standing::of(&party),
                &key,
                Life { state, created_at: UnixMillis(4), ends_at: None },
                &mut rng,
            ));
        }
        store.put_party(&party, None).await.unwrap();
    }
    let open_all = async || {
        for party in store.parties().await.unwrap().parties {
            for key in &party.keys {
                keyring.open_key(&party, key)?;
            }
        }
        Ok::<(), KeyringError>(())
    };
    open_all().await.unwrap();

    let wrapped = |to: &str, from: &str| {
        format!("UPDATE party_key SET wrapped = (SELECT k.wrapped FROM party_key k WHERE {from}) WHERE {to}")
    };
    let (a1, a2) = ("party = 'a@z' AND generation = 1", "party = 'a@z' AND generation = 2");
    let author = if database.is_sqlite() { "zeroblob(32)" } else { "decode(repeat('00', 32), 'hex')" };
    let disable = format!("enabled = {}", if database.is_sqlite() { "0" } else { "FALSE" });
    for (what, sql, row) in [
        ("another party's", wrapped(a2, "k.party = 'b@z' AND k.generation = 2"), "party_key a@z 2"),
        ("another generation's", wrapped(a2, "k.party = 'a@z' AND k.generation = 1"), "party_key a@z 2"),
        ("another number", format!("UPDATE party_key SET generation = 3 WHERE {a2}"), "party_key a@z 3"),
        ("another state", format!("UPDATE party_key SET state = 'active' WHERE {a1}"), "party_key a@z 1"),
        ("another epoch", format!("UPDATE party_key SET epoch = 8 WHERE {a1}"), "party_key a@z 1"),
        (
            "another owner",
            format!(
                "DELETE FROM party_key WHERE {a1}; UPDATE party_key SET party = 'a@z' WHERE party = 'b@z' AND generation = 1"
            ),
            "party_key a@z 1",
        ),
        ("disabled", format!("UPDATE party SET {disable} WHERE name = 'a@z'"), "party_key a@z 1"),
        (
            "revocation",
            "UPDATE party SET revocation_epoch = 1 WHERE name = 'a@z'".to_owned(),
            "party_key a@z 1",
        ),
        (
            "another author",
            format!("UPDATE party SET author_key = {author} WHERE name = 'a@z'"),
            "party_key a@z 1",
        ),
    ] {
        database
            .run("CREATE TABLE kept AS SELECT * FROM party; CREATE TABLE kept_key AS SELECT * FROM party_key")
            .await;
        database.run(&sql).await;
        match open_all().await {
            Err(KeyringError::Damaged { row: found }) => assert_eq!(found, row, "{what}"),
            other => panic!("{what}: {other:?}"),
        }
        database.run("DELETE FROM party; INSERT INTO party SELECT * FROM kept; INSERT INTO party_key SELECT * FROM kept_key; DROP TABLE kept; DROP TABLE kept_key").await;
        open_all().await.unwrap();
    }
}

pub(crate) async fn another_schema_is_refused(database: Database) {
    let refused = async || match database.connect().await {
        Err(StoreError::Schema(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    };
    if database.is_sqlite() {
        fs::File::create(database.path()).unwrap();
        assert_eq!(refused().await, SchemaError::None);
        assert_eq!(fs::metadata(database.path()).unwrap().len(), 0, "a strange file is left as it is");
        fs::remove_file(database.path()).unwrap();
    } else {
        assert_eq!(refused().await, SchemaError::None);
    }
    database.create().await.close().await;
    database.connect().await.unwrap().close().await;

    database.run("UPDATE _sqlx_migrations SET checksum = '' WHERE version = 1").await;
    let error = refused().await;
    assert_eq!(error, SchemaError::Unknown { version: 1 });
    database.run("DELETE FROM _sqlx_migrations").await;
    assert_eq!(refused().await, SchemaError::None);
}

pub(crate) async fn a_large_cell_loads(database: Database) {
    let store = database.create().await;
    let (series, enabled, blob) = if database.is_sqlite() {
        (
            "WITH RECURSIVE s (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM s WHERE i < 100000)",
            "1",
            "zeroblob(77)",
        )
    } else {
        ("WITH s (i) AS (SELECT generate_series(1, 100000))", "TRUE", "decode(repeat('00', 77), 'hex')")
    };
    database.run(&format!(
        "{series} INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, last_generation, change)
             SELECT 'nanoprobe.host' || i || '@z', {enabled}, 1, 0, 0, 0, 1, i FROM s;
         INSERT INTO party_key (party, generation, state, epoch, master_version, wrapped) SELECT name, 1, 'active', 0, 1, {blob} FROM party;
         UPDATE change_counter SET last = 100000"
    )).await;
    let snapshot = store.parties().await.unwrap();
    assert_eq!((snapshot.change, snapshot.parties.len()), (ChangeNumber(100_000), 100_000));
    assert!(snapshot.parties.iter().all(|party| party.keys.len() == 1 && party.keys[0].wrapped.len() == 77));
    let changes = store.changes_since(ChangeNumber(99_990)).await.unwrap();
    assert_eq!(changes.parties.len(), 10);
}

#[tokio::test]
async fn a_sqlite_file_is_its_owners_and_never_overwritten() {
    let database = Database::sqlite();
    assert!(matches!(database.connect().await, Err(StoreError::NoDatabase { .. })));
    assert!(!database.path().exists());
    let store = database.create().await;
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    let mut files = 0;
    for entry in fs::read_dir(database.path().parent().unwrap()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
        files += 1;
    }
    assert_eq!(files, 3, "the database, its write-ahead log and its index");
    let error = store::create(&database.url()).await.err().unwrap();
    assert!(matches!(error, StoreError::Exists { .. }), "{error}");
    assert_eq!(store.parties().await.unwrap().parties.len(), 1);
}

#[tokio::test]
async fn no_error_shows_a_password() {
    // Nobody listens on port 1.
    for url in
        ["postgres://keycell:sesame@127.0.0.1:1/keycell", "postgres://keycell:sesame@127.0.0.1:x/keycell"]
    {
        let error = store::connect(url).await.err().unwrap();
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(error.to_string().contains("refused") || error.to_string().contains("port"), "{error}");
        assert!(!format!("{error} {error:?}").contains("sesame"), "{error:?}");
    }
}
