//! What a key file looks like whatever happens while it is saved.

use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::symlink;
use std::process::{Command, Stdio};

use keycell_protocol::{AuthorKey, Epoch, Generation, LongTermKey, RatchetPeriod, UnixSeconds};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tempfile::TempDir;

use super::*;
use crate::{KdcAddress, RetiringKey};

fn key(generation: u32, epoch: u32) -> AgentKey {
    let long = LongTermKey::new(Generation(generation), Epoch(100), [generation as u8; 32]);
    let kdc = KdcAddress { urls: vec!["https://kdc.example:7423".into()], tls_roots: "PEM".into() };
    AgentKey::new("a@z".parse().unwrap(), long.advance(Epoch(epoch)).unwrap(), RatchetPeriod::DEFAULT, kdc)
}

fn new() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.key");
    key(1, 100).write_new(&path).unwrap();
    (folder, path)
}

fn epoch(path: &Path) -> u32 {
    AgentKey::load(path).unwrap().key.epoch().0
}

fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[test]
fn one_process_at_a_time_keeps_a_file_up() {
    let (_folder, path) = new();
    let (mut store, read) = KeyStore::open(&path).unwrap();
    assert_eq!(read.key.epoch(), Epoch(100));
    // A save puts another file in its place, and the lock goes with it.
    for day in 101..104 {
        let error = KeyStore::open(&path).unwrap_err();
        assert!(matches!(error, KeyFileError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("stop that one"));
        assert!(AgentKey::load(&path).is_ok(), "whoever only reads may");
        store.save(&key(1, day)).unwrap();
        assert_eq!(epoch(&path), day);
    }
    drop(store);
    assert_eq!(KeyStore::open(&path).unwrap().1.key.epoch(), Epoch(103));
}

#[test]
fn another_program_is_kept_out_too() {
    let (_folder, path) = new();
    let other = |path: &Path| Command::new("flock").arg("-n").arg(path).arg("true").status().unwrap();
    let (mut store, _) = KeyStore::open(&path).unwrap();
    assert!(!other(&path).success());
    store.save(&key(1, 101)).unwrap();
    assert!(!other(&path).success());
    drop(store);
    assert!(other(&path).success());
}

#[test]
fn a_child_that_inherits_the_file_keeps_nobody_out_for_longer() {
    let (_folder, path) = new();
    let (store, _) = KeyStore::open(&path).unwrap();
    let inherited = store.held.try_clone().unwrap();
    drop(store);
    KeyStore::open(&path).unwrap();
    drop(inherited);
}

#[test]
fn owner_rights_and_links_stay() {
    let (folder, path) = new();
    fs::create_dir(folder.path().join("run")).unwrap();
    let link = folder.path().join("run/link.key");
    symlink("../a.key", &link).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o400)).unwrap();
    let (mut store, _) = KeyStore::open(&link).unwrap();
    store.save(&key(1, 101)).unwrap();
    assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
    let there = fs::symlink_metadata(&path).unwrap();
    assert!(there.is_file());
    assert_eq!(there.mode() & 0o7777, 0o400);
    assert_eq!(epoch(&path), 101);
    assert_eq!(names(&folder.path().join("run")), ["link.key"]);
    // By either name it is one file.
    assert!(matches!(KeyStore::open(&path), Err(KeyFileError::InUse { .. })));
}

#[test]
fn what_a_killed_process_left_is_removed() {
    let (folder, path) = new();
    fs::write(folder.path().join(".a.key.keycell-new"), "half a key").unwrap();
    let (mut store, _) = KeyStore::open(&path).unwrap();
    assert_eq!(names(folder.path()), ["a.key"]);
    fs::write(folder.path().join(".a.key.keycell-new"), "half a key").unwrap();
    store.save(&key(1, 101)).unwrap();
    assert_eq!(names(folder.path()), ["a.key"]);
    assert_eq!(epoch(&path), 101);
}

#[test]
fn killed_while_it_saves_it_leaves_what_it_said_or_what_came_after() {
    let (folder, path) = new();
    let exe = std::env::current_exe().unwrap();
    let mut reached = 100;
    for saves in 1..=20 {
        let mut child = Command::new(&exe)
            .args(["--exact", "keystore::tests::saves_without_end", "--ignored", "--nocapture"])
            .env("KEYCELL_TEST_KEY", &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        // Somewhere in the save after that many.
        let lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let said = lines.filter_map(|line| line.strip_prefix("saved ")?.parse().ok()).take(saves).last();
        child.kill().unwrap();
        child.wait().unwrap();
        let (_store, key) = KeyStore::open(&path).unwrap();
        let said: u32 = said.unwrap();
        assert!(said > reached && key.key.epoch().0 >= said, "{said}: {:?}", key.key);
        reached = key.key.epoch().0;
        assert_eq!(names(folder.path()), ["a.key"]);
    }
}

#[test]
#[ignore = "run and killed by killed_while_it_saves_it_leaves_what_it_said_or_what_came_after"]
fn saves_without_end() {
    let (mut store, read) = KeyStore::open(std::env::var_os("KEYCELL_TEST_KEY").unwrap()).unwrap();
    let mut out = io::stdout().lock();
    for day in read.key.epoch().0 + 1.. {
        store.save(&key(1, day)).unwrap();
        // A line of its own, whatever the runner of the tests has written before.
        writeln!(out, "\nsaved {day}").unwrap();
    }
}

#[test]
fn a_full_disk_leaves_the_file_whole() {
    let exe = std::env::current_exe().unwrap();
    let run = |hardship: &str, program: &[&str], before: &dyn Fn(&Path) -> String| {
        let folder = tempfile::tempdir().unwrap();
        let script = format!(
            "{} && KEYCELL_TEST_DISK='{}' KEYCELL_TEST_HARDSHIP={hardship} \
             exec '{}' --exact keystore::tests::on_that_disk --ignored --nocapture",
            before(folder.path()),
            folder.path().display(),
            exe.display(),
        );
        let output = Command::new(program[0]).args(&program[1..]).args(["-c", &script]).output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && text.contains("1 passed"), "{hardship}: {output:?}");
    };
    run("limit", &["sh"], &|_| "trap '' XFSZ && ulimit -S -f 8".into());
    // A file system of its own takes rights that not every machine gives to a test.
    if Command::new("unshare").args(["-rm", "true"]).output().is_ok_and(|output| output.status.success()) {
        for hardship in ["full", "read-only"] {
            run(hardship, &["unshare", "-rm", "sh"], &|folder| {
                format!("mount -t tmpfs -o size=64k none '{}'", folder.display())
            });
        }
    } else {
        eprintln!("not tried on a full and a read-only file system: unshare -rm is not allowed here");
    }
}

#[test]
#[ignore = "run by a_full_disk_leaves_the_file_whole, on a disk of its own"]
fn on_that_disk() {
    let folder = PathBuf::from(std::env::var_os("KEYCELL_TEST_DISK").unwrap());
    let hardship = std::env::var("KEYCELL_TEST_HARDSHIP").unwrap();
    let remount = |how: &str| {
        let status = Command::new("mount").args(["-o", how]).arg(&folder).status().unwrap();
        assert!(status.success(), "{how}");
    };
    let path = folder.join("a.key");
    key(1, 100).write_new(&path).unwrap();
    if hardship == "read-only" {
        remount("remount,ro");
    }
    let (mut store, _) = KeyStore::open(&path).unwrap();
    if hardship == "full" {
        let mut rest = File::create(folder.join("rest")).unwrap();
        while rest.write_all(&[0; 4096]).is_ok() {}
    }
    let mut long = key(1, 101);
    // More than what is left of the last block of any file, and than the limit.
    long.kdc.tls_roots = "x".repeat(20_000);
    let error = store.save(&long).unwrap_err();
    assert!(matches!(error, KeyFileError::Write { .. }), "{error}");
    let why = match &*hardship {
        "full" => "No space left",
        "read-only" => "Read-only",
        _ => "File too large",
    };
    assert!(error.to_string().contains(why), "{error}");
    assert_eq!(epoch(&path), 100);
    assert!(!names(&folder).contains(&".a.key.keycell-new".to_owned()), "half a file with a key in it");
    assert!(matches!(KeyStore::open(&path), Err(KeyFileError::InUse { .. })), "the lock is still held");

    // There is room again: the next try succeeds.
    match &*hardship {
        "full" => fs::remove_file(folder.join("rest")).unwrap(),
        "read-only" => remount("remount,rw"),
        _ => {
            let unlimited = Rlimit { current: None, maximum: getrlimit(Resource::Fsize).maximum };
            setrlimit(Resource::Fsize, unlimited).unwrap();
        }
    }
    store.save(&long).unwrap();
    assert_eq!(epoch(&path), 101);
}

#[test]
fn what_an_administrator_changed_meanwhile_is_kept() {
    let (folder, path) = new();
    let (mut store, _) = KeyStore::open(&path).unwrap();
    store.save(&key(1, 104)).unwrap();

    // Another address, in a copy of the file as it was some days ago.
    let text = String::from_utf8(key(1, 102).to_json().to_vec()).unwrap();
    let edited = text.replace("kdc.example", "kdc9.example");
    for replaced in [true, false] {
        if replaced {
            fs::remove_file(&path).unwrap();
            AgentKey::from_json(edited.as_bytes()).unwrap().write_new(&path).unwrap();
        } else {
            fs::write(&path, &edited).unwrap();
        }
        store.save(&key(1, 105)).unwrap();
        let there = AgentKey::load(&path).unwrap();
        assert_eq!(
            (there.key.epoch(), there.kdc.urls[0].as_str()),
            (Epoch(105), "https://kdc9.example:7423")
        );
        assert!(matches!(KeyStore::open(&path), Err(KeyFileError::InUse { .. })));
    }

    // Written before a rotation that went through.
    fs::write(&path, &edited).unwrap();
    let mut rotated = key(2, 105);
    rotated.retiring = vec![RetiringKey { key: key(1, 105).key, until: UnixSeconds(1), erased: false }];
    store.save(&rotated).unwrap();
    assert_eq!(AgentKey::load(&path).unwrap().key.generation(), Generation(2));

    // A new key for this party, another party, another key of the same generation, no key at all.
    let new_key = key(3, 105).to_json();
    let other_name = String::from_utf8(rotated.to_json().to_vec()).unwrap().replace("a@z", "b@z");
    let mut other = key(2, 105);
    other.key = LongTermKey::new(Generation(2), Epoch(105), [77; 32]);
    let other = other.to_json();
    let ahead = key(2, 106).to_json();
    // Another author key: that one may be registered, and would be lost.
    let mut author = key(2, 105);
    author.author = Some(AuthorKey::new(&[7; 32]));
    let author = author.to_json();
    rotated.author = Some(AuthorKey::new(&[8; 32]));
    for text in [&new_key[..], other_name.as_bytes(), &other, &ahead, &author] {
        fs::write(&path, text).unwrap();
        let error = store.save(&rotated).unwrap_err();
        assert!(matches!(error, KeyFileError::Changed { .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), text);
    }
    // One without any does no harm.
    fs::write(&path, key(2, 105).to_json()).unwrap();
    store.save(&rotated).unwrap();
    assert_eq!(AgentKey::load(&path).unwrap().author.unwrap().expose_secret(), &[8; 32]);
    fs::write(&path, "nothing").unwrap();
    assert!(matches!(store.save(&rotated), Err(KeyFileError::Form { .. })));
    fs::remove_file(&path).unwrap();
    assert!(store.save(&rotated).is_err(), "who removed it meant it");
    assert_eq!(names(folder.path()), [""; 0]);
}

#[test]
fn a_file_that_another_process_took_over_is_left_to_it() {
    let (_folder, path) = new();
    let (mut store, _) = KeyStore::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    key(1, 100).write_new(&path).unwrap();
    let (mut other, _) = KeyStore::open(&path).unwrap();
    assert!(matches!(store.save(&key(1, 101)), Err(KeyFileError::InUse { .. })));
    other.save(&key(1, 102)).unwrap();
    assert_eq!(epoch(&path), 102);
}
