//! The states of a party's keys, as a KDC keeps them.

use keycell_protocol::{
    Generation, KeyReference, LongTermKey, Problem, ProblemType, RotationReply, SignedRotation, Step,
    UnixMillis,
};

use super::{Cell, DAY, PERIOD, name};

/// What a KDC knows of a party.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) active: LongTermKey,
    pub(crate) staged: Option<(LongTermKey, UnixMillis)>,
    pub(crate) retiring: Option<(LongTermKey, UnixMillis)>,
    last: Generation,
    /// Keys of an earlier generation are to be replaced.
    wanted: Generation,
}

impl Party {
    pub(crate) const fn new(key: LongTermKey) -> Self {
        let last = key.generation();
        Self { active: key, staged: None, retiring: None, last, wanted: last }
    }

    /// The last generation that it ever had.
    pub(crate) const fn last(&self) -> Generation {
        self.last
    }

    /// One that it never had.
    pub(crate) fn next(&mut self) -> Generation {
        self.last = self.last.next().unwrap();
        self.last
    }
}

impl Cell {
    /// An administrator wants the party to rotate.
    pub(crate) fn want_rotation(&mut self, party: &str) {
        let party = self.party(party);
        party.wanted = party.active.generation().next().unwrap();
    }

    pub(crate) fn party(&mut self, party: &str) -> &mut Party {
        self.parties.get_mut(&name(party)).unwrap()
    }

    /// The key that a request names, at its epoch, and whether its holder is to rotate.
    pub(super) fn known(&self, key: &KeyReference) -> Option<(LongTermKey, bool)> {
        let party = self.parties.get(&key.name)?;
        let retiring = party.retiring.iter().filter(|(_, end)| *end > self.now).map(|(key, _)| key);
        let mut held = [&party.active].into_iter().chain(retiring);
        let held = held.find(|held| held.generation() == key.generation)?;
        Some((self.near(held, key)?, party.active.generation() < party.wanted))
    }

    pub(super) fn stranger(&self) -> Problem {
        let mut problem = Problem::new(ProblemType::Unauthenticated);
        problem.server_time = Some(self.now);
        problem.reenroll_within = self.gate.within;
        problem
    }

    pub(super) fn rotate(&mut self, body: &[u8]) -> Result<Vec<u8>, Problem> {
        let signed = SignedRotation::parse(body).unwrap();
        let stranger = self.stranger();
        let now = self.now;
        let reference = signed.key().clone();
        let Some(party) = self.parties.get_mut(&reference.name) else { return Err(stranger) };
        party.staged.take_if(|(_, end)| *end <= now);
        party.retiring.take_if(|(_, end)| *end <= now);
        let party = self.parties[&reference.name].clone();
        let key = [Some(&party.active), party.staged.as_ref().map(|(key, _)| key)];
        let key = key.into_iter().flatten().chain(party.retiring.as_ref().map(|(key, _)| key));
        let mut key = key.filter(|key| key.generation() == reference.generation);
        let key = key.next().and_then(|key| self.near(key, &reference)).ok_or(stranger)?;
        let keys = key.keys_for();
        let request = signed.verify(&keys).unwrap();
        if request.timestamp.distance(now) > 60_000 {
            let mut problem = Problem::new(ProblemType::ClockSkew);
            problem.server_time = Some(now);
            return Err(problem);
        }
        let is_active = key.generation() == party.active.generation();
        let held = self.parties.get_mut(&reference.name).unwrap();
        match request.step {
            Step::Stage if is_active && party.retiring.is_none() => {
                if held.staged.is_none() {
                    held.last = party.last.next().unwrap();
                    let staged = LongTermKey::generate(held.last, PERIOD.epoch(now.seconds()), &mut self.rng);
                    held.staged = Some((staged, now.plus(DAY)));
                }
                let (staged, _) = held.staged.clone().unwrap();
                Ok(RotationReply::seal_staged(&request, now, &staged, &keys, &mut self.rng))
            }
            Step::Commit if is_active || key.generation() > party.active.generation() => {
                if !is_active {
                    let (staged, _) = held.staged.take().unwrap();
                    held.retiring = Some((party.active.clone(), now.plus(DAY)));
                    held.active = staged;
                }
                Ok(RotationReply::seal_committed(&request, now, &keys, &mut self.rng))
            }
            Step::Stage if is_active || party.retiring.is_some() => Err(Problem::new(ProblemType::Conflict)),
            _ => Err(self.stranger()),
        }
    }

    /// A key at the epoch of a request, if that is near.
    fn near(&self, key: &LongTermKey, reference: &KeyReference) -> Option<LongTermKey> {
        let now = PERIOD.epoch(self.now.seconds());
        let near = now.max(key.epoch()).neighbours().contains(&reference.epoch);
        if near { key.clone().advance(reference.epoch).ok() } else { None }
    }
}
