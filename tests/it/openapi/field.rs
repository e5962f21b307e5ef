//! What is at fault is named.

use keycell_tests::cell::Cell;
use keycell_tests::http::Answer;
use reqwest::Method;
use reqwest::header::IF_MATCH;
use serde_json::json;

#[tokio::test]
async fn a_problem_names_the_field_the_parameter_or_the_header() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    let party = "/v1/admin/parties/a%40test.internal";
    let (policy, limits) = ("/v1/admin/policy", "/v1/admin/limits");
    let good = json!({ "effect": "allow", "source": "a", "destination": "b" });
    let bad = json!({ "effect": "allow", "source": "", "destination": "b" });
    let listed = json!({ "rules": [good, ["x", "allow", "enforce", "a", "b", 60, "", 5]] });
    for (method, path, body, field) in [
        (Method::GET, "/v1/admin/parties?limit=x", json!(null), "limit"),
        (Method::GET, "/v1/admin/parties?limit=0", json!(null), "limit"),
        (Method::GET, "/v1/admin/parties?match=[", json!(null), "match"),
        (Method::GET, "/v1/admin/parties?state=off", json!(null), "state"),
        (Method::GET, "/v1/admin/policy/rules?after=A", json!(null), "after"),
        (Method::GET, "/v1/admin/tokens?after=4f1c0a9be27d5580316ccf02", json!(null), "after"),
        (Method::GET, "/v1/admin/tokens/x", json!(null), "id"),
        (Method::GET, "/v1/admin/audit?outcome=deny", json!(null), "outcome"),
        (Method::GET, "/v1/admin/audit?action=enrollment.refused", json!(null), "action"),
        (Method::PATCH, party, json!({ "enabled": null }), "enabled"),
        (Method::PUT, policy, json!({ "rules": [good, bad] }), "rules[1].source"),
        (Method::PUT, policy, listed, "rules[1]"),
        (Method::PATCH, limits, json!({ "per_address": [1, 2] }), "per_address"),
        (
            Method::PATCH,
            limits,
            json!({ "per_address": { "per_second": 0, "burst": 1 } }),
            "per_address.per_second",
        ),
    ] {
        let problem = admin.send(method.clone(), path, &body).await.problem();
        assert_eq!((problem.status, problem.field.as_deref()), (400, Some(field)), "{method} {path} {body}");
    }
    let untagged = admin.request(Method::DELETE, party).header(IF_MATCH, "7");
    assert_eq!(Answer::of(untagged).await.problem().field.as_deref(), Some("If-Match"));
    let weak = admin.request(Method::DELETE, party).header(IF_MATCH, "\"7\", W/\"1\"");
    assert_eq!(Answer::of(weak).await.status, 204);
    let list = admin.send(Method::PATCH, party, &json!([])).await;
    assert_eq!(list.status, 400, "{}", list.text());
}
