//! A configuration that is read again while everything goes on.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

use std::fs;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use rustix::process::{Signal, kill_process};
use serde_json::{Value, json};

const RELOAD: &str = "/v1/admin/reload";

async fn reload(admin: &Http) -> Value {
    let answer = admin.send_with(Method::POST, RELOAD, &[], &Value::Null).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

/// The value of a metric without labels, or with exactly these.
async fn metric(kdc: &Kdc, name: &str) -> f64 {
    let page = kdc.http().get("/metrics").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or_else(|| panic!("no {name} in {page}")).parse().unwrap()
}

async fn refused(kdc: &Kdc) -> f64 {
    metric(kdc, "keycell_reloads_total{outcome=\"refused\"}").await
}

#[tokio::test]
async fn what_can_change_changes_and_what_cannot_is_named() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    assert_eq!(
        reload(&admin).await,
        json!({
            "changed": [], "needs_restart": [], "certificate_changed": false,
            "certificate_expires_at": admin.get("/v1/admin/status").await.json()["certificate_expires_at"],
        })
    );

    cell.configure(
        "listen = '127.0.0.1:1'\ndatabase = 'sqlite:other.db'\ntickets = { lifetime_seconds = 77, clock_skew_seconds = 5 }\n\
         log = { level = 'debug' }\nlimits = { body_bytes = 4096, nonces = 5000, per_address = { burst = 3000 } }",
    );
    assert!(!kdc.log().contains("DEBUG"), "{}", kdc.log());
    let done = reload(&admin).await;
    let changed = ["limits.body_bytes", "limits.per_address.burst", "log.level", "tickets.lifetime_seconds"];
    assert_eq!(done["changed"], json!(changed));
    let needs_restart = json!(["database", "limits.nonces", "listen", "tickets.clock_skew_seconds"]);
    assert_eq!(done["needs_restart"], needs_restart);

    let zone = kdc.http().get("/v1/zone").await.json();
    assert_eq!((&zone["ticket_lifetime_seconds"], &zone["clock_skew_seconds"]), (&json!(77), &json!(60)));
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, None);
    assert_eq!(admin.get("/v1/admin/limits").await.json()["per_address"]["rate"]["burst"], 3000);
    let long = json!({ "name": "c@test.internal", "note": "x".repeat(5000) });
    assert_eq!(admin.send(Method::POST, "/v1/admin/parties", &long).await.status, 413);
    kdc.logs("DEBUG").await;
    // What needs a restart goes on needing it; the rest has changed already.
    let again = reload(&admin).await;
    assert_eq!((&again["changed"], &again["needs_restart"]), (&json!([]), &needs_restart));

    let record = admin.recorded("the reload is recorded", |record| {
        record["action"] == "config.reload" && record["detail"]["changed"] == json!(changed)
    });
    let record = record.await;
    assert_eq!((&record["outcome"], &record["detail"]["needs_restart"]), (&json!("done"), &needs_restart));
    assert_eq!(record["actor"], "administrator:admin");
    assert_eq!(metric(&kdc, "keycell_reloads_total{outcome=\"done\"}").await, 3.0);
    assert_eq!(refused(&kdc).await, 0.0);
}

#[tokio::test]
async fn a_mistake_changes_nothing_and_is_named() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let good = fs::read_to_string(cell.file("keycell.toml")).unwrap();
    let key = fs::read_to_string(cell.file("tls/server.key")).unwrap();
    let cases = [
        ("tickets = { lifetime_seconds = 5 }", "tickets.lifetime_seconds: 10 to 86400"),
        ("tickets = { lifetime_seconds = 50, colour = 1 }", "unknown field `colour`"),
        ("tickets = { lifetime_seconds = 50 }\nlog = { level = 'loud=loud' }", "log level"),
        ("tickets = { lifetime_seconds = 50 }\ntls = { key = 'none.key' }", "none.key"),
        ("tickets = { lifetime_seconds = 50 }\ntls = { roots = 'keycell.toml' }", "keycell.toml"),
        ("tickets = { lifetime_seconds = 50 }\ntls = { key = 'master.key' }", "master.key"),
    ];
    for (settings, says) in cases {
        let before = refused(&kdc).await;
        cell.configure(settings);
        let answer = admin.send_with(Method::POST, RELOAD, &[], &Value::Null).await;
        assert_eq!((answer.status, answer.kind()), (409, ProblemType::Conflict), "{settings}");
        let detail = answer.problem().detail.unwrap();
        assert!(detail.starts_with("nothing was changed: ") && detail.contains(says), "{settings}: {detail}");
        assert_eq!(refused(&kdc).await, before + 1.0);
        let told = cell.run(&["reload"]).failed();
        assert!(told.contains(says), "{told}");
        assert_eq!(kdc.http().get("/v1/zone").await.json()["ticket_lifetime_seconds"], 900);
        fs::write(cell.file("keycell.toml"), &good).unwrap();
    }
    assert!(!kdc.log().contains(key.lines().nth(1).unwrap()), "the key is in the log");

    // By a signal, the log says so.
    let before = refused(&kdc).await;
    cell.configure("tickets = { lifetime_seconds = 5 }");
    kill_process(kdc.pid(), Signal::HUP).unwrap();
    until("the KDC has read it", async || (refused(&kdc).await > before).then_some(())).await;
    cell.configure("tickets = { lifetime_seconds = 55 }");
    kill_process(kdc.pid(), Signal::HUP).unwrap();
    kdc.logs("the configuration is read again").await;
    assert_eq!(kdc.http().get("/v1/zone").await.json()["ticket_lifetime_seconds"], 55);
    let reloads: Vec<_> =
        admin.records().await.into_iter().filter(|record| record["action"] == "config.reload").collect();
    assert_eq!((reloads.len(), &reloads[0]["actor"]), (1, &json!("kdc")), "what was refused changed nothing");
}

#[tokio::test]
async fn only_an_admin_may() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    for (role, status) in [("auditor", 403), ("operator", 403), ("admin", 200)] {
        let http = kdc.http().with_token(&cell.token(role));
        let answer = http.send_with(Method::POST, RELOAD, &[], &Value::Null).await;
        assert_eq!(answer.status, status, "{role}");
    }
    let text = cell.run(&["reload"]).succeeded().stdout;
    assert_eq!(text, "The configuration is read again; no setting changed.\n");
    cell.configure("log = { level = 'warn', format = 'json' }");
    let text = cell.run(&["reload"]).succeeded().stdout;
    assert_eq!(text, "Changed: log.level.\nOnly after a restart: log.format.\n");
}

/// A variable goes before the file at a reload too.
#[tokio::test]
async fn variables_stay_in_force() {
    let cell = Cell::sqlite();
    let kdc =
        cell.serve_with(&[("KEYCELL_TICKETS__LIFETIME_SECONDS", "66"), ("KEYCELL_LOG__FORMAT", "json")]);
    let admin = cell.admin(&kdc);
    kdc.logs("{\"timestamp\":").await;
    cell.configure(
        "tickets = { lifetime_seconds = 77, clock_skew_seconds = 60 }\nlimits = { idle_seconds = 9 }",
    );
    assert_eq!(reload(&admin).await["changed"], json!(["limits.idle_seconds"]));
    assert_eq!(kdc.http().get("/v1/zone").await.json()["ticket_lifetime_seconds"], 66);
    assert_eq!(kdc.http().get("/v1/admin/zone").await.status, 401);

    for (name, says) in [
        ("KEYCELL_TICKETS__LIFETIME", "the variable KEYCELL_TICKETS__LIFETIME is no setting"),
        ("KEYCELL_TICKETS__LIFETIME_SECONDS", "the variable KEYCELL_TICKETS__LIFETIME_SECONDS: "),
    ] {
        let mut check = cell.command();
        let refused = keycell_tests::cell::ended(check.arg("check-config").env(name, "hunter2")).failed();
        assert!(refused.contains(says) && !refused.contains("hunter2"), "{refused}");
    }
}

/// A certificate must get in also when nothing can be recorded; an administrator's act must not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_database_a_signal_reloads_and_an_administrator_does_not() {
    let cluster = std::sync::Arc::new(Postgres::start());
    let cell = Cell::postgres(&cluster);
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    assert_eq!(reload(&admin).await["changed"], json!([]));
    cluster.crash();
    until("the KDC is not ready", async || (kdc.http().get("/readyz").await.status == 503).then_some(()))
        .await;
    cell.configure("tickets = { lifetime_seconds = 55, clock_skew_seconds = 60 }");
    let answer = admin.send_with(Method::POST, RELOAD, &[], &Value::Null).await;
    assert_eq!(answer.status, 503, "{}", answer.text());
    assert_eq!(kdc.http().get("/v1/zone").await.json()["ticket_lifetime_seconds"], 900);
    kill_process(kdc.pid(), Signal::HUP).unwrap();
    kdc.logs("the reload is not recorded in the audit log").await;
    until("the configuration is in force", async || {
        let zone = kdc.http().get("/v1/zone").await.json();
        (zone["ticket_lifetime_seconds"] == 55).then_some(())
    })
    .await;
}
