//! `keycell dev` as somebody runs it who has just built it.

#![cfg(test)]

#[path = "dev/zones.rs"]
mod zones;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::net::{TcpListener, UdpSocket};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

#[test]
fn everything_holds_in_a_new_folder_and_in_the_same_again() {
    let _taken = take_usual_port();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cell");
    let first = dev(&folder, &["--once"]);
    let text = succeeded(&first);
    let name =
        |text: &str| text.lines().find(|line| line.starts_with("  nanoprobe.one::")).map(str::to_owned);
    let name = name(&text).unwrap();
    for expected in [
        "Cell dev.internal, KDC at https://127.0.0.1:",
        "refused: replayed (opened before)",
        "refused: not-for-me (addressed to another party, or to a group whose keys are not held here)",
        "refused: expired (the ticket has expired)",
        "The group nanoprobe, which takes only what proves its author",
        "6 messages, each sealed and signed once: 18 answers",
        "0 of them because a message came",
        "refused: author-missing",
        "refused: author-unknown",
        "nanoprobe.three: refused: none fits",
        "web.two: aboard: opened (from web.one::",
        "web.one: aboard: opened (from web.two::",
        "the KDC: refused: no-token",
        "an administrator: sees: shared (127.0.0.1 and 127.0.0.1)",
        "checks held.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    nothing_secret(&folder, &first);

    let second = dev(&folder, &["--once", "--json"]);
    let report: Value = serde_json::from_str(&succeeded(&second)).unwrap();
    nothing_secret(&folder, &second);

    let parties = report["parties"].as_array().unwrap();
    let lookups = |party: &Value| (party["name"].as_str().unwrap().to_owned(), party["kdc_lookups"].as_u64());
    assert_eq!(
        parties.iter().map(lookups).collect::<Vec<_>>(),
        [("cma.main", 1), ("nanoprobe.one", 0), ("nanoprobe.two", 0), ("nanoprobe.three", 0)]
            .map(|(name, lookups)| (name.to_owned(), Some(lookups)))
    );
    let hosts = report["hosts"].as_array().unwrap();
    assert_eq!(hosts.len(), 3);
    for host in hosts {
        let kinds: Vec<_> =
            host["facts"].as_array().unwrap().iter().map(|fact| fact["kind"].as_str().unwrap()).collect();
        assert_eq!(kinds, ["os", "cpu", "memory", "file_systems", "ports", "addresses"], "{host}");
    }
    // Its own KDC's port, found by a look at the host and told through the wire.
    let port: u64 = report["url"].as_str().unwrap().rsplit(':').next().unwrap().parse().unwrap();
    let ports = hosts[0]["facts"][4]["list"].as_array().unwrap();
    assert!(ports.iter().any(|found| found["port"] == port), "{ports:?}");

    let attacks = report["attacks"].as_array().unwrap();
    let names: Vec<_> = attacks.iter().map(|attack| attack["name"].as_str().unwrap()).collect();
    for name in ["tampered", "replayed", "redirected", "expired", "forged", "presumed"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    let tampered: u64 =
        attacks[0]["seen"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert!(tampered > 200 && attacks[0]["seen"].get("answered").is_none(), "{}", attacks[0]);
    let group = &report["group"];
    assert_eq!((&group["said"]["broadcasts"], &group["said"]["answers"]), (&json!(6), &json!(18)));
    // Once for the group's keys, and once for a ticket to answer under.
    assert_eq!((&group["said"]["lookups"], &group["said"]["lookups_for_a_message"]), (&json!(6), &json!(0)));
    let tried = |part: &str| {
        let attacks = group[part].as_array().unwrap();
        let verdicts = attacks.iter().flat_map(|attack| attack["seen"].as_object().unwrap().keys().cloned());
        verdicts.collect::<Vec<_>>()
    };
    assert_eq!(
        tried("by_a_member"),
        [
            "author-missing",
            "author-forged",
            "author-forged",
            "author-forged",
            "author-unknown",
            "not obeyed",
            "answered",
            "replayed",
        ]
    );
    arrived(&report["arrivals"]);
    assert_eq!(report["arrivals"]["fleet"][1]["name"], format!("{}@dev.internal", name.trim()));
    let removed = ["answered", "answered", "not-for-me", "none fits", "The policy does not allow it"];
    assert_eq!(tried("removed"), removed);
    assert!(report["wire"]["lost"].as_u64() > Some(0) && report["wire"]["overtaken"].as_u64() > Some(0));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.len() > attacks.len() && checks.iter().all(|check| check["held"] == true));
}

/// Hosts came by themselves, and the next time under the same names.
fn arrived(arrivals: &Value) {
    for (at, host) in ["cma.main", "nanoprobe.one", "nanoprobe.two", "nanoprobe.three"].iter().enumerate() {
        let party = &arrivals["fleet"][at];
        assert_eq!(party["by"], "token");
        let name = party["name"].as_str().unwrap();
        let fingerprint = name.strip_prefix(&format!("{host}::")).unwrap().strip_suffix("@dev.internal");
        assert_eq!(fingerprint.unwrap().len(), 32, "{name}");
    }
    let tried = arrivals["tried"].as_array().unwrap().iter();
    let tried: Vec<_> = tried
        .map(|tried| {
            let verdict = tried["seen"].as_object().unwrap().keys().next().unwrap();
            (tried["name"].as_str().unwrap(), verdict.as_str())
        })
        .collect();
    // Where this machine has one address only, a copy of a key can be no further away.
    let copy = if UdpSocket::bind("127.0.0.2:0").is_ok() { "clone" } else { "shared" };
    let stranger = |why| ("stranger", why);
    assert_eq!(
        tried,
        [
            ("token", "opened"),
            ("tofu", "opened"),
            stranger("no-token"),
            stranger("token-host"),
            stranger("token-used-up"),
            ("copied", copy),
            ("copied", "shared"),
        ]
    );
}

#[test]
fn it_stays_up_until_it_is_told_to_stop_and_its_commands_work() {
    let _taken = take_usual_port();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cell");
    let mut running = Running(command(&folder, &[]).stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(running.0.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut printed = Vec::new();
    while !printed.last().is_some_and(|line: &String| line.contains("/v1/zone")) {
        printed.push(lines.next().expect("it printed what to try before it ended"));
    }

    let commands: Vec<_> = printed.iter().filter(|line| line.contains("keycell --config")).collect();
    let shell = |line: &str| Command::new("sh").args(["-c", line]).output().unwrap();
    let list = succeeded(&shell(commands[0]));
    assert!(list.contains("nanoprobe.three::"), "{list}");
    succeeded(&shell(commands[1]));
    let talk = printed.iter().find(|line| line.contains("echo hello")).unwrap();
    assert_eq!(succeeded(&shell(talk)), "hello\n");
    let conflicts = commands.iter().find(|line| line.ends_with("party conflicts")).unwrap();
    let conflicts = succeeded(&shell(conflicts));
    assert!(conflicts.contains("web.one::") && conflicts.contains("127.0.0.1"), "{conflicts}");

    // Another one in the same folder would take the parties' keys away.
    let other = dev(&folder, &["--once"]);
    assert_eq!(other.status.code(), Some(1));
    let error = String::from_utf8(other.stderr).unwrap();
    assert!(error.contains("--folder") && error.lines().count() == 1, "{error}");
    assert_eq!(succeeded(&shell(talk)), "hello\n");

    let id = Pid::from_raw(i32::try_from(running.0.id()).unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    assert_eq!(lines.next(), None);
    assert_eq!(running.0.wait().unwrap().code(), Some(0));
}

#[test]
fn a_cell_that_is_not_its_own_is_left_alone() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cell");
    let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
    let init = ["init", "--listen", &free, "--folder"];
    succeeded(&Command::new(KEYCELL).args(init).arg(&folder).output().unwrap());
    let before: Vec<_> = files(&folder);
    let refused = dev(&folder, &["--once"]);
    assert_eq!(refused.status.code(), Some(1));
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(error.contains("cell1.internal") && error.contains("--folder"), "{error}");
    assert_eq!(files(&folder), before);

    let other = temporary.path().join("other");
    fs::create_dir(&other).unwrap();
    fs::write(other.join("letter"), "precious").unwrap();
    assert_eq!(dev(&other, &["--once"]).status.code(), Some(1));
    assert_eq!(files(&other), ["letter"]);
}

/// Ends with the test, also when that fails.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn dev(folder: &Path, more: &[&str]) -> Output {
    command(folder, more).output().unwrap()
}

fn command(folder: &Path, more: &[&str]) -> Command {
    let mut command = Command::new(KEYCELL);
    command.arg("dev").arg("--folder").arg(folder).args(more);
    // What whoever runs the tests has set is for other cells.
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("KEYCELL_") {
            command.env_remove(name);
        }
    }
    command
}

fn succeeded(output: &Output) -> String {
    let (out, error) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert_eq!(output.status.code(), Some(0), "{error}\n{out}");
    assert_eq!(error, "");
    out.into_owned()
}

/// Neither a party's keys nor a join token nor the master key.
fn nothing_secret(folder: &Path, output: &Output) {
    let printed = [&output.stdout[..], &output.stderr].concat();
    let printed = String::from_utf8(printed).unwrap();
    let mut looked = 0;
    for name in ["cma.main", "nanoprobe.one", "nanoprobe.two", "nanoprobe.three", "web.one", "web.two"] {
        not_printed(&printed, &folder.join(format!("hosts/{name}@dev.internal")));
        looked += 1;
    }
    assert!(!printed.contains("kcj_"), "a join token");
    let master = fs::read_to_string(folder.join("master.key")).unwrap();
    for word in master.split([':', '\n']).filter(|word| word.len() > 20) {
        assert!(!printed.contains(word));
        looked += 1;
    }
    assert!(looked > 6, "the master key was looked for");
}

/// Neither the key nor the seed of a host.
fn not_printed(printed: &str, host: &Path) {
    let file = |end: &str| fs::read(format!("{}.{end}", host.display())).unwrap();
    let key: Value = serde_json::from_slice(&file("key")).unwrap();
    let seed = String::from_utf8(file("seed")).unwrap();
    for secret in [key["key"].as_str().unwrap(), seed.trim()] {
        assert!(secret.len() > 20 && !printed.contains(secret));
    }
}

/// Then each cell takes a port of its own, however many tests run at once.
fn take_usual_port() -> Option<TcpListener> {
    TcpListener::bind("127.0.0.1:8443").ok()
}

fn files(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

const KEYCELL: &str = env!("CARGO_BIN_EXE_keycell");
