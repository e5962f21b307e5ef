//! One party, without sockets, threads or clocks.

mod asking;
mod grouping;
mod keeping;
mod looking;
mod reenrolling;
mod rotating;
mod spreading;
mod trusting;
mod vouching;

use core::fmt;
use std::collections::HashMap;

use keycell_protocol::{
    CannotOpen, Cause, Instance, LongTermKey, Mode, Name, Nonce, Ticket, Topic, UnixMillis, UnixSeconds, Zone,
};
use rand_core::CryptoRng;

use crate::SealError;
use crate::author::Author;
use crate::config::AgentConfig;
use crate::correction::Correction;
use crate::groups::{Memberships, Waiting};
use crate::kept::Kept;
use crate::keyfile::AgentKey;
use crate::keys::Keys;
use crate::opened::{Opened, Origin};
use crate::opener::Opener;
use crate::pending::Asked;
#[cfg(feature = "https")]
use crate::pending::{Kind, PendingRequest};
use crate::replies::{Answered, Replies};
use crate::retry::Retry;
use crate::sealer::Draft;
use crate::stats::Stats;
use crate::tickets::Tickets;

use reenrolling::Reenrolling;
use trusting::{Abroad, Order};
pub use vouching::WithAuthorProof;

/// One party: seals messages, opens them, answers them, and says which tickets it needs.
///
/// It does no input or output. Every call takes the host's time; the agent corrects it once a KDC told better.
/// Whoever drives it sends what [`wants`](Self::wants) gives to a KDC, hands back what comes, and calls again at
/// [`next_wakeup`](Self::next_wakeup). Opening and answering never need a KDC.
///
/// Not `Clone`, and nothing of it is stored but its keys, if it [keeps](Self::keeping) them: a new process draws new
/// salts, so that no nonce is used twice.
pub struct Agent {
    me: Name,
    keys: Keys,
    opener: Opener,
    tickets: Tickets,
    replies: Replies,
    pending: HashMap<Nonce, Asked>,
    groups: Memberships,
    waiting: Waiting,
    request_timeout_ms: u64,
    /// Of a ticket, in seconds.
    max_lifetime: u64,
    /// What a KDC told in answers sealed for this party: rules over expiry, order and replay.
    correction: Correction,
    /// What a KDC told in any way: only says how to date a request.
    asking: Correction,
    instance: Instance,
    rng: Box<dyn CryptoRng + Send>,
    /// For an agent that keeps its key file up.
    kept: Option<Box<Kept>>,
    /// For the agent of a host that enrolled.
    reenrolling: Option<Box<Reenrolling>>,
    /// The most over which it spreads that.
    reenroll_within_ms: u64,
    /// How often it then looks in at a KDC.
    look_in_ms: u64,
    author: Author,
    abroad: Abroad,
    order: Order,
    stats: Stats,
}

impl Agent {
    /// An agent in a process that starts `now`. For `rng` take [`system_rng`](crate::system_rng).
    ///
    /// Its keys stay what they are: for those that turn and rotate by themselves, see [`keeping`](Self::keeping).
    #[must_use]
    pub fn new(
        mut key: AgentKey,
        config: &AgentConfig,
        now: UnixMillis,
        rng: impl CryptoRng + Send + 'static,
    ) -> Self {
        let mut rng: Box<dyn CryptoRng + Send> = Box::new(rng);
        let name = key.name.clone();
        let mut opener = Opener::new(name.clone(), &config.opener, now);
        opener.assume_correction(config.clock_correction_ms);
        if let Ok(zone) = name.zone().parse() {
            opener.trust_signers(&zone, &key.signers);
        }
        let abroad = Abroad::new(core::mem::take(&mut key.trusted), &mut opener);
        let correction = Correction::new(config.clock_correction_ms);
        let retry = || Retry::new(config.backoff_ms, config.max_backoff_ms);
        let groups = Memberships::new(&config.groups, correction.apply(now), retry());
        groups.names().for_each(|group| opener.join(group.clone()));
        let author = Author::new(key.author.take(), retry());
        Self {
            me: name.clone(),
            keys: Keys::from(key),
            opener,
            tickets: Tickets::new(name, &retry(), config.max_destinations, config.refusal_ms),
            replies: Replies::new(config.max_replies),
            pending: HashMap::new(),
            groups,
            waiting: Waiting::default(),
            request_timeout_ms: config.request_timeout_ms,
            max_lifetime: config.opener.max_lifetime,
            correction,
            asking: correction,
            instance: Instance::generate(&mut rng),
            rng,
            kept: None,
            reenrolling: None,
            reenroll_within_ms: config.reenroll_within_ms,
            look_in_ms: config.look_in_ms,
            author,
            abroad,
            order: Order::default(),
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
    /// [`SealError::NoTicket`] until a KDC gave a ticket for `to`, which is wanted from now on, and
    /// [`SealError::NoVoucher`] likewise, if `to` takes only what proves its author; the others are final or say when to
    /// come again.
    pub fn seal(
        &mut self,
        now: UnixMillis,
        to: &Name,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.write(now, to, (Mode::Sealed, Proof::IfRequired), topic, body)
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
        self.write(now, to, (Mode::Signed, Proof::IfRequired), topic, body)
    }

    /// Opens a message for this party or one of its groups, or a reply to it.
    ///
    /// # Errors
    /// [`CannotOpen`], which says why only to its own log. With [`Cause::Waiting`] the message is kept, and comes out of
    /// [`open_waiting`](Self::open_waiting) once the key of its group is here.
    pub fn open(&mut self, now: UnixMillis, bytes: &[u8]) -> Result<Opened, CannotOpen> {
        let opened = self.opener.open(&mut self.keys, self.correction.apply(now), bytes);
        if let Err(Cause::Waiting { generation }) = opened {
            return Err(self.wait(now, bytes, generation).into());
        }
        self.opened(now, opened)
    }

    fn opened(&mut self, now: UnixMillis, opened: Result<Opened, Cause>) -> Result<Opened, CannotOpen> {
        match opened {
            Ok(opened) => {
                self.stats.opened += 1;
                self.prove_by(now, &opened);
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
        self.answer(now, to, Proof::IfRequired, topic, body)
    }

    fn answer(
        &mut self,
        now: UnixMillis,
        to: &Opened,
        proof: Proof,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let Origin::Message(ticket) = &to.origin else {
            return self.write(now, &to.source, (Mode::Sealed, proof), topic, body);
        };
        let now = self.correction.apply(now);
        if proof == Proof::Always {
            self.ready(now)?;
        }
        let answered = Answered {
            me: &self.me,
            source: &to.source,
            expiration: to.expiration,
            ticket: Ticket::parse(ticket).map_err(|_| SealError::ReplyKeyGone)?,
        };
        let topic = Topic::try_from(topic)?;
        let author = if proof == Proof::Always { Some(self.author.ready(now)?) } else { None };
        let draft = Draft { mode: Mode::Sealed, topic, body, author, detached: false };
        let message = self.replies.seal(&mut self.keys, &mut self.rng, now, &answered, &draft)?;
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

    /// Adds a key of another generation. Messages open under each; requests are made with the newest.
    pub fn add_key(&mut self, key: LongTermKey) {
        self.keys.add(key);
        self.keys_changed();
    }

    /// Until when messages to `to` can be sealed without a KDC.
    #[must_use]
    pub fn ticket_expiration(&self, now: UnixMillis, to: &Name) -> Option<UnixSeconds> {
        self.tickets.expiration(self.correction.apply(now), to)
    }

    /// Since when requests to the KDCs have failed, by the host's clock; `None` while they do not.
    #[must_use]
    pub fn failing_since(&self) -> Option<UnixMillis> {
        [self.tickets.lanes.failing_since(), self.groups.retry.failing_since()].into_iter().flatten().min()
    }

    /// The other zones whose KDCs give no tickets at the moment, though those of this one answer; and since when, by the host's
    /// clock. What is for them is sealed under the tickets at hand, and they are asked again and again.
    #[must_use]
    pub fn zones_failing(&self) -> Vec<(Zone, UnixMillis)> {
        self.tickets.lanes.zones_failing().map(|(zone, since)| (zone.clone(), since)).collect()
    }

    /// Since when requests like this one have failed.
    #[cfg(feature = "https")]
    pub(crate) fn failing(&self, request: &PendingRequest) -> Option<UnixMillis> {
        match request.kind {
            Kind::Groups => self.groups.retry.failing_since(),
            Kind::Voucher => self.author.retry.failing_since(),
            Kind::Tickets | Kind::Rotation | Kind::Enrollment => self.tickets.lanes.failing(request.abroad()),
        }
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
            waiting: self.waiting.len() as u64,
            ..self.stats.clone()
        }
    }

    /// Wants a ticket for `to`; why there is none, if there is none.
    #[cfg(feature = "https")]
    pub(crate) fn prepare(&mut self, now: UnixMillis, to: &Name) -> Result<(), SealError> {
        self.not_myself(to)?;
        self.tickets.prepare(self.correction.apply(now), to)
    }

    pub(crate) fn write(
        &mut self,
        now: UnixMillis,
        to: &Name,
        (mode, proof): (Mode, Proof),
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let topic = Topic::try_from(topic)?;
        self.seal_draft(now, to, proof, Draft { mode, topic, body, author: None, detached: false })
    }

    /// Writes a draft, to which a proof of the author is added.
    fn seal_draft(
        &mut self,
        now: UnixMillis,
        to: &Name,
        proof: Proof,
        draft: Draft<'_>,
    ) -> Result<Vec<u8>, SealError> {
        self.not_myself(to)?;
        let now = self.correction.apply(now);
        let author = if proof == Proof::Always || self.tickets.requires_proof(to) {
            // Both are wanted before either is missed, so that they are asked for at once.
            let ready = self.ready(now);
            self.tickets.prepare(now, to)?;
            ready?;
            Some(self.author.ready(now)?)
        } else {
            None
        };
        let message = self.tickets.seal(now, to, &Draft { author, ..draft })?;
        self.stats.sealed += 1;
        Ok(message)
    }

    fn not_myself(&self, to: &Name) -> Result<(), SealError> {
        if *to == self.me { Err(SealError::ToSelf) } else { Ok(()) }
    }
}

/// Whether a message is written with a proof of its author.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Proof {
    /// If its destination takes no other.
    IfRequired,
    Always,
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("me", &self.me).field("keys", &self.keys).finish_non_exhaustive()
    }
}
