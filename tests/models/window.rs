//! Messages of one sender to one receiver, over a network that loses, repeats, reorders and delays them, while both restart
//! and the receiver's clock is set back (docs/protocol.md §8.2).
//!
//! Real are the sealer, every byte of each message, and the opener with its keys, windows and restart guard. What an opener
//! has been through is kept as a list, and it is made anew from that for each step: so nothing that it remembers is left
//! out of a state.

mod bounds;

use std::collections::{BTreeSet, HashMap};

use chacha20::ChaCha20Rng;
use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard, Sealer};
use keycell_protocol::{
    Cause, Generation, Grant, LongTermKey, Mode, Name, RatchetPeriod, Rkey, Subkeys, Ticket, Topic,
    UnixMillis,
};
use rand_core::SeedableRng as _;
use stateright::{Model, Property};

use crate::memo::Memo;
use crate::{breaks, holds};
use bounds::{Bounds, EVENTS, Weakness};

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
    let bounds = Bounds {
        jumps: &[1, 1024],
        instants: &[0, 20_000],
        sends: 3,
        deliveries: 4,
        set_backs: 1,
        keeps_refusals: true,
        ..Bounds::LEAST
    };
    let found = ["opened", "replayed", "out-of-window", "expired"];
    holds("window, refusals", Messages::new(bounds, &found));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    let weak = |name, property, weakness| {
        breaks(name, property, Messages { weakness: Some(weakness), ..Messages::new(EVENTS, &[]) });
    };
    weak("window, no guard", TWICE, Weakness::NoGuard);
    weak("window, a guard that takes every clock to be right", TWICE, Weakness::GuardWithoutAhead);
    weak("window, a guard where nobody was before", MUTED, Weakness::GuardAtFirst);
    // What RestartGuard says that it relies on.
    weak("window, a clock that was set back before a restart", TWICE, Weakness::RestartsAfterSetBack);
}

struct Messages {
    bounds: Bounds,
    /// What is to be met.
    found: Vec<&'static str>,
    weakness: Option<Weakness>,
    key: LongTermKey,
    messages: HashMap<Message, Vec<u8>>,
    /// What came of opening: asked for again and again, and the same each time.
    known: Memo<(Run, Message, u64), Verdict>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Message {
    salt: u8,
    number: u64,
    sent: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    time: u64,
    /// By how much the receiver's clock is behind it.
    behind: u64,
    set_backs: u8,
    salt: u8,
    number: Option<u64>,
    sent: BTreeSet<Message>,
    deliveries: u8,
    run: Run,
    runs: u8,
    /// What earlier processes opened.
    earlier: BTreeSet<Message>,
    last: Option<Verdict>,
    broken: Option<&'static str>,
}

/// One process of the receiver, and what it has been through.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Run {
    is_first: bool,
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
    fn is_over(&self) -> bool {
        let first = self.past.iter().position(|past| matches!(past, Past::Opened(..)));
        let swept = self.past.iter().rposition(|past| matches!(past, Past::Swept(at) if *at >= END));
        first.zip(swept).is_some_and(|(first, swept)| first < swept)
    }
}

impl State {
    fn clock(&self) -> u64 {
        self.time.saturating_sub(self.behind)
    }

    /// What must never be, if this message was opened; what must not be either, if it was not.
    fn judge(&self, message: Message, opened: bool) -> Option<&'static str> {
        let Self { run, earlier, .. } = self;
        let clock = self.clock();
        let was_opened = earlier.contains(&message) || run.opened().any(|before| before == message);
        if opened {
            return match () {
                () if was_opened => Some(TWICE),
                () if clock >= END || run.is_over() => Some(LATE),
                () if message.sent > clock + AHEAD => Some(EARLY),
                () => None,
            };
        }
        let newest =
            run.opened().filter(|before| before.salt == message.salt).map(|before| before.number).max();
        let is_in_window = newest.is_none_or(|newest| newest <= message.number + 1_023);
        let is_in_time = message.sent <= clock + AHEAD && run.latest < END;
        let is_after_start = run.is_first || message.sent > run.started + AHEAD;
        (!was_opened && is_in_window && is_in_time && is_after_start).then_some(MUTED)
    }
}

impl Messages {
    fn new(bounds: Bounds, found: &[&'static str]) -> Self {
        let key = LongTermKey::new(Generation(1), RatchetPeriod::DEFAULT.epoch(START.seconds()), [7; 32]);
        let most = 1 + bounds.jumps.iter().max().unwrap() * (bounds.sends as u64 - 1);
        let mut messages = HashMap::new();
        for (instant, ahead) in
            bounds.instants.iter().flat_map(|at| bounds.aheads.iter().map(move |by| (at, by)))
        {
            for salt in 0..bounds.salts {
                let (sent, mut sealer) = (instant + ahead, sealer(&key.subkeys(), salt));
                messages.extend((0..most).map(|number| {
                    let (at, topic) = (START.plus(sent), Topic::try_from("t").unwrap());
                    (Message { salt, number, sent }, sealer.seal(at, Mode::Sealed, topic, b"x").unwrap())
                }));
            }
        }
        let (found, known) = (found.to_vec(), Memo::new());
        Self { bounds, found, weakness: None, key, messages, known }
    }

    fn guard(&self, run: &Run) -> RestartGuard {
        match self.weakness {
            Some(Weakness::NoGuard) => RestartGuard::Off,
            Some(Weakness::GuardWithoutAhead) if !run.is_first => {
                RestartGuard::Until(START.plus(run.started).minus(AHEAD))
            }
            Some(Weakness::GuardAtFirst) => RestartGuard::Start,
            _ if run.is_first => RestartGuard::FirstUse,
            _ => RestartGuard::Start,
        }
    }

    /// What the opener of this process makes of a message.
    fn open(&self, run: &Run, message: Message, clock: u64) -> Verdict {
        self.known.get((run.clone(), message, clock), || self.open_anew(run, message, clock))
    }

    fn open_anew(&self, run: &Run, message: Message, clock: u64) -> Verdict {
        let config = OpenerConfig { restart_guard: self.guard(run), ..OpenerConfig::default() };
        let mut opener = Opener::new(name("b@z"), &config, START.plus(run.started));
        let mut keys = Keys::new(self.key.clone(), RatchetPeriod::DEFAULT);
        let mut open = |opener: &mut Opener, message, at| {
            opener.open(&mut keys, START.plus(at), &self.messages[&message]).map(drop)
        };
        for past in &run.past {
            match *past {
                Past::Opened(message, at) => assert_eq!(open(&mut opener, message, at), Ok(())),
                Past::Refused(message, at) => assert!(open(&mut opener, message, at).is_err()),
                Past::Swept(at) => opener.sweep(START.plus(at)),
            }
        }
        open(&mut opener, message, clock).map_or_else(|cause: Cause| cause.code(), |()| "opened")
    }
}

impl Model for Messages {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let run = Run { is_first: true, started: 0, past: Vec::new(), latest: 0 };
        vec![State {
            time: 0,
            behind: 0,
            set_backs: 0,
            salt: 0,
            number: None,
            sent: BTreeSet::new(),
            deliveries: 0,
            run,
            runs: 1,
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
        let swept = matches!(state.run.past.last(), None | Some(Past::Swept(_)));
        if !swept && state.clock() >= END {
            actions.push(Action::Sweep);
        }
        let is_set_back = state.clock() < state.run.latest;
        if state.runs < bounds.runs && (!is_set_back || self.weakness == Some(Weakness::RestartsAfterSetBack))
        {
            actions.push(Action::Restart);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = State { last: None, ..last.clone() };
        match action {
            Action::Send { jump, ahead } => {
                let number = state.number.map_or(0, |number| number + jump);
                state.number = Some(number);
                state.sent.insert(Message { salt: state.salt, number, sent: state.time + ahead });
            }
            Action::SenderRestarts => (state.salt, state.number) = (state.salt + 1, None),
            Action::Passes => state.time = *self.bounds.instants.iter().find(|at| **at > state.time)?,
            Action::SetBack => (state.behind, state.set_backs) = (END, state.set_backs + 1),
            Action::SetRight => state.behind = 0,
            Action::Deliver(message) => {
                let clock = state.clock();
                let verdict = self.open(&state.run, message, clock);
                state.broken = state.judge(message, verdict == "opened");
                state.last = Some(verdict);
                state.deliveries += 1;
                if verdict == "opened" {
                    state.run.past.push(Past::Opened(message, clock));
                } else if self.bounds.keeps_refusals {
                    state.run.past.push(Past::Refused(message, clock));
                }
            }
            Action::Sweep => state.run.past.push(Past::Swept(state.clock())),
            Action::Restart => {
                state.earlier.extend(state.run.opened().collect::<Vec<_>>());
                state.runs += 1;
                let started = state.clock();
                state.run = Run { is_first: false, started, past: Vec::new(), latest: started };
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
        ];
        let met: [Property<Self>; 6] = [
            Property::sometimes("opened", |_, state: &State| state.last == Some("opened")),
            Property::sometimes("replayed", |_, state: &State| state.last == Some("replayed")),
            Property::sometimes("out-of-window", |_, state: &State| state.last == Some("out-of-window")),
            Property::sometimes("before-start", |_, state: &State| state.last == Some("before-start")),
            Property::sometimes("expired", |_, state: &State| state.last == Some("expired")),
            Property::sometimes("from-the-future", |_, state: &State| state.last == Some("from-the-future")),
        ];
        properties.extend(met.into_iter().filter(|property| self.found.contains(&property.name)));
        properties
    }
}

/// A sealer under the one ticket, with a salt of its own. The same number makes the same sealer: what one process wrote at one
/// moment, and would have written at another.
fn sealer(keys: &Subkeys, salt: u8) -> Sealer {
    let (a, b) = (name("a@z"), name("b@z"));
    let mut random = ChaCha20Rng::seed_from_u64(1);
    let rkey = Rkey::generate(&mut random);
    let expiration = START.plus(END).seconds();
    let grant = Grant {
        destination: b.clone(),
        expiration,
        renew_after: expiration,
        author_proof: false,
        sek: rkey.sek(&a, &b, expiration),
        reply_sek: None,
        ticket: Ticket::seal_for_party(&rkey, keys, &mut random),
    };
    Sealer::new(a, &grant, &mut ChaCha20Rng::seed_from_u64(100 + u64::from(salt)))
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

const TWICE: &str = "nothing is opened twice";
const LATE: &str = "nothing is opened once its ticket is over";
const EARLY: &str = "nothing is opened that is from the future";
const MUTED: &str = "nobody is muted";

const START: UnixMillis = UnixMillis(1_766_059_200_000);
/// When the ticket is over, in milliseconds after the start.
const END: u64 = 20_000;
/// By how many milliseconds a clock may be ahead.
const AHEAD: u64 = 5_000;
