//! What administrators do, and what those may not who only say that they are.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "admin/strangers.rs"]
mod strangers;
#[path = "admin/tokens.rs"]
mod tokens;

use keycell_protocol::{Generation, ProblemType};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, PARTIES, party_path};
use reqwest::Method;
use serde_json::{Value, json};

const KEY: &str = "AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA";

#[tokio::test]
async fn a_party_from_its_making_to_its_end() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    let old = admin.add("a@test.internal").await;
    let b = admin.add("b@test.internal").await;
    let seen = admin.get(&party_path("a@test.internal")).await.json();
    assert_eq!((&seen["enabled"], &seen["revision"]), (&json!(true), &json!(1)));
    assert_eq!((&seen["keys"][0]["generation"], &seen["keys"][0]["state"]), (&json!(1), &json!("active")));
    assert_eq!(old.refusal(&http, "b@test.internal").await, None);

    // Disabled: from the answer on, no ticket from it and none to it; twice is as good as once.
    for _ in 0..2 {
        let answer = admin.set_enabled("a@test.internal", false).await;
        assert_eq!((answer.status, &answer.json()["enabled"]), (200, &json!(false)));
        let refused = old.ask(&http, &["b@test.internal"]).await.unwrap_err();
        assert_eq!(refused.kind(), ProblemType::PartyDisabled);
        assert_eq!(b.refusal(&http, "a@test.internal").await, Some(ProblemType::DestinationDisabled));
    }
    assert_eq!(admin.get(&party_path("a@test.internal")).await.json()["revision"], json!(2));
    assert_eq!(admin.set_enabled("a@test.internal", true).await.json()["enabled"], json!(true));
    assert_eq!(old.refusal(&http, "b@test.internal").await, None);
    assert_eq!(b.refusal(&http, "a@test.internal").await, None);

    // Deleted and made again: the same name, the next generation, and nothing of the old key.
    let answer = admin.delete("a@test.internal").await;
    assert_eq!((answer.status, answer.body.len()), (204, 0));
    let gone = old.ask(&http, &["b@test.internal"]).await.unwrap_err();
    assert_eq!(gone.kind(), ProblemType::Unauthenticated);
    assert_eq!(b.refusal(&http, "a@test.internal").await, Some(ProblemType::UnknownDestination));
    for answer in [
        admin.get(&party_path("a@test.internal")).await,
        admin.delete("a@test.internal").await,
        admin.set_enabled("a@test.internal", true).await,
    ] {
        assert_eq!(answer.kind(), ProblemType::NotFound);
    }
    let new = admin.add("a@test.internal").await;
    assert_eq!(new.key.generation(), Generation(2));
    assert_eq!(new.refusal(&http, "b@test.internal").await, None);
    let refused = old.ask(&http, &["b@test.internal"]).await.unwrap_err();
    assert_eq!(refused.kind(), ProblemType::Unauthenticated);
}

#[tokio::test]
async fn making_it_again_is_harmless_with_the_same_key_only() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let make = async |name: &str, key: Option<&str>| {
        let mut body = json!({ "name": name });
        if let Some(key) = key {
            body["key"] = json!(key);
        }
        admin.send(Method::POST, PARTIES, &body).await
    };
    let first = make("a@test.internal", Some(KEY)).await;
    assert_eq!(first.status, 201, "{}", first.text());
    assert_eq!(first.json().get("key"), None, "who chose the key has it");
    let again = make("a@test.internal", Some(KEY)).await;
    assert_eq!((again.status, again.json()), (200, first.json()));
    let other = KEY.replacen('A', "B", 1);
    assert_eq!(make("a@test.internal", Some(&other)).await.kind(), ProblemType::AlreadyExists);
    assert_eq!(make("a@test.internal", None).await.kind(), ProblemType::AlreadyExists);
    assert_eq!(admin.delete("a@test.internal").await.status, 204);
    let anew = make("a@test.internal", Some(KEY)).await;
    assert_eq!((anew.status, &anew.json()["generation"]), (201, &json!(2)));

    for (name, key) in [
        ("a@elsewhere.example", None),
        ("", None),
        ("a b@test.internal", None),
        ("a@@test.internal", None),
        ("-a@test.internal", None),
        ("b@test.internal", Some("short")),
        ("b@test.internal", Some("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyA=")),
        ("b@test.internal", Some("AQIDBAUGBwgJCgsMDQ4PEBESExQVFhcYGRobHB0eHyAh")),
    ] {
        let refused = make(name, key).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{name} {key:?}");
        assert!(!refused.text().contains("AQIDBAUG"), "a key is not repeated: {}", refused.text());
    }
    let extra = json!({ "name": "b@test.internal", "colour": 1 });
    assert_eq!(admin.send(Method::POST, PARTIES, &extra).await.kind(), ProblemType::MalformedRequest);
}

#[tokio::test]
async fn pages_show_everyone_once_in_order() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut names: Vec<_> = (0..23).map(|n| format!("h{n}@test.internal")).collect();
    for name in &names {
        admin.add(name).await;
    }
    names.sort();
    for limit in [1, 7, 22, 23, 24, 1000] {
        let mut seen = Vec::new();
        let mut path = format!("{PARTIES}?limit={limit}");
        for _ in 0..=names.len() {
            let page = admin.get(&path).await.json();
            let parties = page["parties"].as_array().unwrap();
            assert!(parties.len() <= limit);
            seen.extend(parties.iter().map(|party| party["name"].as_str().unwrap().to_owned()));
            let Some(next) = page.get("next").and_then(Value::as_str) else { break };
            path = format!("{PARTIES}?limit={limit}&after={}", next.replace('@', "%40"));
        }
        assert_eq!(seen, names, "{limit}");
    }
    assert_eq!(admin.get(PARTIES).await.json()["parties"].as_array().unwrap().len(), 23);
    for query in ["limit=0", "limit=1001", "limit=-1", "limit=x", "after=x", "colour=1"] {
        let refused = admin.get(&format!("{PARTIES}?{query}")).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{query}");
    }
}

#[tokio::test]
async fn every_name_reaches_its_party() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    cell.run(&["token", "create"]).succeeded();
    let longest = format!("x{}@test.internal", "y".repeat(189));
    for name in [
        "#KDC#00001@test.internal",
        "a+b@test.internal",
        "web.host1::0123456789abcdef@test.internal",
        "a-b_c.d@test.internal",
        "A@test.internal",
        &longest,
    ] {
        let party = admin.add(name).await;
        let path = party_path(name);
        assert_eq!(admin.get(&path).await.json()["name"], json!(name));
        assert_eq!(party.refusal(&http, "nobody@test.internal").await, Some(ProblemType::UnknownDestination));
        assert_eq!(admin.set_enabled(name, false).await.status, 200, "{name}");

        // The same by the command line, with the local name alone.
        let local = name.split('@').next().unwrap();
        cell.run(&["party", "enable", local]).succeeded();
        let shown = cell.run(&["--json", "party", "show", local]).succeeded();
        assert!(shown.stdout.contains(&format!("\"name\":\"{name}\"")), "{}", shown.stdout);
        cell.run(&["party", "delete", local]).succeeded();
        assert_eq!(admin.get(&path).await.status, 404);
    }
    for path in ["a%ff@test.internal", "%00@test.internal", "a@test.internal%2f..", "%2e%2e"] {
        let kind = admin.get(&format!("{PARTIES}/{path}")).await.kind();
        assert!([ProblemType::MalformedRequest, ProblemType::NotFound].contains(&kind), "{path}: {kind}");
    }
    let not_one = admin.request(Method::PUT, &party_path("a@test.internal"));
    assert_eq!(Answer::of(not_one).await.kind(), ProblemType::MethodNotAllowed);
}
