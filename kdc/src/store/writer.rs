//! What committing an act needs of a database: the single steps of one open transaction.

use async_trait::async_trait;

use super::rows::{Finding, Planned};
use super::{BoundKey, KeyRecord, PartyRecord, StoreError};
use crate::audit::{Record, Seal, SealKind};

/// One open transaction of either database.
#[async_trait]
pub(super) trait Writer: Send {
    /// Runs a statement. Says how many rows it wrote.
    async fn execute(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<u64, StoreError>;

    /// The number that a query finds.
    async fn number(&mut self, sql: &'static str, values: &[Value<'_>]) -> Result<Option<i64>, StoreError>;

    /// The text that a query finds.
    async fn text(&mut self, sql: &'static str) -> Result<Option<String>, StoreError>;

    /// The hash of a record of the audit log.
    async fn record_hash(&mut self, seq: i64) -> Result<Option<Vec<u8>>, StoreError>;

    /// The seals of a kind.
    async fn seals(&mut self, kind: SealKind) -> Result<Vec<Seal>, StoreError>;

    /// What there is under these names.
    async fn find(&mut self, names: &[&str]) -> Result<Finding, StoreError>;

    /// Writes parties, at most [`RUN`] and no name twice, and replaces their keys.
    async fn put_parties(&mut self, puts: &[Put<'_>]) -> Result<(), StoreError>;

    /// Writes keys in their new wrapping, at most [`RUN`], each where it is still as it was found. Says how many were.
    async fn rewrap_keys(&mut self, keys: &[(&BoundKey, &KeyRecord)]) -> Result<u64, StoreError>;

    /// Writes records of the audit log, at most [`RUN`].
    async fn append(&mut self, records: &[Record]) -> Result<(), StoreError>;
}

/// A value of a statement.
#[derive(Clone, Copy)]
pub(super) enum Value<'a> {
    Number(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

/// A party that is to be written.
pub(super) struct Put<'a> {
    pub(super) party: &'a PartyRecord,
    pub(super) planned: Planned,
    pub(super) change: i64,
}

/// The most rows that one statement writes: SQLite takes 32,766 values in one, and a row has ten.
pub(super) const RUN: usize = 1000;
