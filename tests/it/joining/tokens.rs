//! Join tokens: made, shown, revoked.

use std::os::unix::fs::PermissionsExt as _;

use keycell_protocol::{JoinToken, ProblemType};
use keycell_tests::admin::JOIN_TOKENS;
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;
use reqwest::Method;
use serde_json::{Value, json};

/// Makes one, and returns its id.
async fn made(admin: &Http, new: &Value) -> String {
    let made = admin.send(Method::POST, JOIN_TOKENS, new).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["info"]["id"].as_str().unwrap().to_owned()
}

async fn deleted(admin: &Http, path: &str) -> u16 {
    admin.send(Method::DELETE, path, &Value::Null).await.status
}

async fn state(admin: &Http, id: &str) -> Value {
    admin.get(&format!("{JOIN_TOKENS}/{id}")).await.json()["state"].clone()
}

#[tokio::test]
async fn a_join_token_is_shown_once_and_kept_without_its_secret() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let new = json!({ "service": "nanoprobe", "hosts": ["web*.example"], "networks": ["192.0.2.0/24"],
                      "uses": 5000, "ttl_seconds": 3600, "note": "Rack 12." });
    let key = [("idempotency-key", "k")];
    let created = admin.send_with(Method::POST, JOIN_TOKENS, &key, &new).await;
    assert_eq!(created.status, 201, "{}", created.text());
    let created = created.json();
    let text = created["token"].as_str().unwrap();
    let token: JoinToken = text.parse().unwrap();
    assert_eq!(created["info"]["id"], token.id().to_string());
    // A retry gets the same; another time, another one.
    let again = admin.send_with(Method::POST, JOIN_TOKENS, &key, &new).await;
    assert_eq!((again.header("idempotency-replayed"), again.json()), ("true", created.clone()));
    let other = admin.send(Method::POST, JOIN_TOKENS, &new).await.json();
    assert_ne!(other["token"], created["token"]);

    let view = admin.get(&format!("{JOIN_TOKENS}/{}", token.id())).await.json();
    assert_eq!(view, created["info"]);
    for (field, value) in new.as_object().unwrap().iter().filter(|(field, _)| *field != "ttl_seconds") {
        assert_eq!(&view[field], value, "{field}");
    }
    assert_eq!((&view["state"], &view["used"]), (&json!("live"), &json!(0)));
    let lasts = view["expires_at"].as_u64().unwrap() - view["created_at"].as_u64().unwrap();
    assert!((3_599_000..=3_600_000).contains(&lasts), "{lasts}");
    // The secret is nowhere but in the answer.
    let secret = &text[21..];
    assert_eq!(secret.len(), 43);
    let records = admin.records().await;
    let record = records.iter().find(|record| record["action"] == "join_token.create").unwrap();
    assert_eq!(
        (&record["detail"]["hosts"], &record["detail"]["uses"]),
        (&json!(["web*.example"]), &json!(5000))
    );
    assert!(!json!(records).to_string().contains(secret) && !kdc.log().contains(secret));
    for file in std::fs::read_dir(cell.folder().join("keycell")).unwrap() {
        let path = file.unwrap().path();
        let bytes = if path.is_file() { std::fs::read(&path).unwrap() } else { Vec::new() };
        assert!(!bytes.windows(43).any(|window| window == secret.as_bytes()), "{}", path.display());
    }
}

#[tokio::test]
async fn join_tokens_come_in_pages_and_by_what_became_of_them() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut ids = Vec::new();
    for n in 0..5 {
        let service = if n % 2 == 0 { "web" } else { "db" };
        ids.push(made(&admin, &json!({ "service": service, "hosts": ["*"] })).await);
    }
    assert_eq!(deleted(&admin, &format!("{JOIN_TOKENS}/{}", ids[2])).await, 204);
    let listed = async |query: &str| {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("{JOIN_TOKENS}?limit=2{query}{after}")).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            all.extend(page["join_tokens"].as_array().unwrap().iter().map(|token| token["id"].clone()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => return all,
            }
        }
    };
    let of = |picked: &[usize]| picked.iter().map(|n| json!(ids[*n])).collect::<Vec<_>>();
    let all = listed("").await;
    assert_eq!(all.len(), 5);
    let sorted = |mut ids: Vec<Value>| {
        ids.sort_by_key(ToString::to_string);
        ids
    };
    // Those of one millisecond are in the order of their ids.
    assert_eq!(sorted(listed("&state=revoked").await), of(&[2]));
    assert_eq!(sorted(listed("&state=live&service=web").await), sorted(of(&[0, 4])));
    assert_eq!(sorted(listed("&service=db").await), sorted(of(&[1, 3])));
    assert_eq!(listed("&state=used_up").await, of(&[]));
    let wrong = admin.get(&format!("{JOIN_TOKENS}?after=0000000000000000")).await;
    assert_eq!((wrong.status, wrong.problem().field.as_deref()), (400, Some("after")));
}

#[tokio::test]
async fn what_is_no_join_token_is_refused_by_its_name() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let good = json!({ "service": "web", "hosts": ["*"] });
    for (field, value) in [
        ("service", json!("#KDC")),
        ("service", json!("a.b")),
        ("hosts", json!([])),
        ("hosts", json!(["web["])),
        ("hosts", json!(["a", "a"])),
        ("networks", json!(["192.0.2.1/24"])),
        ("networks", json!(["x"])),
        ("uses", json!(0)),
        ("uses", json!(1_000_001)),
        ("uses", json!(null)),
        ("ttl_seconds", json!(59)),
        ("ttl_seconds", json!(31_622_401)),
        ("note", json!("\n")),
        ("token", json!("kcj_")),
    ] {
        let mut wrong = good.clone();
        wrong[field] = value.clone();
        let refused = admin.send(Method::POST, JOIN_TOKENS, &wrong).await;
        assert_eq!(refused.kind(), ProblemType::MalformedRequest, "{field} {value}");
        let at_fault = refused.problem().field.unwrap();
        assert_eq!(at_fault.split('[').next(), Some(field), "{field} {value}");
    }
    assert_eq!(admin.get(JOIN_TOKENS).await.json()["join_tokens"], json!([]));
}

#[tokio::test]
async fn a_revoked_join_token_stays_revoked() {
    let cell = Cell::postgres(&Postgres::shared());
    let (mut kdc, replica) = (cell.serve(), cell.replica());
    let (admin, there) = (cell.admin(&kdc), cell.admin(&replica));
    let id = made(&admin, &json!({ "service": "web", "hosts": ["*"], "uses": 9 })).await;
    let path = format!("{JOIN_TOKENS}/{id}");
    until("the replica has it", async || (there.get(&path).await.status == 200).then_some(())).await;
    // Twice at once, and again: one record.
    let (first, second) = tokio::join!(deleted(&admin, &path), deleted(&there, &path));
    assert_eq!((first, second), (204, 204));
    assert_eq!(deleted(&admin, &path).await, 204);
    let revoked =
        admin.records().await.iter().filter(|record| record["action"] == "join_token.revoke").count();
    assert_eq!(revoked, 1);
    until("the replica follows", async || (state(&there, &id).await == "revoked").then_some(())).await;
    kdc.kill9();
    let kdc = cell.serve();
    assert_eq!(state(&cell.admin(&kdc), &id).await, "revoked");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_was_set_back_gives_no_join_token_back() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let id = made(&admin, &json!({ "service": "web", "hosts": ["*"] })).await;
    assert_eq!(kdc.terminate(), Some(0));
    let database = cell.file("keycell.db");
    let before = std::fs::read(&database).unwrap();
    let mut kdc = cell.serve();
    assert_eq!(deleted(&cell.admin(&kdc), &format!("{JOIN_TOKENS}/{id}")).await, 204);
    assert_eq!(kdc.terminate(), Some(0));
    for rest in ["-wal", "-shm"] {
        let _ = std::fs::remove_file(cell.file(&format!("keycell.db{rest}")));
    }
    std::fs::write(&database, before).unwrap();
    let refused = cell.run(&["serve"]).failed();
    assert!(refused.contains(&format!("the join token {id} was revoked")), "{refused}");
    let kdc = cell.serve_told(&["--accept-rollback"]);
    let admin = cell.admin(&kdc);
    assert_eq!(state(&admin, &id).await, "revoked");
    let records = admin.records().await;
    let again = records.iter().find(|record| record["action"] == "join_token.revoke").unwrap();
    assert_eq!((&again["target"], &again["detail"]["restored"]), (&json!(id), &json!(true)));
}

#[test]
fn the_command_line_makes_lists_and_revokes() {
    let cell = Cell::sqlite();
    cell.run(&["token", "create"]).succeeded();
    let _kdc = cell.serve();
    let none = cell.run(&["join-token", "list"]).succeeded().stdout;
    assert!(none.starts_with("There is no join token;"), "{none}");
    let create = ["join-token", "create", "--service", "nanoprobe", "--hosts", "web*.example", "--uses", "2"];
    let printed = cell.run(&create).succeeded();
    let token: JoinToken = printed.stdout.trim_end().parse().unwrap();
    assert_eq!(printed.stderr, "");
    let id = token.id().to_string();

    let to_file =
        [&create[..], &["--output", "web.token", "--network", "192.0.2.0/24", "--note", "n"]].concat();
    let said = cell.run(&to_file).succeeded().stdout;
    let file = cell.folder().join("web.token");
    assert!(
        said.starts_with("A join token for 2 hosts of nanoprobe is in web.token, good until 20"),
        "{said}"
    );
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o7777, 0o600);
    let written = std::fs::read_to_string(&file).unwrap();
    written.trim_end().parse::<JoinToken>().unwrap();
    assert!(!said.contains(&written[21..]), "{said}");
    let taken = cell.run(&to_file).failed();
    assert!(taken.contains("web.token exists already; choose another with --output"), "{taken}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), written);

    let wide = ["join-token", "create", "--service", "web", "--hosts", "*", "--uses", "5000", "--json"];
    let warned = cell.run(&wide).succeeded();
    assert!(warned.stderr.contains("WARN any host from any network comes aboard"), "{}", warned.stderr);
    let made: Value = serde_json::from_str(&warned.stdout).unwrap();
    assert!(made["token"].is_string() && made["uses"] == 5000, "{made}");

    let shown = cell.run(&["join-token", "show", &id]).succeeded().stdout;
    assert!(shown.contains("used        0 of 2\n") && shown.contains("state       live, "), "{shown}");
    let revoked = cell.run(&["join-token", "revoke", &id]).succeeded().stdout;
    assert!(revoked.starts_with(&format!("Join token {id} is revoked")), "{revoked}");
    let list = cell.run(&["join-token", "list", "--state", "revoked"]).succeeded().stdout;
    assert!(list.starts_with("ID ") && list.contains(&id) && list.lines().count() == 2, "{list}");
    // Who gives the whole token in the place of its id is not quoted.
    let whole = cell.run(&["join-token", "revoke", printed.stdout.trim_end()]);
    assert!(whole.code != Some(0) && whole.stderr.contains("16 digits"), "{}", whole.stderr);
}
