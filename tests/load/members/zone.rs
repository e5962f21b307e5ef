//! The KDC's side: one group, its keys at each moment, and the answers to its members.

use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, PendingRequest, SealError};
use keycell_kdc::groups::Chain;
use keycell_protocol::{
    Epoch, Generation, GroupChain, GroupKey, GroupKeysWriter, HeldGroup, HeldKey, LongTermKey, Name,
    ProblemType, RatchetPeriod, ReplyWriter, SignedGroupRequest, SignedRequest, UnixMillis, UnixSeconds,
};
use rand_core::{Rng, SeedableRng as _};

pub(crate) type Random = chacha20::ChaCha20Rng;

/// One zone with one group, all of whose parties but the sender are members.
pub(crate) struct Zone {
    pub(crate) members: u32,
    pub(crate) group: Name,
    /// Of a key, in seconds.
    pub(crate) lifetime: u64,
    /// Milliseconds.
    pub(crate) spread: u64,
    chains: Vec<Keys>,
}

/// A chain, and its keys from the first that is ever used to the last.
struct Keys {
    chain: Chain,
    keys: Vec<GroupKey>,
}

/// When the first member starts: a fixed day, for the sake of one epoch.
pub(crate) const START: UnixSeconds = UnixSeconds(20_440 * 86_400 + 3_600);
/// Seconds that are looked at, after all have started.
pub(crate) const HOUR: u64 = 3_600;
/// Seconds between two messages to the group.
const EVERY: u64 = 20;
/// Requests a second that the KDC wants to see after a change: its setting `[groups] refetches_per_second`.
pub(crate) const REFETCHES: u64 = 1_000;
/// The member that is removed.
pub(crate) const REMOVED: u32 = 42;

impl Zone {
    pub(crate) fn new(members: u32) -> Self {
        // Of few members, chance alone makes a busy second look like a storm; so they ask more often.
        let lifetime = if members < 50_000 { 60 } else { 300 };
        let mut zone = Self {
            members,
            group: "nanoprobe@cell.example".parse().expect("a name"),
            lifetime,
            spread: (u64::from(members) * 1_000 / REFETCHES).min(lifetime * 500),
            chains: Vec::new(),
        };
        let mut rng = Random::seed_from_u64(1);
        let mut chain = Chain {
            version: 1,
            first: Generation(1),
            begins_at: START,
            lifetime_seconds: lifetime as u32,
            ended_at: None,
        };
        for end in [Some(zone.rotated()), Some(zone.removed()), None] {
            let next = end.map(|end| chain.successor(end, lifetime as u32));
            chain.ended_at = end;
            let last = chain.generation(end.unwrap_or(zone.end().plus(2 * lifetime))).0 + 1;
            let mut step = GroupChain::generate(chain.first, &mut rng);
            let mut keys = vec![step.key()];
            for generation in chain.first.0 + 1..=last {
                step = step.advance(Generation(generation)).expect("forward");
                keys.push(step.key());
            }
            zone.chains.push(Keys { chain, keys });
            chain = next.unwrap_or(chain);
        }
        zone
    }

    /// When all members have been up for a while.
    pub(crate) fn begin(&self) -> UnixSeconds {
        START.plus(2 * self.lifetime)
    }

    /// When the group is rotated.
    pub(crate) fn rotated(&self) -> UnixSeconds {
        self.begin().plus(HOUR / 3 + 17)
    }

    /// When a member is removed.
    pub(crate) fn removed(&self) -> UnixSeconds {
        self.begin().plus(HOUR * 2 / 3 + 7)
    }

    pub(crate) fn end(&self) -> UnixSeconds {
        self.begin().plus(HOUR)
    }

    pub(crate) fn member(number: u32) -> Name {
        format!("nanoprobe.host{number}@cell.example").parse().expect("a name")
    }

    /// What is in a party's key file, and in the KDC's database.
    pub(crate) fn key(number: u32) -> LongTermKey {
        let mut secret = [0; 32];
        Random::seed_from_u64(1 << 40 | u64::from(number)).fill_bytes(&mut secret);
        LongTermKey::new(Generation::FIRST, epoch(), secret)
    }

    /// The KDC's answer to a member.
    pub(crate) fn answer(
        &self,
        number: u32,
        now: UnixMillis,
        request: &PendingRequest,
        rng: &mut Random,
    ) -> Vec<u8> {
        let keys = Self::key(number).keys_for();
        let signed = SignedGroupRequest::parse(&request.body).expect("a request for the keys of groups");
        let request = signed.verify(&keys).expect("its signature");
        let mut writer = GroupKeysWriter::new(&request, now, &[]);
        for group in &request.groups {
            if *group != self.group || (number == REMOVED && now.seconds() >= self.removed()) {
                writer.refuse(group, ProblemType::NotAllowed);
            } else {
                writer.grant(self.given(now, rng.next_u64()));
            }
        }
        writer.seal(&keys, rng)
    }

    /// What was written to the group, and when. After a change another sender goes on: its first ticket is under a key that
    /// no member has.
    pub(crate) fn broadcasts(&self) -> Vec<(UnixMillis, Vec<u8>)> {
        let mut messages = Vec::new();
        let parts = [self.begin(), self.rotated(), self.removed(), self.end()];
        for (from, to) in parts.iter().zip(parts.iter().skip(1)) {
            self.broadcast((from.millis().plus(500), to.millis()), &mut messages);
        }
        messages
    }

    fn broadcast(&self, (from, to): (UnixMillis, UnixMillis), messages: &mut Vec<(UnixMillis, Vec<u8>)>) {
        let mut rng = Random::seed_from_u64(from.0);
        let name: Name = "cma@cell.example".parse().expect("a name");
        let key = Self::key(u32::MAX);
        let file = AgentKey::new(name, key.clone(), RatchetPeriod::DEFAULT, KdcAddress::default());
        let config = AgentConfig::default().first_use();
        let mut sender = Agent::new(file, &config, from, Random::seed_from_u64(from.0 + 1));
        let mut now = from;
        while now < to {
            let body = (messages.len() as u32).to_be_bytes();
            match sender.seal(now, &self.group, "discover", &body) {
                Ok(message) => {
                    messages.push((now, message));
                    now = now.plus(EVERY * 1_000);
                }
                Err(SealError::NoTicket { .. }) => {}
                Err(error) => unreachable!("{error}"),
            }
            while let Some(request) = sender.wants(now) {
                let reply = self.ticket(&key, now, &request, &mut rng);
                sender.take_reply(now, &request, &reply).expect("the KDC's reply");
            }
        }
    }

    fn ticket(
        &self,
        key: &LongTermKey,
        now: UnixMillis,
        request: &PendingRequest,
        rng: &mut Random,
    ) -> Vec<u8> {
        let keys = key.subkeys();
        let request = SignedRequest::parse(&request.body).expect("a request for tickets");
        let request = request.verify(&keys.request).expect("its signature");
        let mut writer = ReplyWriter::new(&request, now);
        let held = self.in_force(now).sealing(now.seconds());
        let expiration = held.ends.min(now.seconds().plus(self.lifetime));
        let renew = now.seconds().plus(self.lifetime * 2 / 3).min(expiration);
        let group = (held.key.generation(), &held.key.ticket_key());
        for destination in &request.destinations {
            writer.grant_group(destination, group, false, expiration, renew, rng);
        }
        writer.seal(&keys.reply, rng)
    }

    /// What a member is given: as docs/protocol.md §11 says.
    fn given(&self, now: UnixMillis, dice: u64) -> HeldGroup {
        let at = now.seconds();
        let begun = self.chains.iter().filter(|keys| keys.chain.begins_at <= at);
        let chain = self.in_force(now).chain;
        let next = chain.begins(Generation(chain.generation(at).0 + 1)).millis();
        let whole = self.lifetime * 1_000;
        HeldGroup {
            group: self.group.clone(),
            author_proof: false,
            refresh_at: next.plus(whole / 10 + dice % (whole * 8 / 10)),
            spread: self.spread,
            keys: begun.flat_map(|keys| keys.given(at)).collect(),
        }
    }

    fn in_force(&self, now: UnixMillis) -> &Keys {
        let begun = self.chains.iter().rfind(|keys| keys.chain.begins_at <= now.seconds());
        begun.expect("a chain begins with the zone")
    }
}

impl Keys {
    fn held(&self, generation: Generation) -> HeldKey {
        let key = self.keys.iter().find(|key| key.generation() == generation).expect("a key of the hour");
        HeldKey { key: key.clone(), begins: self.chain.begins(generation), ends: self.chain.ends(generation) }
    }

    fn sealing(&self, at: UnixSeconds) -> HeldKey {
        self.held(self.chain.generation(at))
    }

    fn given(&self, at: UnixSeconds) -> Vec<HeldKey> {
        // That it will end, nobody knows before.
        let chain = Chain { ended_at: self.chain.ended_at.filter(|end| *end <= at), ..self.chain };
        chain.given(at).into_iter().map(|generation| self.held(generation)).collect()
    }
}

fn epoch() -> Epoch {
    RatchetPeriod::DEFAULT.epoch(START)
}
