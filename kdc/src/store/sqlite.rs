//! The store in one SQLite file, for a single KDC.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use keycell_protocol::{Generation, Name};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{ConnectOptions, Connection, Sqlite, SqliteConnection, SqlitePool, Transaction};
use tokio::sync::watch;

use super::rows::{self, Found};
use super::{
    ChangeNumber, Changes, PartyRecord, SecretRecord, Snapshot, Store, StoreError, ZoneRecord, schema,
};

pub(super) struct SqliteStore {
    // One connection: SQLite has one writer at a time, and a queue in here is fairer than its busy handler.
    writer: SqlitePool,
    readers: SqlitePool,
    last_change: watch::Sender<u64>,
}

impl SqliteStore {
    pub(super) async fn connect(path: &Path) -> Result<Self, StoreError> {
        if !path.is_file() {
            return Err(StoreError::NoDatabase { path: path.to_owned() });
        }
        // Looked at before anything is set: a file that is not ours stays as it is.
        let mut first = SqliteConnectOptions::new().filename(path).busy_timeout(BUSY).connect().await?;
        let applied = applied(&mut first).await;
        first.close().await?;
        schema::check(&schema::sqlite(), applied?.as_deref())?;
        let writer = open(path, 1).await?;
        let readers = open(path, 2).await?;
        let last = last_change(&mut *readers.acquire().await?).await?;
        let last = rows::change_number(last)?.0;
        Ok(Self { writer, readers, last_change: watch::Sender::new(last) })
    }

    pub(super) async fn create(path: &Path) -> Result<Self, StoreError> {
        make_file(path)?;
        let made = Self::migrate_and_connect(path).await;
        if made.is_err() {
            // The file is ours and useless; left behind, it would make the next attempt fail.
            for file in with_side_files(path) {
                let _ = std::fs::remove_file(file);
            }
        }
        made
    }

    async fn migrate_and_connect(path: &Path) -> Result<Self, StoreError> {
        let writer = open(path, 1).await?;
        schema::sqlite().run(&writer).await.map_err(schema::failed)?;
        writer.close().await;
        Self::connect(path).await
    }

    /// Takes the write lock at once, so that what is read inside still holds when it is written.
    async fn begin(&self) -> Result<Transaction<'static, Sqlite>, StoreError> {
        Ok(self.writer.begin_with("BEGIN IMMEDIATE").await?)
    }

    /// The number of the change that `transaction` makes.
    async fn next_change(transaction: &mut SqliteConnection) -> Result<i64, StoreError> {
        let next = sqlx::query_scalar("UPDATE change_counter SET last = last + 1 RETURNING last");
        Ok(next.fetch_one(transaction).await?)
    }

    async fn commit(
        &self,
        transaction: Transaction<'static, Sqlite>,
        change: i64,
    ) -> Result<ChangeNumber, StoreError> {
        let change = rows::change_number(change)?;
        transaction.commit().await?;
        self.last_change.send_modify(|last| *last = change.0.max(*last));
        Ok(change)
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn create_zone(&self, zone: &ZoneRecord, secrets: &[SecretRecord]) -> Result<(), StoreError> {
        let mut tx = self.begin().await?;
        let there: Option<String> =
            sqlx::query_scalar("SELECT name FROM zone").fetch_optional(&mut *tx).await?;
        if let Some(name) = there {
            return Err(StoreError::Exists { what: format!("the zone {name}") });
        }
        sqlx::query("INSERT INTO zone (only_row, name, ratchet_period, created_at) VALUES (1, ?1, ?2, ?3)")
            .bind(zone.zone.as_str())
            .bind(i64::from(zone.ratchet_period.seconds()))
            .bind(rows::column(zone.created_at.0))
            .execute(&mut *tx)
            .await?;
        for secret in secrets {
            sqlx::query(
                "INSERT INTO secret (name, version, master_version, wrapped) VALUES (?1, ?2, ?3, ?4)",
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
            .fetch_optional(&self.readers)
            .await?;
        rows::zone(row.ok_or(StoreError::Empty)?)
    }

    async fn secret(&self, name: &str) -> Result<Option<SecretRecord>, StoreError> {
        let row = sqlx::query_as("SELECT name, version, master_version, wrapped FROM secret WHERE name = ?1")
            .bind(name)
            .fetch_optional(&self.readers)
            .await?;
        row.map(rows::secret).transpose()
    }

    async fn party(&self, name: &Name) -> Result<Option<PartyRecord>, StoreError> {
        let mut tx = self.readers.begin().await?;
        let party = sqlx::query_as(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, change
             FROM party WHERE name = ?1",
        )
        .bind(name.as_str())
        .fetch_all(&mut *tx)
        .await?;
        let keys = sqlx::query_as(
            "SELECT party, generation, state, epoch, master_version, wrapped
             FROM party_key WHERE party = ?1 ORDER BY generation",
        )
        .bind(name.as_str())
        .fetch_all(&mut *tx)
        .await?;
        Ok(rows::parties(party, keys)?.pop())
    }

    async fn parties(&self) -> Result<Snapshot, StoreError> {
        let mut tx = self.readers.begin().await?;
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
        let mut tx = self.readers.begin().await?;
        let last = last_change(&mut tx).await?;
        let parties = sqlx::query_as(
            "SELECT name, enabled, revision, revocation_epoch, created_at, updated_at, change
             FROM party WHERE change > ?1 ORDER BY change",
        )
        .bind(since)
        .fetch_all(&mut *tx)
        .await?;
        let keys = sqlx::query_as(
            "SELECT k.party, k.generation, k.state, k.epoch, k.master_version, k.wrapped
             FROM party p JOIN party_key k ON k.party = p.name
             WHERE p.change > ?1 ORDER BY p.change, k.generation",
        )
        .bind(since)
        .fetch_all(&mut *tx)
        .await?;
        let tombstones =
            sqlx::query_as("SELECT name, change FROM tombstone WHERE change > ?1 ORDER BY change")
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
        let mut tx = self.begin().await?;
        let change = Self::next_change(&mut tx).await?;
        let found = find(&mut tx, name).await?;
        let planned = rows::plan(party, expected, &found)?;
        sqlx::query(
            "INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, last_generation, change)
             VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)
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
        sqlx::query("DELETE FROM party_key WHERE party = ?1").bind(name).execute(&mut *tx).await?;
        for key in &party.keys {
            sqlx::query(
                "INSERT INTO party_key (party, generation, state, epoch, master_version, wrapped)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6)",
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
        sqlx::query("DELETE FROM tombstone WHERE name = ?1").bind(name).execute(&mut *tx).await?;
        self.commit(tx, change).await
    }

    async fn delete_party(&self, name: &Name, expected: Option<u64>) -> Result<ChangeNumber, StoreError> {
        let mut tx = self.begin().await?;
        let change = Self::next_change(&mut tx).await?;
        let (revision, last_generation) = find(&mut tx, name.as_str())
            .await?
            .live
            .ok_or_else(|| StoreError::Missing { name: name.clone() })?;
        rows::expect(name, expected, revision)?;
        sqlx::query("DELETE FROM party WHERE name = ?1").bind(name.as_str()).execute(&mut *tx).await?;
        sqlx::query("INSERT INTO tombstone (name, last_generation, change) VALUES (?1, ?2, ?3)")
            .bind(name.as_str())
            .bind(last_generation)
            .bind(change)
            .execute(&mut *tx)
            .await?;
        self.commit(tx, change).await
    }

    async fn last_generation(&self, name: &Name) -> Result<Option<Generation>, StoreError> {
        let last: Option<i64> = sqlx::query_scalar(
            "SELECT last_generation FROM party WHERE name = ?1
             UNION ALL SELECT last_generation FROM tombstone WHERE name = ?1",
        )
        .bind(name.as_str())
        .fetch_optional(&self.readers)
        .await?;
        last.map_or(Ok(None), |last| rows::last_generation(name, last))
    }

    async fn wait_for_change(&self, since: ChangeNumber, at_most: Duration) {
        let mut last = self.last_change.subscribe();
        let _ = tokio::time::timeout(at_most, last.wait_for(|last| *last > since.0)).await;
    }

    async fn ping(&self) -> Result<(), StoreError> {
        sqlx::query("SELECT last FROM change_counter").execute(&self.readers).await?;
        Ok(())
    }

    async fn close(&self) {
        self.readers.close().await;
        // Last, so that its closing checkpoints the write-ahead log and takes it away.
        self.writer.close().await;
    }
}

async fn find(transaction: &mut SqliteConnection, name: &str) -> Result<Found, StoreError> {
    let live = sqlx::query_as("SELECT revision, last_generation FROM party WHERE name = ?1")
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
    let generations = sqlx::query_scalar("SELECT generation FROM party_key WHERE party = ?1")
        .bind(name)
        .fetch_all(&mut *transaction)
        .await?;
    let buried = sqlx::query_scalar("SELECT last_generation FROM tombstone WHERE name = ?1")
        .bind(name)
        .fetch_optional(&mut *transaction)
        .await?;
    Ok(Found { live, generations, buried })
}

async fn last_change(connection: &mut SqliteConnection) -> Result<i64, StoreError> {
    Ok(sqlx::query_scalar("SELECT last FROM change_counter").fetch_one(connection).await?)
}

async fn applied(connection: &mut SqliteConnection) -> Result<Option<Vec<schema::Applied>>, StoreError> {
    let there: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema WHERE name = '_sqlx_migrations'")
        .fetch_one(&mut *connection)
        .await?;
    if there == 0 {
        return Ok(None);
    }
    let rows = sqlx::query_as("SELECT version, success, checksum FROM _sqlx_migrations ORDER BY version");
    Ok(Some(rows.fetch_all(connection).await?))
}

async fn open(path: &Path, connections: u32) -> Result<SqlitePool, StoreError> {
    let options = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .journal_mode(SqliteJournalMode::Wal)
        // What was acknowledged survives a power cut; WAL with NORMAL would not promise that.
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .busy_timeout(BUSY);
    let pool = SqlitePoolOptions::new()
        .max_connections(connections)
        .acquire_timeout(ACQUIRE)
        .test_before_acquire(false)
        // A full disk makes SQLite roll back on its own; the driver's own rollback then fails, and it believes for
        // ever to be inside that transaction. Such a connection is replaced.
        .before_acquire(|connection, _| Box::pin(async move { Ok(!connection.is_in_transaction()) }))
        .idle_timeout(None)
        .max_lifetime(None);
    Ok(pool.connect_with(options).await?)
}

fn make_file(path: &Path) -> Result<(), StoreError> {
    let failed = |source: io::Error| match source.kind() {
        io::ErrorKind::AlreadyExists => {
            StoreError::Exists { what: format!("the database {}", path.display()) }
        }
        _ => StoreError::File { path: path.to_owned(), source },
    };
    // A write-ahead log left by another database would be replayed into the new one.
    for side in with_side_files(path).into_iter().skip(1) {
        if side.exists() {
            return Err(StoreError::Exists {
                what: format!("{}, left by another database,", side.display()),
            });
        }
    }
    // SQLite gives its side files the mode of this one.
    OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    File::open(folder.unwrap_or(Path::new("."))).and_then(|folder| folder.sync_all()).map_err(failed)
}

fn with_side_files(path: &Path) -> [PathBuf; 3] {
    ["", "-wal", "-shm"].map(|suffix| {
        let mut name = path.as_os_str().to_owned();
        name.push(suffix);
        name.into()
    })
}

// Another process (`keycell party add` beside a server) may hold the write lock this long.
const BUSY: Duration = Duration::from_secs(5);
const ACQUIRE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests;
