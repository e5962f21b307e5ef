//! Groups that are alive as far as is known, and what became of those that the database does not have.

use std::collections::BTreeSet;

use super::known::{Entry, GroupMark, Known};
use super::{UnixMillis, Watermark};
use crate::audit::Action;
use crate::store::{AuditQuery, Documents, Store, StoreError};

/// The groups that were alive, as far as was known when this was asked for; as their deletion would be remembered.
pub(crate) struct Living(Vec<Entry>);

impl Watermark {
    /// The groups that are alive. Whoever reads what groups there are asks for these first: one that another KDC makes
    /// meanwhile, and of which the file tells, is none of them.
    pub(crate) fn living_groups(&self) -> Living {
        let state = self.lock();
        let alive = state.known.groups.iter().filter(|(_, mark)| !mark.deleted && !mark.absent);
        Living(alive.map(|(name, mark)| Entry::Group(name.clone(), mark.clone().of_deletion())).collect())
    }

    /// Takes in that those of `living` that are not `there` were deleted. One whose row does not hold is there.
    pub(crate) fn saw_deleted_groups(&self, living: Living, there: &Documents) {
        let Some(ids) = there.ids() else { return };
        let Living(entries) = living;
        let is_gone = |entry: &Entry| matches!(entry, Entry::Group(name, _) if !ids.contains(name.local()));
        entries.into_iter().filter(is_gone).for_each(|entry| self.saw(entry));
    }

    /// Takes in what an older database lacks that another KDC accepted.
    pub(super) async fn lacks(&self, store: &dyn Store, there: &Documents) -> Result<(), StoreError> {
        let mut known = self.known();
        let ids = there.ids();
        lacks(store, &mut known, |name| ids.as_ref().is_none_or(|ids| ids.contains(name))).await?;
        self.lock().known = known;
        Ok(())
    }
}

/// Tells groups that an accepted database lacks because it is older from those that were deleted: of these its audit log
/// tells. The others were taken from nobody, and may come back with a newer backup.
pub(super) async fn lacks(
    store: &dyn Store,
    known: &mut Known,
    is_there: impl Fn(&str) -> bool,
) -> Result<(), StoreError> {
    for (name, mark) in
        known.groups.iter_mut().filter(|(name, mark)| !mark.deleted && !is_there(name.local()))
    {
        match was_deleted(store, name.as_str(), mark.made).await? {
            true => *mark = mark.clone().of_deletion(),
            false => mark.absent = true,
        }
    }
    Ok(())
}

/// Whether a group that was made at that moment was deleted after it.
async fn was_deleted(store: &dyn Store, name: &str, made: UnixMillis) -> Result<bool, StoreError> {
    let query = AuditQuery {
        action: Some(Action::GroupDelete.to_string()),
        target: Some(name.to_owned()),
        since: Some(made),
        limit: 1,
        ..AuditQuery::default()
    };
    Ok(!store.audit(&query).await?.is_empty())
}

impl GroupMark {
    /// That it was deleted.
    pub(super) fn of_deletion(self) -> Self {
        Self { deleted: true, absent: false, members: Vec::new(), excluded: BTreeSet::new(), ..self }
    }
}
