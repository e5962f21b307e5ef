//! Parties and their keys.

use std::collections::HashMap;

use keycell_protocol::{AuthorPublicKey, Epoch, Generation, Name, UnixMillis};
use sqlx::{ColumnIndex, Decode, FromRow, Row, Type};

use super::{Read, change_number, column, damaged, number};
use crate::enrollment::{EnrollmentRecord, EnrollmentSeal};
use crate::store::{
    Buried, Change, Changes, Damaged, Earlier, KeyRecord, Kind, PartyRecord, Snapshot, StoreError,
};

/// name, enabled, revision, revocation_epoch, created_at, updated_at, log_tickets, note, rotate_after, author_key, enrollment,
/// change
pub(in crate::store) type PartyColumns =
    (String, bool, i64, i64, i64, i64, bool, String, i64, Vec<u8>, String, i64);
/// enrollment_seal, enrollment_master
pub(in crate::store) type SealColumns = (Vec<u8>, i64);
/// party, generation, state, epoch, created_at, ends_at, master_version, wrapped
pub(in crate::store) type KeyRow = (String, i64, String, i64, i64, i64, i64, Vec<u8>);
/// name, change
pub(in crate::store) type TombstoneRow = (String, i64);
/// revision, last_generation
pub(in crate::store) type StandingRow = (i64, i64);

/// A row of `party`: more columns than a tuple may have that is to be compared and shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct PartyRow {
    pub(super) columns: PartyColumns,
    pub(super) seal: SealColumns,
}

impl<'r, R: Row> FromRow<'r, R> for PartyRow
where
    usize: ColumnIndex<R>,
    PartyColumns: FromRow<'r, R>,
    Vec<u8>: Decode<'r, R::Database> + Type<R::Database>,
    i64: Decode<'r, R::Database> + Type<R::Database>,
{
    fn from_row(row: &'r R) -> Result<Self, sqlx::Error> {
        Ok(Self { columns: FromRow::from_row(row)?, seal: (row.try_get(12)?, row.try_get(13)?) })
    }
}

/// Puts keys and parties together; any damage is an error. Both come in the same order of parties, the keys by generation.
pub(in crate::store) fn parties(
    parties: Vec<PartyRow>,
    keys: Vec<KeyRow>,
) -> Result<Vec<PartyRecord>, StoreError> {
    let parties = parties.into_iter().map(Ok).collect();
    let Numbered { parties, unreadable, damaged } = numbered(parties, keys.into_iter().map(Ok).collect());
    let first = unreadable.into_iter().map(|(_, damaged)| damaged).chain(damaged).next();
    match first {
        Some(damaged) => Err(damaged.into()),
        None => Ok(parties.into_iter().map(|(_, party)| party).collect()),
    }
}

/// All parties, without what is damaged.
pub(in crate::store) fn snapshot(
    last: i64,
    parties: Vec<Read<PartyRow>>,
    keys: Vec<Read<KeyRow>>,
) -> Result<Snapshot, StoreError> {
    let Numbered { parties, unreadable, mut damaged } = numbered(parties, keys);
    damaged.extend(unreadable.into_iter().map(|(_, damaged)| damaged));
    let parties = parties.into_iter().map(|(_, party)| party).collect();
    Ok(Snapshot { change: change_number(last)?, parties, damaged })
}

/// Puts together what happened after a change: parties and tombstones, in the order of changes, then what cannot be read;
/// and the kinds of documents.
pub(in crate::store) fn changes(
    last: i64,
    parties: Vec<Read<PartyRow>>,
    keys: Vec<Read<KeyRow>>,
    tombstones: Vec<Read<TombstoneRow>>,
    kinds: &[String],
) -> Result<Changes, StoreError> {
    let Numbered { parties, mut unreadable, damaged } = numbered(parties, keys);
    let mut all: Vec<_> = parties.into_iter().map(|(change, party)| (change, Change::Put(party))).collect();
    for row in tombstones {
        match row.and_then(tombstone) {
            Ok(buried) => all.push(buried),
            Err(damage) => unreadable.push(damage),
        }
    }
    all.sort_by_key(|(change, _)| *change);
    let unreadable = unreadable.into_iter().map(|(name, damaged)| Change::Unreadable { name, damaged });
    Ok(Changes {
        change: change_number(last)?,
        parties: all.into_iter().map(|(_, change)| change).chain(unreadable).collect(),
        documents: kinds.iter().filter_map(|name| Kind::parse(name)).collect(),
        damaged,
    })
}

/// What names were before.
pub(in crate::store) fn earlier(rows: Vec<(String, i64, i64)>) -> Result<HashMap<Name, Earlier>, StoreError> {
    let mut all = HashMap::with_capacity(rows.len());
    for (name, revision, last) in rows {
        let row = || format!("party {name}");
        let generation = Generation(number(last, row, "last_generation")?);
        let revision = number(revision, row, "revision")?;
        let name = name.parse().map_err(|e| StoreError::damaged(row(), &e))?;
        all.insert(name, Earlier { generation, revision });
    }
    Ok(all)
}

/// Parties that were deleted.
pub(in crate::store) fn buried(rows: Vec<(String, i64, i64)>) -> Vec<Buried> {
    let read = |(name, revision, generation): (String, i64, i64)| {
        let read = name.parse().ok().zip(u64::try_from(revision).ok()).zip(u32::try_from(generation).ok());
        if read.is_none() {
            tracing::warn!(party = name, "a row of tombstone is left out: it is damaged");
        }
        read.map(|((name, revision), generation)| Buried { name, revision, generation })
    };
    rows.into_iter().filter_map(read).collect()
}

/// Parties with the numbers of their last changes, and what is wrong with the others.
struct Numbered {
    parties: Vec<(u64, PartyRecord)>,
    /// By what their rows give as their names.
    unreadable: Vec<(String, Damaged)>,
    /// Single keys, which are left out.
    damaged: Vec<Damaged>,
}

fn numbered(parties: Vec<Read<PartyRow>>, keys: Vec<Read<KeyRow>>) -> Numbered {
    let mut all =
        Numbered { parties: Vec::with_capacity(parties.len()), unreadable: Vec::new(), damaged: Vec::new() };
    let mut of_party: HashMap<String, Vec<KeyRow>> = HashMap::with_capacity(parties.len());
    for row in keys {
        match row {
            Ok(row) => of_party.entry(row.0.clone()).or_default().push(row),
            Err((_, damaged)) => all.damaged.push(damaged),
        }
    }
    for row in parties {
        let (name, read) = match row {
            Ok(row) => (row.columns.0.clone(), party(row).map_err(damaged)),
            Err((name, damaged)) => (name, Err(damaged)),
        };
        let keys = of_party.remove(&name).unwrap_or_default();
        match read {
            Ok((change, mut record)) => {
                for row in keys {
                    match key(row) {
                        Ok(key) => record.keys.push(key),
                        Err(error) => all.damaged.push(damaged(error)),
                    }
                }
                all.parties.push((change, record));
            }
            Err(damaged) => all.unreadable.push((name, damaged)),
        }
    }
    for (party, generation, ..) in of_party.into_values().flatten() {
        let row = format!("party_key {party} {generation}");
        all.damaged.push(Damaged { row, reason: "there is no such party".to_owned() });
    }
    all
}

fn party(PartyRow { columns, seal }: PartyRow) -> Result<(u64, PartyRecord), StoreError> {
    let (
        name,
        enabled,
        revision,
        revocation_epoch,
        created_at,
        updated_at,
        log_tickets,
        note,
        rotate_after,
        author_key,
        enrollment,
        change,
    ) = columns;
    let row = || format!("party {name}");
    let record = PartyRecord {
        name: name.parse().map_err(|e| StoreError::damaged(row(), &e))?,
        enabled,
        revision: number(revision, row, "revision")?,
        revocation_epoch: number(revocation_epoch, row, "revocation_epoch")?,
        created_at: UnixMillis(number(created_at, row, "created_at")?),
        updated_at: UnixMillis(number(updated_at, row, "updated_at")?),
        log_tickets,
        note,
        rotate_after: moment(number(rotate_after, row, "rotate_after")?),
        author_key: author(&author_key, row)?,
        enrollment: enrolled(&enrollment, seal, row)?,
        keys: Vec::new(),
    };
    Ok((number(change, row, "change")?, record))
}

fn tombstone((name, change): TombstoneRow) -> Read<(u64, Change)> {
    let row = || format!("tombstone {name}");
    let parsed = name.parse().map_err(|e| StoreError::damaged(row(), &e));
    let read = parsed.and_then(|name| Ok((number(change, row, "change")?, Change::Deleted(name))));
    read.map_err(|error| (name, damaged(error)))
}

pub(super) fn key(
    (party, generation, state, epoch, created_at, ends_at, master_version, wrapped): KeyRow,
) -> Result<KeyRecord, StoreError> {
    let row = || format!("party_key {party} {generation}");
    Ok(KeyRecord {
        generation: Generation(number(generation, row, "generation")?),
        state: state.parse().map_err(|e| StoreError::damaged(row(), &e))?,
        epoch: Epoch(number(epoch, row, "epoch")?),
        created_at: UnixMillis(number(created_at, row, "created_at")?),
        ends_at: moment(number(ends_at, row, "ends_at")?),
        master_version: number(master_version, row, "master_version")?,
        wrapped,
    })
}

/// A party's author key as its column keeps it: nothing for none.
pub(in crate::store) fn author_column(key: Option<&AuthorPublicKey>) -> &[u8] {
    key.map_or(&[], |key| key.as_bytes())
}

pub(super) fn author(key: &[u8], row: impl Fn() -> String) -> Result<Option<AuthorPublicKey>, StoreError> {
    if key.is_empty() {
        return Ok(None);
    }
    let key = key.try_into().map_err(|_| StoreError::damaged(row(), &"author_key is not of 32 bytes"))?;
    Ok(Some(AuthorPublicKey::new(key)))
}

/// How a party came aboard as its column keeps it: nothing for one that an administrator made.
pub(in crate::store) fn enrollment_column(enrollment: Option<&EnrollmentRecord>) -> String {
    enrollment.map(EnrollmentRecord::to_json).unwrap_or_default()
}

/// What proves how a party came aboard as its column keeps it: nothing for one that an administrator made.
pub(in crate::store) fn seal_column(party: &PartyRecord) -> &[u8] {
    party.enrollment.as_ref().map_or(&[], |enrollment| &enrollment.seal.sealed)
}

/// The version of the master key that this is under.
pub(in crate::store) fn seal_master_column(party: &PartyRecord) -> i64 {
    party.enrollment.as_ref().map_or(0, |enrollment| enrollment.seal.master_version.into())
}

pub(super) fn enrolled(
    text: &str,
    (sealed, master_version): SealColumns,
    row: impl Fn() -> String,
) -> Result<Option<Box<EnrollmentRecord>>, StoreError> {
    if text.is_empty() {
        return Ok(None);
    }
    let mut read: EnrollmentRecord =
        serde_json::from_str(text).map_err(|error| StoreError::damaged(row(), &error))?;
    if enrollment_column(Some(&read)) != text {
        return Err(StoreError::damaged(row(), &"enrollment is not as Keycell writes it"));
    }
    read.seal = EnrollmentSeal { master_version: number(master_version, row, "enrollment_master")?, sealed };
    Ok(Some(Box::new(read)))
}

/// A moment as a column keeps it: 0 for none.
pub(in crate::store) fn moment_column(moment: Option<UnixMillis>) -> i64 {
    moment.map_or(0, |at| column(at.0))
}

fn moment(at: u64) -> Option<UnixMillis> {
    (at != 0).then_some(UnixMillis(at))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_without_its_party_is_damage() {
        let key = ("b@z".to_owned(), 2, "active".to_owned(), 0, 0, 0, 1, vec![]);
        let columns = ("a@z".to_owned(), true, 1, 0, 0, 0, false, String::new(), 0, vec![], String::new(), 1);
        let party = PartyRow { columns, seal: (vec![], 0) };
        let error = parties(vec![party.clone()], vec![key.clone()]).unwrap_err();
        assert!(error.to_string().contains("party_key b@z 2"), "{error}");
        let snapshot = snapshot(1, vec![Ok(party)], vec![Ok(key)]).unwrap();
        assert_eq!((snapshot.parties.len(), snapshot.damaged[0].row.as_str()), (1, "party_key b@z 2"));
    }
}
