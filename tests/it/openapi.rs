//! `openapi.yaml` and the KDC agree: on its operations, on the answers, and on what is in them.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, reason = "this is a test")]

#[path = "openapi/document.rs"]
mod document;

use std::sync::Arc;

use document::Document;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE};
use serde_json::json;

#[test]
fn every_operation_is_described_and_none_besides() {
    let document = Document::load();
    let mut there: Vec<_> =
        keycell_kdc::http::routes().iter().map(|route| format!("{} {}", route.method, route.path)).collect();
    there.sort();
    assert_eq!(there, document.operations());
}

#[test]
fn every_schema_is_one_and_its_examples_keep_to_it() {
    assert!(Document::load().examples() >= 4);
}

/// Every kind of answer of every operation that a client can bring about.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_answer_is_as_described() {
    let cell = Cell::sqlite();
    cell.configure("limits = { body_bytes = 8192, request_timeout_seconds = 5 }");
    let kdc = cell.serve();
    let (admin, auditor) = (cell.admin(&kdc), kdc.http().with_token(&cell.token("auditor")));
    let mut see = Checker::new(kdc.http());
    let (a, off) = (admin.add("a@test.internal").await, admin.add("off@test.internal").await);
    admin.add("b@test.internal").await;
    admin.set_enabled("off@test.internal", false).await;

    for path in ["/livez", "/readyz", "/metrics", "/v1/zone"] {
        see.answer("GET", path, 200, see.http.get(path).await);
    }
    tickets(&mut see, &a, &off).await;

    let list = ("GET", PARTIES);
    see.answer(list.0, list.1, 200, admin.get(PARTIES).await);
    see.answer(list.0, list.1, 200, admin.get(&format!("{PARTIES}?limit=1")).await);
    see.answer(list.0, list.1, 400, admin.get(&format!("{PARTIES}?limit=0")).await);
    see.answer(list.0, list.1, 401, see.http.get(PARTIES).await);

    let key = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";
    let named = json!({ "name": "new@test.internal", "key": key });
    for (status, answer) in [
        (201, admin.send(Method::POST, PARTIES, &json!({ "name": "drawn@test.internal" })).await),
        (201, admin.send(Method::POST, PARTIES, &named).await),
        (200, admin.send(Method::POST, PARTIES, &named).await),
        (409, admin.send(Method::POST, PARTIES, &json!({ "name": "new@test.internal" })).await),
        (400, admin.send(Method::POST, PARTIES, &json!({})).await),
        (401, see.http.send(Method::POST, PARTIES, &named).await),
        (403, auditor.send(Method::POST, PARTIES, &named).await),
        (413, admin.send(Method::POST, PARTIES, &json!({ "name": "x".repeat(9_000) })).await),
        (415, Answer::of(admin.request(Method::POST, PARTIES).body("{}")).await),
    ] {
        see.answer("POST", PARTIES, status, answer);
    }

    let one = "/v1/admin/parties/{name}";
    let (known, unknown, wrong) =
        (party_path("new@test.internal"), party_path("nobody@test.internal"), party_path("no name"));
    let body = json!({ "enabled": false });
    let patch = Method::PATCH;
    for (status, answer) in [
        (200, admin.get(&known).await),
        (404, admin.get(&unknown).await),
        (400, admin.get(&wrong).await),
        (401, see.http.get(&known).await),
    ] {
        see.answer("GET", one, status, answer);
    }
    for (status, answer) in [
        (200, admin.send(patch.clone(), &known, &body).await),
        (400, admin.send(patch.clone(), &known, &json!({ "enabled": 1 })).await),
        (400, admin.send(patch.clone(), &wrong, &body).await),
        (404, admin.send(patch.clone(), &unknown, &body).await),
        (401, see.http.send(patch.clone(), &known, &body).await),
        (403, auditor.send(patch.clone(), &known, &body).await),
        (413, admin.send(patch.clone(), &known, &json!({ "x": "x".repeat(9_000) })).await),
        (415, Answer::of(admin.request(patch, &known).body("{}")).await),
    ] {
        see.answer("PATCH", one, status, answer);
    }
    for (status, answer) in [
        (403, auditor.delete("new@test.internal").await),
        (401, see.http.delete("new@test.internal").await),
        (204, admin.delete("new@test.internal").await),
        (404, admin.delete("new@test.internal").await),
        (400, admin.delete("no name").await),
    ] {
        see.answer("DELETE", one, status, answer);
    }
}

async fn tickets(see: &mut Checker, a: &Party, off: &Party) {
    let good = || a.sign(&a.request(&["b@test.internal", "nobody@test.internal"]));
    let replayed = good();
    let mut skewed = a.request(&["b@test.internal"]);
    skewed.timestamp = skewed.timestamp.shifted(-3_600_000);
    let plain = see.http.request(Method::POST, "/v1/tickets").header(CONTENT_TYPE, "text/plain");
    for (status, answer) in [
        (200, see.http.tickets(replayed.clone()).await),
        (401, see.http.tickets(replayed).await),
        (401, see.http.tickets(a.sign(&skewed)).await),
        (400, see.http.tickets("{}").await),
        (403, see.http.tickets(off.sign(&off.request(&["b@test.internal"]))).await),
        (413, see.http.tickets(vec![b' '; 9_000]).await),
        (415, Answer::of(plain.body(good())).await),
    ] {
        see.answer("POST", "/v1/tickets", status, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_refused_for_asking_too_often_is_as_described() {
    let cell = Cell::sqlite();
    cell.configure("limits = { per_address = { per_second = 1, burst = 1 } }");
    let kdc = cell.serve();
    let mut see = Checker::new(kdc.http());
    let refused = async |method: Method, path: &str| {
        until("it is too often", async || {
            let request = see.http.request(method.clone(), path).header(AUTHORIZATION, "Bearer x");
            let answer = Answer::of(request).await;
            (answer.status == 429).then_some(answer)
        })
        .await
    };
    let mut answers = Vec::new();
    for route in keycell_kdc::http::routes() {
        if route.path.starts_with("/v1") {
            let answer =
                refused(route.method.clone(), &route.path.replace("{name}", "a%40test.internal")).await;
            answers.push((route.method.to_string(), route.path, answer));
        }
    }
    for (method, path, answer) in answers {
        see.answer(&method, path, 429, answer);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn being_without_a_database_is_as_described() {
    let cell = Cell::postgres(&Arc::new(Postgres::start()));
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut see = Checker::new(kdc.http());
    admin.add("a@test.internal").await;
    cell.cluster().unwrap().crash();
    let body = json!({ "name": "b@test.internal" });
    see.answer("POST", PARTIES, 503, admin.send(Method::POST, PARTIES, &body).await);
    let one = "/v1/admin/parties/{name}";
    see.answer("PATCH", one, 503, admin.set_enabled("a@test.internal", false).await);
    see.answer("DELETE", one, 503, admin.delete("a@test.internal").await);
    let http = see.http.clone();
    let unready = until("it is not ready", async || {
        let answer = http.get("/readyz").await;
        (answer.status != 200).then_some(answer)
    });
    see.answer("GET", "/readyz", 503, unready.await);
}

/// Compares answers with the document.
struct Checker {
    http: Http,
    document: Document,
}

impl Checker {
    fn new(http: Http) -> Self {
        Self { http, document: Document::load() }
    }

    #[expect(clippy::needless_pass_by_value, reason = "each answer is looked at once")]
    fn answer(&mut self, method: &str, path: &str, status: u16, answer: Answer) {
        assert_eq!(answer.status, status, "{method} {path}: {}", answer.text());
        assert!(!answer.header("x-request-id").is_empty(), "{method} {path}: no request id");
        self.document.check(method, path, &answer);
    }
}
