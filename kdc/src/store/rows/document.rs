//! Documents and kept answers, and what a write may do to a document.

use keycell_protocol::UnixMillis;

use super::{Read, change_number, damaged, number};
use crate::store::{Answer, Document, Documents, Kind, StoreError};

/// kind, id, revision, body, master_version, sealed
pub(in crate::store) type DocumentRow = (String, String, i64, String, i64, Vec<u8>);
/// fingerprint, status, master_version, wrapped, expires_at
pub(in crate::store) type AnswerRow = (Vec<u8>, i64, i64, Vec<u8>, i64);

pub(in crate::store) fn document(
    (kind, id, revision, body, master_version, sealed): DocumentRow,
) -> Result<Document, StoreError> {
    let row = || format!("document {kind} {id}");
    Ok(Document {
        kind: Kind::parse(&kind).ok_or_else(|| StoreError::damaged(row(), &"no such kind"))?,
        revision: number(revision, row, "revision")?,
        master_version: number(master_version, row, "master_version")?,
        body,
        sealed,
        id,
    })
}

/// Documents of a kind with the number of the last change to one.
pub(in crate::store) fn documents(
    change: Option<i64>,
    rows: Vec<Read<DocumentRow>>,
) -> Result<Documents, StoreError> {
    let change = change_number(change.unwrap_or(0))?;
    let mut all = Documents { change, documents: Vec::with_capacity(rows.len()), damaged: Vec::new() };
    for row in rows {
        match row.map_err(|(_, damaged)| damaged).and_then(|row| document(row).map_err(damaged)) {
            Ok(document) => all.documents.push(document),
            Err(damaged) => all.damaged.push(damaged),
        }
    }
    Ok(all)
}

pub(in crate::store) fn answer(
    actor: &str,
    idempotency: &str,
    (fingerprint, status, master_version, wrapped, expires_at): AnswerRow,
) -> Result<Answer, StoreError> {
    let row = || format!("answer {actor} {idempotency}");
    Ok(Answer {
        actor: actor.to_owned(),
        idempotency: idempotency.to_owned(),
        fingerprint: fingerprint
            .try_into()
            .map_err(|_| StoreError::damaged(row(), &"fingerprint is not 32 bytes"))?,
        status: number(status, row, "status")?,
        master_version: number(master_version, row, "master_version")?,
        wrapped,
        expires_at: UnixMillis(number(expires_at, row, "expires_at")?),
    })
}

/// Decides whether a document may be written over the revision that was found.
pub(in crate::store) fn may_put_document(
    document: &Document,
    expected: Option<u64>,
    found: Option<i64>,
) -> Result<(), StoreError> {
    let (kind, id) = (document.kind, &document.id);
    match (expected, found) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(StoreError::DocumentExists { kind, id: id.clone() }),
        // One that does not count up could be taken for the one before it.
        (Some(expected), Some(_)) if document.revision <= expected => {
            Err(StoreError::DocumentChanged { kind, id: id.clone() })
        }
        (Some(_), found) => may_delete_document(kind, id, expected, found),
    }
}

/// Decides whether a document may be deleted at the revision that was found.
pub(in crate::store) fn may_delete_document(
    kind: Kind,
    id: &str,
    expected: Option<u64>,
    found: Option<i64>,
) -> Result<(), StoreError> {
    let Some(found) = found else {
        return Err(StoreError::DocumentMissing { kind, id: id.to_owned() });
    };
    let found: u64 = number(found, || format!("document {} {id}", kind.as_str()), "revision")?;
    match expected {
        Some(expected) if expected != found => Err(StoreError::DocumentChanged { kind, id: id.to_owned() }),
        _ => Ok(()),
    }
}
