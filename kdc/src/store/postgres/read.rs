//! Reading parties.

use std::collections::HashMap;

use keycell_protocol::Name;
use sqlx::PgConnection;

use crate::store::rows::{self, Finding};
use crate::store::{Changes, Earlier, PartyRecord, Snapshot, StoreError, sql};

pub(super) async fn some_parties(
    connection: &mut PgConnection,
    names: &[Name],
) -> Result<Vec<PartyRecord>, StoreError> {
    let names = texts(names);
    let parties = sqlx::query_as(sql::parties!("WHERE name = ANY($1) ORDER BY name"))
        .bind(&names)
        .fetch_all(&mut *connection)
        .await?;
    let keys = sqlx::query_as(sql::keys!("WHERE k.party = ANY($1) ORDER BY k.party, k.generation"))
        .bind(&names)
        .fetch_all(connection)
        .await?;
    rows::parties(parties, keys)
}

pub(super) async fn parties(connection: &mut PgConnection) -> Result<Snapshot, StoreError> {
    let change = sqlx::query_scalar(sql::LAST_CHANGE).fetch_one(&mut *connection).await?;
    let parties = sqlx::query(sql::PARTIES).fetch_all(&mut *connection).await?;
    let keys = sqlx::query(sql::KEYS).fetch_all(connection).await?;
    rows::snapshot(change, rows::read("party", &parties), rows::read("party_key", &keys))
}

pub(super) async fn changes_since(connection: &mut PgConnection, since: i64) -> Result<Changes, StoreError> {
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
    connection: &mut PgConnection,
    names: &[Name],
) -> Result<HashMap<Name, Earlier>, StoreError> {
    let rows = sqlx::query_as(
        "SELECT name, revision, last_generation FROM party WHERE name = ANY($1)
         UNION ALL SELECT name, revision, last_generation FROM tombstone WHERE name = ANY($1)",
    );
    let names = texts(names);
    rows::earlier(rows.bind(names).fetch_all(connection).await?)
}

pub(super) async fn find(connection: &mut PgConnection, names: &[&str]) -> Result<Finding, StoreError> {
    let live = sqlx::query_as("SELECT name, revision, last_generation FROM party WHERE name = ANY($1)");
    let generations = sqlx::query_as("SELECT party, generation FROM party_key WHERE party = ANY($1)");
    let buried = sqlx::query_as("SELECT name, revision, last_generation FROM tombstone WHERE name = ANY($1)");
    Ok(Finding {
        live: live.bind(names).fetch_all(&mut *connection).await?,
        generations: generations.bind(names).fetch_all(&mut *connection).await?,
        buried: buried.bind(names).fetch_all(connection).await?,
    })
}

fn texts(names: &[Name]) -> Vec<&str> {
    names.iter().map(Name::as_str).collect()
}
