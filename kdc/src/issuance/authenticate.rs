//! Who is asking (docs/protocol.md §7).

use std::fmt::Debug;
use std::sync::{Arc, LazyLock};

use keycell_protocol::{
    Epoch, Generation, Instance, KeyReference, LongTermKey, Name, Nonce, ProblemType, RequestError,
    UnixMillis,
};

use super::{Denied, Moment, Nonces, Refusal};
use crate::directory::{Directory, Party};
use crate::limit::{Limits, Rate};

/// A kind of request that a party signs: what is its own. All else is the same for each, and is [`authenticate`]'s.
pub trait Kind {
    /// As it travels.
    type Signed<'a>;
    /// What checks its signature, and seals its reply.
    type Keys: Debug;
    /// What is asked, which nobody reads before the signature holds.
    type Request: Debug;

    /// Who may ask it under that full name: parties, unless it says otherwise.
    fn asker(directory: &Directory, name: &str) -> Option<Arc<Party>> {
        directory.party(name)
    }

    /// The key that the sender says it signed with.
    fn key<'a>(signed: &'a Self::Signed<'_>) -> &'a KeyReference;

    /// The keys of `party` that may sign it at that moment, if it has those that `key` names.
    fn keys(party: &Party, key: &KeyReference, moment: Moment) -> Option<Self::Keys>;

    /// The same of a key that nobody holds, with as much work: an unknown name is not to be told by the time it takes.
    fn decoy() -> Self::Keys;

    /// Checks the signature, then reads what it covers.
    ///
    /// # Errors
    /// [`Refusal`]: it does not hold, or the holder of the key wrote nonsense, or asks what that key may not.
    fn verify(signed: &Self::Signed<'_>, keys: &Self::Keys) -> Result<Self::Request, Refusal>;

    /// What tells it from other requests, and what it costs its party.
    fn stamp(request: &Self::Request) -> Stamp;
}

/// What tells one request from another, and what it costs its party.
#[derive(Debug, Clone, Copy)]
pub struct Stamp {
    /// When it was made.
    pub timestamp: UnixMillis,
    /// Different in every request.
    pub nonce: Nonce,
    /// The process that made it.
    pub instance: Instance,
    /// In tickets.
    pub cost: usize,
}

/// A request whose signature holds, which is fresh, and which was not seen before.
#[derive(Debug)]
pub struct Authenticated<K: Kind> {
    party: Arc<Party>,
    generation: Generation,
    keys: K::Keys,
    request: K::Request,
}

impl<K: Kind> Authenticated<K> {
    /// Who asks.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &K::Request {
        &self.request
    }

    /// What tells it from other requests.
    #[must_use]
    pub fn stamp(&self) -> Stamp {
        K::stamp(&self.request)
    }

    /// The generation of the key that signed the request.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.generation
    }

    /// The keys that signed the request, and that seal the reply.
    pub(crate) const fn keys(&self) -> &K::Keys {
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
/// [`Denied`] with `unauthenticated`, `clock-skew`, `party-disabled`, `replayed`, `rate-limited` or `overloaded`; with
/// `malformed-request` when the holder of the key wrote nonsense.
pub fn authenticate<K: Kind>(
    signed: &K::Signed<'_>,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<Authenticated<K>, Denied> {
    let key = K::key(signed);
    let known =
        K::asker(directory, key.name.as_str()).and_then(|party| Some((K::keys(&party, key, moment)?, party)));
    let Some((keys, party)) = known else {
        let _ = K::verify(signed, &K::decoy());
        return Err(unauthenticated("no such party, or no such key of it").into());
    };
    let request = K::verify(signed, &keys)?;
    accept(&party, K::stamp(&request), directory, nonces, limits, moment, freshness)?;
    Ok(Authenticated { party, generation: key.generation, keys, request })
}

/// What is checked of every request whose signature holds.
fn accept(
    party: &Party,
    stamp: Stamp,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<(), Denied> {
    let Stamp { timestamp, nonce, instance: _, cost } = stamp;
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
    let zone_rate = zone_rate(party.name(), directory)?;
    nonces.check(party, nonce)?;
    match zone_rate {
        Some(rate) => limits.zone(party.name(), rate, cost)?,
        None => limits.tickets(party.name(), cost)?,
    }
    nonces.accept(party, nonce, moment.now)?;
    Ok(())
}

/// The rate of another zone, which is that of its trust; parties have one of their own.
fn zone_rate(name: &Name, directory: &Directory) -> Result<Option<Rate>, Refusal> {
    if !name.is_kept_for_zones() {
        return Ok(None);
    }
    let trusts = directory.trusts();
    let trust = name.asking_zone().and_then(|zone| trusts.incoming(zone.as_str()));
    // Without its trust, which may be damaged, nobody knows what a zone may do.
    let off = Refusal { problem: ProblemType::PartyDisabled, cause: "no trust with the zone is in force" };
    trust.map(|trust| Some(trust.rate)).ok_or(off)
}

/// A key that nobody holds.
pub(super) fn decoy() -> &'static LongTermKey {
    static DECOY: LazyLock<LongTermKey> =
        LazyLock::new(|| LongTermKey::generate(Generation(0), Epoch(0), &mut crate::random::system()));
    &DECOY
}

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
