//! Asking the KDC for tickets, and taking its answers.

use keycell_protocol::{
    Grant, Nonce, Outcome, Problem, ProblemType, SealedReply, SignedRequest, TicketRequest, UnixMillis,
};

use super::Agent;
use crate::pending::{Asked, PendingRequest, TakeError, Taken};
use crate::sealer::Sealer;

impl Agent {
    /// The next request to send to a KDC: missing tickets first, then those to renew, up to 1,000 at a time. `None`
    /// when nothing is wanted, or it is too early to try again.
    pub fn wants(&mut self, now: UnixMillis) -> Option<PendingRequest> {
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
            Some((signed.to_json(), subkeys.reply.clone()))
        });
        let Some((body, reply_key)) = signed else {
            // A clock that is centuries ahead.
            self.tickets.requeue(corrected, &request.destinations);
            self.retry.failure(now, None, &mut self.rng);
            return None;
        };
        self.stats.requests += 1;
        let pending = PendingRequest { body, destinations: request.destinations.len(), nonce: request.nonce };
        self.pending.insert(request.nonce, Asked { request, reply_key, at: now });
        Some(pending)
    }

    /// Takes the body of a KDC's answer.
    ///
    /// # Errors
    /// [`TakeError`]; then the tickets are wanted again, after a wait.
    pub fn take_reply(
        &mut self,
        now: UnixMillis,
        pending: &PendingRequest,
        body: &[u8],
    ) -> Result<Taken, TakeError> {
        let asked = self.pending.remove(&pending.nonce).ok_or(TakeError::NotPending)?;
        let reply = SealedReply::parse(body).and_then(|sealed| sealed.open(&asked.reply_key, &asked.request));
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                self.failed(now, &asked, None);
                return Err(error.into());
            }
        };
        // Sealed for this party and bound to this request: only such a word moves the clock that decides on messages.
        self.correction.learn(asked.at, now, reply.server_time);
        self.opener.learn_correction(self.correction.millis());
        self.asking = self.correction;
        self.retry.success();
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
        let Some(asked) = self.pending.remove(&pending.nonce) else { return };
        let before = self.asking.millis();
        if let Some(server_time) = problem.server_time {
            self.asking.learn(asked.at, now, server_time);
        }
        let corrected = self.asking.millis() != before;
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && self.retry.at_once() =>
            {
                self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
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
                let corrected = self.correction.apply(now);
                for destination in &asked.request.destinations {
                    self.tickets.refused(corrected, destination, Some(kind));
                }
                self.stats.refusals += asked.request.destinations.len() as u64;
            }
        }
    }

    /// No KDC answered: the tickets are wanted again, after a wait that grows.
    pub fn give_up(&mut self, now: UnixMillis, pending: &PendingRequest) {
        if let Some(asked) = self.pending.remove(&pending.nonce) {
            self.failed(now, &asked, None);
        }
    }

    /// When to call [`wants`](Self::wants) next, by the host's clock; `None` while nothing is to come. A call to
    /// [`seal`](Self::seal) or [`want`](Self::want) may change it.
    #[must_use]
    pub fn next_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let asking = self.tickets.is_wanting().then(|| self.retry.not_before().max(now));
        let timer = self.tickets.next_timer().map(|due| self.correction.undo(due).max(now));
        let lost = self.pending.values().map(|asked| asked.at.plus(self.request_timeout_ms)).min();
        [asking, timer, lost].into_iter().flatten().min()
    }

    /// Whether [`wants`](Self::wants) has something to say now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request(&self, now: UnixMillis) -> bool {
        self.tickets.is_wanting() && self.retry.is_due(now)
    }

    fn granted(&mut self, now: UnixMillis, grant: &Grant) {
        self.tickets.granted(grant, Sealer::new(self.me.clone(), grant, &mut self.rng));
        self.opener.expect_replies(now, grant);
    }

    fn failed(&mut self, now: UnixMillis, asked: &Asked, retry_after: Option<u64>) {
        self.stats.failures += 1;
        self.tickets.requeue(self.correction.apply(now), &asked.request.destinations);
        self.retry.failure(now, retry_after.map(|seconds| seconds.saturating_mul(1000)), &mut self.rng);
    }

    fn tick(&mut self, now: UnixMillis) {
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
    }
}
