//! A restore that is killed: the old database is there, or the new one, and the next attempt succeeds.

use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::process::Stdio;

use keycell_tests::backup::{Recovery, parties, text};
use keycell_tests::cell::Cell;
use keycell_tests::wait::until_blocking;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn in_the_middle_of_the_backup() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for n in 0..200 {
        admin.add(&format!("a{n}@test.internal")).await;
    }
    let file = recovery.back_up(&cell, "one.age");
    admin.add("later@test.internal").await;
    assert_eq!(kdc.terminate(), Some(0));
    let whole = fs::read(&file).unwrap();

    // A pipe gives the half of it, and then nothing: the restore is in the middle of its transaction when it is killed.
    let pipe = cell.folder().join("pipe");
    rustix::fs::mknodat(
        rustix::fs::CWD,
        &pipe,
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR,
        0,
    )
    .unwrap();
    let arguments = ["restore", text(&pipe), "--identity", text(&recovery.identity), "--folder", "keycell"];
    let mut restore =
        cell.command().args(arguments).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
    let mut into = OpenOptions::new().write(true).open(&pipe).unwrap();
    // More than a pipe holds: that it is written means that most of it was read.
    into.write_all(&whole[..whole.len() - 20_000]).unwrap();
    until_blocking("the new database is being filled", || {
        cell.file("keycell.db.restoring").exists().then_some(())
    });
    restore.kill().unwrap();
    restore.wait().unwrap();
    drop(into);
    assert!(cell.file("keycell.db.restoring").exists(), "it was killed in the middle");

    assert_eq!(parties(&cell).await.len(), 201, "the old database is there");
    let mut kdc = cell.serve();
    assert_eq!(kdc.terminate(), Some(0));
    recovery.restore(&cell, &file, &[]).succeeded();
    assert_eq!(parties(&cell).await.len(), 200);
    assert!(!cell.file("keycell.db.restoring").exists());
    drop(cell.serve());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn between_the_database_and_the_file_of_revocations() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for name in ["a", "b"] {
        admin.add(&format!("{name}@test.internal")).await;
    }
    let file = recovery.back_up(&cell, "one.age");
    assert_eq!(admin.set_enabled("b@test.internal", false).await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    let old = fs::read(cell.file("revocations")).unwrap();
    recovery.restore(&cell, &file, &[]).succeeded();
    // As if it had been killed before the file was written.
    fs::write(cell.file("revocations"), old).unwrap();
    let mut kdc = cell.serve();
    assert_eq!(parties(&cell).await, [("a".to_owned(), true), ("b".to_owned(), false)]);
    assert_eq!(kdc.terminate(), Some(0));
    drop(cell.serve());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_kdc_left_in_its_log_is_kept_with_the_old_database() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let file = recovery.back_up(&cell, "one.age");
    admin.add("late@test.internal").await;
    kdc.kill9();
    let wal = cell.file("keycell.db-wal");
    assert!(fs::metadata(&wal).unwrap().len() > 0, "the KDC left its log");
    recovery.restore(&cell, &file, &[]).succeeded();
    assert_eq!(parties(&cell).await, []);
    // The old database is whole: what was acknowledged last is in it.
    let old =
        fs::read_dir(cell.file("")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let old: Vec<_> = old.filter(|name| name.contains(".before-restore-")).collect();
    assert_eq!(old.len(), 1, "{old:?}");
    cell.configure(&format!("database = \"sqlite:{}\"", old[0]));
    assert_eq!(parties(&cell).await, [("late".to_owned(), true)]);
}
