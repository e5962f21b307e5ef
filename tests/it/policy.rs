//! Who may speak to whom, with real tickets.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

#[path = "policy/replaced.rs"]
mod replaced;

use keycell_protocol::{Outcome, ProblemType};
use keycell_tests::admin::{POLICY, RULES};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, party_path};
use keycell_tests::party::{Party, now};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// The value of a counter of `/metrics`.
async fn counted(kdc: &Http, name: &str) -> u64 {
    let page = kdc.get("/metrics").await.text();
    let line = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned));
    line.map_or(0, |value| value.parse().unwrap())
}

#[tokio::test]
async fn an_assimilation_cell_denies_what_no_rule_allows() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let profiles = admin.get(&format!("{POLICY}/profiles")).await.json();
    let profile =
        profiles["profiles"].as_array().unwrap().iter().find(|p| p["name"] == "assimilation").unwrap();
    let mut rules = profile["rules"].as_array().unwrap().clone();
    rules.retain(|rule| rule["id"] != "nanoprobe-to-nanoprobe");
    let put = admin.send(Method::PUT, POLICY, &json!({ "rules": rules })).await;
    assert_eq!(put.status, 200, "{}", put.text());

    let mut parties = Vec::new();
    for name in ["cma.x", "nanoprobe.a", "nanoprobe.b", "web"] {
        parties.push(admin.add(&format!("{name}@test.internal")).await);
    }
    let [cma, a, _, web] = parties.as_slice() else { panic!("four") };
    for (source, destination, refusal) in [
        (cma, "nanoprobe.a", None),
        (cma, "web", None),
        (a, "cma.x", None),
        (web, "cma.x", None),
        (a, "nanoprobe.b", Some(ProblemType::NotAllowed)),
        (web, "nanoprobe.b", Some(ProblemType::NotAllowed)),
        (a, "web", Some(ProblemType::NotAllowed)),
    ] {
        let to = format!("{destination}@test.internal");
        assert_eq!(source.refusal(&http, &to).await, refusal, "{} to {to}", source.name);
    }
    // In one request, each destination for itself.
    let both = a.ask(&http, &["nanoprobe.b@test.internal", "cma.x@test.internal"]).await.unwrap();
    assert!(matches!(&both[..], [Outcome::Refused { .. }, Outcome::Granted(_)]), "{both:?}");

    let denial = admin
        .recorded("the denial", |record| {
            record["action"] == "ticket.deny" && record["target"] == "nanoprobe.b@test.internal"
        })
        .await;
    assert_eq!((&denial["outcome"], &denial["address"]), (&json!("denied"), &json!("127.0.0.1")));
    assert_eq!(denial["detail"]["problem"], ProblemType::NotAllowed.urn());
    assert_eq!(denial["detail"].get("rule"), None, "no rule decided: {denial}");
    let test = json!({ "source": "web", "destination": "nanoprobe.b" });
    let told = admin.send(Method::POST, &format!("{POLICY}/test"), &test).await.json();
    assert_eq!((&told["decision"], told.get("rule")), (&json!("deny"), None), "{told}");
    admin.assert_intact().await;
}

#[tokio::test]
async fn a_policy_is_tightened_through_monitor() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    let b = admin.add("b@test.internal").await;
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    let explained = async || {
        let test = json!({ "source": "a", "destination": "b" });
        admin.send(Method::POST, &format!("{POLICY}/test"), &test).await.json()
    };
    assert_eq!(explained().await["rule"], "open");

    let rule =
        json!({ "id": "no-a", "effect": "deny", "mode": "monitor", "source": "a", "destination": "*" });
    assert_eq!(admin.send(Method::POST, RULES, &rule).await.status, 201);
    let told = explained().await;
    assert_eq!((&told["decision"], &told["would_deny"]["rule"]), (&json!("allow"), &json!("no-a")), "{told}");
    let status = admin.get("/v1/admin/status").await.json();
    assert_eq!((&status["rules_monitored"], &status["tickets"]["monitored"]), (&json!(1), &json!(0)));
    assert_eq!(a.refusal(&http, "b@test.internal").await, None, "it is given");
    assert_eq!(b.refusal(&http, "a@test.internal").await, None, "and nobody else is meant");
    assert_eq!(counted(&http, "keycell_tickets_monitored_total").await, 1);
    let status = admin.get("/v1/admin/status").await.json();
    assert_eq!(status["tickets"]["monitored"], 1, "{status}");
    let monitored =
        admin.recorded("what would be denied", |record| record["action"] == "ticket.monitor").await;
    assert_eq!(
        (&monitored["actor"], &monitored["target"], &monitored["outcome"], &monitored["detail"]["rule"]),
        (&json!("party:a@test.internal"), &json!("b@test.internal"), &json!("done"), &json!("no-a"))
    );
    kdc.logs("a monitored rule would deny").await;
    let line = kdc.log();
    let line = line.lines().find(|line| line.contains("a monitored rule would deny")).unwrap();
    assert!(line.contains("a@test.internal") && line.contains("b@test.internal"), "{line}");
    assert!(line.contains("no-a"), "{line}");

    // In force from the answer on.
    let patched = admin.send(Method::PATCH, &format!("{RULES}/no-a"), &json!({ "mode": "enforce" })).await;
    assert_eq!(patched.status, 200, "{}", patched.text());
    assert_eq!(a.refusal(&http, "b@test.internal").await, Some(ProblemType::NotAllowed));
    assert_eq!(b.refusal(&http, "a@test.internal").await, None);
    assert_eq!(counted(&http, "keycell_tickets_monitored_total").await, 1);
    assert_eq!(
        (&explained().await["decision"], &explained().await["rule"]),
        (&json!("deny"), &json!("no-a"))
    );
    let denied = admin.recorded("the denial", |record| record["action"] == "ticket.deny").await;
    assert_eq!(
        (&denied["actor"], &denied["target"], &denied["outcome"], &denied["detail"]["rule"]),
        (&json!("party:a@test.internal"), &json!("b@test.internal"), &json!("denied"), &json!("no-a"))
    );
    let status = admin.get("/v1/admin/status").await.json();
    assert_eq!(
        (&status["rules_monitored"], &status["tickets"]["refused"]),
        (&json!(0), &json!(1)),
        "{status}"
    );

    let gone = admin.send_with(Method::DELETE, &format!("{RULES}/no-a"), &[], &Value::Null).await;
    assert_eq!(gone.status, 204);
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    admin.assert_intact().await;
}

#[tokio::test]
async fn a_monitored_allow_is_counted_where_nothing_else_allows() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let monitored = admin.send(Method::PATCH, &format!("{RULES}/open"), &json!({ "mode": "monitor" })).await;
    assert_eq!(monitored.status, 200);
    assert_eq!(a.refusal(&http, "b@test.internal").await, None);
    assert_eq!(counted(&http, "keycell_tickets_monitored_total").await, 1);
    let record = admin.recorded("what would be denied", |record| record["action"] == "ticket.monitor").await;
    assert_eq!(record["detail"]["rule"], "open");
}

/// For how many seconds `party`'s ticket for `b` is good, at least and at most.
async fn lifetime(party: &Party, kdc: &Http) -> (u64, u64) {
    let before = now().seconds().0;
    let outcomes = party.ask(kdc, &["b@test.internal"]).await.unwrap();
    let [Outcome::Granted(grant)] = outcomes.as_slice() else { panic!("{outcomes:?}") };
    (grant.expiration.0 - now().seconds().0, grant.expiration.0 - before)
}

#[tokio::test]
async fn a_rule_shortens_tickets() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let c = admin.add("c@test.internal").await;
    let zone = admin.get("/v1/zone").await.json()["ticket_lifetime_seconds"].as_u64().unwrap();
    let expect = async |party: &Party, seconds: u64| {
        let (least, most) = lifetime(party, &http).await;
        assert!(least <= seconds && seconds <= most, "{seconds}: {least} to {most}");
    };
    expect(&a, zone).await;
    let rule = |id: &str, seconds: u64| json!({ "id": id, "effect": "allow", "source": "a", "destination": "b", "max_lifetime_seconds": seconds });
    assert_eq!(admin.send(Method::POST, RULES, &rule("short", 60)).await.status, 201);
    let told = admin
        .send(Method::POST, &format!("{POLICY}/test"), &json!({ "source": "a", "destination": "b" }))
        .await
        .json();
    let seconds = told["lifetime_seconds"].as_u64().unwrap();
    expect(&a, seconds).await;
    expect(&c, zone).await;
    // Alone it is what counts.
    let alone = admin.send(Method::PUT, POLICY, &json!({ "rules": [rule("short", 60)] })).await;
    assert_eq!(alone.status, 200, "{}", alone.text());
    expect(&a, 60).await;
    let null = json!({ "max_lifetime_seconds": null });
    assert_eq!(admin.send(Method::PATCH, &format!("{RULES}/short"), &null).await.status, 200);
    expect(&a, zone).await;
    // Longer than the zone's it may be, and its tickets are not.
    assert_eq!(
        admin.send(Method::PUT, POLICY, &json!({ "rules": [rule("short", 86_400)] })).await.status,
        200
    );
    expect(&a, zone).await;
    for wrong in [0, 9, 86_401] {
        let refused = admin.send(Method::POST, RULES, &rule("wrong", wrong)).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest);
        assert_eq!(refused.problem().field.as_deref(), Some("max_lifetime_seconds"), "{wrong}");
    }
}

#[tokio::test]
async fn a_deny_holds_on_a_replica_too() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    admin.add("b@test.internal").await;
    let there = replica.http();
    until("the replica knows both", async || match a.ask(&there, &["b@test.internal"]).await {
        Ok(outcomes) => matches!(outcomes[..], [Outcome::Granted(_)]).then_some(()),
        Err(_) => None,
    })
    .await;
    let rule = json!({ "id": "no-a", "effect": "deny", "source": "a", "destination": "b" });
    assert_eq!(admin.send(Method::POST, RULES, &rule).await.status, 201);
    assert_eq!(a.refusal(&kdc.http(), "b@test.internal").await, Some(ProblemType::NotAllowed));
    until("the rule holds on the replica", async || {
        (a.refusal(&there, "b@test.internal").await == Some(ProblemType::NotAllowed)).then_some(())
    })
    .await;
    // What the replica refuses is in the one log of the zone.
    let denied = admin.recorded("the denial", |record| record["action"] == "ticket.deny").await;
    assert_eq!(denied["detail"]["rule"], "no-a");
    let seen = admin.get(&party_path("a@test.internal")).await.json();
    assert_eq!(seen["enabled"], true);
    let gone = admin.send_with(Method::DELETE, &format!("{RULES}/no-a"), &[], &Value::Null).await;
    assert_eq!(gone.status, 204);
    until("the rule is gone from the replica", async || {
        (a.refusal(&there, "b@test.internal").await).is_none().then_some(())
    })
    .await;
}
