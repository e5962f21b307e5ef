//! Who may come aboard.

use keycell_protocol::ProblemType;
use keycell_tests::admin::ENROLLMENT;
use keycell_tests::cell::Cell;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn settings_begin_strict_and_last() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let begin = admin.get(ENROLLMENT).await.json();
    assert_eq!(
        begin,
        json!({ "revision": 0, "mode": "token", "services": ["nanoprobe"], "hosts": ["*"], "networks": [],
                "conflicts": "alarm", "clones": "alarm", "reenroll_within_seconds": 600,
                "pending_most": 10_000, "pending_days": 7, "tofu_most": 100_000 })
    );
    let all = json!({ "mode": "approve", "services": ["cma", "web"], "hosts": ["web*.example", "db?"],
                      "networks": ["192.0.2.0/24", "2001:db8::/32"], "conflicts": "hold", "clones": "disable",
                      "reenroll_within_seconds": 60, "pending_most": 5, "pending_days": 30,
                      "tofu_most": 10_000_000 });
    let set = admin.send(Method::PATCH, ENROLLMENT, &all).await;
    assert_eq!(set.status, 200, "{}", set.text());
    let mut expected = all.clone();
    expected["revision"] = json!(1);
    assert_eq!(set.json(), expected);
    assert_eq!(set.header("etag"), "\"1\"");
    let record = admin.records().await.pop().unwrap();
    assert_eq!(
        (&record["action"], &record["detail"]["mode"]),
        (&json!("enrollment.update"), &json!("approve"))
    );
    assert_eq!(record["detail"]["networks_before"], json!([]), "{record}");
    // Also after a crash; what goes back to its default is told from what stays.
    kdc.kill9();
    kdc = cell.serve();
    let admin = cell.admin(&kdc);
    assert_eq!(admin.get(ENROLLMENT).await.json(), expected);
    let some = json!({ "networks": null, "services": null, "mode": null });
    let set = admin.send(Method::PATCH, ENROLLMENT, &some).await.json();
    for (field, value) in expected.as_object().unwrap() {
        let value = match field.as_str() {
            "revision" => &json!(2),
            field if some.get(field).is_some() => &begin[field],
            _ => value,
        };
        assert_eq!(&set[field], value, "{field}");
    }
}

#[tokio::test]
async fn what_is_no_setting_is_refused_by_its_name() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let many: Vec<_> = (0..65).map(|n| format!("h{n}")).collect();
    for (field, values) in [
        ("mode", vec![json!("open"), json!(1)]),
        (
            "services",
            vec![json!([]), json!(["A"]), json!(["#x"]), json!(["a.b"]), json!(["a", "a"]), json!(many)],
        ),
        ("hosts", vec![json!([]), json!(["Web*"]), json!(["web["]), json!(["a", "a"]), json!(many)]),
        (
            "networks",
            vec![
                json!(["192.0.2.1/24"]),
                json!(["192.0.2.0"]),
                json!(["192.0.2.0/33"]),
                json!(["::ffff:192.0.2.0/120"]),
                json!(["10.0.0.0/8", "10.0.0.0/8"]),
            ],
        ),
        ("conflicts", vec![json!("disable")]),
        ("clones", vec![json!("hold")]),
        ("reenroll_within_seconds", vec![json!(0), json!(86_401), json!("60")]),
        ("pending_most", vec![json!(0), json!(100_001)]),
        ("pending_days", vec![json!(0), json!(366)]),
        ("tofu_most", vec![json!(0), json!(10_000_001)]),
    ] {
        for value in values {
            let refused = admin.send(Method::PATCH, ENROLLMENT, &json!({ field: value })).await;
            assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{field} {value}");
            let at_fault = refused.problem().field.unwrap();
            assert_eq!(at_fault.split('[').next(), Some(field), "{field} {value}");
        }
    }
    assert_eq!(admin.get(ENROLLMENT).await.json()["revision"], 0);
}

#[tokio::test]
async fn a_setting_of_enrollment_reaches_a_replica() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let (admin, there) = (cell.admin(&kdc), cell.admin(&replica));
    assert_eq!(admin.send(Method::PATCH, ENROLLMENT, &json!({ "mode": "closed" })).await.status, 200);
    until("the replica follows", async || {
        (there.get(ENROLLMENT).await.json()["mode"] == "closed").then_some(())
    })
    .await;
}

#[test]
fn the_command_line_shows_and_sets() {
    let cell = Cell::sqlite();
    cell.run(&["token", "create"]).succeeded();
    let _kdc = cell.serve();
    let shown = cell.run(&["enroll", "settings"]).succeeded().stdout;
    assert!(shown.starts_with("mode              token: who has a join token gets in\n"), "{shown}");
    assert!(shown.contains("networks          any\n") && shown.contains("10000 hosts, for 7d\n"), "{shown}");
    let set = [
        "enroll",
        "settings",
        "--mode",
        "approve",
        "--services",
        "cma",
        "--services",
        "web",
        "--network",
        "192.0.2.0/24",
        "--reenroll-within",
        "30m",
        "--pending-for",
        "2d",
        "--json",
    ];
    let view: Value = serde_json::from_str(&cell.run(&set).succeeded().stdout).unwrap();
    assert_eq!(
        (&view["mode"], &view["services"], &view["reenroll_within_seconds"], &view["pending_days"]),
        (&json!("approve"), &json!(["cma", "web"]), &json!(1800), &json!(2))
    );
    let any = cell.run(&["enroll", "settings", "--network", "any", "--if-revision", "1"]).succeeded().stdout;
    assert!(any.contains("networks          any\n") && any.ends_with("revision          2\n"), "{any}");
    for (arguments, said) in [
        (&["--network", "any", "--network", "10.0.0.0/8"][..], "goes with no other network"),
        (&["--network", "10.0.0.1/8"], "write 10.0.0.0/8"),
        (&["--if-revision", "2"], "goes with a setting to change"),
        (&["--mode", "closed", "--if-revision", "1"], "it is at revision 2 now"),
        (&["--hosts", "Web*"], "a pattern of hosts is lower case"),
    ] {
        let refused = cell.run(&[&["enroll", "settings"], arguments].concat());
        assert!(
            refused.code != Some(0) && refused.stderr.contains(said),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
}
