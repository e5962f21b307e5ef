//! Several KDCs of a zone, of which one has not been given the new version yet.

use keycell_protocol::ProblemType;
use keycell_tests::postgres::Postgres;

use super::*;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_without_the_version_serves_on_and_believes_what_is_taken_away() {
    let cell = Cell::postgres(&Postgres::shared());
    let (one, other) = (cell.file("master.key"), cell.file("other.key"));
    fs::copy(&one, &other).unwrap();
    let kdc = cell.serve();
    let behind = cell.replica_with("master_key = { file = 'other.key' }");
    let (admin, there) = (cell.admin(&kdc), behind.http());
    let behind_admin = there.clone().with_token(&cell.token("admin"));
    let lost = there.clone().with_token(&cell.token("auditor"));
    let (a, b) = (cell.add("a"), cell.add("b"));
    let _ = cell.add("c");
    let off = cell.add("off");
    assert_eq!(admin.set_enabled("off@test.internal", false).await.status, 200);
    until("both know them", async || {
        let granted = a.ask(&there, &["b@test.internal", "c@test.internal"]).await.ok()?;
        (gets_tickets(&granted) && off.ask(&there, &["a@test.internal"]).await.is_err()).then_some(())
    })
    .await;

    let refused = cell.run(&["master-key", "rotate"]).failed();
    assert!(refused.contains("several KDCs may share this database"), "{refused}");
    let told = cell.run(&["master-key", "rotate", "--alone"]).succeeded().stdout;
    assert!(told.starts_with("Version 2"), "{told}");

    let unready = until("the other says what it lacks", async || {
        let ready = there.get("/readyz").await;
        (ready.status == 503 && ready.text().contains("version 2")).then_some(ready)
    });
    assert_eq!(unready.await.kind(), ProblemType::Unavailable);
    // What it has in memory stays, and it gives tickets.
    assert!(gets_tickets(&a.ask(&there, &["b@test.internal", "c@test.internal"]).await.unwrap()));
    // It changes nothing: what it would wrap is under a version that is on its way out.
    let body = json!({ "name": "d@test.internal" });
    assert_eq!(behind_admin.send(Method::POST, "/v1/admin/parties", &body).await.status, 503);
    // What is taken away elsewhere holds here, in rows that it cannot open; what is given is not believed.
    for (name, enabled) in [("b@test.internal", false), ("off@test.internal", true)] {
        assert_eq!(admin.set_enabled(name, enabled).await.status, 200);
    }
    until("b is disabled there", async || (a.refusal(&there, "b@test.internal").await).map(drop)).await;
    assert_eq!(b.ask(&there, &["a@test.internal"]).await.unwrap_err().kind(), ProblemType::PartyDisabled);
    assert_eq!(admin.delete("c@test.internal").await.status, 204);
    until("c is gone there", async || a.refusal(&there, "c@test.internal").await.map(drop)).await;
    assert!(off.ask(&there, &["a@test.internal"]).await.is_err(), "although that came before");
    let id = lost.get("/v1/admin/whoami").await.json()["token"].as_str().unwrap().to_owned();
    assert_eq!(admin.send(Method::DELETE, &format!("/v1/admin/tokens/{id}"), &Value::Null).await.status, 204);
    until("the token is no good there", async || {
        (lost.get("/v1/admin/whoami").await.status == 401).then_some(())
    })
    .await;
    let new = admin.add("new@test.internal").await;
    let log = behind.log();
    assert!(!log.contains("a key does not unwrap"), "a key that only waits is not damaged:\n{log}");

    // Given the line, it goes over by itself, and what it could not read is there.
    fs::copy(&one, &other).unwrap();
    until("it is ready", async || (there.get("/readyz").await.status == 200).then_some(())).await;
    for party in [&new, &same(&off)] {
        assert!(gets_tickets(&party.ask(&there, &["a@test.internal"]).await.unwrap()));
    }
    assert!(b.ask(&there, &["a@test.internal"]).await.is_err());
    assert_eq!(behind_admin.send(Method::POST, "/v1/admin/parties", &body).await.status, 201);
    assert_eq!(behind_admin.get(MASTER_KEY).await.json()["active"], 2);
    assert!(!behind.log().contains("a key does not unwrap"));
}
