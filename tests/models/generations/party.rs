//! The party's half: its disk, and its agent.

use std::hash::{Hash, Hasher};
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, PendingRequest, RetiringKey};
use keycell_protocol::{LongTermKey, RatchetPeriod, UnixMillis, UnixSeconds};
use rand_core::SeedableRng as _;

use super::kdc::{Answer, me, other};

/// What is in the party's key file.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    key: LongTermKey,
    pub(super) staged: Option<LongTermKey>,
    retiring: Vec<(LongTermKey, UnixSeconds, bool)>,
}

impl Disk {
    pub(super) const fn new(key: LongTermKey) -> Self {
        Self { key, staged: None, retiring: Vec::new() }
    }

    pub(super) const fn active(&self) -> u32 {
        self.key.generation().0
    }

    fn file(&self) -> AgentKey {
        let mut file = AgentKey::new(me(), self.key.clone(), RatchetPeriod::DEFAULT, KdcAddress::default());
        file.staged.clone_from(&self.staged);
        let retiring = self.retiring.iter().cloned();
        file.retiring = retiring.map(|(key, until, erased)| RetiringKey { key, until, erased }).collect();
        file
    }

    fn prints(&self) -> impl Iterator<Item = (u32, u32, [u8; 32], Option<u64>, bool)> {
        let print = |key: &LongTermKey, until, erased| {
            (key.generation().0, key.epoch().0, *key.expose_secret(), until, erased)
        };
        let staged = self.staged.iter().map(move |key| print(key, Some(0), false));
        let retiring =
            self.retiring.iter().map(move |(key, until, erased)| print(key, Some(until.0), *erased));
        std::iter::once(print(&self.key, None, false)).chain(staged).chain(retiring)
    }

    /// Whether a process that began with it would open this.
    pub(super) fn opens(&self, now: UnixMillis, message: &[u8]) -> bool {
        agent(self, now, 0).open(now, message).is_ok()
    }
}

impl PartialEq for Disk {
    fn eq(&self, other: &Self) -> bool {
        self.prints().eq(other.prints())
    }
}

impl Eq for Disk {}

impl Hash for Disk {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.prints().for_each(|print| print.hash(state));
    }
}

/// One process of the party, and what it has been through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Run {
    pub(super) number: u64,
    began: UnixMillis,
    /// What it found on the disk.
    found: Disk,
    past: Vec<Event>,
    pub(super) is_unsaved: bool,
}

impl Run {
    pub(super) fn new(number: u64, began: UnixMillis, found: &Disk) -> Self {
        Self { number, began, found: found.clone(), past: Vec::new(), is_unsaved: false }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Event {
    /// It asked for what was due, for a ticket if nothing was.
    Asked(UnixMillis, bool),
    Took(UnixMillis, Answer),
    GaveUp(UnixMillis),
    Saved,
}

/// What the party asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Asked {
    pub(super) body: Arc<[u8]>,
    pub(super) rotates: bool,
}

/// The agent of a process, as it is by now.
pub(super) struct Live {
    agent: Agent,
    pending: Option<PendingRequest>,
    asked: usize,
}

impl Live {
    pub(super) fn new(run: &Run) -> Self {
        let mut live = Self { agent: agent(&run.found, run.began, run.number), pending: None, asked: 0 };
        run.past.iter().for_each(|event| live.go_through(event));
        live
    }

    fn go_through(&mut self, event: &Event) {
        match event {
            Event::Asked(now, hungry) => {
                self.asked += 1;
                self.pending = self.agent.wants(*now);
                if self.pending.is_none() && *hungry {
                    // Refused a moment ago, perhaps: then it waits.
                    let _ = self.agent.want(*now, &other(self.asked));
                    self.pending = self.agent.wants(*now);
                }
            }
            Event::Took(now, answer) => {
                let Some(pending) = self.pending.take() else { return };
                match &answer.body {
                    Some(body) => {
                        self.agent.take_reply(*now, &pending, body).unwrap();
                    }
                    None => self.agent.take_problem(*now, &pending, &answer.problem()),
                }
            }
            Event::GaveUp(now) => {
                if let Some(pending) = self.pending.take() {
                    self.agent.give_up(*now, &pending);
                }
            }
            Event::Saved => {
                if let Some(unsaved) = self.agent.unsaved() {
                    self.agent.saved(&unsaved);
                }
            }
        }
    }

    pub(super) fn take(&mut self, run: &mut Run, event: Event) {
        self.go_through(&event);
        run.past.push(event);
    }

    pub(super) fn ask(&mut self, run: &mut Run, now: UnixMillis, hungry: bool) -> Option<Asked> {
        self.take(run, Event::Asked(now, hungry));
        let pending = self.pending.as_ref()?;
        Some(Asked { body: pending.body.as_slice().into(), rotates: pending.path() == "/v1/keys/rotate" })
    }

    /// When there is something to ask next: at the next full minute, so that few moments are told apart.
    pub(super) fn wakes(&self, now: UnixMillis) -> UnixMillis {
        let next = self.agent.next_wakeup(now).unwrap_or(now).max(now.plus(1));
        UnixMillis(next.0.next_multiple_of(60_000))
    }

    /// What is to be stored.
    pub(super) fn unsaved(&self) -> Option<Disk> {
        let AgentKey { key, staged, retiring, .. } = self.agent.unsaved()?.key;
        let retiring = retiring.into_iter().map(|old| (old.key, old.until, old.erased)).collect();
        Some(Disk { key, staged, retiring })
    }

    /// Whether it opens this.
    pub(super) fn opens(&mut self, now: UnixMillis, message: &[u8]) -> bool {
        self.agent.open(now, message).is_ok()
    }
}

fn agent(found: &Disk, began: UnixMillis, number: u64) -> Agent {
    let random = ChaCha20Rng::seed_from_u64(10_000 + number);
    Agent::keeping(found.file(), &AgentConfig::default().first_use(), began, random)
}
