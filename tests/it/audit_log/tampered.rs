//! Somebody who can write to the database changes the log: the KDC says which record it was.

use std::fs;

use keycell_tests::admin::AUDIT;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};

/// The rows of a cell's database, past Keycell.
struct Rows(SqliteConnection);

impl Rows {
    async fn open(cell: &Cell) -> Self {
        let url = format!("sqlite:{}", cell.file("keycell.db").display());
        let mut rows = Self(SqliteConnection::connect(&url).await.unwrap());
        rows.run("PRAGMA busy_timeout = 10000").await;
        rows
    }

    async fn run(&mut self, sql: &str) {
        sqlx::raw_sql(AssertSqlSafe(sql.to_owned())).execute(&mut self.0).await.unwrap();
    }
}

async fn report(admin: &Http) -> Value {
    let answer = admin.send_with(Method::POST, &format!("{AUDIT}/verify"), &[], &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// A cell with some history.
async fn with_history(admin: &Http) {
    for n in 0..12 {
        admin.add(&format!("p{n}@test.internal")).await;
    }
    assert_eq!(admin.delete("p5@test.internal").await.status, 204);
}

#[tokio::test]
async fn a_record_that_was_tampered_with_is_named() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    with_history(&admin).await;
    admin.assert_intact().await;
    let mut rows = Rows::open(&cell).await;
    rows.run("CREATE TABLE kept AS SELECT * FROM audit; CREATE TABLE kept_seal AS SELECT * FROM audit_seal")
        .await;
    let last = admin.records().await.len() as u64;

    let columns = "at, actor, action, target, outcome, request, address, detail, hash";
    let mut cases: Vec<(String, u64, &[&str])> = Vec::new();
    for (column, value) in [
        ("at", "at + 1"),
        ("actor", "'administrator:eve'"),
        ("action", "'party.delete'"),
        ("target", "'x@test.internal'"),
        ("outcome", "'denied'"),
        ("request", "'x'"),
        ("address", "'10.0.0.1'"),
        ("detail", "'{}'"),
    ] {
        cases.push((format!("UPDATE audit SET {column} = {value} WHERE seq = 7"), 7, &["changed"]));
    }
    cases.push(("UPDATE audit SET hash = zeroblob(32) WHERE seq = 7".to_owned(), 7, &["hash-changed"]));
    cases.push(("UPDATE audit SET hash = x'00' WHERE seq = 7".to_owned(), 7, &["hash-changed", "changed"]));
    cases.push(("UPDATE audit_seal SET hash = x'00' WHERE kind = 'head'".to_owned(), last, &["head-forged"]));
    cases.push(("UPDATE audit SET detail = 'not JSON' WHERE seq = 7".to_owned(), 7, &["changed"]));
    cases.push((
        format!("INSERT INTO audit (seq, {columns}) SELECT -3, {columns} FROM audit WHERE seq = 7"),
        0,
        &["inserted"],
    ));
    cases.push(("UPDATE audit SET at = -1 WHERE seq = 7".to_owned(), 7, &["changed"]));
    cases.push(("UPDATE audit SET actor = CAST(x'ff' AS TEXT) WHERE seq = 7".to_owned(), 7, &["changed"]));
    cases.push(("DELETE FROM audit WHERE seq = 7".to_owned(), 7, &["missing"]));
    cases.push(("DELETE FROM audit WHERE seq = 1".to_owned(), 1, &["missing"]));
    cases.push(("DELETE FROM audit WHERE seq BETWEEN 7 AND 9".to_owned(), 7, &["missing"]));
    cases.push((format!("DELETE FROM audit WHERE seq = {last}"), last, &["cut-off", "missing"]));
    cases.push(("DELETE FROM audit".to_owned(), 1, &["cut-off", "missing"]));
    cases.push((
        format!("INSERT INTO audit (seq, {columns}) SELECT {last} + 1, {columns} FROM audit WHERE seq = 7"),
        last + 1,
        &["appended", "changed", "hash-changed", "inserted"],
    ));
    cases.push((
        format!(
            "UPDATE audit SET seq = -seq - 1 WHERE seq > 7; UPDATE audit SET seq = -seq WHERE seq < 0;
             INSERT INTO audit (seq, {columns}) SELECT 8, {columns} FROM audit WHERE seq = 7"
        ),
        8,
        &["inserted", "changed", "hash-changed"],
    ));
    cases.push((
        "UPDATE audit SET seq = -7 WHERE seq = 7; UPDATE audit SET seq = 7 WHERE seq = 8;
         UPDATE audit SET seq = 8 WHERE seq = -7"
            .to_owned(),
        7,
        &["changed", "hash-changed", "inserted"],
    ));
    for (column, kinds) in [("signature", &["head-forged"][..]), ("hash", &["head-forged", "rewritten"])] {
        let sql = format!("UPDATE audit_seal SET {column} = zeroblob(length({column})) WHERE kind = 'head'");
        cases.push((sql, last, kinds));
    }
    cases.push(("DELETE FROM audit_seal WHERE kind = 'head'".to_owned(), last, &["head-missing"]));
    cases.push((
        "UPDATE audit_seal SET seq = seq - 1 WHERE kind = 'head'".to_owned(),
        last - 1,
        &["head-forged"],
    ));

    for (sql, seq, kinds) in cases {
        rows.run(&sql).await;
        let report = report(&admin).await;
        let finding = &report["findings"][0];
        assert_eq!(report["intact"], false, "{sql}: {report}");
        assert!(kinds.contains(&finding["kind"].as_str().unwrap()), "{sql}: {report}");
        let (from, through) = (finding["seq"].as_u64().unwrap(), finding["through"].as_u64().unwrap());
        assert!((from..=through.max(from)).contains(&seq), "{sql}: {seq} in {report}");
        rows.run(
            "DELETE FROM audit; INSERT INTO audit SELECT * FROM kept;
             DELETE FROM audit_seal; INSERT INTO audit_seal SELECT * FROM kept_seal",
        )
        .await;
        admin.assert_intact().await;
    }
}

#[tokio::test]
async fn the_command_names_the_record_too() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    with_history(&admin).await;
    cell.run(&["token", "create"]).succeeded();
    cell.run(&["audit", "verify"]).succeeded();
    cell.run(&["audit", "export", "before.ndjson"]).succeeded();
    cell.run(&["audit", "verify", "--file", "before.ndjson"]).succeeded();
    Rows::open(&cell).await.run("UPDATE audit SET target = 'x@test.internal' WHERE seq = 6").await;
    let told = cell.run(&["audit", "verify"]);
    assert_eq!(told.code, Some(1), "{}{}", told.stdout, told.stderr);
    assert!(told.stdout.contains("record 6"), "{}", told.stdout);
    cell.run(&["audit", "export", "after.ndjson"]).succeeded();
    let told = cell.run(&["audit", "verify", "--file", "after.ndjson"]);
    assert_eq!(told.code, Some(1));
    assert!(told.stdout.contains("record 6"), "{}", told.stdout);
    // A KDC that goes on does not cover it up.
    admin.add("later@test.internal").await;
    assert_eq!(report(&admin).await["findings"][0]["seq"], 6);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_export_is_checked_without_the_kdc() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    with_history(&admin).await;
    let seal = admin.get(&format!("{AUDIT}/seal")).await.json();
    let (key, noted) = (
        seal["public_key"].as_str().unwrap().to_owned(),
        format!("{}:{}", seal["seq"], seal["hash"].as_str().unwrap()),
    );
    let answer = admin.get(&format!("{AUDIT}/export")).await;
    assert_eq!(answer.header("content-type"), "application/x-ndjson");
    let text = answer.text();
    assert_eq!(kdc.terminate(), Some(0));
    let check = |text: &str, more: &[&str]| {
        fs::write(cell.folder().join("log.ndjson"), text).unwrap();
        cell.run(&[&["audit", "verify", "--file", "log.ndjson"], more].concat())
    };
    check(&text, &[]).succeeded();
    check(&text, &["--key", &key, "--noted", &noted]).succeeded();
    let other = "00".repeat(32);
    for (what, more) in
        [("another key", ["--key", &other]), ("another note", ["--noted", &format!("3:{other}")])]
    {
        assert_eq!(check(&text, &more).code, Some(1), "{what}");
    }
    let lines: Vec<_> = text.lines().collect();
    let without = |n: usize| {
        let mut lines = lines.clone();
        lines.remove(n);
        lines.join("\n") + "\n"
    };
    for (n, line) in lines.iter().enumerate() {
        assert_eq!(check(&without(n), &[]).code, Some(1), "without line {n}: {line}");
    }
    let swapped = text.replacen("p3@test.internal", "p9@test.internal", 1);
    let told = check(&swapped, &[]);
    assert_eq!(told.code, Some(1));
    let record = lines.iter().find(|line| line.contains("p3@test.internal")).unwrap();
    let seq = serde_json::from_str::<Value>(record).unwrap()["seq"].as_u64().unwrap();
    assert!(told.stdout.contains(&format!("record {seq}")), "{}", told.stdout);
}

#[tokio::test]
async fn what_is_left_of_a_trimmed_log_verifies() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    with_history(&admin).await;
    let records = admin.records().await;
    let trim = async |admin: &Http, before: u64, dry_run: bool| {
        let body = json!({ "before": before, "dry_run": dry_run });
        let answer = admin.send(Method::POST, &format!("{AUDIT}/trim"), &body).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        answer.json()
    };
    let before = records[8]["at"].as_u64().unwrap();
    // What was written in the same millisecond stays too.
    let goes = records.iter().take_while(|record| record["at"].as_u64().unwrap() < before).count();
    assert!(goes > 0);
    let would = trim(&admin, before, true).await;
    assert_eq!(would, json!({ "removed": goes, "through": goes, "dry_run": true }));
    assert_eq!(admin.records().await.len(), records.len());
    assert_eq!(
        trim(&admin, before, false).await,
        json!({ "removed": goes, "through": goes, "dry_run": false })
    );
    let left = admin.records().await;
    assert_eq!(left[0]["seq"].as_u64().unwrap(), goes as u64 + 1);
    let last = left.last().unwrap();
    assert_eq!((&last["action"], &last["seq"]), (&json!("audit.trim"), &json!(records.len() + 1)));
    admin.assert_intact().await;
    kdc.kill9();
    kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("later@test.internal").await;
    admin.assert_intact().await;
    let export = admin.get(&format!("{AUDIT}/export")).await.text();
    fs::write(cell.folder().join("log.ndjson"), export).unwrap();
    cell.run(&["audit", "verify", "--file", "log.ndjson"]).succeeded();

    // All of it, but for the last record and the one that says so.
    let all = trim(&admin, 9_999_999_999_999, false).await;
    assert!(all["removed"].as_u64().unwrap() > 0, "{all}");
    let left = admin.records().await;
    assert_eq!((left.len(), &left[1]["action"]), (2, &json!("audit.trim")), "{left:?}");
    admin.assert_intact().await;
    for n in 0..3 {
        admin.add(&format!("again{n}@test.internal")).await;
    }
    let first = admin.records().await[1]["seq"].as_u64().unwrap();

    // Nothing that was trimmed can be put back, nor more be taken away unseen.
    let mut rows = Rows::open(&cell).await;
    rows.run(&format!("DELETE FROM audit WHERE seq = {first}")).await;
    assert_eq!(report(&admin).await["findings"][0]["seq"], first);
    let again =
        admin.send(Method::POST, &format!("{AUDIT}/trim"), &json!({ "before": 9_999_999_999_999_u64 })).await;
    assert_eq!(again.status, 409, "a damaged log is not trimmed: {}", again.text());
    assert_eq!(admin.get(PARTIES).await.status, 200);
}
