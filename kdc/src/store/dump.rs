//! A whole database as lines, alike for both databases, and back: what a backup is made of.
//!
//! The tables and their columns are asked of the database, so that a table that is new is in the next backup too. A row
//! is a JSON array in the order of its columns: numbers and flags as numbers, texts as they are, bytes in base64url.

use std::error::Error;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{StoreError, ZoneRecord};
use crate::audit::Seal;

/// What goes wrong on the other side of a dump or a load.
pub type CopyError = Box<dyn Error + Send + Sync>;

/// Takes a whole database, as it was at one moment.
pub trait Sink: Send {
    /// Comes first.
    ///
    /// # Errors
    /// It ends the dump.
    fn begin(&mut self, moment: &Moment) -> Result<(), CopyError>;

    /// The rows that follow are of this table.
    ///
    /// # Errors
    /// It ends the dump.
    fn table(&mut self, table: &Table) -> Result<(), CopyError>;

    /// A row, in the order of the table's columns.
    ///
    /// # Errors
    /// It ends the dump.
    fn row(&mut self, row: Vec<Value>) -> Result<(), CopyError>;
}

/// Gives a whole database.
pub trait Source: Send {
    /// What comes next; `None` only when all of it was there.
    ///
    /// # Errors
    /// It ends the load, and nothing of it is kept.
    fn next(&mut self) -> Result<Option<Item>, CopyError>;
}

/// A piece of a whole database.
#[derive(Debug)]
pub enum Item {
    /// The rows that follow are of this table, with these columns.
    Table(Table),
    /// A row.
    Row(Vec<Value>),
}

/// The database that is dumped, at the moment of the dump.
#[derive(Debug, Clone)]
pub struct Moment {
    /// The schema of its tables.
    pub schema: i64,
    /// Its zone.
    pub zone: ZoneRecord,
    /// The end of its audit log.
    pub head: Option<Seal>,
}

/// A table: its name, and those of its columns.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Its name.
    #[serde(rename = "table")]
    pub name: String,
    /// Its columns.
    pub columns: Vec<String>,
}

/// What a column holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    Number,
    Flag,
    Text,
    Bytes,
}

/// A table as the catalogue of a database describes it.
#[derive(Debug, Clone)]
pub(super) struct Described {
    pub(super) table: Table,
    pub(super) holds: Vec<Holds>,
}

impl Described {
    /// Tables from a catalogue's rows, sorted by table, then column: table, column, type.
    pub(super) fn all(
        rows: Vec<(String, String, String)>,
        holds: impl Fn(&str) -> Option<Holds>,
    ) -> Result<Vec<Self>, StoreError> {
        let mut all: Vec<Self> = Vec::new();
        for (name, column, kind) in rows {
            if name == "_sqlx_migrations" {
                continue;
            }
            let holds = holds(&kind).ok_or_else(|| {
                StoreError::damaged(
                    format!("table {name}"),
                    &format!("the column {column} is of type {kind}"),
                )
            })?;
            match all.last_mut().filter(|last| last.table.name == name) {
                Some(last) => {
                    last.table.columns.push(column);
                    last.holds.push(holds);
                }
                None => all.push(Self { table: Table { name, columns: vec![column] }, holds: vec![holds] }),
            }
        }
        Ok(all)
    }

    /// The one that `table` is of, if it has the very columns.
    pub(super) fn of<'a>(all: &'a [Self], table: &Table) -> Result<&'a Self, StoreError> {
        let known = all.iter().find(|known| known.table == *table);
        known.ok_or_else(|| {
            StoreError::damaged(
                format!("table {}", table.name),
                &"this schema has no such table with these columns",
            )
        })
    }

    pub(super) fn select(&self) -> String {
        format!("SELECT {} FROM {}", self.columns(), quoted(&self.table.name))
    }

    pub(super) fn insert(&self) -> String {
        format!("INSERT INTO {} ({}) ", quoted(&self.table.name), self.columns())
    }

    pub(super) fn clear(&self) -> String {
        format!("DELETE FROM {}", quoted(&self.table.name))
    }

    /// The values of a row for its columns.
    pub(super) fn values(&self, row: Vec<Value>) -> Result<Vec<Cell>, StoreError> {
        let wrong = || {
            let row = format!("in the table {}", self.table.name);
            StoreError::damaged(row, &"a value is not what its column holds")
        };
        if row.len() != self.holds.len() {
            return Err(wrong());
        }
        let cell = |(value, holds): (Value, &Holds)| match (holds, value) {
            (Holds::Number, Value::Number(number)) => number.as_i64().map(Cell::Number),
            (Holds::Flag, Value::Number(number)) => match number.as_u64() {
                Some(0) => Some(Cell::Flag(false)),
                Some(1) => Some(Cell::Flag(true)),
                _ => None,
            },
            (Holds::Text, Value::String(text)) => Some(Cell::Text(text)),
            (Holds::Bytes, Value::String(text)) => URL_SAFE_NO_PAD.decode(text).ok().map(Cell::Bytes),
            _ => None,
        };
        row.into_iter().zip(&self.holds).map(|pair| cell(pair).ok_or_else(wrong)).collect()
    }

    fn columns(&self) -> String {
        let columns: Vec<_> = self.table.columns.iter().map(|column| quoted(column)).collect();
        columns.join(", ")
    }
}

/// A value on its way into a column.
pub(super) enum Cell {
    Number(i64),
    Flag(bool),
    Text(String),
    Bytes(Vec<u8>),
}

/// Bytes as a backup has them.
pub(super) fn bytes(bytes: &[u8]) -> Value {
    Value::String(URL_SAFE_NO_PAD.encode(bytes))
}

/// Rows that one statement writes: no table has so many columns that it would be too many values.
pub(super) const BATCH: usize = 400;

fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
