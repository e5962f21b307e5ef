//! Who is a member of a group, and who is left out.

use std::ops::Bound;

use keycell_protocol::Name;

use super::Groups;
use crate::api::{LeftOut, MemberView};
use crate::directory::Party;
use crate::groups::GroupRecord;

impl Groups {
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
