//! Who is a member, and who is taken out.

use keycell_protocol::ProblemType;
use keycell_tests::admin::GROUPS;
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{GROUP, create, excluded, members, patch, show};

#[tokio::test]
async fn members_are_the_enabled_parties_that_a_pattern_is_about() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for name in ["nanoprobe.a", "nanoprobe.b", "nanoprobe.c", "nanoprobe.d", "cma.one", "lab.x"] {
        admin.add(&format!("{name}@test.internal")).await;
    }
    let made = create(&admin, &json!({ "name": GROUP })).await;
    assert_eq!(
        (&made["members"], &made["lifetime_seconds"], &made["author_proof"], &made["excluded"]),
        (&json!(["nanoprobe.*@test.internal"]), &json!(300), &json!(false), &json!(0))
    );
    assert_eq!(show(&admin).await, made);

    let all = ["nanoprobe.a", "nanoprobe.b", "nanoprobe.c", "nanoprobe.d"];
    assert_eq!(members(&admin, "").await, (all.map(str::to_owned).to_vec(), json!([4, null])));
    admin.set_enabled("nanoprobe.b@test.internal", false).await;
    assert_eq!(excluded(&admin, Method::PUT, "nanoprobe.c").await.status, 200);
    let told = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    assert_eq!(members(&admin, "").await, (told(&["nanoprobe.a", "nanoprobe.d"]), json!([2, null])));
    let left_out = ["nanoprobe.a", "nanoprobe.b disabled", "nanoprobe.c excluded", "nanoprobe.d"];
    assert_eq!(members(&admin, "?left_out=true").await, (told(&left_out), json!([2, null])));

    // Who is gone stays out, and is found between the others, page by page.
    assert_eq!(admin.delete("nanoprobe.c@test.internal").await.status, 204);
    let mut seen = Vec::new();
    let mut next = "?left_out=true&limit=1".to_owned();
    loop {
        let (page, rest) = members(&admin, &next).await;
        seen.extend(page);
        let Some(after) = rest[1].as_str() else { break };
        next = format!("?left_out=true&limit=1&after={}", after.replace('@', "%40"));
    }
    assert_eq!(seen, left_out);
    admin.add("nanoprobe.c@test.internal").await;
    assert_eq!(members(&admin, "").await.0, ["nanoprobe.a", "nanoprobe.d"]);

    let wider = patch(&admin, json!({ "members": ["nanoprobe.*", "lab.?", "lab.?@test.internal"] })).await;
    assert_eq!(wider["members"], json!(["nanoprobe.*@test.internal", "lab.?@test.internal"]));
    assert_eq!(
        members(&admin, "?limit=2").await,
        (told(&["lab.x", "nanoprobe.a"]), json!([3, "nanoprobe.a@test.internal"]))
    );
}

#[tokio::test]
async fn a_party_is_taken_out_once_and_let_back_in_once() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for name in ["nanoprobe.a", "cma.one"] {
        admin.add(&format!("{name}@test.internal")).await;
    }
    create(&admin, &json!({ "name": GROUP })).await;
    let out = excluded(&admin, Method::PUT, "nanoprobe.a").await;
    assert_eq!((out.status, &out.json()["excluded"]), (200, &json!(1)));
    let again = excluded(&admin, Method::PUT, "nanoprobe.a").await;
    assert_eq!((again.status, again.json()), (200, out.json()), "it changes nothing");

    // Nobody is to believe that somebody is out who is not, or never was in.
    let stranger = excluded(&admin, Method::PUT, "cma.one").await;
    assert_eq!(
        (stranger.kind(), stranger.problem().field.as_deref()),
        (ProblemType::MalformedRequest, Some("party"))
    );
    let mistyped = excluded(&admin, Method::PUT, "nanoprobe.aa").await;
    assert_eq!(mistyped.kind(), ProblemType::NotFound);
    assert!(mistyped.text().contains("there is no party nanoprobe.aa@test.internal"), "{}", mistyped.text());
    assert_eq!(show(&admin).await["excluded"], 1);

    let mut revisions = Vec::new();
    for _ in 0..2 {
        let back = excluded(&admin, Method::DELETE, "nanoprobe.a").await;
        assert_eq!(back.status, 204);
        revisions.push(back.header("etag").to_owned());
        assert_eq!(members(&admin, "").await.0, ["nanoprobe.a"]);
    }
    assert_eq!(revisions[0], format!("\"{}\"", show(&admin).await["revision"]), "the second changed nothing");
    assert_eq!(revisions[0], revisions[1]);
    // One of another zone was never a member.
    let path =
        format!("{}/excluded/nanoprobe.a%40elsewhere.example", keycell_tests::admin::group_path(GROUP));
    let elsewhere = admin.send_with(Method::PUT, &path, &[], &Value::Null).await;
    assert_eq!(elsewhere.kind(), ProblemType::MalformedRequest);
    let records = admin.records().await;
    let of = |action: &str| records.iter().filter(|record| record["action"] == action).collect::<Vec<_>>();
    assert_eq!((of("group.exclude").len(), of("group.include").len()), (1, 1));
    assert_eq!(of("group.exclude")[0]["detail"]["party"], "nanoprobe.a@test.internal");
}

/// The groups that a party is told to be in, as `name` or `name reason`; and what comes after.
async fn of_party(admin: &Http, query: &str) -> (Vec<String>, Value) {
    let page = admin.get(&format!("{GROUPS}?member={query}")).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let told = |group: &Value| {
        let name = group["name"].as_str().unwrap().trim_end_matches("@test.internal").to_owned();
        group["left_out"].as_str().map_or(name.clone(), |reason| format!("{name} {reason}"))
    };
    (page["groups"].as_array().unwrap().iter().map(told).collect(), page["next"].clone())
}

#[tokio::test]
async fn a_party_s_groups_are_those_that_list_it_as_a_member() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    for name in ["nanoprobe.a", "nanoprobe.b", "cma.one"] {
        admin.add(&format!("{name}@test.internal")).await;
    }
    for (name, members) in [
        ("all", json!(["*", "nanoprobe.*"])),
        ("nanoprobe", json!(["nanoprobe.*"])),
        ("some", json!(["nanoprobe.{a,c}"])),
        ("others", json!(["cma.*"])),
    ] {
        create(&admin, &json!({ "name": format!("{name}@test.internal"), "members": members })).await;
    }
    let told = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
    let (a, b) = ("nanoprobe.a%40test.internal", "nanoprobe.b%40test.internal");
    assert_eq!(of_party(&admin, a).await, (told(&["all", "nanoprobe", "some"]), Value::Null));
    assert_eq!(of_party(&admin, b).await.0, ["all", "nanoprobe"]);
    assert_eq!(excluded(&admin, Method::PUT, "nanoprobe.a").await.status, 200);
    assert_eq!(of_party(&admin, a).await.0, ["all", "some"]);
    let left_out = ["all", "nanoprobe excluded", "some"];
    assert_eq!(of_party(&admin, &format!("{a}&left_out=true")).await.0, left_out);
    let first = of_party(&admin, &format!("{a}&left_out=true&limit=2")).await;
    assert_eq!(first, (told(&left_out[..2]), json!("nanoprobe@test.internal")));
    let rest = of_party(&admin, &format!("{a}&left_out=true&after=nanoprobe%40test.internal")).await;
    assert_eq!(rest, (told(&["some"]), Value::Null));

    // Taken out stays taken out, also where no pattern is about it any more.
    patch(&admin, json!({ "members": ["nanoprobe.b"] })).await;
    assert_eq!(of_party(&admin, &format!("{a}&left_out=true")).await.0, left_out);
    admin.set_enabled("nanoprobe.a@test.internal", false).await;
    assert_eq!(of_party(&admin, a).await.0, Vec::<String>::new());
    let all = of_party(&admin, &format!("{a}&left_out=true")).await.0;
    assert_eq!(all, ["all disabled", "nanoprobe excluded", "some disabled"]);

    let mistyped = admin.get(&format!("{GROUPS}?member=nanoprobe.aa%40test.internal")).await;
    assert_eq!(mistyped.problem().field.as_deref(), Some("member"));
    assert!(mistyped.text().contains("there is no party nanoprobe.aa@test.internal"), "{}", mistyped.text());
    let alone = admin.get(&format!("{GROUPS}?left_out=true")).await;
    assert_eq!((alone.status, alone.problem().field.as_deref()), (400, Some("left_out")));
    let default = admin.get(&format!("{GROUPS}?left_out=false")).await;
    assert_eq!((default.status, default.json()["groups"].as_array().map(Vec::len)), (200, Some(4)));
}
