//! The store in a PostgreSQL database, which several KDCs may share.

use std::str::FromStr;
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Generation, Name};
use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;

use super::rows::{self, Found};
use super::{
    ChangeNumber, Changes, PartyRecord, SecretRecord, Snapshot, Store, StoreError, ZoneRecord, schema,
};

pub(super) struct PostgresStore {
    pool: PgPool,
    listener: Mutex<Option<PgListener>>,
}

impl PostgresStore {
    pub(super) async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let mut first = connection(&options).await?;
        schema::check(&schema::postgres(), applied(&mut first).await?.as_deref())?;
        warn_unless_durable(&mut first).await?;
        first.close().await?;
        Ok(Self { pool: pool(options).await?, listener: Mutex::new(None) })
    }

    pub(super) async fn create(url: &str) -> Result<Self, StoreError> {
        let mut first = connection(&options(url)?).await?;
        schema::postgres().run(&mut first).await.map_err(schema::failed)?;
        first.close().await?;
        Self::connect(url).await
    }

    async fn begin_read(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// The number of the change that `transaction` makes. It comes first in every write: the lock on the counter's row
    /// is held until the commit, so that writers follow one another and each sees what the one before it wrote.
    async fn next_change(transaction: &mut PgConnection) -> Result<i64, StoreError> {
        let next = sqlx::query_scalar("UPDATE change_counter SET last = last + 1 RETURNING last");
        Ok(next.fetch_one(transaction).await?)
    }

    async fn commit(
        &self,
        mut transaction: Transaction<'static, Postgres>,
        change: i64,
    ) -> Result<ChangeNumber, StoreError> {
        let number = rows::change_number(change)?;
        sqlx::query("SELECT pg_notify($1, $2)")
            .bind(CHANNEL)
            .bind(change.to_string())
            .execute(&mut *transaction)
            .await?;
        transaction.commit().await?;
        Ok(number)
    }

    /// Waits for the notification of a change after `since`. Listening begins before the counter is read, so a change
    /// shows in the one or the other.
    async fn listen(&self, since: ChangeNumber) -> Result<(), StoreError> {
        let mut slot = self.listener.lock().await;
        if slot.is_none() {
            let mut fresh = PgListener::connect_with(&self.pool).await?;
            // A lost connection is to show as `None` below, for what it missed is missed.
            fresh.eager_reconnect(false);
            fresh.listen(CHANNEL).await?;
            *slot = Some(fresh);
        }
        let last = last_change(&mut *self.pool.acquire().await?).await?;
        if rows::change_number(last)? > since {
            return Ok(());
        }
        let Some(listener) = slot.as_mut() else { return Ok(()) };
        loop {
            match listener.try_recv().await {
                Ok(Some(notice)) if notice.payload().parse().is_ok_and(|change: u64| change <= since.0) => {}
                Ok(Some(_)) => return Ok(()),
                Ok(None) => {
                    *slot = None;
                    return Ok(());
                }
                Err(error) => {
                    *slot = None;
                    return Err(error.into());
                }
            }
        }
    }
}

#[async_trait]
impl Store for PostgresStore {
    async fn create_zone(&self, zone: &ZoneRecord, secrets: &[SecretRecord]) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        // Two that run at once follow one another, as writers of parties do.
        sqlx::query("SELECT last FROM change_counter FOR UPDATE").execute(&mut *tx).await?;
        let there: Option<String> =
            sqlx::query_scalar("SELECT name FROM zone").fetch_optional(&mut *tx).await?;
        if let Some(name) = there {
            return Err(StoreError::Exists { what: format!("the zone {name}") });
        }
        sqlx::query("INSERT INTO zone (only_row, name, ratchet_period, created_at) VALUES (1, $1, $2, $3)")
            .bind(zone.zone.as_str())
            .bind(i64::from(zone.ratchet_period.seconds()))
            .bind(rows::column(zone.created_at.0))
            .execute(&mut *tx)
            .await?;
        for secret in secrets {
            sqlx::query(
                "INSERT INTO secret (name, version, master_version, wrapped) VALUES ($1, $2, $3, $4)",
            )
            .bind(&secret.name)
            .bind(i64::from(secret.version))
            .bind(i64::from(secret.master_version))
            .bind(&secret.wrapped)
            .execute(&mut *tx)
            .await?;
        }
        Ok(tx.commit().await?)
    }

    async fn zone(&self) -> Result<ZoneRecord, StoreError> {
        let row = sqlx::query_as("SELECT name, ratchet_period, created_at FROM zone")
            .fetch_optional(&self.pool)
            .await?;
        rows::zone(row.ok_or(StoreError::Empty)?)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError> {
        let row = sqlx::query_as("SELECT name, version, master_version, wrapped FROM secret WHERE name = $1")
            .bind(name)
            .fetch_optional(&self.pool)
            .await?;
        row.map(rows::secret).transpose()
    }

    async fn party(&self, name: &Name) -> Result<Option<PartyRecord>, StoreError> {
        let mut tx = self.begin_read().await?;
        let party = sqlx::query_as(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, change
             FROM party WHERE name = $1",
        )
        .bind(name.as_str())
        .fetch_all(&mut *tx)
        .await?;
        let keys = sqlx::query_as(
            "SELECT party, generation, state, epoch, master_version, wrapped
             FROM party_key WHERE party = $1 ORDER BY generation",
        )
        .bind(name.as_str())
        .fetch_all(&mut *tx)
        .await?;
        Ok(rows::parties(party, keys)?.pop())
    }

    async fn parties(&self) -> Result<Snapshot, StoreError> {
        let mut tx = self.begin_read().await?;
        let change = last_change(&mut tx).await?;
        let parties = sqlx::query_as(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, change
             FROM party ORDER BY name",
        )
        .fetch_all(&mut *tx)
        .await?;
        let keys = sqlx::query_as(
            "SELECT party, generation, state, epoch, master_version, wrapped
             FROM party_key ORDER BY party, generation",
        )
        .fetch_all(&mut *tx)
        .await?;
        Ok(Snapshot { change: rows::change_number(change)?, parties: rows::parties(parties, keys)? })
    }

    async fn changes_since(&self, since: ChangeNumber) -> Result<Changes, StoreError> {
        let since = rows::column(since.0);
        let mut tx = self.begin_read().await?;
        let last = last_change(&mut tx).await?;
        let parties = sqlx::query_as(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, change
             FROM party WHERE change > $1 ORDER BY change",
        )
        .bind(since)
        .fetch_all(&mut *tx)
        .await?;
        let keys = sqlx::query_as(
            "SELECT k.party, k.generation, k.state, k.epoch, k.master_version, k.wrapped
             FROM party p JOIN party_key k ON k.party = p.name
             WHERE p.change > $1 ORDER BY p.change, k.generation",
        )
        .bind(since)
        .fetch_all(&mut *tx)
        .await?;
        let tombstones =
            sqlx::query_as("SELECT name, change FROM tombstone WHERE change > $1 ORDER BY change")
                .bind(since)
                .fetch_all(&mut *tx)
                .await?;
        rows::changes(last, parties, keys, tombstones)
    }

    async fn put_party(
        &self,
        party: &PartyRecord,
        expected: Option<u64>,
    ) -> Result<ChangeNumber, StoreError> {
        let name = party.name.as_str();
        let mut tx = self.pool.begin().await?;
        let change = Self::next_change(&mut tx).await?;
        let found = find(&mut tx, name).await?;
        let planned = rows::plan(party, expected, &found)?;
        sqlx::query(
            "INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, last_generation, change)
             VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
             ON CONFLICT (name) DO UPDATE SET
                 enabled = excluded.enabled, revision = excluded.revision,
                 revocation_epoch = excluded.revocation_epoch, updated_at = excluded.updated_at,
                 last_generation = excluded.last_generation, change = excluded.change",
        )
        .bind(name)
        .bind(party.enabled)
        .bind(planned.revision)
        .bind(i64::from(party.revocation_epoch))
        .bind(rows::column(party.created_at.0))
        .bind(rows::column(party.updated_at.0))
        .bind(planned.last_generation)
        .bind(change)
        .execute(&mut *tx)
        .await?;
        sqlx::query("DELETE FROM party_key WHERE party = $1").bind(name).execute(&mut *tx).await?;
        for key in &party.keys {
            sqlx::query(
                "INSERT INTO party_key (party, generation, state, epoch, master_version, wrapped)
                 VALUES ($1, $2, $3, $4, $5, $6)",
            )
            .bind(name)
            .bind(i64::from(key.generation.0))
            .bind(key.state.as_str())
            .bind(i64::from(key.epoch.0))
            .bind(i64::from(key.master_version))
            .bind(&key.wrapped)
            .execute(&mut *tx)
            .await?;
        }
        sqlx::query("DELETE FROM tombstone WHERE name = $1").bind(name).execute(&mut *tx).await?;
        self.commit(tx, change).await
    }

    async fn delete_party(&self, name: &Name, expected: Option<u64>) -> Result<ChangeNumber, StoreError> {
        let mut tx = self.pool.begin().await?;
        let change = Self::next_change(&mut tx).await?;
        let (revision, last_generation) = find(&mut tx, name.as_str())
            .await?
            .live
            .ok_or_else(|| StoreError::Missing { name: name.clone() })?;
        rows::expect(name, expected, revision)?;
        sqlx::query("DELETE FROM party WHERE name = $1").bind(name.as_str()).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO tombstone (name, last_generation, change) VALUES ($1, $2, $3)")
            .bind(name.as_str())
            .bind(last_generation)
            .bind(change)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, change).await
    }

    async fn last_generation(&self, name: &Name) -> Result<Option<Generation>, StoreError> {
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT last_generation FROM party WHERE name = $1
             UNION ALL SELECT last_generation FROM tombstone WHERE name = $1",
        )
        .bind(name.as_str())
        .fetch_optional(&self.pool)
        .await?;
        last.map_or(Ok(None), |last| rows::last_generation(name, last))
    }

    async fn wait_for_change(&self, since: ChangeNumber, at_most: Duration) {
        let waited = tokio::time::timeout(at_most, async {
            if let Err(error) = self.listen(since).await {
                tracing::warn!(%error, "cannot listen for changes; they are looked for at intervals instead");
                // Not at once: the caller would look again and again while the database is away.
                std::future::pending::<()>().await;
            }
        });
        let _ = waited.await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT last FROM change_counter").execute(&self.pool).await?;
        Ok(())
    }

    async fn close(&self) {
        if let Ok(mut listener) = self.listener.try_lock() {
            *listener = None;
        }
        self.pool.close().await;
    }
}

async fn find(transaction: &mut PgConnection, name: &str) -> Result<Found, StoreError> {
    let live = sqlx::query_as("SELECT revision, last_generation FROM party WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
    let generations = sqlx::query_scalar("SELECT generation FROM party_key WHERE party = $1")
        .bind(name)
        .fetch_all(&mut *transaction)
        .await?;
    let buried = sqlx::query_scalar("SELECT last_generation FROM tombstone WHERE name = $1")
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
    Ok(Found { live, generations, buried })
}

async fn last_change(connection: &mut PgConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT last FROM change_counter").fetch_one(connection).await?)
}

async fn applied(connection: &mut PgConnection) -> Result<Option<Vec<schema::Applied>>, StoreError> {
    let there: bool = sqlx::query_scalar("SELECT to_regclass('_sqlx_migrations') IS NOT NULL")
        .fetch_one(&mut *connection)
        .await?;
    if !there {
        return Ok(None);
    }
    let rows = sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version");
    Ok(Some(rows.fetch_all(connection).await?))
}

/// "Returns only when it is durable" is the server's to keep.
async fn warn_unless_durable(connection: &mut PgConnection) -> Result<(), StoreError> {
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

fn options(url: &str) -> Result<PgConnectOptions, StoreError> {
    Ok(PgConnectOptions::from_str(url)?.application_name("keycell"))
}

/// One connection outside the pool, which would hide why it gets none behind a time-out.
async fn connection(options: &PgConnectOptions) -> Result<PgConnection, StoreError> {
    let connected = tokio::time::timeout(ACQUIRE, options.connect()).await;
    Ok(connected.map_err(|_| sqlx::Error::PoolTimedOut)??)
}

async fn pool(options: PgConnectOptions) -> Result<PgPool, StoreError> {
    let pool = PgPoolOptions::new()
        .max_connections(8)
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
        });
    Ok(pool.connect_with(options).await?)
}

const CHANNEL: &str = "keycell_change";
const ACQUIRE: Duration = Duration::from_secs(5);
const STALE: Duration = Duration::from_secs(1);
