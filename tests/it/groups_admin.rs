//! Groups, as administrators make and change them; what their keys open is for other tests.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

#[path = "groups_admin/chains.rs"]
mod chains;
#[path = "groups_admin/members.rs"]
mod members;
#[path = "groups_admin/names.rs"]
mod names;

use keycell_tests::admin::group_path;
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use reqwest::Method;
use serde_json::{Value, json};
use sqlx::{Connection as _, SqliteConnection};

/// The group that most tests are about.
const GROUP: &str = "nanoprobe@test.internal";

async fn create(admin: &Http, body: &Value) -> Value {
    let answer = admin.send(Method::POST, keycell_tests::admin::GROUPS, body).await;
    assert_eq!(answer.status, 201, "{}", answer.text());
    assert_eq!(answer.header("etag"), format!("\"{}\"", answer.json()["revision"]));
    answer.json()
}

async fn show(admin: &Http) -> Value {
    let answer = admin.get(&group_path(GROUP)).await;
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()
}

async fn patch(admin: &Http, body: Value) -> Value {
    let answer = admin.send(Method::PATCH, &group_path(GROUP), &body).await;
    assert_eq!(answer.status, 200, "{body}: {}", answer.text());
    answer.json()
}

/// Takes a party out, or lets it back in.
async fn excluded(admin: &Http, method: Method, party: &str) -> Answer {
    let path = format!("{}/excluded/{party}%40test.internal", group_path(GROUP));
    Answer::of(admin.request(method, &path)).await
}

async fn delete(admin: &Http) -> u16 {
    Answer::of(admin.request(Method::DELETE, &group_path(GROUP))).await.status
}

/// Members as `name` and, where one is left out, `name reason`; and what comes after.
async fn members(admin: &Http, query: &str) -> (Vec<String>, Value) {
    let page = admin.get(&format!("{}/members{query}", group_path(GROUP))).await;
    assert_eq!(page.status, 200, "{}", page.text());
    let page = page.json();
    let told = |member: &Value| {
        let name = member["name"].as_str().unwrap().trim_end_matches("@test.internal").to_owned();
        member["left_out"].as_str().map_or(name.clone(), |reason| format!("{name} {reason}"))
    };
    let told = page["members"].as_array().unwrap().iter().map(told).collect();
    (told, json!([page["total"], page["next"]]))
}

/// The rows of a cell's database, past Keycell.
async fn rows(cell: &Cell) -> SqliteConnection {
    let url = format!("sqlite:{}", cell.file("keycell.db").display());
    SqliteConnection::connect(&url).await.unwrap()
}
