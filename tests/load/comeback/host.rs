//! One host: its own key pair, the bundle that it was installed with, and an agent once it is enrolled.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use keycell_client::{Agent, AgentConfig, Boarded, Enrollment, PendingRequest, UnixMillis};
use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, Fingerprint, Generation, JoinToken, LongTermKey, Name, Problem,
    ProblemType,
};
use rand_core::{Rng as _, SeedableRng as _};

use super::kdc::{ENROLL, Reached};
use super::tally::Events;

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
            self.save();
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

    /// Starts the agent, which does all that comes after.
    fn board(&mut self, now: UnixMillis, boarded: &Boarded) {
        let random = Random::seed_from_u64(self.random.next_u64());
        let file = boarded.key_file(&self.key);
        let agent = Agent::keeping(file, &AgentConfig::default().first_use(), now, random);
        let mut agent = agent.reenrolling(boarded.bundle.clone());
        assert!(agent.reenrolls(), "a host that enrolled");
        if let Some(peer) = &self.peer {
            agent.keep(now, peer).expect("room for one ticket");
        }
        (self.agent, self.enrollment) = (Some(agent), None);
        self.events.enrolled.count(now);
    }

    fn hears(&mut self, now: UnixMillis, pending: &PendingRequest, answer: Option<Result<Vec<u8>, Problem>>) {
        let Self { agent: Some(agent), events, recorded, .. } = self else { return };
        let enrolls = pending.path() == ENROLL;
        if enrolls {
            events.asked_to_enroll.count(now);
        }
        match answer {
            Some(Ok(body)) => {
                agent.take_reply(now, pending, &body).expect("the KDC's reply");
                if enrolls {
                    events.enrolled.count(now);
                    recorded.iter_mut().for_each(|recorded| recorded.sent.push(pending.body.clone()));
                } else {
                    events.tickets.count(now);
                }
            }
            Some(Err(problem)) => {
                agent.take_problem(now, pending, &problem);
                match problem.kind {
                    ProblemType::Unauthenticated => events.unauthenticated.count(now),
                    kind => *events.problems.entry(kind.urn().to_owned()).or_default() += 1,
                }
            }
            None => {
                events.unanswered.count(now);
                agent.give_up(now, pending);
            }
        }
    }

    /// Its disk takes everything at once.
    fn save(&mut self) {
        let Some(agent) = &mut self.agent else { return };
        if let Some(unsaved) = agent.unsaved() {
            if let Some(bundle) = &unsaved.bundle {
                self.bundle = Arc::new(bundle.clone());
            }
            agent.saved(&unsaved);
        }
    }
}
