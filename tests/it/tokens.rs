//! What tokens open, who makes them, and how they end.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "tokens/roles.rs"]
mod roles;

use keycell_kdc::api::NewToken;
use keycell_kdc::config::Config;
use keycell_kdc::token::Role;
use keycell_protocol::ProblemType;
use keycell_tests::admin::TOKENS;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::kdc::Kdc;
use keycell_tests::party::now;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// A token that was made, and a client that uses it.
struct Made {
    id: String,
    token: String,
    http: Http,
}

async fn make(admin: &Http, kdc: &Kdc, subject: &str, role: &str) -> Made {
    let answer = admin.send(Method::POST, TOKENS, &json!({ "subject": subject, "role": role })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let made = answer.json();
    let token = made["token"].as_str().unwrap().to_owned();
    let http = kdc.http().with_token(&token);
    Made { id: made["info"]["id"].as_str().unwrap().to_owned(), token, http }
}

async fn revoke(admin: &Http, id: &str) -> Answer {
    admin.send_with(Method::DELETE, &format!("{TOKENS}/{id}"), &[], &Value::Null).await
}

async fn whoami(http: &Http) -> Answer {
    http.get("/v1/admin/whoami").await
}

#[tokio::test]
async fn a_revoked_token_is_refused_at_once() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let made = make(&admin, &kdc, "alice", "operator").await;
    let me = whoami(&made.http).await.json();
    assert_eq!(
        (&me["actor"], &me["role"], &me["token"]),
        (&json!("administrator:alice"), &json!("operator"), &json!(made.id))
    );
    for _ in 0..2 {
        assert_eq!(revoke(&admin, &made.id).await.status, 204);
        assert_eq!(whoami(&made.http).await.kind(), ProblemType::InvalidToken);
    }
    let view = admin.get(&format!("{TOKENS}/{}", made.id)).await.json();
    assert!(view["revoked_at"].as_u64().is_some(), "{view}");
    let records = admin.records().await;
    let revoked: Vec<_> = records.iter().filter(|record| record["action"] == "token.revoke").collect();
    assert_eq!((revoked.len(), &revoked[0]["target"]), (1, &json!(made.id)), "{revoked:?}");
    assert_eq!(revoke(&admin, &"0".repeat(24)).await.kind(), ProblemType::NotFound);
    // And it stays so.
    kdc.kill9();
    let kdc = cell.serve();
    assert_eq!(whoami(&kdc.http().with_token(&made.token)).await.kind(), ProblemType::InvalidToken);
}

#[tokio::test]
async fn a_token_ends_and_begins_on_a_replica_too() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let admin = cell.admin(&kdc);
    let made = make(&admin, &kdc, "alice", "auditor").await;
    let there = replica.http().with_token(&made.token);
    assert_eq!(whoami(&there).await.status, 200, "what another KDC just made is known");
    assert_eq!(revoke(&admin, &made.id).await.status, 204);
    assert_eq!(whoami(&made.http).await.kind(), ProblemType::InvalidToken);
    until("it is refused on the replica", async || (whoami(&there).await.status == 401).then_some(())).await;
    for kdc in [&kdc, &replica] {
        let console = kdc.http().with_token(&cell.token("auditor"));
        assert_eq!(whoami(&console).await.status, 200, "what the console just made is known");
    }
}

#[tokio::test]
async fn a_token_is_revoked_by_its_holder_or_an_admin() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for role in ["auditor", "operator", "admin"] {
        let (own, other) =
            (make(&admin, &kdc, role, role).await, make(&admin, &kdc, "other", "auditor").await);
        if role != "admin" {
            for id in [other.id.as_str(), "000000000000000000000000"] {
                assert_eq!(revoke(&own.http, id).await.kind(), ProblemType::Forbidden, "{role} {id}");
            }
            assert_eq!(whoami(&other.http).await.status, 200);
            let actor = format!("administrator:{role}");
            let record = admin
                .recorded("who tried to revoke another's token", |record| {
                    record["action"] == "administrator.deny" && record["actor"] == actor.as_str()
                })
                .await;
            assert_eq!(record["outcome"], "denied");
        }
        assert_eq!(revoke(&own.http, &own.id).await.status, 204, "{role}");
        assert_eq!(whoami(&own.http).await.kind(), ProblemType::InvalidToken, "{role}");
        assert_eq!(revoke(&own.http, &own.id).await.kind(), ProblemType::InvalidToken, "{role}");
    }
    // The same subject is not the same token.
    let (one, two) =
        (make(&admin, &kdc, "twin", "auditor").await, make(&admin, &kdc, "twin", "auditor").await);
    assert_eq!(revoke(&one.http, &two.id).await.kind(), ProblemType::Forbidden);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_tells_states_and_no_secrets() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    assert_eq!(kdc.terminate(), Some(0));
    // Made two minutes ago, and good for one.
    let config = Config::load(&cell.file("keycell.toml"), None).unwrap();
    let opened = keycell_kdc::cell::Cell::open(&config).await.unwrap();
    let new = NewToken { subject: "past".to_owned(), role: Role::Admin, ttl_seconds: Some(60) };
    let expired = opened.create_token(&new, now().minus(120_000)).await.unwrap();
    opened.store.close().await;
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    assert_eq!(whoami(&kdc.http().with_token(&expired.token)).await.kind(), ProblemType::InvalidToken);

    let mut live = Vec::new();
    let mut revoked = Vec::new();
    for n in 0..5 {
        let made = make(&admin, &kdc, &format!("s{n}"), "auditor").await;
        if n % 2 == 0 {
            assert_eq!(revoke(&admin, &made.id).await.status, 204);
            revoked.push(made.id.clone());
        } else {
            live.push(made.id.clone());
        }
        let text = admin.get(TOKENS).await.text();
        let shown = admin.get(&format!("{TOKENS}/{}", made.id)).await.text();
        let signature = made.token.rsplit('.').next().unwrap();
        assert!(!text.contains(signature) && !shown.contains(signature));
    }
    let ids = async |query: &str| {
        let mut ids = Vec::new();
        let mut after = String::new();
        loop {
            let page = admin.get(&format!("{TOKENS}?limit=2{after}{query}")).await.json();
            ids.extend(
                page["tokens"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()),
            );
            match page.get("next").and_then(Value::as_str) {
                Some(next) => after = format!("&after={next}"),
                None => return ids,
            }
        }
    };
    let all = ids("").await;
    assert_eq!(ids("&state=expired").await, std::slice::from_ref(&expired.info.id));
    let mut told = ids("&state=revoked").await;
    told.sort();
    revoked.sort();
    assert_eq!(told, revoked);
    let told = ids("&state=live").await;
    assert!(live.iter().all(|id| told.contains(id)), "{told:?}");
    assert_eq!(told.len() + revoked.len() + 1, all.len());
    let mut once = all.clone();
    once.sort();
    once.dedup();
    assert_eq!(once.len(), all.len(), "each once");
    let status = admin.get("/v1/admin/status").await.json();
    assert_eq!(status["tokens"], told.len());
    let refused = admin.get(&format!("{TOKENS}?state=lost")).await;
    assert_eq!(
        (refused.kind(), refused.problem().field.as_deref()),
        (ProblemType::MalformedRequest, Some("state"))
    );
}

#[tokio::test]
async fn a_token_of_another_cell_of_the_same_name_is_nothing() {
    let (cell, other) = (Cell::sqlite(), Cell::sqlite());
    let kdc = cell.serve();
    let stranger = kdc.http().with_token(&other.token("admin"));
    assert_eq!(whoami(&stranger).await.kind(), ProblemType::InvalidToken);
    assert_eq!(whoami(&kdc.http().with_token(&cell.token("admin"))).await.status, 200);
}

#[tokio::test]
async fn what_cannot_be_a_token_is_refused() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let before = admin.get(TOKENS).await.json()["tokens"].as_array().unwrap().len();
    for (body, field) in [
        (json!({ "subject": "", "role": "admin" }), "subject"),
        (json!({ "subject": "two words", "role": "admin" }), "subject"),
        (json!({ "subject": "x".repeat(101), "role": "admin" }), "subject"),
        (json!({ "subject": "x", "role": "root" }), "role"),
        (json!({ "subject": "x", "role": "admin", "ttl_seconds": 59 }), "ttl_seconds"),
        (json!({ "subject": "x", "role": "admin", "ttl_seconds": 2_678_401 }), "ttl_seconds"),
        (json!({ "subject": "x", "role": "admin", "ttl_seconds": -1 }), "ttl_seconds"),
        (json!({ "subject": "x", "role": "admin", "colour": 1 }), "colour"),
    ] {
        let refused = admin.send(Method::POST, TOKENS, &body).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{body}");
        assert_eq!(refused.problem().field.as_deref(), Some(field), "{body}: {}", refused.text());
    }
    assert_eq!(admin.get(TOKENS).await.json()["tokens"].as_array().unwrap().len(), before);
}
