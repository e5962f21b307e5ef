//! Everything an administrator does with a cell, by hand.

use std::fs;

use keycell_tests::cell::Cell;
use serde_json::Value;

use super::json;

#[test]
fn a_party_is_changed_only_as_it_was_seen() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["party", "add", "a", "--note", "first"]).succeeded();
    let shown = json(&cell, &["party", "show", "a"]);
    assert_eq!(
        (&shown["revision"], &shown["note"], &shown["log_tickets"]),
        (&1.into(), &"first".into(), &false.into())
    );
    let changed = json(&cell, &["party", "update", "a", "--log-tickets", "true", "--if-revision", "1"]);
    assert_eq!((&changed["revision"], &changed["note"]), (&2.into(), &"first".into()));
    let stale = cell.run(&["party", "delete", "a", "--if-revision", "1"]).failed();
    assert!(stale.contains("changed"), "{stale}");
    let text = cell.run(&["party", "delete", "a", "--dry-run"]).succeeded().stdout;
    assert!(text.starts_with("This would be deleted:\n") && text.contains("a@test.internal"), "{text}");
    assert_eq!(json(&cell, &["party", "keys", "a"])["keys"].as_array().unwrap().len(), 1);
    cell.run(&["party", "disable", "a"]).succeeded();
    let names = |arguments: &[&str]| json(&cell, arguments)["parties"].as_array().unwrap().len();
    assert_eq!(names(&["party", "list", "--state", "disabled", "--match", "a*", "--seen-before", "1s"]), 1);
    assert_eq!(names(&["party", "list", "--state", "enabled"]), 0);
    assert_eq!(names(&["party", "list", "--service", "b"]), 0);
    assert_eq!(names(&["party", "list", "--seen-since", "7d"]), 0);
}

#[test]
fn a_policy_is_a_document_that_comes_back() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let added = [
        "policy",
        "add",
        "--deny",
        "web.*",
        "cma.*",
        "--monitor",
        "--id",
        "no-web",
        "--expires",
        "2040-01-01T00:00:00Z",
    ];
    assert_eq!(json(&cell, &added)["mode"], "monitor");
    let enforced = json(&cell, &["policy", "update", "no-web", "--enforce", "--note", "tight"]);
    assert_eq!((&enforced["mode"], &enforced["note"]), (&"enforce".into(), &"tight".into()));
    let told = json(&cell, &["policy", "test", "web.a", "cma.b"]);
    assert_eq!((&told["decision"], &told["rule"]), (&"deny".into(), &"no-web".into()));
    let text = cell.run(&["policy", "test", "web.a", "cma.b"]).succeeded().stdout;
    assert!(
        text.starts_with("web.a@test.internal -> cma.b@test.internal: denied") && text.contains("decides"),
        "{text}"
    );
    for (destination, why) in [("web.a", "never needs a ticket"), ("cma.b@other.zone", "refuses other zones")]
    {
        let text = cell.run(&["policy", "test", "web.a", destination]).succeeded().stdout;
        assert!(text.contains(why), "{text}");
    }

    for file in ["policy.toml", "policy.json"] {
        cell.run(&["policy", "export", file]).succeeded();
        assert_eq!(json(&cell, &["policy", "apply", file])["changes"], Value::Array(Vec::new()), "{file}");
    }
    let path = cell.folder().join("policy.toml");
    let document = fs::read_to_string(&path).unwrap();
    assert!(document.contains("expires_at = 2040-01-01T00:00:00Z"), "{document}");
    fs::write(&path, document.replace("tight", "tighter")).unwrap();
    let would = cell.run(&["policy", "apply", "policy.toml", "--dry-run"]).succeeded().stdout;
    assert!(would.contains("\n+ no-web: deny") && would.contains("1 rule would change"), "{would}");
    assert_eq!(json(&cell, &["policy", "show", "no-web"])["note"], "tight", "it was only asked");
    cell.run(&["policy", "apply", "policy.toml"]).succeeded();
    assert_eq!(json(&cell, &["policy", "show", "no-web"])["note"], "tighter");
    cell.run(&["policy", "install", "assimilation", "--heartbeats"]).succeeded();
    assert_eq!(json(&cell, &["policy", "test", "nanoprobe.a", "nanoprobe.b"])["decision"], "allow");
    assert!(cell.run(&["policy", "show", "no-web"]).failed().contains("no-web"));
    cell.run(&["policy", "install", "assimilation"]).succeeded();
    assert_eq!(json(&cell, &["policy", "test", "nanoprobe.a", "nanoprobe.b"])["decision"], "deny");
}

#[test]
fn settings_hold_until_they_are_taken_away() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let set = json(&cell, &["zone", "set", "--ticket-lifetime", "5m", "--audit-retention", "400d"]);
    assert_eq!((&set["ticket_lifetime_seconds"], &set["audit_retention_days"]), (&300.into(), &400.into()));
    let back = json(&cell, &["zone", "set", "--ticket-lifetime", "default", "--audit-retention", "forever"]);
    assert_eq!(
        (&back["ticket_lifetime_is_set"], &back["audit_retention_days"]),
        (&false.into(), &Value::Null)
    );
    let set = json(&cell, &["limits", "set", "--per-address", "3000/9000"]);
    assert_eq!(set["per_address"]["rate"]["burst"], 9000);
    assert_eq!(set["failures_per_address"]["is_set"], false);
    assert_eq!(json(&cell, &["limits", "set", "--per-address", "default"])["per_address"]["is_set"], false);
}

#[test]
fn a_token_is_made_by_a_kdc_and_revoked() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let url = format!("https://localhost:{}", cell.listen().port());
    let there = |token: &str, arguments: &[&str]| {
        let mut command = cell.command();
        command.env("KEYCELL_URL", &url).env("KEYCELL_ROOTS", cell.file("tls/roots.pem"));
        command.env("KEYCELL_TOKEN_FILE", cell.folder().join(token)).args(arguments);
        keycell_tests::cell::ended(&mut command)
    };
    let made =
        there("keycell/admin.token", &["token", "create", "--subject", "eve", "--role", "auditor", "--json"]);
    let made: Value = serde_json::from_str(&made.succeeded().stdout).unwrap();
    assert_eq!((&made["file"], &made["token"]), (&"eve.token".into(), &Value::Null));
    let me = there("eve.token", &["whoami"]).succeeded().stdout;
    assert!(me.contains("administrator:eve") && me.contains("auditor"), "{me}");
    assert!(there("eve.token", &["party", "add", "a"]).failed().contains("role"));
    let id = made["id"].as_str().unwrap();
    assert_eq!(
        there("keycell/admin.token", &["token", "revoke", id]).succeeded().stdout,
        format!("Token {id} is revoked.\n")
    );
    let refused = there("eve.token", &["whoami"]).failed();
    assert!(refused.contains("`keycell token create`"), "{refused}");
    assert_eq!(json(&cell, &["token", "list", "--state", "revoked"])["tokens"][0]["id"], id);
    assert!(json(&cell, &["token", "show", id])["revoked_at"].is_u64());
}

#[test]
fn the_log_is_checked_there_and_here() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["party", "add", "a"]).succeeded();
    let found = json(&cell, &["audit", "query", "--action", "party.create", "--since", "1h"]);
    assert_eq!(found["records"][0]["target"], "a@test.internal");
    let tail = cell.run(&["audit", "tail", "-n", "1"]).succeeded().stdout;
    assert!(tail.contains(" party.create a@test.internal: done from "), "{tail}");
    assert!(cell.run(&["audit", "verify"]).succeeded().stdout.starts_with("The log is intact"));
    let seal = json(&cell, &["audit", "seal"]);
    let noted = format!("{}:{}", seal["seq"], seal["hash"].as_str().unwrap());
    let verified = |noted: &str| cell.run(&["audit", "verify", "--noted", noted]);
    assert!(verified(&noted).succeeded().stdout.starts_with("The log is intact"));
    // As if the database had been set back to before that record.
    let later = verified(&noted.replacen(':', "000:", 1));
    assert_eq!(later.code, Some(1));
    assert!(later.stdout.contains("NOT intact"), "{}", later.stdout);
    let key = seal["public_key"].as_str().unwrap().to_owned();
    cell.run(&["audit", "export", "log"]).succeeded();
    cell.run(&["audit", "trim", "--before", "400d"]).succeeded();
    drop(kdc);

    // Without a KDC.
    let checked = cell.run(&["audit", "verify", "--file", "log", "--key", &key]).succeeded().stdout;
    assert!(checked.starts_with("The log of zone test.internal is intact"), "{checked}");
    let path = cell.folder().join("log");
    let log = fs::read_to_string(&path).unwrap();
    fs::write(&path, log.replace("a@test.internal", "b@test.internal")).unwrap();
    let checked = cell.run(&["audit", "verify", "--file", "log", "--key", &key]);
    assert_eq!(checked.code, Some(1));
    assert!(checked.stdout.contains("NOT intact"), "{}", checked.stdout);
}

#[test]
fn a_cell_at_a_glance() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["party", "add", "a"]).succeeded();
    let text = cell.run(&["status"]).succeeded().stdout;
    for what in ["parties      1: 1 enabled", "oldest key   a@test.internal", "certificate  until 20"] {
        assert!(text.contains(what), "{text}");
    }
    let warnings = json(&cell, &["status"])["warnings"].as_array().unwrap().len();
    let checked = cell.run(&["status", "--check"]);
    assert_eq!(checked.code, Some(i32::from(warnings > 0)));
    assert_eq!(checked.stdout.lines().count(), warnings);
}
