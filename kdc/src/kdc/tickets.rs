//! The path of a ticket: memory only, and nothing that waits, unless a destination is of another zone.

use std::net::IpAddr;

use keycell_protocol::{Name, ProblemType, SignedRequest, UnixMillis};

use super::Kdc;
use crate::audit::{Border, Denial};
use crate::directory::Party;
use crate::issuance::{
    self, Authenticated, Authorized, Denied, Issued, LetThrough, Moment, Refusal, Tickets,
};
use crate::metrics::AtBorder;
use crate::peers::{Errand, Fetched};
use crate::policy::RuleId;
use crate::ticket_log::TicketLine;
use crate::trust::{Direction, Trusts};

/// What a request for tickets came to at once.
#[derive(Debug)]
pub enum Asked {
    /// The reply.
    Issued(Issued),
    /// Other zones have to be asked before there is one.
    Abroad(Box<Journey>),
}

/// A request that waits for other zones.
#[derive(Debug)]
pub struct Journey {
    request: Authenticated<Tickets>,
    errands: Vec<Errand>,
    address: Option<IpAddr>,
}

impl Kdc {
    /// Answers a request for tickets: the whole path from its bytes to the sealed reply. Other zones are not asked: what is
    /// wanted of them is `unavailable`.
    ///
    /// # Errors
    /// [`Denied`] for the whole request; a destination that is refused is part of the reply.
    pub fn tickets(&self, signed: &SignedRequest<'_>, address: Option<IpAddr>) -> Result<Issued, Denied> {
        match self.ask(signed, address)? {
            Asked::Issued(issued) => Ok(issued),
            Asked::Abroad(journey) => self.arrive(*journey, &Fetched::nothing()),
        }
    }

    /// Answers a request for tickets, also of other zones.
    ///
    /// # Errors
    /// As [`tickets`](Self::tickets).
    pub async fn tickets_anywhere(
        &self,
        signed: &SignedRequest<'_>,
        address: Option<IpAddr>,
    ) -> Result<Issued, Denied> {
        match self.ask(signed, address)? {
            Asked::Issued(issued) => Ok(issued),
            Asked::Abroad(mut journey) => {
                let fetched = self.fetch(&mut journey).await;
                self.arrive(*journey, &fetched)
            }
        }
    }

    /// Answers a request at once, unless other zones have to be asked first.
    ///
    /// # Errors
    /// As [`tickets`](Self::tickets).
    pub fn ask(&self, signed: &SignedRequest<'_>, address: Option<IpAddr>) -> Result<Asked, Denied> {
        let moment = self.moment();
        let request = self.authenticated::<Tickets>(signed, moment, address)?;
        request.party().seen().mark(moment.now);
        let authorized = self.authorize(request, moment);
        let errands = authorized.errands();
        if errands.is_empty() {
            return Ok(Asked::Issued(self.issue(&authorized, &Fetched::nothing(), moment, address)));
        }
        let request = authorized.into_request();
        Ok(Asked::Abroad(Box::new(Journey { request, errands, address })))
    }

    /// Asks the other zones. This is what waits: keep nothing meanwhile that others need.
    pub async fn fetch(&self, journey: &mut Journey) -> Fetched {
        self.peers.fetch(std::mem::take(&mut journey.errands)).await
    }

    /// Issues what there is now that the other zones answered. Everything is decided on anew, so that nothing holds any more
    /// that was taken back meanwhile.
    ///
    /// # Errors
    /// As [`tickets`](Self::tickets).
    pub fn arrive(&self, journey: Journey, fetched: &Fetched) -> Result<Issued, Denied> {
        let Journey { request, errands: _, address } = journey;
        let party = self.directory.party(request.party().name().as_str());
        let Some(party) = party.filter(|party| party.enabled()) else {
            let cause = "the party was disabled while another zone was asked";
            return Err(Refusal { problem: ProblemType::PartyDisabled, cause }.into());
        };
        let moment = self.moment();
        if !party.accepts(request.generation(), moment.now) {
            let cause = "the key that asked was erased while another zone was asked";
            return Err(Refusal { problem: ProblemType::Unauthenticated, cause }.into());
        }
        Ok(self.issue(&self.authorize(request, moment), fetched, moment, address))
    }

    fn authorize(&self, request: Authenticated<Tickets>, moment: Moment) -> Authorized {
        let rules = self.directory.rules();
        issuance::authorize(request, &self.directory, &rules.policy, moment.now)
    }

    fn issue(
        &self,
        authorized: &Authorized,
        fetched: &Fetched,
        moment: Moment,
        address: Option<IpAddr>,
    ) -> Issued {
        let request = authorized.request();
        let rotate = self.is_to_rotate(request.party(), request.generation(), moment.now);
        let issued = issuance::issue(authorized, fetched, moment, rotate);
        self.note(&issued, fetched, request.party(), address, moment.now);
        issued
    }

    /// Counts, logs and records what a request got. None of it waits for anything.
    fn note(
        &self,
        issued: &Issued,
        fetched: &Fetched,
        party: &Party,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) {
        self.metrics.tickets.inc_by(issued.granted.into());
        let name = party.name();
        if !issued.refused.is_empty() {
            let trusts = self.directory.trusts();
            issued.refused.iter().for_each(|refused| self.metrics.refuse(refused.problem));
            self.recorder.denied(
                now,
                name,
                address,
                // Nobody decided on what only could not be had.
                issued.refused.iter().filter(|refused| !passes(refused.problem)).map(|refused| Denial {
                    destination: &refused.destination,
                    problem: refused.problem,
                    rule: refused.rule.as_ref().map(RuleId::as_str),
                    border: border(&refused.destination, fetched, &trusts),
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
        self.note_abroad(issued, fetched, name, address, now);
        for (destination, outcome) in &issued.logged {
            self.ticket_log.log(TicketLine {
                source: name.clone(),
                destination: destination.clone(),
                outcome: *outcome,
                correlation: fetched.correlation(destination.zone()),
            });
        }
    }

    /// The same of tickets of other zones. Most requests want none.
    fn note_abroad(
        &self,
        issued: &Issued,
        fetched: &Fetched,
        name: &Name,
        address: Option<IpAddr>,
        now: UnixMillis,
    ) {
        let refused = || issued.refused.iter().filter(|one| one.destination.zone() != name.zone());
        if issued.abroad.is_empty() && refused().next().is_none() {
            return;
        }
        let trusts = self.directory.trusts();
        let count = |destination: &Name, outcome| {
            // Only zones that there is a trust with, so that labels are bounded.
            if let Some(trust) = trusts.get(Direction::Outgoing, destination.zone()) {
                self.metrics.trust.count(Direction::Outgoing, &trust.zone, outcome, 1);
            }
        };
        for refused in refused() {
            let passes = passes(refused.problem);
            count(&refused.destination, if passes { AtBorder::Unavailable } else { AtBorder::Refused });
        }
        for (destination, monitored) in &issued.abroad {
            count(destination, if monitored.is_some() { AtBorder::Monitored } else { AtBorder::Given });
        }
        let let_through =
            issued.abroad.iter().filter_map(|(name, monitored)| Some((name, monitored.as_ref()?)));
        for (destination, monitored) in let_through.clone() {
            self.metrics.monitored.inc();
            let rule = monitored.rule().map_or("the lists of the trust", RuleId::as_str);
            tracing::info!(source = %name, %destination, rule, "a monitored rule would deny");
        }
        self.recorder.monitored(
            now,
            name,
            address,
            let_through.map(|(destination, monitored)| Denial {
                destination,
                problem: ProblemType::NotAllowed,
                rule: monitored.rule().map(RuleId::as_str),
                border: border(destination, fetched, &trusts),
            }),
        );
    }
}

/// Whether it is no decision, but a state that passes.
const fn passes(problem: ProblemType) -> bool {
    matches!(problem, ProblemType::Unavailable | ProblemType::Overloaded)
}

/// Which zone was asked for a ticket, and by which name of the request.
fn border<'a>(destination: &Name, fetched: &Fetched, trusts: &'a Trusts) -> Option<Border<'a>> {
    let correlation = fetched.correlation(destination.zone())?;
    let trust = trusts.get(Direction::Outgoing, destination.zone())?;
    Some(Border { zone: &trust.zone, source: None, correlation })
}
