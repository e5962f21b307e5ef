//! Databases of earlier releases are brought to this one's schema.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "admin_upgrade/past.rs"]
mod past;

use keycell_protocol::ProblemType;
use keycell_tests::admin::{LIMITS, POLICY, RULES, TOKENS, ZONE};
use keycell_tests::cell::{Cell, Ended, ended};
use keycell_tests::http::party_path;
use keycell_tests::party::Party;
use keycell_tests::schema::Raw;
use past::set_back;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_from_before_there_was_a_policy_is_migrated() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let mut parties: Vec<Party> = Vec::new();
    for name in ["a@test.internal", "b@test.internal", "off@test.internal"] {
        parties.push(admin.add(name).await);
    }
    assert_eq!(admin.set_enabled("off@test.internal", false).await.status, 200);
    admin.add("gone@test.internal").await;
    assert_eq!(admin.delete("gone@test.internal").await.status, 204);
    assert_eq!(kdc.terminate(), Some(0));
    set_back(&cell, 1).await;

    for command in [&["serve"][..], &["check-config"], &["token", "create"]] {
        let refused = cell.run(command);
        assert_eq!(refused.code, Some(1), "{command:?}");
        assert!(refused.stderr.contains("keycell migrate"), "{command:?}: {}", refused.stderr);
    }
    let migrated = migrated_at_once(&cell, 4);
    let first =
        migrated.iter().filter(|ended| ended.stdout.contains("of schema 1 and is of schema 6")).count();
    assert_eq!(first, 1, "{migrated:?}");
    let again = cell.run(&["migrate"]).succeeded();
    assert!(again.stdout.contains("nothing was changed"), "{}", again.stdout);

    let kdc = cell.serve();
    let (admin, http) = (cell.admin(&kdc), kdc.http());
    assert_eq!(parties[0].refusal(&http, "b@test.internal").await, None);
    assert_eq!(parties[1].refusal(&http, "a@test.internal").await, None);
    assert_eq!(parties[0].refusal(&http, "off@test.internal").await, Some(ProblemType::DestinationDisabled));
    assert_eq!(
        parties[2].ask(&http, &["a@test.internal"]).await.unwrap_err().kind(),
        ProblemType::PartyDisabled
    );
    let records = admin.records().await;
    let actions: Vec<_> = records.iter().map(|record| record["action"].as_str().unwrap()).collect();
    assert_eq!(actions[..2], ["zone.migrate", "rule.create"], "{actions:?}");
    assert_eq!(actions.iter().filter(|action| **action == "zone.migrate").count(), 1);
    admin.assert_intact().await;

    // What was there can be administered, and a name goes on counting.
    let path = party_path("a@test.internal");
    assert_eq!(admin.get(&path).await.json()["note"], "");
    assert_eq!(admin.set_enabled("off@test.internal", true).await.status, 200);
    assert_eq!(parties[2].refusal(&http, "a@test.internal").await, None);
    let anew = admin.add("gone@test.internal").await;
    assert_eq!(anew.key.generation().0, 2);
    assert_eq!(anew.refusal(&http, "a@test.internal").await, None);
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_of_the_release_before_is_migrated() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let mut parties: Vec<Party> = Vec::new();
    for name in ["a@test.internal", "b@test.internal", "off@test.internal", "gone@test.internal"] {
        parties.push(admin.add(name).await);
    }
    assert_eq!(admin.set_enabled("off@test.internal", false).await.status, 200);
    assert_eq!(admin.delete("gone@test.internal").await.status, 204);
    let rule = json!({ "id": "no-b-to-a", "effect": "deny", "source": "b", "destination": "a" });
    assert_eq!(admin.send(Method::POST, RULES, &rule).await.status, 201);
    let revoked = json!({ "subject": "bob", "role": "operator" });
    let revoked = admin.send(Method::POST, TOKENS, &revoked).await.json();
    let path = format!("{TOKENS}/{}", revoked["info"]["id"].as_str().unwrap());
    assert_eq!(admin.send(Method::DELETE, &path, &Value::Null).await.status, 204);
    let settings = json!({ "audit_retention_days": 90 });
    assert_eq!(admin.send(Method::PATCH, ZONE, &settings).await.status, 200);
    let etag = admin.get(&party_path("a@test.internal")).await.header("etag").to_owned();
    let everything = async |admin: &keycell_tests::http::Http| {
        let mut seen = Vec::new();
        for path in [POLICY, ZONE, LIMITS] {
            seen.push(admin.get(path).await.json());
        }
        (seen, admin.records().await)
    };
    let before = everything(&admin).await;
    assert_eq!(kdc.terminate(), Some(0));
    set_back(&cell, 2).await;

    let refused = cell.run(&["serve"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    assert!(refused.stderr.contains("schema 2 and this keycell needs 6"), "{}", refused.stderr);
    let migrated = cell.run(&["migrate"]).succeeded();
    assert!(migrated.stdout.contains("of schema 2 and is of schema 6"), "{}", migrated.stdout);
    let again = cell.run(&["migrate"]).succeeded();
    assert!(again.stdout.contains("nothing was changed"), "{}", again.stdout);

    let kdc = cell.serve();
    let (admin, http) = (kdc.http().with_token(&token), kdc.http());
    let after = everything(&admin).await;
    assert_eq!(after.0, before.0, "the policy and the settings stay");
    assert_eq!(after.1[..before.1.len()], before.1, "the log goes on, and nothing begins anew");
    assert!(after.1.iter().all(|record| record["action"] != "zone.migrate"));
    admin.assert_intact().await;
    assert_eq!(admin.get(&party_path("a@test.internal")).await.header("etag"), etag);
    let bob = kdc.http().with_token(revoked["token"].as_str().unwrap());
    assert_eq!(bob.get(ZONE).await.status, 401, "what was revoked stays so");

    assert_eq!(parties[0].refusal(&http, "b@test.internal").await, None);
    assert_eq!(parties[1].refusal(&http, "a@test.internal").await, Some(ProblemType::NotAllowed));
    assert_eq!(parties[0].refusal(&http, "off@test.internal").await, Some(ProblemType::DestinationDisabled));
    assert_eq!(admin.add("gone@test.internal").await.key.generation().0, 2);
    admin.assert_intact().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn migrating_a_damaged_log_begins_nothing_anew() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let token = cell.token("admin");
    let admin = kdc.http().with_token(&token);
    let none = json!({ "rules": [] });
    assert_eq!(admin.send(Method::PUT, POLICY, &none).await.status, 200);
    assert_eq!(kdc.terminate(), Some(0));
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    let mut database = Raw::open(&url).await;
    database.run("DELETE FROM audit_seal WHERE kind = 'head'").await;
    database.close().await;
    let refused = cell.run(&["migrate"]);
    assert_eq!(refused.code, Some(1), "{}", refused.stdout);
    // Nor does it serve, as long as it remembers how far the log went.
    let refused = cell.run(&["check-config"]).failed();
    assert!(refused.contains("--accept-rollback"), "{refused}");
    std::fs::remove_file(cell.file("revocations")).unwrap();
    let kdc = cell.serve();
    let admin = kdc.http().with_token(&token);
    assert_eq!(admin.get(POLICY).await.json()["rules"], json!([]), "the policy stays closed");
}

/// Runs `keycell migrate` several times at once; all of them must do well.
fn migrated_at_once(cell: &Cell, times: usize) -> Vec<Ended> {
    let commands = (0..times).map(|_| cell.command());
    let running: Vec<_> = commands
        .map(|mut command| std::thread::spawn(move || ended(command.arg("migrate")).succeeded()))
        .collect();
    running.into_iter().map(|one| one.join().unwrap()).collect()
}
