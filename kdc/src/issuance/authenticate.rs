//! Who is asking (docs/protocol.md §7).

use std::sync::{Arc, LazyLock};

use keycell_protocol::{
    Epoch, Generation, LongTermKey, Nonce, ProblemType, RequestError, SignedRequest, Subkeys, TicketRequest,
    UnixMillis,
};

use super::{Denied, Moment, Nonces, Refusal};
use crate::directory::{Directory, Party};
use crate::limit::Limits;

/// A request whose signature holds, which is fresh, and which was not seen before.
#[derive(Debug)]
pub struct Authenticated {
    party: Arc<Party>,
    keys: Arc<Subkeys>,
    request: TicketRequest,
}

impl Authenticated {
    /// Who asks.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &TicketRequest {
        &self.request
    }

    /// The generation of the key that signed the request.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.keys.generation
    }

    /// The subkeys that signed the request, and that seal the reply.
    pub(super) fn keys(&self) -> &Subkeys {
        &self.keys
    }
}

/// How far a request's timestamp may be from the KDC's clock, and since when the KDC has remembered nonces.
#[derive(Debug, Clone, Copy)]
pub struct Freshness {
    /// The most milliseconds between the two clocks, either way.
    pub skew_ms: u64,
    /// When this process began to remember nonces: an earlier timestamp may be of a request that an earlier process
    /// answered. Its sender corrects its clock by the problem's `server_time` and asks again at once.
    pub since: UnixMillis,
}

/// Checks the signature, then the time, the party's standing, that the request is new, and the party's rate. A request
/// that is refused takes no room among the nonces.
///
/// An unknown name, a wrong signature and a dead key cost the same work and get the same answer; which it was, only
/// the log is told.
///
/// # Errors
/// [`Denied`] with `unauthenticated`, `clock-skew`, `party-disabled`, `replayed`, `rate-limited` or `overloaded`.
pub fn authenticate(
    signed: &SignedRequest<'_>,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<Authenticated, Denied> {
    let reference = signed.key();
    let known = directory.party(reference.name.as_str()).and_then(|party| {
        let keys = party.request_keys(reference.generation, reference.epoch, moment.epoch(), moment.now)?;
        Some((party, keys))
    });
    let Some((party, keys)) = known else {
        let _ = signed.verify(&DECOY.request);
        return Err(unauthenticated("no such party, or no such key of it").into());
    };
    let request = signed.verify(&keys.request).map_err(unreadable)?;

    let stamp =
        Stamp { timestamp: request.timestamp, nonce: request.nonce, cost: request.destinations.len() };
    accept(&party, stamp, nonces, limits, moment, freshness)?;
    Ok(Authenticated { party, keys, request })
}

/// What tells one request from another, and what it costs its party.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) timestamp: UnixMillis,
    pub(super) nonce: Nonce,
    /// In tickets.
    pub(super) cost: usize,
}

/// What is checked of every request whose signature holds.
pub(super) fn accept(
    party: &Party,
    stamp: Stamp,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<(), Denied> {
    let Stamp { timestamp, nonce, cost } = stamp;
    if timestamp.distance(moment.now) > freshness.skew_ms {
        return Err(skew("the timestamp is too far from this clock").into());
    }
    // Not while this clock is behind its own start: it was set back, and nobody could come up to it.
    if timestamp < freshness.since && moment.now >= freshness.since {
        return Err(skew("the timestamp is from before this process started").into());
    }
    if !party.enabled() {
        return Err(Refusal { problem: ProblemType::PartyDisabled, cause: "the party is disabled" }.into());
    }
    nonces.check(party, nonce)?;
    limits.tickets(party.name(), cost)?;
    nonces.accept(party, nonce, moment.now)?;
    Ok(())
}

/// Keys that nobody holds: an unknown name takes the time that a known one would.
static DECOY: LazyLock<Subkeys> =
    LazyLock::new(|| LongTermKey::generate(Generation(0), Epoch(0), &mut crate::random::system()).subkeys());

/// Why a request is refused before its meaning is looked at, whatever it asks for.
pub(super) const fn unreadable(error: RequestError) -> Refusal {
    match error {
        RequestError::Forged => unauthenticated("the signature does not hold"),
        RequestError::Source => unauthenticated("signed in another party's name"),
        RequestError::Malformed => malformed("the signed metadata is malformed"),
        RequestError::Destinations => {
            malformed("no destination, or more than 1,000; or more than 100 groups")
        }
        RequestError::Possession => malformed("no proof that the party holds the signing key"),
    }
}

pub(super) const fn unauthenticated(cause: &'static str) -> Refusal {
    Refusal { problem: ProblemType::Unauthenticated, cause }
}

pub(super) const fn malformed(cause: &'static str) -> Refusal {
    Refusal { problem: ProblemType::MalformedRequest, cause }
}

const fn skew(cause: &'static str) -> Refusal {
    Refusal { problem: ProblemType::ClockSkew, cause }
}
