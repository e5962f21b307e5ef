//! Who is a member, and who is taken out.

use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
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

    for _ in 0..2 {
        assert_eq!(excluded(&admin, Method::DELETE, "nanoprobe.a").await.status, 204);
        assert_eq!(members(&admin, "").await.0, ["nanoprobe.a"]);
    }
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
