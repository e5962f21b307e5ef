//! Where hosts come aboard.

use std::collections::HashMap;

use chacha20::ChaCha20Rng;
use keycell_protocol::{
    Bundle, Enrolled, EnrollmentReply, EnrollmentRequest, EnrollmentState, Generation, IdentityName,
    IdentitySecret, KdcIdentity, Name, Problem, ProblemType, SealedEnrollment, SignerKey, UnixMillis,
};
use rand_core::SeedableRng as _;

use super::{Cell, DAY, PERIOD, Party};

/// What becomes of a host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Admit {
    Everybody,
    Nobody,
    /// In so many seconds an administrator may have decided.
    Later(u32),
}

/// The KDC's identities, and whom it lets in.
pub(crate) struct Gate {
    identities: Vec<(KdcIdentity, IdentitySecret)>,
    pub(crate) primary: usize,
    pub(crate) admit: Admit,
    /// Over how many seconds hosts spread out.
    pub(crate) within: Option<u32>,
    /// What was opened, and when.
    pub(crate) requests: Vec<(UnixMillis, EnrollmentRequest)>,
    /// The last generation of whom it has a record.
    last: HashMap<Name, Generation>,
    answered: HashMap<[u8; 32], Vec<u8>>,
}

impl Gate {
    pub(super) fn new() -> Self {
        let mut rng = ChaCha20Rng::seed_from_u64(70);
        let identity = |number: u32| {
            let secret = IdentitySecret::generate(&mut rng);
            let (name, signing_key) =
                (IdentityName::new(number).unwrap(), SignerKey::new([number as u8; 32]));
            (KdcIdentity { name, signing_key, encryption_key: secret.public() }, secret)
        };
        Self {
            identities: (1..=4).map(identity).collect(),
            primary: 0,
            admit: Admit::Everybody,
            within: None,
            requests: Vec::new(),
            last: HashMap::new(),
            answered: HashMap::new(),
        }
    }

    /// The primary and the one after it.
    pub(crate) fn bundle(&self) -> Bundle {
        let identities = self.identities[self.primary..].iter().take(2);
        Bundle {
            zone: "z".parse().unwrap(),
            urls: vec!["https://one.example".into(), "https://two.example".into()],
            tls_roots: "PEM".into(),
            identities: identities.map(|(public, _)| public.clone()).collect(),
            trusted: Vec::new(),
        }
    }
}

impl Cell {
    /// What the KDC no longer has is no longer a key; that there was one it knows.
    pub(crate) fn erase(&mut self, party: &Name) {
        if let Some(gone) = self.parties.remove(party) {
            self.gate.last.insert(party.clone(), gone.last());
        }
    }

    /// It has no record of the party any more: this was deleted, or a backup from before it was put back.
    pub(crate) fn forget(&mut self, party: &Name) {
        self.parties.remove(party);
        self.gate.last.remove(party);
    }

    /// The secondary comes from the lock box: nobody has a key any more.
    pub(crate) fn recover(&mut self) {
        self.gate.primary += 1;
        let everybody: Vec<_> = self.parties.keys().cloned().collect();
        everybody.iter().for_each(|party| self.erase(party));
    }

    pub(super) fn enroll(&mut self, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let sealed = SealedEnrollment::parse(body).unwrap();
        let (public, secret) = &self.gate.identities[self.gate.primary];
        if sealed.identity() != public.name {
            let mut problem = Problem::new(ProblemType::IdentityUnknown);
            problem.identity = Some(public.name);
            return Err(problem);
        }
        let (request, keys) = sealed.open(secret).unwrap();
        if request.timestamp.distance(self.now) > 60_000 {
            let mut problem = Problem::new(ProblemType::ClockSkew);
            problem.server_time = Some(self.now);
            return Err(problem);
        }
        self.gate.requests.push((self.now, request.clone()));
        if let Some(answer) = self.gate.answered.get(&sealed.digest()) {
            return Ok(answer.clone());
        }
        match self.gate.admit {
            Admit::Everybody => {}
            Admit::Nobody => return Err(Problem::new(ProblemType::EnrollmentRefused)),
            Admit::Later(seconds) => {
                return Ok(EnrollmentReply::seal_pending(&request, self.now, seconds, &keys, &mut self.rng));
            }
        }
        let bundle = self.gate.bundle();
        let name = request.name().name(&bundle.zone);
        let epoch = PERIOD.epoch(self.now.seconds());
        let (generation, state) = match self.parties.get_mut(&name) {
            Some(party) => {
                let generation = party.next();
                party.staged = Some((keys.long_term_key(generation, epoch), self.now.plus(DAY)));
                (generation, EnrollmentState::Staged)
            }
            None => {
                let last = self.gate.last.get(&name);
                let generation = last.map_or(Generation::FIRST, |last| last.next().unwrap());
                self.parties.insert(name.clone(), Party::new(keys.long_term_key(generation, epoch)));
                (generation, EnrollmentState::Active)
            }
        };
        let enrolled = Enrolled { name, generation, epoch, state, ratchet_period: PERIOD, bundle };
        let answer = EnrollmentReply::seal_enrolled(&request, self.now, &enrolled, &keys, &mut self.rng);
        self.gate.answered.insert(sealed.digest(), answer.clone());
        Ok(answer)
    }
}
