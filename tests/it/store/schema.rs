//! A database that an older release made.

use keycell_kdc::store::{self, SchemaError};
use sqlx::migrate::{Migrate, Migration, MigrationType};
use sqlx::{Connection, PgConnection, SqlSafeStr, SqliteConnection};

use super::*;

/// Runs the first migration alone, as the first release did.
async fn first_release(database: &Database) {
    let migration = |sql: &'static str| {
        Migration::new(1, "parties".into(), MigrationType::Simple, sql.into_sql_str(), false)
    };
    if database.is_sqlite() {
        std::fs::File::create(database.path()).unwrap();
        let sql = include_str!("../../../migrations/sqlite/0001_parties.sql");
        let mut connection = SqliteConnection::connect(&database.url()).await.unwrap();
        connection.ensure_migrations_table("_sqlx_migrations").await.unwrap();
        connection.apply("_sqlx_migrations", &migration(sql)).await.unwrap();
        connection.close().await.unwrap();
    } else {
        let sql = include_str!("../../../migrations/postgres/0001_parties.sql");
        let mut connection = PgConnection::connect(&database.url()).await.unwrap();
        connection.ensure_migrations_table("_sqlx_migrations").await.unwrap();
        connection.apply("_sqlx_migrations", &migration(sql)).await.unwrap();
        connection.close().await.unwrap();
    }
}

pub(crate) async fn an_older_database_is_migrated(database: Database) {
    let refused = store::migrate(&database.url()).await.unwrap_err();
    if database.is_sqlite() {
        assert!(matches!(refused, StoreError::NoDatabase { .. }), "{refused}");
        assert!(!database.path().exists());
    } else {
        assert!(matches!(refused, StoreError::Schema(SchemaError::None)), "{refused}");
    }
    first_release(&database).await;
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
        Err(StoreError::Schema(SchemaError::Older { found: 1, needed: 2 })) => {}
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it was accepted"),
    }
    assert_eq!(store::migrate(&database.url()).await.unwrap(), (1, 2));
    assert_eq!(store::migrate(&database.url()).await.unwrap(), (2, 2), "a second time changes nothing");

    let store = database.connect().await.unwrap();
    assert_eq!(store.zone().await.unwrap(), zone());
    let mut a = party("a@z", &[1]);
    a.revision = 4;
    a.keys[0].created_at = UnixMillis(0);
    let snapshot = store.parties().await.unwrap();
    assert_eq!((snapshot.change, snapshot.parties), (ChangeNumber(5), vec![a]));
    assert_eq!(store.last_generation(&name("b@z")).await, Some(Generation(6)));
    // The audit log of an older zone begins here.
    store.add_secret(&secret("audit key")).await.unwrap();
    assert!(matches!(store.add_secret(&secret("audit key")).await, Err(StoreError::Exists { .. })));
    assert_eq!(store.secret("audit key").await.unwrap(), Some(secret("audit key")));
    assert_eq!(store.put_party(&party("b@z", &[7]), None).await.unwrap(), ChangeNumber(6));
}
