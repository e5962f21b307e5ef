//! To whom they may speak.

use std::sync::Arc;

use keycell_protocol::{Name, ProblemType};

use super::Authenticated;
use crate::directory::{Directory, Party};
use crate::policy::{Decision, Policy};

/// An authenticated request with a decision on each of its destinations.
#[derive(Debug)]
pub struct Authorized {
    request: Authenticated,
    decisions: Vec<Result<Permit, ProblemType>>,
}

impl Authorized {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Authenticated {
        &self.request
    }

    /// The decisions, in the order of the request's destinations.
    pub(super) fn decisions(&self) -> impl Iterator<Item = &Result<Permit, ProblemType>> {
        self.decisions.iter()
    }
}

/// Leave to speak to one destination.
#[derive(Debug)]
pub(super) struct Permit {
    pub(super) destination: Arc<Party>,
    pub(super) lifetime_seconds: u32,
}

/// Decides on each destination by itself: one that is refused does not spoil the others.
#[must_use]
pub fn authorize(request: Authenticated, directory: &Directory, policy: &Policy) -> Authorized {
    let source = &request.request().source;
    let destinations = &request.request().destinations;
    let decisions = destinations.iter().map(|to| decide(source, to, directory, policy)).collect();
    Authorized { request, decisions }
}

fn decide(source: &Name, to: &Name, directory: &Directory, policy: &Policy) -> Result<Permit, ProblemType> {
    if source == to {
        return Err(ProblemType::SelfDestination);
    }
    if source.zone() != to.zone() {
        return Err(ProblemType::UntrustedZone);
    }
    // The policy first: whom one may not speak to, one does not learn about either.
    let Decision::Allow { lifetime_seconds } = policy.decide(source, to) else {
        return Err(ProblemType::NotAllowed);
    };
    let destination = directory.party(to.as_str()).ok_or(ProblemType::UnknownDestination)?;
    if !destination.enabled() {
        return Err(ProblemType::DestinationDisabled);
    }
    Ok(Permit { destination, lifetime_seconds })
}
