//! A second zone beside the first.

use std::fs;

use serde_json::{Value, json};

use super::{dev, succeeded, take_usual_port};

#[test]
fn everything_holds_at_the_border_in_a_new_folder_and_in_the_same_again() {
    let _taken = take_usual_port();
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cell");
    let first = dev(&folder, &["--once", "--zones", "2", "--json"]);
    let report: Value = serde_json::from_str(&succeeded(&first)).unwrap();
    let border = &report["border"];
    assert_eq!(border["zone"], "dev2.internal");
    let said = &border["said"];
    // One request for all hosts over there, and none of theirs to answer.
    assert_eq!((&said["asked"], &said["lookups"]), (&json!(1), &json!(0)));
    assert_eq!((&said["answers"], &said["group_answers"]), (&json!(18), &json!(18)));
    let rows = border["table"].as_array().unwrap().iter();
    let rows = rows.map(|row| [&row["from"], &row["to"], &row["verdict"]].map(|text| text.as_str().unwrap()));
    let (cma, near, far) =
        ("cma.main@dev.internal", "nanoprobe.one@dev.internal", "nanoprobe.one@dev2.internal");
    let third = "cma@dev3.internal";
    assert_eq!(
        rows.collect::<Vec<_>>(),
        [
            [cma, far, "given"],
            [cma, "nanoprobe@dev2.internal", "given"],
            [far, cma, "given"],
            [near, far, "not-allowed"],
            [far, near, "not-allowed"],
            [cma, "nanoprobe.absent@dev2.internal", "unknown-destination"],
            [cma, third, "untrusted-zone"],
            [far, third, "untrusted-zone"],
        ]
    );
    let verdicts = |part: &str| {
        let tried = border[part].as_array().unwrap().iter();
        let verdict = |tried: &Value| {
            let verdict = tried["seen"].as_object().unwrap().keys().next().unwrap().clone();
            (tried["name"].as_str().unwrap().to_owned(), verdict)
        };
        tried.map(verdict).collect::<Vec<_>>()
    };
    let expected = [
        ("usurped", "untrusted-zone"),
        ("usurped", "untrusted-zone"),
        ("transit", "untrusted-zone"),
        ("replayed", "replayed"),
        ("reflected", "unauthenticated"),
        ("stranger", "unauthenticated"),
        ("own", "given"),
        ("vouched", "author-unknown"),
    ];
    assert_eq!(verdicts("tried"), expected.map(|(name, seen)| (name.to_owned(), seen.to_owned())));
    let closed = verdicts("closed");
    assert!(closed[0].0 == "closed" && closed[0].1 != "given", "{closed:?}");
    assert_eq!((&*closed[1].1, &*closed[2].1), ("given", "given"));
    let checks = report["checks"].as_array().unwrap();
    assert!(checks.iter().all(|check| check["held"] == true), "{checks:?}");

    let second = dev(&folder, &["--once", "--zones", "2"]);
    let text = succeeded(&second);
    for expected in [
        "The zone dev2.internal, KDC at https://127.0.0.1:",
        "18 answers, over a wire that loses",
        "refused: untrusted-zone (The destination's zone is not trusted)",
        "refused: author-unknown",
        "gives: given",
        "checks held.",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    for output in [&first, &second] {
        let printed = [&output.stdout[..], &output.stderr].concat();
        let printed = String::from_utf8(printed).unwrap();
        for host in ["cma.main@dev.internal", "nanoprobe.one@dev.internal"] {
            super::not_printed(&printed, &folder.join(format!("hosts/{host}")));
        }
        super::not_printed(&printed, &folder.join("zone2/hosts/nanoprobe.one@dev2.internal"));
        assert!(!printed.contains("KEYCELL TRUST OFFER"), "an offer");
        let master = fs::read_to_string(folder.join("zone2/master.key")).unwrap();
        for word in master.split([':', '\n']).filter(|word| word.len() > 20) {
            assert!(!printed.contains(word));
        }
    }
    // The first zone goes on without the second, and says nothing of it.
    let alone: Value = serde_json::from_str(&succeeded(&dev(&folder, &["--once", "--json"]))).unwrap();
    assert_eq!(alone.get("border"), None);
}

#[test]
fn there_are_no_more_than_two_zones() {
    let temporary = tempfile::tempdir().unwrap();
    let folder = temporary.path().join("cell");
    for zones in ["0", "3", "two"] {
        let refused = dev(&folder, &["--once", "--zones", zones]);
        assert_eq!(refused.status.code(), Some(2), "{zones}");
    }
    assert!(!folder.exists());
}
