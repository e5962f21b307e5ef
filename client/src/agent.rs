//! One party, without sockets, threads or clocks.

use core::fmt;
use std::collections::HashMap;

use keycell_protocol::{
    CannotOpen, Grant, Instance, LongTermKey, Mode, Name, Nonce, Outcome, Problem, ProblemType, SealedReply,
    SignedRequest, Ticket, TicketRequest, Topic, UnixMillis, UnixSeconds,
};
use rand_core::CryptoRng;

use crate::SealError;
use crate::config::AgentConfig;
use crate::correction::Correction;
use crate::keyfile::AgentKey;
use crate::keys::Keys;
use crate::opened::{Opened, Origin};
use crate::opener::Opener;
use crate::pending::{Asked, PendingRequest, TakeError, Taken};
use crate::replies::{Answered, Replies};
use crate::retry::Retry;
use crate::sealer::Sealer;
use crate::stats::Stats;
use crate::tickets::Tickets;

/// One party: seals messages, opens them, answers them, and says which tickets it needs.
///
/// It does no input or output. Every call takes the host's time; the agent corrects it once a KDC told better.
/// Whoever drives it sends what [`wants`](Self::wants) gives to a KDC, hands back what comes, and calls again at
/// [`next_wakeup`](Self::next_wakeup). Opening and answering never need a KDC.
///
/// Not `Clone`, and nothing of it is stored: a new process draws new salts, so that no nonce is used twice.
pub struct Agent {
    me: Name,
    keys: Keys,
    opener: Opener,
    tickets: Tickets,
    replies: Replies,
    pending: HashMap<Nonce, Asked>,
    request_timeout_ms: u64,
    retry: Retry,
    correction: Correction,
    instance: Instance,
    rng: Box<dyn CryptoRng + Send>,
    stats: Stats,
}

impl Agent {
    /// An agent in a process that starts `now`. For `rng` take [`system_rng`](crate::system_rng).
    #[must_use]
    pub fn new(
        key: AgentKey,
        config: &AgentConfig,
        now: UnixMillis,
        rng: impl CryptoRng + Send + 'static,
    ) -> Self {
        let mut rng: Box<dyn CryptoRng + Send> = Box::new(rng);
        let AgentKey { name, key, ratchet_period, kdc: _ } = key;
        let mut opener = Opener::new(name.clone(), &config.opener, now);
        opener.set_correction(config.clock_correction_ms);
        Self {
            me: name,
            keys: Keys::new(key, ratchet_period),
            opener,
            tickets: Tickets::new(config.max_destinations, config.refusal_ms),
            replies: Replies::new(config.max_replies),
            pending: HashMap::new(),
            request_timeout_ms: config.request_timeout_ms,
            retry: Retry::new(config.backoff_ms, config.max_backoff_ms),
            correction: Correction::new(config.clock_correction_ms),
            instance: Instance::generate(&mut rng),
            rng,
            stats: Stats::default(),
        }
    }

    /// Who it is.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.me
    }

    /// Encrypts a message.
    ///
    /// # Errors
    /// [`SealError::NoTicket`] until a KDC gave a ticket for `to`, which is wanted from now on; the others are final
    /// or say when to come again.
    pub fn seal(
        &mut self,
        now: UnixMillis,
        to: &Name,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.write(now, to, Mode::Sealed, topic, body)
    }

    /// Signs a message whose body anyone on the way may read and nobody change.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn sign(
        &mut self,
        now: UnixMillis,
        to: &Name,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.write(now, to, Mode::Signed, topic, body)
    }

    /// Opens a message for this party or a reply to it.
    ///
    /// # Errors
    /// [`CannotOpen`], which says why only to its own log.
    pub fn open(&mut self, now: UnixMillis, bytes: &[u8]) -> Result<Opened, CannotOpen> {
        match self.opener.open(&mut self.keys, self.correction.apply(now), bytes) {
            Ok(opened) => {
                self.stats.opened += 1;
                Ok(opened)
            }
            Err(cause) => {
                *self.stats.refused.entry(cause.code()).or_default() += 1;
                Err(cause.into())
            }
        }
    }

    /// Answers a message, encrypted and under the same topic.
    ///
    /// The key comes from the ticket in the message, so that no KDC is asked, ever. An answer to a reply is a new
    /// message under this party's own ticket, as from [`seal`](Self::seal).
    ///
    /// # Errors
    /// [`SealError::ReplyTooLate`] after the end of the ticket.
    pub fn reply(&mut self, now: UnixMillis, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.reply_with_topic(now, to, &to.topic, body)
    }

    /// As [`reply`](Self::reply), under another topic.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(
        &mut self,
        now: UnixMillis,
        to: &Opened,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let Origin::Message(ticket) = &to.origin else { return self.seal(now, &to.source, topic, body) };
        let answered = Answered {
            me: &self.me,
            source: &to.source,
            expiration: to.expiration,
            ticket: Ticket::parse(ticket).map_err(|_| SealError::ReplyKeyGone)?,
        };
        let topic = Topic::try_from(topic)?;
        let now = self.correction.apply(now);
        let message = self.replies.seal(&mut self.keys, &mut self.rng, now, &answered, topic, body)?;
        self.stats.replied += 1;
        Ok(message)
    }

    /// Wants a ticket for `to` before it is needed.
    ///
    /// # Errors
    /// [`SealError::ToSelf`] and [`SealError::TooManyDestinations`].
    pub fn want(&mut self, now: UnixMillis, to: &Name) -> Result<(), SealError> {
        self.not_myself(to)?;
        self.tickets.want(self.correction.apply(now), to, false)
    }

    /// Wants a ticket for `to`, and keeps one at hand even while nothing is sent, so that a message can be sealed
    /// when no KDC answers. Without this a ticket is renewed only if it was used.
    ///
    /// # Errors
    /// As [`want`](Self::want).
    pub fn keep(&mut self, now: UnixMillis, to: &Name) -> Result<(), SealError> {
        self.not_myself(to)?;
        self.tickets.want(self.correction.apply(now), to, true)
    }

    /// Takes [`keep`](Self::keep) back.
    pub fn release(&mut self, to: &Name) {
        self.tickets.release(to);
    }

    /// The next request to send to a KDC: missing tickets first, then those to renew, up to 1,000 at a time. `None`
    /// when nothing is wanted, or it is too early to try again.
    pub fn wants(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        if now < self.retry.not_before() || !self.tickets.is_wanting() {
            return None;
        }
        let corrected = self.correction.apply(now);
        let destinations = self.tickets.batch(self.retry.batch());
        let request = TicketRequest {
            source: self.me.clone(),
            destinations,
            timestamp: corrected,
            nonce: Nonce::generate(&mut self.rng),
            instance: self.instance,
        };
        let signed = self.keys.current(corrected).ok().and_then(|subkeys| {
            let signed = SignedRequest::sign(&request, subkeys).ok()?;
            Some((signed.to_json(), subkeys.reply.clone(), subkeys.generation, subkeys.epoch))
        });
        let Some((body, reply_key, generation, epoch)) = signed else {
            // A clock centuries ahead, or nothing in the queue that is still wanted.
            self.tickets.requeue(corrected, &request.destinations);
            self.retry.failure(now, None, &mut self.rng);
            return None;
        };
        self.stats.requests += 1;
        let pending = PendingRequest { body, destinations: request.destinations.len(), nonce: request.nonce };
        self.pending.insert(request.nonce, Asked { request, reply_key, generation, epoch, at: now });
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
        self.keys.confirm(asked.generation, asked.epoch);
        self.learn(&asked, now, reply.server_time);
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
    /// It is not sealed: pass on only what came over a channel that proves the KDC, TLS for instance. A wrong clock
    /// is corrected by it, and the request may be made again at once; a busy KDC is left alone for as long as it
    /// says; any other problem is the answer for all destinations of the request, and
    /// [`seal`](Self::seal) reports it.
    pub fn take_problem(&mut self, now: UnixMillis, pending: &PendingRequest, problem: &Problem) {
        let Some(asked) = self.pending.remove(&pending.nonce) else { return };
        let before = self.correction.millis();
        if let Some(server_time) = problem.server_time {
            self.learn(&asked, now, server_time);
        }
        let corrected = self.correction.millis() != before;
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

    /// Adds a key of another generation. Messages open under each; requests are made with the newest.
    pub fn add_key(&mut self, key: LongTermKey) {
        self.keys.add(key);
    }

    /// Until when messages to `to` can be sealed without a KDC.
    #[must_use]
    pub fn ticket_expiration(&self, now: UnixMillis, to: &Name) -> Option<UnixSeconds> {
        self.tickets.expiration(self.correction.apply(now), to)
    }

    /// Since when requests to the KDCs have failed, by the host's clock; `None` while they do not.
    #[must_use]
    pub const fn failing_since(&self) -> Option<UnixMillis> {
        self.retry.failing_since()
    }

    /// By how many milliseconds the host's clock is behind the KDC's, as far as it matters.
    #[must_use]
    pub const fn clock_correction_ms(&self) -> i64 {
        self.correction.millis()
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        Stats {
            destinations: self.tickets.len() as u64,
            streams: self.opener.streams() as u64,
            ..self.stats.clone()
        }
    }

    /// Wants a ticket for `to`; why there is none, if there is none.
    #[cfg(feature = "https")]
    pub(crate) fn prepare(&mut self, now: UnixMillis, to: &Name) -> Result<(), SealError> {
        self.not_myself(to)?;
        let failing = self.retry.failing_since().is_some();
        self.tickets.prepare(self.correction.apply(now), to, failing)
    }

    /// Whether [`wants`](Self::wants) has something to say now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request(&self, now: UnixMillis) -> bool {
        self.tickets.is_wanting() && now >= self.retry.not_before()
    }

    fn write(
        &mut self,
        now: UnixMillis,
        to: &Name,
        mode: Mode,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.not_myself(to)?;
        let topic = Topic::try_from(topic)?;
        let failing = self.retry.failing_since().is_some();
        let message = self.tickets.seal(self.correction.apply(now), to, mode, topic, body, failing)?;
        self.stats.sealed += 1;
        Ok(message)
    }

    fn not_myself(&self, to: &Name) -> Result<(), SealError> {
        if *to == self.me { Err(SealError::ToSelf) } else { Ok(()) }
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

    fn learn(&mut self, asked: &Asked, now: UnixMillis, server_time: UnixMillis) {
        self.correction.learn(asked.at, now, server_time);
        self.opener.set_correction(self.correction.millis());
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

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("me", &self.me).field("keys", &self.keys).finish_non_exhaustive()
    }
}
