//! Groups, as a KDC keeps them: each a chain of keys, and another one after each change.

use std::collections::HashSet;

use keycell_client::Agent;
use keycell_protocol::{
    Generation, Grant, GroupChain, GroupKey, GroupKeysRequest, GroupKeysWriter, HeldGroup, HeldKey, Name,
    Problem, ProblemType, Rkey, SignedGroupRequest, Ticket, UnixMillis, UnixSeconds,
};
use rand_core::Rng as _;

use super::{Cell, name};

/// What a KDC knows of a group.
#[derive(Clone)]
pub(crate) struct Group {
    pub(crate) members: HashSet<Name>,
    pub(crate) author_proof: bool,
    /// How it fares with it, if not well.
    pub(crate) problem: Option<ProblemType>,
    pub(crate) spread: u64,
    chains: Vec<Chain>,
}

#[derive(Clone)]
struct Chain {
    start: GroupChain,
    begins: UnixSeconds,
    ended: Option<UnixSeconds>,
}

/// Of a group's key, in seconds.
pub(crate) const TURN: u64 = 300;
pub(crate) const TURN_MS: u64 = TURN * 1000;

impl Chain {
    fn generation(&self, at: UnixSeconds) -> Generation {
        let turns = at.0.saturating_sub(self.begins.0) / TURN;
        Generation(self.start.generation().0 + turns as u32)
    }

    fn key(&self, generation: Generation) -> HeldKey {
        let turns = generation.0 - self.start.generation().0;
        let begins = self.begins.plus(u64::from(turns) * TURN);
        let key = self.start.clone().advance(generation).unwrap().key();
        HeldKey { key, begins, ends: begins.plus(2 * TURN) }
    }

    /// Those that still open, the one in use, and the next one unless there will be none.
    fn given(&self, at: UnixSeconds) -> Vec<HeldKey> {
        let reached = self.generation(self.ended.unwrap_or(at));
        let last = reached.0 + u32::from(self.ended.is_none());
        let first = self.start.generation().0.max(reached.0.saturating_sub(1));
        (first..=last).map(|g| self.key(Generation(g))).filter(|key| key.ends > at).collect()
    }
}

impl Cell {
    /// A group with these members.
    pub(crate) fn group(&mut self, group: &str, members: &[&str]) {
        let start = GroupChain::generate(Generation::FIRST, &mut self.rng);
        let chain = Chain { start, begins: self.now.seconds(), ended: None };
        let members = members.iter().map(|member| name(member)).collect();
        let group_name = name(group);
        let group = Group { members, author_proof: false, problem: None, spread: 0, chains: vec![chain] };
        self.groups.insert(group_name, group);
    }

    pub(crate) fn group_mut(&mut self, group: &str) -> &mut Group {
        self.groups.get_mut(&name(group)).unwrap()
    }

    /// All keys that are out are replaced, and what was to be the next one is never used.
    pub(crate) fn rotate_group(&mut self, group: &str) {
        let now = self.now.seconds();
        let group = self.groups.get_mut(&name(group)).unwrap();
        let last = group.chains.last_mut().unwrap();
        last.ended = Some(now);
        let first = Generation(last.generation(now).0 + 2);
        let start = GroupChain::generate(first, &mut self.rng);
        group.chains.push(Chain { start, begins: now, ended: None });
    }

    /// The party is no member any more.
    pub(crate) fn remove_member(&mut self, group: &str, member: &str) {
        assert!(self.group_mut(group).members.remove(&name(member)));
        self.rotate_group(group);
    }

    /// What seals tickets for the group now.
    pub(crate) fn group_key(&self, group: &Name) -> Option<(HeldKey, bool)> {
        let group = self.groups.get(group)?;
        let chain = group.chains.last()?;
        Some((chain.key(chain.generation(self.now.seconds())), group.author_proof))
    }

    /// Any key of a group, for those who know more than they should.
    pub(crate) fn key_of_group(&self, group: &str, chain: usize, generation: u32) -> GroupKey {
        self.groups[&name(group)].chains[chain].key(Generation(generation)).key
    }

    /// A ticket for a group in the hands of somebody who writes messages byte by byte.
    pub(crate) fn grant_group(&mut self, from: &str, group: &str) -> Grant {
        let (held, _) = self.group_key(&name(group)).unwrap();
        let expiration = held.ends.min(self.now.seconds().plus(TURN));
        self.grant_group_with(from, group, &held.key, expiration)
    }

    /// As `grant_group`, under another key and with another expiry.
    pub(crate) fn grant_group_with(
        &mut self,
        from: &str,
        group: &str,
        key: &GroupKey,
        expiration: UnixSeconds,
    ) -> Grant {
        let rkey = Rkey::generate(&mut self.rng);
        let ticket = Ticket::seal_for_group(&rkey, key.generation(), &key.ticket_key(), &mut self.rng);
        Grant {
            destination: name(group),
            expiration,
            renew_after: expiration,
            ticket,
            sek: rkey.sek(&name(from), &name(group), expiration),
            reply_sek: None,
            author_proof: false,
        }
    }

    /// The first message of a sender to the group `probe`.
    pub(crate) fn seal_first(&mut self, mut sender: Agent) -> Vec<u8> {
        self.seal(&mut sender, "probe", "t", b"first")
    }

    /// Another KDC of the zone, which knows what this one knows by now.
    pub(crate) fn clone_groups(cell: &Self) -> Self {
        Self { now: cell.now, groups: cell.groups.clone(), ..Self::new() }
    }

    /// Hears what the other KDC knows of groups.
    pub(crate) fn take_groups(&mut self, other: Self) {
        self.groups = other.groups;
    }

    pub(super) fn give_groups(&mut self, body: &[u8]) -> Result<Vec<u8>, Problem> {
        if let Some(problem) = &self.busy {
            return Err(problem.clone());
        }
        let signed = SignedGroupRequest::parse(body).unwrap();
        let Some((own, asks_to_rotate)) = self.known(signed.key()) else {
            return Err(self.stranger());
        };
        let keys = own.keys_for();
        let request = signed.verify(&keys).unwrap();
        self.group_requests.push(request.clone());
        if request.timestamp.distance(self.now) > 60_000 {
            let mut problem = Problem::new(ProblemType::ClockSkew);
            problem.server_time = Some(self.now);
            return Err(problem);
        }
        let desk = self.desk_of(&request.source);
        let (signers, trusted) = ([desk.signer()], desk.trusted.clone());
        let mut writer = GroupKeysWriter::new(&request, self.now, &signers);
        writer.trust(&trusted);
        if asks_to_rotate {
            writer.ask_to_rotate();
        }
        let mut all: Vec<_> = self.groups.keys().cloned().collect();
        all.sort();
        let asked = if request.groups.is_empty() { &all } else { &request.groups };
        for group in asked {
            match self.groups.get(group) {
                Some(Group { problem: Some(problem), .. }) => writer.refuse(group, *problem),
                Some(held) if held.members.contains(&request.source) => {
                    let dice = self.rng.next_u64();
                    writer.grant(given(group, held, self.now, dice));
                }
                _ if request.groups.is_empty() => {}
                _ => writer.refuse(group, ProblemType::NotAllowed),
            }
        }
        Ok(writer.seal(&keys, &mut self.rng))
    }

    /// The requests for keys of groups since this was called last.
    pub(crate) fn group_requests(&mut self) -> Vec<GroupKeysRequest> {
        core::mem::take(&mut self.group_requests)
    }
}

fn given(name: &Name, group: &Group, now: UnixMillis, dice: u64) -> HeldGroup {
    let at = now.seconds();
    let last = group.chains.last().unwrap();
    let next = last.key(last.generation(at)).begins.plus(TURN).millis();
    HeldGroup {
        group: name.clone(),
        author_proof: group.author_proof,
        refresh_at: next.plus(TURN_MS / 10 + dice % (TURN_MS * 8 / 10)),
        spread: group.spread,
        keys: group.chains.iter().flat_map(|chain| chain.given(at)).collect(),
    }
}
