//! `If-Match`: no change is made over one that its author has not seen.

use keycell_protocol::ProblemType;
use keycell_tests::admin::{GROUPS, LIMITS, POLICY, RULES, ZONE, group_path};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::postgres::Postgres;
use reqwest::Method;
use serde_json::{Value, json};

fn rule(id: &str, note: &str) -> Value {
    json!({ "id": id, "effect": "allow", "source": "x", "destination": "y", "note": note })
}

/// Something that is changed at a revision: its path, how, and by which body, a different one for each number.
struct Thing {
    path: String,
    method: Method,
    body: fn(u64) -> Value,
}

/// One of each, and all of them there.
async fn things(admin: &Http) -> Vec<Thing> {
    admin.add("a@test.internal").await;
    assert_eq!(admin.send(Method::POST, RULES, &rule("r", "")).await.status, 201);
    assert_eq!(admin.send(Method::POST, GROUPS, &json!({ "name": "g@test.internal" })).await.status, 201);
    let thing = |path: &str, body| Thing { path: path.to_owned(), method: Method::PATCH, body };
    vec![
        thing(&party_path("a@test.internal"), |n| json!({ "note": n.to_string() })),
        thing(&group_path("g@test.internal"), |n| json!({ "note": n.to_string() })),
        thing(&format!("{RULES}/r"), |n| json!({ "note": n.to_string() })),
        thing(ZONE, |n| json!({ "ticket_lifetime_seconds": 100 + n })),
        thing(LIMITS, |n| json!({ "per_address": { "per_second": 5000, "burst": 5000 + n } })),
        Thing {
            path: POLICY.to_owned(),
            method: Method::PUT,
            body: |n| json!({ "rules": [rule("r", &format!("put {n}"))] }),
        },
    ]
}

impl Thing {
    async fn change(&self, admin: &Http, expected: &str, n: u64) -> Answer {
        let headers = [("if-match", expected)];
        admin.send_with(self.method.clone(), &self.path, &headers, &(self.body)(n)).await
    }

    async fn state(&self, admin: &Http) -> (String, Value) {
        let answer = admin.get(&self.path).await;
        (answer.header("etag").to_owned(), answer.json())
    }
}

#[tokio::test]
async fn a_change_is_made_at_the_revision_that_was_seen() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for thing in things(&admin).await {
        let path = &thing.path;
        let (old, before) = thing.state(&admin).await;
        let changed = thing.change(&admin, &old, 1).await;
        assert_eq!(changed.status, 200, "{path}: {}", changed.text());
        let (mut now, after) = thing.state(&admin).await;
        assert_eq!((changed.header("etag"), changed.json()), (now.as_str(), after.clone()), "{path}");
        assert_ne!((&now, &after), (&old, &before), "{path}");

        let lists = [format!("{old}, \"4000000\""), format!("\"x\",{old}"), format!("W/{old}")];
        for stale in [&*old, "\"4000000\"", "\"none\"", "\"-1\"", "\"\""]
            .into_iter()
            .chain(lists.iter().map(String::as_str))
        {
            let refused = thing.change(&admin, stale, 2).await;
            assert_eq!(refused.kind(), ProblemType::PreconditionFailed, "{path} {stale}");
            assert_eq!(refused.problem().field.as_deref(), Some("If-Match"), "{path} {stale}");
            assert_eq!(thing.state(&admin).await.1, after, "{path} {stale}");
        }
        for wrong in ["1", "\"1", "1\"", "W/", ","] {
            let refused = thing.change(&admin, wrong, 2).await;
            assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{path} {wrong}");
            assert_eq!(refused.problem().field.as_deref(), Some("If-Match"), "{path} {wrong}");
        }
        type Form = fn(&str) -> String;
        let forms: [Form; 4] = [
            |_| "*".to_owned(),
            |tag| format!("\"4000000\", {tag}"),
            |tag| format!("{tag},\"1\""),
            |tag| format!("W/{tag}"),
        ];
        for (n, form) in (10..).zip(forms) {
            let good = form(&now);
            let changed = thing.change(&admin, &good, n).await;
            assert_eq!(changed.status, 200, "{path} {good}: {}", changed.text());
            assert_ne!(changed.header("etag"), now, "{path} {good}");
            now = changed.header("etag").to_owned();
        }
    }
    for path in [party_path("a@test.internal"), group_path("g@test.internal"), format!("{RULES}/r")] {
        let now = admin.get(&path).await.header("etag").to_owned();
        let stale = admin.send_with(Method::DELETE, &path, &[("if-match", "\"1\"")], &Value::Null).await;
        assert_eq!(stale.kind(), ProblemType::PreconditionFailed, "{path}");
        let gone = admin.send_with(Method::DELETE, &path, &[("if-match", &now)], &Value::Null).await;
        assert_eq!(gone.status, 204, "{path}");
        let missing = admin.send_with(Method::DELETE, &path, &[("if-match", "*")], &Value::Null).await;
        assert_eq!(missing.kind(), ProblemType::NotFound, "{path}");
    }
}

#[tokio::test]
async fn of_two_writers_at_once_one_wins() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    one_wins(&admin, &admin).await;
}

#[tokio::test]
async fn of_two_writers_at_two_kdcs_one_wins() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    one_wins(&kdc.http().with_token(&token), &replica.http().with_token(&token)).await;
}

#[tokio::test]
async fn what_one_kdc_changed_is_changed_at_another_at_once() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    let (a, b) = (kdc.http().with_token(&token), replica.http().with_token(&token));
    for thing in things(&a).await {
        let mut now = thing.state(&a).await.0;
        for n in 0..10 {
            for admin in [&a, &b] {
                let changed = thing.change(admin, &now, 2 * n + u64::from(std::ptr::eq(admin, &b))).await;
                assert_eq!(changed.status, 200, "{}: {}", thing.path, changed.text());
                now = changed.header("etag").to_owned();
            }
        }
    }
    for n in 0..5 {
        let id = format!("new-{n}");
        assert_eq!(a.send(Method::POST, RULES, &rule(&id, "")).await.status, 201);
        let path = format!("{RULES}/{id}");
        assert_eq!(b.send(Method::PATCH, &path, &json!({ "note": "n" })).await.status, 200);
        assert_eq!(Answer::of(a.request(Method::DELETE, &path)).await.status, 204);
        assert_eq!(Answer::of(b.request(Method::DELETE, &path)).await.kind(), ProblemType::NotFound);
    }
}

async fn one_wins(a: &Http, b: &Http) {
    for thing in things(a).await {
        let mut now = thing.state(a).await.0;
        for n in 0..10 {
            let (first, second) =
                tokio::join!(thing.change(a, &now, 2 * n), thing.change(b, &now, 2 * n + 1));
            let (won, lost) = if first.status == 200 { (first, second) } else { (second, first) };
            assert_eq!(won.status, 200, "{}: {} {}", thing.path, won.text(), lost.text());
            assert_eq!(lost.kind(), ProblemType::PreconditionFailed, "{}", thing.path);
            now = won.header("etag").to_owned();
        }
    }
}

#[tokio::test]
async fn what_is_made_again_never_matches_what_was_seen_before() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let party = party_path("a@test.internal");
    let line = "{\"name\":\"a\"}\n";
    let import = async || {
        let request = admin.request(Method::POST, &format!("{PARTIES}/import"));
        Answer::of(request.header("content-type", "application/x-ndjson").body(line)).await.status
    };
    let make_rule = async || admin.send(Method::POST, RULES, &rule("r", "")).await.status;
    let put = async |rules: Value| admin.send(Method::PUT, POLICY, &json!({ "rules": rules })).await.status;
    for (path, round) in [(&party, 0), (&format!("{RULES}/r"), 1)] {
        let mut seen: Vec<String> = Vec::new();
        for life in 0..4 {
            match (round, life % 2) {
                (0, 0) => drop(admin.add("a@test.internal").await),
                (0, _) => assert_eq!(import().await, 200),
                (_, 0) => assert_eq!(make_rule().await, 201),
                (..) => assert_eq!(put(json!([rule("r", "")])).await, 200),
            }
            for old in &seen {
                let headers = [("if-match", old.as_str())];
                let refused = admin.send_with(Method::PATCH, path, &headers, &json!({ "note": "x" })).await;
                assert_eq!(refused.kind(), ProblemType::PreconditionFailed, "{path} {old} in life {life}");
            }
            for n in 0..3 {
                let now = admin.get(path).await.header("etag").to_owned();
                assert!(!seen.contains(&now), "{path}: {now} again in life {life}");
                seen.push(now);
                assert_eq!(
                    admin.send(Method::PATCH, path, &json!({ "note": n.to_string() })).await.status,
                    200
                );
            }
            seen.push(admin.get(path).await.header("etag").to_owned());
            if round == 1 && life == 2 {
                assert_eq!(put(json!([])).await, 200);
            } else {
                assert_eq!(Answer::of(admin.request(Method::DELETE, path)).await.status, 204);
            }
        }
    }
}
