//! A database that another release made.

use keycell_kdc::audit::Action;
use keycell_kdc::store::{self, SchemaError, SeenRecord, StoreError, Write};

use keycell_tests::schema::Raw;
use tokio::runtime::Handle;

use super::*;

/// Makes the tables as a release of this schema did.
async fn release_of(database: &Database, schema: usize) {
    let mut raw = Raw::open(&database.url()).await;
    raw.make(schema).await;
    raw.close().await;
}

/// Brings a database to this release's schema, as `keycell migrate` does.
async fn migrate(url: &str) -> Result<(i64, i64), StoreError> {
    let _turn = store::turn(url).await?;
    store::migrate(url).await
}

pub(crate) async fn an_older_database_is_migrated(database: Database) {
    let refused = migrate(&database.url()).await.unwrap_err();
    if database.is_sqlite() {
        assert!(matches!(refused, StoreError::NoDatabase { .. }), "{refused}");
        assert!(!database.path().exists());
    } else {
        assert!(matches!(refused, StoreError::Schema(SchemaError::None)), "{refused}");
    }
    release_of(&database, 1).await;
    let (on, blob) = if database.is_sqlite() { ("1", "X'00ff07'") } else { ("TRUE", "'\\x00ff07'") };
    database
        .run(&format!(
            "INSERT INTO zone VALUES (1, 'z', 3600, 1700000000123);
             INSERT INTO secret VALUES ('one', 3, 2, {blob});
             INSERT INTO party VALUES ('a@z', {on}, 4, 0, 2, 3, 1, 5);
             INSERT INTO party_key VALUES ('a@z', 1, 'active', 4294967295, 1, {blob});
             INSERT INTO tombstone VALUES ('b@z', 6, 4);
             UPDATE change_counter SET last = 5"
        ))
        .await;
    match database.connect().await {
        Err(StoreError::Schema(SchemaError::Older { found: 1, needed: NEWEST })) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
    assert_eq!(migrate(&database.url()).await.unwrap(), (1, NEWEST));
    assert_eq!(migrate(&database.url()).await.unwrap(), (NEWEST, NEWEST), "a second time changes nothing");

    let store = database.connect().await.unwrap();
    assert_eq!(store.zone().await.unwrap(), zone());
    assert_eq!(store.secret("one").await.unwrap().unwrap().wrapped, [0, 255, 7]);
    let mut a = party("a@z", &[1]);
    a.revision = 4;
    a.rotate_after = None;
    a.author_key = None;
    a.keys[0].created_at = UnixMillis(0);
    a.keys[0].ends_at = None;
    let snapshot = store.parties().await.unwrap();
    assert_eq!((snapshot.change, snapshot.parties), (ChangeNumber(5), vec![a]));
    assert_eq!(store.last_generation(&name("b@z")).await, Some(Generation(6)));
    // The audit log of an older zone begins here.
    store.add_secret(&secret("audit key")).await.unwrap();
    assert!(matches!(store.add_secret(&secret("audit key")).await, Err(StoreError::Exists { .. })));
    assert_eq!(store.secret("audit key").await.unwrap(), Some(secret("audit key")));
    assert_eq!(store.put_party(&party("b@z", &[7]), None).await.unwrap(), ChangeNumber(6));
}

pub(crate) async fn two_who_migrate_follow_each_other(database: Database) {
    release_of(&database, 1).await;
    let url = database.url();
    let migrating: Vec<_> = (0..8)
        .map(|_| {
            let url = url.clone();
            tokio::task::spawn_blocking(move || Handle::current().block_on(migrate(&url)).unwrap())
        })
        .collect();
    let mut steps = Vec::new();
    for one in migrating {
        steps.push(one.await.unwrap());
    }
    steps.sort_unstable();
    assert_eq!(steps[0], (1, NEWEST));
    assert!(steps[1..].iter().all(|steps| *steps == (NEWEST, NEWEST)), "{steps:?}");
    database.connect().await.unwrap();
}

/// While this release's KDCs write, the next release migrates.
pub(crate) async fn a_later_schema_leaves_this_release_working(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one")]).await.unwrap();
    store.put_party(&party("a@z", &[1]), None).await.unwrap();
    let writing = tokio::spawn({
        let store = store.clone();
        async move {
            for number in 0..200 {
                let party = party(&format!("w{number}@z"), &[1, 2]);
                // Once more where the database ended a deadlock: the migration locks one table after the other.
                let mut put = store.put_party(&party, None).await;
                if matches!(put, Err(StoreError::Unavailable(_))) {
                    put = store.put_party(&party, None).await;
                }
                put.unwrap();
                let seen = [SeenRecord { name: name("a@z"), at: UnixMillis(number), by: None }];
                let mut noted = store.note_seen(&seen).await;
                if matches!(noted, Err(StoreError::Unavailable(_))) {
                    noted = store.note_seen(&seen).await;
                }
                noted.unwrap();
            }
        }
    });
    let mut raw = Raw::open(&database.url()).await;
    if database.is_sqlite() {
        raw.run("PRAGMA busy_timeout = 60000").await;
    }
    raw.expand().await;
    raw.close().await;
    writing.await.unwrap();

    let fresh = database.connect().await.unwrap();
    for store in [store, fresh] {
        let earlier = store.parties().await.unwrap();
        assert!(earlier.parties.len() > 200, "{}", earlier.parties.len());
        let b = party(&format!("b{}@z", earlier.change.0), &[1, 2]);
        let change = store.put_party(&b, None).await.unwrap();
        assert_eq!(store.changes_since(earlier.change).await.unwrap().parties, [Change::Put(b.clone())]);
        assert_eq!(store.party(&b.name).await.unwrap(), Some(b.clone()));
        store.delete_party(&b.name, None).await.unwrap();
        assert_eq!(store.last_generation(&b.name).await, Some(Generation(2)));
        assert_eq!(store.zone().await.unwrap(), zone());
        assert_eq!(store.secret("one").await.unwrap(), Some(secret("one")));
        let id = change.0.to_string();
        store.add_secret(&secret(&id)).await.unwrap();
        let kept = answer(&id, 9);
        let writes = vec![put_document(Kind::Rule, &id, 1, None), Write::KeepAnswer(kept.clone())];
        store.act(writes, vec![event(2, Action::RuleCreate, &id)]).await.unwrap();
        assert_eq!(store.document(Kind::Rule, &id).await.unwrap(), Some(document(Kind::Rule, &id, 1)));
        assert_eq!(store.answer(&kept.actor, &id).await.unwrap(), Some(kept));
    }
    let (_, to) = migrate(&database.url()).await.unwrap();
    assert_eq!(to, NEWEST + 1, "there is no way back, and nothing to do");
}

pub(crate) async fn a_later_schema_may_end_this_release(database: Database) {
    let running = database.create().await;
    running.check_schema().await.unwrap();
    let mut raw = Raw::open(&database.url()).await;
    raw.expand().await;
    running.check_schema().await.unwrap();
    raw.run(&format!("UPDATE schema_needs SET oldest = {}", NEWEST + 1)).await;
    let newer = SchemaError::Newer { found: NEWEST + 1, known: NEWEST };
    let refused = async |what: &str| match database.connect().await {
        Err(StoreError::Schema(error)) => assert_eq!(error, newer, "{what}"),
        Err(other) => panic!("{what}: {other}"),
        Ok(_) => panic!("{what}: it was accepted"),
    };
    refused("it needs the next release").await;
    let noticed = running.check_schema().await;
    assert!(matches!(noticed, Err(StoreError::Schema(error)) if error == newer), "{noticed:?}");
    running.close().await;
    assert!(matches!(migrate(&database.url()).await, Err(StoreError::Schema(error)) if error == newer));
    raw.run("DELETE FROM schema_needs").await;
    refused("nobody says what it needs").await;
    raw.run("DROP TABLE schema_needs").await;
    refused("there is no such table").await;
    raw.close().await;
}

/// What only this release gets right ends the ones before it, once it is written.
pub(crate) async fn what_is_written_may_end_an_older_release(database: Database) {
    let store = database.create().await;
    store.make_zone(&zone(), &[secret("one")]).await.unwrap();
    let mut raw = Raw::open(&database.url()).await;
    let mut needs = async || raw.texts("SELECT CAST(oldest AS TEXT) FROM schema_needs").await;
    assert_eq!(needs().await, ["3"], "the tables alone end nobody");
    for (schema, then) in [(NEWEST, "6"), (3, "6")] {
        store.act(vec![Write::NeedSchema(schema)], vec![]).await.unwrap();
        assert_eq!(needs().await, [then]);
    }
    store.check_schema().await.unwrap();
}

/// The schema of this release.
const NEWEST: i64 = 6;
