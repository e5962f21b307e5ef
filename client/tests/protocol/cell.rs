//! A whole cell in memory: a KDC, its parties and one clock. No socket, and nobody sleeps.

mod enrollment;
mod groups;
mod host;
mod rotation;
mod vouchers;

use std::collections::{HashMap, HashSet};

use chacha20::ChaCha20Rng;
use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, Opened, RestartGuard, SealError};
use keycell_protocol::{
    Cause, Extras, Generation, Grant, GroupKeysRequest, Header, Instance, LongTermKey, Mode, Name, Nonce,
    Outcome, Problem, ProblemType, RatchetPeriod, ReplyWriter, Salt, SealedReply, SignedRequest, StreamKey,
    TicketRequest, Topic, Under, UnixMillis, UnixSeconds,
};
use rand_core::SeedableRng as _;

pub(crate) use enrollment::{Admit, Gate};
pub(crate) use groups::{Group, TURN, TURN_MS};
pub(crate) use host::Host;
pub(crate) use rotation::Party;
pub(crate) use vouchers::{Desk, public, signer, voucher};

pub(crate) const PERIOD: RatchetPeriod = RatchetPeriod::DEFAULT;
pub(crate) const DAY: u64 = 86_400_000;
/// Noon.
pub(crate) const START: UnixMillis = UnixMillis(20_440 * DAY + DAY / 2);
/// Of a ticket, in seconds.
pub(crate) const LIFETIME: u64 = 900;
pub(crate) const RENEW: u64 = 600;

/// Of the zone `z`, where no other is named.
pub(crate) fn name(text: &str) -> Name {
    if text.contains('@') { text.parse().unwrap() } else { format!("{text}@z").parse().unwrap() }
}

/// A KDC that knows everybody, and what time it is.
pub(crate) struct Cell {
    /// The true time.
    pub(crate) now: UnixMillis,
    pub(crate) parties: HashMap<Name, Party>,
    /// Whether it has heard of rotations.
    pub(crate) rotates: bool,
    pub(crate) denied: HashSet<Name>,
    pub(crate) up: bool,
    pub(crate) busy: Option<Problem>,
    pub(crate) requests: Vec<TicketRequest>,
    pub(crate) groups: HashMap<Name, Group>,
    pub(crate) group_requests: Vec<GroupKeysRequest>,
    /// Where vouchers are given.
    pub(crate) desk: Desk,
    /// Where they are in all other zones.
    pub(crate) desk_abroad: Desk,
    /// The zones whose KDC does not give what the others ask it for, and why.
    pub(crate) closed: HashMap<&'static str, ProblemType>,
    /// Where hosts come aboard.
    pub(crate) gate: Gate,
    pub(crate) rng: ChaCha20Rng,
    processes: u64,
}

impl Cell {
    pub(crate) fn new() -> Self {
        Self {
            now: START,
            parties: HashMap::new(),
            rotates: true,
            denied: HashSet::new(),
            up: true,
            busy: None,
            requests: Vec::new(),
            groups: HashMap::new(),
            group_requests: Vec::new(),
            desk: Desk::new(signer(1)),
            desk_abroad: Desk::new(signer(9)),
            closed: HashMap::new(),
            gate: Gate::new(),
            rng: ChaCha20Rng::seed_from_u64(7),
            processes: 0,
        }
    }

    pub(crate) fn pass(&mut self, millis: u64) {
        self.now = self.now.plus(millis);
    }

    /// The party's key as its key file has it: from the day it was made.
    pub(crate) fn key(&mut self, party: &str) -> AgentKey {
        let party = name(party);
        let epoch = PERIOD.epoch(START.seconds());
        let rng = &mut self.rng;
        let key = self
            .parties
            .entry(party.clone())
            .or_insert_with(|| Party::new(LongTermKey::generate(Generation::FIRST, epoch, rng)))
            .active
            .clone();
        let mut key = AgentKey::new(party, key, PERIOD, KdcAddress::default());
        let desk = self.desk_of(&key.name);
        (key.signers, key.trusted) = (vec![desk.signer()], desk.trusted.clone());
        key
    }

    /// The first process of a party.
    pub(crate) fn agent(&mut self, party: &str) -> Agent {
        let mut config = AgentConfig::default();
        config.opener.restart_guard = RestartGuard::FirstUse;
        self.process(party, &config, 0)
    }

    /// A process of a party, whose clock is `off` by so many milliseconds.
    pub(crate) fn process(&mut self, party: &str, config: &AgentConfig, off: i64) -> Agent {
        self.processes += 1;
        let rng = ChaCha20Rng::seed_from_u64(1_000 + self.processes);
        let now = self.now.shifted(off);
        Agent::new(self.key(party), config, now, rng)
    }

    /// Sends what the agent wants, until it wants nothing.
    pub(crate) fn serve(&mut self, agent: &mut Agent) {
        self.serve_off(agent, 0);
    }

    /// As `serve`, for an agent whose clock is off.
    pub(crate) fn serve_off(&mut self, agent: &mut Agent, off: i64) {
        let now = self.now.shifted(off);
        while let Some(pending) = agent.wants(now) {
            match self.answer_at(pending.path(), &pending.body) {
                Some(Ok(reply)) => {
                    agent.take_reply(now, &pending, &reply).unwrap();
                }
                Some(Err(problem)) => agent.take_problem(now, &pending, &problem),
                None => agent.give_up(now, &pending),
            }
        }
    }

    /// What the KDC answers to what is posted to this path; `None` while it is down.
    pub(crate) fn answer_at(&mut self, path: &str, body: &[u8]) -> Option<Result<Vec<u8>, Problem>> {
        match path {
            "/v1/tickets" => self.answer(body),
            _ if !self.up => None,
            "/v1/group-keys" => Some(self.give_groups(body)),
            "/v1/keys/rotate" if !self.rotates => Some(Err(Problem::new(ProblemType::NotFound))),
            "/v1/keys/rotate" => Some(self.rotate(body)),
            "/v1/enroll" => Some(self.enroll(body)),
            "/v1/vouchers" => Some(self.vouch(body)),
            _ => unreachable!("{path}"),
        }
    }

    /// What the KDC answers to a request for tickets; `None` while it is down.
    pub(crate) fn answer(&mut self, body: &[u8]) -> Option<Result<Vec<u8>, Problem>> {
        if !self.up {
            return None;
        }
        if let Some(problem) = &self.busy {
            return Some(Err(problem.clone()));
        }
        let signed = SignedRequest::parse(body).unwrap();
        let Some((own, asks_to_rotate)) = self.known(signed.key()) else {
            return Some(Err(self.stranger()));
        };
        let own = own.subkeys();
        let request = signed.verify(&own.request).unwrap();
        self.requests.push(request.clone());
        if request.timestamp.distance(self.now) > 60_000 {
            let mut problem = Problem::new(ProblemType::ClockSkew);
            problem.server_time = Some(self.now);
            return Some(Err(problem));
        }
        let expiration = self.now.seconds().plus(LIFETIME);
        let mut writer = ReplyWriter::new(&request, self.now);
        if asks_to_rotate {
            writer.ask_to_rotate();
        }
        for destination in &request.destinations {
            if let Some(problem) = self.closed.get(destination.zone())
                && destination.zone() != request.source.zone()
            {
                writer.refuse(destination, *problem);
                continue;
            }
            if let Some((held, author_proof)) = self.group_key(destination)
                && !self.denied.contains(destination)
            {
                // Never past the end of the key.
                let expiration = held.ends.min(self.now.seconds().plus(TURN));
                let renew = self.now.seconds().plus(TURN * 2 / 3).min(expiration);
                let key = (held.key.generation(), &held.key.ticket_key());
                writer.grant_group(destination, key, author_proof, expiration, renew, &mut self.rng);
                continue;
            }
            match self.parties.get(destination) {
                _ if self.denied.contains(destination) => writer.refuse(destination, ProblemType::NotAllowed),
                None => writer.refuse(destination, ProblemType::UnknownDestination),
                Some(party) => {
                    let key = party.active.clone().advance(PERIOD.epoch(self.now.seconds())).unwrap();
                    let renew = self.now.seconds().plus(RENEW);
                    writer.grant_party(destination, &key.subkeys(), expiration, renew, &mut self.rng);
                }
            }
        }
        Some(Ok(writer.seal(&own.reply, &mut self.rng)))
    }

    /// What a request for tickets is about.
    pub(crate) fn destinations(&mut self, body: &[u8]) -> Vec<Name> {
        let signed = SignedRequest::parse(body).unwrap();
        let (own, _) = self.known(signed.key()).unwrap();
        signed.verify(&own.subkeys().request).unwrap().destinations
    }

    /// A ticket in the hands of somebody who writes messages byte by byte.
    pub(crate) fn grant(&mut self, from: &str, to: &str) -> Grant {
        let expiration = self.now.seconds().plus(LIFETIME);
        let epoch = PERIOD.epoch(self.now.seconds());
        self.grant_with(from, to, expiration, |key| key.advance(epoch).unwrap())
    }

    /// As `grant`, with another expiry, and a key of the destination's that is changed before.
    pub(crate) fn grant_with(
        &mut self,
        from: &str,
        to: &str,
        expiration: UnixSeconds,
        change: impl FnOnce(LongTermKey) -> LongTermKey,
    ) -> Grant {
        let (own, theirs) = (self.key(from).key.subkeys(), change(self.key(to).key).subkeys());
        let request = TicketRequest {
            source: name(from),
            destinations: vec![name(to)],
            timestamp: self.now,
            nonce: Nonce([0; 16]),
            instance: Instance([0; 16]),
        };
        let mut writer = ReplyWriter::new(&request, self.now);
        let destination = &request.destinations[0];
        writer.grant_party(destination, &theirs, expiration, expiration, &mut self.rng);
        let sealed = writer.seal(&own.reply, &mut self.rng);
        let reply = SealedReply::parse(&sealed).unwrap().open(&own.reply, &request).unwrap();
        match reply.outcomes.into_iter().next().unwrap() {
            Outcome::Granted(grant) => *grant,
            Outcome::Refused { .. } => unreachable!(),
        }
    }

    /// Seals, fetching the ticket if one is missing.
    pub(crate) fn seal(&mut self, agent: &mut Agent, to: &str, topic: &str, body: &[u8]) -> Vec<u8> {
        let to = name(to);
        match agent.seal(self.now, &to, topic, body) {
            Err(SealError::NoTicket { .. }) => {
                self.serve(agent);
                agent.seal(self.now, &to, topic, body).unwrap()
            }
            message => message.unwrap(),
        }
    }

    pub(crate) fn open(&self, agent: &mut Agent, message: &[u8]) -> Result<Opened, Cause> {
        agent.open(self.now, message).map_err(|error| error.cause())
    }

    /// As `open`; only the cause, which can be compared.
    pub(crate) fn refused(&self, agent: &mut Agent, message: &[u8]) -> Cause {
        self.open(agent, message).unwrap_err()
    }

    pub(crate) fn salt(&mut self) -> Salt {
        Salt::generate(&mut self.rng)
    }

    /// A message written byte by byte: whatever names, times and key its writer likes.
    pub(crate) fn forge(&mut self, words: &Words<'_>, key: keycell_protocol::Sek) -> Vec<u8> {
        let salt = self.salt();
        self.forge_with(words, &StreamKey::new(key, salt))
    }

    /// Two messages of one sealer.
    pub(crate) fn forge_two(&mut self, words: [&Words<'_>; 2], key: &keycell_protocol::Sek) -> [Vec<u8>; 2] {
        let key = StreamKey::new(key.clone(), self.salt());
        words.map(|words| self.forge_with(words, &key))
    }

    fn forge_with(&self, words: &Words<'_>, key: &StreamKey) -> Vec<u8> {
        let header = Header {
            mode: words.mode,
            extras: Extras::NONE,
            expiration: words.expiration,
            sent_at: words.sent_at,
            sequence: words.sequence,
            source: &words.source,
            destination: &words.destination,
            topic: Topic::try_from("forged").unwrap(),
            under: words.under,
        };
        key.write(&header, b"forged")
    }
}

/// What a forger writes into a header.
pub(crate) struct Words<'a> {
    pub(crate) mode: Mode,
    pub(crate) source: Name,
    pub(crate) destination: Name,
    pub(crate) expiration: UnixSeconds,
    pub(crate) sent_at: UnixMillis,
    pub(crate) sequence: u64,
    pub(crate) under: Under<'a>,
}

impl<'a> Words<'a> {
    /// What an honest holder of the ticket writes.
    pub(crate) fn honest(now: UnixMillis, source: &str, grant: &'a Grant) -> Self {
        Self {
            mode: Mode::Sealed,
            source: name(source),
            destination: grant.destination.clone(),
            expiration: grant.expiration,
            sent_at: now,
            sequence: 0,
            under: Under::Ticket(grant.ticket.as_bytes()),
        }
    }
}
