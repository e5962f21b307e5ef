//! Asking the KDC, and taking its answers.

use keycell_protocol::{
    Grant, Nonce, Outcome, Problem, ProblemType, SealedReply, SignedRequest, TicketRequest, UnixMillis, Zone,
};

use super::Agent;
use crate::pending::{Asked, Kind, PendingRequest, TakeError, Taken};
use crate::sealer::Sealer;

impl Agent {
    /// The next request to send to a KDC: missing tickets first, then those to renew, up to 1,000 at a time, those of other
    /// zones after those at home and each zone's apart, as a KDC that asks another may take its time; after them
    /// the keys of its groups, a voucher for its author key, and what a rotation of its long-term key or another enrollment
    /// takes. `None` when nothing is wanted, or it is too early to try again.
    pub fn wants(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        let tickets = self.wants_tickets(now).or_else(|| self.wants_tickets_abroad(now));
        let own = tickets
            .or_else(|| self.wants_groups(now))
            .or_else(|| self.wants_voucher(now))
            .or_else(|| self.wants_rotation(now));
        own.or_else(|| self.wants_enrollment(now))
    }

    /// As [`wants`](Self::wants), for tickets of this zone only.
    pub(crate) fn wants_tickets(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        if self.tickets.lanes.at(None).may_ask(now) { self.request_tickets(now, None) } else { None }
    }

    /// As [`wants`](Self::wants), for tickets of other zones only: one request at a time for each, so that one whose KDC does
    /// not answer keeps nobody waiting for another.
    pub(crate) fn wants_tickets_abroad(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        let is_asked = |zone: &Zone| self.is_asked(zone);
        let zone = self.tickets.lanes.due_abroad(now).find(|zone| !is_asked(zone)).cloned();
        self.request_tickets(now, Some(zone?))
    }

    fn is_asked(&self, zone: &Zone) -> bool {
        self.pending.values().any(|asked| asked.abroad.as_ref() == Some(zone))
    }

    fn request_tickets(&mut self, now: UnixMillis, abroad: Option<Zone>) -> Option<PendingRequest> {
        let corrected = self.correction.apply(now);
        let dated = self.asking.apply(now);
        let destinations = self.tickets.batch(abroad.as_ref());
        if destinations.is_empty() {
            return None;
        }
        let request = TicketRequest {
            source: self.me.clone(),
            destinations,
            timestamp: dated,
            nonce: Nonce::generate(&mut self.rng),
            instance: self.instance,
        };
        let signed = self.keys.current(dated).ok().and_then(|subkeys| {
            let signed = SignedRequest::sign(&request, &subkeys).ok()?;
            Some((signed.to_json(), subkeys.reply.clone(), subkeys.generation))
        });
        let Some((body, reply_key, generation)) = signed else {
            // A clock that is centuries ahead.
            self.tickets.requeue(corrected, &request.destinations);
            self.tickets.lanes.at(abroad.as_ref()).retry.failure(now, None, &mut self.rng);
            return None;
        };
        self.stats.requests += 1;
        let (destinations, nonce) = (request.destinations.len(), request.nonce);
        let pending =
            PendingRequest { body, destinations, kind: Kind::Tickets, abroad: abroad.clone(), nonce };
        self.pending.insert(nonce, Asked { request, abroad, generation, reply_key, at: now });
        self.asks(now);
        Some(pending)
    }

    /// Takes the body of a KDC's answer.
    ///
    /// # Errors
    /// [`TakeError`]; then the request is to be made again, after a wait.
    pub fn take_reply(
        &mut self,
        now: UnixMillis,
        pending: &PendingRequest,
        body: &[u8],
    ) -> Result<Taken, TakeError> {
        let own = match pending.kind {
            Kind::Tickets => None,
            Kind::Groups => return self.take_groups(now, pending.nonce, body),
            Kind::Rotation => Some(self.take_rotation(now, pending.nonce, body)),
            Kind::Voucher => Some(self.take_voucher(now, pending.nonce, body)),
            Kind::Enrollment => Some(self.take_enrollment(now, pending.nonce, body)),
        };
        if let Some(taken) = own {
            return taken.map(|()| Taken::NOTHING);
        }
        let asked = self.pending.remove(&pending.nonce).ok_or(TakeError::NotPending)?;
        let reply = SealedReply::parse(body).and_then(|sealed| sealed.open(&asked.reply_key, &asked.request));
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(now, &asked, None);
                return Err(error.into());
            }
        };
        self.learn(asked.at, now, reply.server_time);
        self.accepted(now, asked.generation, reply.rotate);
        let host = now;
        let now = self.correction.apply(now);
        let mut taken = Taken::NOTHING;
        for outcome in reply.outcomes {
            match outcome {
                Outcome::Granted(grant) => {
                    self.granted(now, &grant);
                    taken.granted += 1;
                }
                Outcome::Refused { destination, problem: Some(problem) }
                    if asked.abroad.is_some() && may_pass(problem) =>
                {
                    taken.unavailable.push((destination, problem));
                }
                Outcome::Refused { destination, problem } => {
                    self.tickets.refused(now, &destination, problem);
                    taken.refused.push((destination, problem));
                }
            }
        }
        let names: Vec<_> = taken.unavailable.iter().map(|(name, _)| name.clone()).collect();
        self.tickets.unavailable(host, asked.abroad.as_ref(), &names, &mut self.rng);
        self.tickets.lanes.answered(asked.abroad.as_ref());
        self.stats.tickets += taken.granted as u64;
        self.stats.refusals += taken.refused.len() as u64;
        Ok(taken)
    }

    /// Takes a problem document that a KDC answered with.
    ///
    /// It is not sealed: pass on only what came over a channel that proves the KDC, TLS for instance. Its time dates
    /// the next request, which may be made at once, and nothing else; a busy KDC is left alone for as long as it
    /// says; any other problem is the answer for all destinations of the request, and
    /// [`seal`](Self::seal) reports it.
    pub fn take_problem(&mut self, now: UnixMillis, pending: &PendingRequest, problem: &Problem) {
        match pending.kind {
            Kind::Tickets => {}
            Kind::Groups => return self.take_groups_problem(now, pending.nonce, problem),
            Kind::Rotation => return self.take_rotation_problem(now, pending.nonce, problem),
            Kind::Voucher => return self.take_voucher_problem(now, pending.nonce, problem),
            Kind::Enrollment => return self.take_enrollment_problem(now, pending.nonce, problem),
        }
        let Some(asked) = self.pending.remove(&pending.nonce) else { return };
        let corrected = self.date_requests(asked.at, now, problem);
        let lane = self.tickets.lanes.at(asked.abroad.as_ref());
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && lane.retry.at_once() =>
            {
                self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
            }
            // Another key may be the one that the KDC knows.
            ProblemType::Unauthenticated if self.keys.refused(asked.generation) => {
                self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
                self.hurry_commit();
            }
            ProblemType::RateLimited | ProblemType::TooLarge => {
                lane.retry.ask_for_less();
                self.failed(now, &asked, problem.retry_after);
            }
            ProblemType::ClockSkew
            | ProblemType::Replayed
            | ProblemType::Overloaded
            | ProblemType::Unavailable
            | ProblemType::Timeout
            | ProblemType::Internal => self.failed(now, &asked, problem.retry_after),
            kind => {
                let again = kind == ProblemType::Unauthenticated && self.unknown_to_kdcs(now, problem);
                let corrected = self.correction.apply(now);
                for destination in &asked.request.destinations {
                    self.tickets.refused(corrected, destination, Some(kind));
                    if again {
                        self.tickets.ask_again(destination);
                    }
                }
                self.stats.refusals += asked.request.destinations.len() as u64;
            }
        }
    }

    /// No KDC answered: the request is to be made again, after a wait that grows.
    pub fn give_up(&mut self, now: UnixMillis, pending: &PendingRequest) {
        match pending.kind {
            Kind::Tickets => {
                if let Some(asked) = self.pending.remove(&pending.nonce) {
                    self.failed(now, &asked, None);
                }
            }
            Kind::Groups => self.give_up_groups(now, pending.nonce),
            Kind::Rotation => self.give_up_rotation(now, pending.nonce),
            Kind::Voucher => self.give_up_voucher(now, pending.nonce),
            Kind::Enrollment => self.give_up_enrollment(now, pending.nonce),
        }
    }

    /// When to call [`wants`](Self::wants) next, by the host's clock; `None` while nothing is to come. A call to
    /// [`seal`](Self::seal) or [`want`](Self::want) may change it.
    #[must_use]
    pub fn next_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let tickets = [self.next_ticket_wakeup(now), self.next_wakeup_abroad(now)];
        let others = [self.next_group_wakeup(now), self.next_voucher_wakeup(now), self.next_key_wakeup(now)];
        tickets.into_iter().chain(others).flatten().min()
    }

    /// When to call [`wants_tickets`](Self::wants_tickets) next.
    pub(crate) fn next_ticket_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let asking = self.tickets.lanes.next_home().map(|at| at.max(now));
        self.next_ticket_timer(now).into_iter().chain(asking).min()
    }

    /// When to call [`wants_tickets_abroad`](Self::wants_tickets_abroad) next.
    pub(crate) fn next_wakeup_abroad(&self, now: UnixMillis) -> Option<UnixMillis> {
        let asking = self.tickets.lanes.next_abroad(|zone| self.is_asked(zone)).map(|at| at.max(now));
        self.next_ticket_timer(now).into_iter().chain(asking).min()
    }

    fn next_ticket_timer(&self, now: UnixMillis) -> Option<UnixMillis> {
        let timer = self.tickets.next_timer().map(|due| self.correction.undo(due).max(now));
        let lost = self.pending.values().map(|asked| asked.at.plus(self.request_timeout_ms)).min();
        [timer, lost].into_iter().flatten().min()
    }

    /// Whether there is something to ask of other zones now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request_abroad(&self, now: UnixMillis) -> bool {
        self.tickets.lanes.due_abroad(now).next().is_some()
    }

    /// Whether [`wants`](Self::wants) has something else to say now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request(&mut self, now: UnixMillis) -> bool {
        self.tickets.lanes.at(None).may_ask(now)
            || self.may_request_groups(now)
            || self.may_ask_for_voucher(now)
    }

    /// The time in an answer that is sealed for this party and bound to its request: only such a word moves the clock
    /// that decides on messages, and the keys.
    pub(super) fn learn(&mut self, asked: UnixMillis, now: UnixMillis, server_time: UnixMillis) {
        self.correction.learn(asked, now, server_time);
        self.opener.learn_correction(self.correction.millis());
        self.asking = self.correction;
        self.prove(now, self.keys.period().epoch(server_time.seconds()));
    }

    /// The time in a problem document dates the next request. Whether that will be another date than before.
    pub(super) fn date_requests(&mut self, asked: UnixMillis, now: UnixMillis, problem: &Problem) -> bool {
        let before = self.asking.millis();
        if let Some(server_time) = problem.server_time {
            self.asking.learn(asked, now, server_time);
        }
        self.asking.millis() != before
    }

    fn granted(&mut self, now: UnixMillis, grant: &Grant) {
        self.tickets.granted(grant, Sealer::new(self.me.clone(), grant, &mut self.rng));
        self.opener.expect_replies(now, grant);
        if grant.author_proof {
            // What is sent there needs a voucher.
            let _ = self.ready(now);
        }
    }

    fn failed(&mut self, now: UnixMillis, asked: &Asked, retry_after: Option<u64>) {
        self.stats.failures += 1;
        self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
        let wait = retry_after.map(|seconds| seconds.saturating_mul(1000));
        self.tickets.lanes.at(asked.abroad.as_ref()).retry.failure(now, wait, &mut self.rng);
    }

    pub(super) fn tick(&mut self, now: UnixMillis) {
        let lost = |asked: &Asked| asked.at.plus(self.request_timeout_ms) <= now;
        let lost: Vec<Nonce> =
            self.pending.iter().filter(|(_, asked)| lost(asked)).map(|(nonce, _)| *nonce).collect();
        for nonce in lost {
            if let Some(asked) = self.pending.remove(&nonce) {
                self.failed(now, &asked, None);
            }
        }
        let corrected = self.correction.apply(now);
        self.tickets.tick(corrected);
        self.tickets.ask_later(now, corrected);
        self.replies.sweep(corrected.seconds());
        self.opener.sweep(corrected);
        if self.keys.expire(corrected.seconds()) {
            self.keys_changed();
        }
    }
}

/// Whether what keeps another zone from giving a ticket may be over soon.
const fn may_pass(problem: ProblemType) -> bool {
    matches!(
        problem,
        ProblemType::Unavailable
            | ProblemType::Overloaded
            | ProblemType::Timeout
            | ProblemType::Internal
            | ProblemType::RateLimited
    )
}
