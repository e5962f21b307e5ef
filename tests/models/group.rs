//! The keys of a group from chain to chain: an administrator rotates them and removes a member, members ask in time, late or
//! not at all, and messages are as late as they like (docs/protocol.md §11).
//!
//! Real are the chains with their timetables and secrets, what the KDC seals with and what it gives to members, and the
//! members' openers. Who is removed opens what it can with the bare keys, all that it ever had, and writes tickets of its own
//! with them. The network carries everything everywhere: each state is looked at with every message and every member.

mod chains;

use std::collections::HashMap;

use keycell_protocol::UnixSeconds;
use stateright::{Model, Property};

use crate::{breaks, holds};
use chains::{Chains, instant};

#[test]
fn a_member_that_is_removed_and_those_that_stay() {
    holds("group", Chains::new(None));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    let weak = |name, property, weakness| breaks(name, property, Chains::new(Some(weakness)));
    weak("group, a removal without a new chain", REMOVED, Weakness::NoNewChain);
    weak("group, members told that keys last for longer", FORGED, Weakness::KeysLastLonger);
    weak("group, a chain's end that ends no key", FORGED, Weakness::EndedKeysLast);
    weak("group, members that ask a lifetime late", HELD, Weakness::AsksLate);
    weak("group, a chain that begins where the one before stands", ONE_KEY, Weakness::SameNumbers);
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    NoNewChain,
    KeysLastLonger,
    /// The keys of a chain that has ended last as long as if it had not.
    EndedKeysLast,
    AsksLate,
    SameNumbers,
}

/// What the KDC gave at a moment, and the chains that there were by then: keys to a member, or a ticket to a sender.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Given {
    at: u64,
    chains: Vec<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// Seconds after the start.
    now: u64,
    /// When each chain began.
    chains: Vec<u64>,
    removed: Option<u64>,
    /// What the members that stay hold: one asks in time, the other asks or not.
    held: [Option<Given>; 2],
    /// How often the second has asked.
    asked: u8,
    /// Everything that the member which is removed was ever given.
    leaver: Vec<Given>,
    tickets: Vec<Given>,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Action {
    Passes,
    Rotates,
    Removes,
    Asks(usize),
    LeaverAsks,
    Ticket,
    /// Of a KDC that has not heard of the last chain.
    LateTicket,
}

impl State {
    /// What everybody was given.
    fn given(&self) -> impl Iterator<Item = &Given> {
        self.held.iter().flatten().chain(&self.leaver)
    }

    fn is_late(&self, given: &Given) -> bool {
        self.chains.iter().any(|began| *began <= given.at && !given.chains.contains(began))
    }
}

impl Model for Chains {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let given = Given { at: 0, chains: vec![0] };
        let held = [Some(given.clone()), None];
        vec![State {
            now: 0,
            chains: vec![0],
            removed: None,
            held,
            asked: 0,
            leaver: vec![given],
            tickets: Vec::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let in_time = state.held[0].as_ref().is_none_or(|held| state.now + TICK <= self.refresh_at(held));
        if state.now < HORIZON && in_time {
            actions.push(Action::Passes);
        }
        let quiet = state.now >= BUSY || state.chains.last() == Some(&state.now);
        if state.chains.len() < CHAINS && !quiet {
            actions.push(Action::Rotates);
        }
        if state.removed.is_none() && !quiet {
            actions.push(Action::Removes);
        }
        // In the time that the KDC drew, or since a message waits.
        let due = state.held[0].as_ref().is_none_or(|held| {
            state.now + TICK > self.refresh(held, 0) || held.chains.len() < state.chains.len()
        });
        if due {
            actions.push(Action::Asks(0));
        }
        if state.asked < ASKS {
            actions.push(Action::Asks(1));
        }
        if state.removed.is_none() && state.leaver.len() < 2 {
            actions.push(Action::LeaverAsks);
        }
        if state.tickets.len() < TICKETS {
            actions.push(Action::Ticket);
            if state.chains.len() > 1 && state.chains.last().is_some_and(|began| state.now < began + LATE) {
                actions.push(Action::LateTicket);
            }
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let given = Given { at: state.now, chains: state.chains.clone() };
        match action {
            Action::Passes => state.now += TICK,
            Action::Rotates => state.chains.push(state.now),
            Action::Removes => {
                state.removed = Some(state.now);
                if self.weakness != Some(Weakness::NoNewChain) {
                    state.chains.push(state.now);
                }
            }
            Action::Asks(who) => {
                state.asked += u8::from(who == 1);
                state.held[who] = Some(given);
            }
            Action::LeaverAsks if state.leaver.contains(&given) => return None,
            Action::LeaverAsks => state.leaver.push(given),
            Action::Ticket => state.tickets.push(given),
            Action::LateTicket => {
                let chains = state.chains.split_last()?.1.to_vec();
                state.tickets.push(Given { chains, ..given });
            }
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(REMOVED, |model: &Self, state: &State| {
                let Some(removed) = state.removed else { return true };
                state.tickets.iter().all(|given| {
                    let is_read = state.leaver.iter().any(|by| model.is_readable(by, given));
                    let end = model.ticket(given).map_or(START, |(_, end, _)| end);
                    let late = if state.is_late(given) { LATE } else { 0 };
                    let is_after = given.at >= removed && given.chains == state.chains;
                    !is_read || (!is_after && end <= instant(removed + LIFETIME + late)) || given.at < removed
                })
            }),
            Property::always(FORGED, |model: &Self, state: &State| {
                let Some(removed) = state.removed else { return true };
                state.held.iter().flatten().all(|held| {
                    let has_heard = held.chains.iter().any(|began| *began >= removed);
                    let most = if has_heard { LIFETIME + LATE } else { 3 * LIFETIME };
                    state.now <= removed + most
                        || state.leaver.iter().all(|by| !model.is_fooled(held, by, state.now))
                })
            }),
            Property::always(LATER, |model: &Self, state: &State| {
                state.held.iter().flatten().all(|held| {
                    let mut over = state.tickets.iter().filter(|given| state.now >= given.at + LIFETIME);
                    over.all(|given| model.opens(held, given, state.now) != "opened")
                })
            }),
            Property::always(HELD, |model: &Self, state: &State| {
                state.held[0].as_ref().is_none_or(|held| model.is_in_time(held))
            }),
            Property::always(NOT_REFUSED, |model: &Self, state: &State| {
                let mut honest = state.tickets.iter().filter(|given| {
                    let is_over = model.ticket(given).is_none_or(|(_, end, _)| end <= instant(state.now));
                    !state.is_late(given) && !is_over
                });
                honest.all(|given| {
                    state.held.iter().flatten().all(|held| match model.opens(held, given, state.now) {
                        "opened" => true,
                        "waiting" => held.at < given.at || held.chains.len() < given.chains.len(),
                        _ => false,
                    })
                })
            }),
            Property::always(ONE_KEY, |model: &Self, state: &State| {
                let prints: Vec<_> = state.given().map(|given| model.prints(given)).collect();
                let mut keys = HashMap::new();
                let mut all = prints.iter().flat_map(|prints| prints.iter());
                all.all(|(generation, print)| {
                    keys.insert(generation, print).is_none_or(|before| before == print)
                })
            }),
            Property::sometimes("a message waits for its key", |model: &Self, state: &State| {
                let mut held = state.held.iter().flatten();
                held.any(|held| {
                    state.tickets.iter().any(|given| model.opens(held, given, state.now) == "waiting")
                })
            }),
            Property::sometimes(
                "who was removed reads a ticket of a KDC that had not heard",
                |model, state: &State| {
                    state.removed.is_some_and(|removed| {
                        let mut late = state.tickets.iter().filter(|given| given.at >= removed);
                        late.any(|given| state.leaver.iter().any(|by| model.is_readable(by, given)))
                    })
                },
            ),
            Property::sometimes("who was removed fools one that has heard", |model: &Self, state: &State| {
                state.removed.is_some_and(|removed| {
                    let mut heard =
                        state.held.iter().flatten().filter(|held| held.at >= removed && state.now > removed);
                    heard.any(|held| state.leaver.iter().any(|by| model.is_fooled(held, by, state.now)))
                })
            }),
            Property::sometimes(
                "who was removed fools one that has not heard",
                |model: &Self, state: &State| {
                    state.removed.is_some_and(|removed| {
                        let late = state.now > removed + LIFETIME + LATE;
                        let mut deaf = state.held.iter().flatten().filter(|held| late && held.at < removed);
                        deaf.any(|held| state.leaver.iter().any(|by| model.is_fooled(held, by, state.now)))
                    })
                },
            ),
        ]
    }
}

const REMOVED: &str = "who was removed opens nothing under tickets given after that";
const FORGED: &str = "who was removed fools nobody for longer than §11.3 says";
const LATER: &str = "nothing is opened a lifetime after its ticket was given";
const HELD: &str = "a member that asks in time holds the key that seals";
const NOT_REFUSED: &str = "a message to the group opens, or waits for the key";
const ONE_KEY: &str = "no generation has two keys";

const START: UnixSeconds = UnixSeconds(1_766_059_200);
/// Seconds; more than the least, with which a key of a chain that has ended would be over before it must be.
const LIFETIME: u64 = 180;
const LATE: u64 = 60;
const TICK: u64 = 45;
/// Until when anything is changed, and until when everything is looked at.
const BUSY: u64 = 135;
const HORIZON: u64 = 675;
const CHAINS: usize = 2;
const TICKETS: usize = 1;
/// How often the member asks that is late.
const ASKS: u8 = 1;
