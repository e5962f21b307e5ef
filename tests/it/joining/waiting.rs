//! Hosts that an administrator decides on.

use keycell_kdc::enrollment::WaitingRecord;
use keycell_protocol::{ProblemType, UnixMillis};
use keycell_tests::admin::{ENROLLMENT, ENROLLMENTS};
use keycell_tests::cell::Cell;
use keycell_tests::host::Host;
use keycell_tests::http::{Answer, Http, PARTIES, party_path};
use keycell_tests::postgres::Postgres;
use reqwest::Method;
use serde_json::{Value, json};

use super::scene::{enroll, keep, wait, waiting};

fn path(host: &Host) -> String {
    format!("{ENROLLMENTS}/{}", host.fingerprint())
}

async fn decide(admin: &Http, host: &Host, how: &str) -> Answer {
    admin.send(Method::POST, &format!("{}/{how}", path(host)), &Value::Null).await
}

#[tokio::test]
async fn a_host_is_approved_denied_and_forgotten() {
    for cell in [Cell::sqlite(), Cell::postgres(&Postgres::shared())] {
        let kdc = cell.serve();
        let admin = cell.admin(&kdc);
        let host = Host::new("nanoprobe", "web1.example");
        wait(&admin, &[&host]).await;
        let shown = admin.get(&path(&host)).await;
        assert_eq!(shown.status, 200, "{}", shown.text());
        let shown = shown.json();
        assert_eq!((&shown["state"], &shown["name"]), (&json!("waiting"), &json!(host.name())));
        assert_eq!((&shown["host"], &shown["address"]), (&json!("web1.example"), &json!("127.0.0.1")));

        assert_eq!(admin.send(Method::PATCH, ENROLLMENT, &json!({ "pending_days": 3 })).await.status, 200);
        let approved = decide(&admin, &host, "approve").await;
        assert_eq!(approved.status, 200, "{}", approved.text());
        let view = approved.json();
        assert_eq!(
            (&view["state"], &view["decided_by"]),
            (&json!("approved"), &json!("administrator:admin"))
        );
        // It has as long as hosts may wait from now on.
        let lasts = view["until"].as_u64().unwrap() - view["decided_at"].as_u64().unwrap();
        assert_eq!(lasts, 3 * 86_400_000);
        assert_eq!(approved.header("etag"), format!("\"{}\"", view["revision"]));
        assert_eq!(decide(&admin, &host, "approve").await.json(), view);

        let denied = decide(&admin, &host, "deny").await.json();
        assert_eq!((&denied["state"], &denied["until"]), (&json!("denied"), &Value::Null));
        assert!(denied["revision"].as_u64() > view["revision"].as_u64());
        assert_eq!(decide(&admin, &host, "deny").await.json(), denied);
        // Whoever thinks better of it.
        assert_eq!(decide(&admin, &host, "approve").await.json()["state"], "approved");

        assert_eq!(admin.send(Method::DELETE, &path(&host), &Value::Null).await.status, 204);
        assert_eq!(admin.send(Method::DELETE, &path(&host), &Value::Null).await.status, 404);
        assert_eq!(decide(&admin, &host, "approve").await.status, 404);
        let done: Vec<_> = admin.records().await;
        let fingerprint = json!(host.fingerprint());
        let done = done.iter().filter(|record| record["target"] == fingerprint);
        let done: Vec<_> = done
            .inspect(|record| assert_eq!(record["detail"]["name"], host.name(), "{record}"))
            .map(|record| record["action"].as_str().unwrap())
            .collect();
        let (approve, deny) = ("enrollment.approve", "enrollment.deny");
        assert_eq!(done, [approve, deny, approve, "enrollment.forget"]);
    }
}

#[tokio::test]
async fn one_that_never_came_can_be_denied_and_not_approved() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = Host::new("nanoprobe", "web1.example");
    let denied = decide(&admin, &host, "deny").await;
    assert_eq!(denied.status, 200, "{}", denied.text());
    let before = denied.json();
    assert_eq!((&before["state"], &before["name"]), (&json!("denied"), &Value::Null));
    let refused = decide(&admin, &host, "approve").await;
    assert_eq!(refused.status, 409);
    assert!(refused.text().contains("keycell enroll forget"), "{}", refused.text());
    assert_eq!(admin.get(&path(&host)).await.json(), before);
    // No revision means two things, also not after it was forgotten.
    assert_eq!(admin.send(Method::DELETE, &path(&host), &Value::Null).await.status, 204);
    let again = decide(&admin, &host, "deny").await.json();
    assert!(again["revision"].as_u64() > before["revision"].as_u64(), "{before} {again}");
    for wrong in ["x", &host.fingerprint().to_string().to_uppercase(), &"0".repeat(31)] {
        let refused = admin.get(&format!("{ENROLLMENTS}/{wrong}")).await;
        assert_eq!((refused.status, refused.problem().field.as_deref()), (400, Some("fingerprint")));
    }
}

#[tokio::test]
async fn nobody_is_approved_who_is_not_the_one_that_was_looked_at() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = Host::new("nanoprobe", "web1.example");
    wait(&admin, &[&host]).await;
    for how in ["approve", "deny"] {
        let seen = admin.get(&path(&host)).await.header("etag").to_owned();
        let (at, stale) = (format!("{}/{how}", path(&host)), [("if-match", "\"77\"")]);
        assert_eq!(admin.send_with(Method::POST, &at, &stale, &Value::Null).await.status, 412);
        let right = [("if-match", &*seen)];
        assert_eq!(admin.send_with(Method::POST, &at, &right, &Value::Null).await.status, 200);
    }
    // Two at once: the second finds what the first has done.
    let other = Host::new("nanoprobe", "web2.example");
    wait(&admin, &[&other]).await;
    let (first, second) = tokio::join!(decide(&admin, &other, "approve"), decide(&admin, &other, "approve"));
    assert_eq!((first.status, first.json()), (200, second.json()));
}

#[tokio::test]
async fn hosts_come_in_pages_and_by_filters() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let hosts: Vec<_> = (0..7)
        .map(|n| Host::new(if n % 2 == 0 { "nanoprobe" } else { "cma" }, &format!("web{n}.example")))
        .collect();
    wait(&admin, &hosts.iter().collect::<Vec<_>>()).await;
    assert_eq!(decide(&admin, &hosts[0], "deny").await.status, 200);
    let listed = async |query: &str| {
        let (mut all, mut after) = (Vec::new(), String::new());
        loop {
            let page = admin.get(&format!("{ENROLLMENTS}?limit=2{query}{after}")).await;
            assert_eq!(page.status, 200, "{}", page.text());
            let page = page.json();
            all.extend(page["enrollments"].as_array().unwrap().iter().map(|host| host["host"].clone()));
            match page["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => {
                    all.sort_by_key(ToString::to_string);
                    return all;
                }
            }
        }
    };
    let of = |picked: &[usize]| picked.iter().map(|n| json!(hosts[*n].host)).collect::<Vec<_>>();
    assert_eq!(listed("").await, of(&[0, 1, 2, 3, 4, 5, 6]));
    assert_eq!(listed("&state=waiting").await, of(&[1, 2, 3, 4, 5, 6]));
    assert_eq!(listed("&state=denied").await, of(&[0]));
    assert_eq!(listed("&state=waiting&service=nanoprobe").await, of(&[2, 4, 6]));
    assert_eq!(listed("&host=web[0-2].*").await, of(&[0, 1, 2]));
    assert_eq!(listed("&service=cma&host=web3.example").await, of(&[3]));
}

#[tokio::test]
async fn more_than_a_page_of_the_database_is_found_and_what_is_over_is_not() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let hosts: Vec<_> = (0..1200).map(|n| Host::new("nanoprobe", &format!("web{n}.example"))).collect();
    let record = |(n, host)| {
        let over = WaitingRecord { until: Some(UnixMillis(1)), ..waiting(host) };
        (host, if n % 4 == 0 { over } else { waiting(host) })
    };
    keep(&cell, &hosts.iter().enumerate().map(record).collect::<Vec<_>>()).await;
    let page = admin.get(&format!("{ENROLLMENTS}?limit=1000&state=waiting")).await.json();
    assert_eq!((page["enrollments"].as_array().unwrap().len(), &page["next"]), (900, &Value::Null));
    assert_eq!(admin.get(&path(&hosts[0])).await.status, 404);
    assert_eq!(decide(&admin, &hosts[0], "approve").await.status, 404);
    assert_eq!(decide(&admin, &hosts[1], "approve").await.status, 200);
    // Denying one whose time is over is denying a stranger.
    assert_eq!(decide(&admin, &hosts[0], "deny").await.json()["name"], Value::Null);
    let status = admin.get("/v1/admin/status").await.json();
    assert_eq!(status["enrollment"]["waiting"], 899, "{status}");
}

#[tokio::test]
async fn a_contested_host_is_shown_beside_the_others_of_its_name() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (known, tenant) = (Host::new("nanoprobe", "web1.example"), Host::new("nanoprobe", "web1.example"));
    let (new, elsewhere) = (Host::new("nanoprobe", "web1.example"), Host::new("nanoprobe", "web10.example"));
    enroll(&admin, &[&known, &tenant, &elsewhere]).await;
    wait(&admin, &[&new]).await;
    let mut expected = [known.name(), tenant.name()];
    expected.sort();
    assert_eq!(admin.get(&path(&new)).await.json()["others"], json!(expected));
}

#[tokio::test]
async fn parties_that_came_aboard_are_found_and_shown() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = Host::new("nanoprobe", "web1.example");
    admin.add("made.by-hand@test.internal").await;
    enroll(&admin, &[&host]).await;
    let names = async |query: &str| {
        let page = admin.get(&format!("{PARTIES}?{query}")).await.json();
        page["parties"].as_array().unwrap().iter().map(|party| party["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(names("enrolled=true").await, [host.name()]);
    assert_eq!(names("enrolled=false").await, ["made.by-hand@test.internal"]);
    assert_eq!(names("host=web*").await, [host.name()]);
    assert_eq!(names("host=db*").await, [""; 0]);
    // It has asked for nothing yet, and is there all the same.
    let at = admin.get(&party_path(&host.name())).await.json()["enrollment"]["renewed_at"].as_u64().unwrap();
    assert_eq!(names(&format!("seen_since={at}")).await, [host.name()]);
    assert_eq!(names(&format!("seen_before={at}")).await, ["made.by-hand@test.internal"]);
    assert_eq!(names(&format!("seen_before={}&enrolled=true", at + 1)).await, [host.name()]);
    let shown = admin.get(&party_path(&host.name())).await.json()["enrollment"].clone();
    assert_eq!(
        (&shown["host"], &shown["fingerprint"], &shown["admission"], &shown["address"]),
        (&json!("web1.example"), &json!(host.fingerprint()), &json!("tofu"), &json!("127.0.0.1"))
    );
    assert_eq!(admin.get(&party_path("made.by-hand@test.internal")).await.json()["enrollment"], Value::Null);
    let text = cell.run(&["party", "show", &host.name()]).succeeded().stdout;
    assert!(
        text.contains("as the first that came\n") && text.contains(&host.fingerprint().to_string()),
        "{text}"
    );
    let text = cell.run(&["party", "list", "--enrolled", "--host", "web1.*"]).succeeded().stdout;
    assert_eq!(text.lines().count(), 2, "{text}");
}

#[tokio::test]
async fn the_key_of_a_party_that_is_deleted_is_denied_unless_it_is_forgotten() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (gone, back) = (Host::new("nanoprobe", "web1.example"), Host::new("nanoprobe", "web2.example"));
    for host in [&gone, &back] {
        enroll(&admin, &[host]).await;
        // Somebody approved it before, and that was never used.
        keep(&cell, &[(host, waiting(host))]).await;
        assert_eq!(decide(&admin, host, "approve").await.status, 200);
    }
    assert_eq!(admin.delete(&gone.name()).await.status, 204);
    let denied = admin.get(&path(&gone)).await.json();
    assert_eq!((&denied["state"], &denied["name"]), (&json!("denied"), &json!(gone.name())));
    assert_eq!((&denied["note"], &denied["until"]), (&json!("the party was deleted"), &Value::Null));
    let records = admin.records().await;
    let request = |action: &str| {
        let record = records.iter().rev().find(|record| record["action"] == action).unwrap();
        record["request"].clone()
    };
    assert_eq!(request("enrollment.deny"), request("party.delete"));

    let forget = format!("{}?forget=true", party_path(&back.name()));
    assert_eq!(admin.send(Method::DELETE, &forget, &Value::Null).await.status, 204);
    assert_eq!(admin.get(&path(&back)).await.json()["state"], "approved");
    let wrong = format!("{}?forgot=true", party_path(&back.name()));
    assert_eq!(admin.send(Method::DELETE, &wrong, &Value::Null).await.kind(), ProblemType::MalformedRequest);
}

/// After a token was stolen, a fleet was taken down, or containers came and went.
#[tokio::test]
async fn many_that_came_aboard_are_deleted_at_once() {
    let cell = Cell::sqlite();
    cell.run(&["token", "create"]).succeeded();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let tokens = [cell.join_token(9).await, cell.join_token(9).await];
    admin.add("nanoprobe.by-hand@test.internal").await;
    let hosts: Vec<_> = (0..5)
        .map(|n| {
            let host = Host::new("nanoprobe", &format!("web{n}.example"));
            if n < 4 { host.with(&tokens[n % 2]) } else { host }
        })
        .collect();
    enroll(&admin, &hosts.iter().collect::<Vec<_>>()).await;
    let names = |picked: &[usize]| {
        let mut names: Vec<_> = picked.iter().map(|n| hosts[*n].name()).collect();
        names.sort();
        names
    };
    let [one, other] = tokens.map(|token| token.id().to_string());
    let listed = |filters: &[&str]| {
        let listed = cell.run(&[&["--json", "party", "list"], filters].concat()).succeeded().stdout;
        let listed: Value = serde_json::from_str(&listed).unwrap();
        let names = listed["parties"].as_array().unwrap().iter().map(|party| party["name"].clone());
        names.map(|name| name.as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(listed(&["--join-token", &one]), names(&[0, 2]));
    assert_eq!(listed(&["--join-token", &other, "--host", "web3.*"]), names(&[3]));
    assert_eq!(listed(&["--join-token", &"0".repeat(16)]), [""; 0]);
    let wrong = admin.get(&format!("{PARTIES}?join_token=x")).await;
    assert_eq!((wrong.status, wrong.problem().field.as_deref()), (400, Some("join_token")));

    let all = |filters: &[&str]| cell.run(&[&["party", "delete", "--all"], filters].concat());
    // Only those that it is shown for, and never all.
    for (arguments, said) in [
        (&[][..], "--all takes a filter"),
        (&["--join-token", &one], "2 parties would be deleted"),
        (&["--join-token", &one, "--if-revision", "1", "--yes"], "--if-revision goes with a name"),
    ] {
        let refused = all(arguments).failed();
        assert!(refused.contains(said), "{arguments:?}: {refused}");
    }
    let refused = cell.run(&["party", "delete", &hosts[0].name(), "--state", "enabled"]).failed();
    assert!(refused.contains("filters go with --all"), "{refused}");
    assert_eq!(cell.run(&["party", "delete", &hosts[0].name(), "--all"]).code, Some(2));
    let shown = all(&["--join-token", &one, "--dry-run"]).succeeded().stdout;
    assert!(names(&[0, 2]).iter().all(|name| shown.contains(name)) && shown.lines().count() == 3, "{shown}");
    assert_eq!(listed(&["--enrolled"]).len(), 5);

    assert_eq!(all(&["--join-token", &one, "--yes"]).succeeded().stdout, "2 parties are deleted.\n");
    assert_eq!(listed(&["--enrolled"]), names(&[1, 3, 4]));
    assert_eq!(admin.get(&path(&hosts[0])).await.json()["state"], "denied");
    // Seen a moment ago, and who was made by hand is none of them.
    assert_eq!(all(&["--seen-before", "1h", "--yes"]).succeeded().stdout, "0 parties are deleted.\n");
    let told = all(&["--service", "nanoprobe", "--forget", "--yes", "--json"]).succeeded().stdout;
    let told: Value = serde_json::from_str(&told).unwrap();
    assert_eq!(told, json!({ "deleted": names(&[1, 3, 4]), "left": [] }));
    assert_eq!(admin.get(&path(&hosts[1])).await.status, 404);
    assert_eq!(listed(&[]), ["nanoprobe.by-hand@test.internal"]);
}

/// Who copied the host's folder would come back with it: nobody is told to enable such a party and to go on.
#[tokio::test]
async fn the_keys_of_an_enrolled_party_are_not_replaced_by_hand() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let host = Host::new("nanoprobe", "web1.example");
    admin.add("made.by-hand@test.internal").await;
    enroll(&admin, &[&host]).await;
    let said = |command: &[&str]| cell.run(command).succeeded().stdout;
    for (name, delete) in [(host.name(), true), ("made.by-hand@test.internal".to_owned(), false)] {
        let texts = [said(&["party", "disable", &name, "--now"]), said(&["party", "enable", &name])];
        for text in texts {
            assert_eq!(text.contains(&format!("`keycell party delete {name}`")), delete, "{text}");
            assert_eq!(
                text.contains(&format!("`keycell key rotate {name} --key-file FILE`")),
                !delete,
                "{text}"
            );
        }
    }
}

#[tokio::test]
async fn the_command_line_decides() {
    let cell = Cell::sqlite();
    cell.run(&["token", "create"]).succeeded();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let none = cell.run(&["enroll", "pending"]).succeeded().stdout;
    assert_eq!(none, "No such host is waiting.\n");
    let hosts: Vec<_> = (0..4).map(|n| Host::new("nanoprobe", &format!("web{n}.example"))).collect();
    wait(&admin, &hosts.iter().collect::<Vec<_>>()).await;
    let listed =
        cell.run(&["enroll", "pending", "--hosts", "web*", "--service", "nanoprobe"]).succeeded().stdout;
    for host in &hosts {
        assert!(listed.contains(&host.fingerprint().to_string()), "{listed}");
    }
    let fingerprint = |n: usize| hosts[n].fingerprint().to_string();
    let shown = cell.run(&["enroll", "show", &fingerprint(0)]).succeeded().stdout;
    assert!(shown.contains("state        waiting for approval\n"), "{shown}");
    let approved = cell.run(&["enroll", "approve", &fingerprint(0)]).succeeded().stdout;
    assert!(approved.starts_with(&format!("{} is approved", hosts[0].name())), "{approved}");
    let denied = cell.run(&["enroll", "deny", &fingerprint(1)]).succeeded().stdout;
    assert!(denied.starts_with(&format!("{} is denied", hosts[1].name())), "{denied}");
    // Many at once only when they were looked at.
    let all = ["enroll", "approve", "--all", "--hosts", "web*"];
    let refused = cell.run(&all).failed();
    assert!(refused.contains("2 hosts would be approved") && refused.contains("--yes"), "{refused}");
    let done = cell.run(&[&all[..], &["--yes"]].concat()).succeeded().stdout;
    assert_eq!(done.lines().count(), 2, "{done}");
    assert_eq!(cell.run(&["enroll", "pending"]).succeeded().stdout, "No such host is waiting.\n");
    let forgotten = cell.run(&["enroll", "forget", &fingerprint(1)]).succeeded().stdout;
    assert!(forgotten.contains("it is a stranger"), "{forgotten}");
    let gone = cell.run(&["enroll", "show", &fingerprint(1)]).failed();
    assert!(gone.contains("there is no host that waits with the fingerprint"), "{gone}");
    for (arguments, said) in [
        (&["enroll", "approve"][..], "required"),
        (&["enroll", "approve", "abc"], "invalid value"),
        (&["enroll", "approve", "--all", &fingerprint(2)], "cannot be used with"),
        (&["enroll", "approve", &fingerprint(2), "--yes"], "go with --all"),
    ] {
        let refused = cell.run(arguments);
        assert!(
            refused.code != Some(0) && refused.stderr.contains(said),
            "{arguments:?}: {}",
            refused.stderr
        );
    }
}
