//! Some of the parties: by service, by pattern, by state, by when they were last seen.

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Http, PARTIES};
use keycell_tests::party::now;
use serde_json::Value;

/// The local names of all parties that `query` is about, page by page.
async fn list(admin: &Http, query: &str, limit: usize) -> Vec<String> {
    let mut names = Vec::new();
    let mut after = String::new();
    loop {
        let page = admin.get(&format!("{PARTIES}?limit={limit}{after}{query}")).await;
        assert_eq!(page.status, 200, "{query}: {}", page.text());
        let page = page.json();
        let parties = page["parties"].as_array().unwrap();
        assert!(parties.len() <= limit, "{query}");
        names.extend(
            parties.iter().map(|p| p["name"].as_str().unwrap().trim_end_matches("@test.internal").to_owned()),
        );
        match page.get("next").and_then(Value::as_str) {
            Some(next) => after = format!("&after={}", next.replace('@', "%40")),
            None => return names,
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_filter_shows_what_it_is_about() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut asker = None;
    for name in ["Cma.x", "cma.a", "cma.b", "cma", "cmax.a", "nanoprobe.a", "nanoprobe.b.c"] {
        let party = admin.add(&format!("{name}@test.internal")).await;
        if name == "nanoprobe.a" {
            asker = Some(party);
        }
    }
    for name in ["cma.b", "nanoprobe.b.c"] {
        assert_eq!(admin.set_enabled(&format!("{name}@test.internal"), false).await.status, 200);
    }
    let all = ["Cma.x", "cma.a", "cma.b", "cma", "cmax.a", "nanoprobe.a", "nanoprobe.b.c"];
    let expect = async |admin: &Http, query: &str, names: &[&str]| {
        for limit in [1, 2, 1000] {
            assert_eq!(list(admin, query, limit).await, names, "{query} by {limit}");
        }
    };
    expect(&admin, "", &all).await;
    expect(&admin, "&service=cma", &["cma.a", "cma.b", "cma"]).await;
    expect(&admin, "&service=cm", &[]).await;
    expect(&admin, "&service=nanoprobe.b", &[]).await;
    expect(&admin, "&match=cma.*", &["cma.a", "cma.b"]).await;
    expect(&admin, "&match=cma.*%40test.internal", &["cma.a", "cma.b"]).await;
    expect(&admin, "&match=*.a", &["cma.a", "cmax.a", "nanoprobe.a"]).await;
    expect(&admin, "&match=*", &all).await;
    expect(&admin, "&match=cma.?", &["cma.a", "cma.b"]).await;
    expect(&admin, "&match=*%40elsewhere.example", &[]).await;
    expect(&admin, "&state=disabled", &["cma.b", "nanoprobe.b.c"]).await;
    expect(&admin, "&state=enabled&service=cma", &["cma.a", "cma"]).await;
    expect(&admin, "&state=disabled&match=*.c&service=nanoprobe", &["nanoprobe.b.c"]).await;

    // Nobody was seen, until one asks.
    let rest = ["Cma.x", "cma.a", "cma.b", "cma", "cmax.a", "nanoprobe.b.c"];
    expect(&admin, "&seen_since=1", &[]).await;
    expect(&admin, "&seen_before=1", &all).await;
    let asker = asker.unwrap();
    let asked_at = now();
    assert_eq!(asker.refusal(&kdc.http(), "cma@test.internal").await, None);
    for round in ["at once", "after a restart"] {
        let admin = cell.admin(&kdc);
        let view = admin.get(&format!("{PARTIES}/nanoprobe.a%40test.internal")).await.json();
        let seen = view["last_seen"].as_u64().unwrap_or_else(|| panic!("seen, {round}: {view}"));
        // To the minute.
        assert!(seen <= now().0 && seen + 60_000 > asked_at.0, "{round}: {seen}");
        expect(&admin, &format!("&seen_since={seen}"), &["nanoprobe.a"]).await;
        expect(&admin, &format!("&seen_since={}", seen + 1), &[]).await;
        expect(&admin, &format!("&seen_before={seen}"), &rest).await;
        expect(&admin, &format!("&seen_before={}", seen + 1), &all).await;
        expect(&admin, &format!("&seen_before={seen}&state=enabled&service=cma"), &["cma.a", "cma"]).await;
        assert_eq!(kdc.terminate(), Some(0));
        kdc = cell.serve();
    }

    // A name that is given again has not been seen yet.
    let admin = cell.admin(&kdc);
    assert_eq!(admin.delete("nanoprobe.a@test.internal").await.status, 204);
    admin.add("nanoprobe.a@test.internal").await;
    expect(&admin, "&seen_since=1", &[]).await;

    for (query, field) in [
        ("state=other", "state"),
        ("match=a[", "match"),
        ("match=", "match"),
        ("seen_since=yesterday", "seen_since"),
        ("seen_before=-1", "seen_before"),
        ("after=@", "after"),
        ("limit=x", "limit"),
        ("limit=0", "limit"),
        ("colour=red", "colour"),
    ] {
        let refused = admin.get(&format!("{PARTIES}?{query}")).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{query}");
        assert_eq!(refused.problem().field.as_deref(), Some(field), "{query}: {}", refused.text());
    }
}

#[tokio::test]
async fn pages_are_complete_and_without_doubles_while_others_come_and_go() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut lines = String::new();
    for n in 0..60 {
        lines.push_str(&format!("{{\"name\":\"h.{n:02}5\"}}\n{{\"name\":\"other.{n}\"}}\n"));
    }
    let request = admin.request(reqwest::Method::POST, &format!("{PARTIES}/import"));
    let made =
        keycell_tests::http::Answer::of(request.header("content-type", "application/x-ndjson").body(lines))
            .await;
    assert_eq!(made.status, 200, "{}", made.text());
    let stay: Vec<_> = (0..60).map(|n| format!("h.{n:02}5")).collect();
    let coming = async {
        for n in 0..60 {
            // Before and behind where the pages are.
            admin.add(&format!("h.{n:02}3@test.internal")).await;
            admin.add(&format!("h.{:02}7@test.internal", 59 - n)).await;
            if n > 3 {
                assert_eq!(admin.delete(&format!("h.{:02}3@test.internal", n - 3)).await.status, 204);
            }
        }
    };
    let mut looked = 0;
    let looking = async {
        for limit in [7, 1, 60, 13] {
            let names = list(&admin, "&service=h&state=enabled", limit).await;
            let mut sorted = names.clone();
            sorted.sort();
            sorted.dedup();
            assert_eq!(names, sorted, "in order and once each");
            let stayed: Vec<_> = names.into_iter().filter(|name| name.ends_with('5')).collect();
            assert_eq!(stayed, stay, "by {limit}");
            looked += 1;
        }
    };
    tokio::join!(coming, looking);
    assert_eq!(looked, 4);
}
