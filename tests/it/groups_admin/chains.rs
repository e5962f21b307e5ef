//! What puts an end to the keys that are out, and what does not.

use keycell_protocol::ProblemType;
use keycell_tests::admin::{GROUPS, group_path};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::AssertSqlSafe;

use crate::{GROUP, create, delete, excluded, patch, rows, show};

/// The generation in use, which only a new chain moves by two or more within a lifetime.
fn generation(group: &Value) -> u64 {
    group["generation"].as_u64().unwrap()
}

async fn rotate(admin: &Http, headers: &[(&str, &str)]) -> Answer {
    admin.send_with(Method::POST, &format!("{}/rotate", group_path(GROUP)), headers, &Value::Null).await
}

/// The versions of chains that the log says began, in order.
async fn begun(admin: &Http) -> Vec<u64> {
    let records = admin.records().await;
    let ours = records.iter().filter(|record| record["target"] == GROUP && record["outcome"] == "done");
    ours.filter_map(|record| record["detail"]["chain"].as_u64()).collect()
}

#[tokio::test]
async fn only_what_takes_something_away_begins_a_chain() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let mut admin = kdc.http().with_token(&token);
    for name in ["a", "b"] {
        admin.add(&format!("nanoprobe.{name}@test.internal")).await;
    }
    // So long that no key changes with the time.
    let day = json!({ "name": GROUP, "lifetime_seconds": 86_400 });
    let mut before = create(&admin, &day).await;
    assert_eq!(before["old_keys_until"], Value::Null);
    for same in [
        json!({}),
        json!({ "note": "Why." }),
        json!({ "author_proof": true }),
        json!({ "members": ["nanoprobe.*"], "lifetime_seconds": 86_400 }),
        json!({ "members": ["nanoprobe.*", "lab.*"] }),
    ] {
        let after = patch(&admin, same.clone()).await;
        assert_eq!(
            (generation(&after), &after["chain_began_at"], &after["old_keys_until"]),
            (generation(&before), &before["chain_began_at"], &Value::Null),
            "{same}"
        );
    }
    let ended = |before: &Value, after: &Value, what: &str| {
        assert!(generation(after) >= generation(before) + 2, "{what}: {after}");
        let end = after["old_keys_until"].as_u64().unwrap();
        assert_eq!(end, after["chain_began_at"].as_u64().unwrap() + 86_400_000, "{what}: {after}");
    };
    let narrower = patch(&admin, json!({ "members": ["lab.*", "nanoprobe.?"] })).await;
    ended(&before, &narrower, "narrower");
    let out = excluded(&admin, Method::PUT, "nanoprobe.a").await.json();
    ended(&narrower, &out, "taken out");
    assert_eq!(excluded(&admin, Method::DELETE, "nanoprobe.a").await.status, 204);
    assert_eq!(generation(&show(&admin).await), generation(&out), "nothing was given to it meanwhile");
    let rotated = rotate(&admin, &[]).await.json();
    ended(&out, &rotated, "rotated");
    before = patch(&admin, json!({ "lifetime_seconds": 3600 })).await;
    ended(&rotated, &before, "another lifetime");
    let chains = begun(&admin).await;
    assert_eq!(chains.len(), 5, "{chains:?}");
    assert!(chains.windows(2).all(|two| two[0] < two[1]), "{chains:?}");

    // All of it is there after a crash.
    kdc.kill9();
    kdc = cell.serve();
    admin = kdc.http().with_token(&token);
    assert_eq!(show(&admin).await, before);
    admin.assert_intact().await;
}

#[tokio::test]
async fn a_retry_begins_no_other_chain() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    create(&admin, &json!({ "name": GROUP })).await;
    let first = rotate(&admin, &[("idempotency-key", "k")]).await;
    let again = rotate(&admin, &[("idempotency-key", "k")]).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (200, 200, "true"));
    assert_eq!((again.text(), again.header("etag")), (first.text(), first.header("etag")));
    assert_eq!(begun(&admin).await.len(), 2);
    let stale = rotate(&admin, &[("if-match", "\"1\"")]).await;
    assert_eq!(stale.status, 412);
    // The key is of this group.
    create(&admin, &json!({ "name": "other@test.internal" })).await;
    let path = format!("{}/rotate", group_path("other@test.internal"));
    let other = admin.send_with(Method::POST, &path, &[("idempotency-key", "k")], &Value::Null).await;
    assert_eq!(other.status, 422);
    assert_eq!(begun(&admin).await.len(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_two_kdcs_change_at_once_is_all_done() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    let (a, b) = (kdc.http().with_token(&token), replica.http().with_token(&token));
    let names: Vec<_> = (0..6).map(|n| format!("nanoprobe.host{n}")).collect();
    for name in &names {
        a.add(&format!("{name}@test.internal")).await;
    }
    create(&a, &json!({ "name": GROUP })).await;
    for two in names.chunks(2) {
        let (one, other) =
            tokio::join!(excluded(&a, Method::PUT, &two[0]), excluded(&b, Method::PUT, &two[1]));
        assert_eq!((one.status, other.status), (200, 200), "{} {}", one.text(), other.text());
        let (one, other) = tokio::join!(rotate(&a, &[]), rotate(&b, &[]));
        assert_eq!((one.status, other.status), (200, 200), "{} {}", one.text(), other.text());
    }
    assert_eq!(show(&a).await["excluded"], 6);
    let chains = begun(&a).await;
    assert_eq!(chains.len(), 13);
    assert!(chains.windows(2).all(|two| two[0] < two[1]), "each has a number of its own: {chains:?}");
    a.assert_intact().await;
}

#[tokio::test]
async fn a_group_that_is_made_again_never_meets_its_past() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (mut revision, mut generations) = (0, 0);
    for life in 0..4 {
        let made = create(&admin, &json!({ "name": GROUP })).await;
        let now = |group: &Value| group["revision"].as_u64().unwrap();
        assert!(now(&made) > revision, "life {life}");
        // The one that was given out as the next is not met either.
        assert!(generation(&made) > generations + 1 || life == 0, "life {life}");
        for _ in 0..20 {
            let rotated = rotate(&admin, &[]).await.json();
            (revision, generations) = (now(&rotated), generation(&rotated));
        }
        assert_eq!(delete(&admin).await, 204);
        assert_eq!(delete(&admin).await, 404);
    }
    // Nothing of their keys is left.
    let mut rows = rows(&cell).await;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM secret WHERE name LIKE 'group %'")
        .fetch_one(&mut rows)
        .await
        .unwrap();
    assert_eq!(left, 0);
}

#[tokio::test]
async fn a_group_whose_row_was_spoilt_can_be_deleted_and_made_again() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    create(&kdc.http().with_token(&token), &json!({ "name": GROUP })).await;
    kdc.kill9();
    let mut rows = rows(&cell).await;
    // One who can write there makes everybody a member.
    let widen = "UPDATE document SET body = REPLACE(body, 'nanoprobe.*@', '*@') WHERE kind = 'group'";
    sqlx::raw_sql(AssertSqlSafe(widen.to_owned())).execute(&mut rows).await.unwrap();
    kdc = cell.serve();
    kdc.logs("a group is out of service").await;
    let admin = kdc.http().with_token(&token);
    // Whatever is asked of it is answered alike; `create` says that it is there.
    let (path, member) = (group_path(GROUP), "/excluded/nanoprobe.a%40test.internal");
    for (method, of) in [
        (Method::GET, ""),
        (Method::GET, "/members"),
        (Method::PATCH, ""),
        (Method::POST, "/rotate"),
        (Method::PUT, member),
    ] {
        let refused = match &method {
            &Method::PATCH => admin.send(method.clone(), &path, &json!({ "note": "Why." })).await,
            method => Answer::of(admin.request(method.clone(), &format!("{path}{of}"))).await,
        };
        assert_eq!(refused.kind(), ProblemType::Conflict, "{method} {of}: {}", refused.text());
        assert!(refused.text().contains("is out of service: its row does not hold"), "{}", refused.text());
    }
    let elsewhere = admin.get(&group_path("nanoprobe@elsewhere.example")).await;
    assert_eq!(elsewhere.status, 404, "{}", elsewhere.text());
    let warnings = admin.get("/v1/admin/status").await.json()["warnings"].to_string();
    assert!(
        warnings.contains(&format!("1 of the groups are out of service, {GROUP} among them")),
        "{warnings}"
    );
    until("it is counted", async || {
        let page = admin.get("/metrics").await.text();
        page.contains("\nkeycell_groups_out_of_service 1\n").then_some(())
    })
    .await;
    let taken = admin.send(Method::POST, GROUPS, &json!({ "name": GROUP })).await;
    assert_eq!(taken.status, 409, "{}", taken.text());
    assert_eq!(delete(&admin).await, 204);
    create(&admin, &json!({ "name": GROUP })).await;
    let left: i64 = sqlx::query_scalar("SELECT COUNT(*) FROM secret WHERE name LIKE 'group %'")
        .fetch_one(&mut rows)
        .await
        .unwrap();
    assert_eq!(left, 1);
}
