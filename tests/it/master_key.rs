//! The master key of a cell that serves: rotated, through crashes and on several KDCs, and taken away.

#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "master_key/latency.rs"]
mod latency;
#[path = "master_key/replicas.rs"]
mod replicas;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use keycell_protocol::Outcome;
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::party::Party;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const MASTER_KEY: &str = "/v1/admin/master-key";

fn json(cell: &Cell, arguments: &[&str]) -> Value {
    let ended = cell.run(&[arguments, &["--json"]].concat()).succeeded();
    serde_json::from_str(&ended.stdout).unwrap()
}

/// The versions in the master key file.
fn versions(cell: &Cell) -> Vec<String> {
    let text = fs::read_to_string(cell.file("master.key")).unwrap();
    text.lines().map(|line| line.split(':').nth(1).unwrap().to_owned()).collect()
}

/// Many parties, by one import.
async fn import(admin: &Http, count: usize) {
    let lines: String = (0..count).map(|n| format!("{{\"name\":\"p{n:06}\"}}\n")).collect();
    let request = admin.request(Method::POST, "/v1/admin/parties/import");
    let answer =
        keycell_tests::http::Answer::of(request.header("content-type", "application/x-ndjson").body(lines))
            .await;
    assert_eq!(answer.status, 200);
}

fn gets_tickets(outcomes: &[Outcome]) -> bool {
    outcomes.iter().all(|outcome| matches!(outcome, Outcome::Granted(_)))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_goes_on_through_a_crash_and_nobody_waits_for_it() {
    let cell = Cell::sqlite();
    cell.configure("limits = { per_address = { per_second = 100000, burst = 100000 } }");
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    import(&admin, 20_000).await;
    let (a, b) = (cell.add("a"), cell.add("b"));
    let file = fs::read_to_string(cell.file("master.key")).unwrap();

    // Begun, and cut off with kill -9 as soon as some of it is done.
    let master = keycell_kdc::keyring::MasterKeySource::File(cell.file("master.key"));
    master.append(None, &mut keycell_kdc::random::system()).unwrap();
    let begun = admin.send(Method::POST, &format!("{MASTER_KEY}/rotate"), &Value::Null).await;
    assert_eq!((begun.status, begun.json()["active"].clone()), (200, json!(2)), "{}", begun.text());
    let rest = until("some of it is done", async || {
        let rest = admin.get(MASTER_KEY).await.json()["remaining"].as_u64().unwrap();
        (rest < 20_000).then_some(rest)
    });
    assert!(rest.await > 0, "it was faster than this test");
    kdc.kill9();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    assert!(gets_tickets(&a.ask(&kdc.http(), &["b@test.internal"]).await.unwrap()));
    let again = admin.send(Method::POST, &format!("{MASTER_KEY}/rotate"), &Value::Null).await;
    assert_eq!(again.status, 409, "there is none above");

    // Meanwhile everybody goes on: tickets, and administrators beside them.
    let done = Arc::new(AtomicBool::new(false));
    let (asked, http, stop) = (Arc::new(AtomicUsize::new(0)), kdc.http(), done.clone());
    let asking = tokio::spawn({
        let asked = asked.clone();
        async move {
            while !stop.load(Ordering::SeqCst) {
                assert!(gets_tickets(&b.ask(&http, &["a@test.internal"]).await.unwrap()));
                asked.fetch_add(1, Ordering::SeqCst);
            }
        }
    });
    // The command finds that there is a rotation to finish, and begins no other.
    let command = tokio::task::spawn_blocking({
        let mut command = cell.command();
        command.args(["master-key", "rotate", "--json"]);
        move || keycell_tests::cell::ended(&mut command)
    });
    for n in 0..20 {
        admin.add(&format!("late{n}@test.internal")).await;
        assert_eq!(admin.set_enabled(&format!("p{n:06}@test.internal"), false).await.status, 200);
    }
    let ended: Value = serde_json::from_str(&command.await.unwrap().succeeded().stdout).unwrap();
    done.store(true, Ordering::SeqCst);
    asking.await.unwrap();
    assert!(asked.load(Ordering::SeqCst) > 0);
    assert_eq!(
        (&ended["active"], &ended["rewrapped"], &ended["damaged"]),
        (&json!(2), &json!(true), &json!(0))
    );
    assert_eq!(versions(&cell), ["1", "2"]);
    assert!(fs::read_to_string(cell.file("master.key")).unwrap().starts_with(&file));
    assert_eq!(fs::metadata(cell.file("master.key")).unwrap().permissions().mode() & 0o777, 0o600);
    for (action, count) in [("master_key.rotate", 1), ("master_key.rewrapped", 1)] {
        let record = admin.recorded(action, |record| record["action"] == action).await;
        assert_eq!(record["detail"]["version"], 2, "{record}");
        let all = admin.records().await.into_iter().filter(|record| record["action"] == action).count();
        assert_eq!(all, count, "{action}");
    }
    admin.assert_intact().await;

    // Now the old one can go, and everything is there without it.
    for version in ["2", "3"] {
        // The zone may go over to a later one while this is asked.
        let refused = cell.run(&["master-key", "retire", version]).failed();
        assert!(refused.contains("is not older than the active one"), "{refused}");
    }
    let told = cell.run(&["master-key", "retire", "1"]).succeeded().stdout;
    assert!(told.contains("Backups made before the rotation still need it"), "{told}");
    assert_eq!(versions(&cell), ["2"]);
    drop(kdc);
    let kdc = cell.serve();
    assert!(gets_tickets(&a.ask(&kdc.http(), &["late7@test.internal"]).await.unwrap()));
    let page = kdc.http().get("/metrics").await.text();
    for line in ["keycell_master_key_version 2", "keycell_clock_refused 0"] {
        assert!(page.contains(&format!("{line}\n")), "{page}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rotation_by_command_is_one_step_at_a_time() {
    let cell = Cell::sqlite();
    let down = cell.run(&["master-key", "rotate"]).failed();
    assert!(down.contains("cannot reach the KDC"), "{down}");
    assert_eq!(versions(&cell), ["1"], "nothing is begun that cannot be gone on with");
    let kdc = cell.serve();
    let first = cell.run(&["master-key", "rotate"]).succeeded().stdout;
    assert!(first.starts_with("Version 2 of the master key wraps everything"), "{first}");
    // The file was written and the KDC was not told: the next attempt takes what is there.
    let master = keycell_kdc::keyring::MasterKeySource::File(cell.file("master.key"));
    master.append(None, &mut keycell_kdc::random::system()).unwrap();
    assert_eq!(json(&cell, &["master-key", "rotate"])["active"], 3);
    assert_eq!(versions(&cell), ["1", "2", "3"]);
    let status = cell.run(&["master-key", "status"]).succeeded().stdout;
    assert!(status.contains("3        active") && status.contains("master.key"), "{status}");

    // Of a row that does not open, it is told; what needs a version keeps it.
    let _ = cell.add("a");
    drop(kdc);
    sql(&cell, "UPDATE party_key SET wrapped = zeroblob(77), master_version = 2").await;
    let kdc = cell.serve();
    until("the log says so", async || kdc.log().contains("cannot be wrapped anew").then_some(())).await;
    let refused = cell.run(&["master-key", "retire", "2"]).failed();
    assert!(refused.starts_with("keycell: 1 rows are still wrapped under version 2"), "{refused}");
    cell.run(&["master-key", "retire", "1"]).succeeded();
    let unknown = cell.run(&["master-key", "retire", "1"]).failed();
    assert!(unknown.contains("holds no version 1"), "{unknown}");
    assert_eq!(json(&cell, &["master-key", "rotate"])["damaged"], 1);
    // Only administrators may.
    let operator = kdc.http().with_token(&cell.token("operator"));
    for path in [format!("{MASTER_KEY}/rotate"), "/v1/admin/ratchet/confirm".to_owned()] {
        assert_eq!(operator.send(Method::POST, &path, &Value::Null).await.status, 403);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn lines_are_made_for_other_sources() {
    let cell = Cell::sqlite();
    let out = cell.run(&["master-key", "new", "--out", "two.key"]).succeeded().stdout;
    assert_eq!(out, "Version 2 of the master key is in two.key.\n");
    let two = cell.folder().join("two.key");
    assert_eq!(fs::metadata(&two).unwrap().permissions().mode() & 0o777, 0o600);
    let exists = cell.run(&["master-key", "new", "--out", "two.key"]).failed();
    assert!(exists.contains("never overwritten"), "{exists}");
    let printed = cell.run(&["master-key", "new", "--version", "7"]).succeeded().stdout;
    assert!(printed.starts_with("keycell-master-key-1:7:") && printed.lines().count() == 1);

    // A variable with both lines: the KDC takes the first until it is told to go over.
    let both = fs::read_to_string(cell.file("master.key")).unwrap() + &fs::read_to_string(&two).unwrap();
    fs::remove_file(cell.file("master.key")).unwrap();
    cell.configure("master_key = { environment = 'MASTER' }");
    let config: toml::Table = fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    assert_eq!(config["master_key"].as_table().unwrap().len(), 2, "the harness merges");
    let mut config = config;
    config["master_key"].as_table_mut().unwrap().remove("file");
    fs::write(cell.file("keycell.toml"), toml::to_string(&config).unwrap()).unwrap();
    let missing = cell.run(&["check-config"]).failed();
    assert!(missing.contains("the environment variable MASTER"), "{missing}");
    let kdc = cell.serve_with(&[("MASTER", both.trim_end())]);
    let run = |arguments: &[&str]| {
        keycell_tests::cell::ended(cell.command().args(arguments).env("MASTER", both.trim_end()))
    };
    let token = run(&["token", "create", "--out", "-"]).succeeded().stdout;
    let admin = kdc.http().with_token(token.trim());
    let view = admin.get(MASTER_KEY).await.json();
    assert_eq!((&view["active"], &view["source"]), (&json!(1), &json!("the environment variable MASTER")));
    let told = cell.run(&["master-key", "rotate"]).succeeded().stdout;
    assert!(told.starts_with("Version 2"), "{told}");
    let refused = cell.run(&["master-key", "rotate"]).failed();
    assert!(refused.contains("keycell master-key new"), "{refused}");
    for refused in [run(&["master-key", "retire", "1"]), cell.run(&["master-key", "retire", "1"])] {
        let refused = refused.failed();
        assert!(refused.contains("is not a file that can be changed here"), "{refused}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_ratchet_is_shown() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (a, _) = (cell.add("a"), cell.add("b"));
    let view = json(&cell, &["ratchet", "show"]);
    assert_eq!(view["believed"], true);
    let epoch = view["epoch"].as_u64().unwrap();
    until("keys are turned", async || {
        let turned = json(&cell, &["ratchet", "show"])["turned_to"].as_u64().unwrap();
        (turned == epoch - 1).then_some(())
    })
    .await;
    let wrong = cell.run(&["ratchet", "confirm", "1"]).failed();
    assert!(wrong.contains("shows epoch"), "{wrong}");
    cell.run(&["ratchet", "confirm", &epoch.to_string()]).succeeded();
    let text = cell.run(&["ratchet", "show"]).succeeded().stdout;
    assert!(text.contains("clock believed  yes"), "{text}");

    // Somebody set the clock right after years: the KDC asks before it turns anything, and serves all the same.
    drop(kdc);
    sql(&cell, "UPDATE zone SET ratchet_epoch = ratchet_epoch - 40").await;
    let kdc = cell.serve();
    kdc.logs("none is turned until somebody confirms it").await;
    assert!(gets_tickets(&a.ask(&kdc.http(), &["b@test.internal"]).await.unwrap()));
    let status = cell.run(&["status"]).succeeded().stdout;
    assert!(status.contains("WARNING clock"), "{status}");
    cell.run(&["ratchet", "confirm", &epoch.to_string()]).succeeded();
    let status = cell.run(&["status"]).succeeded().stdout;
    assert!(!status.contains("WARNING clock"), "{status}");
    let admin = cell.admin(&kdc);
    let record = admin.recorded("ratchet.confirm", |record| record["action"] == "ratchet.confirm").await;
    assert_eq!(record["detail"]["epoch"], epoch - 1, "{record}");
}

/// Runs SQL as somebody would who can write to the database and is not Keycell.
async fn sql(cell: &Cell, sql: &str) {
    use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut connection = SqliteConnection::connect(&url).await.unwrap();
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

/// A party that was read from a file, as another of the same key.
fn same(party: &Party) -> Party {
    Party { name: party.name.clone(), key: party.key.clone(), ratchet_period: party.ratchet_period }
}
