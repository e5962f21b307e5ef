//! Opening messages, with every check of docs/protocol.md §8 in its order.

mod config;
mod rules;

use std::collections::HashMap;

use keycell_protocol::{
    Cause, Envelope, Grant, HeldGroup, Name, ReplayWindow, Salt, Sek, SignerKey, StreamKey, Ticket, TicketId,
    TicketKind, Under, UnixMillis, UnixSeconds, Zone,
};

use crate::contents::{Authored, Contents};
use crate::groups::HeldGroups;
use crate::keys::Keys;
use crate::opened::{Opened, Origin};
use crate::proofs::Proofs;
use crate::streams::{Stream, Streams, Written, is_proved};
use rules::Rules;

pub use config::{OpenerConfig, RestartGuard};

/// Opens the messages and replies that are for one party, and those for its groups.
///
/// Nothing but an authentic message changes what it remembers.
pub struct Opener {
    me: Name,
    rules: Rules,
    groups: HeldGroups,
    proofs: Proofs,
    streams: Streams,
    own: HashMap<TicketId, OwnTicket>,
    max_own: usize,
    /// No ticket of our own ends before this.
    own_earliest: UnixSeconds,
}

impl Opener {
    /// An opener for the messages of `me`, in a process that starts `now`.
    #[must_use]
    pub fn new(me: Name, config: &OpenerConfig, now: UnixMillis) -> Self {
        let guard = match config.restart_guard {
            RestartGuard::Start => Some(now),
            RestartGuard::Until(end) => Some(end),
            RestartGuard::FirstUse | RestartGuard::Off => None,
        };
        Self {
            me,
            rules: Rules {
                max_lifetime: config.max_lifetime,
                max_ahead_ms: config.max_ahead_ms,
                max_age_ms: config.max_age_ms,
                guard,
                host_guard: guard,
                settled: false,
            },
            groups: HeldGroups::default(),
            proofs: Proofs::new(config.require_author_proof),
            streams: Streams::new(config.max_streams, config.max_streams_per_source),
            own: HashMap::new(),
            max_own: config.max_own_tickets,
            own_earliest: UnixSeconds(u64::MAX),
        }
    }

    /// Opens a message for this party or one of its groups, or a reply to it. `now` is the corrected time.
    ///
    /// # Errors
    /// The first check that fails.
    pub fn open(&mut self, keys: &mut Keys, now: UnixMillis, bytes: &[u8]) -> Result<Opened, Cause> {
        self.open_with(keys, now, bytes, None)
    }

    /// Opens a message whose body travels apart from it, in `common` (docs/protocol.md §8.4).
    ///
    /// # Errors
    /// As [`open`](Self::open); [`Cause::Body`] when this is not its body, and then it can be opened with the right one
    /// still.
    pub fn open_with_body(
        &mut self,
        keys: &mut Keys,
        now: UnixMillis,
        bytes: &[u8],
        common: &[u8],
    ) -> Result<Opened, Cause> {
        self.open_with(keys, now, bytes, Some(common))
    }

    /// Believes what is vouched for by these keys of a zone's KDCs, and by no others, of parties of that zone. Whether they
    /// are others than before.
    pub fn trust_signers(&mut self, zone: &Zone, keys: &[SignerKey]) -> bool {
        self.proofs.trust(zone, keys)
    }

    /// Which keys those are.
    pub(crate) fn signers(&self, zone: &Zone) -> Vec<SignerKey> {
        self.proofs.of(zone)
    }

    fn open_with(
        &mut self,
        keys: &mut Keys,
        now: UnixMillis,
        bytes: &[u8],
        common: Option<&[u8]>,
    ) -> Result<Opened, Cause> {
        let envelope = Envelope::parse(bytes)?;
        let required = self.requires_author();
        let swept = self.streams.swept();
        let known = self.streams.id(&envelope);
        let known = self.streams.get_mut(&known);
        if let Some(stream) = known.filter(|stream| stream.fits(&envelope)) {
            // The source is one that was looked at before. Everything else is checked as for a new one.
            let destination = match &stream.group {
                None => &self.me,
                // What was opened there stays known, so that nothing opens twice for one who left and came back.
                Some(group) => self.groups.find(group.as_str().as_bytes()).ok_or(Cause::NotForMe)?,
            };
            if envelope.destination != destination.as_str().as_bytes() {
                return Err(misaddressed(&envelope));
            }
            self.rules.lifetime(&envelope, now, swept)?;
            if let (Some(group), Under::Ticket(bytes)) = (&stream.group, &envelope.under) {
                // What took the key back ends what was begun under it.
                self.groups.key(group, &Ticket::parse(*bytes)?, envelope.expiration)?;
            }
            // Counting the name's holders waits for all that was written before; here that is little.
            let (source, to) = (stream.source.clone(), (destination.clone(), stream.group.is_some()));
            let contents = Contents::new(&envelope, stream.key.read(&envelope)?, common, required)?;
            self.groups.author(stream.group.as_ref(), envelope.extras)?;
            self.rules.sent(&envelope, now)?;
            stream.window.check(envelope.sequence)?;
            self.rules.vouched(&envelope)?;
            let (body, authored) = contents.verify(&self.proofs, &source, &mut stream.vouched)?;
            stream.window.accept(envelope.sequence)?;
            return Ok(opened(&envelope, source, to, (body, authored)));
        }
        self.open_first(keys, now, &envelope, common)
    }

    /// Takes replies under a ticket that the KDC granted to this party. `false` when there is no room.
    pub fn expect_replies(&mut self, now: UnixMillis, grant: &Grant) -> bool {
        let Some(sek) = &grant.reply_sek else { return false };
        if self.own.len() >= self.max_own {
            self.sweep_own(now.seconds());
        }
        if self.own.len() >= self.max_own {
            return false;
        }
        let ticket =
            OwnTicket { replier: grant.destination.clone(), expiration: grant.expiration, sek: sek.clone() };
        self.own_earliest = self.own_earliest.min(grant.expiration);
        self.own.insert(grant.ticket.id(), ticket);
        true
    }

    /// Opens messages to a group with these keys from now on, and with no others that it had.
    pub fn hold(&mut self, group: HeldGroup) {
        self.groups.put(group);
    }

    /// Messages to a group are meant for this party, and wait for the group's keys.
    pub(crate) fn join(&mut self, group: Name) {
        self.groups.join(group);
    }

    /// Opens no message to a group any more.
    pub fn leave(&mut self, group: &Name) {
        self.groups.leave(group);
    }

    pub(crate) const fn groups(&self) -> &HeldGroups {
        &self.groups
    }

    /// Forgets what is over: senders, tickets, keys of groups. Called now and then it keeps memory and secrets short-lived,
    /// and what was opened under a ticket that it has forgotten stays shut if the clock is set back. Nothing else depends
    /// on it.
    pub fn sweep(&mut self, now: UnixMillis) {
        self.streams.sweep(now.seconds());
        self.sweep_own(now.seconds());
        self.groups.expire(now.seconds());
    }

    /// How many senders are remembered.
    #[must_use]
    pub fn streams(&self) -> usize {
        self.streams.len()
    }

    /// The host's clock is taken to be wrong by so many milliseconds, until a KDC says.
    pub(crate) fn assume_correction(&mut self, millis: i64) {
        self.rules.guard = self.rules.host_guard.map(|guard| guard.shifted(millis));
    }

    /// A KDC said, in an answer sealed for this party, that the host's clock is wrong by so many milliseconds. The
    /// first such word settles the guard: a later correction of the clock does not move what is past.
    pub(crate) fn learn_correction(&mut self, millis: i64) {
        if !self.rules.settled {
            self.assume_correction(millis);
            self.rules.settled = true;
        }
    }

    /// The first message of a sender that is not remembered.
    fn open_first(
        &mut self,
        keys: &mut Keys,
        now: UnixMillis,
        envelope: &Envelope<'_>,
        common: Option<&[u8]>,
    ) -> Result<Opened, Cause> {
        let source = Name::try_from(envelope.source).map_err(|_| Cause::Name)?;
        let group = self.groups.find(envelope.destination).cloned();
        let for_me = group.is_some() || envelope.destination == self.me.as_str().as_bytes();
        let ticket = match &envelope.under {
            Under::Ticket(bytes) => {
                if !for_me {
                    Name::try_from(envelope.destination).map_err(|_| Cause::Name)?;
                }
                Some(Ticket::parse(*bytes)?)
            }
            Under::Id(_) => None,
        };
        if !for_me {
            return Err(misaddressed(envelope));
        }
        // To a group it is this party's own word that came back.
        if source == self.me || envelope.source == envelope.destination {
            return Err(Cause::Reflected);
        }
        if self.groups.find(envelope.source).is_some() {
            return Err(Cause::GroupSource);
        }
        let kind = if group.is_some() { TicketKind::Group } else { TicketKind::Party };
        if ticket.is_some_and(|ticket| ticket.kind() != kind) {
            return Err(Cause::TicketKind);
        }
        self.rules.lifetime(envelope, now, self.streams.swept())?;
        let expiration = envelope.expiration;
        let sek = match (&ticket, &group, &envelope.under) {
            (Some(ticket), Some(group), _) => {
                self.groups.open(group, ticket, expiration)?.sek(&source, group, expiration)
            }
            (Some(ticket), None, _) => {
                let subkeys = keys.named(now, ticket.generation(), ticket.epoch())?;
                ticket.open(&subkeys.ticket)?.sek(&source, &self.me, expiration)
            }
            (None, None, Under::Id(id)) => {
                self.own.get(id).ok_or(Cause::UnknownTicket)?.sek(&source, envelope)?
            }
            // A group holds no ticket, so nobody answers to one.
            (None, ..) => return Err(Cause::UnknownTicket),
        };
        let key = StreamKey::new(sek, Salt::of(envelope));
        let contents = Contents::new(envelope, key.read(envelope)?, common, self.requires_author())?;
        self.groups.author(group.as_ref(), envelope.extras)?;
        self.rules.sent(envelope, now)?;
        let mut window = ReplayWindow::new();
        window.accept(envelope.sequence)?;
        let mut vouched = None;
        self.rules.vouched(envelope)?;
        let (body, authored) = contents.verify(&self.proofs, &source, &mut vouched)?;
        let under = Written::of(envelope);
        let to = (group.as_ref().unwrap_or(&self.me).clone(), group.is_some());
        let proved = is_proved(envelope);
        let stream =
            Stream { key, window, source: source.clone(), group, proved, under, expiration, vouched };
        self.streams.insert(now.seconds(), self.streams.id(envelope), stream)?;
        Ok(opened(envelope, source, to, (body, authored)))
    }

    /// Whether a message opens only with a proof of its author, whoever it is for.
    const fn requires_author(&self) -> bool {
        self.proofs.required()
    }

    fn sweep_own(&mut self, now: UnixSeconds) {
        if now >= self.own_earliest {
            self.own.retain(|_, ticket| ticket.expiration > now);
            self.own_earliest =
                self.own.values().map(|ticket| ticket.expiration).min().unwrap_or(UnixSeconds(u64::MAX));
        }
    }
}

impl core::fmt::Debug for Opener {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let Self { me, rules, groups, proofs, streams, own, max_own: _, own_earliest: _ } = self;
        f.debug_struct("Opener")
            .field("me", me)
            .field("rules", rules)
            .field("groups", groups)
            .field("proofs", proofs)
            .field("streams", &streams.len())
            .field("own", &own.len())
            .finish_non_exhaustive()
    }
}

/// A ticket of our own, under which its destination may answer.
struct OwnTicket {
    replier: Name,
    expiration: UnixSeconds,
    sek: Sek,
}

impl OwnTicket {
    /// `SEK(replier→me)`, if the reply names that replier and that expiry; with others the SEK would be another.
    fn sek(&self, source: &Name, envelope: &Envelope<'_>) -> Result<Sek, Cause> {
        if *source == self.replier && envelope.expiration == self.expiration {
            Ok(self.sek.clone())
        } else {
            Err(Cause::Forged)
        }
    }
}

fn misaddressed(envelope: &Envelope<'_>) -> Cause {
    if Name::try_from(envelope.destination).is_err() {
        Cause::Name
    } else if envelope.source == envelope.destination {
        Cause::Reflected
    } else {
        Cause::NotForMe
    }
}

fn opened(
    envelope: &Envelope<'_>,
    source: Name,
    (destination, is_group): (Name, bool),
    (body, authored): (Vec<u8>, Option<Box<Authored>>),
) -> Opened {
    Opened {
        source,
        destination,
        authored,
        topic: envelope.topic.as_str().to_owned(),
        body,
        sent_at: envelope.sent_at,
        expiration: envelope.expiration,
        mode: envelope.mode,
        origin: match envelope.under {
            Under::Ticket(_) if is_group => Origin::Group,
            Under::Ticket(ticket) => Origin::Message(*ticket),
            Under::Id(_) => Origin::Reply,
        },
    }
}
