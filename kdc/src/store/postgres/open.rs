//! Connections to the server, and what schema the database has.

use std::str::FromStr;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool};

use crate::store::{StoreError, schema, sql};

pub(super) fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    Ok(PgConnectOptions::from_str(url)?.application_name("keycell"))
}

/// One connection outside the pool, which would hide why it gets none behind a time-out.
pub(super) async fn connection(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connected = tokio::time::timeout(ACQUIRE, options.connect()).await;
    Ok(connected.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

pub(super) async fn pool(options: PgConnectOptions) -> Result<PgPool, StoreError> {
    Ok(pools(8).connect_with(options).await?)
}

/// The pool for the audit log: nothing is connected before somebody looks.
pub(super) fn auditors(options: PgConnectOptions) -> PgPool {
    pools(2).connect_lazy_with(options)
}

pub(super) async fn found(connection: &mut PgConnection) -> Result<schema::Found, StoreError> {
    let mut found = schema::Found::default();
    if there(connection, "_sqlx_migrations").await? {
        found.applied = sqlx::query_as(sql::MIGRATIONS).fetch_all(&mut *connection).await?;
    }
    // After the migrations: of one that comes between, the need is known at least.
    if there(connection, "schema_needs").await? {
        found.oldest = sqlx::query_scalar(sql::SCHEMA_NEEDS).fetch_optional(connection).await?;
    }
    Ok(found)
}

async fn there(connection: &mut PgConnection, table: &str) -> Result<bool, StoreError> {
    let tables = sqlx::query_scalar("SELECT to_regclass($1) IS NOT NULL");
    Ok(tables.bind(table).fetch_one(connection).await?)
}

/// "Returns only when it is durable" is the server's to keep.
pub(super) async fn warn_unless_durable(connection: &mut PgConnection) -> Result<(), StoreError> {
    let off: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM pg_settings WHERE name IN ('fsync', 'synchronous_commit') AND setting = 'off'",
    )
    .fetch_all(connection)
    .await?;
    for setting in off {
        tracing::warn!(%setting, "a PostgreSQL setting is off: a crash can lose changes that were acknowledged; turn it on");
    }
    Ok(())
}

fn pools(connections: u32) -> PgPoolOptions {
    PgPoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        // A connection in steady use needs no test; one that sat idle may have lost its server.
        .before_acquire(|connection, meta| {
            Box::pin(async move {
                if meta.idle_for >= STALE {
                    connection.ping().await?;
                }
                Ok(true)
            })
        })
}

const ACQUIRE: Duration = Duration::from_secs(5);
const STALE: Duration = Duration::from_secs(1);
