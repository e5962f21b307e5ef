//! Every operation leaves the records that it should, and no others.

use std::collections::BTreeSet;

use keycell_protocol::AuthorKey;
use keycell_tests::admin::{
    AUDIT, ENROLLMENT, ENROLLMENTS, GROUPS, JOIN_TOKENS, LIMITS, POLICY, RULES, TOKENS, TRUSTS, ZONE,
};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::party::Party;
use reqwest::Method;
use serde_json::{Value, json};

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";

/// An administrator whose every operation is held against the log.
struct Watched {
    http: Http,
    seen: usize,
    /// Which operations were tried, as the router names them.
    tried: BTreeSet<(String, String)>,
}

impl Watched {
    /// Does something, and expects these records of it: actions with their targets, in any order.
    async fn does(
        &mut self,
        (method, route): (&Method, &str),
        target: &str,
        headers: &[(&str, &str)],
        body: &Value,
        (status, expected): (u16, &[(&str, &str)]),
    ) -> Answer {
        let path = route.replace("{name}", &target.replace('@', "%40")).replace("{id}", target);
        let path = path.replace("{direction}/{zone}", &target.replace(' ', "/"));
        let what = format!("{method} {path} {body}");
        self.tried.insert((method.to_string(), route.split('?').next().unwrap().to_owned()));
        let answer = self.http.send_with(method.clone(), &path, headers, body).await;
        assert_eq!(answer.status, status, "{what}: {}", answer.text());
        let made = answer.body.as_slice();
        let made = serde_json::from_slice::<Value>(made).unwrap_or_default();
        let made =
            made.pointer("/info/id").or_else(|| made.get("id")).and_then(Value::as_str).unwrap_or_default();
        self.left(&what, answer.header("x-request-id"), made, expected).await;
        answer
    }

    /// Expects these records and no others since the last look; `{id}` stands for the thing that was made.
    async fn left(&mut self, what: &str, request: &str, made: &str, expected: &[(&str, &str)]) {
        let records = self.http.records().await;
        // What the KDC finds by itself comes when it comes: it is no record of an operation.
        let new = records[self.seen..].iter().filter(|record| record["action"] != "conflict.raise");
        let new: Vec<_> = new.collect();
        self.seen = records.len();
        let mut left: Vec<_> = new
            .iter()
            .map(|record| (record["action"].as_str().unwrap(), record["target"].as_str().unwrap()))
            .collect();
        let mut expected: Vec<_> = expected
            .iter()
            .map(|(action, target)| (*action, if *target == "{id}" { made } else { target }))
            .collect();
        left.sort_unstable();
        expected.sort_unstable();
        assert_eq!(left, expected, "{what}");
        for record in new {
            assert_eq!(record["actor"], "administrator:admin", "{what}: {record}");
            assert_eq!(record["outcome"], "done", "{what}: {record}");
            assert_eq!(record["request"], request, "{what}: {record}");
            assert_eq!(record["address"], "127.0.0.1", "{what}: {record}");
            assert!(record["detail"]["token"].is_string(), "{what}: {record}");
        }
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one table")]
async fn an_operation_leaves_its_records_and_no_others() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let http = cell.admin(&kdc);
    let seen = http.records().await.len();
    let mut admin = Watched { http, seen, tried: BTreeSet::new() };
    let (post, put, patch, delete) = (&Method::POST, &Method::PUT, &Method::PATCH, &Method::DELETE);
    let (party, rule, token) =
        (format!("{PARTIES}/{{name}}"), format!("{RULES}/{{id}}"), format!("{TOKENS}/{{id}}"));
    let none: &[(&str, &str)] = &[];
    let a = "a@test.internal";

    // Parties.
    let new = json!({ "name": a, "key": KEY });
    admin.does((post, PARTIES), "", &[], &new, (201, &[("party.create", a)])).await;
    admin.does((post, PARTIES), "", &[], &new, (200, none)).await;
    admin.does((post, PARTIES), "", &[], &json!({ "name": a }), (409, none)).await;
    admin.does((post, PARTIES), "", &[], &json!({ "name": "b@elsewhere.example" }), (400, none)).await;
    let b = json!({ "name": "b@test.internal" });
    let retry = [("idempotency-key", "k")];
    let made =
        admin.does((post, PARTIES), "", &retry, &b, (201, &[("party.create", "b@test.internal")])).await;
    let signs = Party::created(&made.json());
    admin.does((post, PARTIES), "", &retry, &b, (201, none)).await;
    admin.does((post, PARTIES), "", &retry, &json!({ "name": "c@test.internal" }), (422, none)).await;
    let off = json!({ "enabled": false });
    admin.does((patch, &party), a, &[("if-match", "\"7\"")], &off, (412, none)).await;
    admin.does((patch, &party), a, &[], &off, (200, &[("party.disable", a)])).await;
    admin.does((patch, &party), a, &[], &off, (200, none)).await;
    let much = json!({ "enabled": true, "note": "n", "log_tickets": true });
    admin.does((patch, &party), a, &[], &much, (200, &[("party.enable", a), ("party.update", a)])).await;
    admin.does((patch, &party), a, &[], &json!({ "note": "\n" }), (400, none)).await;
    admin.does((patch, &party), "nobody@test.internal", &[], &off, (404, none)).await;
    admin.does((delete, &party), a, &[("if-match", "\"1\"")], &Value::Null, (412, none)).await;
    admin.does((delete, &party), a, &[], &Value::Null, (204, &[("party.delete", a)])).await;
    admin.does((delete, &party), a, &[], &Value::Null, (404, none)).await;
    for (query, expected) in [
        ("?dry_run=true", none),
        (
            "",
            &[("party.create", "i@test.internal"), ("party.create", "j@test.internal"), ("party.import", "")],
        ),
        ("", &[("party.import", "")]),
    ] {
        let request = admin.http.request(Method::POST, &format!("{PARTIES}/import{query}"));
        let lines = "{\"name\":\"i\"}\nx\n{\"name\":\"j\"}\n";
        let answer = Answer::of(request.header("content-type", "application/x-ndjson").body(lines)).await;
        assert_eq!(answer.status, 200);
        admin.left("an import", answer.header("x-request-id"), "", expected).await;
    }
    admin.tried.insert(("POST".to_owned(), format!("{PARTIES}/import")));

    // Conflicts.
    let conflict = "/v1/admin/conflicts/{name}";
    admin.does((delete, conflict), "b@test.internal", &[], &Value::Null, (404, none)).await;
    let here = kdc.http();
    signs.copied([&here, &here], &admin.http).await;
    let cleared: &[(&str, &str)] = &[("conflict.clear", "b@test.internal")];
    admin.does((delete, conflict), "b@test.internal", &[], &Value::Null, (204, cleared)).await;

    // Groups.
    let groups = format!("{GROUPS}/{{name}}");
    let (g, i) = ("g@test.internal", "i@test.internal");
    let new = json!({ "name": g, "members": ["i"] });
    admin.does((post, GROUPS), "", &[], &json!({ "name": "g.x@test.internal" }), (400, none)).await;
    admin.does((post, GROUPS), "", &[], &json!({ "name": i }), (409, none)).await;
    let again = [("idempotency-key", "g")];
    admin.does((post, GROUPS), "", &again, &new, (201, &[("group.create", g)])).await;
    admin.does((post, GROUPS), "", &again, &new, (201, none)).await;
    admin.does((post, GROUPS), "", &[], &new, (409, none)).await;
    let longer = json!({ "lifetime_seconds": 600 });
    admin.does((patch, &groups), g, &[("if-match", "\"0\"")], &longer, (412, none)).await;
    admin.does((patch, &groups), g, &[], &longer, (200, &[("group.update", g)])).await;
    admin.does((patch, &groups), g, &[], &longer, (200, none)).await;
    admin.does((patch, &groups), g, &[], &json!({ "members": [] }), (400, none)).await;
    let rotate = format!("{groups}/rotate");
    let again = [("idempotency-key", "h")];
    admin.does((post, &rotate), g, &again, &Value::Null, (200, &[("group.rotate", g)])).await;
    admin.does((post, &rotate), g, &again, &Value::Null, (200, none)).await;
    let out = format!("{groups}/excluded/{{party}}");
    let out_of = |party: &str| out.replace("{party}", &party.replace('@', "%40"));
    admin.does((put, &out_of(i)), g, &[], &Value::Null, (200, &[("group.exclude", g)])).await;
    admin.does((put, &out_of(i)), g, &[], &Value::Null, (200, none)).await;
    admin.does((put, &out_of("j@test.internal")), g, &[], &Value::Null, (400, none)).await;
    admin.does((delete, &out_of(i)), g, &[], &Value::Null, (204, &[("group.include", g)])).await;
    admin.does((delete, &out_of(i)), g, &[], &Value::Null, (204, none)).await;
    admin.does((delete, &groups), g, &[("if-match", "\"0\"")], &Value::Null, (412, none)).await;
    admin.does((delete, &groups), g, &[], &Value::Null, (204, &[("group.delete", g)])).await;
    admin.does((delete, &groups), g, &[], &Value::Null, (404, none)).await;
    admin.tried.insert(("PUT".to_owned(), out.clone()));
    admin.tried.insert(("DELETE".to_owned(), out));

    // Trust with other zones.
    let other = Cell::of_zone("z1.test");
    let there = other.serve();
    let (trusts, incoming) = (format!("{TRUSTS}/{{direction}}/{{zone}}"), "incoming z1.test");
    let (offers, accepted) = (format!("{TRUSTS}/offers"), format!("{TRUSTS}/accepted"));
    let bundle = there.http().get("/v1/bundle").await.json();
    let new = json!({ "bundle": bundle, "sources": ["a"], "destinations": ["b"] });
    admin.does((post, &offers), "", &[], &json!({ "bundle": bundle }), (400, none)).await;
    let again = [("idempotency-key", "trust")];
    admin.does((post, &offers), "", &again, &new, (201, &[("trust.offer", incoming)])).await;
    admin.does((post, &offers), "", &again, &new, (201, none)).await;
    let own =
        json!({ "bundle": here.get("/v1/bundle").await.json(), "sources": ["a"], "destinations": ["b"] });
    let made = other.admin(&there).send(Method::POST, &offers, &own).await.json();
    let new = json!({ "offer": made["offer"], "sources": ["a"], "destinations": ["b"] });
    admin.does((post, &accepted), "", &[], &new, (400, none)).await;
    let mut new = new;
    new["fingerprint"] = made["fingerprint"].clone();
    let outgoing = "outgoing z1.test";
    admin.does((post, &accepted), "", &[], &new, (201, &[("trust.accept", outgoing)])).await;
    admin.does((post, &accepted), "", &[], &new, (200, none)).await;
    let off = json!({ "enabled": false });
    admin.does((patch, &trusts), incoming, &[("if-match", "\"0\"")], &off, (412, none)).await;
    admin.does((patch, &trusts), incoming, &[], &off, (200, &[("trust.disable", incoming)])).await;
    admin.does((patch, &trusts), incoming, &[], &off, (200, none)).await;
    let both = json!({ "enabled": true, "note": "Why." });
    let twice: &[(&str, &str)] = &[("trust.enable", incoming), ("trust.update", incoming)];
    admin.does((patch, &trusts), incoming, &[], &both, (200, twice)).await;
    let rotate = format!("{trusts}/rotate");
    admin.does((post, &rotate), incoming, &[], &Value::Null, (200, &[("trust.rotate", incoming)])).await;
    for trust in [incoming, outgoing] {
        admin.does((delete, &trusts), trust, &[], &Value::Null, (204, &[("trust.delete", trust)])).await;
        admin.does((delete, &trusts), trust, &[], &Value::Null, (404, none)).await;
    }

    // The policy.
    let new = json!({ "id": "r", "effect": "allow", "source": "x", "destination": "y" });
    admin.does((post, RULES), "", &[], &new, (201, &[("rule.create", "r")])).await;
    admin.does((post, RULES), "", &[], &new, (409, none)).await;
    let nameless = json!({ "effect": "deny", "source": "x", "destination": "y" });
    let made = admin.does((post, RULES), "", &retry, &nameless, (422, none)).await;
    assert_eq!(made.problem().field.as_deref(), Some("Idempotency-Key"));
    let made = admin.does((post, RULES), "", &[], &nameless, (201, &[("rule.create", "{id}")])).await.json();
    let made = made["id"].as_str().unwrap();
    admin.does((patch, &rule), "r", &[], &json!({ "note": "n" }), (200, &[("rule.update", "r")])).await;
    admin.does((patch, &rule), "r", &[], &json!({ "note": "n" }), (200, none)).await;
    admin.does((patch, &rule), "r", &[], &json!({ "source": "a[" }), (400, none)).await;
    admin.does((patch, &rule), "r", &[("if-match", "\"1\"")], &json!({ "note": "m" }), (412, none)).await;
    admin.does((delete, &rule), made, &[], &Value::Null, (204, &[("rule.delete", made)])).await;
    admin.does((delete, &rule), made, &[], &Value::Null, (404, none)).await;
    let rules = json!({ "rules": [
        { "id": "r", "effect": "allow", "source": "x", "destination": "z" },
        { "id": "s", "effect": "allow", "source": "*", "destination": "*" },
    ] });
    let dry = format!("{POLICY}?dry_run=true");
    admin.does((put, &dry), "", &[], &rules, (200, none)).await;
    admin.does((put, POLICY), "", &[("if-match", "\"1\"")], &rules, (412, none)).await;
    let changed =
        [("rule.update", "r"), ("rule.create", "s"), ("rule.delete", "open"), ("policy.replace", "")];
    admin.does((put, POLICY), "", &[], &rules, (200, &changed)).await;
    admin.does((put, POLICY), "", &[], &rules, (200, none)).await;

    // Tokens.
    let new = json!({ "subject": "alice", "role": "auditor" });
    let again = [("idempotency-key", "t")];
    let made = admin.does((post, TOKENS), "", &again, &new, (201, &[("token.create", "{id}")])).await.json();
    admin.does((post, TOKENS), "", &again, &new, (201, none)).await;
    let made = made["info"]["id"].as_str().unwrap();
    admin.does((post, TOKENS), "", &[], &json!({ "subject": "", "role": "auditor" }), (400, none)).await;
    admin.does((delete, &token), made, &[], &Value::Null, (204, &[("token.revoke", made)])).await;
    admin.does((delete, &token), made, &[], &Value::Null, (204, none)).await;
    admin.does((delete, &token), "000000000000000000000000", &[], &Value::Null, (404, none)).await;

    // Settings.
    let minute = json!({ "ticket_lifetime_seconds": 60 });
    admin.does((patch, ZONE), "", &[], &minute, (200, &[("zone.update", "")])).await;
    admin.does((patch, ZONE), "", &[], &minute, (200, none)).await;
    admin.does((patch, ZONE), "", &[], &json!({ "ticket_lifetime_seconds": 1 }), (400, none)).await;
    let null = json!({ "ticket_lifetime_seconds": null });
    admin.does((patch, ZONE), "", &[("if-match", "\"9\"")], &null, (412, none)).await;
    admin.does((patch, ZONE), "", &[], &null, (200, &[("zone.update", "")])).await;
    let rate = json!({ "per_address": { "per_second": 3000, "burst": 3000 } });
    admin.does((patch, LIMITS), "", &[], &rate, (200, &[("limits.update", "")])).await;
    admin.does((patch, LIMITS), "", &[], &rate, (200, none)).await;
    admin.does((patch, LIMITS), "", &[], &json!({ "per_address": 1 }), (400, none)).await;

    // Hosts that come aboard by themselves.
    let tofu = json!({ "mode": "tofu", "hosts": ["web*"] });
    admin.does((patch, ENROLLMENT), "", &[], &tofu, (200, &[("enrollment.update", "")])).await;
    admin.does((patch, ENROLLMENT), "", &[], &tofu, (200, none)).await;
    admin.does((patch, ENROLLMENT), "", &[("if-match", "\"7\"")], &tofu, (412, none)).await;
    admin.does((patch, ENROLLMENT), "", &[], &json!({ "hosts": ["A"] }), (400, none)).await;

    let join = json!({ "service": "web", "hosts": ["web*"], "uses": 3 });
    let again = [("idempotency-key", "j")];
    let expected: &[(&str, &str)] = &[("join_token.create", "{id}")];
    let made = admin.does((post, JOIN_TOKENS), "", &again, &join, (201, expected)).await.json();
    admin.does((post, JOIN_TOKENS), "", &again, &join, (201, none)).await;
    admin.does((post, JOIN_TOKENS), "", &[], &json!({ "service": "web", "hosts": [] }), (400, none)).await;
    let (join, made) = (format!("{JOIN_TOKENS}/{{id}}"), made["info"]["id"].as_str().unwrap());
    admin.does((delete, &join), made, &[], &Value::Null, (204, &[("join_token.revoke", made)])).await;
    admin.does((delete, &join), made, &[], &Value::Null, (204, none)).await;
    admin.does((delete, &join), "0000000000000000", &[], &Value::Null, (404, none)).await;

    let of_host = format!("{ENROLLMENTS}/{{id}}");
    let (fingerprint, denied) = ("8f14e45fceea167a5a36dedd4bea2543", "enrollment.deny");
    let (approve, deny) = (format!("{of_host}/approve"), format!("{of_host}/deny"));
    admin.does((post, &approve), fingerprint, &[], &Value::Null, (404, none)).await;
    let expected: &[(&str, &str)] = &[(denied, fingerprint)];
    admin.does((post, &deny), fingerprint, &[], &Value::Null, (200, expected)).await;
    admin.does((post, &deny), fingerprint, &[], &Value::Null, (200, none)).await;
    admin.does((post, &approve), fingerprint, &[], &Value::Null, (409, none)).await;
    let expected: &[(&str, &str)] = &[("enrollment.forget", fingerprint)];
    admin.does((delete, &of_host), fingerprint, &[], &Value::Null, (204, expected)).await;
    admin.does((delete, &of_host), fingerprint, &[], &Value::Null, (404, none)).await;
    for (method, path) in [("POST", approve), ("POST", deny), ("DELETE", of_host)] {
        admin.tried.insert((method.to_owned(), path.replace("{id}", "{fingerprint}")));
    }

    // Keys.
    signs.voucher(&kdc.http(), &AuthorKey::generate(&mut keycell_client::system_rng())).await.unwrap();
    admin.seen += 1;
    let author = format!("{PARTIES}/{{name}}/author-key");
    let b = "b@test.internal";
    admin.does((delete, &author), b, &[("if-match", "\"1\"")], &Value::Null, (412, none)).await;
    let removed: &[(&str, &str)] = &[("party.author_key.remove", b)];
    admin.does((delete, &author), b, &[], &Value::Null, (204, removed)).await;
    admin.does((delete, &author), b, &[], &Value::Null, (204, none)).await;
    admin.does((delete, &author), "nobody@test.internal", &[], &Value::Null, (404, none)).await;
    let replace = format!("{PARTIES}/{{name}}/keys");
    let chosen = json!({ "key": KEY, "erase_old": true });
    let erased: &[(&str, &str)] = &[("key.rotate", b), ("key.erase", b)];
    admin.does((post, &replace), b, &[], &chosen, (201, erased)).await;
    admin.does((post, &replace), b, &[], &chosen, (200, none)).await;
    let rotate = (post, "/v1/admin/keys/rotate");
    let names = json!({ "names": [b] });
    admin.does(rotate, "", &[], &names, (200, &[("key.rotate", b)])).await;
    admin.does(rotate, "", &[], &json!({}), (400, none)).await;

    // The master key and the clock, where there is nothing to do; tests/it/master_key.rs has what is done.
    admin.does((post, "/v1/admin/master-key/rotate"), "", &[], &Value::Null, (409, none)).await;
    let confirm = "/v1/admin/ratchet/confirm";
    admin.does((post, confirm), "", &[], &json!({ "epoch": 1 }), (409, none)).await;
    let epoch = admin.http.get("/v1/admin/ratchet").await.json()["epoch"].clone();
    admin.does((post, confirm), "", &[], &json!({ "epoch": epoch }), (200, none)).await;

    // The process.
    let reload = (post, "/v1/admin/reload");
    admin.does(reload, "", &[], &Value::Null, (200, &[("config.reload", "")])).await;
    cell.configure("tickets = { lifetime_seconds = 1 }");
    admin.does(reload, "", &[], &Value::Null, (409, none)).await;

    // The log itself.
    let trim = format!("{AUDIT}/trim");
    admin.does((post, &trim), "", &[], &json!({ "before": 1, "dry_run": true }), (200, none)).await;
    admin.http.assert_intact().await;

    // Nothing that changes something is missing here.
    admin.tried.insert(("POST".to_owned(), format!("{POLICY}/test")));
    admin.tried.insert(("POST".to_owned(), format!("{AUDIT}/verify")));
    for route in keycell_kdc::http::routes() {
        if route.path.starts_with("/v1/admin/") && route.method != Method::GET {
            let tried = (route.method.to_string(), route.path.to_owned());
            assert!(admin.tried.contains(&tried), "what does {tried:?} leave in the log?");
        }
    }
}

#[tokio::test]
async fn the_console_is_recorded_too() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    cell.run(&["token", "create", "--subject", "bob", "--out", "bob.token"]).succeeded();
    let records = admin.records().await;
    let record = records.iter().find(|record| record["detail"]["subject"] == "bob").unwrap();
    assert_eq!(record["action"], "token.create");
    assert!(record["actor"].as_str().unwrap().starts_with("console:"), "{record}");
    assert_eq!(records[0]["action"], "zone.create");
    admin.assert_intact().await;
}

#[tokio::test]
async fn a_record_tells_what_was_before_and_after() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    let last = async || admin.records().await.pop().unwrap();
    let rule = |note: &str, to: &str| {
        json!({ "id": "r", "effect": "allow", "source": "x", "destination": to, "note": note,
                "max_lifetime_seconds": 60, "expires_at": 9_999_999_999_999_u64 })
    };
    assert_eq!(admin.send(Method::POST, RULES, &rule("why", "y")).await.status, 201);
    let record = last().await;
    for field in ["effect", "max_lifetime_seconds", "expires_at", "note"] {
        assert_eq!(record["detail"][field], rule("why", "y")[field], "{field} of {record}");
    }
    assert_eq!(record["detail"]["destination"], "y@test.internal");
    assert_eq!(
        admin.send(Method::PATCH, &format!("{RULES}/r"), &json!({ "note": "other" })).await.status,
        200
    );
    assert_eq!(last().await["detail"]["note"], "other");
    let path = party_path("a@test.internal");
    assert_eq!(admin.send(Method::PATCH, &path, &json!({ "note": "n" })).await.status, 200);
    let record = last().await;
    assert_eq!((&record["detail"]["note_before"], &record["detail"]["note"]), (&json!(""), &json!("n")));
    assert_eq!(admin.send(Method::PATCH, ZONE, &json!({ "ticket_lifetime_seconds": 61 })).await.status, 200);
    let record = last().await;
    assert_eq!(record["detail"]["ticket_lifetime_seconds"], 61);
    assert_eq!(record["detail"]["ticket_lifetime_seconds_before"], Value::Null);
}
