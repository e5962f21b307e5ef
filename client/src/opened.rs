//! A message that proved itself.

use core::fmt;

use keycell_protocol::{Evidence, Mode, Name, Ticket, UnixMillis, UnixSeconds, Voucher};

use crate::contents::Authored;

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
    pub(crate) authored: Option<Box<Authored>>,
}

impl Opened {
    /// Whether it answers a message of this party's own.
    #[must_use]
    pub const fn is_reply(&self) -> bool {
        matches!(self.origin, Origin::Reply)
    }

    /// Whose word it is that [`source`](Self::source) wrote this, and not another who shares the key; `None` without a
    /// proof of the author.
    #[must_use]
    pub fn author(&self) -> Option<&Voucher> {
        self.authored.as_deref().map(|authored| &*authored.voucher)
    }

    /// What to keep in order to show others that the source said this (docs/evidence.md). It holds the body in the clear.
    ///
    /// `None` without a proof of the author, and once [`body`](Self::body) is no longer what the author wrote.
    #[must_use]
    pub fn evidence(&self) -> Option<Evidence> {
        self.authored.as_deref()?.evidence(&self.body)
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { source, destination, topic, body, sent_at, expiration, mode, origin: _, authored: _ } =
            self;
        f.debug_struct("Opened")
            .field("source", source)
            .field("destination", destination)
            .field("topic", topic)
            .field("body", &format_args!("{} bytes", body.len()))
            .field("sent_at", sent_at)
            .field("expiration", expiration)
            .field("mode", mode)
            .field("reply", &self.is_reply())
            .field("author", &self.author())
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
