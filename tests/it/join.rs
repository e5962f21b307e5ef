//! A host comes aboard by `keycell join`, over TLS, with a folder on a real disk.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use keycell_client::https::{Agent, Config, EnrollError, EnrollOptions, enroll};
use keycell_client::{HostStore, StoredHost};
use keycell_kdc::enrollment::EnrollmentMode;
use keycell_protocol::{Bundle, JoinToken, Name};
use keycell_tests::cell::{Cell, Ended, binary, ended};
use serde_json::Value;

/// What a host's installer runs, in the cell's folder.
fn join(cell: &Cell, store: &str, more: &[&str]) -> Ended {
    let mut command = cell.command();
    command.args(["join", "--bundle", "cell.bundle", "--service", "nanoprobe", "--store", store]);
    ended(command.args(["--host", "Web1.Example.Com."]).args(more).stdin(Stdio::null()))
}

fn write_token(cell: &Cell, token: &JoinToken) {
    let file = cell.folder().join("join.token");
    fs::write(&file, token.to_text().as_bytes()).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o600)).unwrap();
}

fn host(cell: &Cell, store: &str) -> StoredHost {
    let zone = Cell::ZONE.parse().unwrap();
    let store = HostStore::open(cell.folder().join(store)).unwrap();
    store.host(&zone, &"nanoprobe".parse().unwrap(), &"web1.example.com".parse().unwrap()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_joins_by_its_token_and_speaks() {
    let cell = Cell::sqlite();
    let token = cell.join_token(1).await;
    write_token(&cell, &token);
    let mut kdc = cell.serve();
    cell.run(&["bundle", "--out", "cell.bundle"]).succeeded();
    cell.run(&["party", "add", "b"]).succeeded();

    // Without the token it is nobody's, and has its pair already.
    let refused = join(&cell, "host", &[]);
    assert_eq!(refused.code, Some(1), "{}", refused.stderr);
    assert!(refused.stderr.contains("does not let nanoprobe.web1.example.com::"), "{}", refused.stderr);

    let joined = join(&cell, "host", &["--token-file", "join.token", "--json"]).succeeded();
    let told: Value = serde_json::from_str(&joined.stdout).unwrap();
    let name: Name = told["name"].as_str().unwrap().parse().unwrap();
    let fingerprint = told["fingerprint"].as_str().unwrap();
    assert_eq!(name.to_string(), format!("nanoprobe.web1.example.com::{fingerprint}@{}", Cell::ZONE));
    assert_eq!((&name, told["state"].as_str()), (&host(&cell, "host").full_name(), Some("enrolled")));
    assert!(refused.stderr.contains(fingerprint), "the pair is made once");

    // Again: nobody is asked, with the token gone, and while another process has the key.
    let held = host(&cell, "host");
    fs::remove_file(cell.folder().join("join.token")).unwrap();
    let again = join(&cell, "host", &["--token-file", "join.token"]).succeeded();
    assert!(again.stdout.contains(fingerprint), "{}", again.stdout);
    drop(held);
    // Another host finds none, and then that it is used up.
    let none = join(&cell, "other", &["--token-file", "join.token"]).failed();
    assert!(none.contains("cannot use the join token in join.token"), "{none}");
    write_token(&cell, &token);
    let other = join(&cell, "other", &["--token-file", "join.token"]);
    assert_eq!(other.code, Some(1), "{}", other.stderr);

    // The key file is one like any other, and the agent keeps it up.
    let key = told["key_file"].as_str().unwrap();
    let sealed = cell.run(&["seal", "--key", key, "--to", "b"]).succeeded();
    assert!(!sealed.stdout.is_empty());
    let agent = Agent::connect_host(host(&cell, "host"), Config::default()).unwrap();
    let b: Name = format!("b@{}", Cell::ZONE).parse().unwrap();
    agent.seal(&b, "t", b"body").await.unwrap();
    // Its own key is its author key, for which the KDC vouches.
    agent.with_author_proof().seal(&b, "t", b"body").await.unwrap();
    assert!(agent.rotate());
    drop(agent);

    let said = [&refused, &joined, &again, &other].map(|ended| format!("{}{}", ended.stdout, ended.stderr));
    kdc.terminate();
    let secret = &token.to_text()[21..];
    assert!(!said.concat().contains(secret) && !kdc.log().contains(secret));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_for_an_administrator_ends_with_3() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Approve).await;
    let _kdc = cell.serve();
    cell.run(&["bundle", "--out", "cell.bundle"]).succeeded();
    for more in [&[][..], &["--wait=1"], &["--json"]] {
        let waits = join(&cell, "host", more);
        assert_eq!(waits.code, Some(3), "{}", waits.stderr);
        assert!(waits.stderr.contains("keycell enroll approve "), "{}", waits.stderr);
        assert!(waits.stdout.contains("pending"), "{}", waits.stdout);
    }
    assert!(!host(&cell, "host").is_enrolled().unwrap());
}

/// What the KDC sent is newer than what lies in a package, as long as both are of one identity.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_bundle_of_an_enrolled_host_stays() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let _kdc = cell.serve();
    cell.run(&["bundle", "--out", "cell.bundle"]).succeeded();
    let first = join(&cell, "host", &[]).succeeded();
    // To be seen where it is refused for what it calls itself.
    assert!(first.stderr.contains("this host is nanoprobe.web1.example.com::"), "{}", first.stderr);
    assert!(!first.stderr.contains("stays"), "{}", first.stderr);

    let packaged = cell.folder().join("cell.bundle");
    let mut bundle = Bundle::from_json(&fs::read(&packaged).unwrap()).unwrap();
    let sent = bundle.clone();
    bundle.urls = vec!["https://old.example".into()];
    fs::write(&packaged, bundle.to_json()).unwrap();
    let again = join(&cell, "host", &[]).succeeded();
    assert!(again.stderr.contains("test.internal.bundle stays"), "{}", again.stderr);
    assert_eq!(host(&cell, "host").bundle().unwrap(), sent);
    // Whoever knows better says so.
    fs::remove_file(cell.folder().join("host/test.internal.bundle")).unwrap();
    let again = join(&cell, "host", &[]).succeeded();
    assert!(!again.stderr.contains("stays"), "{}", again.stderr);
    assert_eq!(host(&cell, "host").bundle().unwrap(), bundle);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_file_that_is_gone_comes_again_under_the_same_name() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let kdc = cell.serve();
    cell.run(&["bundle", "--out", "cell.bundle"]).succeeded();
    cell.run(&["party", "add", "b"]).succeeded();
    let store = HostStore::open(cell.folder().join("host")).unwrap();
    store.install(kdc.http().bundle().await).unwrap();
    let b: Name = format!("b@{}", Cell::ZONE).parse().unwrap();
    let mut names = Vec::new();
    for generation in 1..4 {
        let host = Arc::new(host(&cell, "host"));
        names.push(enroll(&host, &EnrollOptions::default()).await.unwrap());
        let agent = Agent::connect_host(Arc::into_inner(host).unwrap(), Config::default()).unwrap();
        agent.seal(&b, "t", b"body").await.unwrap();
        assert_eq!(agent.generation().0, generation);
        drop(agent);
        fs::remove_file(self::host(&cell, "host").key_path()).unwrap();
    }
    names.dedup();
    assert_eq!(names.len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_that_is_not_the_one_of_the_bundle_enrolls_nobody() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let kdc = cell.serve();
    let mut bundle: Bundle = kdc.http().bundle().await;
    let secondary = bundle.identities[1].clone();
    bundle.identities[0].encryption_key = secondary.encryption_key;
    let store = HostStore::open(cell.folder().join("host")).unwrap();
    store.install(bundle).unwrap();
    let error = enroll(&host(&cell, "host"), &EnrollOptions::default()).await.unwrap_err();
    assert!(matches!(error, EnrollError::Identity { .. }), "{error}");
    assert!(!host(&cell, "host").is_enrolled().unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_nanoprobe_comes_aboard_and_answers() {
    let cell = Cell::sqlite();
    cell.lets_in(EnrollmentMode::Tofu).await;
    let _kdc = cell.serve();
    cell.run(&["bundle", "--out", "cell.bundle"]).succeeded();
    cell.run(&["party", "add", "cma.main"]).succeeded();
    let cma = format!("cma.main@{}", Cell::ZONE);
    let start = |more: &[&str]| {
        let mut command = example(&cell, "nanoprobe");
        command.args(["--bundle", "cell.bundle", "--store", "probe", "--as-host", "web1.example.com"]);
        command.args(["--cma", &cma, "--first-use", "--listen", "127.0.0.1:0"]).args(more);
        let mut nanoprobe = Killed(command.stderr(Stdio::piped()).spawn().unwrap());
        let mut line = String::new();
        let mut log = BufReader::new(nanoprobe.0.stderr.take().unwrap());
        log.read_line(&mut line).unwrap();
        // Held to the end: what it tells there must have somewhere to go.
        (nanoprobe, log, line)
    };
    let (nanoprobe, log, line) = start(&[]);
    let (name, rest) = line.split_once(" listens on ").unwrap();
    assert!(name.starts_with("nanoprobe.web1.example.com::"), "{line}");
    let address = rest.split(' ').next().unwrap();

    let mut command = example(&cell, "cma");
    command.args(["--key", "cma.main.key", "--first-use", "--once", "--listen", "127.0.0.1:0"]);
    let told = ended(command.arg("--host").arg(format!("{name}={address}"))).succeeded();
    assert!(told.stdout.contains(name), "{}", told.stdout);
    drop((nanoprobe, log));
    // Started again after the token was removed from the host.
    let (_nanoprobe, _log, line) = start(&["--token-file", "gone"]);
    assert!(line.starts_with(&format!("{name} listens on ")), "{line}");
}

struct Killed(Child);

impl Drop for Killed {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An example program, built beside the binary.
fn example(cell: &Cell, program: &str) -> Command {
    let path = binary().with_file_name("examples").join(program);
    assert!(
        path.is_file(),
        "there is no {}: build it with `cargo build --workspace --all-targets`",
        path.display()
    );
    let mut command = Command::new(path);
    command.current_dir(cell.folder()).stdin(Stdio::null());
    command
}
