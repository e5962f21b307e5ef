//! Killed at any moment: the cell is from before or from after, and the same command again does the rest.

use std::process::Stdio;

use keycell_tests::schema::Raw;
use keycell_tests::wait::until;

use super::*;

fn command(cell: &Cell) -> std::process::Command {
    let mut command = cell.command();
    command.args(["identity", "recover", "secondary.age", "--passphrase-file", "passphrase", "--yes"]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command
}

fn database(cell: &Cell) -> String {
    let text = fs::read_to_string(cell.file("keycell.toml")).unwrap();
    let config: toml::Table = text.parse().unwrap();
    config["database"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_in_the_middle_of_it_nothing_was_changed() {
    let cell = Cell::postgres(&Postgres::shared());
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = admin.add("web.a@test.internal").await;
    assert_eq!(kdc.terminate(), Some(0));
    export(&cell, "secondary.age");
    // The party comes last: all else is done when it waits for this row.
    let (mut holder, mut watcher) = (Raw::open(&database(&cell)).await, Raw::open(&database(&cell)).await);
    holder.run("BEGIN; SELECT * FROM party FOR UPDATE").await;
    let mut recovering = command(&cell).spawn().unwrap();
    let waits = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'keycell' AND wait_event_type = 'Lock'";
    until("it waits for the row", async || watcher.texts(waits).await.pop()).await;
    recovering.kill().unwrap();
    recovering.wait().unwrap();
    holder.run("ROLLBACK").await;
    holder.close().await;
    let there = "SELECT pid::text FROM pg_stat_activity WHERE datname = current_database()
        AND application_name = 'keycell'";
    until("the server has noticed", async || watcher.texts(there).await.is_empty().then_some(())).await;
    watcher.close().await;

    let mut kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [1, 2]);
    assert!(host.ask(&kdc.http(), &["web.a@test.internal"]).await.is_ok());
    assert_eq!(admin.get("/v1/admin/status").await.status, 200);
    admin.assert_intact().await;
    assert_eq!(kdc.terminate(), Some(0));
    recover(&cell, "secondary.age", &[]).succeeded();
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
    cell.admin(&kdc).assert_intact().await;
}

/// As soon as it writes, again and again: whichever moment it is, what comes next goes on from there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_as_it_writes_it_goes_on_from_where_it_was() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for n in 0..20 {
        admin.add(&format!("web.{n}@test.internal")).await;
    }
    assert_eq!(kdc.terminate(), Some(0));
    export(&cell, "secondary.age");
    let wal = cell.file("keycell.db-wal");
    for _ in 0..3 {
        let mut recovering = command(&cell).spawn().unwrap();
        loop {
            let writes = fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0);
            if writes || recovering.try_wait().unwrap().is_some() {
                break;
            }
            tokio::task::yield_now().await;
        }
        let _ = recovering.kill();
        recovering.wait().unwrap();
        let mut kdc = cell.serve();
        let is = numbers(&bundle(&kdc).await);
        assert!(is == [1, 2] || is == [2, 3], "{is:?}");
        cell.admin(&kdc).assert_intact().await;
        kdc.kill9();
    }
    recover(&cell, "secondary.age", &[]).succeeded();
    let kdc = cell.serve();
    assert_eq!(numbers(&bundle(&kdc).await), [2, 3]);
    assert!(!kdc.log().contains("ERROR"), "{}", kdc.log());
    let token = fs::read_to_string(cell.file("admin.token")).unwrap();
    let admin = kdc.http().with_token(token.trim());
    admin.assert_intact().await;
    assert_eq!(
        admin.records().await.iter().filter(|record| record["action"] == "identity.recover").count(),
        1
    );
}

/// What comes after the database cannot be done: it is said, and done with the next try.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_left_is_done_with_the_next_try() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    assert_eq!(kdc.terminate(), Some(0));
    export(&cell, "secondary.age");
    fs::remove_file(cell.file("admin.token")).unwrap();
    fs::create_dir(cell.file("admin.token")).unwrap();
    let failed = recover(&cell, "secondary.age", &[]).failed();
    assert!(failed.contains("#KDC#00002 is the primary, but this is left to do: cannot write"), "{failed}");
    fs::remove_dir(cell.file("admin.token")).unwrap();
    let told = recover(&cell, "secondary.age", &[]).succeeded().stdout;
    assert!(told.contains("has recovered on #KDC#00002 before"), "{told}");
    let kdc = cell.serve();
    assert_eq!(admin.get("/v1/admin/status").await.status, 401);
    let token = fs::read_to_string(cell.file("admin.token")).unwrap();
    assert_eq!(kdc.http().with_token(token.trim()).get("/v1/admin/status").await.status, 200);
}
