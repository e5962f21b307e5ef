//! The store in one SQLite file, for a single KDC.

mod at_rest;
mod dump;
mod open;
mod read;
mod write;

use std::collections::HashMap;
use std::path::Path;
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Name, UnixMillis};
use sqlx::migrate::Migrator;
use sqlx::{Sqlite, SqlitePool, Transaction};
use tokio::sync::watch;

use self::open::{found, make_file, open, schema_of, with_side_files};
use super::dump::{Sink, Source};
use super::rows::{self, audit_query};
use super::{
    Act, Answer, AuditQuery, Buried, ChangeNumber, Changes, Document, Documents, Earlier, Kind, PartyRecord,
    SecretRecord, SeenRecord, Snapshot, Store, StoreError, ZoneRecord, commit, schema, sql,
};
use crate::audit::{AuditKey, Record, Seal, SealKind};

pub(super) struct SqliteStore {
    // One connection: SQLite has one writer at a time, and a queue in here is fairer than its busy handler.
    writer: SqlitePool,
    readers: SqlitePool,
    // Who looks through a long log keeps nobody else waiting.
    auditors: SqlitePool,
    last_change: watch::Sender<u64>,
}

impl SqliteStore {
    pub(super) async fn connect(path: &Path) -> Result<Self, StoreError> {
        schema::admit(&schema::sqlite(), &schema_of(path).await?)?;
        let writer = open(path, 1).await?;
        let readers = open(path, 2).await?;
        let auditors = open(path, 2).await?;
        let last = sqlx::query_scalar(sql::LAST_CHANGE).fetch_one(&readers).await?;
        let last = rows::change_number(last)?.0;
        Ok(Self { writer, readers, auditors, last_change: watch::Sender::new(last) })
    }

    pub(super) async fn create(path: &Path) -> Result<Self, StoreError> {
        make_file(path)?;
        let made = Self::fill_and_connect(path).await;
        if made.is_err() {
            // The file is ours and useless; left behind, it would make the next attempt fail.
            for file in with_side_files(path) {
                let _ = std::fs::remove_file(file);
            }
        }
        made
    }

    pub(super) async fn migrate(path: &Path) -> Result<(i64, i64), StoreError> {
        let steps = schema::steps(&schema::sqlite(), &schema_of(path).await?)?;
        if steps.0 < steps.1 {
            bring_up_to_date(path).await?;
        }
        Ok(steps)
    }

    pub(super) async fn load(path: &Path, schema: i64, source: &mut dyn Source) -> Result<(), StoreError> {
        let tables = schema::through(&schema::sqlite(), schema)?;
        make_file(path)?;
        let loaded = Self::fill(path, &tables, source).await;
        if loaded.is_err() {
            // As above: half a database helps nobody.
            for file in with_side_files(path) {
                let _ = std::fs::remove_file(file);
            }
        }
        loaded
    }

    async fn fill(path: &Path, tables: &Migrator, source: &mut dyn Source) -> Result<(), StoreError> {
        let writer = open(path, 1).await?;
        let filled = async {
            tables.run(&writer).await.map_err(schema::failed)?;
            let mut tx = writer.begin_with("BEGIN IMMEDIATE").await?;
            dump::load(&mut tx, source).await?;
            tx.commit().await?;
            schema::sqlite().run(&writer).await.map_err(schema::failed)
        };
        let filled = filled.await;
        writer.close().await;
        filled
    }

    async fn fill_and_connect(path: &Path) -> Result<Self, StoreError> {
        bring_up_to_date(path).await?;
        Self::connect(path).await
    }

    /// Takes the write lock at once, so that what is read inside still holds when it is written.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    async fn finish(
        &self,
        transaction: Transaction<'static, Sqlite>,
        last: i64,
    ) -> Result<ChangeNumber, StoreError> {
        let last = rows::change_number(last)?;
        transaction.commit().await?;
        self.last_change.send_if_modified(|known| {
            let newer = last.0 > *known;
            *known = last.0.max(*known);
            newer
        });
        Ok(last)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_zone(
        &self,
        zone: &ZoneRecord,
        secrets: &[SecretRecord],
        act: &Act,
        key: &AuditKey,
    ) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let last = commit::create_zone(&mut *tx, zone, secrets, act, key).await?;
        self.finish(tx, last).await.map(drop)
    }

    async fn zone(&self) -> Result<ZoneRecord, StoreError> {
        let row = sqlx::query_as(sql::ZONE).fetch_optional(&self.readers).await?;
        rows::zone(row.ok_or(StoreError::Empty)?)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError> {
        let row = sqlx::query_as(sql::SECRET).bind(name).fetch_optional(&self.readers).await?;
        row.map(rows::secret).transpose()
    }

    async fn add_secret(&self, secret: &SecretRecord) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        commit::add_secret(&mut *tx, secret).await?;
        Ok(tx.commit().await?)
    }

    async fn commit(&self, act: &Act, key: &AuditKey) -> Result<ChangeNumber, StoreError> {
        let mut tx = self.begin().await?;
        let last = commit::commit(&mut *tx, act, key).await?;
        self.finish(tx, last).await
    }

    async fn some_parties(&self, names: &[Name]) -> Result<Vec<PartyRecord>, StoreError> {
        read::some_parties(&mut *self.readers.begin().await?, names).await
    }

    async fn parties(&self) -> Result<Snapshot, StoreError> {
        read::parties(&mut *self.readers.begin().await?).await
    }

    async fn changes_since(&self, since: ChangeNumber) -> Result<Changes, StoreError> {
        read::changes_since(&mut *self.readers.begin().await?, rows::column(since.0)).await
    }

    async fn earlier(&self, names: &[Name]) -> Result<HashMap<Name, Earlier>, StoreError> {
        read::earlier(&mut *self.readers.begin().await?, names).await
    }

    async fn buried(&self) -> Result<Vec<Buried>, StoreError> {
        Ok(rows::buried(sqlx::query_as(sql::BURIED).fetch_all(&self.readers).await?))
    }

    async fn note_seen(&self, seen: &[SeenRecord]) -> Result<(), StoreError> {
        for seen in rows::latest(seen).chunks(SEEN) {
            let mut tx = self.begin().await?;
            write::note_seen(&mut tx, seen).await?;
            tx.commit().await?;
        }
        Ok(())
    }

    async fn seen(&self, since: UnixMillis) -> Result<Vec<SeenRecord>, StoreError> {
        let since = rows::column(since.0);
        Ok(rows::seen(sqlx::query_as(sql::SEEN).bind(since).fetch_all(&self.readers).await?))
    }

    async fn documents(&self, kind: Kind) -> Result<Documents, StoreError> {
        let mut tx = self.readers.begin().await?;
        let kind = kind.as_str();
        let change = sqlx::query_scalar(sql::DOCUMENT_CHANGE).bind(kind).fetch_optional(&mut *tx).await?;
        let found = sqlx::query(sql::DOCUMENTS).bind(kind).fetch_all(&mut *tx).await?;
        rows::documents(change, rows::read_named("document", 2, &found))
    }

    async fn documents_after(&self, kind: Kind, after: &str, limit: u32) -> Result<Documents, StoreError> {
        let mut tx = self.readers.begin().await?;
        let kind = kind.as_str();
        let change = sqlx::query_scalar(sql::DOCUMENT_CHANGE).bind(kind).fetch_optional(&mut *tx).await?;
        let page = sqlx::query(sql::DOCUMENTS_AFTER).bind(kind).bind(after).bind(i64::from(limit));
        let found = page.fetch_all(&mut *tx).await?;
        rows::documents(change, rows::read_named("document", 2, &found))
    }

    async fn count_documents(&self, kind: Kind) -> Result<u64, StoreError> {
        let count = sqlx::query_scalar(sql::COUNT_DOCUMENTS).bind(kind.as_str());
        let count: i64 = count.fetch_one(&self.readers).await?;
        Ok(count.cast_unsigned())
    }

    async fn document(&self, kind: Kind, id: &str) -> Result<Option<Document>, StoreError> {
        let row = sqlx::query_as(sql::DOCUMENT).bind(kind.as_str()).bind(id);
        row.fetch_optional(&self.readers).await?.map(rows::document).transpose()
    }

    async fn answer(&self, actor: &str, idempotency: &str) -> Result<Option<Answer>, StoreError> {
        let row = sqlx::query_as(sql::ANSWER).bind(actor).bind(idempotency);
        let row = row.fetch_optional(&self.readers).await?;
        row.map(|row| rows::answer(actor, idempotency, row)).transpose()
    }

    async fn forget_answers(&self, now: UnixMillis) -> Result<(), StoreError> {
        sqlx::query(sql::FORGET_ANSWERS).bind(rows::column(now.0)).execute(&self.writer).await?;
        Ok(())
    }

    async fn audit(&self, query: &AuditQuery) -> Result<Vec<Record>, StoreError> {
        if !query.is_possible() {
            return Ok(Vec::new());
        }
        let mut query = audit_query::<Sqlite>(query);
        let rows = query.build().persistent(false).fetch_all(&self.auditors).await?;
        Ok(rows.iter().map(rows::record).collect())
    }

    async fn audit_seals(&self, kind: SealKind) -> Result<Vec<Seal>, StoreError> {
        let rows = sqlx::query(sql::SEALS).bind(kind.as_str()).fetch_all(&self.readers).await?;
        Ok(rows.iter().map(|row| rows::seal(kind, row)).collect())
    }

    async fn moment(&self, name: &str) -> Result<Option<UnixMillis>, StoreError> {
        let at = sqlx::query_scalar(sql::MOMENT).bind(name).fetch_optional(&self.readers).await?;
        Ok(at.map(rows::moment))
    }

    async fn note_moment(&self, name: &str, at: UnixMillis) -> Result<(), StoreError> {
        sqlx::query(sql::NOTE_MOMENT).bind(name).bind(rows::column(at.0)).execute(&self.writer).await?;
        Ok(())
    }

    async fn dump(&self, sink: &mut dyn Sink) -> Result<(), StoreError> {
        dump::dump(&mut *self.auditors.begin().await?, sink).await
    }

    async fn wait_for_change(&self, since: ChangeNumber, at_most: Duration) {
        let mut last = self.last_change.subscribe();
        let _ = tokio::time::timeout(at_most, last.wait_for(|last| *last > since.0)).await;
    }

    async fn check_schema(&self) -> Result<(), StoreError> {
        let mut connection = self.readers.acquire().await?;
        Ok(schema::check(&schema::sqlite(), &found(&mut connection).await?)?)
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query(sql::LAST_CHANGE).execute(&self.readers).await?;
        Ok(())
    }

    async fn close(&self) {
        // A long look ends with the process.
        let _ = tokio::time::timeout(AUDITORS_END, self.auditors.close()).await;
        self.readers.close().await;
        // Last, so that its closing checkpoints the write-ahead log and takes it away.
        self.writer.close().await;
    }
}

async fn bring_up_to_date(path: &Path) -> Result<(), StoreError> {
    let writer = open(path, 1).await?;
    let done = schema::sqlite().run(&writer).await.map_err(schema::failed);
    writer.close().await;
    done
}

/// For how long closing waits for who looks through the log.
const AUDITORS_END: Duration = Duration::from_secs(1);
/// So many parties are noted as seen in one transaction: other writers wait no longer than for these.
const SEEN: usize = 10_000;

#[cfg(test)]
mod tests;
