//! Messages of one sender to one receiver, over a network that loses, repeats, reorders and delays them, while both restart
//! and the receiver's clock is set back (docs/protocol.md §8.2).
//!
//! Real are the sealer, every byte of each message, and the opener with its keys, windows, tickets of its own and restart
//! guard. The messages come under a ticket of the sender's, or are answers under one of the receiver's (§8.3): each of its
//! processes is given one when it begins, and knows no other. What an opener has been through is kept as a list, and it is
//! made anew from that for each step: so nothing that it remembers is left out of a state.

mod bounds;
mod ends;

use std::collections::{BTreeSet, HashMap};

use keycell_protocol::{Grant, LongTermKey, UnixMillis};
use stateright::{Model, Property};

use crate::memo::Memo;
use crate::{breaks, holds};
use bounds::{ANSWERS, Bounds, EVENTS, REFUSALS, Weakness};

#[test]
fn the_edges_of_the_window() {
    let jumps = &[1, 1022, 1023, 1024];
    let bounds = Bounds { jumps, sends: 3, salts: 2, deliveries: 5, ..Bounds::LEAST };
    holds("window, its edges", Messages::new(bounds, &["opened", "replayed", "out-of-window"]));
}

#[test]
fn every_order_of_events() {
    let found = ["opened", "replayed", "before-start", "expired", "from-the-future"];
    holds("window, clocks and restarts", Messages::new(EVENTS, &found));
}

#[test]
fn a_refusal_changes_nothing() {
    let found = ["opened", "replayed", "out-of-window", "expired", "from-the-future", "forged"];
    holds("window, refusals", Messages::new(REFUSALS, &found));
}

#[test]
fn answers_at_the_edges_of_the_window() {
    let jumps = &[1, 1022, 1023, 1024];
    let bounds = Bounds { jumps, sends: 3, salts: 2, deliveries: 5, answers: true, ..Bounds::LEAST };
    holds("answers, edges of the window", Messages::new(bounds, &["opened", "replayed", "out-of-window"]));
}

#[test]
fn answers_in_every_order_of_events() {
    let found = ["opened", "replayed", "unknown-ticket", "expired", "from-the-future"];
    holds("answers, clocks and restarts", Messages::new(ANSWERS, &found));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    let weak = |name, property, bounds, weakness| {
        breaks(name, property, Messages { weakness: Some(weakness), ..Messages::new(bounds, &[]) });
    };
    weak("window, no guard", TWICE, EVENTS, Weakness::NoGuard);
    weak("window, a guard that takes every clock to be right", TWICE, EVENTS, Weakness::GuardWithoutAhead);
    weak("window, a guard where nobody was before", MUTED, EVENTS, Weakness::GuardAtFirst);
    // What RestartGuard says that it relies on.
    weak("window, a clock that was set back before a restart", TWICE, EVENTS, Weakness::RestartsAfterSetBack);
    weak("window, a clock that is a second behind", LATE, EVENTS, Weakness::ClockBehind);
    weak("window, a clock that is a millisecond ahead", EARLY, EVENTS, Weakness::ClockAhead);
    weak("window, an opener that remembers before it checks", MUTED, REFUSALS, Weakness::RemembersFirst);
    weak("answers, tickets that outlive their process", TWICE, ANSWERS, Weakness::KeepsTickets);
    weak("answers, tickets that outlive their process", FOREIGN, ANSWERS, Weakness::KeepsTickets);
}

struct Messages {
    bounds: Bounds,
    /// What is to be met.
    found: Vec<&'static str>,
    weakness: Option<Weakness>,
    key: LongTermKey,
    /// What each process of the receiver is given to be answered under.
    own: Vec<Grant>,
    messages: HashMap<Message, Vec<u8>>,
    /// What came of opening: asked for again and again, and the same each time.
    known: Memo<(Run, Message, u64), Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    /// The process of the receiver that it answers; 0 where it is no answer.
    ticket: u8,
    salt: u8,
    number: u64,
    sent: u64,
    /// Whether the network made it: its tag does not hold.
    forged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    time: u64,
    /// By how much the receiver's clock is behind it.
    behind: u64,
    set_backs: u8,
    /// Under which ticket the sender writes, with which salt, and its last number.
    ticket: u8,
    salt: u8,
    number: Option<u64>,
    sent: BTreeSet<Message>,
    deliveries: u8,
    forgeries: u8,
    run: Run,
    /// What earlier processes opened.
    earlier: BTreeSet<Message>,
    last: Option<Verdict>,
    broken: Option<&'static str>,
}

/// One process of the receiver, and what it has been through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Run {
    number: u8,
    started: u64,
    past: Vec<Past>,
    /// The latest that its clock showed.
    latest: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Past {
    Opened(Message, u64),
    Refused(Message, u64),
    Swept(u64),
}

type Verdict = &'static str;

#[derive(Debug, Clone, PartialEq)]
enum Action {
    Send { jump: u64, ahead: u64 },
    SenderRestarts,
    Passes,
    SetBack,
    SetRight,
    Deliver(Message),
    Sweep,
    Restart,
}

impl Run {
    fn opened(&self) -> impl Iterator<Item = Message> {
        self.past.iter().filter_map(|past| match past {
            Past::Opened(message, _) => Some(*message),
            _ => None,
        })
    }

    /// Whether it has noticed that the ticket is over, and given up what it remembered of it.
    fn is_over(&self, ticket: u8) -> bool {
        let first = self.past.iter().position(|past| matches!(past, Past::Opened(..)));
        let swept = self.past.iter().rposition(|past| matches!(past, Past::Swept(at) if *at >= end(ticket)));
        first.zip(swept).is_some_and(|(first, swept)| first < swept)
    }
}

impl State {
    fn clock(&self) -> u64 {
        self.time.saturating_sub(self.behind)
    }

    /// What must never be, if this message was opened; what must not be either, if it was not.
    fn judge(&self, message: Message, opened: bool, answers: bool) -> Option<&'static str> {
        let Self { run, earlier, .. } = self;
        let clock = self.clock();
        let was_opened = earlier.contains(&message) || run.opened().any(|before| before == message);
        let is_known = !answers || message.ticket == run.number;
        if opened {
            return match () {
                () if message.forged => Some(FORGED),
                () if was_opened => Some(TWICE),
                () if clock >= end(message.ticket) || run.is_over(message.ticket) => Some(LATE),
                () if message.sent > clock + AHEAD => Some(EARLY),
                () if !is_known => Some(FOREIGN),
                () => None,
            };
        }
        let same =
            run.opened().filter(|before| (before.ticket, before.salt) == (message.ticket, message.salt));
        let newest = same.map(|before| before.number).max();
        let is_in_window = newest.is_none_or(|newest| newest <= message.number + 1_023);
        let is_in_time = message.sent <= clock + AHEAD && run.latest < end(message.ticket);
        // An answer to what this process asked is no earlier one's.
        let is_after_start = answers || run.number == 0 || message.sent > run.started + AHEAD;
        let is_due = !message.forged && !was_opened && is_known;
        (is_due && is_in_window && is_in_time && is_after_start).then_some(MUTED)
    }
}

impl Model for Messages {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let run = Run { number: 0, started: 0, past: Vec::new(), latest: 0 };
        vec![State {
            time: 0,
            behind: 0,
            set_backs: 0,
            ticket: 0,
            salt: 0,
            number: None,
            sent: BTreeSet::new(),
            deliveries: 0,
            forgeries: 0,
            run,
            earlier: BTreeSet::new(),
            last: None,
            broken: None,
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        let bounds = self.bounds;
        if state.broken.is_some() {
            return;
        }
        if state.sent.len() < bounds.sends {
            let jumps = if state.number.is_none() { &[1] } else { bounds.jumps };
            let ahead = |jump| bounds.aheads.iter().map(move |&ahead| Action::Send { jump, ahead });
            actions.extend(jumps.iter().flat_map(|&jump| ahead(jump)));
        }
        if state.salt + 1 < bounds.salts {
            actions.push(Action::SenderRestarts);
        }
        if bounds.instants.iter().any(|at| *at > state.time) {
            actions.push(Action::Passes);
        }
        if state.set_backs < bounds.set_backs {
            actions.push(Action::SetBack);
        }
        if state.behind > 0 {
            actions.push(Action::SetRight);
        }
        if state.deliveries < bounds.deliveries {
            actions.extend(state.sent.iter().copied().map(Action::Deliver));
        }
        if state.deliveries < bounds.deliveries && state.forgeries < bounds.forgeries {
            let forged = |sent: &Message| Message { number: bounds.beyond(), forged: true, ..*sent };
            let forged: BTreeSet<_> = state.sent.iter().map(forged).collect();
            actions.extend(forged.into_iter().map(Action::Deliver));
        }
        let swept = matches!(state.run.past.last(), None | Some(Past::Swept(_)));
        if !swept && state.clock() >= END {
            actions.push(Action::Sweep);
        }
        let is_set_back = state.clock() < state.run.latest;
        let may_restart = self.weakness == Some(Weakness::RestartsAfterSetBack) || bounds.answers;
        if state.run.number + 1 < bounds.runs && (!is_set_back || may_restart) {
            actions.push(Action::Restart);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = State { last: None, ..last.clone() };
        match action {
            Action::Send { jump, ahead } => {
                let number = state.number.map_or(0, |number| number + jump);
                state.number = Some(number);
                let State { ticket, salt, .. } = state;
                let sent = state.time + ahead;
                state.sent.insert(Message { ticket, salt, number, sent, forged: false });
            }
            Action::SenderRestarts => {
                (state.salt, state.number) = (state.salt + 1, None);
                // It answers what it was asked last.
                state.ticket = if self.bounds.answers { state.run.number } else { 0 };
            }
            Action::Passes => state.time = *self.bounds.instants.iter().find(|at| **at > state.time)?,
            Action::SetBack => (state.behind, state.set_backs) = (END, state.set_backs + 1),
            Action::SetRight => state.behind = 0,
            Action::Deliver(message) => {
                let clock = state.clock();
                let verdict = self.open(&state.run, message, clock);
                state.broken = state.judge(message, verdict == "opened", self.bounds.answers);
                state.last = Some(verdict);
                state.deliveries += 1;
                state.forgeries += u8::from(message.forged);
                if verdict == "opened" {
                    state.run.past.push(Past::Opened(message, clock));
                } else if self.bounds.keeps_refusals {
                    state.run.past.push(Past::Refused(message, clock));
                }
            }
            Action::Sweep => state.run.past.push(Past::Swept(state.clock())),
            Action::Restart => {
                state.earlier.extend(state.run.opened().collect::<Vec<_>>());
                let (number, started) = (state.run.number + 1, state.clock());
                state.run = Run { number, started, past: Vec::new(), latest: started };
            }
        }
        state.run.latest = state.run.latest.max(state.clock());
        Some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always(TWICE, |_, state: &State| state.broken != Some(TWICE)),
            Property::always(LATE, |_, state: &State| state.broken != Some(LATE)),
            Property::always(EARLY, |_, state: &State| state.broken != Some(EARLY)),
            Property::always(MUTED, |_, state: &State| state.broken != Some(MUTED)),
            Property::always(FORGED, |_, state: &State| state.broken != Some(FORGED)),
            Property::always(FOREIGN, |_, state: &State| state.broken != Some(FOREIGN)),
        ];
        let met: [Property<Self>; 8] = [
            Property::sometimes("opened", |_, state: &State| state.last == Some("opened")),
            Property::sometimes("replayed", |_, state: &State| state.last == Some("replayed")),
            Property::sometimes("out-of-window", |_, state: &State| state.last == Some("out-of-window")),
            Property::sometimes("before-start", |_, state: &State| state.last == Some("before-start")),
            Property::sometimes("expired", |_, state: &State| state.last == Some("expired")),
            Property::sometimes("from-the-future", |_, state: &State| state.last == Some("from-the-future")),
            Property::sometimes("forged", |_, state: &State| state.last == Some("forged")),
            Property::sometimes("unknown-ticket", |_, state: &State| state.last == Some("unknown-ticket")),
        ];
        properties.extend(met.into_iter().filter(|property| self.found.contains(&property.name)));
        properties
    }
}

/// When a ticket is over, in milliseconds after the start: each is given later than the one before.
const fn end(ticket: u8) -> u64 {
    END + 5_000 * ticket as u64
}

const TWICE: &str = "nothing is opened twice";
const LATE: &str = "nothing is opened once its ticket is over";
const EARLY: &str = "nothing is opened that is from the future";
const FORGED: &str = "nothing is opened that was forged";
const FOREIGN: &str = "no process opens what answers another one";
const MUTED: &str = "nobody is muted";

const START: UnixMillis = UnixMillis(1_766_059_200_000);
/// When the first ticket is over, in milliseconds after the start.
const END: u64 = 20_000;
/// By how many milliseconds a clock may be ahead.
const AHEAD: u64 = 5_000;
