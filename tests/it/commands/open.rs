//! Messages to groups, sealed and opened by hand.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_client::https::{Agent, Config};
use keycell_tests::cell::Cell;
use serde_json::Value;

use super::opened;

/// What `keycell seal` makes of a body.
fn sealed(cell: &Cell, key: &str, to: &str, body: &str) -> String {
    let mut seal = cell.command();
    seal.args(["seal", "--key", key, "--to", to]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = seal.spawn().unwrap();
    running.stdin.take().unwrap().write_all(body.as_bytes()).unwrap();
    let ended = running.wait_with_output().unwrap();
    assert!(ended.status.success());
    String::from_utf8(ended.stdout).unwrap()
}

fn fill(cell: &Cell) {
    cell.run(&["policy", "install", "open"]).succeeded();
    for name in ["cma", "probe.a", "probe.b", "other"] {
        cell.run(&["party", "add", name]).succeeded();
    }
    cell.run(&["group", "create", "probe"]).succeeded();
}

#[test]
fn a_member_opens_what_came_to_its_group_and_to_itself() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    fill(&cell);
    let (to_group, to_party) =
        (sealed(&cell, "cma.key", "probe", "all halt\n"), sealed(&cell, "cma.key", "probe.a", "you too\n"));
    let lines = [&*to_group, &to_party, &to_group].concat();
    let (good, out, error) = opened(&cell, "probe.a.key", &lines);
    assert_eq!((good, &*out), (false, "all halt\nyou too\n"));
    let told: Vec<_> = error.lines().collect();
    assert_eq!(
        told,
        [
            "keycell: message 1: to the group probe@test.internal, in the name of cma@test.internal: without a proof, any \
             member can have written it",
            "keycell: message 3: the message cannot be opened: opened before",
        ]
    );
    // Nobody is told of a KDC that is not needed, and who needs one is told what is missing.
    let key = fs::read_to_string(cell.folder().join("probe.b.key")).unwrap();
    let mut file: Value = serde_json::from_str(&key).unwrap();
    file["urls"] = Value::Array(Vec::new());
    fs::write(cell.folder().join("probe.b.key"), file.to_string()).unwrap();
    let to_party = sealed(&cell, "cma.key", "probe.b", "hello");
    assert_eq!(opened(&cell, "probe.b.key", &to_party), (true, "hello".to_owned(), String::new()));
    let (good, out, error) = opened(&cell, "probe.b.key", &to_group);
    assert!(!good && out.is_empty() && error.contains("set \"urls\" in it"), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");

    cell.run(&["group", "members", "probe", "--remove", "probe.a"]).succeeded();
    for key in ["other.key", "probe.a.key"] {
        let (good, out, error) = opened(&cell, key, &to_group);
        assert!(
            !good && out.is_empty() && error.contains("it is no member, or there is no such group"),
            "{error}"
        );
    }
}

/// The message with other letters in the name of whom it is for, of which there are as many.
fn redirected(message: &str, from: &str, to: &str) -> String {
    assert_eq!(from.len(), to.len());
    let mut bytes = URL_SAFE_NO_PAD.decode(message.trim_end()).unwrap();
    let at = bytes.windows(from.len()).position(|part| part == from.as_bytes()).unwrap();
    bytes.splice(at..at + to.len(), to.bytes());
    format!("{}\n", URL_SAFE_NO_PAD.encode(bytes))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn groups_that_are_made_up_are_not_asked_for_without_end() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    fill(&cell);
    let real = sealed(&cell, "cma.key", "probe", "halt\n");
    // Not of the stream that is heard: its messages are known to be for the group.
    let other = sealed(&cell, "cma.key", "probe", "run\n");
    let elsewhere = redirected(&other, "probe@test.internal", "probe@test.internax");
    let made_up: String =
        (0..120).map(|at| redirected(&other, "probe@", &format!("p{at:04}@"))).chain([elsewhere]).collect();
    let (good, out, error) = opened(&cell, "probe.a.key", &[&*real, &made_up, &made_up, &real].concat());
    assert_eq!((good, &*out), (false, "halt\n"));
    let told: Vec<_> = error.lines().collect();
    assert_eq!(told.len(), 1 + 2 * 121 + 1, "{error}");
    // One is a group, so 99 others were asked for, and once.
    let said = |text: &str| told.iter().filter(|line| line.contains(text)).count();
    assert_eq!(said("it is no member, or there is no such group"), 2 * 99, "{error}");
    assert_eq!(said("which is the most for one run; open it in another one"), 2 * 21);
    assert_eq!(
        said("it is for probe@test.internax, and a party is a member of groups of its own zone only"),
        2
    );
    assert!(told[243].ends_with("message 244: the message cannot be opened: opened before"), "{error}");
    let metrics = kdc.http().get("/metrics").await.text();
    assert!(metrics.contains("keycell_group_keys_refused_total 99\n"), "{metrics}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whether_a_proof_of_the_author_held_is_told() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    fill(&cell);
    let without = sealed(&cell, "cma.key", "probe", "halt");
    cell.run(&["group", "update", "probe", "--author-proof", "true"]).succeeded();
    // The agent that keeps the file up makes the signing key.
    let agent = Agent::connect_file(cell.folder().join("cma.key"), Config::default()).unwrap();
    agent.prefetch_voucher().await.unwrap();
    drop(agent);
    let proved = sealed(&cell, "cma.key", "probe", "halt");

    let (good, out, error) = opened(&cell, "probe.a.key", &[&*proved, &without].concat());
    assert_eq!((good, &*out), (false, "halt"));
    let told: Vec<_> = error.lines().collect();
    assert_eq!(
        told,
        [
            "keycell: message 1: to the group probe@test.internal, from cma@test.internal, who proves to be the author",
            "keycell: message 2: the message cannot be opened: no proof of its author, which the group requires",
        ]
    );
    let mut open = cell.command();
    open.args(["open", "--json", "--key", "probe.a.key"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = open.spawn().unwrap();
    running.stdin.take().unwrap().write_all(proved.as_bytes()).unwrap();
    let told: Value = serde_json::from_slice(&running.wait_with_output().unwrap().stdout).unwrap();
    assert_eq!(
        (&told["source"], &told["destination"]),
        (&"cma@test.internal".into(), &"probe@test.internal".into())
    );
    assert_eq!((&told["group"], &told["author_proof"]), (&true.into(), &true.into()));
}
