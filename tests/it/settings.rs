//! Settings that hold on every KDC of the zone, and the log of tickets.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

use keycell_protocol::{Outcome, ProblemType};
use keycell_tests::admin::{LIMITS, ZONE};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES, party_path};
use keycell_tests::party::{Party, now};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// Whether a ticket from `party` to `b` lasts so many seconds.
async fn lasts(party: &Party, kdc: &Http, seconds: u64) -> bool {
    let before = now().seconds().0;
    let outcomes = party.ask(kdc, &["b@test.internal"]).await.unwrap();
    let [Outcome::Granted(grant)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    (before + seconds..=now().seconds().0 + seconds).contains(&grant.expiration.0)
}

async fn zone_says(kdc: &Http) -> Value {
    kdc.get("/v1/zone").await.json()["ticket_lifetime_seconds"].clone()
}

#[tokio::test]
async fn the_lifetime_of_tickets_is_the_zones() {
    let cell = Cell::sqlite();
    cell.configure("tickets = { lifetime_seconds = 1234 }");
    let mut kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let settings = admin.get(ZONE).await.json();
    assert_eq!(
        (&settings["ticket_lifetime_seconds"], &settings["ticket_lifetime_is_set"]),
        (&json!(1234), &json!(false))
    );
    assert!(lasts(&a, &http, 1234).await);
    assert_eq!(zone_says(&http).await, 1234);

    let set = admin.send(Method::PATCH, ZONE, &json!({ "ticket_lifetime_seconds": 77 })).await;
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!(set.json()["ticket_lifetime_is_set"], true);
    assert!(lasts(&a, &http, 77).await);
    assert_eq!(zone_says(&http).await, 77);
    for wrong in [json!(9), json!(86_401), json!("60"), json!(-1)] {
        let refused = admin.send(Method::PATCH, ZONE, &json!({ "ticket_lifetime_seconds": wrong })).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{wrong}");
        assert_eq!(refused.problem().field.as_deref(), Some("ticket_lifetime_seconds"), "{wrong}");
    }
    // Also after a crash.
    kdc.kill9();
    kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    assert!(lasts(&a, &http, 77).await);
    // Something else of the zone does not touch it.
    assert_eq!(admin.send(Method::PATCH, ZONE, &json!({ "audit_retention_days": 365 })).await.status, 200);
    assert!(lasts(&a, &http, 77).await);
    let unset = admin.send(Method::PATCH, ZONE, &json!({ "ticket_lifetime_seconds": null })).await;
    assert_eq!(unset.json()["ticket_lifetime_is_set"], false);
    assert_eq!(unset.json()["audit_retention_days"], 365);
    assert!(lasts(&a, &http, 1234).await);
    assert_eq!(zone_says(&http).await, 1234);
}

#[tokio::test]
async fn a_setting_reaches_a_replica() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let there = replica.http();
    until("the replica knows them", async || match a.ask(&there, &["b@test.internal"]).await {
        Ok(outcomes) => matches!(outcomes[..], [Outcome::Granted(_)]).then_some(()),
        Err(_) => None,
    })
    .await;
    assert_eq!(admin.send(Method::PATCH, ZONE, &json!({ "ticket_lifetime_seconds": 77 })).await.status, 200);
    until("the replica's tickets are shorter", async || lasts(&a, &there, 77).await.then_some(())).await;

    let limits = json!({ "per_address": { "per_second": 1, "burst": 40 } });
    assert_eq!(admin.send(Method::PATCH, LIMITS, &limits).await.status, 200);
    let greedy = replica.http_from("127.0.0.2".parse().unwrap());
    until("the replica limits", async || {
        let answer = greedy.get("/v1/zone").await;
        (answer.status == 429).then(|| assert_eq!(answer.kind(), ProblemType::RateLimited))
    })
    .await;
}

/// How many of `n` requests are answered by `status`.
async fn answered(http: &Http, path: &str, n: u32, status: u16) -> u32 {
    let mut count = 0;
    for _ in 0..n {
        count += u32::from(http.get(path).await.status == status);
    }
    count
}

#[tokio::test]
async fn limits_change_without_a_restart() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let before = admin.get(LIMITS).await.json();
    let from = |kdc: &keycell_tests::kdc::Kdc, last: u8| kdc.http_from([127, 0, 0, last].into());
    assert_eq!(answered(&from(&kdc, 2), "/v1/zone", 100, 200).await, 100);

    let tight = json!({ "per_address": { "per_second": 1, "burst": 50 } });
    let set = admin.send(Method::PATCH, LIMITS, &tight).await;
    assert_eq!(set.status, 200, "{}", set.text());
    assert_eq!(set.json()["per_address"], json!({ "rate": tight["per_address"], "is_set": true }));
    assert_eq!(set.json()["failures_per_address"], before["failures_per_address"]);
    let greedy = from(&kdc, 3);
    until("it is limited", async || (greedy.get("/v1/zone").await.status == 429).then_some(())).await;
    assert!(greedy.get("/v1/zone").await.headers.contains_key("retry-after"));

    // After a restart too.
    kdc.kill9();
    kdc = cell.serve();
    let (admin, greedy) = (cell.admin(&kdc), from(&kdc, 4));
    until("it is limited", async || (greedy.get("/v1/zone").await.status == 429).then_some(())).await;
    let unset = admin.send(Method::PATCH, LIMITS, &json!({ "per_address": null })).await;
    assert_eq!(unset.json()["per_address"], before["per_address"]);
    assert_eq!(answered(&greedy, "/v1/zone", 200, 200).await, 200);

    let failures = json!({ "failures_per_address": { "per_second": 1, "burst": 3 } });
    assert_eq!(admin.send(Method::PATCH, LIMITS, &failures).await.status, 200);
    let stranger = from(&kdc, 5);
    until("failures are limited", async || (stranger.get(PARTIES).await.status == 429).then_some(())).await;
    assert_eq!(admin.send(Method::PATCH, LIMITS, &json!({ "failures_per_address": null })).await.status, 200);
    assert_eq!(stranger.get(PARTIES).await.status, 401);

    let hosts = json!({ "enrollments_per_address": { "per_second": 1, "burst": 3 } });
    let set = admin.send(Method::PATCH, LIMITS, &hosts).await;
    let rate = &hosts["enrollments_per_address"];
    assert_eq!(set.json()["enrollments_per_address"], json!({ "rate": rate, "is_set": true }));
    let flood = from(&kdc, 6);
    until("hosts are limited", async || (flood.enroll(b"{}".to_vec()).await.status == 429).then_some(()))
        .await;
    assert_eq!(flood.get("/v1/zone").await.status, 200);

    for (body, field) in [
        (json!({ "per_address": { "per_second": 0, "burst": 1 } }), "per_address.per_second"),
        (json!({ "per_address": { "per_second": 1, "burst": 0 } }), "per_address.burst"),
        (json!({ "per_address": { "per_second": 1 } }), "per_address"),
        (json!({ "tickets_per_party": { "per_second": 1, "burst": 999 } }), "tickets_per_party.burst"),
        (json!({ "colour": null }), "colour"),
    ] {
        let refused = admin.send(Method::PATCH, LIMITS, &body).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{body}");
        assert_eq!(refused.problem().field.as_deref(), Some(field), "{body}: {}", refused.text());
    }
}

#[tokio::test]
async fn a_partys_rate_changes_without_a_restart() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    let many = ["a@test.internal"; 1000];
    for _ in 0..3 {
        assert_eq!(a.ask(&http, &many).await.unwrap().len(), 1000);
    }
    let tight = json!({ "tickets_per_party": { "per_second": 1, "burst": 1000 } });
    assert_eq!(admin.send(Method::PATCH, LIMITS, &tight).await.status, 200);
    assert_eq!(a.ask(&http, &many).await.unwrap().len(), 1000);
    assert_eq!(a.ask(&http, &many).await.unwrap_err().kind(), ProblemType::RateLimited);
    assert_eq!(admin.send(Method::PATCH, LIMITS, &json!({ "tickets_per_party": null })).await.status, 200);
    assert_eq!(a.ask(&http, &many).await.unwrap().len(), 1000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_are_logged_for_whom_it_is_switched_on() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let [mut a, mut b] = [None, None];
    for (name, party) in [("a", &mut a), ("b", &mut b)] {
        *party = Some(admin.add(&format!("{name}@test.internal")).await);
    }
    let (a, b) = (a.unwrap(), b.unwrap());
    let switch = async |on: bool| {
        let path = party_path("a@test.internal");
        assert_eq!(admin.send(Method::PATCH, &path, &json!({ "log_tickets": on })).await.status, 200);
    };
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    switch(true).await;
    let asked = ["b@test.internal", "nobody@test.internal"];
    assert_eq!(a.ask(&http, &asked).await.unwrap().len(), 2);
    assert_eq!(b.ask(&http, &["b@test.internal", "nobody@test.internal"]).await.unwrap().len(), 2);
    until("both lines are there", async || (lines(&kdc.log()).len() >= 2).then_some(())).await;
    switch(false).await;
    assert_eq!(a.ask(&http, &asked).await.unwrap().len(), 2);
    assert_eq!(kdc.terminate(), Some(0));
    let log = kdc.log();
    let lines = lines(&log);
    let [issued, refused] = lines.as_slice() else { panic!("two lines: {lines:#?}") };
    for (line, words) in [
        (issued, ["ticket issued", "a@test.internal", "b@test.internal", "expiration"]),
        (refused, ["ticket refused", "a@test.internal", "nobody@test.internal", "unknown-destination"]),
    ] {
        assert!(words.iter().all(|word| line.contains(word)), "{line}");
    }
}

fn lines(log: &str) -> Vec<&str> {
    log.lines().filter(|line| line.contains("ticket issued") || line.contains("ticket refused")).collect()
}
