//! From rows to records and back, for both databases alike: the columns come as tuples in the order of `PartyRow` and its
//! like, and what a write may do is decided here, not in SQL.

mod at_rest;
mod audit;
mod document;
#[cfg(test)]
mod mangled;
mod party;
mod plan;
mod seen;

use keycell_protocol::{RatchetPeriod, UnixMillis};
use sqlx::{ColumnIndex, Decode, FromRow, Row};

use super::{ChangeNumber, Damaged, SecretRecord, StoreError, ZoneRecord};

pub(super) use at_rest::{
    BoundEnrollmentRow, BoundKeyRow, ratchet_epoch, stale_answers, stale_enrollments, stale_keys, wrapped,
};
pub(super) use audit::{audit_query, may_trim, record, seal};
pub(super) use document::{answer, document, documents, may_delete_document, may_put_document};
pub(super) use party::{
    author_column, buried, changes, earlier, enrollment_column, moment_column, parties, seal_column,
    seal_master_column, snapshot,
};
pub(super) use plan::{Finding, Planned, Replaces, expect, plan, plan_over};
pub(super) use seen::{SeenRow, latest, seen};

/// name, ratchet_period, created_at
pub(super) type ZoneRow = (String, i64, i64);
/// name, version, master_version, wrapped
pub(super) type SecretRow = (String, i64, i64, Vec<u8>);

/// A row as it came from the database, or what is wrong with it.
pub(super) type Read<T> = Result<T, (String, Damaged)>;

/// Decodes rows one by one: a value that its column cannot hold is damage of its row, and of no other. Such a row is named
/// by its first column, which is given beside.
pub(super) fn read<R, T>(table: &str, rows: &[R]) -> Vec<Read<T>>
where
    R: Row,
    usize: ColumnIndex<R>,
    String: for<'r> Decode<'r, R::Database>,
    T: for<'r> FromRow<'r, R>,
{
    read_named(table, 1, rows)
}

/// As [`read`], where so many columns name a row.
pub(super) fn read_named<R, T>(table: &str, columns: usize, rows: &[R]) -> Vec<Read<T>>
where
    R: Row,
    usize: ColumnIndex<R>,
    String: for<'r> Decode<'r, R::Database>,
    T: for<'r> FromRow<'r, R>,
{
    let decoded = |row: &R| {
        T::from_row(row).map_err(|error| {
            let column = |at| row.try_get_unchecked::<String, _>(at).unwrap_or_default();
            let name = (0..columns).map(column).collect::<Vec<_>>().join(" ");
            let damaged = Damaged { row: format!("{table} {name}"), reason: error.to_string() };
            (name, damaged)
        })
    };
    rows.iter().map(decoded).collect()
}

pub(super) fn zone((name, ratchet_period, created_at): ZoneRow) -> Result<ZoneRecord, StoreError> {
    let row = || format!("zone {name}");
    Ok(ZoneRecord {
        zone: name.parse().map_err(|e| StoreError::damaged(row(), &e))?,
        ratchet_period: u32::try_from(ratchet_period)
            .ok()
            .and_then(RatchetPeriod::from_seconds)
            .ok_or_else(|| StoreError::damaged(row(), &"ratchet_period is out of range"))?,
        created_at: UnixMillis(number(created_at, row, "created_at")?),
    })
}

pub(super) fn secret(
    (name, version, master_version, wrapped): SecretRow,
) -> Result<SecretRecord, StoreError> {
    let row = || format!("secret {name}");
    Ok(SecretRecord {
        version: number(version, row, "version")?,
        master_version: number(master_version, row, "master_version")?,
        wrapped,
        name,
    })
}

pub(super) fn change_number(last: i64) -> Result<ChangeNumber, StoreError> {
    Ok(ChangeNumber(number(last, || "change_counter 1".to_owned(), "last")?))
}

/// A moment that was noted; one before 1970 was not by Keycell.
pub(super) fn moment(at: i64) -> UnixMillis {
    UnixMillis(u64::try_from(at).unwrap_or(0))
}

/// A number as SQL keeps it. No time, revision or change comes near 2⁶³.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn number<T: TryFrom<i64>>(value: i64, row: impl Fn() -> String, column: &str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::damaged(row(), &format!("{column} is out of range")))
}

fn damaged(error: StoreError) -> Damaged {
    match error {
        StoreError::Damaged { row, reason } => Damaged { row, reason },
        error => Damaged { row: String::new(), reason: error.to_string() },
    }
}
