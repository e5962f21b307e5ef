//! The machine with the cell is lost.

use std::fs;

use keycell_tests::backup::{Recovery, parties, text};
use keycell_tests::cell::Cell;

#[test]
fn a_folder_is_made_anew_with_the_key_from_elsewhere() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    cell.configure("[log]\nlevel = \"debug\"");
    let file = recovery.back_up(&cell, "one.age");
    let key = cell.folder().join("key-from-the-safe");
    fs::rename(cell.file("master.key"), &key).unwrap();
    let tls = cell.folder().join("tls-from-the-safe");
    fs::rename(cell.file("tls"), &tls).unwrap();
    fs::remove_dir_all(cell.file("")).unwrap();

    let refused = recovery.restore(&cell, &file, &[]).failed();
    assert!(refused.contains("--master-key"), "{refused}");
    assert_eq!(folders(&cell), ["tls-from-the-safe"], "nothing is left of what was refused");
    let made = recovery.restore(&cell, &file, &["--master-key", text(&key), "--tls", text(&tls)]).succeeded();
    assert!(made.stdout.contains("This folder remembers no revocations"), "{}", made.stdout);
    assert!(!made.stdout.contains("new certificate"), "{}", made.stdout);
    assert!(fs::read_to_string(cell.file("keycell.toml")).unwrap().contains("level = \"debug\""));
    let mut kdc = cell.serve();
    let _ = cell.token("admin");
    assert_eq!(kdc.terminate(), Some(0));
    // It remembers from now on.
    cell.run(&["check-config"]).succeeded();
    assert!(!kdc.log().contains("was not noticed"), "{}", kdc.log());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_lost_machine_remembered_counts_on_the_new_one() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    let file = recovery.back_up(&cell, "one.age");
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    let lost = cell.folder().join("lost");
    fs::rename(cell.file(""), &lost).unwrap();
    let (key, known) = (lost.join("master.key"), lost.join("revocations"));
    let more = ["--master-key", text(&key), "--revocations", text(&known)];
    let made = recovery.restore(&cell, &file, &more).succeeded();
    assert!(made.stdout.contains("a@test.internal was disabled"), "{}", made.stdout);
    assert_eq!(parties(&cell).await, [("a".to_owned(), false)]);
    drop(cell.serve());
}

#[test]
fn a_backup_with_the_master_key_needs_nothing_else() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let file = cell.folder().join("all.age");
    let made = cell.run(&["backup", "all.age", "--recipient", &recovery.recipient, "--with-master-key"]);
    assert!(made.succeeded().stdout.contains("whoever opens it has the whole cell"));
    let verified = cell.run(&["backup", "verify", "all.age", "--identity", text(&recovery.identity)]);
    assert!(verified.succeeded().stdout.contains("All that the master key wraps was tried"));
    let (key, roots) = (fs::read(cell.file("master.key")).unwrap(), cell.roots());
    fs::remove_dir_all(cell.file("")).unwrap();
    recovery.restore(&cell, &file, &[]).succeeded();
    assert_eq!(fs::read(cell.file("master.key")).unwrap(), key);
    assert_eq!(cell.roots(), roots);
    drop(cell.serve());
}

#[test]
fn without_either_the_hosts_need_new_roots_and_are_told() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let file = recovery.back_up(&cell, "one.age");
    let key = cell.folder().join("key-from-the-safe");
    fs::rename(cell.file("master.key"), &key).unwrap();
    fs::remove_dir_all(cell.file("")).unwrap();
    let made = recovery.restore(&cell, &file, &["--master-key", text(&key)]).succeeded();
    assert!(made.stdout.contains("hosts trust the old one"), "{}", made.stdout);
    drop(cell.serve());
}

fn folders(cell: &Cell) -> Vec<String> {
    let all = fs::read_dir(cell.folder()).unwrap().map(Result::unwrap);
    let folders = all.filter(|entry| entry.file_type().unwrap().is_dir());
    folders.map(|entry| entry.file_name().into_string().unwrap()).collect()
}
