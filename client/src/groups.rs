//! The groups that a party is a member of (docs/protocol.md §11).

mod held;
mod memberships;
mod waiting;

use keycell_protocol::{Name, ProblemType, UnixSeconds};

pub(crate) use held::HeldGroups;
pub(crate) use memberships::{Memberships, below};
pub(crate) use waiting::{Waiting, waits_for};

/// To which groups' messages a party listens.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum MemberOf {
    /// To none: no KDC is asked for keys of groups.
    #[default]
    Nothing,
    /// To these. The KDC decides whether the party is a member.
    Groups(Vec<Name>),
    /// To all that the KDC says the party is a member of, up to 100. One that is new is found within a lifetime of the keys
    /// of another, or ten minutes.
    All,
}

/// How it stands with one group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Membership {
    /// Its keys are asked for, and none is at hand. Messages to it wait.
    Asked,
    /// Messages to it open.
    Member {
        /// Until when they do with the keys at hand.
        until: UnixSeconds,
    },
    /// The KDC gives no keys of it, and is asked again now and then.
    Refused {
        /// Why; `None` when a newer KDC gave a reason that is not known here.
        problem: Option<ProblemType>,
    },
}
