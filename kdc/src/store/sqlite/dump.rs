//! The whole database as rows, and back.

use futures_util::TryStreamExt as _;
use serde_json::Value;
use sqlx::error::ErrorKind;
use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, QueryBuilder, Row as _, Sqlite, SqliteConnection};

use crate::audit::SealKind;
use crate::store::dump::{BATCH, Cell, Described, Holds, Item, Moment, Sink, Source, bytes};
use crate::store::{StoreError, rows, sql};

/// Gives all of the database to `sink`; `connection` is in a transaction.
pub(super) async fn dump(connection: &mut SqliteConnection, sink: &mut dyn Sink) -> Result<(), StoreError> {
    let schema = sqlx::query_scalar(sql::SCHEMA).fetch_one(&mut *connection).await?;
    let zone = sqlx::query_as(sql::ZONE).fetch_optional(&mut *connection).await?;
    let zone = rows::zone(zone.ok_or(StoreError::Empty)?)?;
    let head = sqlx::query(sql::SEALS).bind(SealKind::Head.as_str()).fetch_optional(&mut *connection).await?;
    let head = head.map(|row| rows::seal(SealKind::Head, &row));
    sink.begin(&Moment { schema, zone, head }).map_err(StoreError::Copy)?;
    for table in described(connection).await? {
        sink.table(&table.table).map_err(StoreError::Copy)?;
        let mut found = sqlx::query(AssertSqlSafe(table.select())).fetch(&mut *connection);
        while let Some(row) = found.try_next().await? {
            sink.row(values(&table, &row)?).map_err(StoreError::Copy)?;
        }
    }
    Ok(())
}

/// Puts all of `source` in the place of what is there; `connection` is in a transaction.
pub(super) async fn load(
    connection: &mut SqliteConnection,
    source: &mut dyn Source,
) -> Result<(), StoreError> {
    // What is missing at the end tells more than the first row that misses it.
    sqlx::query("PRAGMA defer_foreign_keys = ON").execute(&mut *connection).await?;
    let known = described(connection).await?;
    for table in known.iter().rev() {
        sqlx::query(AssertSqlSafe(table.clear())).execute(&mut *connection).await?;
    }
    let mut current: Option<&Described> = None;
    let mut batch = Vec::new();
    while let Some(item) = source.next().map_err(StoreError::Copy)? {
        match item {
            Item::Table(table) => {
                insert(connection, current, &mut batch).await?;
                current = Some(Described::of(&known, &table)?);
            }
            Item::Row(row) => {
                let Some(table) = current else {
                    return Err(StoreError::damaged("without a table", &"a row comes before its table"));
                };
                batch.push(table.values(row)?);
                if batch.len() >= BATCH {
                    insert(connection, current, &mut batch).await?;
                }
            }
        }
    }
    insert(connection, current, &mut batch).await
}

async fn insert(
    connection: &mut SqliteConnection,
    table: Option<&Described>,
    batch: &mut Vec<Vec<Cell>>,
) -> Result<(), StoreError> {
    let Some(table) = table.filter(|_| !batch.is_empty()) else { return Ok(()) };
    let mut statement = QueryBuilder::<Sqlite>::new(table.insert());
    statement.push_values(batch.drain(..), |mut row, cells| {
        for cell in cells {
            match cell {
                Cell::Number(number) => row.push_bind(number),
                Cell::Flag(flag) => row.push_bind(flag),
                Cell::Text(text) => row.push_bind(text),
                Cell::Bytes(bytes) => row.push_bind(bytes),
            };
        }
    });
    match statement.build().persistent(false).execute(connection).await {
        // A row that this very database could not have held.
        Err(sqlx::Error::Database(error)) if error.kind() != ErrorKind::Other => {
            Err(StoreError::damaged(format!("in the table {}", table.table.name), &error))
        }
        done => Ok(done.map(drop)?),
    }
}

async fn described(connection: &mut SqliteConnection) -> Result<Vec<Described>, StoreError> {
    let catalogue = sqlx::query_as(
        "SELECT t.name, c.name, c.type FROM sqlite_schema t JOIN pragma_table_info(t.name) c
         WHERE t.type = 'table' AND t.name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY t.name, c.cid",
    );
    Described::all(catalogue.fetch_all(connection).await?, |kind| match kind {
        "INTEGER" => Some(Holds::Number),
        "TEXT" => Some(Holds::Text),
        "BLOB" => Some(Holds::Bytes),
        _ => None,
    })
}

fn values(table: &Described, row: &SqliteRow) -> Result<Vec<Value>, StoreError> {
    let value = |(at, holds): (usize, &Holds)| -> Result<Value, StoreError> {
        Ok(match holds {
            Holds::Number | Holds::Flag => row.try_get::<i64, _>(at)?.into(),
            Holds::Text => row.try_get::<String, _>(at)?.into(),
            Holds::Bytes => bytes(&row.try_get::<Vec<u8>, _>(at)?),
        })
    };
    table.holds.iter().enumerate().map(value).collect()
}
