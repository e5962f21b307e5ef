//! Who is a member of a group, and who is left out.

use std::ops::Bound;

use keycell_protocol::Name;

use super::{AdminError, Groups};
use crate::api::{LeftOut, MemberView};
use crate::directory::Party;
use crate::groups::GroupRecord;

impl Groups {
    /// Up to `limit` groups that a party is a member of, in the order of their names, from the first after `after`; with
    /// those that it is left out of and why, if they are asked for. An index of all patterns finds them: it costs the same
    /// however many parties there are.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] where there is no such party: who mistypes a name must not believe that it gets no message.
    pub fn of_party(
        &self,
        party: &Name,
        after: Option<&Name>,
        limit: usize,
        left_out: bool,
    ) -> Result<Vec<(GroupRecord, Option<LeftOut>)>, AdminError> {
        let directory = self.ledger.directory();
        let found = directory.party(party.as_str());
        let enabled = found
            .ok_or_else(|| AdminError::invalid("member", format!("there is no party {party}")))?
            .enabled();
        let memberships = directory.memberships();
        let mut groups = memberships.about(party);
        if left_out {
            // One that was taken out stays so where no pattern is about it any more.
            groups.extend(memberships.groups().filter(|group| group.record().excluded.contains(party)));
            groups.sort_by(|a, b| a.name().cmp(b.name()));
            groups.dedup_by(|a, b| a.name() == b.name());
        }
        let told =
            groups.into_iter().filter(|group| after.is_none_or(|after| group.name() > after)).map(|group| {
                let excluded = group.record().excluded.contains(party).then_some(LeftOut::Excluded);
                (group.record(), excluded.or((!enabled).then_some(LeftOut::Disabled)))
            });
        let told = told.filter(|(_, reason)| left_out || reason.is_none()).take(limit);
        Ok(told.map(|(record, reason)| (record.clone(), reason)).collect())
    }

    /// How many parties are members now. It looks at all of them.
    #[must_use]
    pub fn count(&self, group: &GroupRecord) -> u64 {
        let parties = self.ledger.directory().all();
        parties.iter().filter(|party| party.enabled() && group.includes(party.name())).count() as u64
    }

    /// Up to `limit` members in the order of their names, from the first after `after`; with those that are left out, if
    /// they are asked for. It may look at all parties.
    #[must_use]
    pub fn members(
        &self,
        group: &GroupRecord,
        after: Option<&Name>,
        limit: usize,
        left_out: bool,
    ) -> Vec<MemberView> {
        let directory = self.ledger.directory();
        let wanted = |party: &Party| {
            let excluded = group.excluded.contains(party.name());
            match left_out {
                true => excluded || is_about(group, party.name()),
                false => party.enabled() && !excluded && is_about(group, party.name()),
            }
        };
        let view = |party: &Party| {
            let excluded = group.excluded.contains(party.name()).then_some(LeftOut::Excluded);
            let disabled = (!party.enabled()).then_some(LeftOut::Disabled);
            MemberView { name: party.name().clone(), left_out: excluded.or(disabled) }
        };
        let mut page: Vec<_> = directory.page(after, limit, wanted).iter().map(|party| view(party)).collect();
        if left_out {
            // Those that are no party any more: one that gets the name is still no member.
            let from = after.map_or(Bound::Unbounded, Bound::Excluded);
            let gone = group.excluded.range::<Name, _>((from, Bound::Unbounded));
            let gone = gone.filter(|name| directory.party(name.as_str()).is_none()).take(limit);
            page.extend(
                gone.map(|name| MemberView { name: name.clone(), left_out: Some(LeftOut::Excluded) }),
            );
            page.sort_by(|a, b| a.name.cmp(&b.name));
            page.truncate(limit);
        }
        page
    }
}

/// Whether a pattern of the group is about a party.
pub(super) fn is_about(group: &GroupRecord, party: &Name) -> bool {
    group.members.iter().any(|pattern| pattern.matches(party))
}
