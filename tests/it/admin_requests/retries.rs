//! `Idempotency-Key`: what is asked for again is not made again.

use std::collections::BTreeSet;

use keycell_protocol::ProblemType;
use keycell_tests::admin::{GROUPS, RULES, TOKENS};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// Where something is made, and a body for each number.
type Kind = (&'static str, fn(u64) -> Value);

const KINDS: [Kind; 4] = [(PARTIES, party), (RULES, rule), (TOKENS, token), (GROUPS, group)];
/// Those of which there is one of a name.
const NAMED: [&str; 2] = [PARTIES, GROUPS];

fn party(n: u64) -> Value {
    json!({ "name": format!("p{n}@test.internal"), "note": mark(n) })
}

fn group(n: u64) -> Value {
    json!({ "name": format!("g{n}@test.internal"), "note": mark(n) })
}

fn rule(n: u64) -> Value {
    json!({ "effect": "allow", "source": "x", "destination": "y", "note": mark(n) })
}

fn token(n: u64) -> Value {
    json!({ "subject": mark(n), "role": "auditor" })
}

fn mark(n: u64) -> String {
    format!("number-{n}-")
}

async fn post(admin: &Http, path: &str, key: &str, body: &Value) -> Answer {
    admin.send_with(Method::POST, path, &[("idempotency-key", key)], body).await
}

/// How many there are of a number.
async fn count(admin: &Http, path: &str, n: u64) -> usize {
    admin.get(&format!("{path}?limit=1000")).await.text().matches(&mark(n)).count()
}

fn another(cell: &Cell) -> String {
    let made = cell.run(&["token", "create", "--subject", "another", "--out", "-"]).succeeded();
    made.stdout.trim().to_owned()
}

#[tokio::test]
async fn a_retry_gets_the_very_same_answer() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let other = kdc.http().with_token(&another(&cell));
    for (path, body) in KINDS {
        let key = format!("the key of {path}").replace(' ', "-");
        let first = post(&admin, path, &key, &body(1)).await;
        assert_eq!((first.status, first.header("idempotency-replayed")), (201, ""), "{}", first.text());
        for _ in 0..2 {
            let again = post(&admin, path, &key, &body(1)).await;
            assert_eq!((again.status, again.header("idempotency-replayed")), (201, "true"));
            assert_eq!(again.text(), first.text(), "{path}");
            for header in ["content-type", "etag"] {
                assert_eq!(again.header(header), first.header(header), "{header} of {path}");
            }
        }
        assert_eq!(count(&admin, path, 1).await, 1, "{path}");

        // Another body, or another path, is another request.
        let (elsewhere, there) = KINDS[if path == PARTIES { 1 } else { 0 }];
        for (path, body) in [(path, body(2)), (elsewhere, there(2))] {
            let refused = post(&admin, path, &key, &body).await;
            assert_eq!(refused.kind(), ProblemType::IdempotencyMismatch, "{path}");
            assert_eq!(refused.problem().field.as_deref(), Some("Idempotency-Key"));
        }
        assert_eq!(count(&admin, path, 2).await, 0, "{path}");

        // And so is another administrator's.
        let theirs = post(&other, path, &key, &body(1)).await;
        assert_eq!(theirs.header("idempotency-replayed"), "", "{path}");
        if NAMED.contains(&path) {
            assert_eq!(theirs.kind(), ProblemType::AlreadyExists);
        } else {
            assert_eq!(theirs.status, 201, "{}", theirs.text());
            assert_ne!(theirs.text(), first.text());
        }
        for wrong in ["", "two words", &"k".repeat(256)] {
            let refused = post(&admin, path, wrong, &body(3)).await;
            assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{wrong:?}");
            assert_eq!(refused.problem().field.as_deref(), Some("Idempotency-Key"), "{wrong:?}");
        }
        assert_eq!(
            post(&admin, path, &"k".repeat(255), &body(3)).await.status,
            if path == PARTIES { 201 } else { 422 }
        );
    }
    // What was refused is not kept: once it can be done, it is.
    let body = json!({ "name": "late@test.internal" });
    admin.add("late@test.internal").await;
    assert_eq!(post(&admin, PARTIES, "late", &body).await.kind(), ProblemType::AlreadyExists);
    assert_eq!(admin.delete("late@test.internal").await.status, 204);
    assert_eq!(post(&admin, PARTIES, "late", &body).await.status, 201);
}

#[tokio::test]
async fn two_at_once_make_one_thing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    one_thing(&admin, &admin).await;
}

#[tokio::test]
async fn two_at_once_at_two_kdcs_make_one_thing() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    one_thing(&kdc.http().with_token(&token), &replica.http().with_token(&token)).await;
}

async fn one_thing(a: &Http, b: &Http) {
    for (path, body) in KINDS {
        for n in 10..20 {
            let key = format!("{path}/{n}");
            let body = body(n);
            let (one, two) = tokio::join!(post(a, path, &key, &body), post(b, path, &key, &body));
            let mut answers = BTreeSet::new();
            for answer in [one, two] {
                assert!([201, 409].contains(&answer.status), "{path}: {}", answer.text());
                if answer.status == 201 {
                    answers.insert(answer.text());
                }
            }
            for admin in [a, b] {
                let again = post(admin, path, &key, &body).await;
                assert_eq!(again.status, 201, "{path}: {}", again.text());
                answers.insert(again.text());
            }
            assert_eq!(answers.len(), 1, "{path}: {answers:?}");
            // Whichever KDC made it, the other hears of it.
            for admin in [a, b] {
                until("it is there", async || (count(admin, path, n).await > 0).then_some(())).await;
                assert_eq!(count(admin, path, n).await, 1, "{path}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_was_lost_is_given_after_a_crash() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let mut replayed = 0;
    for (path, body) in KINDS {
        for n in 20..24 {
            let (key, body) = (format!("{path}/{n}"), body(n));
            // A connection of its own each time: none is left over from the KDC before.
            let admin = kdc.http().with_token(&token);
            // The first of them has its answer when the KDC dies, the others may or may not.
            let mut first = None;
            if n == 20 {
                first = Some(post(&admin, path, &key, &body).await.text());
                kdc.kill9();
            } else {
                let request = admin.request(Method::POST, path).header("idempotency-key", &key);
                let request = request.header("content-type", "application/json").body(body.to_string());
                let asked = tokio::spawn(Answer::try_of(request));
                for _ in 20..n {
                    tokio::task::yield_now().await;
                }
                kdc.kill9();
                if let Ok(answer) = asked.await.unwrap() {
                    first = Some(answer.text());
                }
            }
            kdc = cell.serve();
            let admin = kdc.http().with_token(&token);
            let again = post(&admin, path, &key, &body).await;
            assert_eq!(again.status, 201, "{path}: {}", again.text());
            replayed += u32::from(again.header("idempotency-replayed") == "true");
            if let Some(first) = first {
                assert_eq!(again.text(), first, "{path}");
            }
            assert_eq!(count(&admin, path, n).await, 1, "{path}");
            if path == PARTIES {
                let party = Party::created(&again.json());
                let refusal = party.refusal(&kdc.http(), "nobody@test.internal").await;
                assert_eq!(refusal, Some(ProblemType::UnknownDestination), "the key is the one that counts");
            } else if path == TOKENS {
                let made = again.json()["token"].as_str().unwrap().to_owned();
                assert_eq!(kdc.http().with_token(&made).get("/v1/admin/whoami").await.status, 200);
            }
        }
    }
    assert!(replayed >= 3, "{replayed}");
    kdc.http().with_token(&token).assert_intact().await;
}
