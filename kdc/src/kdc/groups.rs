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
        let member = self.authenticated::<GroupKeys>(signed, moment)?;
        let party = member.party();
        party.seen().mark(moment.now);
        let extra = Extra {
            signers: &self.signers(),
            rotate: self.is_to_rotate(party, member.generation(), moment.now),
            refetches_per_second: self.config.load().groups.refetches_per_second,
        };
        let given = issuance::give_keys(&member, &self.directory, moment, extra);
        self.metrics.groups.given.inc_by(given.granted.into());
        if !given.refused.is_empty() {
            given.refused.iter().for_each(|(_, problem)| self.metrics.refuse(*problem));
            let denials = given.refused.iter();
            let denials =
                denials.map(|(group, problem)| Denial { destination: group, problem: *problem, rule: None });
            self.recorder.denied(moment.now, party.name(), address, denials);
        }
        Ok(given)
    }

    /// Counts groups and, where there are any, their members; as often as the house is kept, for every party is looked at.
    pub(super) async fn measure_groups(&self) {
        let memberships = self.directory.memberships();
        let metrics = &self.metrics.groups;
        metrics.groups.set(i64::try_from(memberships.groups().count()).unwrap_or(i64::MAX));
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
