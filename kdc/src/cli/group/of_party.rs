//! Of which groups a party is a member, for `keycell party show`.

use std::io;

use keycell_protocol::Name;
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::{Admin, Failed};
use super::list::Wanted;
use super::state;
use crate::api::LeftOut;

/// The groups that a pattern of which is about a party; none where its KDC does not tell.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(in crate::cli) struct OfParty {
    groups: Option<Vec<Membership>>,
}

/// What a party is in one group.
#[derive(Debug, Serialize)]
struct Membership {
    name: Name,
    #[serde(skip_serializing_if = "Option::is_none")]
    left_out: Option<LeftOut>,
}

impl OfParty {
    pub(in crate::cli) async fn ask(party: &Name, admin: &Admin) -> Outcome<Self> {
        let wanted = Wanted { member: Some(party), left_out: true };
        match wanted.read(None, usize::MAX, admin).await {
            Ok(page) => {
                let groups = page.groups.into_iter();
                let groups = groups.map(|group| Membership { name: group.name, left_out: group.left_out });
                Ok(Self { groups: Some(groups.collect()) })
            }
            // A KDC of an earlier release; the party is shown all the same.
            Err(error)
                if error.downcast_ref::<Failed>().is_some_and(|failed| failed.is_unknown("member")) =>
            {
                Ok(Self { groups: None })
            }
            Err(error) => Err(error),
        }
    }

    /// Says it in a sentence or two.
    pub(in crate::cli) fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        writeln!(out)?;
        let Some(groups) = &self.groups else { return writeln!(out, "This KDC does not tell its groups.") };
        let (members, others): (Vec<_>, Vec<_>) = groups.iter().partition(|group| group.left_out.is_none());
        let named = |groups: &[&Membership], name: fn(&Membership) -> String| {
            let mut text = groups.iter().take(SHOWN).map(|group| name(group)).collect::<Vec<_>>().join(", ");
            if groups.len() > SHOWN {
                let more = groups.len() - SHOWN;
                text.push_str(&format!(" and {more} more (`keycell group list --member NAME --all`)"));
            }
            text
        };
        match members.is_empty() {
            true => writeln!(out, "Member of no group.")?,
            false => writeln!(out, "Member of {}.", named(&members, |group| group.name.to_string()))?,
        }
        if !others.is_empty() {
            let name = |group: &Membership| format!("{} ({})", group.name, state(group.left_out));
            writeln!(out, "No member of {}.", named(&others, name))?;
        }
        Ok(())
    }
}

/// More than fit a glance.
const SHOWN: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    fn written(groups: Option<Vec<(String, Option<LeftOut>)>>) -> String {
        let membership = |(name, left_out): (String, Option<LeftOut>)| Membership {
            name: name.parse().unwrap(),
            left_out,
        };
        let of = OfParty { groups: groups.map(|groups| groups.into_iter().map(membership).collect()) };
        let mut out = Vec::new();
        of.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn members_are_told_from_those_that_are_left_out() {
        assert_eq!(written(None), "\nThis KDC does not tell its groups.\n");
        assert_eq!(written(Some(Vec::new())), "\nMember of no group.\n");
        let groups = [("a@z", None), ("b@z", Some(LeftOut::Excluded)), ("c@z", None)];
        let told = written(Some(groups.map(|(name, reason)| (name.to_owned(), reason)).to_vec()));
        assert_eq!(told, "\nMember of a@z, c@z.\nNo member of b@z (left out: taken out).\n");
        let many = written(Some((0..20).map(|n| (format!("g{n}@z"), None)).collect()));
        assert!(many.ends_with("g15@z and 4 more (`keycell group list --member NAME --all`).\n"), "{many}");
    }
}
