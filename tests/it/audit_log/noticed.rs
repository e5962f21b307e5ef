//! What is refused is noticed, and nothing secret is in the log.

use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_tests::admin::{AUDIT, TOKENS};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, PARTIES};
use keycell_tests::postgres::Postgres;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn many_failures_from_one_address_are_a_record() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let a = admin.add("a@test.internal").await;
    let other = cell.add("b");
    // Signed with another's key.
    let stranger = kdc.http_from("127.0.0.7".parse().unwrap());
    for _ in 0..12 {
        let mut request = other.request(&["a@test.internal"]);
        request.source = a.name.clone();
        assert_eq!(stranger.tickets(other.sign(&request)).await.status, 401);
    }
    let burst = admin.recorded("the burst", |record| record["action"] == "authentication.burst").await;
    assert_eq!(
        (&burst["actor"], &burst["outcome"]),
        (&json!("address:127.0.0.7"), &json!("denied")),
        "{burst}"
    );
    assert!(burst["detail"]["count"].as_u64().unwrap() >= 10, "{burst}");
    assert!(burst["detail"]["names"].to_string().contains("a@test.internal"), "{burst}");

    // A single one is none; nor do those of one address count for another.
    let quiet = kdc.http_from("127.0.0.8".parse().unwrap());
    let mut request = other.request(&["a@test.internal"]);
    request.source = a.name.clone();
    assert_eq!(quiet.tickets(other.sign(&request)).await.status, 401);
    let refused = kdc.http_from("127.0.0.9".parse().unwrap()).with_token("nonsense").get(PARTIES).await;
    assert_eq!(refused.status, 401);
    let deny = admin.recorded("the bad token", |record| record["actor"] == "address:127.0.0.9").await;
    assert_eq!((&deny["action"], &deny["outcome"]), (&json!("administrator.deny"), &json!("denied")));
    assert!(!admin.records().await.iter().any(|record| record["actor"] == "address:127.0.0.8"));
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_refused_at_the_end_is_recorded_before_the_kdc_stops() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let auditor = kdc.http().with_token(&cell.token("auditor"));
    assert_eq!(auditor.send(Method::POST, PARTIES, &json!({ "name": "x@test.internal" })).await.status, 403);
    assert_eq!(kdc.terminate(), Some(0));
    let kdc = cell.serve();
    let records = cell.admin(&kdc).records().await;
    let actions: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    let tail = &actions[actions.len() - 5..];
    assert!(tail.contains(&"administrator.deny") && tail.contains(&"kdc.stop"), "{actions:?}");
    assert_eq!(actions.iter().filter(|action| **action == "kdc.start").count(), 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_recorded() {
    no_secrets(&Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_recorded_on_postgres() {
    no_secrets(&Cell::postgres(&Postgres::shared())).await;
}

async fn no_secrets(cell: &Cell) {
    let mut kdc = cell.serve_tracing();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let mut said = Vec::new();
    let mut secrets = vec![token.rsplit('.').next().unwrap().to_owned()];
    let chosen = URL_SAFE_NO_PAD.encode([0xA7; 32]);
    secrets.push(chosen.clone());
    let retry = [("idempotency-key", "once")];
    for _ in 0..2 {
        let new = json!({ "name": "a@test.internal" });
        let made = admin.send_with(Method::POST, PARTIES, &retry, &new).await;
        secrets.push(made.json()["key"].as_str().unwrap().to_owned());
    }
    let new = json!({ "name": "b@test.internal", "key": chosen });
    said.push(admin.send_with(Method::POST, PARTIES, &[("idempotency-key", "b")], &new).await.text());
    let wrong = json!({ "name": "b@test.internal", "key": format!("{chosen}A"), "colour": 1 });
    said.push(admin.send(Method::POST, PARTIES, &wrong).await.text());
    let request = admin.request(Method::POST, &format!("{PARTIES}/import"));
    let lines = format!(
        "{{\"name\":\"i\"}}\n{{\"name\":\"j\",\"key\":\"{chosen}\"}}\n{{\"name\":\"j\",\"key\":\"{chosen}\"}}\n\
         {{\"name\":\"k\",\"key\":\"{chosen}A\"}}\n{{\"name\":\"k\",\"key\":\"{chosen}\",\"x\":1}}\n\
         {{\"name\":\"l\",\"key\":[\"{chosen}\"]}}\n"
    );
    let imported =
        Answer::of(request.header("content-type", "application/x-ndjson").body(lines)).await.text();
    for line in imported.lines() {
        let row: Value = serde_json::from_str(line).unwrap();
        match row.get("key").and_then(Value::as_str) {
            Some(key) => secrets.push(key.to_owned()),
            None => said.push(line.to_owned()),
        }
    }
    let request = admin.request(Method::POST, &format!("{PARTIES}/import"));
    let lines = format!("name,key\nm,{chosen}A\nn,\"{chosen}\nkey,{chosen}\n{chosen}\n");
    said.push(Answer::of(request.header("content-type", "text/csv").body(lines)).await.text());
    let made = admin
        .send_with(
            Method::POST,
            TOKENS,
            &[("idempotency-key", "t")],
            &json!({ "subject": "s", "role": "admin" }),
        )
        .await
        .json();
    let other = made["token"].as_str().unwrap().to_owned();
    secrets.push(other.rsplit('.').next().unwrap().to_owned());
    // A token where none belongs, and one that is cut off.
    let signature = other.rsplit('.').next().unwrap();
    for bad in [&other[1..], &other[..other.len() - 2]] {
        assert_eq!(kdc.http().with_token(bad).get(PARTIES).await.status, 401);
    }
    said.push(admin.get(&format!("{TOKENS}/{}", made["info"]["id"].as_str().unwrap())).await.text());
    said.push(admin.get(&format!("{PARTIES}/b%40test.internal/keys")).await.text());
    assert_eq!(
        admin
            .send_with(
                Method::DELETE,
                &format!("{TOKENS}/{}", made["info"]["id"].as_str().unwrap()),
                &[],
                &Value::Null
            )
            .await
            .status,
        204
    );
    assert_eq!(kdc.http().with_token(&other).get(PARTIES).await.status, 401);
    admin.recorded("the bad tokens", |record| record["action"] == "administrator.deny").await;
    assert!(secrets.len() >= 6, "{}", secrets.len());

    said.push(Value::from(admin.records().await).to_string());
    said.push(admin.get(&format!("{AUDIT}/export")).await.text());
    said.push(admin.get(PARTIES).await.text());
    said.push(admin.get("/v1/admin/status").await.text());
    said.push(kdc.http().get("/metrics").await.text());
    assert_eq!(kdc.terminate(), Some(0));
    said.push(kdc.log());
    // What is in the database is wrapped, the kept answers too.
    for name in ["keycell.db", "keycell.db-wal"] {
        if let Ok(bytes) = fs::read(cell.file(name)) {
            said.push(String::from_utf8_lossy(&bytes).into_owned());
            for secret in &secrets {
                let raw = URL_SAFE_NO_PAD.decode(secret).unwrap();
                assert!(!bytes.windows(raw.len()).any(|window| window == raw), "a secret in {name}");
            }
        }
    }
    for (place, text) in said.iter().enumerate() {
        for secret in &secrets {
            // Half of one would be too much as well.
            let half = &secret[..secret.len() / 2];
            assert!(!text.contains(half), "{half} is in text {place}: {}", around(text, half));
        }
        assert!(!text.contains(signature), "{place}");
    }
}

fn around(text: &str, half: &str) -> String {
    let at = text.find(half).unwrap_or_default();
    let line = text[..at].rfind('\n').map_or(0, |end| end + 1);
    text[line..].lines().next().unwrap_or_default().to_owned()
}
