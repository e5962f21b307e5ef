//! To whom they may speak.

use std::sync::Arc;

use keycell_protocol::{Name, ProblemType, UnixMillis};

use super::{Authenticated, Tickets};
use crate::directory::{Directory, Party};
use crate::groups::{Group, Memberships};
use crate::policy::{ClassSlot, Decision, Policy, RuleId, Source, WouldDeny};

/// An authenticated request with a decision on each of its destinations.
#[derive(Debug)]
pub struct Authorized {
    request: Authenticated<Tickets>,
    decisions: Vec<Result<Permit, Refused>>,
}

impl Authorized {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Authenticated<Tickets> {
        &self.request
    }

    /// The decisions, in the order of the request's destinations.
    pub(super) fn decisions(&self) -> impl Iterator<Item = &Result<Permit, Refused>> {
        self.decisions.iter()
    }
}

/// Leave to speak to one destination.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) destination: Destination,
    pub(super) lifetime_seconds: u32,
    /// The monitored rule that would not have given it.
    pub(super) would_deny: Option<WouldDeny>,
}

/// Whom a message reaches.
#[derive(Debug)]
pub(super) enum Destination {
    /// A party.
    Party(Arc<Party>),
    /// The members of a group.
    Group(Arc<Group>),
}

impl Destination {
    pub(super) fn find(name: &Name, directory: &Directory, memberships: &Memberships) -> Option<Self> {
        match directory.party(name.as_str()) {
            Some(party) => Some(Self::Party(party)),
            None => memberships.group(name).cloned().map(Self::Group),
        }
    }

    fn class(&self) -> &ClassSlot {
        match self {
            Self::Party(party) => party.class(),
            Self::Group(group) => group.class(),
        }
    }

    pub(super) fn is_off(&self) -> bool {
        matches!(self, Self::Party(party) if !party.enabled())
    }
}

/// One destination that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// To whom there is no ticket.
    pub destination: Name,
    /// Why not: what the sender is told.
    pub problem: ProblemType,
    /// The rule that denies it, which the sender is not told.
    pub rule: Option<RuleId>,
}

/// Decides on each destination by itself: one that is refused does not spoil the others.
#[must_use]
pub fn authorize(
    request: Authenticated<Tickets>,
    directory: &Directory,
    policy: &Policy,
    now: UnixMillis,
) -> Authorized {
    let party = request.party();
    let source = policy.source(party.name(), party.class());
    let memberships = directory.memberships();
    let decide = |to: &Name| {
        let destination = || Destination::find(to, directory, &memberships);
        permit(party.name(), &source, to, destination, now).map_err(|(problem, rule)| Refused {
            destination: to.clone(),
            problem,
            rule: rule.cloned(),
        })
    };
    let decisions = request.request().destinations.iter().map(decide).collect();
    Authorized { request, decisions }
}

fn permit<'p>(
    name: &Name,
    source: &Source<'p>,
    to: &Name,
    destination: impl FnOnce() -> Option<Destination>,
    now: UnixMillis,
) -> Result<Permit, (ProblemType, Option<&'p RuleId>)> {
    if name == to {
        return Err((ProblemType::SelfDestination, None));
    }
    if name.zone() != to.zone() {
        return Err((ProblemType::UntrustedZone, None));
    }
    // The policy first: whom one may not speak to, one does not learn about either. It is looked up before only
    // because its class is kept with it; a denial costs the same without one.
    let destination = destination();
    match source.decide(to, destination.as_ref().map(Destination::class), now) {
        Decision::Deny { rule } => Err((ProblemType::NotAllowed, rule)),
        Decision::Allow { lifetime_seconds, would_deny, .. } => match destination {
            None => Err((ProblemType::UnknownDestination, None)),
            Some(destination) if destination.is_off() => Err((ProblemType::DestinationDisabled, None)),
            Some(destination) => Ok(Permit { destination, lifetime_seconds, would_deny }),
        },
    }
}
