//! Every kind of answer of every operation that a client can bring about.

mod parties;
mod trusts;

use std::collections::BTreeSet;

use keycell_kdc::keyring::MasterKeySource;
use keycell_protocol::{AuthorKey, JoinToken, Step};
use keycell_tests::admin::ENROLLMENT;
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::{Answer, Http};
use keycell_tests::openapi::Description;
use keycell_tests::party::{Party, now};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, ETAG, IF_MATCH, IF_NONE_MATCH};
use serde_json::{Value, json};

use super::{answering, request};

/// Asks for all of them, and returns which answers came: operation and status.
pub(crate) async fn answers() -> BTreeSet<(String, u16)> {
    let cell = Cell::sqlite();
    cell.configure("limits = { body_bytes = 32768 }");
    let join_token = cell.join_token(1).await;
    let zones = [cell.trusts("other.example", true).await, cell.trusts("off.example", false).await];
    let kdc = cell.serve();
    let master = MasterKeySource::File(cell.file("master.key"));
    master.append(None, &mut keycell_kdc::random::system()).unwrap();
    let (admin, auditor) = (cell.admin(&kdc), kdc.http().with_token(&cell.token("auditor")));
    let mut seen = Seen { http: kdc.http(), admin, join_token, all: BTreeSet::new() };

    seen.tickets().await;
    seen.peer_tickets(&zones).await;
    let (token, join) = seen.successes().await;
    let host = Host::new("nanoprobe", "web1.example");
    seen.send(200, Method::PATCH, ENROLLMENT, &json!({ "mode": "approve" })).await;
    host.wait(&seen.admin, &seen.admin.bundle().await).await;
    let approve = format!("/v1/admin/enrollments/{}/approve", host.fingerprint());
    seen.send(200, Method::POST, &approve, &json!(null)).await;
    seen.preconditions().await;
    seen.refused(&auditor, &token).await;
    seen.deleted(&token, &join).await;
    for path in ["/openapi.yaml", "/docs"] {
        let etag = seen.http.get(path).await.header(ETAG.as_str()).to_owned();
        seen.see(304, seen.http.request(Method::GET, path).header(IF_NONE_MATCH, etag)).await;
    }
    cell.configure("tickets = { lifetime_seconds = 1 }");
    seen.send(409, Method::POST, "/v1/admin/reload", &json!(null)).await;
    seen.all
}

struct Seen {
    http: Http,
    admin: Http,
    /// What lets a host in.
    join_token: JoinToken,
    all: BTreeSet<(String, u16)>,
}

impl Seen {
    async fn see(&mut self, status: u16, request: reqwest::RequestBuilder) -> Answer {
        let answer = Answer::of(request).await;
        assert_eq!(answer.status, status, "{}: {}", answer.operation, answer.text());
        self.all.insert((answer.operation.clone(), status));
        answer
    }

    async fn send(&mut self, status: u16, method: Method, path: &str, body: &Value) -> Answer {
        self.see(status, json_to(self.admin.request(method, path), body)).await
    }

    /// Everything that succeeds; returns the ids of a token and of a join token.
    async fn successes(&mut self) -> (String, String) {
        let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
        let party =
            json!({ "name": "new@test.internal", "key": key, "note": "Rack 12.", "log_tickets": true });
        let rule = json!({ "id": "rule", "effect": "allow", "source": "a*", "destination": "{b,c}*@*", "max_lifetime_seconds": 60, "expires_at": 1 });
        let token = json!({ "subject": "alice", "role": "auditor", "ttl_seconds": 60 });
        let join = json!({ "service": "web", "hosts": ["web*"], "networks": ["192.0.2.0/24"], "uses": 5 });
        let (parties, rules, tokens) = ("/v1/admin/parties", "/v1/admin/policy/rules", "/v1/admin/tokens");
        let joins = "/v1/admin/join-tokens";
        for (path, body, field) in [
            (parties, &party, "note"),
            (rules, &rule, "note"),
            (tokens, &token, "subject"),
            (joins, &join, "note"),
        ] {
            let with_key = |body: &Value| {
                json_to(self.admin.request(Method::POST, path), body).header("idempotency-key", path)
            };
            let mut other = body.clone();
            other[field] = json!("other");
            let requests = [(201, with_key(body)), (201, with_key(body)), (422, with_key(&other))];
            for (number, (status, request)) in requests.into_iter().enumerate() {
                let answer = self.see(status, request).await;
                assert_eq!(answer.header("idempotency-replayed") == "true", number == 1, "{path}");
            }
        }
        self.send(200, Method::POST, parties, &party).await;
        let (keys, other) = ("/v1/admin/parties/new%40test.internal/keys", key.replace("AQ", "AA"));
        self.send(201, Method::POST, keys, &json!({})).await;
        let hand_out = |erase: bool| {
            let body = json!({ "key": other, "erase_old": erase });
            json_to(self.admin.request(Method::POST, keys), &body).header("idempotency-key", keys)
        };
        let requests = [(201, hand_out(false)), (201, hand_out(false)), (422, hand_out(true))];
        for (status, request) in requests {
            self.see(status, request).await;
        }
        self.send(200, Method::POST, keys, &json!({ "key": other, "erase_old": true })).await;
        let rotate = "/v1/admin/keys/rotate";
        for body in [
            json!({ "names": ["new@test.internal"] }),
            json!({ "match": "n*" }),
            json!({ "service": "new", "older_than_days": 3, "after": "a@test.internal" }),
        ] {
            self.send(200, Method::POST, rotate, &body).await;
        }
        self.send(404, Method::POST, rotate, &json!({ "names": ["nobody@test.internal"] })).await;
        for body in
            [json!({}), json!({ "names": [] }), json!({ "names": ["new@test.internal"], "match": "*" })]
        {
            self.send(400, Method::POST, rotate, &body).await;
        }
        self.send(409, Method::POST, parties, &json!({ "name": "new@test.internal" })).await;
        self.groups().await;
        self.trusts().await;
        self.conflicts().await;
        self.send(409, Method::POST, rules, &rule).await;
        let made = self.send(201, Method::POST, tokens, &token).await;
        let id = made.json()["info"]["id"].as_str().unwrap().to_owned();
        let made = self.send(201, Method::POST, joins, &join).await;
        let join = made.json()["info"]["id"].as_str().unwrap().to_owned();

        let import = "/v1/admin/parties/import";
        for (media_type, body) in [
            ("application/x-ndjson", "{\"name\":\"i\"}\n\n{}\n{\"name\":\"i\"}\n"),
            ("text/csv", "name,note\nj,\"x, y\"\nj\n"),
            ("text/csv", "host\n"),
        ] {
            let request = self.admin.request(Method::POST, import).header(CONTENT_TYPE, media_type);
            self.see(200, request.body(body)).await;
        }
        for (method, path, body) in [
            (Method::PATCH, "/v1/admin/parties/new%40test.internal", json!({ "enabled": false, "note": "" })),
            (Method::PATCH, "/v1/admin/policy/rules/rule", json!({ "expires_at": null, "mode": "monitor" })),
            (
                Method::PATCH,
                "/v1/admin/zone",
                json!({ "ticket_lifetime_seconds": 60, "audit_retention_days": 9 }),
            ),
            (Method::PATCH, "/v1/admin/zone", json!({ "ticket_lifetime_seconds": null })),
            (
                Method::PATCH,
                "/v1/admin/limits",
                json!({ "tickets_per_party": { "per_second": 1, "burst": 1000 } }),
            ),
            (
                Method::PATCH,
                "/v1/admin/enrollment",
                json!({ "mode": "approve", "networks": ["127.0.0.0/8"] }),
            ),
            (Method::PATCH, "/v1/admin/enrollment", json!({ "services": null, "clones": "disable" })),
            (Method::PUT, "/v1/admin/policy?dry_run=true", json!({ "rules": [] })),
            (Method::PUT, "/v1/admin/policy", json!({ "rules": [rule] })),
            (Method::POST, "/v1/admin/policy/test", json!({ "source": "a", "destination": "b" })),
            (Method::POST, "/v1/admin/policy/test", json!({ "source": "x", "destination": "y", "at": 5 })),
            (Method::POST, "/v1/admin/reload", json!(null)),
            (Method::POST, "/v1/admin/audit/verify", json!(null)),
            (Method::POST, "/v1/admin/master-key/rotate", json!(null)),
            (Method::POST, "/v1/admin/audit/trim", json!({ "before": 5, "dry_run": true })),
            (Method::POST, "/v1/admin/audit/trim", json!({ "before": 1_766_000_000_000_u64 })),
        ] {
            self.send(200, method, path, &body).await;
        }
        let host = "/v1/admin/enrollments/8f14e45fceea167a5a36dedd4bea2543";
        self.send(200, Method::POST, &format!("{host}/deny"), &json!(null)).await;
        self.send(409, Method::POST, &format!("{host}/approve"), &json!(null)).await;
        for (operation, _) in Description::shared().operations() {
            if let Some(path) = operation.strip_prefix("GET ") {
                let id = match path {
                    path if path.contains("/join-tokens/") => &join,
                    path if path.contains("/tokens/") => &id,
                    _ => "rule",
                };
                self.see(200, request(&self.admin, &operation, "new%40test.internal", id, "")).await;
            }
        }
        let ratchet = self.admin.get("/v1/admin/ratchet").await.json();
        let confirm = "/v1/admin/ratchet/confirm";
        self.send(200, Method::POST, confirm, &json!({ "epoch": ratchet["epoch"] })).await;
        self.send(409, Method::POST, confirm, &json!({ "epoch": 1 })).await;
        self.send(409, Method::POST, "/v1/admin/master-key/rotate", &json!(null)).await;
        for path in [
            "/v1/admin/parties?limit=1&match=n*&state=disabled&service=new",
            "/v1/admin/audit?limit=1&order=oldest",
            "/v1/admin/groups?limit=1",
            "/v1/admin/tokens?limit=1",
            "/v1/admin/join-tokens?limit=1&state=live&service=web",
            "/v1/admin/policy/rules?limit=1",
        ] {
            assert!(
                self.see(200, self.admin.request(Method::GET, path)).await.json()["next"] != json!(null),
                "{path}"
            );
        }
        (id, join)
    }

    /// A group with the party that is there, and everything that is done with one.
    async fn groups(&mut self) {
        let group = json!({ "name": "group@test.internal", "members": ["new", "a"] });
        let groups = "/v1/admin/groups";
        let with_key = |path: &str, body: &Value| {
            json_to(self.admin.request(Method::POST, path), body).header("idempotency-key", "group")
        };
        let other = json!({ "name": "other@test.internal" });
        let requests = [
            (201, with_key(groups, &group)),
            (201, with_key(groups, &group)),
            (422, with_key(groups, &other)),
        ];
        for (status, request) in requests {
            self.see(status, request).await;
        }
        self.send(409, Method::POST, groups, &group).await;
        let patch = json!({ "lifetime_seconds": 60, "author_proof": true, "note": "Why." });
        self.send(200, Method::PATCH, &format!("{groups}/group%40test.internal"), &patch).await;
        let rotate = format!("{groups}/group%40test.internal/rotate");
        let rotations = [(200, "r"), (200, "r"), (422, "group")];
        for (status, key) in rotations {
            let request = self.admin.request(Method::POST, &rotate).header("idempotency-key", key);
            self.see(status, request).await;
        }
        let excluded = format!("{groups}/group%40test.internal/excluded/new%40test.internal");
        self.send(200, Method::PUT, &excluded, &json!(null)).await;
        for query in ["?left_out=true&limit=1", "?after=a%40test.internal"] {
            let members = format!("{groups}/group%40test.internal/members{query}");
            self.see(200, self.admin.request(Method::GET, &members)).await;
        }
        let of_party = format!("{groups}?member=new%40test.internal&left_out=true");
        self.see(200, self.admin.request(Method::GET, &of_party)).await;
        let never = json!({ "id": "never", "effect": "deny", "source": "group", "destination": "*" });
        self.send(201, Method::POST, "/v1/admin/policy/rules", &never).await;
        let rules = "/v1/admin/policy/rules?destination=group%40test.internal";
        self.see(200, self.admin.request(Method::GET, rules)).await;
    }

    /// Two whose keys are used in two places.
    async fn conflicts(&mut self) {
        for name in ["copied@test.internal", "new2@test.internal"] {
            let party = self.admin.add(name).await;
            party.copied([&self.http, &self.http], &self.admin).await;
        }
        let clear = "/v1/admin/conflicts/copied%40test.internal";
        self.send(204, Method::DELETE, clear, &json!(null)).await;
        for query in ["?kind=clone", "?limit=1&party=new2%40test.internal", "?after=a%40test.internal"] {
            let listed = format!("/v1/admin/conflicts{query}");
            self.see(200, self.admin.request(Method::GET, &listed)).await;
        }
    }

    async fn preconditions(&mut self) {
        for operation in answering(412) {
            let body = if operation.starts_with("PUT") { json!({ "rules": [] }) } else { json!({}) };
            for tag in ["\"77777\"", "W/\"77777\", \"x\""] {
                let request = request(&self.admin, &operation, "new%40test.internal", "rule", "");
                self.see(412, json_to(request, &body).header(IF_MATCH, tag)).await;
            }
        }
    }

    /// What is wrong with a request whatever the operation is.
    async fn refused(&mut self, auditor: &Http, token: &str) {
        let of_parties = [
            "POST /v1/tickets",
            "POST /v1/keys/rotate",
            "POST /v1/group-keys",
            "POST /v1/peer/tickets",
            "POST /v1/vouchers",
            "POST /v1/enroll",
        ];
        let of_others =
            |status| answering(status).into_iter().filter(|operation| !of_parties.contains(&&**operation));
        for operation in of_others(401) {
            self.see(401, request(&self.http, &operation, "a%40test.internal", token, "")).await;
        }
        for operation in of_others(403) {
            self.see(403, request(auditor, &operation, "a%40test.internal", token, "")).await;
        }
        for operation in answering(404) {
            // The first has no name, the second has them in its body.
            if !["GET /v1/admin/audit/seal", "POST /v1/admin/keys/rotate"].contains(&&*operation) {
                let unknown = request(&self.admin, &operation, "nobody%40test.internal", &"0".repeat(24), "");
                self.see(404, json_to(unknown, &json!({}))).await;
            }
        }
        for operation in answering(400) {
            let wrong = request(&self.admin, &operation, "no%20name", "%20", "?no_such=1");
            self.see(400, json_to(wrong, &json!({ "no_such": 1 }))).await;
        }
        for operation in answering(413) {
            let long = request(&self.admin, &operation, "a%40test.internal", "rule", "");
            // A whole policy has more room.
            let bytes = if operation == "PUT /v1/admin/policy" { 8 << 20 } else { 33_000 };
            self.see(413, json_to(long, &json!("x".repeat(bytes)))).await;
        }
        for operation in answering(415) {
            let plain = request(&self.admin, &operation, "a%40test.internal", "rule", "");
            self.see(415, plain.header(CONTENT_TYPE, "text/plain").body("{}")).await;
        }
    }

    async fn deleted(&mut self, token: &str, join: &str) {
        for (operation, id) in [
            ("DELETE /v1/admin/groups/{name}/excluded/{party}", ""),
            ("DELETE /v1/admin/groups/{name}", ""),
            ("DELETE /v1/admin/trusts/{direction}/{zone}", ""),
            ("DELETE /v1/admin/parties/{name}/author-key", ""),
            ("DELETE /v1/admin/parties/{name}", ""),
            ("DELETE /v1/admin/enrollments/{fingerprint}", ""),
            ("DELETE /v1/admin/policy/rules/{id}", "rule"),
            ("DELETE /v1/admin/tokens/{id}", token),
            ("DELETE /v1/admin/join-tokens/{id}", join),
        ] {
            self.see(204, request(&self.admin, operation, "new%40test.internal", id, "")).await;
        }
    }
}

fn json_to(request: reqwest::RequestBuilder, body: &Value) -> reqwest::RequestBuilder {
    request.header(CONTENT_TYPE, "application/json").body(body.to_string())
}
