//! To whom they may speak.

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::{Correlation, Name, ProblemType, UnixMillis};

use super::{Authenticated, Monitored, Tickets};
use crate::directory::{Directory, Party};
use crate::groups::{Group, Memberships};
use crate::peers::Errand;
use crate::policy::{ClassSlot, Decision, Mode, Policy, RuleId, Source, WouldDeny};
use crate::trust::{LIFETIME, Listed, TrustRecord, Trusts};

/// An authenticated request with a decision on each of its destinations.
#[derive(Debug)]
pub struct Authorized {
    request: Authenticated<Tickets>,
    decisions: Vec<Result<Permit, Refused>>,
    /// Whether one of them is about a destination of another zone that may be spoken to.
    abroad: bool,
}

impl Authorized {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Authenticated<Tickets> {
        &self.request
    }

    /// What other zones have to be asked for before anything can be issued: nothing at all for most requests.
    #[must_use]
    pub fn errands(&self) -> Vec<Errand> {
        if !self.abroad {
            return Vec::new();
        }
        let mut errands: BTreeMap<&str, Errand> = BTreeMap::new();
        for (name, decision) in self.request.request().destinations.iter().zip(&self.decisions) {
            let Ok(Permit { destination: Destination::Abroad(abroad), lifetime_seconds, .. }) = decision
            else {
                continue;
            };
            let errand = errands.entry(name.zone()).or_insert_with(|| Errand {
                trust: abroad.trust.clone(),
                source: self.request.party().name().clone(),
                destinations: Vec::new(),
                lifetime_seconds: *lifetime_seconds,
                correlation: Correlation::generate(&mut crate::random::system()),
            });
            errand.destinations.push(name.clone());
        }
        let mut errands: Vec<_> = errands.into_values().collect();
        for errand in &mut errands {
            errand.destinations.sort_unstable();
            errand.destinations.dedup();
        }
        errands
    }

    /// The request again, to be decided on anew.
    #[must_use]
    pub fn into_request(self) -> Authenticated<Tickets> {
        self.request
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

impl Permit {
    /// Whether the ticket is to be a line of the log, whoever gets it.
    pub(super) fn is_logged(&self) -> bool {
        matches!(&self.destination, Destination::Abroad(abroad) if abroad.trust.log_tickets)
    }
}

/// Whom a message reaches.
#[derive(Debug)]
pub(super) enum Destination {
    /// A party.
    Party(Arc<Party>),
    /// The members of a group.
    Group(Arc<Group>),
    /// Whomever the KDC of another zone knows by that name.
    Abroad(Abroad),
}

/// Leave to ask another zone.
#[derive(Debug)]
pub(super) struct Abroad {
    trust: Arc<TrustRecord>,
    /// What would not have given it, were it in force.
    pub(super) monitored: Option<Monitored>,
}

impl Destination {
    pub(super) fn find(name: &Name, directory: &Directory, memberships: &Memberships) -> Option<Self> {
        match directory.party(name.as_str()) {
            Some(party) => Some(Self::Party(party)),
            None => memberships.group(name).cloned().map(Self::Group),
        }
    }

    fn class(&self) -> Option<&ClassSlot> {
        match self {
            Self::Party(party) => Some(party.class()),
            Self::Group(group) => Some(group.class()),
            Self::Abroad(_) => None,
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
    let mut abroad = false;
    let decide = |to: &Name| {
        let decided = if party.name().zone() == to.zone() {
            let destination = || Destination::find(to, directory, &memberships);
            permit(party.name(), &source, to, destination, now)
        } else {
            let lifetime = policy.ticket_lifetime_seconds();
            let permit = permit_abroad(party.name(), &source, to, &directory.trusts(), lifetime, now);
            abroad |= permit.is_ok();
            permit
        };
        decided.map_err(|(problem, rule)| Refused { destination: to.clone(), problem, rule: rule.cloned() })
    };
    let decisions = request.request().destinations.iter().map(decide).collect();
    Authorized { request, decisions, abroad }
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
    // The policy first: whom one may not speak to, one does not learn about either. It is looked up before only
    // because its class is kept with it; a denial costs the same without one.
    let destination = destination();
    match source.decide(to, destination.as_ref().and_then(Destination::class), now) {
        Decision::Deny { rule } => Err((ProblemType::NotAllowed, rule)),
        Decision::Allow { lifetime_seconds, would_deny, .. } => match destination {
            None => Err((ProblemType::UnknownDestination, None)),
            Some(destination) if destination.is_off() => Err((ProblemType::DestinationDisabled, None)),
            Some(destination) => Ok(Permit { destination, lifetime_seconds, would_deny }),
        },
    }
}

/// What this zone says of a destination of another: the lists of the trust allow, and its own policy can only deny.
fn permit_abroad<'p>(
    name: &Name,
    source: &Source<'p>,
    to: &Name,
    trusts: &Trusts,
    lifetime_seconds: u32,
    now: UnixMillis,
) -> Result<Permit, (ProblemType, Option<&'p RuleId>)> {
    let trust = trusts.outgoing(to.zone()).ok_or((ProblemType::UntrustedZone, None))?;
    let monitored = match (trust.lists(name, to), source.denial(to, now)) {
        (Listed::No, _) => return Err((ProblemType::NotAllowed, None)),
        (_, Some(rule)) if rule.mode == Mode::Enforce => {
            return Err((ProblemType::NotAllowed, Some(&rule.id)));
        }
        (Listed::Monitored, _) => Some(Monitored::Lists),
        (Listed::Yes, denied) => denied.map(|rule| Monitored::Rule(rule.id.clone())),
    };
    let lifetime_seconds = trust.lifetime(lifetime_seconds).clamp(*LIFETIME.start(), *LIFETIME.end());
    let abroad = Abroad { trust: trust.clone(), monitored };
    Ok(Permit { destination: Destination::Abroad(abroad), lifetime_seconds, would_deny: None })
}
