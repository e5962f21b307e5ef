//! The store in a PostgreSQL database, which several KDCs may share.

mod at_rest;
mod dump;
mod open;
mod read;
mod write;

use std::collections::HashMap;
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Name, UnixMillis};
use sqlx::postgres::PgListener;
use sqlx::{Connection, PgConnection, PgPool, Postgres, Transaction};
use tokio::sync::Mutex;

use self::open::{auditors, connection, found, options, pool, warn_unless_durable};
use super::dump::{Sink, Source};
use super::rows::{self, audit_query};
use super::{
    Act, Answer, AuditQuery, Buried, ChangeNumber, Changes, Document, Documents, Earlier, Kind, PartyRecord,
    Replaced, SecretRecord, SeenRecord, Snapshot, Store, StoreError, ZoneRecord, commit, schema, sql,
};
use crate::audit::{AuditKey, Record, Seal, SealKind};

pub(super) struct PostgresStore {
    pool: PgPool,
    // Who looks through a long log keeps nobody else waiting.
    auditors: PgPool,
    listener: Mutex<Option<PgListener>>,
}

/// One connection to the database at `url`.
pub(super) async fn connection_to(url: &str) -> Result<PgConnection, StoreError> {
    connection(&options(url)?).await
}

impl PostgresStore {
    pub(super) async fn connect(url: &str) -> Result<Self, StoreError> {
        let options = options(url)?;
        let mut first = connection(&options).await?;
        schema::admit(&schema::postgres(), &found(&mut first).await?)?;
        warn_unless_durable(&mut first).await?;
        first.close().await?;
        let auditors = auditors(options.clone());
        Ok(Self { pool: pool(options).await?, auditors, listener: Mutex::new(None) })
    }

    pub(super) async fn create(url: &str) -> Result<Self, StoreError> {
        let mut first = connection(&options(url)?).await?;
        schema::postgres().run(&mut first).await.map_err(schema::failed)?;
        first.close().await?;
        Self::connect(url).await
    }

    pub(super) async fn migrate(url: &str) -> Result<(i64, i64), StoreError> {
        let mut connection = connection_to(url).await?;
        let steps = schema::steps(&schema::postgres(), &found(&mut connection).await?)?;
        if steps.0 < steps.1 {
            // A table that is changed is locked for a moment. Behind somebody who reads it for long, all KDCs would wait.
            sqlx::query(LOCK_TIMEOUT).execute(&mut connection).await?;
            schema::postgres().run(&mut connection).await.map_err(schema::failed)?;
        }
        connection.close().await?;
        Ok(steps)
    }

    pub(super) async fn load(
        url: &str,
        schema: i64,
        replaced: Replaced,
        source: &mut dyn Source,
    ) -> Result<(), StoreError> {
        let migrations = schema::postgres();
        let mut connection = connection(&options(url)?).await?;
        let there = found(&mut connection).await?;
        if there.applied.is_empty() {
            let tables = schema::through(&migrations, schema)?;
            tables.run(&mut connection).await.map_err(schema::failed)?;
        } else {
            schema::check(&migrations, &there)?;
        }
        if replaced == Replaced::Yes {
            alone(&mut connection).await?;
        }
        let mut tx = connection.begin().await?;
        // Nobody writes meanwhile, and whoever waits to, writes into what is there afterwards.
        let _: Option<i64> =
            sqlx::query_scalar(sql::TAKE_CHANGES).bind(0_i64).fetch_optional(&mut *tx).await?;
        let zone: Option<String> = sqlx::query_scalar(sql::ZONE_NAME).fetch_optional(&mut *tx).await?;
        if let Some(zone) = zone.filter(|_| replaced == Replaced::No) {
            return Err(StoreError::Occupied { zone });
        }
        dump::load(&mut tx, source).await?;
        sqlx::query("SELECT pg_notify($1, '0')").bind(CHANNEL).execute(&mut *tx).await?;
        tx.commit().await?;
        migrations.run(&mut connection).await.map_err(schema::failed)?;
        Ok(connection.close().await?)
    }

    async fn begin_read(&self) -> Result<Transaction<'static, Postgres>, StoreError> {
        Ok(self.pool.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?)
    }

    /// Commits what `act` did, and tells those who listen if it changed something.
    async fn finish(
        &self,
        mut transaction: Transaction<'static, Postgres>,
        act: &Act,
        last: i64,
    ) -> Result<ChangeNumber, StoreError> {
        let number = rows::change_number(last)?;
        if act.changes() > 0 {
            sqlx::query("SELECT pg_notify($1, $2)")
                .bind(CHANNEL)
                .bind(last.to_string())
                .execute(&mut *transaction)
                .await?;
        }
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
        let last = sqlx::query_scalar(sql::LAST_CHANGE).fetch_one(&self.pool).await?;
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
    async fn create_zone(
        &self,
        zone: &ZoneRecord,
        secrets: &[SecretRecord],
        act: &Act,
        key: &AuditKey,
    ) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        let last = commit::create_zone(&mut *tx, zone, secrets, act, key).await?;
        self.finish(tx, act, last).await.map(drop)
    }

    async fn zone(&self) -> Result<ZoneRecord, StoreError> {
        let row = sqlx::query_as(sql::ZONE).fetch_optional(&self.pool).await?;
        rows::zone(row.ok_or(StoreError::Empty)?)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError> {
        let row = sqlx::query_as(sql::SECRET).bind(name).fetch_optional(&self.pool).await?;
        row.map(rows::secret).transpose()
    }

    async fn add_secret(&self, secret: &SecretRecord) -> Result<(), StoreError> {
        let mut tx = self.pool.begin().await?;
        commit::add_secret(&mut *tx, secret).await?;
        Ok(tx.commit().await?)
    }

    async fn commit(&self, act: &Act, key: &AuditKey) -> Result<ChangeNumber, StoreError> {
        let mut tx = self.pool.begin().await?;
        let last = commit::commit(&mut *tx, act, key).await?;
        self.finish(tx, act, last).await
    }

    async fn some_parties(&self, names: &[Name]) -> Result<Vec<PartyRecord>, StoreError> {
        read::some_parties(&mut *self.begin_read().await?, names).await
    }

    async fn parties(&self) -> Result<Snapshot, StoreError> {
        read::parties(&mut *self.begin_read().await?).await
    }

    async fn changes_since(&self, since: ChangeNumber) -> Result<Changes, StoreError> {
        read::changes_since(&mut *self.begin_read().await?, rows::column(since.0)).await
    }

    async fn earlier(&self, names: &[Name]) -> Result<HashMap<Name, Earlier>, StoreError> {
        read::earlier(&mut *self.begin_read().await?, names).await
    }

    async fn buried(&self) -> Result<Vec<Buried>, StoreError> {
        Ok(rows::buried(sqlx::query_as(sql::BURIED).fetch_all(&self.pool).await?))
    }

    async fn note_seen(&self, seen: &[SeenRecord]) -> Result<(), StoreError> {
        for seen in rows::latest(seen).chunks(SEEN) {
            let mut tx = self.pool.begin().await?;
            write::note_seen(&mut tx, seen).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn seen(&self, since: UnixMillis) -> Result<Vec<SeenRecord>, StoreError> {
        let since = rows::column(since.0);
        Ok(rows::seen(sqlx::query_as(sql::SEEN).bind(since).fetch_all(&self.pool).await?))
    }

    async fn documents(&self, kind: Kind) -> Result<Documents, StoreError> {
        let mut tx = self.begin_read().await?;
        let kind = kind.as_str();
        let change = sqlx::query_scalar(sql::DOCUMENT_CHANGE).bind(kind).fetch_optional(&mut *tx).await?;
        let found = sqlx::query(sql::DOCUMENTS).bind(kind).fetch_all(&mut *tx).await?;
        rows::documents(change, rows::read_named("document", 2, &found))
    }

    async fn documents_after(&self, kind: Kind, after: &str, limit: u32) -> Result<Documents, StoreError> {
        let mut tx = self.begin_read().await?;
        let kind = kind.as_str();
        let change = sqlx::query_scalar(sql::DOCUMENT_CHANGE).bind(kind).fetch_optional(&mut *tx).await?;
        let page = sqlx::query(sql::DOCUMENTS_AFTER).bind(kind).bind(after).bind(i64::from(limit));
        let found = page.fetch_all(&mut *tx).await?;
        rows::documents(change, rows::read_named("document", 2, &found))
    }

    async fn count_documents(&self, kind: Kind) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar(sql::COUNT_DOCUMENTS).bind(kind.as_str());
        let count: i64 = count.fetch_one(&self.pool).await?;
        Ok(count.cast_unsigned())
    }

    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Document>, StoreError> {
        let row = sqlx::query_as(sql::DOCUMENT).bind(kind.as_str()).bind(id);
        row.fetch_optional(&self.pool).await?.map(rows::document).transpose()
    }

    async fn answer(&self, actor: &str, idempotency: &str) -> Result<Option<Answer>, StoreError> {
        let row = sqlx::query_as(sql::ANSWER).bind(actor).bind(idempotency);
        let row = row.fetch_optional(&self.pool).await?;
        row.map(|row| rows::answer(actor, idempotency, row)).transpose()
    }

    async fn forget_answers(&self, now: UnixMillis) -> Result<(), StoreError> {
        sqlx::query(sql::FORGET_ANSWERS).bind(rows::column(now.0)).execute(&self.pool).await?;
        Ok(())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError> {
        if !query.is_possible() {
            return Ok(Vec::new());
        }
        let mut query = audit_query::<Postgres>(query);
        let rows = query.build().persistent(false).fetch_all(&self.auditors).await?;
        Ok(rows.iter().map(rows::record).collect())
    }

    async fn audit_seals(&self, kind: SealKind) -> Result<Vec<Seal>, StoreError> {
        let rows = sqlx::query(sql::SEALS).bind(kind.as_str()).fetch_all(&self.pool).await?;
        Ok(rows.iter().map(|row| rows::seal(kind, row)).collect())
    }

    async fn moment(&self, name: &str) -> Result<Option<UnixMillis>, StoreError> {
        let at = sqlx::query_scalar(sql::MOMENT).bind(name).fetch_optional(&self.pool).await?;
        Ok(at.map(rows::moment))
    }

    async fn note_moment(&self, name: &str, at: UnixMillis) -> Result<(), StoreError> {
        sqlx::query(sql::NOTE_MOMENT).bind(name).bind(rows::column(at.0)).execute(&self.pool).await?;
        Ok(())
    }

    async fn dump(&self, sink: &mut dyn Sink) -> Result<(), StoreError> {
        let mut tx = self.auditors.begin_with("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY").await?;
        dump::dump(&mut tx, sink).await
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

    async fn check_schema(&self) -> Result<(), StoreError> {
        let mut connection = self.pool.acquire().await?;
        Ok(schema::check(&schema::postgres(), &found(&mut connection).await?)?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query(sql::LAST_CHANGE).execute(&self.pool).await?;
        Ok(())
    }

    async fn close(&self) {
        if let Ok(mut listener) = self.listener.try_lock() {
            *listener = None;
        }
        // A long look ends with the process.
        let _ = tokio::time::timeout(AUDITORS_END, self.auditors.close()).await;
        self.pool.close().await;
    }
}

/// Sees that no KDC uses the database: what it has in memory would not be what is put there. One that just ended may
/// still show for a moment.
pub(super) async fn alone(connection: &mut PgConnection) -> Result<(), StoreError> {
    for _ in 0..LOOKS {
        let others: i64 = sqlx::query_scalar(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()
             AND application_name = 'keycell' AND pid <> pg_backend_pid()",
        )
        .fetch_one(&mut *connection)
        .await?;
        if others == 0 {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    Err(StoreError::InUse)
}

const LOOKS: usize = 20;
/// After so long the migration gives up, having changed nothing; it can be repeated.
const LOCK_TIMEOUT: &str = "SET lock_timeout = '10s'";
const CHANNEL: &str = "keycell_change";
/// For how long closing waits for who looks through the log.
const AUDITORS_END: Duration = Duration::from_secs(1);
/// So many parties are noted as seen in one transaction: other writers wait no longer than for these.
const SEEN: usize = 10_000;
