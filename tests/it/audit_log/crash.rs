//! A crash in the middle of administrators' acts: what was acknowledged is done and recorded, and nothing is half done.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use keycell_tests::admin::{RULES, TOKENS};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES, party_path};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const CLIENTS: usize = 6;
const ROUNDS: usize = 50;

/// An act that was acknowledged: the record that it left.
type Done = (&'static str, String);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_sqlite() {
    killed(&Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn on_postgres() {
    killed(&Cell::postgres(&Postgres::shared())).await;
}

async fn killed(cell: &Cell) {
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let count = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (admin, count) = (admin.clone(), count.clone());
        clients.spawn(async move { acts(&admin, client, &count).await });
    }
    until("half of it is done", async || {
        (count.load(Ordering::SeqCst) >= CLIENTS * ROUNDS / 2).then_some(())
    })
    .await;
    kdc.kill9();
    let mut done: Vec<Done> = Vec::new();
    while let Some(acts) = clients.join_next().await {
        done.extend(acts.unwrap());
    }
    assert!(done.len() >= CLIENTS * ROUNDS / 2, "{}", done.len());

    kdc = cell.serve();
    let admin = kdc.http().with_token(&token);
    admin.assert_intact().await;
    let records = admin.records().await;
    let mut recorded: HashMap<Done, usize> = HashMap::new();
    for record in &records {
        let action = ACTIONS.iter().find(|action| record["action"] == **action);
        if let (Some(action), "done") = (action, record["outcome"].as_str().unwrap()) {
            *recorded.entry((*action, record["target"].as_str().unwrap().to_owned())).or_default() += 1;
        }
    }
    for act in &done {
        assert!(recorded.contains_key(act), "lost: {act:?}");
    }
    // What is there is what the records say, also of what was not acknowledged.
    let mut rows = 0;
    for (kind, path, made, ended) in
        [("parties", PARTIES, "party.create", "party.delete"), ("rules", RULES, "rule.create", "rule.delete")]
    {
        let page = admin.get(&format!("{path}?limit=1000")).await.json();
        let there: Vec<_> = page[kind].as_array().unwrap().iter().collect();
        let name = |thing: &Value| {
            thing.get("name").or_else(|| thing.get("id")).and_then(Value::as_str).unwrap().to_owned()
        };
        for thing in &there {
            let name = name(thing);
            let (born, died) = (count_of(&recorded, made, &name), count_of(&recorded, ended, &name));
            assert_eq!((born, died), (1, 0), "{kind} {name}");
            rows += 1;
        }
        let born: usize = recorded.iter().filter(|((action, _), _)| *action == made).map(|(_, n)| n).sum();
        let died: usize = recorded.iter().filter(|((action, _), _)| *action == ended).map(|(_, n)| n).sum();
        assert_eq!(there.len(), born - died, "{kind}");
    }
    assert!(rows > 10, "{rows}");
    let page = admin.get(&format!("{TOKENS}?limit=1000")).await.json();
    let tokens = page["tokens"].as_array().unwrap();
    assert_eq!(tokens.len(), records.iter().filter(|record| record["action"] == "token.create").count());
    for token in tokens {
        let revoked = count_of(&recorded, "token.revoke", token["id"].as_str().unwrap());
        assert_eq!(revoked, usize::from(token.get("revoked_at").is_some()), "{token}");
    }
    for party in
        admin.get(&format!("{PARTIES}?limit=1000&state=disabled")).await.json()["parties"].as_array().unwrap()
    {
        assert_eq!(count_of(&recorded, "party.disable", party["name"].as_str().unwrap()), 1, "{party}");
    }
}

fn count_of(recorded: &HashMap<Done, usize>, action: &'static str, target: &str) -> usize {
    recorded.get(&(action, target.to_owned())).copied().unwrap_or_default()
}

/// One client's acts, until the first that is not answered.
async fn acts(admin: &Http, client: usize, count: &AtomicUsize) -> Vec<Done> {
    let mut done = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("c{client}.r{round}@test.internal");
        let id = format!("c{client}-r{round}");
        let rule = json!({ "id": id, "effect": "allow", "source": "x", "destination": "y" });
        let token = json!({ "subject": id, "role": "auditor" });
        let (party, one) = (party_path(&name), format!("{RULES}/{id}"));
        let mut steps = vec![
            (Method::POST, PARTIES.to_owned(), json!({ "name": name }), "party.create", name.clone()),
            (Method::POST, RULES.to_owned(), rule, "rule.create", id.clone()),
        ];
        match round % 3 {
            0 => steps.push((Method::PATCH, party, json!({ "enabled": false }), "party.disable", name)),
            1 => steps.push((Method::DELETE, party, json!({}), "party.delete", name)),
            _ => steps.push((Method::DELETE, one, json!({}), "rule.delete", id)),
        }
        for (method, path, body, action, target) in steps {
            let Ok(answer) = admin.try_send(method, &path, &body).await else { return done };
            assert!(answer.status < 300, "{path}: {}", answer.text());
            count.fetch_add(1, Ordering::SeqCst);
            done.push((action, target));
        }
        let Ok(answer) = admin.try_send(Method::POST, TOKENS, &token).await else { return done };
        let id = answer.json()["info"]["id"].as_str().unwrap().to_owned();
        done.push(("token.create", id.clone()));
        let path = format!("{TOKENS}/{id}");
        let Ok(answer) = admin.try_send(Method::DELETE, &path, &json!({})).await else { return done };
        assert_eq!(answer.status, 204, "{}", answer.text());
        done.push(("token.revoke", id));
    }
    done
}

const ACTIONS: [&str; 7] = [
    "party.create",
    "party.disable",
    "party.delete",
    "rule.create",
    "rule.delete",
    "token.create",
    "token.revoke",
];
