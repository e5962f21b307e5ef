//! Restoring never un-revokes: a database that was set back is refused, and says whom it would let in.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "rollback/denied.rs"]
mod denied;

use std::fs;
use std::path::PathBuf;

use keycell_protocol::ProblemType;
use keycell_tests::admin::TOKENS;
use keycell_tests::backup::{Recovery, parties};
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::Connection as _;

/// A cell whose database can be set back to before four revocations.
struct Scene {
    cell: Cell,
    recovery: Recovery,
    backup: PathBuf,
    /// Who was there, in the order of their names.
    all: Vec<Party>,
    /// The token that was revoked.
    token: String,
}

const GONE: [&str; 4] = [
    "again@test.internal goes back to an older key",
    "deleted@test.internal was deleted",
    "disabled@test.internal was disabled",
    "was revoked",
];

async fn scene(cell: Cell) -> Scene {
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut all = Vec::new();
    for name in ["again", "back", "deleted", "disabled", "friend"] {
        all.push(admin.add(&format!("{name}@test.internal")).await);
    }
    let token = cell.token("operator");
    let backup = recovery.back_up(&cell, "before.age");
    let path = |name: &str| format!("{name}@test.internal");
    for name in ["back", "disabled"] {
        assert_eq!(admin.set_enabled(&path(name), false).await.status, 200);
    }
    assert_eq!(admin.set_enabled(&path("back"), true).await.status, 200);
    assert_eq!(admin.delete(&path("deleted")).await.status, 204);
    assert_eq!(admin.delete(&path("again")).await.status, 204);
    all.push(admin.add(&path("again")).await);
    let own = kdc.http().with_token(&token).get("/v1/admin/whoami").await.json();
    let id = own["token"].as_str().unwrap();
    assert_eq!(admin.send(Method::DELETE, &format!("{TOKENS}/{id}"), &Value::Null).await.status, 204);
    assert_eq!(kdc.terminate(), Some(0));
    Scene { cell, recovery, backup, all, token }
}

impl Scene {
    /// Puts the old database there as somebody would who knows nothing of revocations: the file is not told.
    fn set_back(&self) {
        let known = fs::read(self.cell.file("revocations")).unwrap();
        let replace: &[&str] = if self.cell.cluster().is_some() { &["--replace"] } else { &[] };
        fs::remove_file(self.cell.file("revocations")).unwrap();
        let more = [replace, &["--forget-revocations"]].concat();
        let restored = self.recovery.restore(&self.cell, &self.backup, &more).succeeded();
        assert!(restored.stdout.contains("This folder remembers no revocations"), "{}", restored.stdout);
        // Without the record by which that was accepted, as a copy of a disk would have none.
        self.forget_acceptance();
        fs::write(self.cell.file("revocations"), known).unwrap();
    }

    /// Goes back to before the last record.
    fn forget_acceptance(&self) {
        if self.cell.cluster().is_none() {
            let backup = self.recovery_plain();
            fs::copy(backup, self.cell.file("keycell.db")).unwrap();
        }
    }

    /// A database that was filled from the backup by nothing but the store.
    fn recovery_plain(&self) -> PathBuf {
        let path = self.cell.folder().join("plain.db");
        let _ = fs::remove_file(&path);
        let mut opened = keycell_kdc::backup::open(&self.backup, Some(&self.recovery.identity)).unwrap();
        let schema = opened.header().schema;
        let url = format!("sqlite:{}", path.display());
        let load = keycell_kdc::store::load(&url, schema, keycell_kdc::store::Replaced::No, &mut opened);
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(load)).unwrap();
        path
    }

    async fn assert_revoked(&self, kdc: &Http, revoked: bool) {
        let [again, back, deleted, disabled, friend, ..] = self.all.as_slice() else { unreachable!() };
        assert_eq!(back.refusal(kdc, "friend@test.internal").await, None);
        assert_eq!(friend.refusal(kdc, "back@test.internal").await, None);
        for party in [again, deleted, disabled] {
            let asked = party.ask(kdc, &["friend@test.internal"]).await;
            assert_eq!(asked.is_err(), revoked, "{}", party.name);
        }
        let own = kdc.clone().with_token(&self.token).get("/v1/admin/whoami").await;
        assert_eq!(own.status, if revoked { 401 } else { 200 });
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_older_database_is_refused_with_the_names_and_accepted_on_purpose() {
    let scene = scene(Cell::sqlite()).await;
    let cell = &scene.cell;
    scene.set_back();
    for command in [&["check-config"][..], &["serve"]] {
        let refused = cell.run(command).failed();
        for says in GONE.iter().chain(&["is older than this KDC", "--accept-rollback"]) {
            assert!(refused.contains(says), "{says}: {refused}");
        }
        assert!(!refused.contains("back@") && !refused.contains("friend@"), "{refused}");
    }
    let told = cell.run(&["--json", "check-config"]);
    let told: Value = serde_json::from_str(&told.stdout).unwrap();
    assert_eq!(told["undone"].as_array().unwrap().len(), 4);
    assert_eq!(told["undone"][0], json!({ "name": "again@test.internal", "what": "older_key" }));

    let mut kdc = cell.serve_told(&["--accept-rollback"]);
    scene.assert_revoked(&kdc.http(), true).await;
    let admin = cell.admin(&kdc);
    let record = admin.recorded("it is recorded", |record| record["action"] == "restore.accept").await;
    assert_eq!((&record["detail"]["undone"], &record["detail"]["kept"]), (&json!(4), &json!(true)));
    assert!(record["detail"]["names"].to_string().contains(GONE[1]), "{record}");
    admin.assert_intact().await;
    // Its name goes on counting from the key that the old database never heard of.
    let added = admin.add("deleted@test.internal").await;
    assert_eq!(added.key.generation().0, 2);
    assert_eq!(kdc.terminate(), Some(0));
    drop(cell.serve());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_means_it_lets_everybody_back_in() {
    let scene = scene(Cell::sqlite()).await;
    scene.set_back();
    let mut kdc = scene.cell.serve_told(&["--accept-rollback=forget"]);
    scene.assert_revoked(&kdc.http(), false).await;
    assert_eq!(kdc.terminate(), Some(0));
    // That is how it is now.
    drop(scene.cell.serve());
}

async fn restoring_keeps(cell: Cell) {
    let scene = scene(cell).await;
    let replace: &[&str] = if scene.cell.cluster().is_some() { &["--replace"] } else { &[] };
    let restored = scene.recovery.restore(&scene.cell, &scene.backup, replace).succeeded().stdout;
    assert!(restored.contains("4 that were revoked since the backup stay revoked"), "{restored}");
    for says in GONE {
        assert!(restored.contains(says), "{says}: {restored}");
    }
    assert!(restored.contains("older key: it needs a new key"), "{restored}");
    let mut kdc = scene.cell.serve();
    scene.assert_revoked(&kdc.http(), true).await;
    scene.cell.admin(&kdc).assert_intact().await;
    assert_eq!(kdc.terminate(), Some(0));
    // An older one still: what is remembered outlives the restore.
    scene.recovery.restore(&scene.cell, &scene.backup, replace).succeeded();
    let kdc = scene.cell.serve();
    scene.assert_revoked(&kdc.http(), true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_keeps_revocations_on_sqlite() {
    restoring_keeps(Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restoring_keeps_revocations_on_postgres() {
    restoring_keeps(Cell::postgres(&Postgres::shared())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn another_kdc_of_the_zone_knows_and_hears_that_it_was_accepted() {
    let cell = Cell::postgres(&Postgres::shared());
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    // A KDC on another machine: its own folder, with its own file.
    let other = cell.folder().join("keycell/other-revocations");
    let mut replica = cell.replica_with("revocations = \"other-revocations\"");
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    let backup = recovery.back_up(&cell, "before.age");
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    let knows = || fs::read_to_string(&other).unwrap_or_default().contains("\"a@test.internal\"");
    keycell_tests::wait::until("the other KDC has written it down", async || knows().then_some(())).await;
    assert_eq!((kdc.terminate(), replica.terminate()), (Some(0), Some(0)));
    recovery.restore(&cell, &backup, &["--replace"]).succeeded();
    drop(cell.replica_with("revocations = \"other-revocations\""));
    assert_eq!(parties(&cell).await, [("a".to_owned(), false)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_before_the_file_is_made_good_at_the_next_start() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for name in ["a", "b", "c"] {
        admin.add(&format!("{name}@test.internal")).await;
    }
    let before = fs::read(cell.file("revocations")).unwrap();
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    assert_eq!(admin.delete("b@test.internal").await.status, 204);
    let after = fs::read_to_string(cell.file("revocations")).unwrap();
    assert!(after.contains("\"a@test.internal\"") && after.contains("\"b@test.internal\""), "{after}");
    kdc.kill9();
    // As if it had been killed between the commit and the file, or in the middle of a line.
    for torn in [before.as_slice(), &after.as_bytes()[..after.len() - 10]] {
        fs::write(cell.file("revocations"), torn).unwrap();
        let mut kdc = cell.serve();
        let now = fs::read_to_string(cell.file("revocations")).unwrap();
        assert!(now.contains("\"a@test.internal\"") && now.contains("\"b@test.internal\""), "{now}");
        kdc.kill9();
        cell.run(&["check-config"]).succeeded();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_somebody_changed_is_told_and_one_that_is_gone_too() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    let metrics = admin.get("/metrics").await.text();
    let mark = metrics.lines().find(|line| line.starts_with("keycell_revocation_watermark "));
    assert!(mark.is_some_and(|line| !line.ends_with(" 0")), "{mark:?}");
    assert_eq!(kdc.terminate(), Some(0));
    let file = cell.file("revocations");
    let whole = fs::read_to_string(&file).unwrap();
    let lines: Vec<_> = whole.lines().collect();
    assert_eq!(lines.len(), 4, "{whole}");
    let enabled = whole.replace("disabled", "enabled");
    let without = [lines[0], lines[2], lines[3], ""].join("\n");
    let swapped = [lines[0], lines[2], lines[1], lines[3], ""].join("\n");
    let more = format!("{whole}{}\n", lines[2]);
    for (changed, line) in [(enabled, 3), (without, 2), (swapped, 2), (more, 5), ("x\n".to_owned(), 1)] {
        fs::write(&file, changed).unwrap();
        let refused = cell.run(&["check-config"]).failed();
        let says = format!("revocations, line {line}: this KDC did not write it");
        assert!(refused.contains(&says), "{says}: {refused}");
    }
    let mut kdc = cell.serve_told(&["--accept-rollback"]);
    assert_eq!(kdc.terminate(), Some(0));
    assert!(kdc.log().contains("was altered: it is written anew"), "{}", kdc.log());
    fs::remove_file(&file).unwrap();
    let mut kdc = cell.serve();
    kdc.logs("was not noticed").await;
    let status = cell.admin(&kdc).get("/v1/admin/status").await.json();
    assert!(status["warnings"].to_string().contains("\"revocations\""), "{status}");
    assert_eq!(kdc.terminate(), Some(0));
    assert!(fs::read_to_string(&file).unwrap().contains("disabled"), "it was made from the database");
    let mut kdc = cell.serve();
    assert_eq!(kdc.terminate(), Some(0));
    assert!(!kdc.log().contains("was not noticed"), "{}", kdc.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_single_row_that_was_put_back_is_told_too() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let a = cell.admin(&kdc).add("a@test.internal").await;
    assert_eq!(kdc.terminate(), Some(0));
    let rows = async |sql: &'static str| {
        let url = format!("sqlite:{}", cell.file("keycell.db").display());
        let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
        sqlx::query(sql).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    };
    rows("CREATE TABLE old AS SELECT * FROM party").await;
    rows("CREATE TABLE old_key AS SELECT * FROM party_key").await;
    let mut kdc = cell.serve();
    assert_eq!(cell.admin(&kdc).set_enabled("a@test.internal", false).await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    rows("UPDATE party SET enabled = 1, revocation_epoch = 0, revision = 99").await;
    rows("UPDATE party_key SET wrapped = (SELECT wrapped FROM old_key)").await;
    rows("DROP TABLE old").await;
    rows("DROP TABLE old_key").await;
    let refused = cell.run(&["check-config"]).failed();
    assert!(refused.contains("rows of the database were set back"), "{refused}");
    assert!(refused.contains("a@test.internal was disabled"), "{refused}");
    let kdc = cell.serve_told(&["--accept-rollback"]);
    let asked = a.ask(&kdc.http(), &["a@test.internal"]).await.unwrap_err();
    assert_eq!(asked.kind(), ProblemType::PartyDisabled);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_is_set_back_under_a_running_kdc_lets_nobody_in() {
    let cell = Cell::postgres(&Postgres::shared());
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let config: toml::Table = fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    let url = config["database"].as_str().unwrap();
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let mut copies = Vec::new();
    for table in ["change_counter", "party", "party_key"] {
        copies.push(format!("CREATE TABLE old_{table} AS SELECT * FROM {table}"));
    }
    let mut back = vec!["DELETE FROM party".to_owned(), "DELETE FROM change_counter".to_owned()];
    for table in ["change_counter", "party", "party_key"] {
        back.push(format!("INSERT INTO {table} SELECT * FROM old_{table}"));
        back.push(format!("DROP TABLE old_{table}"));
    }
    let run = async |connection: &mut sqlx::PgConnection, all: &[String]| {
        let sql = format!("BEGIN; {}; COMMIT", all.join("; "));
        sqlx::raw_sql(sqlx::AssertSqlSafe(sql)).execute(connection).await.unwrap();
    };
    run(&mut connection, &copies).await;
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    run(&mut connection, &back).await;
    kdc.logs("would undo 1 revocations (a@test.internal was disabled").await;
    let asked = a.ask(&kdc.http(), &["b@test.internal"]).await.unwrap_err();
    assert_eq!(asked.kind(), ProblemType::PartyDisabled);
    connection.close().await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_that_was_erased_stays_so_when_a_backup_is_put_back() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let stolen = admin.add("stolen@test.internal").await;
    let gone = admin.add("gone@test.internal").await;
    let backup = recovery.back_up(&cell, "before.age");
    for name in ["stolen", "gone"] {
        cell.run(&["party", "disable", name, "--now"]).succeeded();
    }
    assert_eq!(admin.delete("gone@test.internal").await.status, 204);
    assert_eq!(kdc.terminate(), Some(0));
    let restored = recovery.restore(&cell, &backup, &[]).succeeded().stdout;
    assert!(restored.contains("2 that were revoked since the backup stay revoked"), "{restored}");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for (party, name) in [(&stolen, "stolen@test.internal"), (&gone, "gone@test.internal")] {
        // Whatever is left of it: to be let in again does not bring the key back.
        admin.set_enabled(name, true).await;
        assert!(party.ask(&kdc.http(), &["friend@test.internal"]).await.is_err(), "{name}");
    }
}
