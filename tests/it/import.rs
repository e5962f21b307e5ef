//! Parties in bulk: one streaming call.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "import/broken.rs"]
mod broken;
#[path = "import/call.rs"]
mod call;

use std::collections::BTreeMap;

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::PARTIES;
use keycell_tests::party::Party;
use reqwest::Method;
use serde_json::{Value, json};

use call::{CSV, Call, NDJSON, import, key, line};

fn outcomes(lines: &[Value]) -> Vec<(u64, &str, &str)> {
    let rows = lines.iter().filter(|line| line.get("summary").is_none());
    rows.map(|l| (l["line"].as_u64().unwrap(), l["name"].as_str().unwrap(), l["outcome"].as_str().unwrap()))
        .collect()
}

#[tokio::test]
async fn good_lines_among_bad_ones_are_done() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    admin.add("there@test.internal").await;
    let body = [
        "{\"name\":\"a\",\"note\":\"first\",\"log_tickets\":true}".to_owned(),
        String::new(),
        "not JSON".to_owned(),
        "{\"name\":\"b@elsewhere.example\"}".to_owned(),
        "{\"name\":\"c\",\"colour\":\"red\"}".to_owned(),
        "{\"name\":\"a@test.internal\"}".to_owned(),
        line("d", Some(&key(1))),
        "{\"name\":\"e\",\"key\":\"short\"}".to_owned(),
        "{\"name\":\"two words\"}".to_owned(),
        "{\"name\":\"there\"}".to_owned(),
        format!("{{\"name\":\"f\",\"note\":\"{}\"}}", "n".repeat(201)),
        "{\"name\":\"g\"}\r".to_owned(),
        line("d", Some(&key(1))),
        format!("{{\"name\":\"h\",\"note\":\"{}\"}}", "n".repeat(100_000)),
        "{\"name\":\"i@test.internal\"}".to_owned(),
    ];
    let (status, lines) = import(&admin, NDJSON, "", body.join("\n")).await;
    assert_eq!(status, 200);
    let told = outcomes(&lines);
    let of = |number: u64| {
        told.iter().filter(|(line, ..)| *line == number).map(|(_, _, what)| *what).collect::<Vec<_>>()
    };
    for (number, outcome) in [
        (1, "created"),
        (3, "invalid"),
        (4, "invalid"),
        (5, "invalid"),
        (6, "exists"),
        (7, "created"),
        (8, "invalid"),
        (9, "invalid"),
        (10, "exists"),
        (11, "invalid"),
        (12, "created"),
        (14, "invalid"),
        (15, "created"),
    ] {
        assert_eq!(of(number), [outcome], "line {number}: {lines:#?}");
    }
    assert!(of(2).is_empty(), "an empty line is no line");
    assert!(["unchanged", "exists"].contains(&of(13)[0]), "the same again: {told:?}");
    let numbers: Vec<_> = told.iter().map(|(line, ..)| *line).collect();
    assert!(numbers.is_sorted(), "in the order of the lines: {numbers:?}");
    let summary = &lines.last().unwrap()["summary"];
    assert_eq!(
        (&summary["lines"], &summary["created"], &summary["invalid"]),
        (&json!(14), &json!(4), &json!(7))
    );
    let kinds = ["created", "unchanged", "exists", "invalid", "failed"];
    assert_eq!(kinds.iter().map(|kind| summary[kind].as_u64().unwrap()).sum::<u64>(), 14);

    let a = admin.get(&format!("{PARTIES}/a%40test.internal")).await.json();
    assert_eq!((&a["note"], &a["log_tickets"]), (&json!("first"), &json!(true)));
    for row in lines.iter().filter(|row| row["outcome"] == "created") {
        // Who chose the key has it; who did not, is told.
        let name = row["name"].as_str().unwrap();
        assert_eq!(row.get("key").is_none(), name.starts_with('d'), "{row}");
        let party = party(row, &summary["ratchet_period"], &key(1));
        assert_eq!(party.refusal(&http, "there@test.internal").await, None, "{name}");
    }
    assert!(!lines.iter().any(|row| row["outcome"] != "created" && row.get("key").is_some()));
    let records = admin.records().await;
    let made: Vec<_> = records
        .iter()
        .filter(|record| record["action"] == "party.create")
        .map(|record| record["target"].as_str().unwrap())
        .collect();
    assert_eq!(made, ["there", "a", "d", "g", "i"].map(|name| format!("{name}@test.internal")));
    let summaries: Vec<_> = records.iter().filter(|record| record["action"] == "party.import").collect();
    let [recorded] = summaries.as_slice() else { panic!("one summary: {summaries:?}") };
    for kind in ["lines", "created", "unchanged", "exists", "invalid", "failed"] {
        assert_eq!(recorded["detail"][kind], summary[kind], "{kind}");
    }
    admin.assert_intact().await;
}

/// The party of a line that made it.
fn party(row: &Value, ratchet_period: &Value, chosen: &str) -> Party {
    Party::created(&json!({
        "party": { "name": row["name"] },
        "generation": row["generation"],
        "epoch": row["epoch"],
        "ratchet_period": ratchet_period,
        "key": row.get("key").cloned().unwrap_or_else(|| json!(chosen)),
    }))
}

#[tokio::test]
async fn comma_separated_lines_are_read() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let body = format!(
        "note,name,key,log_tickets\r\n\"rack 4, \"\"left\"\"\",a,,true\r\n,b,{},\r\n,c\r\n,d,,perhaps\r\n\r\n,e@test.internal,,false",
        key(1)
    );
    let (status, lines) = import(&admin, CSV, "", body.clone()).await;
    assert_eq!(status, 200);
    let told: Vec<_> = outcomes(&lines).into_iter().map(|(line, _, outcome)| (line, outcome)).collect();
    assert_eq!(
        told,
        [(1, "created"), (2, "created"), (3, "invalid"), (4, "invalid"), (6, "created")],
        "{lines:#?}"
    );
    let a = admin.get(&format!("{PARTIES}/a%40test.internal")).await.json();
    assert_eq!((&a["note"], &a["log_tickets"]), (&json!("rack 4, \"left\""), &json!(true)));
    let (_, again) = import(&admin, CSV, "", body).await;
    let told: Vec<_> = outcomes(&again).into_iter().map(|(.., outcome)| outcome).collect();
    assert_eq!(told, ["exists", "unchanged", "invalid", "invalid", "exists"]);

    for columns in ["colour,name", "key,note", "a,b,c"] {
        let (status, lines) = import(&admin, CSV, "", format!("{columns}\nx,y\nz,z\n")).await;
        assert_eq!(status, 200, "{columns}");
        assert!(lines[0]["error"].as_str().unwrap().contains("nothing was read"), "{columns}: {lines:?}");
        assert_eq!(lines.last().unwrap()["summary"]["created"], 0, "{columns}");
    }
    let (status, lines) = import(&admin, CSV, "", "name,name\nx,y\n".to_owned()).await;
    assert_eq!((status, &lines.last().unwrap()["summary"]["created"]), (200, &json!(0)), "{lines:?}");
    let (status, lines) = import(&admin, CSV, "", "\u{feff}name\nwith-a-mark\n".to_owned()).await;
    assert_eq!((status, &lines.last().unwrap()["summary"]["created"]), (200, &json!(1)), "{lines:?}");
    let (_, empty) = import(&admin, CSV, "", String::new()).await;
    assert_eq!(empty.len(), 1, "{empty:?}");
    for kind in ["application/json", "text/plain", ""] {
        let request =
            admin.request(Method::POST, call::IMPORT).header("content-type", kind).body("name\nx\n");
        let refused = keycell_tests::http::Answer::of(request).await;
        assert_eq!(refused.kind(), ProblemType::UnsupportedMediaType, "{kind:?}");
    }
}

#[tokio::test]
async fn a_question_changes_nothing() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add("there@test.internal").await;
    let before = (admin.get(PARTIES).await.text(), admin.records().await.len());
    let body = "{\"name\":\"a\"}\n{\"name\":\"there\"}\n{\"name\":\"a\"}\nx\n".to_owned();
    let (status, lines) = import(&admin, NDJSON, "?dry_run=true", body).await;
    assert_eq!(status, 200);
    let told: Vec<_> = outcomes(&lines).into_iter().map(|(.., outcome)| outcome).collect();
    assert_eq!(told, ["created", "exists", "exists", "invalid"]);
    assert!(lines.iter().all(|line| line.get("key").is_none()), "no key is told of what is not made");
    assert_eq!((admin.get(PARTIES).await.text(), admin.records().await.len()), before);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_come_while_lines_are_sent() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut call = Call::begin(&admin, NDJSON).await;
    let mut seen = BTreeMap::new();
    for part in 0..5 {
        let lines = (0..1000).map(|n| line(&format!("h{part}.n{n}"), None) + "\n").collect::<String>();
        call.send(lines).await;
        // These are durable before the next are even sent.
        for row in call.read(1000).await {
            assert_eq!(row["outcome"], "created", "{row}");
            assert!(seen.insert(row["name"].as_str().unwrap().to_owned(), row["key"].clone()).is_none());
        }
    }
    let last = call.end().await;
    assert_eq!((last.len(), &last[0]["summary"]["created"]), (1, &json!(5000)));
    assert_eq!(seen.len(), 5000);
    let records = admin.records().await;
    let of = |action: &str| records.iter().filter(|record| record["action"] == action).count();
    assert_eq!((of("party.create"), of("party.import")), (5000, 1));
    let requests: std::collections::BTreeSet<_> =
        records.iter().filter(|r| r["action"] == "party.create").map(|r| r["request"].to_string()).collect();
    assert_eq!(requests.len(), 1, "all by one request");
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_import_at_a_time_and_nobody_waits_for_it() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let other = kdc.http().with_token(&cell.token("operator"));
    let a = other.add("a@test.internal").await;
    let mut call = Call::begin(&admin, NDJSON).await;
    call.send((0..1000).map(|n| line(&format!("h{n}"), None) + "\n").collect()).await;
    assert_eq!(call.read(1).await.len(), 1);

    // The first one's client reads no more, and goes on sending.
    let request = other.request(Method::POST, call::IMPORT).header("content-type", NDJSON).body("{}");
    let busy = keycell_tests::http::Answer::of(request).await;
    assert_eq!((busy.status, busy.kind()), (503, ProblemType::Overloaded));
    assert!(busy.header("retry-after").parse::<u32>().unwrap() >= 1);
    let sender = call.sender();
    let sending = tokio::spawn(async move {
        for part in 0..40 {
            let lines = (0..1000).map(|n| line(&format!("p{part}.n{n}"), None) + "\n").collect::<String>();
            if sender.send(lines.into()).await.is_err() {
                return;
            }
        }
    });
    let unknown = Some(ProblemType::UnknownDestination);
    for n in 0..20 {
        other.add(&format!("b{n}@test.internal")).await;
        assert_eq!(other.set_enabled(&format!("b{n}@test.internal"), false).await.status, 200);
        assert_eq!(a.refusal(&kdc.http(), "nobody@test.internal").await, unknown);
    }
    assert_eq!(other.get(&format!("{PARTIES}?limit=10")).await.status, 200);
    // Nor is the KDC's place taken for ever: the client goes, and another may come.
    drop(call);
    sending.abort();
    keycell_tests::wait::until("the place is free", async || {
        let (status, lines) = import(&other, NDJSON, "", line("late", None)).await;
        (status == 200).then(|| assert_eq!(lines[0]["outcome"], "created"))
    })
    .await;
    admin.assert_intact().await;
}
