//! A name is either a party's or a group's.

use keycell_protocol::ProblemType;
use keycell_tests::admin::{GROUPS, group_path};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

use crate::{GROUP, create, delete, rows};

#[tokio::test]
async fn what_is_no_group_is_refused_with_what_to_do() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let patterns = |patterns: Value| json!({ "name": GROUP, "members": patterns });
    let many: Vec<_> = (0..33).map(|n| format!("p{n}.*")).collect();
    for (body, field, hint) in [
        (json!({ "name": "nanoprobe.x@test.internal" }), "name", "no dot"),
        (json!({ "name": "#nanoprobe@test.internal" }), "name", "Keycell's own"),
        (json!({ "name": "nanoprobe@elsewhere.example" }), "name", "another zone"),
        (json!({ "name": GROUP, "lifetime_seconds": 59 }), "lifetime_seconds", "60 to 86400"),
        (json!({ "name": GROUP, "note": "two\nlines" }), "note", "one line"),
        (json!({ "name": GROUP, "members": null }), "members", "null"),
        (patterns(json!([])), "members", "1 to 32"),
        (patterns(json!(many)), "members", "1 to 32"),
        (patterns(json!(["a", "*@elsewhere.example"])), "members[1]", "of this zone"),
        (patterns(json!(["*@*"])), "members[0]", "of this zone"),
        (patterns(json!(["a["])), "members[0]", "between [ and ]"),
    ] {
        let refused = admin.send(Method::POST, GROUPS, &body).await;
        let problem = refused.problem();
        assert_eq!(
            (problem.kind, problem.field.as_deref()),
            (ProblemType::MalformedRequest, Some(field)),
            "{body}"
        );
        assert!(refused.text().contains(hint), "{body}: {}", refused.text());
    }
    assert_eq!(admin.get(GROUPS).await.json()["groups"], json!([]));
    // By these words the command knows a KDC that does not know its question.
    let refused = admin.get(&format!("{GROUPS}?colour=blue")).await;
    let problem = refused.problem();
    assert_eq!((problem.kind, problem.field.as_deref()), (ProblemType::MalformedRequest, Some("colour")));
    assert!(refused.text().contains("unknown field `colour`"), "{}", refused.text());

    // Pages are in the order of whole names.
    for name in ["b", "a", "a-c"] {
        create(&admin, &json!({ "name": format!("{name}@test.internal") })).await;
    }
    let mut seen = Vec::new();
    let mut path = format!("{GROUPS}?limit=1");
    loop {
        let page = admin.get(&path).await.json();
        seen.extend(page["groups"].as_array().unwrap().iter().map(|group| group["name"].clone()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("{GROUPS}?limit=1&after={}", next.replace('@', "%40"));
    }
    assert_eq!(json!(seen), json!(["a-c@test.internal", "a@test.internal", "b@test.internal"]));
    assert_eq!(admin.get("/v1/admin/status").await.json()["groups"], 3);
}

#[tokio::test]
async fn a_zone_has_so_many_groups_and_no_more() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    // Rows that hold nothing take up room too: whoever deletes them has it back.
    let fill = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 4095)
        INSERT INTO document (kind, id, revision, body, master_version, sealed)
        SELECT 'group', 'g' || i, 1, '{}', 1, x'00' FROM n";
    sqlx::raw_sql(fill).execute(&mut rows(&cell).await).await.unwrap();
    create(&admin, &json!({ "name": GROUP })).await;
    let refused = admin.send(Method::POST, GROUPS, &json!({ "name": "more@test.internal" })).await;
    assert_eq!(refused.kind(), ProblemType::Conflict);
    assert!(refused.text().contains("4096 groups, which is the most"), "{}", refused.text());
    let spoilt = Answer::of(admin.request(Method::DELETE, &group_path("g1@test.internal"))).await;
    assert_eq!(spoilt.status, 204, "{}", spoilt.text());
    create(&admin, &json!({ "name": "more@test.internal" })).await;
}

#[tokio::test]
async fn a_partys_name_is_no_groups() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    admin.add(GROUP).await;
    let refused = admin.send(Method::POST, GROUPS, &json!({ "name": GROUP })).await;
    assert_eq!(refused.kind(), ProblemType::Conflict);
    assert!(refused.text().contains("choose another, or delete the party"), "{}", refused.text());
    assert_eq!(admin.delete(GROUP).await.status, 204);
    create(&admin, &json!({ "name": GROUP })).await;
    let twice = admin.send(Method::POST, GROUPS, &json!({ "name": GROUP })).await;
    assert_eq!(twice.kind(), ProblemType::AlreadyExists);
    assert_eq!(admin.get(&party_path(GROUP)).await.status, 404);
}

#[tokio::test]
async fn the_policy_tells_of_groups() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    create(&admin, &json!({ "name": GROUP, "lifetime_seconds": 60 })).await;
    let test = async |source: &str, destination: &str| {
        let body = json!({ "source": source, "destination": destination });
        admin.send(Method::POST, "/v1/admin/policy/test", &body).await.json()
    };
    let told = test("cma.one", "nanoprobe").await;
    assert_eq!((&told["decision"], &told["lifetime_seconds"]), (&json!("allow"), &json!(60)));
    assert!(told["why"].as_str().unwrap().ends_with("the lifetime of the group cuts that to 60 s"), "{told}");
    let told = test("nanoprobe", "cma.one").await;
    assert!(told["why"].as_str().unwrap().contains("only parties ask for tickets"), "{told}");
    assert_eq!(test("cma.one", "nanoprobe.a").await["lifetime_seconds"], 900);

    let rule = json!({ "id": "narrow", "effect": "deny", "source": "web.*", "destination": "nano*" });
    assert_eq!(admin.send(Method::POST, "/v1/admin/policy/rules", &rule).await.status, 201);
    let rules = async |name: &str| {
        let page =
            admin.get(&format!("/v1/admin/policy/rules?destination={name}%40test.internal")).await.json();
        page["rules"].as_array().unwrap().iter().map(|rule| rule["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(
        (rules("nanoprobe").await, rules("cma.one").await),
        (vec![json!("narrow"), json!("open")], vec![json!("open")])
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn of_a_party_and_a_group_of_one_name_one_is_made() {
    let cell = Cell::postgres(&Postgres::shared());
    let (kdc, replica) = (cell.serve(), cell.replica());
    let token = cell.token("admin");
    let (a, b) = (kdc.http().with_token(&token), replica.http().with_token(&token));
    let (mut parties, mut groups) = (0, 0);
    for round in 0..12 {
        let name = format!("name{round}@test.internal");
        let body = json!({ "name": name });
        let (one, other) = if round % 2 == 0 { (&a, &b) } else { (&b, &a) };
        let (party, group) =
            tokio::join!(one.send(Method::POST, PARTIES, &body), other.send(Method::POST, GROUPS, &body));
        let mut statuses = [party.status, group.status];
        statuses.sort_unstable();
        assert_eq!(statuses, [201, 409], "{} {}", party.text(), group.text());
        parties += u32::from(party.status == 201);
        groups += u32::from(group.status == 201);
        // Whichever it is, the other KDC takes no other.
        for admin in [&a, &b] {
            for path in [PARTIES, GROUPS] {
                assert_eq!(admin.send(Method::POST, path, &body).await.status, 409, "{path}");
            }
        }
    }
    assert_eq!(parties + groups, 12);
    deleted_and_given_again(&a, &b).await;
}

/// A name that is deleted can be given to the other kind, at the other KDC.
async fn deleted_and_given_again(a: &Http, b: &Http) {
    create(a, &json!({ "name": GROUP })).await;
    assert_eq!(delete(b).await, 204);
    b.add(GROUP).await;
    until("the other KDC hears of it", async || {
        (a.get(&group_path(GROUP)).await.status == 404).then_some(())
    })
    .await;
    assert_eq!(a.delete(GROUP).await.status, 204);
    create(b, &json!({ "name": GROUP })).await;
}
