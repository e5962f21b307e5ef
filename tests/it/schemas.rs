//! A KDC under the schema of the next release: what a later migration added is in nobody's way.

use keycell_protocol::ProblemType;
use keycell_tests::admin::{RULES, TOKENS, ZONE};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, party_path};
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::schema::Raw;
use reqwest::Method;
use serde_json::json;

/// Does a little of everything that writes, under names of its own.
async fn a_day(kdc: &Kdc, admin: &Http, day: &str) {
    let http = kdc.http();
    let (a, b) = (format!("a.{day}@test.internal"), format!("b.{day}@test.internal"));
    let (one, other) = (admin.add(&a).await, admin.add(&b).await);
    assert_eq!(one.refusal(&http, &b).await, None, "{day}");
    let rule = json!({ "id": format!("deny-{day}"), "effect": "deny", "source": format!("b.{day}"), "destination": "*" });
    assert_eq!(admin.send(Method::POST, RULES, &rule).await.status, 201, "{day}");
    assert_eq!(other.refusal(&http, &a).await, Some(ProblemType::NotAllowed), "{day}");
    assert_eq!(admin.set_enabled(&b, false).await.status, 200, "{day}");
    assert_eq!(one.refusal(&http, &b).await, Some(ProblemType::DestinationDisabled), "{day}");
    let token = admin.send(Method::POST, TOKENS, &json!({ "subject": day, "role": "auditor" })).await;
    assert_eq!(token.status, 201, "{day}");
    let settings = json!({ "audit_retention_days": 90 });
    assert_eq!(admin.send(Method::PATCH, ZONE, &settings).await.status, 200, "{day}");
    assert_eq!(admin.delete(&b).await.status, 204, "{day}");
    assert_eq!(admin.add(&b).await.key.generation().0, 2, "{day}");
    assert_eq!(admin.get(&party_path(&a)).await.status, 200, "{day}");
    admin.assert_intact().await;
}

/// The next release migrates while this one's KDCs serve; they go on, and start again.
async fn it_goes_on(cell: &Cell, url: &str) {
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    a_day(&kdc, &admin, "before").await;
    let mut database = Raw::open(url).await;
    database.expand().await;
    a_day(&kdc, &admin, "during").await;
    assert_eq!(kdc.terminate(), Some(0));

    let mut kdc = cell.serve();
    kdc.logs("a newer release has migrated the database").await;
    let admin = kdc.http().with_token(&token);
    assert_eq!(kdc.http().get("/readyz").await.status, 200);
    a_day(&kdc, &admin, "after").await;
    assert!(cell.run(&["migrate"]).succeeded().stdout.contains("nothing was changed"));
    cell.run(&["check-config"]).succeeded();
    assert_eq!(kdc.terminate(), Some(0));

    database.run("UPDATE schema_needs SET oldest = (SELECT max(version) FROM _sqlx_migrations)").await;
    database.close().await;
    for command in [&["serve"][..], &["check-config"], &["migrate"], &["token", "create"]] {
        let complaint = cell.run(command).failed();
        assert!(complaint.contains("run the newer release"), "{command:?}: {complaint}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_on_sqlite_goes_on_under_a_later_schema() {
    let cell = Cell::sqlite();
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    it_goes_on(&cell, &url).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_on_postgresql_goes_on_under_a_later_schema() {
    let cell = Cell::postgres(&Postgres::shared());
    let config: toml::Table = std::fs::read_to_string(cell.file("keycell.toml")).unwrap().parse().unwrap();
    let url = config.get("database").and_then(toml::Value::as_str).unwrap().to_owned();
    it_goes_on(&cell, &url).await;
}
