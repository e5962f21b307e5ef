//! Making a cell, and what is said when something about it is wrong.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

use keycell_tests::cell::{Cell, ended};
use keycell_tests::postgres::Postgres;

/// Every file and folder below, with its permissions and content.
fn everything(folder: &Path) -> BTreeMap<String, (u32, Vec<u8>)> {
    let mut seen = BTreeMap::new();
    let mut rest = vec![folder.to_owned()];
    while let Some(path) = rest.pop() {
        let mode = fs::metadata(&path).unwrap().permissions().mode() & 0o7777;
        let content = if path.is_dir() {
            rest.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
            Vec::new()
        } else {
            fs::read(&path).unwrap()
        };
        seen.insert(path.strip_prefix(folder).unwrap().display().to_string(), (mode, content));
    }
    seen
}

/// How many files and folders there are below, while somebody else may be moving them.
fn count(folder: &Path) -> u64 {
    let inside = fs::read_dir(folder).into_iter().flatten().flatten();
    inside.map(|entry| 1 + count(&entry.path())).sum()
}

#[test]
fn a_new_cell_is_private() {
    let cell = Cell::sqlite();
    let modes: BTreeMap<_, _> =
        everything(&cell.file("")).into_iter().map(|(path, (mode, _))| (path, mode)).collect();
    let expected = [
        ("", 0o700),
        ("admin.token", 0o600),
        ("keycell.db", 0o600),
        ("keycell.toml", 0o600),
        ("master.key", 0o600),
        ("revocations", 0o600),
        ("tls", 0o700),
        ("tls/roots.key", 0o600),
        ("tls/roots.pem", 0o644),
        ("tls/server.key", 0o600),
        ("tls/server.pem", 0o644),
    ];
    assert_eq!(modes, expected.map(|(path, mode)| (path.to_owned(), mode)).into());
    cell.run(&["token", "create"]).succeeded();
    assert_eq!(everything(&cell.file(""))["admin.token"].0, 0o600, "also when it is replaced");
    let good = cell.run(&["check-config"]).succeeded();
    assert!(good.stdout.contains("test.internal"), "{}", good.stdout);
}

#[test]
fn what_is_there_is_never_overwritten() {
    let cell = Cell::sqlite();
    let before = everything(cell.folder());
    let error = cell.run(&["init"]).failed();
    assert!(error.contains("is not empty") && error.contains("nothing was changed"), "{error}");
    assert!(before == everything(cell.folder()));

    // Nor a database that has a zone already.
    let cluster = Arc::new(Postgres::start());
    let url = cluster.url();
    let init = |folder: &str| {
        let mut init = cell.command();
        ended(init.args(["init", "--postgres", "--folder", folder]).env("KEYCELL_DATABASE", &url))
    };
    init("one").succeeded();
    let before = everything(cell.folder());
    let error = init("two").failed();
    assert!(error.contains("exists already"), "{error}");
    assert!(before == everything(cell.folder()), "nothing is left of the second");

    // An empty folder is as good as none; a token is made without a KDC.
    fs::create_dir(cell.folder().join("empty")).unwrap();
    cell.run(&["init", "--folder", "empty"]).succeeded();
    cell.run(&["--config", "empty/keycell.toml", "token", "create"]).succeeded();
}

#[test]
fn an_init_that_was_killed_can_be_done_again() {
    for attempt in 0..6_u64 {
        let folder = tempfile::tempdir().unwrap();
        let cell = Cell::sqlite();
        let mut init = cell.command();
        init.current_dir(folder.path()).arg("init").stdout(Stdio::null());
        let mut child = init.spawn().unwrap();
        // At any moment of its work, from the first file to the last.
        let seen = || count(folder.path());
        keycell_tests::wait::until_blocking("it has begun", || {
            (seen() > attempt || child.try_wait().unwrap().is_some()).then_some(())
        });
        child.kill().unwrap();
        child.wait().unwrap();
        let config = folder.path().join("keycell/keycell.toml");
        if !config.exists() {
            ended(cell.command().current_dir(folder.path()).arg("init")).succeeded();
        }
        // Either way there is a whole cell now.
        ended(cell.command().current_dir(folder.path()).arg("check-config")).succeeded();
    }
}

#[test]
fn a_master_key_is_never_made_anew() {
    let cell = Cell::sqlite();
    let key = cell.file("master.key");
    let good = fs::read(&key).unwrap();
    let refused = |says: &str| {
        for command in [&["serve"][..], &["check-config"], &["token", "create"]] {
            let error = cell.run(command).failed();
            assert!(error.contains(says), "{command:?}: {error}");
        }
    };

    fs::remove_file(&key).unwrap();
    refused("there is no master key");
    assert!(!key.exists(), "it was made anew");
    fs::write(&key, &good).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o640)).unwrap();
    refused("chmod 600");
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    fs::write(&key, "secret").unwrap();
    refused("holds no master key");
    fs::write(&key, fs::read(Cell::sqlite().file("master.key")).unwrap()).unwrap();
    refused("not the master key of this database");
    fs::write(&key, &good).unwrap();
    cell.run(&["check-config"]).succeeded();
}

#[test]
fn what_is_wrong_with_a_configuration_is_named() {
    let cell = Cell::sqlite();
    let good = fs::read_to_string(cell.file("keycell.toml")).unwrap();
    for (settings, says) in [
        ("colour = 1", "colour"),
        ("limits = { per_adress = 1 }", "per_adress"),
        ("limits = { body_bytes = 1 }", "limits.body_bytes"),
        ("listen = 'here'", "socket address"),
        ("urls = []", "urls"),
        ("urls = ['http://localhost']", "https://"),
        ("database = 'mysql://localhost/x'", "database URL"),
        ("database = 'sqlite:nowhere.db'", "there is no database"),
        ("tls = { certificate = 'tls/none.pem' }", "tls/none.pem"),
        ("tls = { certificate = 'master.key' }", "master.key"),
        ("tls = { key = 'tls/roots.key' }", "do not go together"),
        ("log = { level = 'x=y=z' }", "log level"),
        ("tickets = { lifetime_seconds = 1 }", "lifetime_seconds"),
    ] {
        cell.configure(settings);
        for command in ["check-config", "serve"] {
            let error = cell.run(&[command]).failed();
            assert!(error.contains(says), "{command} with {settings}: {error}");
        }
        assert!(!cell.file("nowhere.db").exists());
        fs::write(cell.file("keycell.toml"), &good).unwrap();
    }
    // A KDC does not read the roots, but puts them into every key file.
    cell.configure("tls = { roots = 'tls/server.key' }");
    let error = cell.run(&["check-config"]).failed();
    assert!(error.contains("tls/server.key"), "{error}");
    fs::write(cell.file("keycell.toml"), &good).unwrap();
    let nowhere = cell.run(&["--config", "none.toml", "check-config"]).failed();
    assert!(nowhere.contains("keycell init"), "{nowhere}");
    cell.run(&["check-config"]).succeeded();
}

#[test]
fn an_address_that_is_taken_is_named() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    let _kdc = cell.serve();
    other.configure(&format!("listen = '{}'", cell.listen()));
    let error = other.run(&["serve"]).failed();
    assert!(error.contains(&format!("cannot listen on {}", cell.listen())), "{error}");
}

#[test]
fn a_second_kdc_on_one_sqlite_database_is_refused() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let error = cell.run(&["serve"]).failed();
    assert!(error.contains("another KDC serves this database") && error.contains("PostgreSQL"), "{error}");
    // The lock goes with the process, however that ends.
    kdc.kill9();
    let _kdc = cell.serve();
}
