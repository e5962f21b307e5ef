//! Many parties at once.

use std::fs;

use keycell_tests::cell::Cell;
use keycell_tests::party::Party;
use serde_json::Value;

use super::json;

#[test]
fn an_import_is_put_right_and_run_again_with_the_same_keys() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let file = |name: &str| cell.folder().join(name);
    fs::write(file("hosts.csv"), "name,note\na,first\nnot a name,x\nb@test.internal,\"one, two\"\n").unwrap();
    let asked = json(&cell, &["party", "list"]);
    assert_eq!(asked["parties"].as_array().unwrap().len(), 0);
    let would = cell.run(&["party", "import", "hosts.csv", "--dry-run"]);
    assert_eq!((would.code, file("hosts.csv.keycell-import").exists()), (Some(1), false));

    let import = ["party", "import", "hosts.csv", "--out-dir", "keys", "--report", "report", "--json"];
    let first = cell.run(&import);
    assert_eq!(first.code, Some(1), "{}", first.stderr);
    let done: Value = serde_json::from_str(&first.stdout).unwrap();
    assert_eq!((&done["summary"]["created"], &done["summary"]["invalid"]), (&2.into(), &1.into()));
    assert_eq!(done["refused"][0]["line"], 2);
    assert!(file("hosts.csv.keycell-import").exists());
    let report = fs::read_to_string(file("report")).unwrap();
    assert_eq!(report.lines().count(), 3);
    assert!(!report.contains("\"key\""), "{report}");

    let written = fs::read(file("keys/a.key")).unwrap();
    fs::remove_dir_all(file("keys")).unwrap();
    fs::write(file("hosts.csv"), "name,note\na,first\nc,x\nb@test.internal,\"one, two\"\n").unwrap();
    let again: Value = serde_json::from_str(&cell.run(&import).succeeded().stdout).unwrap();
    assert_eq!((&again["summary"]["created"], &again["summary"]["unchanged"]), (&1.into(), &2.into()));
    assert_eq!(fs::read(file("keys/a.key")).unwrap(), written);
    assert!(!file("hosts.csv.keycell-import").exists());
    assert_eq!(Party::load(&file("keys/b.key")).name.as_str(), "b@test.internal");
    assert_eq!(json(&cell, &["party", "show", "b"])["note"], "one, two");

    // The seed is gone: the same names would get other keys, and keep theirs.
    let third = cell.run(&["party", "import", "hosts.csv", "--out-dir", "other"]);
    assert_eq!(third.code, Some(1));
    assert!(third.stdout.contains("3 there already with another key"), "{}", third.stdout);
}
