//! Every group with its keys, and of which a party is a member.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use keycell_protocol::{Name, UnixSeconds};

use super::{Group, GroupRecord, secret_name};
use crate::keyring::Keyring;
use crate::policy::{Index, Pattern};
use crate::store::{ChangeNumber, SecretRecord};

/// The groups of a zone at one moment.
#[derive(Debug)]
pub struct Memberships {
    change: ChangeNumber,
    groups: BTreeMap<Name, Arc<Group>>,
    /// All patterns of all groups, and whose each of them is.
    index: Index,
    owners: Vec<Arc<Group>>,
}

impl Default for Memberships {
    fn default() -> Self {
        Self::of(ChangeNumber(0), BTreeMap::new())
    }
}

impl Memberships {
    /// The groups of these records, as they were at that change. What `known` has of the same is kept with its keys;
    /// `secrets` are only needed for the others.
    pub(crate) fn read<'a>(
        change: ChangeNumber,
        records: impl Iterator<Item = &'a GroupRecord>,
        known: &Self,
        keyring: &Keyring,
        secrets: &[SecretRecord],
    ) -> Self {
        let by_name: HashMap<_, _> = secrets.iter().map(|secret| (secret.name.as_str(), secret)).collect();
        let group = |record: &GroupRecord| {
            let group = match known.same(record) {
                Some(group) => group.clone(),
                None => {
                    let secret = |version| by_name.get(&*secret_name(&record.name, version)).copied();
                    let group = Group::new(record, keyring, secret);
                    let before = known.groups.get(&record.name);
                    // Until somebody counts again.
                    before.and_then(|before| before.members()).inspect(|members| group.count(*members));
                    Arc::new(group)
                }
            };
            (record.name.clone(), group)
        };
        Self::of(change, records.map(group).collect())
    }

    fn of(change: ChangeNumber, groups: BTreeMap<Name, Arc<Group>>) -> Self {
        let (mut patterns, mut owners): (Vec<Pattern>, Vec<Arc<Group>>) = (Vec::new(), Vec::new());
        for group in groups.values() {
            patterns.extend(group.record().members.iter().cloned());
            owners.resize(patterns.len(), group.clone());
        }
        Self { change, groups, index: Index::new(patterns), owners }
    }

    /// Whether it has this group, whole and as the record has it.
    pub(crate) fn has(&self, record: &GroupRecord) -> bool {
        self.same(record).is_some()
    }

    fn same(&self, record: &GroupRecord) -> Option<&Arc<Group>> {
        self.groups.get(&record.name).filter(|group| group.record() == record && group.is_in_service())
    }

    /// The last change to any group: the revision of the whole.
    #[must_use]
    pub const fn change(&self) -> ChangeNumber {
        self.change
    }

    /// The group of that full name.
    #[must_use]
    pub fn group(&self, name: &Name) -> Option<&Arc<Group>> {
        self.groups.get(name)
    }

    /// All groups, in the order of their names.
    pub fn groups(&self) -> impl Iterator<Item = &Arc<Group>> {
        self.groups.values()
    }

    /// The groups for which no ticket can be sealed at that moment.
    pub fn out_of_service(&self, now: UnixSeconds) -> impl Iterator<Item = &Arc<Group>> {
        self.groups().filter(move |group| group.sealing(now).is_none())
    }

    /// The groups that a party of that name is a member of while it is enabled, in the order of their names.
    #[must_use]
    pub fn of_party(&self, party: &Name) -> Vec<&Arc<Group>> {
        let mut groups = self.about(party);
        groups.retain(|group| !group.record().excluded.contains(party));
        groups
    }

    /// The groups that have a pattern which is about a party of that name, in the order of their names; also those that it is
    /// taken out of.
    #[must_use]
    pub fn about(&self, party: &Name) -> Vec<&Arc<Group>> {
        let numbers = self.index.matching(party).into_iter();
        let mut groups: Vec<_> = numbers.filter_map(|number| self.owners.get(number)).collect();
        // In the order of the patterns, and so of the groups: only what is twice beside itself goes.
        groups.dedup_by(|a, b| Arc::ptr_eq(a, b));
        groups
    }

    /// Counts the members of every group.
    pub(crate) fn count<'a>(&self, enabled: impl Iterator<Item = &'a Name>) {
        let mut counts: HashMap<&Name, u64> = HashMap::new();
        for party in enabled {
            for group in self.of_party(party) {
                *counts.entry(group.name()).or_default() += 1;
            }
        }
        for group in self.groups.values() {
            group.count(counts.get(group.name()).copied().unwrap_or(0));
        }
    }
}
