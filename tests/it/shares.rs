//! The master key in shares of several people, at the command line.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Stdio;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_tests::backup::text;
use keycell_tests::cell::{Cell, Ended};

fn split(cell: &Cell, folder: &str) -> Vec<PathBuf> {
    let arguments = ["--json", "master-key", "split", "--shares", "5", "--threshold", "3", "--out", folder];
    let made: serde_json::Value = serde_json::from_str(&cell.run(&arguments).succeeded().stdout).unwrap();
    assert_eq!(made["shares"], serde_json::Value::Null, "shares in files are not printed too");
    let files = made["files"].as_array().unwrap().iter();
    files.map(|file| cell.folder().join(file.as_str().unwrap())).collect()
}

fn with(cell: &Cell, command: &str, files: &[&PathBuf], more: &[&str]) -> Ended {
    let mut arguments = vec!["master-key", command];
    arguments.extend(files.iter().map(|file| text(file)));
    arguments.extend(more);
    cell.run(&arguments)
}

/// The line of a page.
fn line(file: &PathBuf) -> String {
    let page = fs::read_to_string(file).unwrap();
    page.lines().find(|line| line.starts_with("keycell-share-1:")).unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_key_is_split_practised_lost_and_made_again() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let files = split(&cell, "shares");
    for file in &files {
        assert_eq!(fs::metadata(file).unwrap().permissions().mode() & 0o777, 0o600);
        let page = fs::read_to_string(file).unwrap();
        assert!(page.contains("zone test.internal") && page.contains("Any 3 shares"), "{page}");
        assert!(page.lines().all(|line| line.len() <= 130), "{page}");
    }
    // While the KDC runs, and without it.
    let drilled = with(&cell, "drill", &[&files[4], &files[0], &files[2]], &[]).succeeded();
    assert!(drilled.stdout.starts_with("Passed: the shares 5, 1, 3"), "{}", drilled.stdout);
    assert!(drilled.stdout.contains("@test.internal"), "{}", drilled.stdout);
    admin.recorded("the split", |record| record["action"] == "master_key.split").await;
    admin.recorded("the drill", |record| record["action"] == "master_key.drill").await;
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
    assert_eq!(kdc.terminate(), Some(0));

    let refused = with(&cell, "restore", &[&files[0], &files[1], &files[2]], &[]).failed();
    assert!(refused.contains("never overwritten"), "{refused}");
    let key = fs::read(cell.file("master.key")).unwrap();
    fs::remove_file(cell.file("master.key")).unwrap();
    let refused = with(&cell, "restore", &[&files[0], &files[1]], &[]).failed();
    assert!(refused.contains("there are 2 shares, and 3 are needed"), "{refused}");
    let made = with(&cell, "restore", &[&files[3], &files[1], &files[2]], &[]).succeeded();
    assert!(made.stdout.contains("It is the one of this database."), "{}", made.stdout);
    assert_eq!(fs::read(cell.file("master.key")).unwrap(), key);
    assert_eq!(fs::metadata(cell.file("master.key")).unwrap().permissions().mode() & 0o777, 0o600);
    let kdc = cell.serve();
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
}

#[test]
fn lines_are_typed_and_mistakes_are_told_apart() {
    let cell = Cell::sqlite();
    let (files, others) = (split(&cell, "shares"), split(&cell, "others"));
    let key = fs::read_to_string(cell.file("master.key")).unwrap();
    let lines: Vec<_> = files.iter().map(line).collect();
    let typed = |lines: &[&str]| {
        let out = cell.folder().join("made.key");
        let _ = fs::remove_file(&out);
        let mut command = cell.command();
        command.args(["master-key", "restore", "--out", text(&out)]);
        let mut child =
            command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        // It may have refused an earlier line by then.
        let _ = child.stdin.take().unwrap().write_all(format!("{}\n", lines.join("\n\n")).as_bytes());
        let output = child.wait_with_output().unwrap();
        let said = String::from_utf8(output.stderr).unwrap();
        for secret in secrets(&lines.join("")).iter().chain(&secrets(&key)) {
            assert!(!said.contains(secret), "{said}");
        }
        fs::read_to_string(out).map_err(|_| said)
    };
    let lower = lines[1].to_lowercase();
    assert_eq!(typed(&[&lines[0], &lower, &lines[4]]).unwrap(), key);
    let at = lines[1].len() - 30;
    let other = if lines[1].as_bytes()[at] == b'7' { "8" } else { "7" };
    let mut mistyped = lines[1].clone();
    let at = if &mistyped[at..=at] == "-" { at + 1 } else { at };
    mistyped.replace_range(at..=at, other);
    for (lines, says) in [
        (vec![&*lines[0], &mistyped], "share 2: the share is mistyped"),
        (vec![&lines[0], &lines[1]], "there are 2 shares, and 3 are needed"),
        (vec![&lines[0], &lines[0], &lines[1]], "share 1 is there twice"),
        (vec![&lines[0], &line(&others[1]), &lines[2]], "of different sets"),
        (vec![], "there is no share"),
    ] {
        let said = typed(&lines).unwrap_err();
        assert!(said.contains(says), "{says}: {said}");
    }
}

#[test]
fn another_cells_shares_are_not_taken() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    let files = split(&other, "shares");
    let three = [&files[0], &files[1], &files[2]];
    let refused = with(&cell, "drill", &three, &[]).failed();
    assert!(refused.contains("not the master key of this database"), "{refused}");
    let out = cell.folder().join("made.key");
    let refused = with(&cell, "restore", &three, &["--out", text(&out)]).failed();
    assert!(refused.contains("not the master key of this database"), "{refused}");
    assert!(!out.exists());
    fs::remove_file(cell.file("master.key")).unwrap();
    let refused = with(&cell, "restore", &three, &[]).failed();
    assert!(refused.contains("not the master key of this database"), "{refused}");
    assert!(!cell.file("master.key").exists());
}

#[test]
fn shares_never_hold_the_key_itself() {
    let cell = Cell::sqlite();
    let key = fs::read_to_string(cell.file("master.key")).unwrap();
    let printed = cell.run(&["master-key", "split", "--shares", "2", "--threshold", "2"]).succeeded();
    assert_eq!(printed.stdout.matches("keycell-share-1:").count(), 2);
    for secret in secrets(&key) {
        assert!(!printed.stdout.contains(&secret) && !printed.stderr.contains(&secret));
    }
    for (shares, threshold) in [("3", "1"), ("2", "3"), ("40", "3")] {
        let refused =
            cell.run(&["master-key", "split", "--shares", shares, "--threshold", threshold]).failed();
        assert!(refused.contains("at most 32"), "{refused}");
    }
}

/// What must not be seen of a text with a key or share: the half of it is too much.
fn secrets(text: &str) -> Vec<String> {
    let text = text.trim();
    let Some(secret) = text.rsplit(':').next().filter(|secret| secret.len() > 20) else { return Vec::new() };
    let mut all = vec![secret[..secret.len() / 2].to_owned()];
    if let Ok(bytes) = URL_SAFE_NO_PAD.decode(secret) {
        all.push(bytes.iter().take(16).map(|byte| format!("{byte:02x}")).collect());
    }
    all
}
