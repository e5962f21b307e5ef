//! Writing many rows at once, and the single steps of an act.

use async_trait::async_trait;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::{PgConnection, Postgres};

use super::read;
use crate::audit::{Record, Seal, SealKind};
use crate::store::rows::{self, Finding, Replaces, SeenRow};
use crate::store::writer::{Put, Value, Writer};
use crate::store::{BoundKey, KeyRecord, StoreError, sql};

#[async_trait]
impl Writer for PgConnection {
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
        let names = |replaced| -> Vec<&str> {
            let of = puts.iter().filter(move |put| put.planned.replaces == replaced);
            of.map(|put| put.party.name.as_str()).collect()
        };
        sqlx::query(
            "INSERT INTO party (name, enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note,
                 rotate_after, author_key, enrollment, enrollment_seal, enrollment_master, last_generation, change)
             SELECT * FROM UNNEST($1::text[], $2::boolean[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[],
                 $7::boolean[], $8::text[], $9::bigint[], $10::bytea[], $11::text[], $12::bytea[], $13::bigint[],
                 $14::bigint[], $15::bigint[])
             ON CONFLICT (name) DO UPDATE SET
                 enabled = excluded.enabled, revision = excluded.revision,
                 revocation_epoch = excluded.revocation_epoch, updated_at = excluded.updated_at,
                 log_tickets = excluded.log_tickets, note = excluded.note, rotate_after = excluded.rotate_after,
                 author_key = excluded.author_key, enrollment = excluded.enrollment,
                 enrollment_seal = excluded.enrollment_seal, enrollment_master = excluded.enrollment_master,
                 last_generation = excluded.last_generation, change = excluded.change",
        )
        .bind(column(puts, |put| put.party.name.as_str()))
        .bind(column(puts, |put| put.party.enabled))
        .bind(column(puts, |put| put.planned.revision))
        .bind(column(puts, |put| i64::from(put.party.revocation_epoch)))
        .bind(column(puts, |put| rows::column(put.party.created_at.0)))
        .bind(column(puts, |put| rows::column(put.party.updated_at.0)))
        .bind(column(puts, |put| put.party.log_tickets))
        .bind(column(puts, |put| put.party.note.as_str()))
        .bind(column(puts, |put| rows::moment_column(put.party.rotate_after)))
        .bind(column(puts, |put| rows::author_column(put.party.author_key.as_ref())))
        .bind(column(puts, |put| rows::enrollment_column(put.party.enrollment.as_deref())))
        .bind(column(puts, |put| rows::seal_column(put.party)))
        .bind(column(puts, |put| rows::seal_master_column(put.party)))
        .bind(column(puts, |put| put.planned.last_generation))
        .bind(column(puts, |put| put.change))
        .execute(&mut *self)
        .await?;
        for (old, names) in [
            ("DELETE FROM party_key WHERE party = ANY($1)", names(Replaces::Keys)),
            ("DELETE FROM tombstone WHERE name = ANY($1)", names(Replaces::Tombstone)),
        ] {
            if !names.is_empty() {
                sqlx::query(old).bind(names).execute(&mut *self).await?;
            }
        }
        let keys: Vec<_> = puts
            .iter()
            .flat_map(|put| put.party.keys.iter().map(|key| (put.party.name.as_str(), key)))
            .collect();
        sqlx::query(
            "INSERT INTO party_key (party, generation, state, epoch, created_at, ends_at, master_version, wrapped)
             SELECT * FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                 $7::bigint[], $8::bytea[])",
        )
        .bind(column(&keys, |(party, _)| *party))
        .bind(column(&keys, |(_, key)| i64::from(key.generation.0)))
        .bind(column(&keys, |(_, key)| key.state.as_str()))
        .bind(column(&keys, |(_, key)| i64::from(key.epoch.0)))
        .bind(column(&keys, |(_, key)| rows::column(key.created_at.0)))
        .bind(column(&keys, |(_, key)| rows::moment_column(key.ends_at)))
        .bind(column(&keys, |(_, key)| i64::from(key.master_version)))
        .bind(column(&keys, |(_, key)| key.wrapped.as_slice()))
        .execute(self)
        .await?;
        Ok(())
    }

    async fn rewrap_keys(&mut self, keys: &[(&BoundKey, &KeyRecord)]) -> Result<u64, StoreError> {
        // In one statement: each of its own would keep other writers waiting for a journey there and back.
        let done = sqlx::query(
            "UPDATE party_key k SET epoch = n.epoch, master_version = n.master_version, wrapped = n.wrapped
             FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::bigint[], $5::bigint[], $6::bigint[],
                 $7::bigint[], $8::bigint[], $9::bytea[])
                 AS n (party, generation, state, was_epoch, was_version, revision, epoch, master_version, wrapped)
             JOIN party p ON p.name = n.party AND p.revision = n.revision
             WHERE k.party = n.party AND k.generation = n.generation AND k.state = n.state
               AND k.epoch = n.was_epoch AND k.master_version = n.was_version",
        )
        .bind(column(keys, |(found, _)| found.party.as_str()))
        .bind(column(keys, |(found, _)| i64::from(found.key.generation.0)))
        .bind(column(keys, |(found, _)| found.key.state.as_str()))
        .bind(column(keys, |(found, _)| i64::from(found.key.epoch.0)))
        .bind(column(keys, |(found, _)| i64::from(found.key.master_version)))
        .bind(column(keys, |(found, _)| rows::column(found.revision)))
        .bind(column(keys, |(_, key)| i64::from(key.epoch.0)))
        .bind(column(keys, |(_, key)| i64::from(key.master_version)))
        .bind(column(keys, |(_, key)| key.wrapped.as_slice()))
        .execute(self)
        .await?;
        Ok(done.rows_affected())
    }

    async fn append(&mut self, records: &[Record]) -> Result<(), StoreError> {
        sqlx::query(
            "INSERT INTO audit (seq, at, actor, action, target, outcome, request, address, detail, hash)
             SELECT * FROM UNNEST($1::bigint[], $2::bigint[], $3::text[], $4::text[], $5::text[], $6::text[],
                 $7::text[], $8::text[], $9::text[], $10::bytea[])",
        )
        .bind(column(records, |record| rows::column(record.seq)))
        .bind(column(records, |record| rows::column(record.at.0)))
        .bind(column(records, |record| record.actor.as_str()))
        .bind(column(records, |record| record.action.as_str()))
        .bind(column(records, |record| record.target.as_str()))
        .bind(column(records, |record| record.outcome.as_str()))
        .bind(column(records, |record| record.request.as_str()))
        .bind(column(records, |record| record.address.as_str()))
        .bind(column(records, |record| record.detail.as_str()))
        .bind(column(records, |record| record.hash.as_slice()))
        .execute(self)
        .await?;
        Ok(())
    }
}

/// Notes when parties were last seen. The lock is that of every write: a party that is being deleted is noted before, and
/// forgotten with it, or not at all.
pub(super) async fn note_seen(connection: &mut PgConnection, seen: &[SeenRow]) -> Result<(), StoreError> {
    sqlx::query(sql::TAKE_CHANGES).bind(0_i64).execute(&mut *connection).await?;
    sqlx::query(
        "INSERT INTO party_seen AS known (name, at, process, address, process_at)
         SELECT s.* FROM UNNEST($1::text[], $2::bigint[], $3::text[], $4::text[], $5::bigint[])
             AS s (name, at, process, address, process_at) JOIN party p ON p.name = s.name
         ON CONFLICT (name) DO UPDATE SET
             at = greatest(known.at, excluded.at),
             process = CASE WHEN excluded.process_at > known.process_at THEN excluded.process ELSE known.process END,
             address = CASE WHEN excluded.process_at > known.process_at THEN excluded.address ELSE known.address END,
             process_at = greatest(known.process_at, excluded.process_at)",
    )
    .bind(column(seen, |row| row.0.as_str()))
    .bind(column(seen, |row| row.1))
    .bind(column(seen, |row| row.2.as_str()))
    .bind(column(seen, |row| row.3.as_str()))
    .bind(column(seen, |row| row.4))
    .execute(connection)
    .await?;
    Ok(())
}

/// One column of many rows.
fn column<'a, R, T>(rows: &'a [R], value: impl Fn(&'a R) -> T) -> Vec<T> {
    rows.iter().map(value).collect()
}

fn bound<'q>(
    mut query: Query<'q, Postgres, PgArguments>,
    values: &[Value<'q>],
) -> Query<'q, Postgres, PgArguments> {
    for value in values {
        query = match *value {
            Value::Number(number) => query.bind(number),
            Value::Text(text) => query.bind(text),
            Value::Bytes(bytes) => query.bind(bytes),
        };
    }
    query
}
