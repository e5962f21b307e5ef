//! Requests of other zones for their own parties, and the answer (docs/protocol.md §12).
//!
//! As with the tickets of a zone's own parties, each step proves the one before it: `Authenticated<Peers>` that a zone asks
//! which this one trusts, [`AuthorizedPeers`] that each of its tickets was decided on, [`PeersIssued`] what was given.

use std::sync::Arc;

use keycell_protocol::{
    KeyReference, KeysFor, Name, PeerPair, PeerRequest, Peers, ProblemType, ReplyWriter, SignedPeerRequest,
    UnixMillis, UnixSeconds,
};

use super::authenticate::{decoy, malformed, unreadable};
use super::authorize::{Destination, Permit};
use super::issue::{RANDOM_PER_REPLY, RANDOM_PER_TICKET, grant};
use super::{Authenticated, Kind, Moment, Refusal, Stamp};
use crate::directory::{Directory, Party};
use crate::groups::Memberships;
use crate::policy::{Mode, Policy, RuleId};
use crate::random::Pool;
use crate::trust::{LIFETIME, Listed, TrustRecord};

/// Only what another zone is here may ask it. Each ticket costs one, and so does asking for none.
impl Kind for Peers {
    type Signed<'a> = SignedPeerRequest<'a>;
    type Keys = KeysFor<Self>;
    type Request = PeerRequest;

    fn asker(directory: &Directory, name: &str) -> Option<Arc<Party>> {
        directory.zone(name)
    }

    fn key<'a>(signed: &'a SignedPeerRequest<'_>) -> &'a KeyReference {
        signed.key()
    }

    fn keys(zone: &Party, key: &KeyReference, moment: Moment) -> Option<KeysFor<Self>> {
        zone.keys_for(key.generation, key.epoch, moment.epoch(), moment.now)
    }

    fn decoy() -> KeysFor<Self> {
        decoy().keys_for()
    }

    fn verify(signed: &SignedPeerRequest<'_>, keys: &KeysFor<Self>) -> Result<PeerRequest, Refusal> {
        let request = signed.verify(keys).map_err(|error| match error {
            keycell_protocol::RequestError::Destinations => malformed("more than 1,000 tickets"),
            error => unreadable(error),
        })?;
        if !LIFETIME.contains(&request.lifetime_seconds) {
            return Err(malformed("the lifetime is not 10 to 86,400 seconds"));
        }
        Ok(request)
    }

    fn stamp(request: &PeerRequest) -> Stamp {
        let cost = request.requests.len().max(1);
        Stamp { timestamp: request.timestamp, nonce: request.nonce, instance: request.instance, cost }
    }
}

/// An authenticated request of another zone with a decision on each of its tickets.
#[derive(Debug)]
pub struct AuthorizedPeers {
    request: Authenticated<Peers>,
    trust: Arc<TrustRecord>,
    decisions: Vec<Result<PeerPermit, (ProblemType, Option<RuleId>)>>,
}

impl AuthorizedPeers {
    /// The request.
    #[must_use]
    pub const fn request(&self) -> &Authenticated<Peers> {
        &self.request
    }

    /// The trust that it rests on.
    #[must_use]
    pub fn trust(&self) -> &TrustRecord {
        &self.trust
    }
}

/// Leave for a party of another zone to speak to one destination.
#[derive(Debug)]
struct PeerPermit {
    permit: Permit,
    /// What would not have given it, were it in force.
    monitored: Option<Monitored>,
}

/// What would have refused a ticket over the border, were it in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Monitored {
    /// The lists of the trust.
    Lists,
    /// A rule of this zone's policy.
    Rule(RuleId),
}

impl Monitored {
    /// The rule, where it is one.
    #[must_use]
    pub const fn rule(&self) -> Option<&RuleId> {
        match self {
            Self::Lists => None,
            Self::Rule(rule) => Some(rule),
        }
    }
}

/// Decides on each ticket by itself. The trust's lists are what allows; the zone's policy can only deny.
///
/// # Errors
/// `party-disabled` where the trust has ended since the request was authenticated.
pub fn authorize_peers(
    request: Authenticated<Peers>,
    directory: &Directory,
    policy: &Policy,
    now: UnixMillis,
) -> Result<AuthorizedPeers, Refusal> {
    let trusts = directory.trusts();
    let asking = request.party().name();
    let trust = asking.asking_zone().and_then(|zone| trusts.incoming(zone.as_str()));
    let off = Refusal { problem: ProblemType::PartyDisabled, cause: "no trust with the zone is in force" };
    let trust = trust.ok_or(off)?.clone();
    let border = Border { trust: &trust, here: asking.zone(), directory, policy, now };
    let memberships = directory.memberships();
    let lifetime = request.request().lifetime_seconds.min(trust.lifetime(policy.ticket_lifetime_seconds()));
    let decide = |pair: &PeerPair| border.decide(pair, lifetime, &memberships);
    let decisions = request.request().requests.iter().map(decide).collect();
    Ok(AuthorizedPeers { request, trust, decisions })
}

/// Where one zone ends and this one begins.
struct Border<'a> {
    trust: &'a TrustRecord,
    here: &'a str,
    directory: &'a Directory,
    policy: &'a Policy,
    now: UnixMillis,
}

impl Border<'_> {
    fn decide(
        &self,
        PeerPair { source, destination }: &PeerPair,
        lifetime_seconds: u32,
        memberships: &Memberships,
    ) -> Result<PeerPermit, (ProblemType, Option<RuleId>)> {
        // A KDC speaks for its own parties to ours: for nobody else's, for no zone and to none, and to nobody beyond.
        let foreign = source.zone() != self.trust.zone.as_str() || source.is_kept_for_zones();
        let beyond = destination.zone() != self.here || destination.is_kept_for_zones();
        if foreign || beyond {
            return Err((ProblemType::UntrustedZone, None));
        }
        // As at home: whom one may not speak to, one does not learn about either.
        let found = Destination::find(destination, self.directory, memberships);
        let monitored = self.monitored(source, destination)?;
        match found {
            None => Err((ProblemType::UnknownDestination, None)),
            Some(destination) if destination.is_off() => Err((ProblemType::DestinationDisabled, None)),
            Some(destination) => {
                let permit = Permit { destination, lifetime_seconds, would_deny: None };
                Ok(PeerPermit { permit, monitored })
            }
        }
    }

    /// What would refuse it, were it in force.
    fn monitored(
        &self,
        source: &Name,
        destination: &Name,
    ) -> Result<Option<Monitored>, (ProblemType, Option<RuleId>)> {
        let listed = self.trust.lists(source, destination);
        let denied = self.policy.denial(source, destination, self.now);
        match (listed, denied) {
            (Listed::No, _) => Err((ProblemType::NotAllowed, None)),
            (_, Some(rule)) if rule.mode == Mode::Enforce => {
                Err((ProblemType::NotAllowed, Some(rule.id.clone())))
            }
            (Listed::Monitored, _) => Ok(Some(Monitored::Lists)),
            (Listed::Yes, denied) => Ok(denied.map(|rule| Monitored::Rule(rule.id.clone()))),
        }
    }
}

/// A sealed answer to another zone, and what is counted and recorded of it.
#[derive(Debug)]
pub struct PeersIssued {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// How many tickets it gives.
    pub granted: u32,
    /// Those that it refuses.
    pub refused: Vec<RefusedPeer>,
    /// Those among the given that something would have refused, were it in force.
    pub let_through: Vec<(PeerPair, Monitored)>,
    /// What became of each ticket, if those of the trust are logged.
    pub logged: Vec<(PeerPair, Result<UnixSeconds, ProblemType>)>,
}

/// A ticket over the border that is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedPeer {
    /// Who wanted to speak to whom.
    pub pair: PeerPair,
    /// Why there is no ticket: what the other zone is told.
    pub problem: ProblemType,
    /// The rule that denies it, which the other zone is not told.
    pub rule: Option<RuleId>,
}

/// Makes a ticket for everyone that may speak and seals the answer, which asks the zone to rotate its key if `rotate` says
/// so. Leaves no trace but its result.
#[must_use]
pub fn issue_peers(authorized: &AuthorizedPeers, moment: Moment, rotate: bool) -> PeersIssued {
    let request = authorized.request.request();
    let mut random = Pool::new(request.requests.len() * RANDOM_PER_TICKET + RANDOM_PER_REPLY);
    let mut reply = ReplyWriter::to_zone(request, moment.now);
    if rotate {
        reply.ask_to_rotate();
    }
    let mut issued = PeersIssued {
        body: Vec::new(),
        granted: 0,
        refused: Vec::new(),
        let_through: Vec::new(),
        logged: Vec::new(),
    };
    for (pair, decision) in request.requests.iter().zip(&authorized.decisions) {
        reply.on_behalf_of(&pair.source);
        let given = match decision {
            Ok(PeerPermit { permit, monitored }) => {
                let expiration = grant(&mut reply, &pair.destination, permit, moment, &mut random);
                let given = expiration.map(|expiration| (expiration, monitored));
                given.ok_or((ProblemType::DestinationDisabled, None))
            }
            Err(refused) => Err(refused.clone()),
        };
        let outcome = match given {
            Ok((expiration, monitored)) => {
                let PeerPair { source, destination } = pair;
                tracing::debug!(%source, %destination, %expiration, "ticket issued to another zone");
                issued.granted += 1;
                issued.let_through.extend(monitored.clone().map(|monitored| (pair.clone(), monitored)));
                Ok(expiration)
            }
            Err((problem, rule)) => {
                reply.refuse(&pair.destination, problem);
                issued.refused.push(RefusedPeer { pair: pair.clone(), problem, rule });
                Err(problem)
            }
        };
        if authorized.trust.log_tickets {
            issued.logged.push((pair.clone(), outcome));
        }
    }
    issued.body = reply.seal_for_zone(authorized.request.keys(), &mut random);
    issued
}
