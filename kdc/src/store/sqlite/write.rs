//! Writing many rows at once, and the single steps of an act.

use async_trait::async_trait;
use sqlx::query::Query;
use sqlx::sqlite::SqliteArguments;
use sqlx::{QueryBuilder, Sqlite, SqliteConnection};

use super::read;
use crate::audit::{Record, Seal, SealKind};
use crate::store::rows::{self, Finding, Replaces, SeenRow};
use crate::store::writer::{Put, RUN, Value, Writer};
use crate::store::{BoundKey, KeyRecord, StoreError, sql};

#[async_trait]
impl Writer for SqliteConnection {
    async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        Ok(bound(sqlx::query(sql), values).execute(self).await?.rows_affected())
    }

    async fn number(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<i64>, StoreError> {
        let row = bound(sqlx::query(sql), values).fetch_optional(self).await?;
        Ok(row.map(|row| sqlx::Row::try_get(&row, 0)).transpose()?)
    }

    async fn text(&mut self, sql: &'static str) -> Result<Option<String>, StoreError> {
        Ok(sqlx::query_scalar(sql).fetch_optional(self).await?)
    }

    async fn record_hash(&mut self, seq: i64) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(sqlx::query_scalar(sql::RECORD_HASH).bind(seq).fetch_optional(self).await?)
    }

    async fn seals(&mut self, kind: SealKind) -> Result<Vec<Seal>, StoreError> {
        let rows = sqlx::query(sql::SEALS).bind(kind.as_str()).fetch_all(self).await?;
        Ok(rows.iter().map(|row| rows::seal(kind, row)).collect())
    }

    async fn find(&mut self, names: &[&str]) -> Result<Finding, StoreError> {
        read::find(self, names).await
    }

    async fn put_parties(&mut self, puts: &[Put<'_>]) -> Result<(), StoreError> {
        let names = |replaced| {
            let of = puts.iter().filter(move |put| put.planned.replaces == replaced);
            let names: Vec<_> = of.map(|put| put.party.name.as_str()).collect();
            (!names.is_empty()).then(|| read::list(names.into_iter()))
        };
        let mut parties = QueryBuilder::<Sqlite>::new(
            "INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note,
                 rotate_after, author_key, enrollment, enrollment_seal, enrollment_master, last_generation, change) ",
        );
        parties.push_values(puts, |mut row, Put { party, planned, change }| {
            row.push_bind(party.name.as_str())
                .push_bind(party.enabled)
                .push_bind(planned.revision)
                .push_bind(i64::from(party.revocation_epoch))
                .push_bind(rows::column(party.created_at.0))
                .push_bind(rows::column(party.updated_at.0))
                .push_bind(party.log_tickets)
                .push_bind(party.note.as_str())
                .push_bind(rows::moment_column(party.rotate_after))
                .push_bind(rows::author_column(party.author_key.as_ref()))
                .push_bind(rows::enrollment_column(party.enrollment.as_deref()))
                .push_bind(rows::seal_column(party))
                .push_bind(rows::seal_master_column(party))
                .push_bind(planned.last_generation)
                .push_bind(*change);
        });
        parties.push(
            " ON CONFLICT (name) DO UPDATE SET
                 enabled = excluded.enabled, revision = excluded.revision,
                 revocation_epoch = excluded.revocation_epoch, updated_at = excluded.updated_at,
                 log_tickets = excluded.log_tickets, note = excluded.note, rotate_after = excluded.rotate_after,
                 author_key = excluded.author_key, enrollment = excluded.enrollment,
                 enrollment_seal = excluded.enrollment_seal, enrollment_master = excluded.enrollment_master,
                 last_generation = excluded.last_generation, change = excluded.change",
        );
        run(self, parties, puts.len()).await?;
        if let Some(names) = names(Replaces::Keys) {
            let old = "DELETE FROM party_key WHERE party IN (SELECT value FROM json_each($1))";
            sqlx::query(old).bind(names).execute(&mut *self).await?;
        }
        if let Some(names) = names(Replaces::Tombstone) {
            let old = "DELETE FROM tombstone WHERE name IN (SELECT value FROM json_each($1))";
            sqlx::query(old).bind(names).execute(&mut *self).await?;
        }
        let keys: Vec<_> =
            puts.iter().flat_map(|put| put.party.keys.iter().map(|key| (&put.party.name, key))).collect();
        for keys in keys.chunks(RUN) {
            let mut statement = QueryBuilder::<Sqlite>::new(
                "INSERT INTO party_key (party, generation, state, epoch, created_at, ends_at, master_version, wrapped) ",
            );
            statement.push_values(keys, |mut row, (party, key)| {
                row.push_bind(party.as_str())
                    .push_bind(i64::from(key.generation.0))
                    .push_bind(key.state.as_str())
                    .push_bind(i64::from(key.epoch.0))
                    .push_bind(rows::column(key.created_at.0))
                    .push_bind(rows::moment_column(key.ends_at))
                    .push_bind(i64::from(key.master_version))
                    .push_bind(key.wrapped.as_slice());
            });
            run(self, statement, keys.len()).await?;
        }
        Ok(())
    }

    async fn rewrap_keys(&mut self, keys: &[(&BoundKey, &KeyRecord)]) -> Result<u64, StoreError> {
        let mut written = 0;
        for (found, key) in keys {
            let values = [
                Value::Number(key.epoch.0.into()),
                Value::Number(key.master_version.into()),
                Value::Bytes(&key.wrapped),
                Value::Text(found.party.as_str()),
                Value::Number(found.key.generation.0.into()),
                Value::Text(found.key.state.as_str()),
                Value::Number(found.key.epoch.0.into()),
                Value::Number(found.key.master_version.into()),
                Value::Number(rows::column(found.revision)),
            ];
            written += self.execute(sql::REWRAP_KEY, &values).await?;
        }
        Ok(written)
    }

    async fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        let mut statement = QueryBuilder::<Sqlite>::new(
            "INSERT INTO audit (seq, at, actor, action, target, outcome, request, address, detail, hash) ",
        );
        statement.push_values(records, |mut row, record| {
            row.push_bind(rows::column(record.seq))
                .push_bind(rows::column(record.at.0))
                .push_bind(record.actor.as_str())
                .push_bind(record.action.as_str())
                .push_bind(record.target.as_str())
                .push_bind(record.outcome.as_str())
                .push_bind(record.request.as_str())
                .push_bind(record.address.as_str())
                .push_bind(record.detail.as_str())
                .push_bind(record.hash.as_slice());
        });
        run(self, statement, records.len()).await
    }
}

/// Notes when parties were last seen.
pub(super) async fn note_seen(connection: &mut SqliteConnection, seen: &[SeenRow]) -> Result<(), StoreError> {
    let rows: serde_json::Value = seen.iter().map(|row| serde_json::json!(row)).collect();
    sqlx::query(
        "INSERT INTO party_seen (name, at, process, address, process_at)
         SELECT s.value ->> 0, s.value ->> 1, s.value ->> 2, s.value ->> 3, s.value ->> 4
         FROM json_each($1) s JOIN party p ON p.name = s.value ->> 0 WHERE TRUE
         ON CONFLICT (name) DO UPDATE SET
             at = max(at, excluded.at),
             process = iif(excluded.process_at > process_at, excluded.process, process),
             address = iif(excluded.process_at > process_at, excluded.address, address),
             process_at = max(process_at, excluded.process_at)",
    )
    .bind(rows.to_string())
    .execute(connection)
    .await?;
    Ok(())
}

/// Runs a statement for so many rows. That for one is kept prepared; of the others there are too many.
async fn run(
    connection: &mut SqliteConnection,
    mut statement: QueryBuilder<Sqlite>,
    rows: usize,
) -> Result<(), StoreError> {
    statement.build().persistent(rows == 1).execute(connection).await?;
    Ok(())
}

fn bound<'q>(
    mut query: Query<'q, Sqlite, SqliteArguments>,
    values: &[Value<'q>],
) -> Query<'q, Sqlite, SqliteArguments> {
    for value in values {
        query = match *value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        };
    }
    query
}
