//! A key on both sides, turned from epoch to epoch, with clocks that jump forward and back and processes that come back with
//! what was stored (docs/protocol.md §4.3).
//!
//! Real is the key at hand with all that it keeps beside itself: it is made anew for each step from what its process has
//! been through. When the KDC believes its own clock, and how far a party follows one that jumps, is not a part of this: here
//! each turns at whatever it is shown.

use std::collections::BTreeSet;
use std::sync::Arc;

use chacha20::ChaCha20Rng;
use keycell_protocol::{Epoch, Generation, LongTermKey, RatchetedKey, Rkey, Subkeys, Ticket};
use rand_core::SeedableRng as _;
use stateright::{Model, Property};

use crate::memo::Memo;
use crate::{breaks, holds};

#[test]
fn both_sides_turn_and_understand_each_other() {
    holds("ratchet", Ratchet::new(None));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    breaks("ratchet, no overlap", SHARED, Ratchet::new(Some(Weakness::NoOverlap)));
    breaks("ratchet, nothing is erased", OLD, Ratchet::new(Some(Weakness::NeverTurns)));
    breaks("ratchet, an old proof turns back", BACK, Ratchet::new(Some(Weakness::TurnsToAny)));
}

/// What a process makes of an epoch.
type AtHand = Option<Arc<Subkeys>>;

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    NoOverlap,
    NeverTurns,
    /// A key turns to whatever is proven, from the one that was there first.
    TurnsToAny,
}

struct Ratchet {
    weakness: Option<Weakness>,
    known: Memo<(Process, u32, u32), AtHand>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    kdc: Side,
    party: Side,
    /// In which epochs the KDC was, and sealed something: the network brings it when it likes.
    proofs: BTreeSet<u32>,
    jumps: u8,
    restarts: u8,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Side {
    clock: u32,
    process: Process,
    /// The epoch of what is stored, and by which moment that was turned.
    stored: (u32, u32),
    /// The epoch of the key itself, and by which moment it was turned.
    turned: (u32, u32),
    went_back: bool,
    /// Whether a process came back with a key that was turned, and had been turned again since it was stored.
    came_back_older: bool,
}

/// What a process found when it began, and has been through since.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Process {
    stored: u32,
    past: Vec<Past>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Past {
    Used { epoch: u32, now: u32 },
    Turned(u32),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Clock { of: Who, to: u32 },
    KdcTurns,
    Proof(u32),
    Use { of: Who, epoch: u32 },
    Store(Who),
    Restart(Who),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Who {
    Kdc,
    Party,
}

impl State {
    fn side(&mut self, of: Who) -> &mut Side {
        match of {
            Who::Kdc => &mut self.kdc,
            Who::Party => &mut self.party,
        }
    }
}

impl Side {
    fn new() -> Self {
        let process = Process { stored: FIRST, past: Vec::new() };
        let (stored, turned) = ((FIRST, FIRST), (FIRST, FIRST));
        Self { clock: FIRST, process, stored, turned, went_back: false, came_back_older: false }
    }
}

impl Process {
    fn key(&self) -> RatchetedKey {
        let key = LongTermKey::new(Generation(1), Epoch(FIRST), [7; 32]);
        let mut key = RatchetedKey::new(key.advance(Epoch(self.stored)).unwrap());
        for past in &self.past {
            match *past {
                Past::Used { epoch, now } => drop(key.at(Epoch(epoch), Epoch(now))),
                Past::Turned(at) => key.confirm(Epoch(at)),
            }
        }
        key
    }

    /// How often it has turned its key.
    fn turns(&self) -> usize {
        let after = |steps| Self { stored: self.stored, past: self.past[..steps].to_vec() }.key().epoch();
        (0..self.past.len()).filter(|steps| after(*steps) < after(steps + 1)).count()
    }

    /// The epoch of the subkeys that are used at another.
    fn current(&self, now: u32) -> u32 {
        self.key().current(Epoch(now)).unwrap().epoch.0
    }
}

impl Ratchet {
    fn new(weakness: Option<Weakness>) -> Self {
        Self { weakness, known: Memo::new() }
    }

    /// The subkeys of an epoch that a process has at hand at another.
    fn at(&self, process: &Process, epoch: u32, now: u32) -> AtHand {
        let asked = (process.clone(), epoch, now);
        self.known.get(asked, || process.key().at(Epoch(epoch), Epoch(now)).ok())
    }

    fn turn(&self, side: &mut Side, by: u32) {
        match self.weakness {
            Some(Weakness::NeverTurns) => {}
            Some(Weakness::TurnsToAny) => {
                side.process = Process { stored: by.saturating_sub(1).max(FIRST), past: Vec::new() };
            }
            Some(Weakness::NoOverlap) => side.process.past.push(Past::Turned(by + 1)),
            None => side.process.past.push(Past::Turned(by)),
        }
        let epoch = side.process.key().epoch().0;
        side.went_back |= epoch < side.turned.0;
        side.turned = (epoch, by.max(side.turned.1));
    }
}

impl Model for Ratchet {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let proofs = BTreeSet::from([FIRST]);
        vec![State { kdc: Side::new(), party: Side::new(), proofs, jumps: 0, restarts: 0 }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        for (of, side) in [(Who::Kdc, &state.kdc), (Who::Party, &state.party)] {
            if state.jumps < JUMPS {
                let clocks = (FIRST - 1..=LAST).filter(|to| *to != side.clock);
                actions.extend(clocks.map(|to| Action::Clock { of, to }));
            }
            if side.process.past.len() < PAST {
                let epochs = [side.clock - 1, side.clock + 1];
                actions.extend(epochs.map(|epoch| Action::Use { of, epoch }));
            }
            if side.stored != side.turned {
                actions.push(Action::Store(of));
            }
            if state.restarts < RESTARTS && !side.process.past.is_empty() {
                actions.push(Action::Restart(of));
            }
        }
        if state.kdc.process.past.len() < PAST {
            actions.push(Action::KdcTurns);
        }
        if state.party.process.past.len() < PAST {
            actions.extend(state.proofs.iter().copied().map(Action::Proof));
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Clock { of, to } => {
                state.side(of).clock = to;
                state.proofs.insert(state.kdc.clock);
                state.jumps += 1;
            }
            Action::KdcTurns => {
                let now = state.kdc.clock;
                self.turn(&mut state.kdc, now);
            }
            Action::Proof(at) => self.turn(&mut state.party, at),
            Action::Use { of, epoch } => {
                let side = state.side(of);
                side.process.past.push(Past::Used { epoch, now: side.clock });
            }
            Action::Store(of) => {
                let side = state.side(of);
                side.stored = side.turned;
            }
            Action::Restart(of) => {
                let side = state.side(of);
                side.came_back_older |= (FIRST + 1..side.turned.0).contains(&side.stored.0);
                side.turned = side.stored;
                side.process = Process { stored: side.stored.0, past: Vec::new() };
                state.restarts += 1;
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(OLD, |model: &Self, state: &State| {
                [&state.kdc, &state.party].into_iter().all(|side| {
                    let over = FIRST - 1..side.turned.1.saturating_sub(1);
                    let mut any = over.flat_map(|epoch| (FIRST - 1..=LAST).map(move |now| (epoch, now)));
                    any.all(|(epoch, now)| model.at(&side.process, epoch, now).is_none())
                })
            }),
            Property::always(BACK, |_, state: &State| !state.kdc.went_back && !state.party.went_back),
            Property::always(SHARED, |model: &Self, state: &State| {
                let State { kdc, party, .. } = state;
                // No clock is further behind than that from what anybody has turned by.
                let proven = kdc.turned.1.max(party.turned.1);
                if kdc.clock.abs_diff(party.clock) > 1 || kdc.clock.min(party.clock) + 1 < proven {
                    return true;
                }
                // The epoch of the party's requests, and that of the tickets for it.
                let epochs = [party, kdc].map(|side| side.process.current(side.clock));
                epochs.into_iter().all(|epoch| {
                    let keys = model.at(&kdc.process, epoch, kdc.clock).zip(model.at(
                        &party.process,
                        epoch,
                        party.clock,
                    ));
                    keys.is_some_and(|(theirs, own)| {
                        let mut random = ChaCha20Rng::seed_from_u64(1);
                        let ticket =
                            Ticket::seal_for_party(&Rkey::generate(&mut random), &theirs, &mut random);
                        ticket.open(&own.ticket).is_ok()
                    })
                })
            }),
            Property::sometimes("both have turned twice", |_, state: &State| {
                [&state.kdc, &state.party]
                    .iter()
                    .all(|side| side.turned.0 >= FIRST + 2 && side.process.turns() == 2)
            }),
            Property::sometimes("a clock is behind the key", |_, state: &State| {
                state.party.clock < state.party.turned.0
            }),
            Property::sometimes("a process came back to an older key", |_, state: &State| {
                state.party.came_back_older
            }),
        ]
    }
}

const SHARED: &str = "clocks that differ by an epoch at most share a key";
const OLD: &str = "nothing older than the epoch before is at hand";
const BACK: &str = "nobody steps back";

/// The epochs that there are.
const FIRST: u32 = 100;
const LAST: u32 = 103;
/// How often a clock is set anew, how often a process comes back, and how much each goes through.
const JUMPS: u8 = 2;
const RESTARTS: u8 = 1;
const PAST: usize = 2;
