//! Asking the KDC, and taking its answers.

use keycell_protocol::{
    Grant, Nonce, Outcome, Problem, ProblemType, SealedReply, SignedRequest, TicketRequest, UnixMillis,
};

use super::Agent;
use crate::pending::{Asked, Kind, PendingRequest, TakeError, Taken};
use crate::sealer::Sealer;

impl Agent {
    /// The next request to send to a KDC: missing tickets first, then those to renew, up to 1,000 at a time; after them
    /// the keys of its groups, a voucher for its author key, and what a rotation of its long-term key or another enrollment
    /// takes. `None` when nothing is wanted, or it is too early to try again.
    pub fn wants(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        let messages = self.wants_tickets(now).or_else(|| self.wants_groups(now));
        let own = messages.or_else(|| self.wants_voucher(now)).or_else(|| self.wants_rotation(now));
        own.or_else(|| self.wants_enrollment(now))
    }

    /// As [`wants`](Self::wants), for tickets only.
    pub(crate) fn wants_tickets(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        if !self.retry.is_due(now) || !self.tickets.is_wanting() {
            return None;
        }
        let corrected = self.correction.apply(now);
        let dated = self.asking.apply(now);
        let destinations = self.tickets.batch(self.retry.batch());
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
            self.retry.failure(now, None, &mut self.rng);
            return None;
        };
        self.stats.requests += 1;
        let (destinations, nonce) = (request.destinations.len(), request.nonce);
        let pending = PendingRequest { body, destinations, kind: Kind::Tickets, nonce };
        self.pending.insert(nonce, Asked { request, generation, reply_key, at: now });
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
            return taken.map(|()| Taken { granted: 0, refused: Vec::new() });
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
        self.retry.success();
        self.accepted(now, asked.generation, reply.rotate);
        let now = self.correction.apply(now);
        let mut taken = Taken { granted: 0, refused: Vec::new() };
        for outcome in reply.outcomes {
            match outcome {
                Outcome::Granted(grant) => {
                    self.granted(now, &grant);
                    taken.granted += 1;
                }
                Outcome::Refused { destination, problem } => {
                    self.tickets.refused(now, &destination, problem);
                    taken.refused.push((destination, problem));
                }
            }
        }
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
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && self.retry.at_once() =>
            {
                self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
            }
            // Another key may be the one that the KDC knows.
            ProblemType::Unauthenticated if self.keys.refused(asked.generation) => {
                self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
                self.hurry_commit();
            }
            ProblemType::RateLimited | ProblemType::TooLarge => {
                self.retry.ask_for_less();
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
        let messages = [self.next_ticket_wakeup(now), self.next_group_wakeup(now)];
        let own = [self.next_voucher_wakeup(now), self.next_key_wakeup(now)];
        let wakeups = messages.into_iter().chain(own);
        wakeups.flatten().min()
    }

    /// When to call [`wants_tickets`](Self::wants_tickets) next.
    pub(crate) fn next_ticket_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let asking = self.tickets.is_wanting().then(|| self.retry.not_before().max(now));
        let timer = self.tickets.next_timer().map(|due| self.correction.undo(due).max(now));
        let lost = self.pending.values().map(|asked| asked.at.plus(self.request_timeout_ms)).min();
        [asking, timer, lost].into_iter().flatten().min()
    }

    /// Whether [`wants`](Self::wants) has something to say now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request(&self, now: UnixMillis) -> bool {
        (self.tickets.is_wanting() && self.retry.is_due(now))
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
        self.retry.failure(now, retry_after.map(|seconds| seconds.saturating_mul(1000)), &mut self.rng);
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
        self.replies.sweep(corrected.seconds());
        self.opener.sweep(corrected);
        if self.keys.expire(corrected.seconds()) {
            self.keys_changed();
        }
    }
}
