//! Backups that are cut off, altered, of another format or for somebody else: refused, and nothing is replaced.

use std::fs;

use keycell_kdc::backup::Writer;
use keycell_tests::backup::{Recovery, database, text};
use keycell_tests::cell::Cell;
use sqlx::Connection as _;

/// What is in the cell's folder, but for the lock.
fn state(cell: &Cell) -> Vec<(String, Vec<u8>)> {
    let all = fs::read_dir(cell.file("")).unwrap().map(Result::unwrap);
    let files = all.filter(|entry| entry.file_type().unwrap().is_file());
    let mut files: Vec<_> = files
        .map(|entry| (entry.file_name().into_string().unwrap(), fs::read(entry.path()).unwrap()))
        .filter(|(name, _)| name != "keycell.db.lock")
        .collect();
    files.sort();
    files
}

#[test]
fn age_finds_what_was_cut_off_altered_or_is_for_another() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let whole = fs::read(recovery.back_up(&cell, "one.age")).unwrap();
    let before = state(&cell);
    let file = cell.folder().join("broken.age");
    let refused = |bytes: &[u8], says: &str| {
        fs::write(&file, bytes).unwrap();
        let refused = recovery.restore(&cell, &file, &[]).failed();
        assert!(refused.contains(says), "{says}: {refused}");
        assert_eq!(state(&cell), before, "{says}");
    };
    for length in [whole.len() - 1, whole.len() - 100, whole.len() / 2] {
        refused(&whole[..length], "the backup ");
    }
    for at in [whole.len() - 1, whole.len() - 300, whole.len() / 2] {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        refused(&bytes, "the backup is damaged at line");
    }
    refused(&whole[..40], "is no Keycell backup");
    refused(b"", "is no Keycell backup");
    refused(b"a = 1\n", "is no Keycell backup");

    let other = cell.folder().join("other.txt");
    cell.run(&["backup", "keygen", text(&other)]).succeeded();
    let whole = cell.folder().join("one.age");
    for (identity, says) in
        [(text(&other), "none of the identities opens"), (text(&cell.file("keycell.toml")), "no identity")]
    {
        let refused =
            cell.run(&["restore", text(&whole), "--identity", identity, "--folder", "keycell"]).failed();
        assert!(refused.contains(says), "{refused}");
    }
    let refused = cell.run(&["restore", text(&whole), "--folder", "keycell"]).failed();
    assert!(refused.contains("--identity"), "{refused}");
    assert_eq!(state(&cell), before);
}

/// The lines of a backup as age would decrypt them.
async fn plain(cell: &Cell) -> String {
    let store = database(cell).await;
    let config = keycell_kdc::config::Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let mut writer = Writer::new(Vec::new(), 1_795_000_000_000, opened.audit_key.public(), Vec::new());
    store.dump(&mut writer).await.unwrap();
    let bytes = writer.finish().unwrap().out;
    store.close().await;
    opened.store.close().await;
    String::from_utf8(bytes).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_counts() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    cell.admin(&kdc).add("a@test.internal").await;
    assert_eq!(kdc.terminate(), Some(0));
    let lines = plain(&cell).await;
    let before = state(&cell);
    let file = cell.folder().join("plain");
    let run = |text_: &str| {
        fs::write(&file, text_).unwrap();
        cell.run(&["restore", text(&file), "--folder", "keycell"])
    };
    let refused = |changed: &str, says: &str| {
        assert_ne!(changed, lines, "{says}: nothing was changed for the test");
        let refused = run(changed).failed();
        assert!(refused.contains(says), "{says}: {refused}");
        assert_eq!(state(&cell), before, "{says}");
    };
    let all: Vec<_> = lines.lines().collect();
    let without = |at: usize| {
        let kept = all.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, line)| format!("{line}\n"));
        kept.collect::<String>()
    };
    refused(&lines.replacen("\"keycell_backup\":1", "\"keycell_backup\":2", 1), "is of format 2");
    refused(&lines.replacen("\"keycell_backup\":1", "\"keycell_backup\":0", 1), "is of format 0");
    refused(&lines.replacen("\"schema\":6", "\"schema\":4000", 1), "is at schema 4000");
    refused(&lines.replacen("\"audit_key\":\"", "\"audit_key\":\"00", 1), "the hash at the end");
    refused(&without(all.len() - 1), "was cut off");
    refused(&lines[..lines.len() - 1], "was cut off");
    let row = all.iter().position(|line| line.starts_with("[\"a@test.internal\",1,")).unwrap();
    refused(&without(row), "the hash at the end");
    refused(&lines.replacen("[\"a@test.internal\",1,", "[\"a@test.internal\",0,", 1), "the hash at the end");
    refused(&format!("{lines}[]\n"), "something comes after the end");
    refused(&lines.replacen("\"columns\":[\"name\"", "\"columns\":[\"nome\"", 1), "no such table");
    refused(
        &lines.replacen("[\"a@test.internal\",1,", "[\"a@test.internal\",true,", 1),
        "is not what its column holds",
    );

    // What somebody made up whole, with a hash that fits, does not open under the master key, or is no zone of ours.
    let forged = |from: &str, to: &str| seal(&lines.replacen(from, to, 1));
    refused(&forged("[\"a@test.internal\",1,", "[\"a@test.internal\",0,"), "--accept-damage");
    refused(&forged("\"zone\":\"test.internal\"", "\"zone\":\"else.internal\""), "the backup ");
    let other = Cell::sqlite();
    refused(&plain(&other).await, "not the master key of this database");
    assert!(run(&lines).succeeded().stdout.contains("1 parties"));
}

/// Puts the right hash at the end.
fn seal(lines: &str) -> String {
    let at = lines.trim_end().rfind('\n').unwrap() + 1;
    let (body, end) = lines.split_at(at);
    let mut end: serde_json::Value = serde_json::from_str(end).unwrap();
    let hash = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
    let hash: String = hash.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    end["sha256"] = hash.into();
    format!("{body}{end}\n")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_of_a_damaged_row_is_told_of_and_taken_on_purpose() {
    let cell = Cell::sqlite();
    let recovery = Recovery::of(&cell);
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let whole = admin.add("whole@test.internal").await;
    let lost = admin.add("lost@test.internal").await;
    assert_eq!(kdc.terminate(), Some(0));
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut connection = sqlx::SqliteConnection::connect(&url).await.unwrap();
    let damage = "UPDATE party_key SET epoch = epoch - 1 WHERE party = 'lost@test.internal'";
    sqlx::query(damage).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();

    let file = recovery.back_up(&cell, "one.age");
    let mut arguments = vec!["backup", "verify", text(&file), "--identity", text(&recovery.identity)];
    assert!(cell.run(&arguments).succeeded().stdout.contains("was not tried"));
    let key = cell.file("master.key");
    arguments.extend(["--master-key", text(&key)]);
    let verified = cell.run(&arguments);
    assert_eq!(verified.code, Some(1));
    assert!(verified.stdout.starts_with("the database row party_key lost@test.internal 1 does not open"));
    assert!(verified.stdout.contains("is NOT whole"), "{}", verified.stdout);

    let before = state(&cell);
    let refused = recovery.restore(&cell, &file, &[]).failed();
    assert!(refused.contains("1 rows of the backup do not hold") && refused.contains("lost@"), "{refused}");
    assert_eq!(state(&cell), before);
    recovery.restore(&cell, &file, &["--accept-damage"]).succeeded();
    let kdc = cell.serve();
    let mine = "lost@test.internal";
    assert_eq!(
        whole.refusal(&kdc.http(), mine).await,
        Some(keycell_protocol::ProblemType::DestinationDisabled)
    );
    assert!(lost.ask(&kdc.http(), &["whole@test.internal"]).await.is_err());
}
