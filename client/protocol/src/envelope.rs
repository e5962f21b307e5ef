//! Messages as they travel (docs/protocol.md §8).
//!
//! ```text
//! 0   4  "KCL1"
//! 4   1  kind: 1 message (carries a ticket), 2 reply (names the ticket by id)
//! 5   1  flags: bit 0 = 0 sealed / 1 signed; bit 1 = author proof; bit 2 = detached body (sealed only); the others are 0
//! 6   8  expiration, Unix seconds (the ticket's)
//! 14  8  sent_at, Unix milliseconds
//! 22 16  salt, random per sealer
//! 38  8  sequence, from 0, one per message of this sealer
//! 46     LP(source) LP(destination) LP(topic)
//!        kind 1: ticket 82        kind 2: ticket id 16
//!        payload and tag, to the end
//! ```
//!
//! LP(x) is a length byte and x. A sealed payload is XChaCha20-Poly1305 under `Ke` with the nonce
//! `salt || sequence`; a signed one is the plaintext and HMAC-SHA256 under `Ks`. Both cover every byte before it. With an
//! author proof the plaintext begins with it; with a detached body it ends with a [`ContentPart`](crate::ContentPart).

use crate::aead::TAG;
use crate::codec::{Reader, Truncated, put_prefixed};
use crate::error::Cause;
use crate::name::Name;
use crate::ticket::{Ticket, TicketId};
use crate::time::{UnixMillis, UnixSeconds};

mod stream;
mod topic;

pub use stream::{Salt, StreamKey};
pub use topic::{Topic, TopicError};

/// The longest message in bytes: 16 MiB. Transports have limits of their own.
pub const MAX_MESSAGE: usize = 1 << 24;

/// Whether a message's body is encrypted or only signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Encrypted and authenticated.
    Sealed,
    /// In the clear and authenticated.
    Signed,
}

impl Mode {
    /// Bytes that this mode adds to a body.
    #[must_use]
    pub const fn overhead(self) -> usize {
        match self {
            Self::Sealed => TAG,
            Self::Signed => MAC,
        }
    }
}

/// What is in a message's plaintext besides its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Extras {
    /// It begins with a proof of its author ([`AuthorProof`](crate::AuthorProof)).
    pub author_proof: bool,
    /// It ends with a [`ContentPart`](crate::ContentPart) for a body that travels apart; sealed messages only.
    pub detached: bool,
}

impl Extras {
    /// Only the body.
    pub const NONE: Self = Self { author_proof: false, detached: false };

    fn read(flags: u8) -> Option<(Mode, Self)> {
        if flags & !(SIGNED | AUTHOR_PROOF | DETACHED) != 0
            || flags & (SIGNED | DETACHED) == SIGNED | DETACHED
        {
            return None;
        }
        let mode = if flags & SIGNED == 0 { Mode::Sealed } else { Mode::Signed };
        Some((mode, Self { author_proof: flags & AUTHOR_PROOF != 0, detached: flags & DETACHED != 0 }))
    }

    const fn flags(self, mode: Mode) -> u8 {
        let mode = match mode {
            Mode::Sealed => 0,
            Mode::Signed => SIGNED,
        };
        mode | if self.author_proof { AUTHOR_PROOF } else { 0 } | if self.detached { DETACHED } else { 0 }
    }
}

/// Under which ticket a message was written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Under<'a> {
    /// A message carries the ticket itself.
    Ticket(&'a [u8; Ticket::SIZE]),
    /// A reply names the ticket of the message it answers.
    Id(TicketId),
}

impl Under<'_> {
    const fn kind(&self) -> u8 {
        match self {
            Self::Ticket(_) => MESSAGE,
            Self::Id(_) => REPLY,
        }
    }
}

/// What stands before a message's body: everything here is readable by anyone, and changed by no one.
#[derive(Debug, Clone, Copy)]
pub struct Header<'a> {
    /// Encrypted or only signed.
    pub mode: Mode,
    /// What is in the plaintext besides the body.
    pub extras: Extras,
    /// When the ticket ends.
    pub expiration: UnixSeconds,
    /// The sender's clock.
    pub sent_at: UnixMillis,
    /// The number of this message among its sealer's.
    pub sequence: u64,
    /// Who wrote it.
    pub source: &'a Name,
    /// For whom.
    pub destination: &'a Name,
    /// What it is about: for publish/subscribe filters on the way.
    pub topic: Topic<'a>,
    /// Under which ticket.
    pub under: Under<'a>,
}

impl Header<'_> {
    /// The length of what is written before the body.
    #[must_use]
    pub fn size(&self) -> usize {
        let under = match self.under {
            Under::Ticket(_) => Ticket::SIZE,
            Under::Id(_) => TicketId::SIZE,
        };
        FIXED
            + 3
            + self.source.as_str().len()
            + self.destination.as_str().len()
            + self.topic.as_str().len()
            + under
    }

    fn write(&self, salt: &Salt, out: &mut Vec<u8>) {
        out.extend_from_slice(MAGIC);
        out.extend_from_slice(&[self.under.kind(), self.extras.flags(self.mode)]);
        out.extend_from_slice(&self.expiration.0.to_be_bytes());
        out.extend_from_slice(&self.sent_at.0.to_be_bytes());
        out.extend_from_slice(salt.as_bytes());
        out.extend_from_slice(&self.sequence.to_be_bytes());
        put_prefixed(out, self.source.as_str().as_bytes());
        put_prefixed(out, self.destination.as_str().as_bytes());
        put_prefixed(out, self.topic.as_str().as_bytes());
        match &self.under {
            Under::Ticket(ticket) => out.extend_from_slice(*ticket),
            Under::Id(id) => out.extend_from_slice(id.as_bytes()),
        }
    }
}

/// A message taken apart, and believed by nobody yet.
///
/// The names are bytes until somebody needs them as names, so that a known sender costs a comparison only.
#[derive(Debug, Clone, Copy)]
pub struct Envelope<'a> {
    /// Encrypted or only signed.
    pub mode: Mode,
    /// What is in the plaintext besides the body, as the message says.
    pub extras: Extras,
    /// When the ticket ends, as the message says.
    pub expiration: UnixSeconds,
    /// When it was sent, as the message says.
    pub sent_at: UnixMillis,
    /// The sealer's salt.
    pub salt: &'a [u8; 16],
    /// The number among the sealer's messages.
    pub sequence: u64,
    /// The bytes of the source's name.
    pub source: &'a [u8],
    /// The bytes of the destination's name.
    pub destination: &'a [u8],
    /// The topic.
    pub topic: Topic<'a>,
    /// Under which ticket.
    pub under: Under<'a>,
    head: &'a [u8],
    payload: &'a [u8],
}

impl<'a> Envelope<'a> {
    /// Takes a message apart, strictly.
    ///
    /// # Errors
    /// The first rule that it breaks.
    // Inlined, it is taken apart where it is used: handing it over by value costs as much as reading it.
    #[inline]
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Cause> {
        let envelope = Self::parse_head(bytes)?;
        if envelope.payload.len() < envelope.mode.overhead() {
            return Err(Cause::Truncated);
        }
        Ok(envelope)
    }

    /// As [`parse`](Self::parse), whatever follows what stands before the payload.
    #[inline]
    pub(crate) fn parse_head(bytes: &'a [u8]) -> Result<Self, Cause> {
        if bytes.len() > MAX_MESSAGE {
            return Err(Cause::TooLong);
        }
        let mut reader = Reader::new(bytes);
        if reader.array()? != MAGIC {
            return Err(Cause::Magic);
        }
        let kind = reader.u8()?;
        if kind != MESSAGE && kind != REPLY {
            return Err(Cause::Kind);
        }
        let (mode, extras) = Extras::read(reader.u8()?).ok_or(Cause::Flags)?;
        let expiration = UnixSeconds(reader.u64()?);
        let sent_at = UnixMillis(reader.u64()?);
        let salt = reader.array()?;
        let sequence = reader.u64()?;
        let source = reader.prefixed()?;
        let destination = reader.prefixed()?;
        let topic = core::str::from_utf8(reader.prefixed()?).map_err(|_| Cause::Topic)?;
        let topic = Topic::try_from(topic).map_err(|_| Cause::Topic)?;
        let under = if kind == MESSAGE {
            Under::Ticket(reader.array()?)
        } else {
            Under::Id(TicketId::from_bytes(*reader.array()?))
        };
        let payload = reader.rest();
        let head = bytes.get(..bytes.len() - payload.len()).ok_or(Cause::Truncated)?;
        Ok(Self {
            mode,
            extras,
            expiration,
            sent_at,
            salt,
            sequence,
            source,
            destination,
            topic,
            under,
            head,
            payload,
        })
    }

    /// The length of the body, with what stands before it in the plaintext.
    #[must_use]
    pub const fn body_len(&self) -> usize {
        self.payload.len() - self.mode.overhead()
    }

    /// All bytes before the payload: what an author signs besides the body.
    #[must_use]
    pub const fn head(&self) -> &'a [u8] {
        self.head
    }

    /// What follows them.
    pub(crate) const fn payload(&self) -> &'a [u8] {
        self.payload
    }
}

impl From<Truncated> for Cause {
    fn from(Truncated: Truncated) -> Self {
        Self::Truncated
    }
}

const MAGIC: &[u8; 4] = b"KCL1";
const MESSAGE: u8 = 1;
const REPLY: u8 = 2;
const SIGNED: u8 = 1;
const AUTHOR_PROOF: u8 = 2;
const DETACHED: u8 = 4;
/// Bytes before the names.
const FIXED: usize = 46;
/// HMAC-SHA256.
const MAC: usize = 32;

#[cfg(test)]
mod tests;
