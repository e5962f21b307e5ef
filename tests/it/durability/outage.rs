//! PostgreSQL crashes under a running KDC, and two KDCs share one PostgreSQL.

use std::sync::Arc;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{PARTIES, party_path};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::json;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tickets_go_on_while_postgres_is_gone() {
    let cluster = Arc::new(Postgres::start());
    let cell = Cell::postgres(&cluster);
    let mut kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;

    for outage in 0..2 {
        cluster.crash();
        for _ in 0..20 {
            assert_eq!(a.refusal(&http, "b@test.internal").await, None);
        }
        // An administrator is told that it cannot be done now, and when to try again.
        let name = format!("c{outage}@test.internal");
        for answer in [
            admin.send(Method::POST, PARTIES, &json!({ "name": name })).await,
            admin.set_enabled("b@test.internal", false).await,
            admin.delete("b@test.internal").await,
        ] {
            assert_eq!((answer.status, answer.kind()), (503, ProblemType::Unavailable));
            assert!(!answer.header("retry-after").is_empty());
            assert!(
                !answer.text().contains("sqlx") && !answer.text().contains("127.0.0.1"),
                "{}",
                answer.text()
            );
        }
        // Looking needs no database.
        assert_eq!(admin.get(&party_path("b@test.internal")).await.status, 200);
        let unready = until("the KDC says that it is not ready", async || {
            let answer = http.get("/readyz").await;
            (answer.status != 200).then_some(answer)
        });
        assert_eq!(unready.await.kind(), ProblemType::Unavailable);
        assert_eq!(http.get("/livez").await.status, 200);
        assert_eq!(a.refusal(&http, "b@test.internal").await, None);

        cluster.restart();
        until("the KDC is ready", async || (http.get("/readyz").await.status == 200).then_some(())).await;
        let c = until("changes are made", async || {
            let answer = admin.try_send(Method::POST, PARTIES, &json!({ "name": name })).await.unwrap();
            (answer.status == 201).then(|| keycell_tests::party::Party::created(&answer.json()))
        })
        .await;
        assert_eq!(c.refusal(&http, "a@test.internal").await, None);
        assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    }
    assert!(kdc.runs());
    assert_eq!(kdc.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_done_at_one_kdc_holds_at_the_other() {
    let cell = Cell::postgres(&Postgres::shared());
    let (mut one, other) = (cell.serve(), cell.replica());
    let (at_one, at_other) = (cell.admin(&one), cell.admin(&other));
    let a = at_one.add("a@test.internal").await;
    let b = at_other.add("b@test.internal").await;
    let http = other.http();
    let speaks = async |party: &keycell_tests::party::Party| match party
        .ask(&http, &["b@test.internal", "a@test.internal"])
        .await
    {
        Ok(_) => None,
        Err(answer) => Some(answer.kind()),
    };
    until("the other knows a", async || speaks(&a).await.is_none().then_some(())).await;
    assert_eq!(speaks(&b).await, None);

    for _ in 0..5 {
        assert_eq!(at_one.set_enabled("a@test.internal", false).await.status, 200);
        until("the other refuses a", async || {
            (speaks(&a).await == Some(ProblemType::PartyDisabled)).then_some(())
        })
        .await;
        assert_eq!(b.refusal(&http, "a@test.internal").await, Some(ProblemType::DestinationDisabled));
        assert_eq!(at_one.set_enabled("a@test.internal", true).await.status, 200);
        until("the other lets a speak", async || speaks(&a).await.is_none().then_some(())).await;
    }
    assert_eq!(at_one.delete("a@test.internal").await.status, 204);
    until("the other has forgotten a", async || {
        (speaks(&a).await == Some(ProblemType::Unauthenticated)).then_some(())
    })
    .await;

    // One of them is gone; a token of the zone is good at the other, which goes on.
    one.kill9();
    let again = at_other.add("a@test.internal").await;
    assert_eq!(again.refusal(&http, "b@test.internal").await, None);
}
