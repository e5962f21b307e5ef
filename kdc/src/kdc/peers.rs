//! Tickets for the parties of other zones: memory only, and nothing that waits.

use std::net::IpAddr;

use keycell_protocol::{PeerPair, Peers, ProblemType, SignedPeerRequest, UnixMillis};

use super::Kdc;
use crate::audit::{Border, Denial};
use crate::issuance::{self, AuthorizedPeers, Denied, PeersIssued};
use crate::metrics::AtBorder;
use crate::policy::RuleId;
use crate::ticket_log::TicketLine;
use crate::trust::Direction;

impl Kdc {
    /// Answers a request of another zone for its parties: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`Denied`] for the whole request; a ticket that is refused is part of the reply.
    pub fn peer_tickets(
        &self,
        signed: &SignedPeerRequest<'_>,
        address: Option<IpAddr>,
    ) -> Result<PeersIssued, Denied> {
        let moment = self.moment();
        let request = self.authenticated::<Peers>(signed, moment, address)?;
        request.party().seen().mark(moment.now);
        let rules = self.directory.rules();
        let authorized = issuance::authorize_peers(request, &self.directory, &rules.policy, moment.now)?;
        let request = authorized.request();
        let rotate = self.is_to_rotate(request.party(), request.generation(), moment.now);
        let issued = issuance::issue_peers(&authorized, moment, rotate);
        self.note_peers(&issued, &authorized, address, moment.now);
        Ok(issued)
    }

    /// Counts, logs and records what another zone got. None of it waits for anything.
    fn note_peers(
        &self,
        issued: &PeersIssued,
        authorized: &AuthorizedPeers,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) {
        let (trust, request) = (authorized.trust(), authorized.request());
        let (asking, correlation) = (request.party().name(), request.request().correlation);
        let (refused, monitored) = (issued.refused.len() as u64, issued.let_through.len() as u64);
        let granted = u64::from(issued.granted);
        self.metrics.tickets.inc_by(granted);
        self.metrics.monitored.inc_by(monitored);
        issued.refused.iter().for_each(|refused| self.metrics.refuse(refused.problem));
        let count = |outcome, tickets| {
            self.metrics.trust.count(Direction::Incoming, &trust.zone, outcome, tickets);
        };
        count(AtBorder::Given, granted.saturating_sub(monitored));
        count(AtBorder::Monitored, monitored);
        count(AtBorder::Refused, refused);

        let border = |source| Border { zone: &trust.zone, source: Some(source), correlation };
        let denied = issued.refused.iter().map(|refused| Denial {
            destination: &refused.pair.destination,
            problem: refused.problem,
            rule: refused.rule.as_ref().map(RuleId::as_str),
            border: Some(border(&refused.pair.source)),
        });
        self.recorder.denied(now, asking, address, denied);
        for (PeerPair { source, destination }, monitored) in &issued.let_through {
            let rule = monitored.rule().map_or("the lists of the trust", RuleId::as_str);
            tracing::info!(%source, %destination, %correlation, rule, "a monitored rule would deny");
        }
        let through = issued.let_through.iter().map(|(pair, monitored)| Denial {
            destination: &pair.destination,
            problem: ProblemType::NotAllowed,
            rule: monitored.rule().map(RuleId::as_str),
            border: Some(border(&pair.source)),
        });
        self.recorder.monitored(now, asking, address, through);
        for (PeerPair { source, destination }, outcome) in &issued.logged {
            self.ticket_log.log(TicketLine {
                source: source.clone(),
                destination: destination.clone(),
                outcome: *outcome,
                correlation: Some(correlation),
            });
        }
    }
}
