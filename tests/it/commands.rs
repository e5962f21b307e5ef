//! The command line as its user sees it: help, errors, completions, JSON, and a cell by hand.

#![expect(clippy::unwrap_used, reason = "this is a test")]

#[path = "commands/administer.rs"]
mod administer;
#[path = "commands/groups.rs"]
mod groups;
#[path = "commands/import.rs"]
mod import;
#[path = "commands/open.rs"]
mod open;
#[path = "commands/profiles.rs"]
mod profiles;

use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};

use keycell_tests::cell::{Cell, binary, ended};
use serde_json::Value;

#[test]
fn transcripts() {
    let cases = trycmd::TestCases::new();
    // The tester may have profiles.
    let folder = tempfile::tempdir().unwrap();
    let profiles = folder.path().join("profiles.toml");
    cases.env("KEYCELL_PROFILES", profiles.to_str().unwrap());
    cases.insert_var("[PROFILES]", profiles.to_str().unwrap().to_owned()).unwrap();
    cases.register_bin("keycell", binary()).case("cmd/*.md");
    let set = std::env::vars().find(|(name, _)| name.starts_with("KEYCELL_"));
    assert_eq!(set, None, "the transcripts are of a machine where nothing is set");
}

#[test]
fn shells_take_their_completions() {
    let cell = Cell::sqlite();
    for (shell, arguments) in
        [("bash", ["--noprofile", "-n"]), ("zsh", ["-f", "-n"]), ("fish", ["--no-config", "-n"])]
    {
        let script = cell.run(&["completions", shell]).succeeded().stdout;
        for word in ["check-config", "completions", "party", "--json"] {
            assert!(script.contains(word.trim_start_matches('-')), "{shell}: no {word}");
        }
        let file = cell.folder().join(shell);
        fs::write(&file, script).unwrap();
        let checked = ended(Command::new(shell).args(arguments).arg(&file));
        assert_eq!((checked.code, &*checked.stderr), (Some(0), ""), "{shell}");
    }
    // And bash really completes.
    let complete = r#"source ./bash; COMP_WORDS=(keycell che); COMP_CWORD=1; _keycell keycell che keycell; echo "${COMPREPLY[@]}""#;
    let completed =
        ended(Command::new("bash").current_dir(cell.folder()).args(["--norc", "-c", complete])).succeeded();
    assert_eq!(completed.stdout.trim(), "check-config");
}

#[test]
fn a_cell_by_hand_in_text_and_in_json() {
    let cell = Cell::sqlite();
    let made = cell.run(&["token", "create", "--subject", "alice"]).succeeded();
    let said = "A token for alice (admin) is in keycell/admin.token, good until 20";
    assert!(made.stdout.starts_with(said), "{}", made.stdout);
    let _kdc = cell.serve();
    let added = cell.run(&["party", "add", "a"]).succeeded();
    assert!(added.stdout.starts_with("a@test.internal is made; its key is in a.key.\n"), "{}", added.stdout);
    let added = json(&cell, &["party", "add", "b", "--out", "elsewhere.key"]);
    assert_eq!((&added["name"], &added["key_file"]), (&"b@test.internal".into(), &"elsewhere.key".into()));
    let exists = cell.run(&["party", "add", "a"]).failed();
    assert!(exists.contains("a.key exists already"), "{exists}");
    let taken = cell.run(&["party", "add", "a", "--out", "other.key"]).failed();
    assert!(taken.contains("there is a party a@test.internal already"), "{taken}");
    assert!(!cell.folder().join("other.key").exists());

    let list = cell.run(&["party", "list"]).succeeded().stdout;
    let rows: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert!(rows[0].starts_with(&["NAME", "STATE", "KEY", "LAST", "SEEN", "CREATED", "NOTE"]), "{list}");
    assert!(rows[1].starts_with(&["a@test.internal", "enabled", "1", "active"]), "{list}");
    assert_eq!(rows.len(), 3);
    let disabled = cell.run(&["party", "disable", "a"]).succeeded().stdout;
    assert!(disabled.starts_with("a@test.internal is disabled.\nTickets already given"), "{disabled}");
    assert_eq!(json(&cell, &["party", "show", "a@test.internal"])["enabled"], false);
    assert_eq!(json(&cell, &["party", "enable", "a"])["enabled"], true);
    let page = json(&cell, &["party", "list", "--limit", "1"]);
    assert_eq!((page["parties"].as_array().unwrap().len(), &page["next"]), (1, &"a@test.internal".into()));
    assert_eq!(json(&cell, &["party", "list", "--after", "a"])["parties"][0]["name"], "b@test.internal");
    assert_eq!(cell.run(&["party", "delete", "b"]).succeeded().stdout, "b@test.internal is deleted.\n");
    let missing = cell.run(&["party", "show", "b"]).failed();
    assert!(missing.contains("there is no party b@test.internal"), "{missing}");

    // Elsewhere, with nothing of the cell but its roots and a token.
    let mut elsewhere = cell.command();
    elsewhere.current_dir("/").args(["party", "list"]);
    elsewhere.env("KEYCELL_URL", format!("https://localhost:{}", cell.listen().port()));
    elsewhere.env("KEYCELL_ROOTS", cell.file("tls/roots.pem"));
    elsewhere.env("KEYCELL_TOKEN_FILE", cell.file("admin.token"));
    assert!(ended(&mut elsewhere).succeeded().stdout.contains("a@test.internal"));
}

#[test]
fn a_kdc_that_is_not_there_is_named() {
    let cell = Cell::sqlite();
    cell.run(&["token", "create"]).succeeded();
    let error = cell.run(&["party", "list"]).failed();
    assert!(error.contains("cannot reach the KDC") && error.contains("keycell serve"), "{error}");
    let error = cell.run(&["--json", "party", "list"]).failed();
    assert!(serde_json::from_str::<Value>(&error).unwrap()["error"].is_string());
}

fn json(cell: &Cell, arguments: &[&str]) -> Value {
    let arguments: Vec<_> = arguments.iter().copied().chain(["--json"]).collect();
    serde_json::from_str(&cell.run(&arguments).succeeded().stdout).unwrap()
}

/// What `keycell open` says to lines on its standard input.
fn opened(cell: &Cell, key: &str, lines: &str) -> (bool, String, String) {
    let mut open = cell.command();
    open.args(["open", "--key", key]).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut running = open.spawn().unwrap();
    running.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let ended = running.wait_with_output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (ended.status.success(), text(ended.stdout), text(ended.stderr))
}

#[test]
fn a_message_opens_once_unchanged_and_with_its_own_key() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["policy", "install", "open"]).succeeded();
    for name in ["a", "b", "c"] {
        cell.run(&["party", "add", name]).succeeded();
    }
    let mut seal = cell.command();
    seal.args(["seal", "--key", "a.key", "--to", "b"]).stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut running = seal.spawn().unwrap();
    running.stdin.take().unwrap().write_all(b"hello\n").unwrap();
    let line = String::from_utf8(running.wait_with_output().unwrap().stdout).unwrap();

    assert_eq!(opened(&cell, "b.key", &line), (true, "hello\n".to_owned(), String::new()));
    let (good, out, error) = opened(&cell, "b.key", &line.repeat(2));
    assert!(
        !good && out == "hello\n" && error.contains("message 2") && error.contains("opened before"),
        "{error}"
    );
    let (good, out, error) = opened(&cell, "c.key", &line);
    assert!(!good && out.is_empty() && error.contains("addressed to another party"), "{error}");
    // The key of c in a file that says b: the name is right, the key is not.
    let file = |name: &str| fs::read_to_string(cell.folder().join(name)).unwrap();
    fs::rename(cell.folder().join("c.key"), cell.folder().join("swapped.key")).unwrap();
    fs::write(cell.folder().join("swapped.key"), file("swapped.key").replace("c@test", "b@test")).unwrap();
    let (good, out, error) = opened(&cell, "swapped.key", &line);
    assert!(!good && out.is_empty() && error.contains("does not open with this party's key"), "{error}");
    for at in [0, 60, line.len() / 2, line.len() - 4] {
        let mut changed = line.clone().into_bytes();
        changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
        let (good, out, _) = opened(&cell, "b.key", &String::from_utf8(changed).unwrap());
        assert!(!good && out.is_empty(), "a changed byte at {at} does not matter");
    }
}
