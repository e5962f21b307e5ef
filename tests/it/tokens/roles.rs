//! Which role reaches which operation: all of them.

use keycell_protocol::ProblemType;
use keycell_tests::admin::{ENROLLMENT, GROUPS, LIMITS, TOKENS, ZONE, group_path};
use keycell_tests::cell::Cell;
use keycell_tests::http::party_path;
use reqwest::Method;
use serde_json::{Value, json};

/// What an operation needs: a new one is to be put here, or the test fails.
const NEEDED: &[(&str, &str, &str)] = &[
    ("POST", "/v1/tickets", ""),
    ("POST", "/v1/keys/rotate", ""),
    ("POST", "/v1/vouchers", ""),
    ("POST", "/v1/group-keys", ""),
    ("POST", "/v1/peer/tickets", ""),
    ("POST", "/v1/enroll", ""),
    ("GET", "/v1/zone", ""),
    ("GET", "/v1/bundle", ""),
    ("GET", "/livez", ""),
    ("GET", "/readyz", ""),
    ("GET", "/metrics", ""),
    ("GET", "/openapi.yaml", ""),
    ("GET", "/docs", ""),
    ("GET", "/v1/admin/whoami", "auditor"),
    ("GET", "/v1/admin/status", "auditor"),
    ("GET", "/v1/admin/parties", "auditor"),
    ("POST", "/v1/admin/parties", "operator"),
    ("POST", "/v1/admin/parties/import", "operator"),
    ("GET", "/v1/admin/parties/{name}", "auditor"),
    ("PATCH", "/v1/admin/parties/{name}", "operator"),
    ("DELETE", "/v1/admin/parties/{name}", "operator"),
    ("GET", "/v1/admin/parties/{name}/keys", "auditor"),
    ("POST", "/v1/admin/parties/{name}/keys", "operator"),
    ("DELETE", "/v1/admin/parties/{name}/author-key", "operator"),
    ("GET", "/v1/admin/conflicts", "auditor"),
    ("DELETE", "/v1/admin/conflicts/{name}", "operator"),
    ("POST", "/v1/admin/keys/rotate", "operator"),
    ("GET", "/v1/admin/trusts", "auditor"),
    ("POST", "/v1/admin/trusts/offers", "admin"),
    ("POST", "/v1/admin/trusts/accepted", "admin"),
    ("GET", "/v1/admin/trusts/{direction}/{zone}", "auditor"),
    ("PATCH", "/v1/admin/trusts/{direction}/{zone}", "admin"),
    ("DELETE", "/v1/admin/trusts/{direction}/{zone}", "admin"),
    ("POST", "/v1/admin/trusts/{direction}/{zone}/rotate", "admin"),
    ("GET", "/v1/admin/groups", "auditor"),
    ("POST", "/v1/admin/groups", "operator"),
    ("GET", "/v1/admin/groups/{name}", "auditor"),
    ("PATCH", "/v1/admin/groups/{name}", "operator"),
    ("DELETE", "/v1/admin/groups/{name}", "operator"),
    ("POST", "/v1/admin/groups/{name}/rotate", "operator"),
    ("GET", "/v1/admin/groups/{name}/members", "auditor"),
    ("PUT", "/v1/admin/groups/{name}/excluded/{party}", "operator"),
    ("DELETE", "/v1/admin/groups/{name}/excluded/{party}", "operator"),
    ("GET", "/v1/admin/policy", "auditor"),
    ("PUT", "/v1/admin/policy", "admin"),
    ("POST", "/v1/admin/policy/test", "auditor"),
    ("GET", "/v1/admin/policy/profiles", "auditor"),
    ("GET", "/v1/admin/policy/rules", "auditor"),
    ("POST", "/v1/admin/policy/rules", "admin"),
    ("GET", "/v1/admin/policy/rules/{id}", "auditor"),
    ("PATCH", "/v1/admin/policy/rules/{id}", "admin"),
    ("DELETE", "/v1/admin/policy/rules/{id}", "admin"),
    ("GET", "/v1/admin/tokens", "auditor"),
    ("POST", "/v1/admin/tokens", "admin"),
    ("GET", "/v1/admin/tokens/{id}", "auditor"),
    ("DELETE", "/v1/admin/tokens/{id}", "admin"),
    ("GET", "/v1/admin/zone", "auditor"),
    ("PATCH", "/v1/admin/zone", "admin"),
    ("GET", "/v1/admin/limits", "auditor"),
    ("PATCH", "/v1/admin/limits", "admin"),
    ("GET", "/v1/admin/enrollment", "auditor"),
    ("PATCH", "/v1/admin/enrollment", "admin"),
    ("GET", "/v1/admin/join-tokens", "auditor"),
    ("POST", "/v1/admin/join-tokens", "operator"),
    ("GET", "/v1/admin/join-tokens/{id}", "auditor"),
    ("DELETE", "/v1/admin/join-tokens/{id}", "operator"),
    ("GET", "/v1/admin/enrollments", "auditor"),
    ("GET", "/v1/admin/enrollments/{fingerprint}", "auditor"),
    ("POST", "/v1/admin/enrollments/{fingerprint}/approve", "operator"),
    ("POST", "/v1/admin/enrollments/{fingerprint}/deny", "operator"),
    ("DELETE", "/v1/admin/enrollments/{fingerprint}", "operator"),
    ("GET", "/v1/admin/identities", "auditor"),
    ("GET", "/v1/admin/master-key", "auditor"),
    ("POST", "/v1/admin/master-key/rotate", "admin"),
    ("GET", "/v1/admin/ratchet", "auditor"),
    ("POST", "/v1/admin/ratchet/confirm", "admin"),
    ("GET", "/v1/admin/audit", "auditor"),
    ("GET", "/v1/admin/audit/export", "auditor"),
    ("POST", "/v1/admin/audit/verify", "auditor"),
    ("GET", "/v1/admin/audit/seal", "auditor"),
    ("POST", "/v1/admin/audit/trim", "admin"),
    ("POST", "/v1/admin/reload", "admin"),
];
const ROLES: [&str; 4] = ["", "auditor", "operator", "admin"];

#[tokio::test]
async fn every_operation_needs_its_role_and_no_more() {
    let cell = Cell::sqlite();
    cell.configure("limits = { failures_per_address = { per_second = 1000, burst = 1000 } }");
    let kdc = cell.serve();
    let clients: Vec<_> = ROLES
        .iter()
        .map(|role| if role.is_empty() { kdc.http() } else { kdc.http().with_token(&cell.token(role)) })
        .collect();
    let routes = keycell_kdc::http::routes();
    assert_eq!(routes.len(), NEEDED.len(), "an expectation for each operation");
    for route in &routes {
        let (method, path) = (&route.method, route.path);
        let needed = NEEDED.iter().find(|(m, p, _)| (*m, *p) == (method.as_str(), path));
        let (.., needed) = needed.unwrap_or_else(|| panic!("who may {method} {path}?"));
        let reach = |role: &str| ROLES.iter().position(|one| *one == role).unwrap();
        let target = path
            .replace("{name}", "nobody")
            .replace("{id}", "nobody")
            .replace("{party}", "nobody")
            .replace("{fingerprint}", "nobody");
        for (role, client) in ROLES.iter().zip(&clients) {
            // Nothing that could be done: a body that is wrong, a thing that is not there.
            let body = if method == Method::GET { Value::Null } else { json!({ "nothing": 1 }) };
            let answer = client.send_with(method.clone(), &target, &[], &body).await;
            let what = format!("{method} {path} as {role:?}: {} {}", answer.status, answer.text());
            assert!(answer.status < 500, "{what}");
            if reach(role) >= reach(needed) {
                assert!(![401, 403].contains(&answer.status), "{what}");
            } else if role.is_empty() {
                assert_eq!(answer.kind(), ProblemType::InvalidToken, "{what}");
            } else {
                assert_eq!(answer.kind(), ProblemType::Forbidden, "{what}");
            }
        }
    }
}

#[tokio::test]
async fn who_may_not_changes_nothing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    let group = json!({ "name": "g@test.internal", "members": ["a"] });
    assert_eq!(admin.send(Method::POST, GROUPS, &group).await.status, 201);
    let state = async || {
        let mut state = String::new();
        for path in
            [&party_path("a@test.internal"), "/v1/admin/policy", GROUPS, TOKENS, ZONE, LIMITS, ENROLLMENT]
        {
            state.push_str(&admin.get(path).await.text());
        }
        state
    };
    let (auditor, operator) = (cell.token("auditor"), cell.token("operator"));
    for token in [&auditor, &operator] {
        // What the console made is known from here on.
        assert_eq!(kdc.http().with_token(token).get("/v1/admin/whoami").await.status, 200);
    }
    let before = state().await;
    let rule = json!({ "effect": "allow", "source": "a", "destination": "b" });
    for (role, token) in [("auditor", &auditor), ("operator", &operator)] {
        let http = kdc.http().with_token(token);
        let mut acts = vec![
            (Method::PUT, "/v1/admin/policy".to_owned(), json!({ "rules": [] })),
            (Method::POST, "/v1/admin/policy/rules".to_owned(), rule.clone()),
            (Method::PATCH, "/v1/admin/policy/rules/open".to_owned(), json!({ "mode": "monitor" })),
            (Method::DELETE, "/v1/admin/policy/rules/open".to_owned(), Value::Null),
            (Method::PATCH, ZONE.to_owned(), json!({ "ticket_lifetime_seconds": 60 })),
            (Method::PATCH, LIMITS.to_owned(), json!({ "per_address": { "per_second": 1, "burst": 1 } })),
            (Method::PATCH, ENROLLMENT.to_owned(), json!({ "mode": "tofu" })),
            (Method::POST, "/v1/admin/audit/trim".to_owned(), json!({ "before": 9_999_999_999_999_u64 })),
        ];
        for above in ["auditor", "operator", "admin"] {
            acts.push((Method::POST, TOKENS.to_owned(), json!({ "subject": "x", "role": above })));
        }
        if role == "auditor" {
            acts.push((Method::PATCH, party_path("a@test.internal"), json!({ "enabled": false })));
            acts.push((Method::DELETE, party_path("a@test.internal"), Value::Null));
            acts.push((Method::POST, "/v1/admin/parties".to_owned(), json!({ "name": "b@test.internal" })));
            let out = format!("{}/excluded/{}", group_path("g@test.internal"), "a%40test.internal");
            acts.push((Method::POST, GROUPS.to_owned(), json!({ "name": "h@test.internal" })));
            acts.push((Method::PATCH, group_path("g@test.internal"), json!({ "author_proof": true })));
            acts.push((Method::POST, format!("{}/rotate", group_path("g@test.internal")), Value::Null));
            acts.push((Method::PUT, out.clone(), Value::Null));
            acts.push((Method::DELETE, out, Value::Null));
            acts.push((Method::DELETE, group_path("g@test.internal"), Value::Null));
        }
        for (method, path, body) in acts {
            let refused = http.send_with(method.clone(), &path, &[("idempotency-key", "k")], &body).await;
            assert_eq!(refused.kind(), ProblemType::Forbidden, "{role} {method} {path} {body}");
        }
        assert_eq!(state().await, before, "{role}");
        let actor = "administrator:admin";
        let needs = format!("role {}", if role == "auditor" { "operator" } else { "admin" });
        let record = admin
            .recorded("who may not", |record| {
                record["action"] == "administrator.deny" && record["target"] == needs.as_str()
            })
            .await;
        assert_eq!((&record["actor"], &record["outcome"]), (&json!(actor), &json!("denied")), "{record}");
    }
    let records = admin.records().await;
    let done = records.iter().filter(|r| r["outcome"] == "done").map(|r| r["action"].as_str().unwrap());
    let mut done: Vec<_> = done.filter(|action| *action != "token.create").collect();
    done.sort_unstable();
    assert_eq!(done, ["group.create", "kdc.start", "party.create", "rule.create", "zone.create"]);
    assert_eq!(kdc.http().with_token(&auditor).get("/v1/admin/parties").await.status, 200);
}
