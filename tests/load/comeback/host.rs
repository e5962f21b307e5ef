//! One host: its own key pair, the bundle that it was installed with, and an agent once it is enrolled.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use keycell_client::{Agent, AgentConfig, Boarded, Enrollment, PendingRequest, UnixMillis};
use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, Fingerprint, Generation, JoinToken, LongTermKey, Name, Problem,
    ProblemType,
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
    /// When it begins to enroll, if it is to.
    enroll_at: Option<UnixMillis>,
    enrollment: Option<Enrollment>,
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
            bundle,
            enroll_at: Some(enroll_at),
            enrollment: None,
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
        (self.enroll_at, self.enrollment) = (None, None);
    }

    /// When it has something to do.
    pub(crate) fn wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let agent = self.agent.as_ref().and_then(|agent| agent.next_wakeup(now));
        let enrollment = self.enrollment.as_ref().and_then(|enrollment| enrollment.next_wakeup(now));
        [self.enroll_at, enrollment, agent].into_iter().flatten().min()
    }

    /// Does what there is to do.
    pub(crate) async fn turn(&mut self, now: UnixMillis, kdc: &Reached) {
        if self.enroll_at.take_if(|at| *at <= now).is_some() {
            let random = Random::seed_from_u64(self.random.next_u64());
            let EnrolledName { service, host, fingerprint: _ } = self.name.clone();
            let (bundle, key) = ((*self.bundle).clone(), AuthorKey::new(self.key.expose_secret()));
            self.enrollment = Enrollment::new(bundle, service, host, key, self.token.take(), random);
        }
        while let Some(pending) = self.enrollment.as_mut().and_then(|enrollment| enrollment.wants(now)) {
            self.events.asked_to_enroll.count(now);
            let answer = kdc.post(self.address(), pending.path(), &pending.body).await;
            self.enrolls(now, &pending, answer);
        }
        while let Some(pending) = self.agent.as_mut().and_then(|agent| agent.wants(now)) {
            let answer = kdc.post(self.address(), pending.path(), &pending.body).await;
            self.hears(now, &pending, answer);
        }
    }

    fn enrolls(
        &mut self,
        now: UnixMillis,
        pending: &PendingRequest,
        answer: Option<Result<Vec<u8>, Problem>>,
    ) {
        let Some(enrollment) = &mut self.enrollment else { return };
        match answer {
            Some(Ok(body)) => {
                let boarded = enrollment.take_reply(now, pending, &body).expect("the KDC's answer");
                let Some(boarded) = boarded else { return };
                if let Some(recorded) = &mut self.recorded {
                    recorded.sent.push(pending.body.clone());
                    recorded.keys.push(boarded.key.clone());
                }
                self.board(now, &boarded);
            }
            Some(Err(problem)) => {
                enrollment.take_problem(now, pending, &problem);
                *self.events.problems.entry(problem.kind.urn().to_owned()).or_default() += 1;
            }
            None => {
                enrollment.give_up(now, pending);
                self.events.unanswered.count(now);
            }
        }
    }

    fn board(&mut self, now: UnixMillis, boarded: &Boarded) {
        let random = Random::seed_from_u64(self.random.next_u64());
        let file = boarded.key_file(&self.key);
        let mut agent = Agent::new(file, &AgentConfig::default().first_use(), now, random);
        if let Some(peer) = &self.peer {
            agent.keep(now, peer).expect("room for one ticket");
        }
        if *self.bundle != boarded.bundle {
            self.bundle = Arc::new(boarded.bundle.clone());
        }
        (self.agent, self.enrollment, self.refused) = (Some(agent), None, None);
        self.events.enrolled.count(now);
    }

    fn hears(&mut self, now: UnixMillis, pending: &PendingRequest, answer: Option<Result<Vec<u8>, Problem>>) {
        let Some(agent) = &mut self.agent else { return };
        match answer {
            Some(Ok(body)) => {
                self.events.tickets.count(now);
                self.refused = None;
                agent.take_reply(now, pending, &body).expect("the KDC's reply");
            }
            Some(Err(problem)) => {
                agent.take_problem(now, pending, &problem);
                self.take_problem(now, &problem);
            }
            None => {
                self.events.unanswered.count(now);
                agent.give_up(now, pending);
            }
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
        if refused.times >= 3
            && now.distance(refused.since) >= 30_000
            && self.enroll_at.is_none()
            && self.enrollment.is_none()
        {
            let within = u64::from(problem.reenroll_within.unwrap_or(60)) * 1_000;
            self.enroll_at = Some(now.plus(self.random.next_u64() % within.max(1)));
        }
    }
}
