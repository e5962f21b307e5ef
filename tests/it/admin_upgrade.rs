//! A database of the release before is brought to this one's schema.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::fs;

use keycell_protocol::ProblemType;
use keycell_tests::admin::POLICY;
use keycell_tests::cell::Cell;
use keycell_tests::http::party_path;
use keycell_tests::party::Party;
use reqwest::Method;
use serde_json::json;
use sqlx::migrate::{Migrate as _, Migration, MigrationType};
use sqlx::{AssertSqlSafe, Connection as _, SqlSafeStr as _, SqliteConnection};

const FIRST: &str = include_str!("../../migrations/sqlite/0001_parties.sql");

/// Makes the database what the release before would have made of it.
async fn set_back(cell: &Cell) {
    let (path, newer) = (cell.file("keycell.db"), cell.file("newer.db"));
    let mut database = SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.unwrap();
    run(&mut database, "PRAGMA wal_checkpoint(TRUNCATE)").await;
    database.close().await.unwrap();
    fs::rename(&path, &newer).unwrap();
    for end in ["-wal", "-shm"] {
        let _ = fs::remove_file(cell.file(&format!("keycell.db{end}")));
    }
    let mut database =
        SqliteConnection::connect(&format!("sqlite:{}?mode=rwc", path.display())).await.unwrap();
    database.ensure_migrations_table("_sqlx_migrations").await.unwrap();
    let first = Migration::new(
        1,
        "parties".into(),
        MigrationType::Simple,
        AssertSqlSafe(FIRST).into_sql_str(),
        false,
    );
    database.apply("_sqlx_migrations", &first).await.unwrap();
    run(&mut database, &format!("ATTACH '{}' AS newer", newer.display())).await;
    for (table, columns) in [
        ("zone", "only_row, name, ratchet_period, created_at"),
        ("secret", "name, version, master_version, wrapped"),
        (
            "party",
            "name, enabled, revision, revocation_epoch, created_at, updated_at, last_generation, change",
        ),
        ("party_key", "party, generation, state, epoch, master_version, wrapped"),
        ("tombstone", "name, last_generation, change"),
    ] {
        run(
            &mut database,
            &format!("INSERT INTO main.{table} ({columns}) SELECT {columns} FROM newer.{table}"),
        )
        .await;
    }
    run(
        &mut database,
        "UPDATE main.change_counter SET last = (SELECT last FROM newer.change_counter);
         DELETE FROM main.secret WHERE name IN ('audit key', 'zone'); DETACH newer; PRAGMA journal_mode = WAL",
    )
    .await;
    database.close().await.unwrap();
    fs::remove_file(newer).unwrap();
}

async fn run(database: &mut SqliteConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(database).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_release_before_is_migrated() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut parties: Vec<Party> = Vec::new();
    for name in ["a@test.internal", "b@test.internal", "off@test.internal"] {
        parties.push(admin.add(name).await);
    }
    assert_eq!(admin.set_enabled("off@test.internal", false).await.status, 200);
    admin.add("gone@test.internal").await;
    assert_eq!(admin.delete("gone@test.internal").await.status, 204);
    assert_eq!(kdc.terminate(), Some(0));
    set_back(&cell).await;

    for command in [&["serve"][..], &["check-config"], &["token", "create"]] {
        let refused = cell.run(command);
        assert_eq!(refused.code, Some(1), "{command:?}");
        assert!(refused.stderr.contains("keycell migrate"), "{command:?}: {}", refused.stderr);
    }
    let migrated = cell.run(&["migrate"]).succeeded();
    assert!(migrated.stdout.contains("of schema 1 and is of schema 3"), "{}", migrated.stdout);
    let again = cell.run(&["migrate"]).succeeded();
    assert!(again.stdout.contains("nothing was changed"), "{}", again.stdout);

    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    assert_eq!(parties[0].refusal(&http, "b@test.internal").await, None);
    assert_eq!(parties[1].refusal(&http, "a@test.internal").await, None);
    assert_eq!(parties[0].refusal(&http, "off@test.internal").await, Some(ProblemType::DestinationDisabled));
    assert_eq!(
        parties[2].ask(&http, &["a@test.internal"]).await.unwrap_err().kind(),
        ProblemType::PartyDisabled
    );
    let records = admin.records().await;
    let actions: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..2], ["zone.migrate", "rule.create"], "{actions:?}");
    assert_eq!(actions.iter().filter(|action| **action == "zone.migrate").count(), 1);
    admin.assert_intact().await;

    // What was there can be administered, and a name goes on counting.
    let path = party_path("a@test.internal");
    assert_eq!(admin.get(&path).await.json()["note"], "");
    assert_eq!(admin.set_enabled("off@test.internal", true).await.status, 200);
    assert_eq!(parties[2].refusal(&http, "a@test.internal").await, None);
    let anew = admin.add("gone@test.internal").await;
    assert_eq!(anew.key.generation().0, 2);
    assert_eq!(anew.refusal(&http, "a@test.internal").await, None);
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_a_damaged_log_begins_nothing_anew() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let none = json!({ "rules": [] });
    assert_eq!(admin.send(Method::PUT, POLICY, &none).await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut database = SqliteConnection::connect(&url).await.unwrap();
    run(&mut database, "DELETE FROM audit_seal WHERE kind = 'head'").await;
    database.close().await.unwrap();
    let refused = cell.run(&["migrate"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    let kdc = cell.serve();
    let admin = kdc.http().with_token(&token);
    assert_eq!(admin.get(POLICY).await.json()["rules"], json!([]), "the policy stays closed");
}
