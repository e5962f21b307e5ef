//! Records of the audit log and their seals, and how a query is asked.

use keycell_protocol::UnixMillis;
use sqlx::{ColumnIndex, Database, Decode, Encode, QueryBuilder, Row, Type};

use super::column;
use crate::audit::{Hash, Link, Record, Seal, SealKind};
use crate::store::{AuditQuery, StoreError, sql};

/// A record: seq, at, actor, action, target, outcome, request, address, detail, hash. What a column cannot hold is told in
/// place of it, so that one altered row keeps no other from being read: its hash does not follow from that, and so
/// verifying the log names it.
pub(in crate::store) fn record<R: Cells>(row: &R) -> Record {
    Record {
        seq: row.number(0),
        at: UnixMillis(row.number(1)),
        actor: row.text(2),
        action: row.text(3),
        target: row.text(4),
        outcome: row.text(5),
        request: row.text(6),
        address: row.text(7),
        detail: row.text(8),
        hash: row.hash(9),
    }
}

/// A seal of that kind: kind, seq, hash, at, summary, signature. What a column cannot hold is told in place of it: no
/// signature holds for that.
pub(in crate::store) fn seal<R: Cells>(kind: SealKind, row: &R) -> Seal {
    Seal {
        kind,
        link: Link { seq: row.number(1), hash: row.hash(2) },
        at: UnixMillis(row.number(3)),
        summary: row.text(4),
        signature: row.bytes(5),
    }
}

/// The columns of a row, each of them whatever the others are.
pub(in crate::store) trait Cells {
    /// 0 for what is no number: no record of Keycell is at 0, nor from 1970.
    fn number(&self, column: usize) -> u64;
    fn text(&self, column: usize) -> String;
    fn bytes(&self, column: usize) -> Vec<u8>;
    fn hash(&self, column: usize) -> Hash {
        self.bytes(column).try_into().unwrap_or_default()
    }
}

impl<R: Row> Cells for R
where
    usize: ColumnIndex<R>,
    i64: for<'r> Decode<'r, R::Database>,
    String: for<'r> Decode<'r, R::Database>,
    Vec<u8>: for<'r> Decode<'r, R::Database>,
{
    fn number(&self, column: usize) -> u64 {
        self.try_get_unchecked::<i64, _>(column).ok().and_then(|number| number.try_into().ok()).unwrap_or(0)
    }

    fn text(&self, column: usize) -> String {
        self.try_get_unchecked(column)
            .unwrap_or_else(|_| format!("not UTF-8: {}", String::from_utf8_lossy(&self.bytes(column))))
    }

    fn bytes(&self, column: usize) -> Vec<u8> {
        self.try_get_unchecked(column).unwrap_or_default()
    }
}

/// Refuses to remove records up to one that is not there, or not as it was signed.
pub(in crate::store) fn may_trim(link: &Link, found: Option<&[u8]>) -> Result<(), StoreError> {
    let reason = match found {
        Some(hash) if *hash == link.hash => return Ok(()),
        Some(_) => "its hash is not the one that the trim seal names",
        None => "a trim seal names it, and it is not there",
    };
    Err(StoreError::damaged(format!("audit {}", link.seq), &reason))
}

/// The statement that asks for what `query` wants. Texts are compared byte for byte; no pattern is made of what was given.
pub(in crate::store) fn audit_query<DB: Database>(query: &AuditQuery) -> QueryBuilder<DB>
where
    i64: for<'q> Encode<'q, DB> + Type<DB>,
    String: for<'q> Encode<'q, DB> + Type<DB>,
{
    let mut builder = QueryBuilder::new(sql::AUDIT);
    let numbers = [
        (" AND seq > ", query.after),
        (" AND seq < ", query.before),
        (" AND at >= ", query.since.map(|at| at.0)),
        (" AND at < ", query.until.map(|at| at.0)),
    ];
    for (condition, number) in numbers {
        if let Some(number) = number {
            builder.push(condition).push_bind(column(number));
        }
    }
    let texts = [
        (" AND actor = ", &query.actor),
        (" AND target = ", &query.target),
        (" AND outcome = ", &query.outcome),
    ];
    for (condition, text) in texts {
        if let Some(text) = text {
            builder.push(condition).push_bind(text.clone());
        }
    }
    if let Some(action) = &query.action {
        // `/` comes after `.`: a span that the index knows.
        builder.push(" AND (action = ").push_bind(action.clone());
        builder.push(" OR (action >= ").push_bind(format!("{action}."));
        builder.push(" AND action < ").push_bind(format!("{action}/")).push("))");
    }
    builder.push(if query.newest_first { " ORDER BY seq DESC" } else { " ORDER BY seq" });
    builder.push(" LIMIT ").push_bind(i64::from(query.limit));
    builder
}
