//! Rows that are to be wrapped anew.

use keycell_protocol::Epoch;

use super::document::{AnswerRow, answer};
use super::party::{author, enrolled, key};
use super::{Read, damaged, number};
use crate::keyring::Standing;
use crate::store::{
    Answer, BoundEnrollment, BoundKey, KeyPlace, StaleEnrollments, StaleKeys, StoreError, Wrapped,
};

/// party, generation, state, epoch, created_at, ends_at, master_version, wrapped; enabled, revocation_epoch, author_key,
/// revision
pub(in crate::store) type BoundKeyRow =
    (String, i64, String, i64, i64, i64, i64, Vec<u8>, bool, i64, Vec<u8>, i64);
/// name, enabled, revocation_epoch, author_key, enrollment, enrollment_seal, enrollment_master, revision
pub(in crate::store) type BoundEnrollmentRow = (String, bool, i64, Vec<u8>, String, Vec<u8>, i64, i64);
/// actor, idempotency; the rest as [`AnswerRow`]
type WholeAnswerRow = (String, String, Vec<u8>, i64, i64, Vec<u8>, i64);

/// Puts keys together, without what is damaged.
pub(in crate::store) fn stale_keys(rows: Vec<Read<BoundKeyRow>>, limit: u32) -> StaleKeys {
    let full = rows.len() >= limit as usize;
    let mut found = StaleKeys { keys: Vec::with_capacity(rows.len()), damaged: Vec::new(), next: None };
    for row in rows {
        let read = row.map_err(|(_, damaged)| damaged).and_then(|row| {
            found.next = full.then(|| KeyPlace { party: row.0.clone(), generation: row.1 });
            bound_key(row).map_err(damaged)
        });
        match read {
            Ok(key) => found.keys.push(key),
            Err(damaged) => found.damaged.push(damaged),
        }
    }
    found
}

fn bound_key(row: BoundKeyRow) -> Result<BoundKey, StoreError> {
    let (
        party,
        generation,
        state,
        epoch,
        created_at,
        ends_at,
        version,
        wrapped,
        enabled,
        revocations,
        author_key,
        revision,
    ) = row;
    let named = || format!("party {party}");
    let revocation_epoch = number(revocations, named, "revocation_epoch")?;
    Ok(BoundKey {
        standing: Standing { enabled, revocation_epoch, author_key: author(&author_key, named)? },
        revision: number(revision, named, "revision")?,
        party: party.parse().map_err(|error| StoreError::damaged(named(), &error))?,
        key: key((party.clone(), generation, state, epoch, created_at, ends_at, version, wrapped))?,
    })
}

/// Puts enrollments together, without what is damaged.
pub(in crate::store) fn stale_enrollments(
    rows: Vec<Read<BoundEnrollmentRow>>,
    limit: u32,
) -> StaleEnrollments {
    let full = rows.len() >= limit as usize;
    let mut found =
        StaleEnrollments { enrollments: Vec::with_capacity(rows.len()), damaged: Vec::new(), next: None };
    for row in rows {
        let read = match row {
            Ok(row) => {
                found.next = full.then(|| row.0.clone());
                bound_enrollment(row).map_err(damaged)
            }
            Err((name, damaged)) => {
                found.next = full.then_some(name);
                Err(damaged)
            }
        };
        match read {
            Ok(enrollment) => found.enrollments.push(enrollment),
            Err(damaged) => found.damaged.push(damaged),
        }
    }
    found
}

fn bound_enrollment(
    (party, enabled, revocations, author_key, enrollment, sealed, version, revision): BoundEnrollmentRow,
) -> Result<BoundEnrollment, StoreError> {
    let named = || format!("party {party}");
    let revocation_epoch = number(revocations, named, "revocation_epoch")?;
    let enrollment = enrolled(&enrollment, (sealed, version), named)?;
    Ok(BoundEnrollment {
        standing: Standing { enabled, revocation_epoch, author_key: author(&author_key, named)? },
        revision: number(revision, named, "revision")?,
        enrollment: enrollment
            .ok_or_else(|| StoreError::damaged(named(), &"nothing is sealed by its seal"))?,
        party: party.parse().map_err(|error| StoreError::damaged(named(), &error))?,
    })
}

/// A row that is damaged is left out: nobody is answered with it, and it ends within the hour.
pub(in crate::store) fn stale_answers(rows: Vec<WholeAnswerRow>) -> Vec<Answer> {
    let whole = |(actor, idempotency, fingerprint, status, version, wrapped, expires_at): WholeAnswerRow| {
        let row: AnswerRow = (fingerprint, status, version, wrapped, expires_at);
        answer(&actor, &idempotency, row)
    };
    rows.into_iter().filter_map(|row| whole(row).ok()).collect()
}

pub(in crate::store) fn wrapped(rows: Vec<(i64, i64)>) -> Result<Vec<Wrapped>, StoreError> {
    let row = || "rows by master_version".to_owned();
    let read = |(version, rows): (i64, i64)| {
        Ok(Wrapped {
            master_version: number(version, row, "master_version")?,
            rows: number(rows, row, "count")?,
        })
    };
    rows.into_iter().map(read).collect()
}

pub(in crate::store) fn ratchet_epoch(epoch: i64) -> Result<Epoch, StoreError> {
    Ok(Epoch(number(epoch, || "zone".to_owned(), "ratchet_epoch")?))
}
