//! Why a message does not open.

use core::fmt;

use crate::key::{Epoch, Generation};
use crate::replay::ReplayError;
use crate::ticket::TicketError;

/// The one answer to a message that cannot be trusted.
///
/// It prints the same for every cause, so that nobody tells a stranger which check failed; the
/// [`cause`](Self::cause) is for the receiver's own log and counters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the message cannot be opened")]
pub struct CannotOpen {
    cause: Cause,
}

impl CannotOpen {
    /// Which check failed. For the log, never for whoever sent the message.
    #[must_use]
    pub const fn cause(&self) -> Cause {
        self.cause
    }
}

impl From<Cause> for CannotOpen {
    fn from(cause: Cause) -> Self {
        Self { cause }
    }
}

/// Makes the enum and its codes from one table.
macro_rules! causes {
    ($($(#[$doc:meta])* $variant:ident $({ $($field:ident: $type:ty),* })? = $code:literal, $text:literal;)*) => {
        /// Which check a message failed, in the order in which they are made (docs/protocol.md §8).
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Cause {
            $(
                $(#[$doc])*
                $variant $({ $(
                    #[doc = concat!("The ", stringify!($field), " in question.")]
                    $field: $type
                ),* })?,
            )*
        }

        impl Cause {
            /// A short name that does not change: for logs, metrics and vectors.
            #[must_use]
            pub const fn code(&self) -> &'static str {
                match self {
                    $(Self::$variant $({ $($field: _),* })? => $code,)*
                }
            }

            /// All codes there are.
            pub const CODES: &'static [&'static str] = &[$($code),*];
        }

        impl fmt::Display for Cause {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                match self {
                    $(Self::$variant $({ $($field),* })? => write!(f, $text),)*
                }
            }
        }
    };
}

causes! {
    /// Longer than any message may be.
    TooLong = "too-long", "longer than 16 MiB";
    /// It does not start as a message does.
    Magic = "magic", "not a Keycell message of version 1";
    /// It ends in the middle of its header.
    Truncated = "truncated", "ends in the middle of its header";
    /// Neither a message nor a reply.
    Kind = "kind", "neither a message nor a reply";
    /// A flag is set that this version does not know.
    Flags = "flags", "a flag is set that is not known";
    /// A name in it breaks the rules for names.
    Name = "name", "a name in it is not a name";
    /// Its topic is not text, or has control characters.
    Topic = "topic", "the topic is not plain text";
    /// Its ticket is not a ticket.
    Ticket = "ticket", "what should be a ticket is none";
    /// A ticket that does not go with the kind of its destination.
    TicketKind = "ticket-kind", "the ticket is for another kind of destination";
    /// It comes from a group, and a group says nothing.
    GroupSource = "group-source", "a group cannot be the source of a message";
    /// Source and destination are the same.
    Reflected = "reflected", "source and destination are the same";
    /// It is for someone else.
    NotForMe = "not-for-me", "addressed to another party, or to a group whose keys are not held here";
    /// The ticket's time is over.
    Expired = "expired", "the ticket has expired";
    /// It claims a longer life than any ticket has.
    ExpiresTooLate = "expires-too-late", "claims a longer life than a ticket has";
    /// The ticket is sealed under a key that is not held here.
    NoKey { generation: Generation, epoch: Epoch } = "no-key",
        "sealed for generation {generation}, epoch {epoch} of the key, which is not held here";
    /// It came to a group under a key that the group got since this member last asked. It is kept, and opens once the key is
    /// there.
    Waiting { generation: Generation } = "waiting",
        "sealed for generation {generation} of its group's key, which is on its way; it is kept until then";
    /// The ticket does not open.
    TicketForged = "ticket-forged", "the ticket does not open with this party's key";
    /// A reply to a ticket that was never asked for, or is long gone.
    UnknownTicket = "unknown-ticket", "a reply under a ticket that is not held here";
    /// The tag is wrong: some byte, name or time was changed, or the sender does not hold the key.
    Forged = "forged", "not written by its source for this destination, or changed on the way";
    /// It has no proof of its author, and its group requires one.
    AuthorMissing = "author-missing", "no proof of its author, which the group requires";
    /// It says that it was sent later than now.
    FromTheFuture { ahead_ms: u64 } = "from-the-future", "sent {ahead_ms} ms ahead of this clock";
    /// It was sent before this receiver started, so an earlier process may have opened it.
    BeforeStart = "before-start", "sent before this receiver started; it may have been opened then";
    /// Older than the receiver accepts.
    TooOld { age_ms: u64 } = "too-old", "{age_ms} ms old, more than this receiver accepts";
    /// Opened before.
    Replayed = "replayed", "opened before";
    /// So far behind its sender's newest message that nobody remembers whether it was opened.
    OutOfWindow = "out-of-window", "more than 1,023 behind the newest of its sender";
    /// Its author is vouched for by a KDC that is not known here.
    AuthorUnknown = "author-unknown", "no KDC that is known here vouches for its author";
    /// The voucher was not good when it was sent.
    AuthorExpired = "author-expired", "its author was not vouched for when it was sent";
    /// Another signed it than its source, or the voucher is none, or somebody else's.
    AuthorForged = "author-forged", "its source did not sign it";
    /// Its body travels apart, and was not there.
    Detached = "detached", "its body travels apart; both are to be opened together";
    /// The body that came with it is not the one that is meant.
    Body = "body", "the body that came with it is not the one that is meant";
    /// No room to remember another sender; nobody's replay state is given up for it.
    TooManySenders = "too-many-senders", "no room to remember another sender";
}

impl From<TicketError> for Cause {
    fn from(error: TicketError) -> Self {
        match error {
            TicketError::Length | TicketError::Version | TicketError::Kind => Self::Ticket,
            TicketError::Forged => Self::TicketForged,
        }
    }
}

impl From<ReplayError> for Cause {
    fn from(error: ReplayError) -> Self {
        match error {
            ReplayError::Seen => Self::Replayed,
            ReplayError::TooOld => Self::OutOfWindow,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_distinct_and_the_error_tells_nothing() {
        let mut codes = Cause::CODES.to_vec();
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), Cause::CODES.len());
        let error = CannotOpen::from(Cause::FromTheFuture { ahead_ms: 7 });
        assert_eq!(error.to_string(), CannotOpen::from(Cause::Forged).to_string());
        assert_eq!(error.cause().to_string(), "sent 7 ms ahead of this clock");
        assert_eq!(error.cause().code(), "from-the-future");
    }
}
