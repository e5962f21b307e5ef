//! The keys of a party and of its KDC while they rotate: every message may be lost, said twice or answered by somebody else,
//! each of them may die between any two steps, and an administrator asks for another key when it likes (docs/protocol.md
//! §4.1 and §4.4).
//!
//! Real are the agent with all that it decides, every byte between it and the KDC, what the KDC accepts of a key in which
//! state, how its record of the party changes, and whether it asks for a rotation. Not real are the KDC's database, of which
//! there is the record alone, and its tables against repeated requests: here each is answered again. What an agent has been
//! through since it began is kept as a list, and it is made anew from that for each step.

mod kdc;
mod party;

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::UnixMillis;
use stateright::{Model, Property};

use crate::{breaks, holds};
use kdc::{Answer, Kdc, Record};
use party::{Asked, Disk, Event, Live, Run};

#[test]
fn a_party_and_its_kdc_have_a_key_in_common() {
    holds("generations", Generations::new(2, None));
}

#[test]
#[ignore = "takes minutes: cargo test -p keycell-tests --test models -- --include-ignored"]
fn a_party_and_its_kdc_have_a_key_in_common_after_three_faults() {
    holds("generations, three faults", Generations::new(3, None));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    let weak = |name, property, weakness| breaks(name, property, Generations::new(2, Some(weakness)));
    weak("generations, a commit before the key is stored", HELD, Weakness::CommitsFirst);
    weak("generations, a commit before the key is stored", ANSWERED, Weakness::CommitsFirst);
    weak("generations, numbers of keys that have ended", ONE_KEY, Weakness::ForgetsNumbers);
    weak("generations, a KDC that looks at no end", DEAD, Weakness::KeepsEnded);
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    /// The party says that a key is stored when it is not yet.
    CommitsFirst,
    /// The KDC counts on from the keys that it has.
    ForgetsNumbers,
    /// The KDC accepts what has ended.
    KeepsEnded,
}

struct Generations {
    /// How much goes wrong.
    faults: u8,
    weakness: Option<Weakness>,
    kdc: Kdc,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    now: UnixMillis,
    record: Record,
    disk: Disk,
    run: Run,
    asked: Option<Asked>,
    /// The last request to rotate, which the network may bring again.
    before: Option<Arc<[u8]>>,
    /// Each generation that was given out, and the key that it was.
    given: BTreeMap<u32, [u8; 8]>,
    faults: u8,
    /// Since the last fault: the moment, and the steps until the party had a ticket, and until nothing was left to do.
    left_alone: UnixMillis,
    hungry: u8,
    steps: u8,
    fed: bool,
    is_held: bool,
    is_one_key: bool,
    is_alive: bool,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    /// Whatever is next, as it should be.
    Step,
    Fault(Fault),
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Fault {
    PartyDies,
    RequestIsLost,
    AnswerIsLost,
    /// The network refuses in the KDC's name, before it heard of the request or after.
    Forged {
        heard: bool,
    },
    /// The last request to rotate comes once more.
    Again,
    /// The disk is full, and the party goes on.
    NothingIsStored,
    AdministratorAsks,
    Passes {
        minutes: u64,
    },
}

impl State {
    /// Nothing is left to do.
    fn is_settled(&self, model: &Generations) -> bool {
        self.fed
            && self.asked.is_none()
            && self.disk.staged.is_none()
            && !self.run.is_unsaved
            && !model.kdc.is_due(&self.record, self.now)
    }

    /// For how many minutes nothing has gone wrong.
    fn alone(&self) -> u64 {
        self.now.distance(self.left_alone) / 60_000
    }

    fn after_fault(&mut self) {
        (self.left_alone, self.hungry, self.steps, self.fed) = (self.now, 0, 0, false);
    }
}

impl Generations {
    fn new(faults: u8, weakness: Option<Weakness>) -> Self {
        Self { faults, weakness, kdc: Kdc::new(weakness) }
    }

    /// The KDC answers a request; its record is what it stored, whether or not anybody hears of it.
    fn serve(&self, state: &mut State, body: &[u8], rotates: bool) -> Answer {
        let served = self.kdc.serve(&mut state.record, state.now, body, rotates);
        state.is_alive &= served.is_alive;
        if let Some((generation, print)) = served.given {
            state.is_one_key &= state.given.insert(generation, print).is_none_or(|before| before == print);
        }
        served.answer
    }

    fn step(&self, state: &mut State) {
        let mut live = Live::new(&state.run);
        if let Some(asked) = state.asked.take() {
            let answer = self.serve(state, &asked.body, asked.rotates);
            state.fed |= answer.is_ticket;
            live.take(&mut state.run, Event::Took(state.now, answer));
        } else if state.run.is_unsaved {
            if let Some(disk) = live.unsaved()
                && (self.weakness != Some(Weakness::CommitsFirst) || disk.staged.is_none())
            {
                state.disk = disk;
            }
            live.take(&mut state.run, Event::Saved);
        } else {
            state.asked = live.ask(&mut state.run, state.now, !state.fed);
            match &state.asked {
                Some(asked) if asked.rotates => state.before = Some(asked.body.clone()),
                Some(_) => {}
                None => state.now = live.wakes(state.now),
            }
        }
        state.run.is_unsaved = live.unsaved().is_some();
        let message = self.kdc.message(&state.record, state.now);
        state.is_held &= live.opens(state.now, &message) && state.disk.opens(state.now, &message);
    }

    fn fault(&self, state: &mut State, fault: Fault) {
        let lost = Event::GaveUp(state.now);
        let event = match fault {
            Fault::PartyDies => {
                state.run = Run::new(state.run.number + 1, state.now, &state.disk);
                state.asked = None;
                None
            }
            Fault::RequestIsLost => {
                state.asked = None;
                Some(lost)
            }
            Fault::AnswerIsLost => {
                if let Some(asked) = state.asked.take() {
                    self.serve(state, &asked.body, asked.rotates);
                }
                Some(lost)
            }
            Fault::Forged { heard } => {
                if let Some(asked) = state.asked.take()
                    && heard
                {
                    self.serve(state, &asked.body, asked.rotates);
                }
                Some(Event::Took(state.now, Answer::unauthenticated()))
            }
            Fault::Again => {
                if let Some(before) = state.before.take() {
                    self.serve(state, &before, true);
                }
                None
            }
            Fault::NothingIsStored => {
                let mut live = Live::new(&state.run);
                state.asked = live.ask(&mut state.run, state.now, true);
                None
            }
            Fault::AdministratorAsks => {
                state.record.party.rotate_after = Some(state.now);
                None
            }
            Fault::Passes { minutes } => {
                state.now = state.now.plus(minutes * 60_000);
                None
            }
        };
        let mut live = Live::new(&state.run);
        if let Some(event) = event {
            live.take(&mut state.run, event);
        }
        state.run.is_unsaved = live.unsaved().is_some();
        let message = self.kdc.message(&state.record, state.now);
        state.is_held &= live.opens(state.now, &message) && state.disk.opens(state.now, &message);
        state.faults += 1;
        state.after_fault();
    }
}

impl Model for Generations {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let (record, disk) = self.kdc.first();
        let run = Run::new(0, START, &disk);
        vec![State {
            now: START,
            record,
            disk,
            run,
            asked: None,
            before: None,
            given: BTreeMap::new(),
            faults: 0,
            left_alone: START,
            hungry: 0,
            steps: 0,
            fed: false,
            is_held: true,
            is_one_key: true,
            is_alive: true,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.hungry > ENOUGH || state.steps > ENOUGH {
            return;
        }
        if !state.is_settled(self) {
            actions.push(Action::Step);
        }
        if state.faults >= self.faults {
            return;
        }
        let mut faults = vec![Fault::PartyDies, Fault::AdministratorAsks];
        faults.extend([20, 25 * 60].map(|minutes| Fault::Passes { minutes }));
        if state.asked.is_some() {
            faults.extend([Fault::RequestIsLost, Fault::AnswerIsLost]);
            faults.extend([false, true].map(|heard| Fault::Forged { heard }));
        }
        if state.before.is_some() && state.asked.is_none() {
            faults.push(Fault::Again);
        }
        if state.run.is_unsaved && state.asked.is_none() {
            faults.push(Fault::NothingIsStored);
        }
        actions.extend(faults.into_iter().map(Action::Fault));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Step => {
                state.steps += 1;
                self.step(&mut state);
                state.hungry = if state.fed { 0 } else { state.hungry + 1 };
            }
            Action::Fault(fault) => self.fault(&mut state, fault),
        }
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(HELD, |_, state: &State| state.is_held),
            Property::always(ANSWERED, |_, state: &State| {
                state.hungry <= ENOUGH && (state.fed || state.alone() <= SOON)
            }),
            Property::always(SETTLED, |model: &Self, state: &State| {
                state.steps <= ENOUGH && (state.alone() <= SOON || state.is_settled(model))
            }),
            Property::always(ONE_KEY, |_, state: &State| state.is_one_key),
            Property::always(DEAD, |_, state: &State| state.is_alive),
            Property::sometimes("a key is rotated", |model: &Self, state: &State| {
                state.disk.active() > 1 && state.is_settled(model)
            }),
            Property::sometimes("another one after it", |model: &Self, state: &State| {
                state.disk.active() > 2 && state.is_settled(model)
            }),
            Property::sometimes("a staged key ends, and another takes its place", |_, state: &State| {
                state.given.len() > 1 && state.disk.active() == 1
            }),
        ]
    }
}

const HELD: &str = "the KDC seals tickets under no key that the party has not stored";
const ANSWERED: &str = "a party that is left alone gets a ticket";
const SETTLED: &str = "a rotation that is left alone comes to its end";
const ONE_KEY: &str = "no generation has two keys";
const DEAD: &str = "no key is accepted after its end";

const START: UnixMillis = UnixMillis(1_766_059_200_000);
/// More steps than anything takes that is left alone.
const ENOUGH: u8 = 40;
/// More minutes.
const SOON: u64 = 5;
