//! From rows to records and back, for both databases alike: the columns come as tuples in the order of [`PartyRow`] and
//! its like, and what a write may do is decided here, not in SQL.

use std::iter::Peekable;

use keycell_protocol::{Epoch, Generation, Name, RatchetPeriod, UnixMillis};

use super::{Change, ChangeNumber, Changes, KeyRecord, PartyRecord, SecretRecord, StoreError, ZoneRecord};

/// name, ratchet_period, created_at
pub(super) type ZoneRow = (String, i64, i64);
/// name, version, master_version, wrapped
pub(super) type SecretRow = (String, i64, i64, Vec<u8>);
/// name, enabled, revision, revocation_epoch, created_at, updated_at, change
pub(super) type PartyRow = (String, bool, i64, i64, i64, i64, i64);
/// party, generation, state, epoch, master_version, wrapped
pub(super) type KeyRow = (String, i64, String, i64, i64, Vec<u8>);
/// name, change
pub(super) type TombstoneRow = (String, i64);
/// revision, last_generation
pub(super) type StandingRow = (i64, i64);

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

/// Puts keys and parties together. Both come in the same order of parties, the keys by generation.
pub(super) fn parties(parties: Vec<PartyRow>, keys: Vec<KeyRow>) -> Result<Vec<PartyRecord>, StoreError> {
    let numbered = numbered_parties(parties, keys)?;
    Ok(numbered.into_iter().map(|(_, party)| party).collect())
}

/// Puts together what happened after a change: parties and tombstones, each in the order of changes.
pub(super) fn changes(
    last: i64,
    parties: Vec<PartyRow>,
    keys: Vec<KeyRow>,
    tombstones: Vec<TombstoneRow>,
) -> Result<Changes, StoreError> {
    let mut all = Vec::with_capacity(parties.len() + tombstones.len());
    for (change, party) in numbered_parties(parties, keys)? {
        all.push((change, Change::Put(party)));
    }
    for (name, change) in tombstones {
        let row = || format!("tombstone {name}");
        let parsed = name.parse().map_err(|e| StoreError::damaged(row(), &e))?;
        all.push((number(change, row, "change")?, Change::Deleted(parsed)));
    }
    all.sort_by_key(|(change, _)| *change);
    Ok(Changes { change: change_number(last)?, parties: all.into_iter().map(|(_, change)| change).collect() })
}

/// The generation of a `last_generation` column; 0 stands for none.
pub(super) fn last_generation(name: &Name, last: i64) -> Result<Option<Generation>, StoreError> {
    let last: u32 = number(last, || format!("party {name}"), "last_generation")?;
    Ok((last != 0).then_some(Generation(last)))
}

/// What a write finds in the database under the party's name.
pub(super) struct Found {
    /// The party's own row.
    pub(super) live: Option<StandingRow>,
    /// The generations of its keys.
    pub(super) generations: Vec<i64>,
    /// The `last_generation` of its tombstone.
    pub(super) buried: Option<i64>,
}

/// What a write is to put into the party's row.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Planned {
    pub(super) revision: i64,
    pub(super) last_generation: i64,
}

/// Decides whether a party may be written over what was found. A generation number never means two keys: one that is
/// not there now must be above all that were (docs/protocol.md §4.1).
pub(super) fn plan(party: &PartyRecord, expected: Option<u64>, found: &Found) -> Result<Planned, StoreError> {
    let revision = match (expected, found.live) {
        (None, None) => 1,
        (None, Some(_)) => return Err(StoreError::Exists { what: format!("the party {}", party.name) }),
        (Some(_), None) => return Err(StoreError::Missing { name: party.name.clone() }),
        (Some(expected), Some((revision, _))) => {
            expect(&party.name, Some(expected), revision)?;
            revision.saturating_add(1)
        }
    };
    let mut last = found.live.map(|(_, last)| last).or(found.buried).unwrap_or(0);
    let before = last;
    for key in &party.keys {
        let generation = i64::from(key.generation.0);
        if generation <= before && !found.generations.contains(&generation) {
            return Err(StoreError::GenerationUsed {
                name: party.name.clone(),
                generation: key.generation,
                last: Generation(u32::try_from(before).unwrap_or(u32::MAX)),
            });
        }
        last = last.max(generation);
    }
    Ok(Planned { revision, last_generation: last })
}

/// Refuses a party that is at another revision than the caller knows.
pub(super) fn expect(name: &Name, expected: Option<u64>, revision: i64) -> Result<(), StoreError> {
    let found = number(revision, || format!("party {name}"), "revision")?;
    match expected {
        Some(expected) if expected != found => {
            Err(StoreError::Changed { name: name.clone(), expected, found })
        }
        _ => Ok(()),
    }
}

/// A number as SQL keeps it. No time, revision or change comes near 2⁶³.
pub(super) fn column(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn numbered_parties(
    parties: Vec<PartyRow>,
    keys: Vec<KeyRow>,
) -> Result<Vec<(u64, PartyRecord)>, StoreError> {
    let mut keys = keys.into_iter().peekable();
    let mut records = Vec::with_capacity(parties.len());
    for row in parties {
        records.push(party(row, &mut keys)?);
    }
    match keys.next() {
        None => Ok(records),
        Some((party, generation, ..)) => {
            Err(StoreError::damaged(format!("party_key {party} {generation}"), &"there is no such party"))
        }
    }
}

fn party(
    (name, enabled, revision, revocation_epoch, created_at, updated_at, change): PartyRow,
    keys: &mut Peekable<impl Iterator<Item = KeyRow>>,
) -> Result<(u64, PartyRecord), StoreError> {
    let row = || format!("party {name}");
    let mut record = PartyRecord {
        name: name.parse().map_err(|e| StoreError::damaged(row(), &e))?,
        enabled,
        revision: number(revision, row, "revision")?,
        revocation_epoch: number(revocation_epoch, row, "revocation_epoch")?,
        created_at: UnixMillis(number(created_at, row, "created_at")?),
        updated_at: UnixMillis(number(updated_at, row, "updated_at")?),
        keys: Vec::new(),
    };
    while let Some(row) = keys.next_if(|(party, ..)| *party == name) {
        record.keys.push(key(row)?);
    }
    Ok((number(change, row, "change")?, record))
}

fn key((party, generation, state, epoch, master_version, wrapped): KeyRow) -> Result<KeyRecord, StoreError> {
    let row = || format!("party_key {party} {generation}");
    Ok(KeyRecord {
        generation: Generation(number(generation, row, "generation")?),
        state: state.parse().map_err(|e| StoreError::damaged(row(), &e))?,
        epoch: Epoch(number(epoch, row, "epoch")?),
        master_version: number(master_version, row, "master_version")?,
        wrapped,
    })
}

fn number<T: TryFrom<i64>>(value: i64, row: impl Fn() -> String, column: &str) -> Result<T, StoreError> {
    T::try_from(value).map_err(|_| StoreError::damaged(row(), &format!("{column} is out of range")))
}

#[cfg(test)]
mod tests {
    use keycell_protocol::Generation;

    use super::super::KeyState;
    use super::*;

    fn record(generations: &[u32]) -> PartyRecord {
        let key = |g: &u32| KeyRecord {
            generation: Generation(*g),
            state: KeyState::Active,
            epoch: Epoch(0),
            master_version: 1,
            wrapped: vec![],
        };
        PartyRecord {
            name: "a@z".parse().unwrap(),
            enabled: true,
            revision: 1,
            revocation_epoch: 0,
            created_at: UnixMillis(1),
            updated_at: UnixMillis(1),
            keys: generations.iter().map(key).collect(),
        }
    }

    fn found(live: Option<StandingRow>, generations: &[i64], buried: Option<i64>) -> Found {
        Found { live, generations: generations.to_vec(), buried }
    }

    #[test]
    fn a_generation_never_means_two_keys() {
        let used = |result| matches!(result, Err(StoreError::GenerationUsed { last: Generation(4), .. }));
        let live = found(Some((7, 4)), &[3], None);
        assert_eq!(
            plan(&record(&[3, 5]), Some(7), &live).unwrap(),
            Planned { revision: 8, last_generation: 5 }
        );
        assert_eq!(plan(&record(&[]), Some(7), &live).unwrap(), Planned { revision: 8, last_generation: 4 });
        assert!(used(plan(&record(&[3, 4]), Some(7), &live)));
        let buried = found(None, &[], Some(4));
        assert!(used(plan(&record(&[4]), None, &buried)));
        assert_eq!(plan(&record(&[5]), None, &buried).unwrap(), Planned { revision: 1, last_generation: 5 });
    }

    #[test]
    fn a_key_without_its_party_is_damage() {
        let key = ("b@z".to_owned(), 2, "active".to_owned(), 0, 1, vec![]);
        let party = ("a@z".to_owned(), true, 1, 0, 0, 0, 1);
        let error = parties(vec![party], vec![key]).unwrap_err();
        assert!(error.to_string().contains("party_key b@z 2"), "{error}");
    }
}
