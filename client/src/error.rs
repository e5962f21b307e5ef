//! Why a message is not written.

use keycell_protocol::{Name, ProblemType, TopicError, UnixMillis, UnixSeconds};

/// Why a message is not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SealError {
    /// There is no ticket yet. It is wanted now: send what [`Agent::wants`](crate::Agent::wants) gives to a KDC, and
    /// call again.
    #[error("no ticket for {destination} is held yet; it goes into the next request to a KDC")]
    NoTicket {
        /// For whom.
        destination: Name,
    },
    /// The KDC gives none. It is not asked again before `retry_at`.
    #[error("the KDC gives no ticket for {destination}: {}", reason(*.problem))]
    Refused {
        /// For whom.
        destination: Name,
        /// Why; `None` when a newer KDC gave a reason that is not known here.
        problem: Option<ProblemType>,
        /// When it may be asked again, by this host's clock.
        retry_at: UnixMillis,
    },
    /// The ticket is over and no KDC gave another one: they fail since before its end.
    #[error(
        "the ticket for {destination} ended at Unix time {since}, and no KDC has given a new one since; check the \
         way to the KDCs"
    )]
    Expired {
        /// For whom.
        destination: Name,
        /// The end of the last ticket.
        since: UnixSeconds,
    },
    /// A proof of the author is asked for, or its group requires one, and this party has no key to sign with.
    #[error(
        "this party has no author key to prove with that it wrote this; an agent that keeps its key file up makes one by \
         itself, any other needs one in its key file"
    )]
    NoAuthorKey,
    /// There is no voucher for the author key yet. It is wanted now: as with [`NoTicket`](Self::NoTicket), call again.
    #[error("no voucher for this party's author key is held yet; a KDC is asked for it")]
    NoVoucher,
    /// The KDC gives no voucher. It is not asked again before `retry_at`.
    #[error("the KDC gives no voucher for this party's author key: {}", voucher_reason(*.problem))]
    VoucherRefused {
        /// Why. [`ProblemType::Conflict`]: another author key was registered for this party before.
        problem: ProblemType,
        /// When it may be asked again, by the clock of the KDC.
        retry_at: UnixMillis,
    },
    /// The message to answer came under a ticket that is over by now.
    #[error("too late to answer: the ticket of that message ended at Unix time {since}")]
    ReplyTooLate {
        /// The end of the ticket.
        since: UnixSeconds,
    },
    /// The message to answer was opened with a key that is gone by now, or by another party.
    #[error("the ticket of that message does not open with the keys held now")]
    ReplyKeyGone,
    /// Not a topic.
    #[error(transparent)]
    Topic(#[from] TopicError),
    /// The message would be longer than [`MAX_MESSAGE`](keycell_protocol::MAX_MESSAGE).
    #[error("with its header the message would be longer than 16 MiB")]
    TooLong,
    /// A party does not write to itself.
    #[error("source and destination are the same")]
    ToSelf,
    /// All 2⁶⁴−1 numbers of this sealer are used up.
    #[error("all message numbers under this ticket are used up")]
    Exhausted,
    /// The table of destinations, or of parties to answer, is full.
    #[error("no room for another destination; raise the limit in the configuration of this agent")]
    TooManyDestinations,
}

fn voucher_reason(problem: ProblemType) -> &'static str {
    match problem {
        ProblemType::Conflict => {
            "another key is registered for it; if this host is the right one, let an administrator remove that with: \
             keycell party forget-author-key"
        }
        ProblemType::NotFound | ProblemType::MethodNotAllowed => {
            "it is of a release that knows no author keys"
        }
        problem => problem.title(),
    }
}

fn reason(problem: Option<ProblemType>) -> &'static str {
    problem.map_or("for a reason that this version does not know", ProblemType::title)
}
