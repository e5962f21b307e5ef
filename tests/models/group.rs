//! The keys of a group from chain to chain: an administrator rotates them and removes a member, members ask in time, late or
//! not at all, and messages are as late as they like (docs/protocol.md §11).
//!
//! Real are the chains with their timetables and secrets, what the KDC seals with and what it gives to members, and the
//! members' openers. Who is removed opens what it can with the bare keys, all that it ever had, and writes tickets of its own
//! with them. The network carries everything everywhere: each state is looked at with every message and every member.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex};

use chacha20::ChaCha20Rng;
use keycell_client::{Keys, Opener, OpenerConfig, RestartGuard, Sealer};
use keycell_kdc::groups::{Group, GroupRecord, begin_chain};
use keycell_kdc::keyring::{Keyring, MasterKey};
use keycell_kdc::store::{SecretRecord, Write};
use keycell_protocol::{
    Epoch, Generation, Grant, HeldGroup, HeldKey, LongTermKey, Mode, Name, RatchetPeriod, Rkey, Ticket,
    Topic, UnixSeconds,
};
use rand_core::SeedableRng as _;
use stateright::{Model, Property};

use crate::{breaks, holds};

#[test]
fn a_member_that_is_removed_and_those_that_stay() {
    holds("group", Chains::new(None));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    let weak = |name, property, weakness| breaks(name, property, Chains::new(Some(weakness)));
    weak("group, a removal without a new chain", REMOVED, Weakness::NoNewChain);
    weak("group, members told that keys last for longer", FORGED, Weakness::KeysLastLonger);
    weak("group, members that ask a lifetime late", HELD, Weakness::AsksLate);
    weak("group, a chain that begins where the one before stands", ONE_KEY, Weakness::SameNumbers);
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    NoNewChain,
    KeysLastLonger,
    AsksLate,
    SameNumbers,
}

struct Chains {
    weakness: Option<Weakness>,
    keyring: Keyring,
    groups: Memo<Vec<u64>, Arc<Group>>,
    keys: Memo<Given, Arc<Vec<HeldKey>>>,
    prints: Memo<Given, Arc<Vec<(Generation, [u8; Ticket::SIZE])>>>,
    in_time: Memo<Given, bool>,
    tickets: Memo<Given, Option<(Ticket, UnixSeconds, Vec<u8>)>>,
    opened: Memo<(Given, Given, u64), &'static str>,
    forged: Memo<(Given, Given, u64), bool>,
    readable: Memo<(Given, Given), bool>,
}

/// What was worked out before: the same question has the same answer.
struct Memo<K, V>(Mutex<HashMap<K, V>>);

impl<K: Clone + Eq + Hash, V: Clone> Memo<K, V> {
    fn new() -> Self {
        Self(Mutex::default())
    }

    fn get(&self, asked: &K, answer: impl FnOnce() -> V) -> V {
        if let Some(known) = self.0.lock().unwrap().get(asked) {
            return known.clone();
        }
        let answer = answer();
        self.0.lock().unwrap().insert(asked.clone(), answer.clone());
        answer
    }
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

impl Chains {
    fn new(weakness: Option<Weakness>) -> Self {
        let mut random = ChaCha20Rng::seed_from_u64(1);
        let (keyring, _) = Keyring::create(MasterKey::generate(1, &mut random), &mut random);
        Self {
            weakness,
            keyring,
            groups: Memo::new(),
            keys: Memo::new(),
            prints: Memo::new(),
            in_time: Memo::new(),
            tickets: Memo::new(),
            opened: Memo::new(),
            forged: Memo::new(),
            readable: Memo::new(),
        }
    }

    /// The group whose chains began at these moments.
    fn group(&self, chains: &[u64]) -> Arc<Group> {
        self.groups.get(&chains.to_vec(), || {
            let mut secrets: Vec<SecretRecord> = Vec::new();
            let mut record = record();
            for (number, at) in chains.iter().enumerate() {
                let mut random = ChaCha20Rng::seed_from_u64(number as u64);
                let (next, writes) = begin_chain(record, instant(*at).millis(), &self.keyring, &mut random);
                record = next;
                secrets.extend(writes.into_iter().filter_map(|write| match write {
                    Write::AddSecret(secret) => Some(secret),
                    _ => None,
                }));
                if self.weakness == Some(Weakness::SameNumbers)
                    && let [.., before, last] = &mut record.chains[..]
                {
                    last.first = before.generation(last.begins_at);
                }
            }
            let secret = |version| secrets.iter().find(|secret| secret.version == version);
            Arc::new(Group::new(&record, &self.keyring, secret))
        })
    }

    fn keys(&self, given: &Given) -> Arc<Vec<HeldKey>> {
        self.keys.get(given, || {
            let mut keys = self.group(&given.chains).keys(instant(given.at)).unwrap();
            if self.weakness == Some(Weakness::KeysLastLonger) {
                keys.iter_mut().for_each(|held| held.ends = held.ends.plus(LIFETIME));
            }
            Arc::new(keys)
        })
    }

    /// The generations that were given, each with what only its key makes.
    fn prints(&self, given: &Given) -> Arc<Vec<(Generation, [u8; Ticket::SIZE])>> {
        self.prints.get(given, || {
            let random = || ChaCha20Rng::seed_from_u64(1);
            let print = |held: &HeldKey| {
                let (rkey, generation) = (Rkey::generate(&mut random()), held.key.generation());
                let ticket = Ticket::seal_for_group(&rkey, generation, &held.key.ticket_key(), &mut random());
                (generation, *ticket.as_bytes())
            };
            Arc::new(self.keys(given).iter().map(print).collect())
        })
    }

    /// When a member that was given keys asks again at the latest.
    fn refresh_at(&self, given: &Given) -> u64 {
        let at = self.refresh(given, u32::MAX);
        let late = if self.weakness == Some(Weakness::AsksLate) { LIFETIME } else { 0 };
        at + late
    }

    fn refresh(&self, given: &Given, random: u32) -> u64 {
        self.group(&given.chains).refresh_at(instant(given.at).millis(), random).seconds().0 - START.0
    }

    /// A ticket as the KDC gives one, and a message under it.
    fn ticket(&self, given: &Given) -> Option<(Ticket, UnixSeconds, Vec<u8>)> {
        self.tickets.get(given, || {
            let now = instant(given.at);
            let sealing = self.group(&given.chains).sealing(now)?;
            let mut random = ChaCha20Rng::seed_from_u64(given.at);
            let rkey = Rkey::generate(&mut random);
            let ticket = Ticket::seal_for_group(&rkey, sealing.generation, &sealing.key, &mut random);
            let end = now.plus(sealing.lifetime_seconds.into()).min(sealing.ends);
            Some((ticket, end, message(&rkey, ticket, end, now)))
        })
    }

    /// What comes of a message at a member.
    fn open(&self, held: &Given, message: &[u8], now: u64) -> &'static str {
        let config = OpenerConfig { restart_guard: RestartGuard::FirstUse, ..OpenerConfig::default() };
        let mut opener = Opener::new(name("b.h@z"), &config, START.millis());
        opener.hold(HeldGroup {
            group: name("g@z"),
            author_proof: false,
            refresh_at: START.millis(),
            spread: 0,
            keys: self.keys(held).to_vec(),
        });
        let key = LongTermKey::new(Generation(1), Epoch(1), [7; 32]);
        let mut keys = Keys::new(key, RatchetPeriod::DEFAULT);
        opener.open(&mut keys, instant(now).millis(), message).map_or_else(|cause| cause.code(), |_| "opened")
    }

    /// What comes of a message under a ticket of the KDC's at a member.
    fn opens(&self, held: &Given, given: &Given, now: u64) -> &'static str {
        self.opened.get(&(held.clone(), given.clone(), now), || match self.ticket(given) {
            Some((.., message)) => self.open(held, &message, now),
            None => "no-ticket",
        })
    }

    /// Whether a member opens anything that is written now with the keys that were given to another.
    fn is_fooled(&self, held: &Given, by: &Given, now: u64) -> bool {
        self.forged.get(&(held.clone(), by.clone(), now), || {
            self.keys(by).iter().any(|own| {
                let mut random = ChaCha20Rng::seed_from_u64(now);
                let rkey = Rkey::generate(&mut random);
                let key = own.key.ticket_key();
                let ticket = Ticket::seal_for_group(&rkey, own.key.generation(), &key, &mut random);
                // The sooner it ends the less is against it.
                let end = instant(now).plus(1);
                self.open(held, &message(&rkey, ticket, end, instant(now)), now) == "opened"
            })
        })
    }

    /// Whether the bare keys that were given open a ticket, whatever the time.
    fn is_readable(&self, by: &Given, given: &Given) -> bool {
        self.readable.get(&(by.clone(), given.clone()), || {
            let Some((ticket, ..)) = self.ticket(given) else { return false };
            self.keys(by).iter().any(|own| ticket.open(&own.key.ticket_key()).is_ok())
        })
    }

    /// Whether who holds what was given opens what is sealed until it asks again, if no other chain begins.
    fn is_in_time(&self, held: &Given) -> bool {
        self.in_time.get(held, || {
            (held.at..=self.refresh_at(held)).all(|at| {
                let sealing = self.group(&held.chains).sealing(instant(at)).unwrap();
                let seals =
                    |own: &HeldKey| own.key.generation() == sealing.generation && own.ends > instant(at);
                self.keys(held).iter().any(seals)
            })
        })
    }
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

fn record() -> GroupRecord {
    GroupRecord {
        name: name("g@z"),
        members: vec!["b.*@z".parse().unwrap()],
        excluded: std::collections::BTreeSet::default(),
        lifetime_seconds: u32::try_from(LIFETIME).unwrap(),
        author_proof: false,
        note: String::new(),
        created_at: START.millis(),
        updated_at: START.millis(),
        revision: 1,
        chains: Vec::new(),
    }
}

fn message(rkey: &Rkey, ticket: Ticket, expiration: UnixSeconds, now: UnixSeconds) -> Vec<u8> {
    let (from, to) = (name("a@z"), name("g@z"));
    let sek = rkey.sek(&from, &to, expiration);
    let (reply_sek, author_proof, renew_after) = (None, false, expiration);
    let grant = Grant { destination: to, expiration, renew_after, ticket, sek, reply_sek, author_proof };
    let mut sealer = Sealer::new(from, &grant, &mut ChaCha20Rng::seed_from_u64(now.0));
    sealer.seal(now.millis(), Mode::Sealed, Topic::try_from("t").unwrap(), b"x").unwrap()
}

fn instant(at: u64) -> UnixSeconds {
    START.plus(at)
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

const REMOVED: &str = "who was removed opens nothing under tickets given after that";
const FORGED: &str = "who was removed fools nobody for longer than §11.3 says";
const LATER: &str = "nothing is opened a lifetime after its ticket was given";
const HELD: &str = "a member that asks in time holds the key that seals";
const NOT_REFUSED: &str = "a message to the group opens, or waits for the key";
const ONE_KEY: &str = "no generation has two keys";

const START: UnixSeconds = UnixSeconds(1_766_059_200);
/// Seconds.
const LIFETIME: u64 = 60;
const LATE: u64 = 60;
const TICK: u64 = 20;
/// Until when anything is changed, and until when everything is looked at.
const BUSY: u64 = 60;
const HORIZON: u64 = 240;
const CHAINS: usize = 2;
const TICKETS: usize = 1;
/// How often the member asks that is late.
const ASKS: u8 = 1;
