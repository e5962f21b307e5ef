//! Who asks for the keys of its groups, and what it gets (docs/protocol.md §11).

use std::sync::{Arc, LazyLock};

use keycell_protocol::{
    Epoch, Generation, GroupKeys, GroupKeysRequest, GroupKeysWriter, HeldGroup, KeysFor, LongTermKey, Name,
    ProblemType, SignedGroupRequest, SignerKey,
};
use rand_core::Rng as _;

use super::authenticate::{Stamp, accept, unauthenticated, unreadable};
use super::{Denied, Freshness, Moment, Nonces};
use crate::directory::{Directory, Party};
use crate::groups::Group;
use crate::limit::Limits;
use crate::random::Pool;

/// A request for group keys whose signature holds, which is fresh, and which was not seen before.
#[derive(Debug)]
pub struct AuthenticatedMember {
    party: Arc<Party>,
    keys: KeysFor<GroupKeys>,
    request: GroupKeysRequest,
}

impl AuthenticatedMember {
    /// Who asks.
    #[must_use]
    pub fn party(&self) -> &Party {
        &self.party
    }

    /// What is asked.
    #[must_use]
    pub const fn request(&self) -> &GroupKeysRequest {
        &self.request
    }

    /// The generation of the key that signed the request.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.keys.generation()
    }
}

/// Checks a request for group keys as [`authenticate`](super::authenticate) does one for tickets. Each group that is named
/// costs the party as much as a ticket.
///
/// # Errors
/// As [`authenticate`](super::authenticate).
pub fn authenticate_member(
    signed: &SignedGroupRequest<'_>,
    directory: &Directory,
    nonces: &Nonces,
    limits: &Limits,
    moment: Moment,
    freshness: Freshness,
) -> Result<AuthenticatedMember, Denied> {
    let reference = signed.key();
    let known = directory.party(reference.name.as_str()).and_then(|party| {
        let keys = party.keys_for(reference.generation, reference.epoch, moment.epoch(), moment.now)?;
        Some((party, keys))
    });
    let Some((party, keys)) = known else {
        // Derived anew, as a known party's keys are.
        let _ = signed.verify(&DECOY.keys_for());
        return Err(unauthenticated("no such party, or no such key of it").into());
    };
    let request = signed.verify(&keys).map_err(unreadable)?;
    let cost = request.groups.len().max(1);
    let stamp = Stamp { timestamp: request.timestamp, nonce: request.nonce, cost };
    accept(&party, stamp, nonces, limits, moment, freshness)?;
    Ok(AuthenticatedMember { party, keys, request })
}

/// A sealed reply to a member, and what is counted and recorded of it.
#[derive(Debug)]
pub struct GivenKeys {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// Of how many groups it has the keys.
    pub granted: u32,
    /// The groups that it refuses, each with the reason.
    pub refused: Vec<(Name, ProblemType)>,
}

/// What a reply has besides the groups' keys.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'a> {
    /// Whose vouchers hold in this zone.
    pub signers: &'a [SignerKey],
    /// Whether the party is to rotate its key.
    pub rotate: bool,
    /// How many members that meet an unknown key may ask in a second.
    pub refetches_per_second: u32,
}

/// Gives a member the keys of the groups that it asks for, or of all that it is a member of, as far as a reply has room.
/// That there is no such group, and that it is no member, is one answer.
#[must_use]
pub fn give_keys(
    member: &AuthenticatedMember,
    directory: &Directory,
    moment: Moment,
    extra: Extra<'_>,
) -> GivenKeys {
    let request = &member.request;
    let memberships = directory.memberships();
    let own = memberships.of_party(&request.source);
    let mut random = Pool::new(RANDOM_PER_REPLY + 4 * own.len().min(GroupKeysRequest::MAX_GROUPS));
    let mut reply = GroupKeysWriter::new(request, moment.now, extra.signers);
    if extra.rotate {
        reply.ask_to_rotate();
    }
    let mut given = GivenKeys { body: Vec::new(), granted: 0, refused: Vec::new() };
    let mut grant = |reply: &mut GroupKeysWriter<'_>, group: &Group| {
        let Some(keys) = group.keys(moment.now.seconds()) else { return false };
        reply.grant(HeldGroup {
            group: group.name().clone(),
            author_proof: group.record().author_proof,
            refresh_at: group.refresh_at(moment.now, random.next_u32()),
            spread: group.spread(extra.refetches_per_second, directory.len()),
            keys,
        });
        given.granted += 1;
        true
    };
    if request.groups.is_empty() {
        // One that is out of service is left out: there is nothing to be said of it yet.
        let mut room = GroupKeysRequest::MAX_GROUPS;
        for group in &own {
            if room > 0 && grant(&mut reply, group) {
                room -= 1;
            }
        }
    }
    for name in &request.groups {
        let problem = match own.binary_search_by(|group| group.name().cmp(name)) {
            Ok(at) if own.get(at).is_some_and(|group| grant(&mut reply, group)) => continue,
            Ok(_) => ProblemType::Unavailable,
            Err(_) => ProblemType::NotAllowed,
        };
        reply.refuse(name, problem);
        given.refused.push((name.clone(), problem));
    }
    given.body = reply.seal(&member.keys, &mut random);
    given
}

/// A key that nobody holds.
static DECOY: LazyLock<LongTermKey> =
    LazyLock::new(|| LongTermKey::generate(Generation(0), Epoch(0), &mut crate::random::system()));

/// The reply's nonce.
const RANDOM_PER_REPLY: usize = 24;
