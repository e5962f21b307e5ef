//! Who may speak to whom, and for how long. A pure function of the two names.

use keycell_protocol::Name;

/// The rules of a zone.
///
/// So far there is one rule, and it is the whole policy: every party of the zone may speak to every other one.
#[derive(Debug, Clone)]
pub struct Policy {
    lifetime_seconds: u32,
}

impl Policy {
    /// Everything inside the zone is allowed, with tickets of `lifetime_seconds`.
    #[must_use]
    pub const fn open(lifetime_seconds: u32) -> Self {
        Self { lifetime_seconds }
    }

    /// Whether `source` may speak to `destination`.
    #[must_use]
    pub fn decide(&self, source: &Name, destination: &Name) -> Decision {
        if source.zone() == destination.zone() {
            Decision::Allow { lifetime_seconds: self.lifetime_seconds }
        } else {
            Decision::Deny
        }
    }
}

/// What the policy says of one pair of names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Decision {
    /// Allowed, with tickets of at most this many seconds.
    Allow {
        /// The ticket's lifetime.
        lifetime_seconds: u32,
    },
    /// Not allowed.
    Deny,
}
