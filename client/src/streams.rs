//! What a receiver remembers of its senders.

use core::hash::{BuildHasher as _, Hash, Hasher};
use std::collections::HashMap;
use std::collections::hash_map::Entry;

use keycell_protocol::{
    Cause, Envelope, Name, ReplayWindow, StreamKey, Ticket, TicketId, Under, UnixSeconds,
};

use crate::proofs::Vouched;

/// One sealer's messages: one ticket, one salt.
pub(crate) struct Stream {
    pub(crate) key: StreamKey,
    pub(crate) window: ReplayWindow,
    pub(crate) source: Name,
    /// The group that it speaks to; else it is for this party.
    pub(crate) group: Option<Name>,
    /// Whether its messages come to a group with a proof of their author: see [`is_proved`].
    pub(crate) proved: bool,
    pub(crate) under: Written,
    pub(crate) expiration: UnixSeconds,
    /// Of its messages with a proof of their author: it is checked once.
    pub(crate) vouched: Option<Vouched>,
}

/// Who speaks, and to whom: what somebody writes to a group in another's name is not counted as what the other writes to
/// this party, or with a proof of its own.
#[derive(PartialEq, Eq, Hash)]
enum Speaks {
    ToParty(Name),
    /// Whoever it is: counted for each group, so that who is a member of one mutes nobody in another.
    InName {
        source: Name,
        group: Name,
    },
    /// To whichever groups: only the author makes these, so counted together they mute nobody else, and no author takes
    /// the room of the others by speaking to many groups.
    Proved(Name),
}

impl Stream {
    fn speaks(&self) -> Speaks {
        let source = self.source.clone();
        match &self.group {
            None => Speaks::ToParty(source),
            Some(_) if self.proved => Speaks::Proved(source),
            Some(group) => Speaks::InName { source, group: group.clone() },
        }
    }

    /// Whether the message says of itself what this stream's messages say: then its key is the stream's.
    pub(crate) fn fits(&self, envelope: &Envelope<'_>) -> bool {
        envelope.expiration == self.expiration
            && envelope.source == self.source.as_str().as_bytes()
            && self.under.is(&envelope.under)
            && self.proved == is_proved(envelope)
    }

    /// Whether any member of its group could have written it.
    const fn is_anybodys(&self) -> bool {
        self.group.is_some() && !self.proved
    }
}

/// Whether a message comes to a group with a proof of its author. It is of another stream than those without: these any
/// member can write, with the numbers that it likes, and they must not make the author's own look old
/// (docs/protocol.md §8.2).
pub(crate) const fn is_proved(envelope: &Envelope<'_>) -> bool {
    matches!(envelope.under, Under::Ticket([_, GROUP, ..])) && envelope.extras.author_proof
}

/// The streams that are not over yet. Bounded; none is given up before its ticket ends.
pub(crate) struct Streams {
    // Boxed: the table stays small while it grows, and only what is used is paid for.
    map: HashMap<StreamId, Box<Stream>>,
    per_source: HashMap<Speaks, usize>,
    /// How many of them speak to groups.
    to_groups: usize,
    /// How many of these without a proof of their author.
    anybodys: usize,
    max: usize,
    max_per_source: usize,
    /// No stream ends before this, so there is nothing to sweep earlier.
    earliest: UnixSeconds,
    /// The latest end among the streams that were swept. A clock that is set back must not make their messages look
    /// new, so nothing that ended by then is opened again.
    swept: UnixSeconds,
}

impl Streams {
    pub(crate) fn new(max: usize, max_per_source: usize) -> Self {
        Self {
            map: HashMap::new(),
            per_source: HashMap::new(),
            to_groups: 0,
            anybodys: 0,
            max: max.max(LEAST),
            max_per_source,
            earliest: UnixSeconds(u64::MAX),
            swept: UnixSeconds(0),
        }
    }

    /// Where the stream of a message is looked for.
    pub(crate) fn id(&self, envelope: &Envelope<'_>) -> StreamId {
        let mut id = StreamId::of(envelope);
        if let Under::Ticket(ticket) = &envelope.under
            && let [_, GROUP, ..] = ticket
        {
            // A member of a group can write under each ticket for it in its own name, and make tickets with whatever nonce:
            // it must not come to be where somebody else's messages are looked for.
            let unforeseen = self.map.hasher().hash_one((ticket, envelope.source, is_proved(envelope)));
            let (_, rest) = id.0.split_at_mut(16);
            let (hash, zeros) = rest.split_at_mut(8);
            hash.copy_from_slice(&unforeseen.to_be_bytes());
            zeros.fill(0);
        }
        id
    }

    pub(crate) fn get_mut(&mut self, id: &StreamId) -> Option<&mut Stream> {
        self.map.get_mut(id).map(|stream| &mut **stream)
    }

    pub(crate) fn len(&self) -> usize {
        self.map.len()
    }

    pub(crate) const fn swept(&self) -> UnixSeconds {
        self.swept
    }

    /// Remembers a stream whose first message is authentic.
    pub(crate) fn insert(&mut self, now: UnixSeconds, id: StreamId, stream: Stream) -> Result<(), Cause> {
        // Twice per minute at most while there is room, so that a sweep is paid by many messages.
        if self.is_full(&stream) || now > self.earliest.plus(SWEEP_EVERY) {
            self.sweep(now);
        }
        if self.is_full(&stream) {
            return Err(Cause::TooManySenders);
        }
        let of_source = self.per_source.entry(stream.speaks()).or_default();
        if *of_source >= self.max_per_source {
            return Err(Cause::TooManySenders);
        }
        if let Entry::Vacant(vacant) = self.map.entry(id) {
            *of_source += 1;
            self.to_groups += usize::from(stream.group.is_some());
            self.anybodys += usize::from(stream.is_anybodys());
            self.earliest = self.earliest.min(stream.expiration);
            vacant.insert(Box::new(stream));
            Ok(())
        } else {
            // The same ticket and salt with another name or expiry would be another SEK, and no tag would hold; and two
            // tickets with the same 16 random bytes do not happen. A member of a group can derive that SEK: with another
            // expiry it is in the way of that name's messages without a proof, as it is with a number far ahead.
            Err(Cause::Forged)
        }
    }

    /// Members of a group can write there in whatever name: they leave half of the room to who speaks to this party alone,
    /// and half of the rest to who proves its name.
    fn is_full(&self, stream: &Stream) -> bool {
        self.map.len() >= self.max
            || stream.group.is_some() && self.to_groups >= self.max.div_ceil(2)
            || stream.is_anybodys() && self.anybodys >= self.max.div_ceil(4)
    }

    /// Forgets the streams whose tickets are over.
    pub(crate) fn sweep(&mut self, now: UnixSeconds) {
        if now < self.earliest {
            return;
        }
        let mut earliest = UnixSeconds(u64::MAX);
        let Self { map, per_source, to_groups, anybodys, swept, .. } = self;
        map.retain(|_, stream| {
            if stream.expiration > now {
                earliest = earliest.min(stream.expiration);
                return true;
            }
            *swept = stream.expiration.max(*swept);
            if let Some(of_source) = per_source.get_mut(&stream.speaks()) {
                *of_source -= 1;
            }
            *to_groups -= usize::from(stream.group.is_some());
            *anybodys -= usize::from(stream.is_anybodys());
            false
        });
        per_source.retain(|_, of_source| *of_source > 0);
        self.earliest = earliest;
    }
}

/// Where a stream is looked for: by the sealer's salt, and by 16 random bytes of the ticket, or its id in a reply; for a
/// message to a group by a hash of ticket, source and whether there is a proof, which nobody can foresee.
///
/// Short, since it is made and hashed for each message; [`Stream::fits`] compares all of the ticket. A sender may choose
/// its salts to collide with another's, but not what the KDC drew.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId([u8; 32]);

impl StreamId {
    fn of(envelope: &Envelope<'_>) -> Self {
        let under = match &envelope.under {
            // The first bytes of its nonce (docs/protocol.md §6).
            Under::Ticket(ticket) => {
                ticket.get(10..26).and_then(|nonce| nonce.first_chunk()).unwrap_or(&[0; 16])
            }
            Under::Id(id) => id.as_bytes(),
        };
        let mut id = [0; 32];
        let (salt, rest) = id.split_at_mut(16);
        salt.copy_from_slice(envelope.salt);
        rest.copy_from_slice(under);
        Self(id)
    }
}

impl Hash for StreamId {
    // Without the length that an array writes before itself.
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write(&self.0);
    }
}

/// Under which ticket a stream's messages are written.
#[derive(Clone, Copy)]
pub(crate) enum Written {
    Message([u8; Ticket::SIZE]),
    Reply(TicketId),
}

impl Written {
    pub(crate) const fn of(envelope: &Envelope<'_>) -> Self {
        match envelope.under {
            Under::Ticket(ticket) => Self::Message(*ticket),
            Under::Id(id) => Self::Reply(id),
        }
    }

    fn is(&self, under: &Under<'_>) -> bool {
        match (self, under) {
            (Self::Message(own), Under::Ticket(ticket)) => own == *ticket,
            (Self::Reply(own), Under::Id(id)) => own == id,
            _ => false,
        }
    }
}

/// Room for one who speaks to this party alone, one to a group with a proof, and one without.
const LEAST: usize = 3;
/// The kind of a ticket for a group (docs/protocol.md §6).
const GROUP: u8 = 2;
/// Seconds.
const SWEEP_EVERY: u64 = 30;
