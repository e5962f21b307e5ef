//! Groups that were deleted long ago and are not remembered by their names any more, so that the file does not grow for ever
//! in a zone that makes and deletes groups all the time.

use std::collections::BTreeSet;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::What;
use super::check::goes_back;
use super::known::{Entry, Known};
use crate::groups::GroupRecord;
use crate::store::Documents;

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

    /// Forgets the names of those that were deleted first, once there are many and every group that is `there` is remembered
    /// as alive. A group that was made in the future, by a clock that was wrong, is not forgotten before then: no group
    /// that is made until then could be told from it. What is to be written then, if anything.
    pub(super) fn forget_groups(&mut self, there: &Documents, now: UnixMillis) -> Option<Entry> {
        if self.groups.values().filter(|mark| mark.deleted).count() < 2 * KEPT {
            return None;
        }
        let alive: BTreeSet<&str> =
            self.groups.iter().filter(|(_, mark)| !mark.deleted).map(|(name, _)| name.local()).collect();
        // A row that cannot be read may be of a group that was made again.
        if !there.ids()?.is_subset(&alive) {
            return None;
        }
        let deleted = self.groups.iter().filter(|(_, mark)| mark.deleted && mark.made <= now);
        let mut deleted: Vec<(u64, Name)> =
            deleted.map(|(name, mark)| (mark.revision, name.clone())).collect();
        if deleted.len() < 2 * KEPT {
            return None;
        }
        deleted.sort_unstable();
        deleted.truncate(deleted.len() - KEPT);
        let mut forgotten = Forgotten { revision: there.change.0, made: UnixMillis(0) };
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

/// So many names of deleted groups are kept at least; and not twice as many, unless one must be.
const KEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::groups::Chain;
    use crate::store::{ChangeNumber, Damaged, Document, Kind};
    use crate::watermark::known::GroupMark;
    use keycell_protocol::{Generation, UnixSeconds};

    const NOW: UnixMillis = UnixMillis(1_000_000);

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

    /// Of these groups there are rows, at that change.
    fn there(ids: &[&str], change: u64) -> Documents {
        let document = |id: &&str| Document {
            kind: Kind::Group,
            id: (*id).to_owned(),
            revision: 1,
            body: "{}".to_owned(),
            master_version: 1,
            sealed: Vec::new(),
        };
        let documents = ids.iter().map(document).collect();
        Documents { change: ChangeNumber(change), documents, damaged: Vec::new() }
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
            let _ = known.forget_groups(&there(&["stays"], change), NOW);
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
        assert_eq!(other.forget_groups(&there(&["stays"], change), NOW), None);
    }

    /// What is known when so many groups were made and deleted, and nothing was forgotten yet.
    fn many(deleted: u64) -> (Known, u64) {
        let mut known = Known::default();
        known.take(Entry::of_group(&group("stays", 1, 1)));
        let marks = (2..deleted + 2).map(|at| deletion(&group(&format!("g{at}"), at, at)));
        marks.for_each(|mark| assert!(known.take(mark)));
        (known, deleted + 2)
    }

    #[test]
    fn a_group_that_is_there_again_is_absent_no_more_whatever_its_revision() {
        let mut known = Known::default();
        let absent = GroupMark { absent: true, ..GroupMark::of(&group("g", 5, 1)) };
        known.take(Entry::Group(group("g", 5, 1).name, absent));
        assert!(known.take(Entry::of_group(&group("g", 4, 1))), "it is written");
        assert!(known.groups.values().all(|mark| !mark.absent && mark.revision == 5));
        assert!(!known.take(Entry::of_group(&group("g", 4, 1))));
    }

    #[test]
    fn a_group_that_was_made_in_the_future_does_not_count_for_when_others_were_made() {
        let (mut known, change) = many(600);
        let future = group("future", 2, NOW.0 + 1);
        known.take(deletion(&future));
        assert!(known.forget_groups(&there(&["stays"], change), NOW).is_some());
        assert_eq!(told(&known, &future), Some(What::GroupDeleted));
        // In a database that counts from an earlier change.
        assert_eq!(told(&known, &group("new", 5, NOW.0)), None);
    }

    #[test]
    fn names_are_forgotten_beside_rows_that_do_not_hold_of_groups_that_are_remembered() {
        let (known, change) = many(600);
        let forgets = |there: &Documents| known.clone().forget_groups(there, NOW).is_some();
        let damaged = |id: &str| Damaged { row: format!("document{id}"), reason: String::new() };
        let mut rows = there(&[], change);
        rows.damaged.push(damaged(" group stays"));
        assert!(forgets(&rows));
        // One that was never seen, one that was deleted and may have been made again, and one that may be any.
        assert!(!forgets(&there(&["stays", "unseen"], change)));
        assert!(!forgets(&there(&["stays", "g2"], change)));
        rows.damaged.push(damaged(""));
        assert!(!forgets(&rows));
    }
}
