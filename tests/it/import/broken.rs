//! An import that was broken off is sent again.

use std::collections::BTreeMap;

use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use serde_json::{Value, json};

use super::call::{Call, NDJSON, import, key, line};
use super::party;

const LINES: u32 = 5000;

fn body(from: u32, to: u32) -> String {
    (from..to).map(|n| line(&format!("h{n}"), Some(&key(n))) + "\n").collect()
}

/// Sends all of it again: what was made is there with its key, the rest is made now, and each has one record.
async fn again(cell: &Cell, admin: &Http, kdc: &Http, acknowledged: &[Value]) {
    // Until the KDC sees that the first call is gone, its place is taken.
    let lines = until("the import goes through", async || {
        let (status, lines) = import(admin, NDJSON, "", body(0, LINES)).await;
        (status == 200).then_some(lines)
    })
    .await;
    let summary = &lines.last().unwrap()["summary"];
    let (created, unchanged) = (summary["created"].as_u64().unwrap(), summary["unchanged"].as_u64().unwrap());
    assert_eq!((created + unchanged, &summary["lines"]), (LINES.into(), &json!(LINES)), "{summary}");
    assert!(unchanged >= acknowledged.len() as u64, "{summary}");
    assert!(created > 0, "it was broken off: {summary}");
    let outcome: BTreeMap<_, _> =
        lines.iter().filter_map(|row| Some((row.get("line")?.as_u64()?, &row["outcome"]))).collect();
    for row in acknowledged {
        assert_eq!(outcome[&row["line"].as_u64().unwrap()], "unchanged", "{row}");
    }
    let asker = party(&lines[1], &summary["ratchet_period"], &key(1));
    for n in [0, 999, 1000, 1999, 2500, 4999_usize] {
        let party = party(&lines[n], &summary["ratchet_period"], &key(u32::try_from(n).unwrap()));
        assert_eq!(party.refusal(kdc, asker.name.as_str()).await, None, "{}", party.name);
    }
    let records = admin.records().await;
    let mut made = BTreeMap::new();
    for record in records.iter().filter(|record| record["action"] == "party.create") {
        *made.entry(record["target"].as_str().unwrap()).or_insert(0) += 1;
    }
    assert_eq!(made.len(), LINES as usize);
    assert!(made.values().all(|count| *count == 1), "one record each");
    assert!(made.contains_key("h4999@test.internal"), "{}", cell.folder().display());
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_its_client() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut call = Call::begin(&admin, NDJSON).await;
    call.send(body(0, 2500)).await;
    let acknowledged = call.read(2000).await;
    assert_eq!(acknowledged.len(), 2000);
    drop(call);
    again(&cell, &admin, &kdc.http(), &acknowledged).await;
    let records = admin.records().await;
    let summaries: Vec<_> = records.iter().filter(|record| record["action"] == "party.import").collect();
    assert_eq!(summaries.len(), 2, "one for each call: {summaries:?}");
    let made: u64 = summaries.iter().map(|summary| summary["detail"]["created"].as_u64().unwrap()).sum();
    assert_eq!(made, u64::from(LINES));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn by_a_crash() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let mut call = Call::begin(&admin, NDJSON).await;
    call.send(body(0, 4000)).await;
    let mut acknowledged = call.read(1500).await;
    kdc.kill9();
    acknowledged.extend(call.read(usize::MAX).await.into_iter().filter(|row| row.get("line").is_some()));
    kdc = cell.serve();
    again(&cell, &kdc.http().with_token(&token), &kdc.http(), &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn at_another_kdc() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    let (here, there) = (kdc.http().with_token(&token), replica.http().with_token(&token));
    for round in 0..5 {
        let lines = |from: u32, to: u32| {
            (from..to).map(|n| line(&format!("r{round}.n{n}"), Some(&key(n))) + "\n").collect::<String>()
        };
        let (_, first) = import(&here, NDJSON, "", lines(0, 30)).await;
        assert_eq!(first.last().unwrap()["summary"]["created"], 30);
        let (_, again) = import(&there, NDJSON, "", lines(0, 60)).await;
        let summary = &again.last().unwrap()["summary"];
        assert_eq!((&summary["unchanged"], &summary["created"]), (&json!(30), &json!(30)), "{again:?}");
    }
}
