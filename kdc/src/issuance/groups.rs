//! Requests for the keys of groups, and what a member gets (docs/protocol.md §11).

use keycell_protocol::{
    GroupKeys, GroupKeysRequest, GroupKeysWriter, HeldGroup, KeyReference, KeysFor, Name, ProblemType,
    SignedGroupRequest, SignerKey, TrustedSigners,
};
use rand_core::Rng as _;

use super::authenticate::{decoy, unreadable};
use super::{Authenticated, Kind, Moment, Refusal, Stamp};
use crate::directory::{Directory, Party};
use crate::groups::Group;
use crate::random::Pool;

/// Each group that is named costs the party as much as a ticket.
impl Kind for GroupKeys {
    type Signed<'a> = SignedGroupRequest<'a>;
    type Keys = KeysFor<Self>;
    type Request = GroupKeysRequest;

    fn key<'a>(signed: &'a SignedGroupRequest<'_>) -> &'a KeyReference {
        signed.key()
    }

    fn keys(party: &Party, key: &KeyReference, moment: Moment) -> Option<KeysFor<Self>> {
        party.keys_for(key.generation, key.epoch, moment.epoch(), moment.now)
    }

    fn decoy() -> KeysFor<Self> {
        decoy().keys_for()
    }

    fn verify(signed: &SignedGroupRequest<'_>, keys: &KeysFor<Self>) -> Result<GroupKeysRequest, Refusal> {
        signed.verify(keys).map_err(unreadable)
    }

    fn stamp(request: &GroupKeysRequest) -> Stamp {
        let cost = request.groups.len().max(1);
        Stamp { timestamp: request.timestamp, nonce: request.nonce, instance: request.instance, cost }
    }
}

/// A sealed reply to a member, and what is counted and recorded of it.
#[derive(Debug)]
pub struct GivenKeys {
    /// The JSON to send.
    pub body: Vec<u8>,
    /// Of how many groups it has the keys.
    pub granted: u32,
    /// How many of those began anew within the last lifetime.
    pub renewed: u32,
    /// The groups that it refuses, each with the reason.
    pub refused: Vec<(Name, ProblemType)>,
}

/// What a reply has besides the groups' keys.
#[derive(Debug, Clone, Copy)]
pub struct Extra<'a> {
    /// Whose vouchers hold in this zone.
    pub signers: &'a [SignerKey],
    /// And whose in those that it trusts.
    pub trusted: &'a TrustedSigners,
    /// Whether the party is to rotate its key.
    pub rotate: bool,
    /// How many members that meet an unknown key may ask in a second.
    pub refetches_per_second: u32,
}

/// Gives a member the keys of the groups that it asks for, or of all that it is a member of, as far as a reply has room.
/// That there is no such group, and that it is no member, is one answer.
#[must_use]
pub fn give_keys(
    member: &Authenticated<GroupKeys>,
    directory: &Directory,
    moment: Moment,
    extra: Extra<'_>,
) -> GivenKeys {
    let request = member.request();
    let memberships = directory.memberships();
    let own = memberships.of_party(&request.source);
    let mut random = Pool::new(RANDOM_PER_REPLY + 4 * own.len().min(GroupKeysRequest::MAX_GROUPS));
    let mut reply = GroupKeysWriter::new(request, moment.now, extra.signers);
    reply.trust(extra.trusted);
    if extra.rotate {
        reply.ask_to_rotate();
    }
    let mut given = GivenKeys { body: Vec::new(), granted: 0, renewed: 0, refused: Vec::new() };
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
        given.renewed += u32::from(group.is_renewed(moment.now.seconds()));
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
    given.body = reply.seal(member.keys(), &mut random);
    given
}

/// The reply's nonce.
const RANDOM_PER_REPLY: usize = 24;
