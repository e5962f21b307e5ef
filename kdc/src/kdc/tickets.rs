//! The path of a ticket: memory only, and nothing that waits.

use std::net::IpAddr;

use keycell_protocol::{ProblemType, SignedRequest, UnixMillis};

use super::Kdc;
use crate::audit::Denial;
use crate::directory::Party;
use crate::issuance::{self, Denied, Issued, LetThrough, Tickets};
use crate::policy::RuleId;
use crate::ticket_log::TicketLine;

impl Kdc {
    /// Answers a request for tickets: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`Denied`] for the whole request; a destination that is refused is part of the reply.
    pub fn tickets(&self, signed: &SignedRequest<'_>, address: Option<IpAddr>) -> Result<Issued, Denied> {
        let moment = self.moment();
        let request = self.authenticated::<Tickets>(signed, moment, address)?;
        request.party().seen().mark(moment.now);
        let rules = self.directory.rules();
        let authorized = issuance::authorize(request, &self.directory, &rules.policy, moment.now);
        let request = authorized.request();
        let rotate = self.is_to_rotate(request.party(), request.generation(), moment.now);
        let issued = issuance::issue(&authorized, moment, rotate);
        self.note(&issued, authorized.request().party(), address, moment.now);
        Ok(issued)
    }

    /// Counts, logs and records what a request got. None of it waits for anything.
    fn note(&self, issued: &Issued, party: &Party, address: Option<IpAddr>, now: UnixMillis) {
        self.metrics.tickets.inc_by(issued.granted.into());
        let name = party.name();
        if !issued.refused.is_empty() {
            issued.refused.iter().for_each(|refused| self.metrics.refuse(refused.problem));
            self.recorder.denied(
                now,
                name,
                address,
                issued.refused.iter().map(|refused| Denial {
                    destination: &refused.destination,
                    problem: refused.problem,
                    rule: refused.rule.as_ref().map(RuleId::as_str),
                    border: None,
                }),
            );
        }
        if !issued.let_through.is_empty() {
            for LetThrough { destination, would_deny } in &issued.let_through {
                self.metrics.monitored.inc();
                tracing::info!(source = %name, %destination, rule = %would_deny.rule, "a monitored rule would deny");
            }
            self.recorder.monitored(
                now,
                name,
                address,
                issued.let_through.iter().map(|through| Denial {
                    destination: &through.destination,
                    problem: ProblemType::NotAllowed,
                    rule: Some(through.would_deny.rule.as_str()),
                    border: None,
                }),
            );
        }
        for (destination, outcome) in &issued.logged {
            self.ticket_log.log(TicketLine {
                source: name.clone(),
                destination: destination.clone(),
                outcome: *outcome,
            });
        }
    }
}
