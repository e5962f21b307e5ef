//! Groups, by hand.

use keycell_tests::cell::Cell;

use serde_json::Value;

use super::json;

#[test]
fn a_group_is_made_shown_changed_and_deleted() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let none = cell.run(&["group", "list"]).succeeded().stdout;
    assert_eq!(none, "There is no group; `keycell group create NAME` makes one.\n");
    for name in ["probe.a", "probe.b", "probe.c"] {
        cell.run(&["party", "add", name]).succeeded();
    }
    let made = cell.run(&["group", "create", "probe", "--note", "All of them."]).succeeded().stdout;
    assert!(
        made.starts_with("name          probe@test.internal\nmembers       probe.*@test.internal\n"),
        "{made}"
    );
    let shown = json(&cell, &["group", "show", "probe"]);
    assert_eq!((&shown["member_count"], &shown["note"]), (&3.into(), &"All of them.".into()));
    let twice = cell.run(&["group", "create", "probe"]).failed();
    assert!(twice.contains("there is a group probe@test.internal already"), "{twice}");
    let party = cell.run(&["party", "add", "probe"]).failed();
    assert!(party.contains("there is a group probe@test.internal already"), "{party}");

    let listed = cell.run(&["group", "members", "probe"]).succeeded().stdout;
    assert_eq!(listed.lines().count(), 4, "{listed}");
    let page = json(&cell, &["group", "members", "probe", "--limit", "1"]);
    assert_eq!((&page["members"][0]["name"], &page["total"]), (&"probe.a@test.internal".into(), &3.into()));
    assert_eq!(page["next"], "probe.a@test.internal");
    let out = cell.run(&["group", "members", "probe", "--remove", "probe.b"]).succeeded().stdout;
    assert!(out.starts_with("probe.b@test.internal is no member of probe@test.internal"), "{out}");
    assert!(out.contains("What it can still open, under tickets given before, ends by 20"), "{out}");
    let all = cell.run(&["group", "members", "probe", "--all"]).succeeded().stdout;
    assert!(all.contains("probe.b@test.internal  left out: taken out\n"), "{all}");
    let stale =
        cell.run(&["group", "members", "probe", "--restore", "probe.b", "--if-revision", "1"]).failed();
    assert!(stale.contains("look again, then repeat"), "{stale}");
    assert_eq!(
        json(&cell, &["group", "members", "probe", "--restore", "probe.b"])["restored"],
        "probe.b@test.internal"
    );
    // Who was not taken out need not be let in, nor is it the first that this is done.
    let before = json(&cell, &["group", "show", "probe"])["revision"].clone();
    for name in ["probe.b", "probe.c", "nobody"] {
        let same = cell.run(&["group", "members", "probe", "--restore", name]).succeeded().stdout;
        assert_eq!(
            same,
            format!("{name}@test.internal was not taken out of probe@test.internal: nothing is changed.\n")
        );
    }
    assert_eq!(json(&cell, &["group", "members", "probe", "--restore", "probe.b"])["restored"], Value::Null);
    assert_eq!(json(&cell, &["group", "show", "probe"])["revision"], before);
    let mistyped = cell.run(&["group", "members", "probe", "--remove", "probe.bb"]).failed();
    assert!(mistyped.contains("there is no party probe.bb@test.internal"), "{mistyped}");

    let updated = json(
        &cell,
        &["group", "update", "probe", "--author-proof", "true", "--lifetime", "1m", "--members", "probe.?"],
    );
    assert_eq!(
        (&updated["author_proof"], &updated["lifetime_seconds"], &updated["members"][0]),
        (&true.into(), &60.into(), &"probe.?@test.internal".into())
    );
    let rotated = cell.run(&["group", "rotate", "probe"]).succeeded().stdout;
    assert!(rotated.contains("of a new chain.\nWhat is on its way opens as before"), "{rotated}");
    assert_eq!(json(&cell, &["group", "list", "--limit", "1"])["groups"][0]["name"], "probe@test.internal");
    assert!(cell.run(&["status"]).succeeded().stdout.contains("\ngroups       1\n"));

    let dry = cell.run(&["group", "delete", "probe", "--dry-run"]).succeeded().stdout;
    assert!(dry.starts_with("This would be deleted:\n\nname          probe@test.internal\n"), "{dry}");
    assert_eq!(
        cell.run(&["group", "delete", "probe"]).succeeded().stdout,
        "probe@test.internal is deleted.\n"
    );
    assert!(cell.run(&["group", "show", "probe"]).failed().contains("there is no group probe@test.internal"));
}

#[test]
fn who_may_send_is_said_and_what_to_do_where_nobody_may() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let may = cell.run(&["group", "create", "probe"]).succeeded().stdout;
    assert!(may.ends_with("\nMay send to it: *@test.internal (rule open).\n"), "{may}");
    cell.run(&["policy", "delete", "open"]).succeeded();
    let nobody = cell.run(&["group", "show", "probe"]).succeeded().stdout;
    let hint = "No rule lets anybody send to it: keycell policy add --allow SENDERS probe\n";
    assert!(nobody.ends_with(hint), "{nobody}");
    // And what it says is what to do.
    cell.run(&["policy", "add", "--allow", "cma.*", "probe", "--id", "cma"]).succeeded();
    cell.run(&["policy", "add", "--deny", "cma.bad", "probe", "--id", "bad"]).succeeded();
    let shown = cell.run(&["group", "show", "probe"]).succeeded().stdout;
    let said = "May send to it: cma.*@test.internal (rule cma).\n\
                May not, whatever other rules say: cma.bad@test.internal (rule bad).\n";
    assert!(shown.ends_with(said), "{shown}");
    let told = cell.run(&["policy", "test", "cma.one", "probe"]).succeeded().stdout;
    assert!(told.contains("the lifetime of the group cuts that to 300 s"), "{told}");
}

#[test]
fn a_party_s_groups_are_told_with_it_and_by_themselves() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    cell.run(&["party", "add", "probe.a"]).succeeded();
    let shown = cell.run(&["party", "show", "probe.a"]).succeeded().stdout;
    assert!(shown.ends_with("\n\nMember of no group.\n"), "{shown}");
    let none = cell.run(&["group", "list", "--member", "probe.a"]).succeeded().stdout;
    assert_eq!(none, "probe.a@test.internal is a member of no group.\n");
    for name in ["lab", "probe", "web"] {
        cell.run(&["group", "create", name, "--members", "probe.*"]).succeeded();
    }
    cell.run(&["group", "members", "probe", "--remove", "probe.a"]).succeeded();
    let shown = cell.run(&["party", "show", "probe.a"]).succeeded().stdout;
    let told = "\nMember of lab@test.internal, web@test.internal.\nNo member of probe@test.internal (left out: taken out).\n";
    assert!(shown.ends_with(told), "{shown}");
    let shown = json(&cell, &["party", "show", "probe.a"]);
    assert_eq!(
        (&shown["name"], &shown["groups"][1]),
        (
            &"probe.a@test.internal".into(),
            &serde_json::json!({ "name": "probe@test.internal", "left_out": "excluded" })
        )
    );
    let names = |arguments: &[&str]| {
        let page = json(&cell, &[&["group", "list", "--member", "probe.a"], arguments].concat());
        page["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names(&[]), ["lab@test.internal", "web@test.internal"]);
    assert_eq!(names(&["--all", "--after", "lab", "--limit", "1"]), ["probe@test.internal"]);
    let all = cell.run(&["group", "list", "--member", "probe.a", "--all"]).succeeded().stdout;
    assert!(all.contains("\nprobe@test.internal  left out: taken out  5m"), "{all}");
    let mistyped = cell.run(&["group", "list", "--member", "probe.aa"]).failed();
    assert!(mistyped.contains("there is no party probe.aa@test.internal"), "{mistyped}");
}

#[test]
fn a_rule_that_lets_a_group_ask_is_warned_of() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let warning = "Rule late never decides anything: probe@test.internal is a group, and only parties ask for tickets: write \
                   who is to ask, such as probe.*@test.internal.\n";
    // There may be a party of that name.
    let added = cell.run(&["policy", "add", "--allow", "probe", "cma.*", "--id", "late"]).succeeded().stdout;
    assert!(!added.contains("never decides"), "{added}");
    cell.run(&["group", "create", "probe"]).succeeded();
    for shown in
        [&["policy", "show", "late"][..], &["policy", "list"], &["policy", "update", "late", "--deny"]]
    {
        let shown = cell.run(shown).succeeded().stdout;
        assert!(shown.contains(&format!("\n{warning}")), "{shown}");
    }
    let added = cell.run(&["policy", "add", "--allow", "probe", "*", "--id", "more"]).succeeded().stdout;
    assert!(added.contains("\nRule more never decides anything: probe@test.internal is a group"), "{added}");
    cell.run(&["policy", "export", "policy.toml"]).succeeded();
    let path = cell.folder().join("policy.toml");
    let document = std::fs::read_to_string(&path).unwrap();
    assert!(!document.contains("never decides") && !document.contains("warning"), "{document}");
    std::fs::write(&path, document.replace("\"late\"", "\"later\"")).unwrap();
    for applied in [&["policy", "apply", "policy.toml", "--dry-run"][..], &["policy", "apply", "policy.toml"]]
    {
        let applied = cell.run(applied).succeeded().stdout;
        assert!(applied.contains("\nRule later never decides anything"), "{applied}");
    }
    // Also of what is there already.
    let applied = cell.run(&["policy", "apply", "policy.toml"]).succeeded().stdout;
    assert!(applied.contains("\nRule more never decides anything"), "{applied}");
    assert!(applied.contains("\nNothing differs; the policy stays"), "{applied}");
    // Its members may, and to the group anybody.
    for (source, destination) in [("probe.*", "probe"), ("pro*", "cma.*")] {
        let added = json(&cell, &["policy", "add", "--allow", source, destination]);
        assert_eq!(added.get("warning"), None, "{added}");
    }
}
