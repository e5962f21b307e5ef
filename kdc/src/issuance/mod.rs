//! From a signed request to a sealed reply. Each step demands the proof that the step before made:
//!
//! ```text
//! SignedRequest → authenticate → Authenticated → authorize → Authorized → issue → Issued
//! ```
//!
//! The proofs have private fields and one constructor each, in a file of their own: issuing without policy, or
//! policy without authentication, does not compile. Every [`Kind`] of request that a party signs is authenticated by the
//! same function, and has a proof of its own: a rotation cannot be taken for a request for tickets.

mod authenticate;
mod authorize;
mod groups;
mod issue;
mod nonces;
mod peers;
mod rotation;
mod tickets;
mod voucher;

pub use authenticate::{Authenticated, Freshness, Kind, Stamp, authenticate};
pub use authorize::{Authorized, Refused, authorize};
pub use groups::{Extra, GivenKeys, give_keys};
pub(crate) use issue::renewal;
pub use issue::{Issued, LetThrough, issue};
pub use nonces::Nonces;
pub use peers::{AuthorizedPeers, Monitored, PeersIssued, RefusedPeer, authorize_peers, issue_peers};
pub use tickets::Tickets;
pub use voucher::Vouching;

use keycell_protocol::{ProblemType, RatchetPeriod, UnixMillis};

use crate::limit::TooOften;

/// When it is, for one request: every step of it sees the same instant.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The KDC's clock.
    pub now: UnixMillis,
    /// How long an epoch lasts in this zone.
    pub ratchet_period: RatchetPeriod,
}

impl Moment {
    /// The epoch of keys at this moment.
    #[must_use]
    pub fn epoch(&self) -> keycell_protocol::Epoch {
        self.ratchet_period.epoch(self.now.seconds())
    }
}

/// Why a whole request is refused: what the sender is told, and what only the log is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refusal {
    /// For the sender.
    pub problem: ProblemType,
    /// For the log.
    pub cause: &'static str,
}

/// Why a whole request for tickets is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Denied {
    /// It failed a check.
    Refused(Refusal),
    /// The party asks too often.
    TooOften(TooOften),
}

impl Denied {
    /// The problem to report.
    #[must_use]
    pub const fn problem(&self) -> ProblemType {
        match self {
            Self::Refused(refusal) => refusal.problem,
            Self::TooOften(_) => ProblemType::RateLimited,
        }
    }
}

impl From<Refusal> for Denied {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<TooOften> for Denied {
    fn from(limit: TooOften) -> Self {
        Self::TooOften(limit)
    }
}
