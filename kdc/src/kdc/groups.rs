//! The keys of groups, for their members.

use std::net::IpAddr;

use keycell_protocol::{GroupKeys, SignedGroupRequest};

use super::Kdc;
use crate::audit::Denial;
use crate::issuance::{self, Denied, Extra, GivenKeys};

impl Kdc {
    /// Answers a request for group keys: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`Denied`] for the whole request; a group that is refused is part of the reply.
    pub fn group_keys(
        &self,
        signed: &SignedGroupRequest<'_>,
        address: Option<IpAddr>,
    ) -> Result<GivenKeys, Denied> {
        let moment = self.moment();
        let member = self.authenticated::<GroupKeys>(signed, moment, address)?;
        let party = member.party();
        party.seen().mark(moment.now);
        let extra = Extra {
            signers: &self.signers(),
            trusted: &self.trusted_signers(),
            rotate: self.is_to_rotate(party, member.generation(), moment.now),
            refetches_per_second: self.config.load().groups.refetches_per_second,
        };
        let given = issuance::give_keys(&member, &self.directory, moment, extra);
        let metrics = &self.metrics.groups;
        metrics.given.inc_by(given.granted.into());
        metrics.renewed.inc_by(given.renewed.into());
        metrics.refused.inc_by(given.refused.len() as u64);
        if !given.refused.is_empty() {
            given.refused.iter().for_each(|(_, problem)| self.metrics.refuse(*problem));
            let denials = given.refused.iter();
            let denials = denials.map(|(group, problem)| Denial {
                destination: group,
                problem: *problem,
                rule: None,
                border: None,
            });
            self.recorder.denied(moment.now, party.name(), address, denials);
        }
        Ok(given)
    }

    /// The groups that nobody can send to: those whose keys do not hold, then those whose rows do not.
    #[must_use]
    pub fn groups_out_of_service(&self) -> Vec<String> {
        let (memberships, now) = (self.directory.memberships(), self.now().seconds());
        let without_keys = memberships.out_of_service(now).map(|group| group.name().to_string());
        let broken = self.directory.broken_groups();
        without_keys.chain(broken.iter().map(|id| format!("{id}@{}", self.zone()))).collect()
    }

    /// Counts groups and, where there are any, their members; as often as the house is kept, for every party is looked at.
    pub(super) async fn measure_groups(&self) {
        let memberships = self.directory.memberships();
        let metrics = &self.metrics.groups;
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        metrics.groups.set(count(memberships.groups().count()));
        metrics.out_of_service.set(count(self.groups_out_of_service().len()));
        metrics.chains.inc_by(self.directory.chains_begun().saturating_sub(metrics.chains.get()));
        if memberships.groups().next().is_none() {
            return;
        }
        let parties = self.directory.all();
        // Requests are not to wait behind it.
        let count = move || {
            let enabled = parties.iter().filter(|party| party.enabled());
            memberships.count(enabled.map(|party| party.name()));
        };
        let _ = tokio::task::spawn_blocking(count).await;
    }
}
