//! One host: its own key pair, the bundle that it was installed with, and an agent once it is enrolled.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, UnixMillis};
use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, EnrollmentKeys, EnrollmentOutcome, EnrollmentRequest, Fingerprint,
    Generation, IdentityName, Instance, JoinToken, KdcIdentity, LongTermKey, Name, Nonce, Problem,
    ProblemType, SealedEnrollmentReply,
};
use rand_core::{Rng as _, SeedableRng as _};

use crate::kdc::Reached;
use crate::tally::Events;

pub(crate) type Random = chacha20::ChaCha20Rng;

pub(crate) struct Host {
    number: u32,
    name: EnrolledName,
    key: AuthorKey,
    token: Option<JoinToken>,
    pub(crate) bundle: Arc<Bundle>,
    /// Whom it enrolls with.
    to: IdentityName,
    /// When it enrolls, if it is to.
    enroll_at: Option<UnixMillis>,
    /// What it has asked and not been answered.
    asked: Option<Asked>,
    /// Whom it keeps a ticket for.
    peer: Option<Name>,
    pub(crate) agent: Option<Agent>,
    refused: Option<Refused>,
    random: Random,
    pub(crate) events: Events,
    /// What a thief records of it, if that listens to it.
    pub(crate) recorded: Option<Recorded>,
}

/// What a thief can know of a host that has the KDC's machine, and read what passed inside TLS before.
#[derive(Default)]
pub(crate) struct Recorded {
    /// The requests to enroll that were answered, each once.
    pub(crate) sent: Vec<Vec<u8>>,
    /// The keys that it was given.
    pub(crate) keys: Vec<LongTermKey>,
}

struct Asked {
    request: EnrollmentRequest,
    body: Vec<u8>,
    keys: EnrollmentKeys,
    to: KdcIdentity,
}

/// Requests that were refused one after the other, for the KDC has no such key.
struct Refused {
    since: UnixMillis,
    times: u32,
}

/// What a host of the fleet is given, the same for all.
#[derive(Clone)]
pub(crate) struct Package {
    pub(crate) bundle: Arc<Bundle>,
    pub(crate) token: JoinToken,
    pub(crate) service: &'static str,
    pub(crate) peer: Option<Name>,
}

impl Host {
    /// A host that has just been installed, and enrolls at that moment.
    pub(crate) fn new(number: u32, package: &Package, enroll_at: UnixMillis) -> Self {
        let Package { bundle, token, service, peer } = package.clone();
        let mut random = Random::seed_from_u64(1 << 40 | u64::from(number));
        let key = AuthorKey::generate(&mut random);
        let name = EnrolledName {
            service: service.parse().expect("a service"),
            host: format!("host{number}.example.com").parse().expect("a host"),
            fingerprint: Fingerprint::of(&key.public()),
        };
        Self {
            number,
            name,
            key,
            token: Some(token),
            to: bundle.identities.first().expect("a bundle has identities").name,
            bundle,
            enroll_at: Some(enroll_at),
            asked: None,
            peer,
            agent: None,
            refused: None,
            random,
            events: Events::default(),
            recorded: None,
        }
    }

    pub(crate) fn name(&self) -> Name {
        self.name.name(&self.bundle.zone)
    }

    pub(crate) const fn enrolled_name(&self) -> &EnrolledName {
        &self.name
    }

    /// Each has its own.
    pub(crate) fn address(&self) -> IpAddr {
        let [_, a, b, c] = self.number.to_be_bytes();
        IpAddr::V4(Ipv4Addr::new(10, a, b, c))
    }

    /// The generation of the key that it has.
    pub(crate) fn generation(&self) -> Option<Generation> {
        self.agent.as_ref().map(Agent::generation)
    }

    /// Keeps a ticket for somebody from now on.
    pub(crate) fn speaks_to(&mut self, now: UnixMillis, peer: &Name) {
        self.peer = Some(peer.clone());
        if let Some(agent) = &mut self.agent {
            agent.keep(now, peer).expect("room for one ticket");
        }
    }

    /// Enrolls at that moment, as if its keys were gone.
    pub(crate) fn enroll_once_more(&mut self, at: UnixMillis) {
        self.enroll_at = Some(at);
    }

    /// Goes on as it was.
    pub(crate) fn leave_it(&mut self) {
        (self.enroll_at, self.asked) = (None, None);
    }

    /// When it has something to do.
    pub(crate) fn wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let agent = self.agent.as_ref().and_then(|agent| agent.next_wakeup(now));
        [self.enroll_at, agent].into_iter().flatten().min()
    }

    /// Does what there is to do.
    pub(crate) async fn turn(&mut self, now: UnixMillis, kdc: &Reached) {
        if self.enroll_at.is_some_and(|at| at <= now) {
            self.enroll(now, kdc).await;
        }
        while let Some(pending) = self.agent.as_mut().and_then(|agent| agent.wants(now)) {
            let answer = kdc.post(self.address(), pending.path(), &pending.body).await;
            let Some(agent) = &mut self.agent else { return };
            match answer {
                Some(Ok(body)) => {
                    self.events.tickets.count(now);
                    self.refused = None;
                    agent.take_reply(now, &pending, &body).expect("the KDC's reply");
                }
                Some(Err(problem)) => {
                    agent.take_problem(now, &pending, &problem);
                    self.take_problem(now, &problem);
                }
                None => {
                    self.events.unanswered.count(now);
                    agent.give_up(now, &pending);
                }
            }
        }
    }

    /// Sends a request to enroll; the same again until it was answered.
    async fn enroll(&mut self, now: UnixMillis, kdc: &Reached) {
        let asked = self.asked.take().unwrap_or_else(|| self.request(now));
        self.events.asked_to_enroll.count(now);
        let again = now.plus(5_000 + self.random.next_u64() % 5_000);
        match kdc.post(self.address(), "/v1/enroll", &asked.body).await {
            Some(Ok(body)) => self.take_answer(now, &asked, &body),
            Some(Err(problem)) => {
                *self.events.problems.entry(problem.kind.urn().to_owned()).or_default() += 1;
                self.enroll_at = Some(again);
                if problem.kind == ProblemType::IdentityUnknown {
                    self.follow(problem.identity);
                    self.enroll_at = Some(now.plus(1));
                }
            }
            None => {
                self.events.unanswered.count(now);
                self.enroll_at = Some(again);
                self.asked = Some(asked);
            }
        }
    }

    fn request(&mut self, now: UnixMillis) -> Asked {
        let to = self.bundle.identities.iter().find(|identity| identity.name == self.to);
        let to = to.expect("one of its bundle").clone();
        let request = EnrollmentRequest {
            service: self.name.service.clone(),
            host: self.name.host.clone(),
            public_key: self.key.public(),
            token: self.token.take(),
            timestamp: now,
            nonce: Nonce::generate(&mut self.random),
            instance: Instance::generate(&mut self.random),
        };
        let (body, keys) =
            request.seal(&self.bundle.zone, &to, &self.key, &mut self.random).expect("an identity");
        Asked { request, body, keys, to }
    }

    fn take_answer(&mut self, now: UnixMillis, asked: &Asked, body: &[u8]) {
        let reply = SealedEnrollmentReply::parse(body).expect("an answer");
        let opened = reply.open(&asked.keys, &asked.request, &self.bundle.zone, &asked.to);
        match opened.expect("the KDC's answer").outcome {
            EnrollmentOutcome::Enrolled(enrolled) => {
                let key = asked.keys.long_term_key(enrolled.generation, enrolled.epoch);
                if let Some(recorded) = &mut self.recorded {
                    recorded.sent.push(asked.body.clone());
                    recorded.keys.push(key.clone());
                }
                let file = AgentKey::new(enrolled.name, key, enrolled.ratchet_period, KdcAddress::default());
                let random = Random::seed_from_u64(self.random.next_u64());
                let mut agent = Agent::new(file, &AgentConfig::default().first_use(), now, random);
                if let Some(peer) = &self.peer {
                    agent.keep(now, peer).expect("room for one ticket");
                }
                if *self.bundle != enrolled.bundle {
                    self.bundle = Arc::new(enrolled.bundle);
                }
                (self.agent, self.enroll_at) = (Some(agent), None);
                self.refused = None;
                self.events.enrolled.count(now);
            }
            EnrollmentOutcome::Pending { retry_after } => {
                self.enroll_at = Some(now.plus(u64::from(retry_after) * 1_000));
            }
        }
    }

    /// Goes to the identity that the KDC says, if it knows that, and upwards only.
    fn follow(&mut self, identity: Option<IdentityName>) {
        let known =
            |name: &IdentityName| self.bundle.identities.iter().any(|identity| identity.name == *name);
        if let Some(identity) = identity.filter(|name| *name > self.to && known(name)) {
            self.to = identity;
        }
    }

    fn take_problem(&mut self, now: UnixMillis, problem: &Problem) {
        if problem.kind != ProblemType::Unauthenticated {
            *self.events.problems.entry(problem.kind.urn().to_owned()).or_default() += 1;
            return;
        }
        self.events.unauthenticated.count(now);
        let refused = self.refused.get_or_insert(Refused { since: now, times: 0 });
        refused.times += 1;
        if refused.times >= 3 && now.distance(refused.since) >= 30_000 && self.enroll_at.is_none() {
            let within = u64::from(problem.reenroll_within.unwrap_or(60)) * 1_000;
            self.enroll_at = Some(now.plus(self.random.next_u64() % within.max(1)));
        }
    }
}
