//! Requests on their way to a KDC.

use keycell_protocol::{Name, Nonce, ProblemType, ReplyError, ReplyKey, TicketRequest, UnixMillis};

/// A request to send to a KDC: `POST /v1/tickets` with this body, as `application/json`.
///
/// The same body may be sent to one KDC after another until one answers.
#[derive(Debug)]
pub struct PendingRequest {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// How many tickets it asks for.
    pub destinations: usize,
    pub(crate) nonce: Nonce,
}

impl PendingRequest {
    /// The longest answer that makes sense, in bytes: whoever reads it stops there.
    #[must_use]
    pub const fn max_reply(&self) -> usize {
        // A record is 211 bytes, an entry of the metadata at most 350, both in base64 (and the metadata once more).
        (1 << 20) + self.destinations * 1024
    }
}

/// What came of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Taken {
    /// How many tickets were granted.
    pub granted: usize,
    /// Who cannot be written to, and why; `None` for a reason that is not known here.
    pub refused: Vec<(Name, Option<ProblemType>)>,
}

/// Why a KDC's answer is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TakeError {
    /// The request counts as lost, or was answered before.
    #[error("the answer comes too late, or twice")]
    NotPending,
    /// The answer does not hold.
    #[error(transparent)]
    Reply(#[from] ReplyError),
}

/// What is kept of a request until its answer comes.
pub(crate) struct Asked {
    pub(crate) request: TicketRequest,
    /// Opens the answer, whatever the epoch is by then.
    pub(crate) reply_key: ReplyKey,
    /// By the host's clock.
    pub(crate) at: UnixMillis,
}
