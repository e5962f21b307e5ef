//! The whole policy at once: all of it or nothing.

use keycell_protocol::ProblemType;
use keycell_tests::admin::POLICY;
use keycell_tests::cell::Cell;
use reqwest::Method;
use serde_json::{Value, json};

fn rules(n: u32) -> Vec<Value> {
    (0..n)
        .map(|n| {
            let to = format!("h{n:05}");
            json!({ "id": format!("r{n:05}"), "effect": "allow", "source": "*", "destination": to, "note": "one of many" })
        })
        .collect()
}

#[tokio::test]
async fn one_bad_rule_in_a_thousand_changes_nothing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let before = admin.get(POLICY).await;
    let recorded = admin.records().await.len();
    for (field, value, at) in [
        ("source", json!("a["), "rules[617].source"),
        ("destination", json!(""), "rules[617].destination"),
        ("effect", json!("perhaps"), "rules[617].effect"),
        ("mode", json!("loud"), "rules[617].mode"),
        ("max_lifetime_seconds", json!(9), "rules[617].max_lifetime_seconds"),
        ("note", json!("n".repeat(201)), "rules[617].note"),
        ("id", json!("R 1"), "rules[617].id"),
        ("id", json!("r00003"), "rules[617].id"),
        ("colour", json!("red"), "rules[617].colour"),
        ("effect", json!(1), "rules[617].effect"),
    ] {
        let mut rules = rules(1000);
        rules[617][field] = value.clone();
        for query in ["", "?dry_run=true"] {
            let refused =
                admin.send(Method::PUT, &format!("{POLICY}{query}"), &json!({ "rules": rules })).await;
            assert_eq!(refused.status, 400, "{field} {value}{query}");
            assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{field} {value}");
            assert_eq!(refused.problem().field.as_deref(), Some(at), "{value}: {}", refused.text());
        }
    }
    let good = json!({ "rules": rules(1000) });
    let would = admin.send(Method::PUT, &format!("{POLICY}?dry_run=true"), &good).await;
    assert_eq!(would.status, 200, "{}", would.text());
    assert_eq!(would.json()["rules"].as_array().unwrap().len(), 1000);

    let after = admin.get(POLICY).await;
    assert_eq!((after.text(), after.header("etag")), (before.text(), before.header("etag")));
    assert_eq!(admin.records().await.len(), recorded, "nothing was done, and nothing recorded");
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);

    let put = admin.send(Method::PUT, POLICY, &good).await;
    assert_eq!((put.status, &put.json()), (200, &admin.get(POLICY).await.json()));
    assert_ne!(put.header("etag"), before.header("etag"));
    assert_eq!(a.refusal(&http, "b@test.internal").await, Some(ProblemType::NotAllowed));
    let records = admin.records().await;
    let of = |action: &str| records[recorded..].iter().filter(|record| record["action"] == action).count();
    assert_eq!((of("rule.create"), of("rule.delete"), of("policy.replace")), (1000, 1, 1));
    let whole = records.iter().find(|record| record["action"] == "policy.replace").unwrap();
    assert_eq!(
        (&whole["detail"]["made"], &whole["detail"]["changed"], &whole["detail"]["deleted"]),
        (&json!(1000), &json!(0), &json!(1))
    );
    admin.assert_intact().await;
}

#[tokio::test]
async fn the_largest_policy_can_be_put() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let put = admin.send(Method::PUT, POLICY, &json!({ "rules": rules(10_000) })).await;
    assert_eq!(put.status, 200, "{}", put.text());
    assert_eq!(admin.get(POLICY).await.json()["rules"].as_array().unwrap().len(), 10_000);
    let more = admin.send(Method::PUT, POLICY, &json!({ "rules": rules(10_001) })).await;
    assert_eq!(
        (more.kind(), more.problem().field.as_deref()),
        (ProblemType::MalformedRequest, Some("rules"))
    );
}
