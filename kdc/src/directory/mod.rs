//! The parties in memory: all that the path of a ticket reads. It never asks the database.

mod follow;
mod party;

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;
use std::sync::{Arc, PoisonError, RwLock};

use keycell_protocol::Name;

pub use follow::{FollowError, Follower};
pub use party::Party;

/// Every party of the zone with its keys unwrapped, by name. About 600 bytes a party.
#[derive(Debug, Default)]
pub struct Directory {
    parties: RwLock<HashMap<Name, Arc<Party>>>,
    names: RwLock<BTreeSet<Name>>,
}

impl Directory {
    /// The party of that full name.
    #[must_use]
    pub fn party(&self, name: &str) -> Option<Arc<Party>> {
        self.parties.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.parties.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Up to `limit` parties in the order of their names, from the first after `after`.
    #[must_use]
    pub fn page(&self, after: Option<&Name>, limit: usize) -> Vec<Arc<Party>> {
        let from = after.map_or(Bound::Unbounded, Bound::Excluded);
        let names: Vec<Name> = {
            let names = self.names.read().unwrap_or_else(PoisonError::into_inner);
            names.range::<Name, _>((from, Bound::Unbounded)).take(limit).cloned().collect()
        };
        names.iter().filter_map(|name| self.party(name.as_str())).collect()
    }

    /// Takes these parties, and no others.
    fn replace(&self, parties: impl Iterator<Item = Party>) {
        let all: HashMap<_, _> = parties.map(|party| (party.name().clone(), Arc::new(party))).collect();
        *self.names.write().unwrap_or_else(PoisonError::into_inner) = all.keys().cloned().collect();
        *self.parties.write().unwrap_or_else(PoisonError::into_inner) = all;
    }

    fn put(&self, party: Party) {
        let name = party.name().clone();
        self.names.write().unwrap_or_else(PoisonError::into_inner).insert(name.clone());
        self.parties.write().unwrap_or_else(PoisonError::into_inner).insert(name, Arc::new(party));
    }

    fn remove(&self, name: &Name) {
        self.parties.write().unwrap_or_else(PoisonError::into_inner).remove(name);
        self.names.write().unwrap_or_else(PoisonError::into_inner).remove(name);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::store::{KeyState, PartyRecord};
    use keycell_protocol::{Epoch, Generation, LongTermKey, UnixMillis};

    /// A party that is enabled and has one active key.
    pub(crate) fn party(name: &str) -> Party {
        let record = PartyRecord {
            name: name.parse().unwrap(),
            enabled: true,
            revision: 1,
            revocation_epoch: 0,
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            keys: Vec::new(),
        };
        let key = LongTermKey::new(Generation(1), Epoch(20_000), [7; 32]);
        Party::new(&record, [(KeyState::Active, key)])
    }

    #[test]
    fn pages_are_in_order_and_complete() {
        let directory = Directory::default();
        for name in ["c@z", "a@z", "b@z", "d@z"] {
            directory.put(party(name));
        }
        directory.remove(&"b@z".parse().unwrap());
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let page = directory.page(after.as_ref(), 2);
            let Some(last) = page.last() else { break };
            after = Some(last.name().clone());
            seen.extend(page.iter().map(|party| party.name().to_string()));
        }
        assert_eq!(seen, ["a@z", "c@z", "d@z"]);
        assert!(directory.party("b@z").is_none());
    }
}
