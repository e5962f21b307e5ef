//! Reading parties. Lists of names go in as JSON: they hold nothing that it would have to escape.

use std::collections::HashMap;

use keycell_protocol::Name;
use sqlx::SqliteConnection;

use crate::store::rows::{self, Finding};
use crate::store::{Changes, Earlier, PartyRecord, Snapshot, StoreError, sql};

pub(super) async fn some_parties(
    connection: &mut SqliteConnection,
    names: &[Name],
) -> Result<Vec<PartyRecord>, StoreError> {
    let names = list(names.iter().map(Name::as_str));
    let parties =
        sqlx::query_as(sql::parties!("WHERE name IN (SELECT value FROM json_each($1)) ORDER BY name"))
            .bind(&names)
            .fetch_all(&mut *connection)
            .await?;
    let keys = sqlx::query_as(sql::keys!(
        "WHERE k.party IN (SELECT value FROM json_each($1)) ORDER BY k.party, k.generation"
    ))
    .bind(&names)
    .fetch_all(connection)
    .await?;
    rows::parties(parties, keys)
}

pub(super) async fn parties(connection: &mut SqliteConnection) -> Result<Snapshot, StoreError> {
    let change = sqlx::query_scalar(sql::LAST_CHANGE).fetch_one(&mut *connection).await?;
    let parties = sqlx::query(sql::PARTIES).fetch_all(&mut *connection).await?;
    let keys = sqlx::query(sql::KEYS).fetch_all(connection).await?;
    rows::snapshot(change, rows::read("party", &parties), rows::read("party_key", &keys))
}

pub(super) async fn changes_since(
    connection: &mut SqliteConnection,
    since: i64,
) -> Result<Changes, StoreError> {
    let last = sqlx::query_scalar(sql::LAST_CHANGE).fetch_one(&mut *connection).await?;
    let parties = sqlx::query(sql::PARTIES_SINCE).bind(since).fetch_all(&mut *connection).await?;
    let keys = sqlx::query(sql::KEYS_SINCE).bind(since).fetch_all(&mut *connection).await?;
    let tombstones = sqlx::query(sql::TOMBSTONES_SINCE).bind(since).fetch_all(&mut *connection).await?;
    let kinds: Vec<String> =
        sqlx::query_scalar(sql::DOCUMENT_CHANGES_SINCE).bind(since).fetch_all(connection).await?;
    rows::changes(
        last,
        rows::read("party", &parties),
        rows::read("party_key", &keys),
        rows::read("tombstone", &tombstones),
        &kinds,
    )
}

pub(super) async fn earlier(
    connection: &mut SqliteConnection,
    names: &[Name],
) -> Result<HashMap<Name, Earlier>, StoreError> {
    let rows = sqlx::query_as(
        "WITH names (name) AS MATERIALIZED (SELECT value FROM json_each($1))
         SELECT name, revision, last_generation FROM party WHERE name IN (SELECT name FROM names)
         UNION ALL SELECT name, revision, last_generation FROM tombstone WHERE name IN (SELECT name FROM names)",
    );
    let names = list(names.iter().map(Name::as_str));
    rows::earlier(rows.bind(names).fetch_all(connection).await?)
}

pub(super) async fn find(connection: &mut SqliteConnection, names: &[&str]) -> Result<Finding, StoreError> {
    let names = list(names.iter().copied());
    let live = sqlx::query_as(
        "SELECT name, revision, last_generation FROM party WHERE name IN (SELECT value FROM json_each($1))",
    );
    let generations = sqlx::query_as(
        "SELECT party, generation FROM party_key WHERE party IN (SELECT value FROM json_each($1))",
    );
    let buried = sqlx::query_as(
        "SELECT name, revision, last_generation FROM tombstone WHERE name IN (SELECT value FROM json_each($1))",
    );
    Ok(Finding {
        live: live.bind(&names).fetch_all(&mut *connection).await?,
        generations: generations.bind(&names).fetch_all(&mut *connection).await?,
        buried: buried.bind(&names).fetch_all(connection).await?,
    })
}

/// The names as a JSON array.
pub(super) fn list<'a>(names: impl Iterator<Item = &'a str>) -> String {
    serde_json::Value::from_iter(names).to_string()
}
