//! `openapi.yaml` and the KDC agree: on its operations, on the answers, and on what is in them. That every answer is as
//! described, the harness's client checks; here every kind of answer is brought about.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "openapi/every.rs"]
mod every;
#[path = "openapi/field.rs"]
mod field;
#[path = "openapi/slow.rs"]
mod slow;

use std::collections::BTreeSet;
use std::sync::Arc;

use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::openapi::Description;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use keycell_tests::wire::send;
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::io::AsyncReadExt as _;

#[test]
fn every_operation_is_described_and_none_besides() {
    let mut there: Vec<_> =
        keycell_kdc::http::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    there.sort();
    let described: Vec<_> =
        Description::shared().operations().into_iter().map(|(operation, _)| operation).collect();
    assert_eq!(there, described);
}

#[test]
fn every_schema_is_one_and_its_examples_keep_to_it() {
    assert!(Description::shared().examples() >= 60);
}

/// All that is described, but for what the other tests here bring about and what no client can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_that_is_described_comes() {
    let seen = every::answers().await;
    let mut expected = BTreeSet::new();
    for (operation, statuses) in Description::shared().operations() {
        let elsewhere = |status: &u16| {
            // A slow body, a rate, a fault of the KDC's own, a KDC that is busy.
            [408, 429, 500, 503].contains(status) || BY_CHANCE.contains(&(&*operation, *status))
        };
        expected.extend(
            statuses
                .into_iter()
                .filter(|status| !elsewhere(status))
                .map(|status| (operation.clone(), status)),
        );
    }
    let missing: Vec<_> = expected.difference(&seen).collect();
    assert!(missing.is_empty(), "described, but nothing here brings it about: {missing:#?}");
    let more: Vec<_> = seen.difference(&expected).collect();
    assert!(more.is_empty(), "brought about, but held to come by chance alone: {more:#?}");
}

/// What is only answered when others change the same at the same moment, or when somebody has tampered with the database.
const BY_CHANCE: &[(&str, u16)] = &[
    ("PATCH /v1/admin/parties/{name}", 409),
    ("DELETE /v1/admin/parties/{name}", 409),
    ("POST /v1/admin/parties/{name}/keys", 409),
    ("DELETE /v1/admin/parties/{name}/author-key", 409),
    ("POST /v1/admin/keys/rotate", 409),
    ("GET /v1/admin/groups/{name}", 409),
    ("GET /v1/admin/groups/{name}/members", 409),
    ("PATCH /v1/admin/groups/{name}", 409),
    ("DELETE /v1/admin/groups/{name}", 409),
    ("POST /v1/admin/groups/{name}/rotate", 409),
    ("PUT /v1/admin/groups/{name}/excluded/{party}", 409),
    ("DELETE /v1/admin/groups/{name}/excluded/{party}", 409),
    ("POST /v1/admin/trusts/offers", 409),
    ("GET /v1/admin/trusts/{direction}/{zone}", 409),
    ("PATCH /v1/admin/trusts/{direction}/{zone}", 409),
    ("DELETE /v1/admin/trusts/{direction}/{zone}", 409),
    ("POST /v1/admin/trusts/{direction}/{zone}/rotate", 409),
    ("PUT /v1/admin/policy", 409),
    ("PATCH /v1/admin/policy/rules/{id}", 409),
    ("DELETE /v1/admin/policy/rules/{id}", 409),
    ("POST /v1/admin/tokens", 409),
    ("PATCH /v1/admin/zone", 409),
    ("PATCH /v1/admin/limits", 409),
    ("PATCH /v1/admin/enrollment", 409),
    ("POST /v1/admin/join-tokens", 409),
    ("POST /v1/admin/enrollments/{fingerprint}/deny", 409),
    ("DELETE /v1/admin/enrollments/{fingerprint}", 409),
    ("DELETE /v1/admin/join-tokens/{id}", 409),
    ("POST /v1/admin/audit/trim", 409),
    ("GET /v1/admin/audit/seal", 404),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_refused_for_asking_too_often_is_as_described() {
    let cell = Cell::sqlite();
    cell.configure("limits = { per_address = { per_second = 1, burst = 1 } }");
    let kdc = cell.serve();
    let http = kdc.http();
    for operation in answering(429) {
        let refused = until("it is too often", async || {
            let answer = Answer::of(request(&http, &operation, "a", "a", "")).await;
            (answer.status == 429).then_some(answer)
        });
        assert_eq!(refused.await.operation, operation);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_refused_by_a_busy_kdc_is_as_described() {
    let cell = Cell::postgres(&Arc::new(Postgres::start()));
    cell.configure("limits = { requests_in_flight = 1, request_timeout_seconds = 120 }");
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    // The one place is taken by a change that waits for the database.
    let config: toml::Table = std::fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    let mut database = PgConnection::connect(config["database"].as_str().unwrap()).await.unwrap();
    let mut locked = database.begin().await.unwrap();
    sqlx::query("UPDATE change_counter SET last = last").execute(&mut *locked).await.unwrap();
    let waiting = tokio::spawn({
        let admin = admin.clone();
        let party = json!({ "name": "a@test.internal" });
        async move {
            loop {
                // Whoever looks below may have the place at this moment.
                let answer = admin.send(Method::POST, "/v1/admin/parties", &party).await;
                if answer.status != 503 {
                    return answer;
                }
            }
        }
    });
    until("the place is taken", async || (admin.get("/v1/zone").await.status == 503).then_some(())).await;
    for operation in answering(503) {
        // These do not wait for a place, or have their own.
        if ![
            "GET /readyz",
            "POST /v1/admin/parties/import",
            "POST /v1/admin/audit/verify",
            "POST /v1/admin/audit/trim",
        ]
        .contains(&&*operation)
        {
            let answer = Answer::of(request(&admin, &operation, "a", "a", "")).await;
            assert_eq!((&*answer.operation, answer.status), (&*operation, 503));
        }
    }
    locked.rollback().await.unwrap();
    assert_eq!(waiting.await.unwrap().status, 201);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_import_is_told_to_wait() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut first = kdc.tls(&["http/1.1"]).await.unwrap();
    let head = format!(
        "POST /v1/admin/parties/import HTTP/1.1\r\nhost: kdc\r\nauthorization: Bearer {}\r\n\
         content-type: text/csv\r\ncontent-length: 100\r\n\r\n",
        cell.token("operator")
    );
    send(&mut first, head.as_bytes()).await.unwrap();
    let mut begun = [0; 15];
    first.read_exact(&mut begun).await.unwrap();
    assert_eq!(&begun, b"HTTP/1.1 200 OK");
    let second = admin.request(Method::POST, "/v1/admin/parties/import").header(CONTENT_TYPE, "text/csv");
    assert_eq!(Answer::of(second.body("name\n")).await.status, 503);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_without_a_database_is_as_described() {
    let cell = Cell::postgres(&Arc::new(Postgres::start()));
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("a@test.internal").await;
    cell.cluster().unwrap().crash();
    let body = json!({ "name": "b@test.internal" });
    assert_eq!(admin.send(Method::POST, "/v1/admin/parties", &body).await.status, 503);
    assert_eq!(admin.set_enabled("a@test.internal", false).await.status, 503);
    assert_eq!(admin.delete("a@test.internal").await.status, 503);
    for path in ["/v1/admin/audit", "/v1/admin/audit/seal"] {
        assert_eq!(admin.get(path).await.status, 503, "{path}");
    }
    let http = kdc.http();
    let unready = until("it is not ready", async || {
        let answer = http.get("/readyz").await;
        (answer.status != 200).then_some(answer)
    });
    assert_eq!(unready.await.status, 503);
}

/// The operations that are described with this status.
fn answering(status: u16) -> Vec<String> {
    let all = Description::shared().operations().into_iter();
    all.filter(|(_, statuses)| statuses.contains(&status)).map(|(operation, _)| operation).collect()
}

/// A request for an operation, with these in place of the parameters of its path, and with this query.
/// Of a key that is denied.
const FINGERPRINT: &str = "8f14e45fceea167a5a36dedd4bea2543";

fn request(http: &Http, operation: &str, name: &str, id: &str, query: &str) -> reqwest::RequestBuilder {
    let (method, path) = operation.split_once(' ').unwrap();
    // Where there is a group in a path, that is the name, and a party is looked for in it.
    let group = if name.starts_with("new%40") && path.starts_with("/v1/admin/groups/") {
        "group%40test.internal"
    } else {
        name
    };
    // Theirs are shorter.
    let id = id.get(..16).filter(|_| path.starts_with("/v1/admin/join-tokens/")).unwrap_or(id);
    let fingerprint = match name {
        "no%20name" => "x",
        name if name.starts_with("nobody") => "00000000000000000000000000000000",
        _ => FINGERPRINT,
    };
    let zone = match name {
        "no%20name" => "no%20zone",
        name if name.starts_with("nobody") => "nobody.test",
        _ => "z1.test",
    };
    let path = path
        .replace("{direction}", "incoming")
        .replace("{zone}", zone)
        .replace("{fingerprint}", fingerprint)
        .replace("{name}", group)
        .replace("{id}", id)
        .replace("{party}", name);
    http.request(method.parse().unwrap(), &format!("{path}{query}"))
}
