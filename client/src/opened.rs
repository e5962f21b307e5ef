//! A message that proved itself.

use core::fmt;

use keycell_protocol::{Mode, Name, Ticket, UnixMillis, UnixSeconds};

/// A message that proved itself: source, destination, topic, times and body are what its sender wrote.
///
/// It prints everything but its body.
#[non_exhaustive]
pub struct Opened {
    /// Who wrote it.
    pub source: Name,
    /// For whom: this party, or a group that it is a member of.
    pub destination: Name,
    /// What it is about.
    pub topic: String,
    /// What it says.
    pub body: Vec<u8>,
    /// When it was sent, by its sender's clock.
    pub sent_at: UnixMillis,
    /// When its ticket ends, and with it the time to answer.
    pub expiration: UnixSeconds,
    /// Whether the body was encrypted on the way, or readable and signed.
    pub mode: Mode,
    pub(crate) origin: Origin,
}

impl Opened {
    /// Whether it answers a message of this party's own.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        matches!(self.origin, Origin::Reply)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, topic, body, sent_at, expiration, mode, origin: _ } = self;
        f.debug_struct("Opened")
            .field("source", source)
            .field("destination", destination)
            .field("topic", topic)
            .field("body", &format_args!("{} bytes", body.len()))
            .field("sent_at", sent_at)
            .field("expiration", expiration)
            .field("mode", mode)
            .field("reply", &self.is_reply())
            .finish()
    }
}

/// Under which ticket it came: what an answer needs.
pub(crate) enum Origin {
    /// Under the sender's ticket, which carries the key for the way back.
    Message([u8; Ticket::SIZE]),
    /// Under a ticket for a group: there is no key for the way back.
    Group,
    /// Under a ticket of our own.
    Reply,
}
