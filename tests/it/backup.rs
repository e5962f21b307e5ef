//! Backups: made while the KDC runs, looked through, put back, and refused when anything is wrong with them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "backup/broken.rs"]
mod broken;
#[path = "backup/crash.rs"]
mod crash;
#[path = "backup/machine.rs"]
mod machine;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use keycell_tests::backup::{Recovery, parties, text};
use keycell_tests::cell::Cell;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;

/// A backup holds every party that was acknowledged before it began, and what it holds is whole, while others go on writing.
async fn of_one_moment(cell: &Cell) {
    let recovery = Recovery::of(cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let before: Vec<_> = (0..20).map(|n| format!("before-{n:02}")).collect();
    for name in &before {
        admin.add(&format!("{name}@test.internal")).await;
    }
    let done = Arc::new(AtomicBool::new(false));
    let writer = tokio::spawn({
        let (admin, done) = (cell.admin(&kdc), done.clone());
        async move {
            let mut written = 0;
            while !done.load(Ordering::Relaxed) {
                admin.add(&format!("while-{written:05}@test.internal")).await;
                written += 1;
            }
            written
        }
    });
    until("somebody writes", async || {
        let there = admin.get("/v1/admin/parties/while-00000@test.internal").await;
        (there.status == 200).then_some(())
    })
    .await;
    let file = tokio::task::block_in_place(|| recovery.back_up(cell, "one.age"));
    done.store(true, Ordering::Relaxed);
    let written = writer.await.unwrap();

    let verified = cell.run(&[
        "--json",
        "backup",
        "verify",
        text(&file),
        "--identity",
        text(&recovery.identity),
        "--master-key",
        text(&cell.file("master.key")),
    ]);
    let verified: serde_json::Value = serde_json::from_str(&verified.succeeded().stdout).unwrap();
    let held = verified["parties"].as_u64().unwrap();
    assert!(held > 20 && held <= 20 + written, "{held} of 20 and {written}");
    assert_eq!((&verified["keys"], &verified["findings"]), (&verified["parties"], &serde_json::json!([])));
    assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // It is recorded, and told.
    admin.recorded("the backup", |record| record["action"] == "backup.create").await;
    let status = admin.get("/v1/admin/status").await.json();
    assert!(!status["warnings"].to_string().contains("\"backup\""), "{status}");
    let metrics = admin.get("/metrics").await.text();
    let last = metrics.lines().find(|line| line.starts_with("keycell_last_backup_timestamp_seconds "));
    assert!(last.is_some_and(|line| !line.ends_with(" 0")), "{last:?}");
    admin.assert_intact().await;

    assert_eq!(kdc.terminate(), Some(0));
    let replace: &[&str] = if cell.cluster().is_some() { &["--replace"] } else { &[] };
    recovery.restore(cell, &file, replace).succeeded();
    let names: Vec<_> = parties(cell).await.into_iter().map(|(name, _)| name).collect();
    assert_eq!(names.len() as u64, held);
    assert_eq!(names[..20], before);
    // No gap: whoever was made later is not there without those made earlier.
    for (at, name) in names[20..].iter().enumerate() {
        assert_eq!(*name, format!("while-{at:05}"));
    }
    // A party's key opens what it opened before.
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.assert_intact().await;
    let again = admin.add("after@test.internal").await;
    assert_eq!(again.refusal(&kdc.http(), "before-00@test.internal").await, None);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_one_moment_on_sqlite() {
    of_one_moment(&Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_one_moment_on_postgres() {
    of_one_moment(&Cell::postgres(&Postgres::shared())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn postgres_is_replaced_only_on_purpose_and_alone() {
    let cell = Cell::postgres(&Postgres::shared());
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    cell.admin(&kdc).add("a@test.internal").await;
    let file = recovery.back_up(&cell, "one.age");
    cell.admin(&kdc).add("b@test.internal").await;
    let refused = recovery.restore(&cell, &file, &[]).failed();
    assert!(refused.contains("holds the zone test.internal already; --replace"), "{refused}");
    let refused = recovery.restore(&cell, &file, &["--replace"]).failed();
    assert!(refused.contains("stop every KDC of the zone first"), "{refused}");
    assert_eq!(parties(&cell).await.len(), 2);
    assert_eq!(kdc.terminate(), Some(0));
    recovery.restore(&cell, &file, &["--replace"]).succeeded();
    assert_eq!(parties(&cell).await, [("a".to_owned(), true)]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn from_sqlite_to_postgres_and_back() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let a = cell.admin(&kdc).add("a@test.internal").await;
    cell.admin(&kdc).add("b@test.internal").await;
    let file = recovery.back_up(&cell, "one.age");
    assert_eq!(kdc.terminate(), Some(0));
    let cluster = Postgres::shared();
    let url = cluster.url();
    recovery.restore(&cell, &file, &["--database", &url]).succeeded();
    cell.configure(&format!("database = {url:?}"));
    let mut kdc = cell.serve();
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
    cell.admin(&kdc).assert_intact().await;
    let file = recovery.back_up(&cell, "two.age");
    assert_eq!(kdc.terminate(), Some(0));
    cell.configure("database = \"sqlite:other.db\"");
    recovery.restore(&cell, &file, &[]).succeeded();
    let kdc = cell.serve();
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
}

#[test]
fn nobody_is_no_recipient_and_a_file_is_never_written_over() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let refused = cell.run(&["backup", "one.age"]).failed();
    assert!(refused.contains("keycell backup keygen FILE"), "{refused}");
    let secret = fs::read_to_string(&recovery.identity).unwrap();
    let secret = secret.lines().last().unwrap();
    let refused = cell.run(&["backup", "one.age", "--recipient", secret]).failed();
    assert!(refused.contains("that is a secret key") && !refused.contains(secret), "{refused}");
    cell.configure(&format!("[backup]\nrecipients = [{:?}]", recovery.recipient));
    cell.run(&["backup", "one.age"]).succeeded();
    let bytes = fs::read(cell.folder().join("one.age")).unwrap();
    let refused = cell.run(&["backup", "one.age"]).failed();
    assert!(refused.contains("one.age exists already"), "{refused}");
    let refused = cell.run(&["backup", "keygen", "recovery.txt"]).failed();
    assert!(refused.contains("recovery.txt"), "{refused}");
    assert_eq!(fs::read(cell.folder().join("one.age")).unwrap(), bytes);
    assert!(fs::read_to_string(&recovery.identity).unwrap().contains(secret));
    assert!(!cell.folder().join("one.age.part").exists());
}
