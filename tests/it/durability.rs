//! What was acknowledged is there afterwards: on both databases, through crashes of the KDC and of PostgreSQL.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "durability/outage.rs"]
mod outage;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::Outcome;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES};
use keycell_tests::party::Party;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

const PARTIES_ADDED: usize = 1_000;
const CLIENTS: usize = 8;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_party_survives_kill_9_on_sqlite() {
    killed_in_the_middle(&Cell::sqlite()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_acknowledged_party_survives_kill_9_on_postgres() {
    killed_in_the_middle(&Cell::postgres(&Postgres::shared())).await;
}

/// 1,000 parties are added by many clients at once, some of them with the command line, while the KDC is killed twice.
async fn killed_in_the_middle(cell: &Cell) {
    // All of them come from one address.
    cell.configure("limits = { per_address = { per_second = 100000, burst = 100000 } }");
    let mut kdc = cell.serve();
    cell.run(&["token", "create"]).succeeded();
    let admin = cell.admin(&kdc);
    let acknowledged = Arc::new(AtomicUsize::new(0));
    let mut clients = tokio::task::JoinSet::new();
    for client in 0..CLIENTS {
        let (admin, count) = (admin.clone(), acknowledged.clone());
        clients.spawn(async move { add(&admin, client, &count).await });
    }
    let by_hand = {
        let commands: Vec<_> = (0..20)
            .map(|n| {
                let mut command = cell.command();
                command.args(["party", "add", &format!("hand{n}")]);
                command
            })
            .collect();
        // One after the other; those that meet a dead KDC fail, and say so.
        std::thread::spawn(move || {
            commands
                .into_iter()
                .map(|mut command| command.output().unwrap().status.success())
                .collect::<Vec<_>>()
        })
    };

    for mark in [PARTIES_ADDED / 3, PARTIES_ADDED * 2 / 3] {
        until("some parties are there", async || (acknowledged.load(Ordering::SeqCst) >= mark).then_some(()))
            .await;
        kdc.kill9();
        kdc = cell.serve();
    }
    let mut parties = BTreeMap::new();
    while let Some(added) = clients.join_next().await {
        parties.extend(added.unwrap().into_iter().map(|party| (party.name.to_string(), party)));
    }
    assert_eq!(parties.len(), PARTIES_ADDED, "each was acknowledged in the end");
    for (n, made) in by_hand.join().unwrap().into_iter().enumerate() {
        if made {
            let party = Party::load(&cell.folder().join(format!("hand{n}.key")));
            parties.insert(party.name.to_string(), party);
        }
    }

    // And once more, so that nothing is there but what the database holds.
    kdc.kill9();
    kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let asker = admin.add("asker@test.internal").await;
    let names: Vec<_> = parties.keys().map(String::as_str).collect();
    for names in names.chunks(1_000) {
        for outcome in asker.ask(&http, names).await.unwrap() {
            let Outcome::Granted(grant) = outcome else { panic!("lost: {outcome:?}") };
            let party = &parties[grant.destination.as_str()];
            assert!(party.understands(&asker.name, &grant), "another key: {}", party.name);
        }
    }
    for party in parties.values() {
        assert_eq!(party.refusal(&http, "asker@test.internal").await, None, "{}", party.name);
    }
}

/// Adds one client's share, each party until it is acknowledged: with the key chosen, trying again is harmless.
async fn add(admin: &Http, client: usize, acknowledged: &AtomicUsize) -> Vec<Party> {
    let mut parties = Vec::new();
    for n in 0..PARTIES_ADDED / CLIENTS {
        let mut secret = [0; 32];
        rand_core::Rng::fill_bytes(&mut keycell_kdc::random::system(), &mut secret);
        let key = URL_SAFE_NO_PAD.encode(secret);
        let body = json!({ "name": format!("h{client}.n{n}@test.internal"), "key": key });
        let mut made = acknowledgement(admin, &body).await;
        acknowledged.fetch_add(1, Ordering::SeqCst);
        made["key"] = json!(key);
        parties.push(Party::created(&made));
    }
    parties
}

/// Asks until there is an answer that says yes: the KDC may be away for a while.
async fn acknowledgement(admin: &Http, body: &Value) -> Value {
    for _ in 0..2_400 {
        match admin.try_send(Method::POST, PARTIES, body).await {
            Ok(answer) if answer.status == 503 => {}
            Ok(answer) => {
                assert!([200, 201].contains(&answer.status), "{}", answer.text());
                return answer.json();
            }
            Err(_) => {}
        }
        tokio::time::sleep(Duration::from_millis(25)).await;
    }
    panic!("no acknowledgement of {body}");
}
