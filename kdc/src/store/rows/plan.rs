//! What a write may do to a party, by what it finds under the name.

use std::collections::HashMap;

use keycell_protocol::{Generation, Name};

use super::party::StandingRow;
use super::{column, number};
use crate::store::{PartyRecord, StoreError};

/// What a look under several names finds.
#[derive(Default)]
pub(in crate::store) struct Finding {
    /// name, revision, last_generation of parties
    pub(in crate::store) live: Vec<(String, i64, i64)>,
    /// party, generation of keys
    pub(in crate::store) generations: Vec<(String, i64)>,
    /// name, revision, last_generation of tombstones
    pub(in crate::store) buried: Vec<(String, i64, i64)>,
}

impl Finding {
    /// The same by name.
    pub(in crate::store) fn by_name(self) -> HashMap<String, Found> {
        let mut all: HashMap<String, Found> = HashMap::new();
        for (name, revision, last) in self.live {
            all.entry(name).or_default().live = Some((revision, last));
        }
        for (name, generation) in self.generations {
            all.entry(name).or_default().generations.push(generation);
        }
        for (name, revision, last) in self.buried {
            all.entry(name).or_default().buried = Some((revision, last));
        }
        all
    }
}

/// What a write finds in the database under a party's name.
#[derive(Default)]
pub(in crate::store) struct Found {
    /// The party's own row.
    pub(in crate::store) live: Option<StandingRow>,
    /// The generations of its keys.
    pub(in crate::store) generations: Vec<i64>,
    /// Its tombstone.
    pub(in crate::store) buried: Option<StandingRow>,
}

/// What a write is to put into the party's row.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Planned {
    pub(in crate::store) revision: i64,
    pub(in crate::store) last_generation: i64,
    /// What must make room: the party's old keys, or its tombstone.
    pub(in crate::store) replaces: Replaces,
}

/// What is there under the name of a party that is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum Replaces {
    Nothing,
    Keys,
    Tombstone,
}

/// Decides whether a party may be written over what was found. A generation number never means two keys: one that is
/// not there now must be above all that were (docs/protocol.md §4.1).
pub(in crate::store) fn plan(
    party: &PartyRecord,
    expected: Option<u64>,
    found: &Found,
) -> Result<Planned, StoreError> {
    let revision = match (expected, found.live) {
        (None, None) => found.buried.map_or(0, |(revision, _)| revision).saturating_add(1),
        (None, Some(_)) => return Err(StoreError::Exists { what: format!("the party {}", party.name) }),
        (Some(_), None) => return Err(StoreError::Missing { name: party.name.clone() }),
        (Some(expected), Some((revision, _))) => {
            expect(&party.name, Some(expected), revision)?;
            revision.saturating_add(1)
        }
    };
    let mut last = found.live.or(found.buried).map_or(0, |(_, last)| last);
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
    Ok(Planned { revision, last_generation: last, replaces: replaces(found) })
}

/// How a party is written over whatever was found, damage included.
pub(in crate::store) fn plan_over(party: &PartyRecord, found: &Found) -> Planned {
    let (revision, last) = found.live.or(found.buried).unwrap_or_default();
    let highest = party.keys.iter().map(|key| i64::from(key.generation.0)).max().unwrap_or(0);
    Planned {
        revision: revision.max(0).saturating_add(1).max(column(party.revision)),
        last_generation: last.max(highest).max(0),
        replaces: replaces(found),
    }
}

/// Refuses a party that is at another revision than the caller knows.
pub(in crate::store) fn expect(name: &Name, expected: Option<u64>, revision: i64) -> Result<(), StoreError> {
    let Some(expected) = expected else { return Ok(()) };
    match number(revision, || format!("party {name}"), "revision")? {
        found if found == expected => Ok(()),
        found => Err(StoreError::Changed { name: name.clone(), expected, found }),
    }
}

fn replaces(found: &Found) -> Replaces {
    match found {
        Found { live: Some(_), .. } => Replaces::Keys,
        Found { buried: Some(_), .. } => Replaces::Tombstone,
        _ => Replaces::Nothing,
    }
}

#[cfg(test)]
mod tests {
    use keycell_protocol::{Epoch, UnixMillis};

    use super::*;
    use crate::store::{KeyRecord, KeyState};

    fn record(generations: &[u32]) -> PartyRecord {
        let key = |g: &u32| KeyRecord {
            generation: Generation(*g),
            state: KeyState::Active,
            epoch: Epoch(0),
            created_at: UnixMillis(1),
            ends_at: None,
            master_version: 1,
            wrapped: vec![],
        };
        let keys = generations.iter().map(key).collect();
        PartyRecord { keys, ..PartyRecord::new("a@z".parse().unwrap(), UnixMillis(1)) }
    }

    fn found(live: Option<StandingRow>, generations: &[i64], buried: Option<StandingRow>) -> Found {
        Found { live, generations: generations.to_vec(), buried }
    }

    #[test]
    fn a_generation_never_means_two_keys() {
        let used = |result| matches!(result, Err(StoreError::GenerationUsed { last: Generation(4), .. }));
        let planned = |revision, last_generation, replaces| Planned { revision, last_generation, replaces };
        let live = found(Some((7, 4)), &[3], None);
        assert_eq!(plan(&record(&[3, 5]), Some(7), &live).unwrap(), planned(8, 5, Replaces::Keys));
        assert_eq!(plan(&record(&[]), Some(7), &live).unwrap(), planned(8, 4, Replaces::Keys));
        assert!(used(plan(&record(&[3, 4]), Some(7), &live)));
        let buried = found(None, &[], Some((7, 4)));
        assert!(used(plan(&record(&[4]), None, &buried)));
        assert_eq!(plan(&record(&[5]), None, &buried).unwrap(), planned(8, 5, Replaces::Tombstone));
        assert_eq!(plan(&record(&[5]), None, &Found::default()).unwrap(), planned(1, 5, Replaces::Nothing));
    }
}
