//! Trust between zones, as the administrators of two real cells make, change and end it.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::fs;

use keycell_tests::admin::TRUSTS;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::kdc::Kdc;
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

/// Two cells with their KDCs: the first one's parties are to speak to the second one's.
struct Two {
    asks: Cell,
    gives: Cell,
    asking: Kdc,
    giving: Kdc,
}

const ASKS: &str = "z1.test";
const GIVES: &str = "z2.test";

impl Two {
    fn new() -> Self {
        let (asks, gives) = (Cell::of_zone(ASKS), Cell::of_zone(GIVES));
        let (asking, giving) = (asks.serve(), gives.serve());
        Self { asks, gives, asking, giving }
    }

    fn admins(&self) -> (Http, Http) {
        (self.asks.admin(&self.asking), self.gives.admin(&self.giving))
    }

    async fn bundle(kdc: &Kdc) -> Value {
        kdc.http().get("/v1/bundle").await.json()
    }

    /// What is sent to make an offer.
    async fn terms(&self) -> Value {
        json!({
            "bundle": Self::bundle(&self.asking).await,
            "sources": ["cma.*"],
            "destinations": ["nanoprobe.*"],
        })
    }
}

async fn offered(gives: &Http, terms: &Value) -> Value {
    let answer = gives.send(Method::POST, &format!("{TRUSTS}/offers"), terms).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("etag"), format!("\"{}\"", answer.json()["trust"]["revision"]));
    answer.json()
}

fn acceptance(offer: &Value) -> Value {
    json!({
        "offer": offer["offer"],
        "fingerprint": offer["fingerprint"],
        "sources": ["cma.*"],
        "destinations": ["nanoprobe.*"],
    })
}

async fn accept(asks: &Http, body: &Value) -> Answer {
    asks.send(Method::POST, &format!("{TRUSTS}/accepted"), body).await
}

/// What is wrong, by its field and a part of what is said.
async fn refused(admin: &Http, path: &str, body: &Value, (field, text): (&str, &str)) {
    let answer = admin.send(Method::POST, &format!("{TRUSTS}/{path}"), body).await;
    assert_eq!(answer.status, 400, "{}", answer.text());
    assert_eq!(answer.json()["field"], field, "{}", answer.text());
    assert!(answer.text().contains(text), "{}", answer.text());
}

async fn show(admin: &Http, direction: &str, zone: &str) -> Answer {
    admin.get(&format!("{TRUSTS}/{direction}/{zone}")).await
}

async fn patch(admin: &Http, path: &str, body: Value) -> Answer {
    admin.send(Method::PATCH, &format!("{TRUSTS}/{path}"), &body).await
}

/// The actions on trusts in the log, with their targets, the oldest first.
async fn told(admin: &Http) -> Vec<String> {
    let of = |record: &Value| {
        let action = record["action"].as_str().unwrap();
        let target = record["target"].as_str().unwrap();
        action.starts_with("trust.").then(|| format!("{action} {target}"))
    };
    admin.records().await.iter().filter_map(of).collect()
}

/// How many rows of a cell's database a question counts, past Keycell.
async fn count(cell: &Cell, query: &'static str) -> i64 {
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut rows = SqliteConnection::connect(&url).await.unwrap();
    sqlx::query_scalar(query).fetch_one(&mut rows).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_is_offered_accepted_changed_and_deleted() {
    let two = Two::new();
    let (asks, gives) = two.admins();
    let terms = two.terms().await;
    let offer = offered(&gives, &terms).await;
    assert_eq!(offer["trust"]["generation"], 1);
    assert_eq!(offer["trust"]["sources"], json!(["cma.*@z1.test"]));
    assert_eq!(offer["trust"]["destinations"], json!(["nanoprobe.*@z2.test"]));

    let answer = accept(&asks, &acceptance(&offer)).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    let trust = answer.json();
    assert_eq!((&trust["direction"], &trust["zone"]), (&json!("outgoing"), &json!(GIVES)));
    assert_eq!((&trust["fingerprint"], &trust["generation"]), (&offer["fingerprint"], &json!(1)));
    assert_eq!(trust["urls"], json!(Two::bundle(&two.giving).await["urls"]));
    // Again, it is so already.
    let again = accept(&asks, &acceptance(&offer)).await;
    assert_eq!((again.status, again.json()), (200, trust.clone()));

    // Another key: the one before stays until it is used. Who made it is known, so no fingerprint is needed.
    let renewed = offered(&gives, &json!({ "bundle": terms["bundle"] })).await;
    assert_eq!((&renewed["trust"]["generation"], &renewed["trust"]["staged"]), (&json!(1), &json!(2)));
    assert_eq!(renewed["trust"]["sources"], offer["trust"]["sources"]);
    let answer = accept(&asks, &json!({ "offer": renewed["offer"] })).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.json()["sources"], trust["sources"]);
    // One that was made before it comes too late.
    let second = offered(&gives, &json!({ "bundle": terms["bundle"] })).await;
    let third = offered(&gives, &json!({ "bundle": terms["bundle"] })).await;
    assert_eq!(accept(&asks, &json!({ "offer": third["offer"] })).await.status, 201);
    assert_eq!(accept(&asks, &json!({ "offer": second["offer"] })).await.status, 409);

    let path = format!("incoming/{ASKS}");
    let changed =
        patch(&gives, &path, json!({ "mode": "monitor", "lifetime_seconds": 60, "note": "Why." })).await;
    assert_eq!((changed.status, &changed.json()["mode"]), (200, &json!("monitor")));
    let usual = patch(&gives, &path, json!({ "mode": "enforce", "lifetime_seconds": null })).await.json();
    assert_eq!((&usual["mode"], &usual["lifetime_seconds"]), (&json!("enforce"), &Value::Null));
    let revision = usual["revision"].as_u64().unwrap();
    let stale = [("if-match", "\"1\"")];
    let disable = json!({ "enabled": false });
    let path = format!("{TRUSTS}/{path}");
    assert_eq!(gives.send_with(Method::PATCH, &path, &stale, &disable).await.status, 412);
    let disabled = gives.send(Method::PATCH, &path, &disable).await.json();
    assert_eq!((&disabled["enabled"], &disabled["revision"]), (&json!(false), &json!(revision + 1)));
    // The key is bound to that.
    let row = "SELECT count(*) FROM party WHERE name = '#ZONE#z1.test@z2.test' AND NOT enabled AND revocation_epoch = 1";
    assert_eq!(count(&two.gives, row).await, 1);
    assert_eq!(gives.send(Method::PATCH, &path, &disable).await.json()["revision"], json!(revision + 1));
    assert_eq!(gives.send(Method::PATCH, &path, &json!({ "enabled": true })).await.json()["enabled"], true);

    let rotate = [("idempotency-key", "r")];
    let path = format!("{path}/rotate");
    let asked = gives.send_with(Method::POST, &path, &rotate, &Value::Null).await;
    assert_eq!((asked.status, &asked.json()["rotation_asked"]), (200, &json!(true)));
    let replayed = gives.send_with(Method::POST, &path, &rotate, &Value::Null).await;
    assert_eq!((replayed.header("idempotency-replayed"), replayed.json()), ("true", asked.json()));
    let path = format!("{TRUSTS}/outgoing/{GIVES}");
    let asked = asks.send(Method::POST, &format!("{path}/rotate"), &Value::Null).await;
    assert_eq!(asked.status, 200, "{}", asked.text());

    for (admin, path) in [(&asks, path), (&gives, format!("{TRUSTS}/incoming/{ASKS}"))] {
        assert_eq!(admin.send(Method::DELETE, &path, &Value::Null).await.status, 204);
        assert_eq!(admin.send(Method::DELETE, &path, &Value::Null).await.status, 404);
        assert_eq!(admin.get(TRUSTS).await.json(), json!({ "trusts": [] }));
    }
    assert_eq!(count(&two.asks, "SELECT count(*) FROM secret WHERE name LIKE 'trust %'").await, 0);
    assert_eq!(count(&two.gives, "SELECT count(*) FROM party").await, 0);
    // Generations go on counting.
    let anew = offered(&gives, &terms).await;
    assert_eq!(anew["trust"]["generation"], 5);
    assert_eq!(accept(&asks, &acceptance(&anew)).await.status, 201);

    let incoming = |action: &str| format!("trust.{action} incoming {ASKS}");
    let expected = [
        "offer", "offer", "offer", "offer", "update", "update", "disable", "enable", "rotate", "delete",
        "offer",
    ];
    assert_eq!(told(&gives).await, expected.map(incoming));
    let outgoing = |action: &str| format!("trust.{action} outgoing {GIVES}");
    let records = told(&asks).await;
    assert_eq!(records, ["accept", "accept", "accept", "rotate", "delete", "accept"].map(outgoing));
    // What seals the offer is no secret, but no key and no offer has a place in the logs.
    for (kdc, admin) in [(&two.asking, &asks), (&two.giving, &gives)] {
        let logs = format!("{}{}", kdc.log(), json!(admin.records().await));
        assert!(!logs.contains("TRUST OFFER"), "{logs}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_offer_that_does_not_hold_is_refused() {
    let two = Two::new();
    let (asks, gives) = two.admins();
    let terms = two.terms().await;
    let offer = offered(&gives, &terms).await;
    let body = acceptance(&offer);
    let with = |name: &str, value: Value| {
        let mut body = body.clone();
        body[name] = value;
        body
    };

    let other = "0000-0000-0000-0000-0000-0000-0000-0000";
    refused(
        &asks,
        "accepted",
        &with("fingerprint", json!(other)),
        ("fingerprint", "not the fingerprint given"),
    )
    .await;
    refused(&asks, "accepted", &with("fingerprint", json!("0000")), ("fingerprint", "32 digits")).await;
    let own = offer["fingerprint"].as_str().unwrap();
    let mut without = body.clone();
    without.as_object_mut().unwrap().remove("fingerprint");
    refused(&asks, "accepted", &without, ("fingerprint", own)).await;
    refused(&gives, "accepted", &body, ("offer", "for the zone z1.test")).await;
    let text = offer["offer"].as_str().unwrap();
    refused(&asks, "accepted", &with("offer", json!("Good morning.")), ("offer", "no trust offer")).await;
    refused(&asks, "accepted", &with("offer", json!(format!("{text}{text}"))), ("offer", "more than one"))
        .await;
    // Every fortieth character of the text, for each of them is a call.
    let body_of = text.find("-----\n").unwrap() + 6..text.rfind("-----END").unwrap();
    for at in body_of.step_by(401) {
        let mut altered = text.as_bytes().to_vec();
        if altered[at] == b'\n' {
            continue;
        }
        altered[at] = if altered[at] == b'A' { b'B' } else { b'A' };
        let altered = String::from_utf8(altered).unwrap();
        let answer = accept(&asks, &with("offer", json!(altered))).await;
        assert_eq!(answer.status, 400, "{at}: {}", answer.text());
    }
    // Lists are about the zones that they are to be about.
    for (list, wrong, whose) in
        [("sources", "a@z2.test", "z1.test"), ("destinations", "a@z1.test", "z2.test")]
    {
        let text = format!("{list} are of {whose}");
        let field = format!("{list}[0]");
        refused(&asks, "accepted", &with(list, json!([wrong])), (&field, &text)).await;
        let mut terms = terms.clone();
        terms[list] = json!([wrong]);
        refused(&gives, "offers", &terms, (&field, &text)).await;
    }
    let with = |name: &str, value: Value| {
        let mut terms = terms.clone();
        terms[name] = value;
        terms
    };
    refused(&gives, "offers", &with("lifetime_seconds", json!(9)), ("lifetime_seconds", "10 to 86400")).await;
    refused(&gives, "offers", &with("valid_seconds", json!(59)), ("valid_seconds", "60 to 604800")).await;
    let small = json!({ "per_second": 1, "burst": 999 });
    refused(&gives, "offers", &with("rate", small), ("rate.burst", "at least 1000")).await;
    refused(&asks, "offers", &terms, ("bundle", "this zone itself")).await;
    // A zone that was made anew under the name is another one.
    let stranger = Cell::of_zone(GIVES);
    let kdc = stranger.serve();
    let theirs = offered(&stranger.admin(&kdc), &terms).await;
    assert_eq!(accept(&asks, &body).await.status, 201);
    let answer = accept(&asks, &acceptance(&theirs)).await;
    assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("offer")), "{}", answer.text());
    let answer = patch(&asks, "outgoing/z2.test", json!({ "bundle": Two::bundle(&kdc).await })).await;
    assert_eq!((answer.status, &answer.json()["field"]), (400, &json!("bundle")), "{}", answer.text());
    assert_eq!(show(&asks, "outgoing", GIVES).await.json()["fingerprint"], offer["fingerprint"]);
    assert_eq!(show(&asks, "incoming", GIVES).await.status, 404);
    assert_eq!(show(&asks, "sideways", GIVES).await.status, 400);
}

/// A lost answer is asked for again, and nothing is made twice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_gets_the_same_offer() {
    let two = Two::new();
    let (asks, gives) = two.admins();
    let terms = two.terms().await;
    let key = [("idempotency-key", "k")];
    let path = format!("{TRUSTS}/offers");
    let first = gives.send_with(Method::POST, &path, &key, &terms).await;
    let again = gives.send_with(Method::POST, &path, &key, &terms).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (201, 201, "true"));
    assert_eq!((first.json(), first.header("etag")), (again.json(), again.header("etag")));
    let path = format!("{TRUSTS}/accepted");
    let body = acceptance(&first.json());
    let first = asks.send_with(Method::POST, &path, &key, &body).await;
    let again = asks.send_with(Method::POST, &path, &key, &body).await;
    assert_eq!((first.status, again.status, again.header("idempotency-replayed")), (201, 201, "true"));
    assert_eq!(first.json(), again.json());
}

/// From bundle to bundle with the commands alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_administrators_make_a_trust_with_commands() {
    let Two { asks, gives, asking: _asking, giving: _giving } = Two::new();
    let bundle = asks.folder().join("z1.bundle");
    let bundle = bundle.to_str().unwrap();
    asks.run(&["bundle", "--out", bundle]).succeeded();
    let lists = ["--source", "cma.*", "--destination", "nanoprobe.*"];
    let printed = gives.run(&[&["trust", "offer", "--bundle", bundle], &lists[..]].concat()).succeeded();
    assert!(printed.stdout.starts_with("-----BEGIN KEYCELL TRUST OFFER-----\n"), "{}", printed.stdout);
    let fingerprint = gives.run(&["bundle", "--fingerprint"]).succeeded().stdout;
    assert!(printed.stderr.contains(fingerprint.trim()), "{}", printed.stderr);
    let theirs = asks.run(&["bundle", "--fingerprint"]).succeeded().stdout;
    assert!(printed.stderr.contains(theirs.trim()), "{}", printed.stderr);
    let offer = asks.folder().join("offer.txt");
    fs::write(&offer, format!("Hello,\n\n{}\nRegards\n", printed.stdout)).unwrap();
    let offer = offer.to_str().unwrap();

    let claimed = asks.run(&[&["trust", "accept", offer], &lists[..]].concat());
    assert_eq!(claimed.code, Some(1));
    assert!(claimed.stdout.contains(fingerprint.trim()), "{}", claimed.stdout);
    assert!(claimed.stderr.contains("--fingerprint"), "{}", claimed.stderr);
    assert!(asks.run(&["trust", "list"]).succeeded().stdout.starts_with("This zone trusts no other"));
    let spoken = fingerprint.trim().replace('-', "").to_uppercase();
    asks.run(&[&["trust", "accept", offer, "--fingerprint", &spoken], &lists[..]].concat()).succeeded();
    let listed = asks.run(&["trust", "list"]).succeeded().stdout;
    assert!(
        listed.contains("outgoing   z2.test  enabled  enforce  cma.*@z1.test  nanoprobe.*@z2.test"),
        "{listed}"
    );

    // A renewed offer needs neither.
    let renewed = asks.folder().join("renewed.txt");
    let renewed = renewed.to_str().unwrap();
    gives.run(&["trust", "offer", "--bundle", bundle, "--output", renewed]).succeeded();
    asks.run(&["trust", "accept", renewed]).succeeded();
    let shown = gives.run(&["trust", "show", "incoming", ASKS]).succeeded().stdout;
    assert!(shown.contains("key           generation 1, then 2\n"), "{shown}");
    gives.run(&["trust", "disable", "incoming", ASKS]).succeeded();
    let shown = gives.run(&["trust", "show", "incoming", ASKS, "--json"]).succeeded().stdout;
    assert_eq!(serde_json::from_str::<Value>(&shown).unwrap()["enabled"], false);
    gives.run(&["trust", "enable", "incoming", ASKS]).succeeded();
    gives.run(&["trust", "rotate", "incoming", ASKS]).succeeded();
    let update = ["trust", "update", "incoming", ASKS, "--rate", "10/1000", "--lifetime", "1m"];
    assert!(gives.run(&update).succeeded().stdout.contains("rate          10/1000\n"));
    gives.run(&["trust", "delete", "incoming", ASKS]).succeeded();
    assert!(
        gives.run(&["trust", "show", "incoming", ASKS]).failed().contains("no incoming trust with z1.test")
    );
}
