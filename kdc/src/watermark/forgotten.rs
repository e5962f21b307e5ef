//! Groups that were deleted long ago and are not remembered by their names any more, so that the file does not grow for ever
//! in a zone that makes and deletes groups all the time.

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::What;
use super::check::goes_back;
use super::known::{Entry, Known};
use crate::groups::GroupRecord;
use crate::store::ChangeNumber;

/// Every group up to here that is not remembered by its name was deleted.
///
/// It holds because every group that is alive is remembered: at the change from which this was taken, all of them had been
/// read. A revision of a group is never beyond the number of the change that wrote it, and a new group begins beyond the
/// last change of any, so what is made later is not up to here. A database that was set back counts from an earlier number:
/// what is made in it is told by when it was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Forgotten {
    /// The last revision that it is about.
    revision: u64,
    /// The last moment at which one of them was made.
    made: UnixMillis,
}

impl Forgotten {
    pub(super) fn covers(self, revision: u64, made: UnixMillis) -> bool {
        revision <= self.revision && made <= self.made
    }

    /// All that either is about.
    fn with(self, other: Self) -> Self {
        Self { revision: self.revision.max(other.revision), made: self.made.max(other.made) }
    }
}

impl Known {
    /// What a group as it is in the database, at that revision, has that was taken from it.
    pub(super) fn group_goes_back(&self, revision: u64, record: &GroupRecord) -> Option<What> {
        match self.groups.get(&record.name) {
            Some(mark) => goes_back(mark, revision, record),
            None => self.is_forgotten(revision, record.created_at).then_some(What::GroupDeleted),
        }
    }

    /// Whether a group that is not remembered by its name is one of those.
    pub(super) fn is_forgotten(&self, revision: u64, made: UnixMillis) -> bool {
        self.forgotten.is_some_and(|forgotten| forgotten.covers(revision, made))
    }

    /// Forgets the names of those that were deleted first, once there are many. All groups that there are at this change of
    /// the groups must have been taken in. What is to be written then, if anything.
    pub(super) fn forget_groups(&mut self, change: ChangeNumber) -> Option<Entry> {
        let deleted = self.groups.iter().filter(|(_, mark)| mark.deleted);
        let mut deleted: Vec<(u64, Name)> =
            deleted.map(|(name, mark)| (mark.revision, name.clone())).collect();
        if deleted.len() < 2 * KEPT {
            return None;
        }
        deleted.sort_unstable();
        deleted.truncate(deleted.len() - KEPT);
        let mut forgotten = Forgotten { revision: change.0, made: UnixMillis(0) };
        for (_, name) in &deleted {
            if let Some(mark) = self.groups.remove(name) {
                forgotten = forgotten.with(Forgotten { revision: mark.revision, made: mark.made });
            }
        }
        let forgotten = self.forgotten.map_or(forgotten, |before| before.with(forgotten));
        self.forgotten = Some(forgotten);
        Some(Entry::Forgotten(forgotten))
    }

    /// Takes in that names were forgotten. Says whether it is news.
    pub(super) fn take_forgotten(&mut self, forgotten: Forgotten) -> bool {
        let all = self.forgotten.map_or(forgotten, |known| known.with(forgotten));
        self.groups.retain(|_, mark| !mark.deleted || !all.covers(mark.revision, mark.made));
        self.forgotten.replace(all) != Some(all)
    }
}

/// So many names of deleted groups are kept at least, and never twice as many.
const KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Chain;
    use crate::watermark::known::GroupMark;
    use keycell_protocol::{Generation, UnixSeconds};
    use std::collections::BTreeSet;

    fn group(name: &str, revision: u64, made: u64) -> GroupRecord {
        let chain = Chain {
            version: 1,
            first: Generation(1),
            begins_at: UnixSeconds(made),
            lifetime_seconds: 300,
            ended_at: None,
        };
        GroupRecord {
            name: format!("{name}@cell1.internal").parse().unwrap(),
            members: vec!["g.*@cell1.internal".parse().unwrap()],
            excluded: BTreeSet::new(),
            lifetime_seconds: 300,
            author_proof: false,
            note: String::new(),
            created_at: UnixMillis(made),
            updated_at: UnixMillis(made),
            revision,
            chains: vec![chain],
        }
    }

    fn deletion(record: &GroupRecord) -> Entry {
        Entry::Group(record.name.clone(), GroupMark::of(record).of_deletion())
    }

    fn told(known: &Known, record: &GroupRecord) -> Option<What> {
        known.group_goes_back(record.revision, record)
    }

    /// A zone in which one group stays, and others are made, changed and deleted one after the other.
    fn busy(groups: u64) -> (Known, Vec<GroupRecord>, u64) {
        let mut known = Known::default();
        known.take(Entry::of_group(&group("stays", 1, 1)));
        let (mut deleted, mut change, mut most) = (Vec::new(), 1, 0);
        for n in 0..groups {
            let made = group(&format!("g{n}"), change + 1, change + 1);
            let changed = GroupRecord { revision: made.revision + 1, ..made };
            known.take(Entry::of_group(&changed));
            known.take(deletion(&changed));
            change += 3;
            let _ = known.forget_groups(ChangeNumber(change));
            deleted.push(changed);
            most = most.max(known.len());
        }
        assert!(most <= 2 * KEPT + 1, "{most}");
        (known, deleted, change)
    }

    #[test]
    fn a_group_that_was_deleted_stays_so_however_many_came_after() {
        let (known, deleted, change) = busy(3_000);
        assert!(known.forgotten.is_some() && known.len() > KEPT);
        for record in &deleted {
            assert_eq!(told(&known, record), Some(What::GroupDeleted), "{}", record.name);
            let earlier = GroupRecord { revision: record.revision - 1, ..record.clone() };
            assert_eq!(told(&known, &earlier), Some(What::GroupDeleted), "{}", record.name);
        }
        // Whoever is alive is remembered, and who is new is another one, also under a name that is forgotten.
        assert_eq!(told(&known, &group("stays", 1, 1)), None);
        for name in ["new", "g1"] {
            assert_eq!(told(&known, &group(name, change + 1, change + 1)), None, "{name}");
            // By a clock that is behind; and in a database that counts from an earlier change, after it was set back.
            assert_eq!(told(&known, &group(name, change + 1, 5)), None, "{name}");
            assert_eq!(told(&known, &group(name, 5, change + 1)), None, "{name}");
        }
    }

    #[test]
    fn a_row_that_is_put_back_is_not_remembered_as_alive() {
        let (mut known, deleted, change) = busy(3_000);
        let first = deleted.first().unwrap();
        assert!(!known.take(Entry::of_group(first)));
        assert_eq!(told(&known, first), Some(What::GroupDeleted));
        let again = group("g0", change + 1, change + 1);
        assert!(known.take(Entry::of_group(&again)));
        assert_eq!(told(&known, &again), None);
    }

    #[test]
    fn what_is_written_says_the_same_when_it_is_read() {
        let (known, deleted, change) = busy(3_000);
        let mut read = Known::default();
        for entry in known.entries() {
            let line = serde_json::to_string(&entry).unwrap();
            read.take(serde_json::from_str(&line).unwrap());
        }
        assert_eq!(read, known);
        // A KDC that shares the file and has not forgotten yet hears of it.
        let mut other = Known::default();
        other.take(Entry::of_group(&group("stays", 1, 1)));
        deleted.iter().for_each(|record| assert!(other.take(deletion(record))));
        for entry in known.entries() {
            other.take(entry);
        }
        assert_eq!(other, known);
        assert_eq!(other.forget_groups(ChangeNumber(change)), None);
    }
}
