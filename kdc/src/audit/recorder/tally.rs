//! How often the same thing happened, by who did it.

use std::collections::HashMap;
use std::net::IpAddr;

use keycell_protocol::{Correlation, UnixMillis};

use super::WINDOW_MS;
use crate::audit::{Action, Actor, Event, Outcome};

/// Something that happened, to be counted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Thing<'a> {
    pub(super) action: Action,
    pub(super) target: &'a str,
    pub(super) problem: &'a str,
    pub(super) rule: &'a str,
    /// The other zone, where it is about a border.
    pub(super) zone: &'a str,
    /// Who of the other zone asked.
    pub(super) source: &'a str,
    pub(super) correlation: Option<Correlation>,
}

impl<'a> Thing<'a> {
    /// Something at home that no rule decided.
    pub(super) const fn new(action: Action, target: &'a str, problem: &'a str) -> Self {
        Self { action, target, problem, rule: "", zone: "", source: "", correlation: None }
    }
}

/// How often, and from when to when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tally {
    pub(super) count: u64,
    pub(super) first_at: UnixMillis,
    pub(super) last_at: UnixMillis,
    pub(super) address: Option<IpAddr>,
    /// Of the last time.
    pub(super) correlation: Option<Correlation>,
}

impl Tally {
    /// Once.
    pub(super) const fn once(now: UnixMillis, address: Option<IpAddr>) -> Self {
        Self { count: 1, first_at: now, last_at: now, address, correlation: None }
    }

    pub(super) fn add(&mut self, other: &Self) {
        if self.count == 0 {
            *self = *other;
            return;
        }
        self.count = self.count.saturating_add(other.count);
        self.first_at = self.first_at.min(other.first_at);
        self.last_at = self.last_at.max(other.last_at);
        self.address = other.address.or(self.address);
        self.correlation = other.correlation.or(self.correlation);
    }

    /// What was counted; nothing is left.
    pub(super) const fn take(&mut self) -> Self {
        let taken = *self;
        self.count = 0;
        taken
    }
}

/// What a record will say.
#[derive(Debug, Clone)]
pub(super) struct Share {
    pub(super) actor: Actor,
    pub(super) what: What,
    pub(super) tally: Tally,
    /// The names that failed authentications claimed.
    pub(super) names: Vec<String>,
}

impl Share {
    pub(super) fn event(&self) -> Event {
        let Self { actor, what, tally, names } = self;
        let mut event = Event::new(tally.last_at, actor.clone(), what.action, what.target.clone())
            .with("count", tally.count)
            .with("first_at", tally.first_at.0)
            .with("last_at", tally.last_at.0);
        let texts = [
            ("problem", &what.problem),
            ("rule", &what.rule),
            ("zone", &what.zone),
            ("source", &what.source),
        ];
        for (name, value) in texts {
            if !value.is_empty() {
                event = event.with(name, value.as_str());
            }
        }
        if let Some(correlation) = tally.correlation {
            event = event.with("correlation", correlation.to_string());
        }
        if what.others {
            event = event.with("others", true);
        }
        if !names.is_empty() {
            event = event.with("names", names.clone());
        }
        event.address = tally.address;
        // What a monitored rule lets through is not refused.
        let outcome = if what.action == Action::TicketMonitor { Outcome::Done } else { Outcome::Denied };
        event.outcome(outcome)
    }
}

/// A [`Thing`] that is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct What {
    pub(super) action: Action,
    pub(super) target: String,
    pub(super) problem: String,
    pub(super) rule: String,
    pub(super) zone: String,
    pub(super) source: String,
    /// Not one thing, but all that there was no room to tell apart.
    pub(super) others: bool,
}

impl What {
    pub(super) const fn others(action: Action) -> Self {
        Self {
            action,
            target: String::new(),
            problem: String::new(),
            rule: String::new(),
            zone: String::new(),
            source: String::new(),
            others: true,
        }
    }

    fn is(&self, thing: &Thing<'_>) -> bool {
        // The zone is that of the target or of the source.
        self.action == thing.action
            && self.problem == thing.problem
            && self.rule == thing.rule
            && self.source == thing.source
    }
}

/// What happened, by who did it.
#[derive(Debug)]
pub(super) struct Tallies {
    actors: HashMap<Actor, Things>,
    /// Of actors for whom there was no room.
    others: Others,
    /// How many things are told apart, and the most that may be.
    size: usize,
    most: usize,
    /// How many of them were not written yet.
    fresh: usize,
}

/// How an addition went.
#[derive(Debug, Default)]
pub(super) struct Added {
    /// How many did not fit.
    pub(super) lost: u64,
    /// Whether it is time to write.
    pub(super) crowded: bool,
}

impl Tallies {
    pub(super) fn new(most: usize) -> Self {
        Self { actors: HashMap::new(), others: Others::new(), size: 0, most, fresh: 0 }
    }

    pub(super) fn add<'a>(
        &mut self,
        actor: &Actor,
        now: UnixMillis,
        address: Option<IpAddr>,
        things: impl Iterator<Item = Thing<'a>>,
    ) -> Added {
        let once = Tally::once(now, address);
        let before = self.fresh;
        let mut lost = 0;
        let mut room = self.most.saturating_sub(self.size);
        let mut known = match self.actors.get_mut(actor) {
            None if room > 0 => Some(self.actors.entry(actor.clone()).or_default()),
            known => known,
        };
        for thing in things {
            let others = match &mut known {
                Some(known) => {
                    let new = known.size < PER_ACTOR && room > 0;
                    match known.entry(&thing, new) {
                        Some(entry) => {
                            if entry.tally.count == 0 && entry.written_at.is_none() {
                                room -= 1;
                                self.size += 1;
                                self.fresh += 1;
                            }
                            entry.tally.add(&Tally { correlation: thing.correlation, ..once });
                            continue;
                        }
                        None => &mut known.others,
                    }
                }
                None => &mut self.others,
            };
            lost += 1;
            others_of(others, thing.action).tally.add(&once);
        }
        Added { lost, crowded: before < CROWD && self.fresh >= CROWD }
    }

    /// What is due, and everything if all is wanted; forgets what has not happened for a while.
    pub(super) fn take(&mut self, now: UnixMillis, everything: bool) -> Vec<Share> {
        let mut shares = Vec::new();
        self.fresh = 0;
        self.size = 0;
        self.actors.retain(|actor, known| {
            known.things.retain(|_, entries| {
                entries.retain_mut(|entry| entry.take(actor, now, everything, &mut shares));
                !entries.is_empty()
            });
            known.others.retain(|_, entry| entry.take(actor, now, everything, &mut shares));
            known.size = known.things.values().map(Vec::len).sum();
            self.size += known.size;
            known.size > 0 || !known.others.is_empty()
        });
        self.others.retain(|_, entry| entry.take(&Actor::Kdc, now, everything, &mut shares));
        shares
    }

    /// Counts again what could not be written. What was taken still has its place, until the next time.
    pub(super) fn give_back(&mut self, share: &Share) {
        let What { action, target, problem, rule, zone, source, others } = &share.what;
        let thing = Thing { rule, zone, source, ..Thing::new(*action, target, problem) };
        let entry = match self.actors.get_mut(&share.actor) {
            Some(known) if *others => others_of(&mut known.others, *action),
            Some(known) => match known.entry(&thing, false) {
                Some(entry) => entry,
                None => others_of(&mut self.others, *action),
            },
            None => others_of(&mut self.others, *action),
        };
        entry.tally.add(&share.tally);
        entry.written_at = None;
    }
}

/// What one actor did.
#[derive(Debug, Default)]
struct Things {
    /// By target.
    things: HashMap<String, Vec<Entry>>,
    size: usize,
    others: Others,
}

impl Things {
    /// The entry of a thing; made, if it may be.
    fn entry(&mut self, thing: &Thing<'_>, make: bool) -> Option<&mut Entry> {
        let found =
            self.things.get(thing.target).and_then(|all| all.iter().position(|entry| entry.what.is(thing)));
        if let Some(place) = found {
            return self.things.get_mut(thing.target)?.get_mut(place);
        }
        if !make {
            return None;
        }
        self.size += 1;
        let all = self.things.entry(thing.target.to_owned()).or_default();
        all.push(Entry::new(What {
            action: thing.action,
            target: thing.target.to_owned(),
            problem: thing.problem.to_owned(),
            rule: thing.rule.to_owned(),
            zone: thing.zone.to_owned(),
            source: thing.source.to_owned(),
            others: false,
        }));
        all.last_mut()
    }
}

/// One thing, and when it was last written.
#[derive(Debug)]
struct Entry {
    what: What,
    tally: Tally,
    written_at: Option<UnixMillis>,
}

impl Entry {
    const fn new(what: What) -> Self {
        let tally = Tally { count: 0, ..Tally::once(UnixMillis(0), None) };
        Self { what, tally, written_at: None }
    }

    /// Moves what is due into `shares`; false when there is nothing left to remember.
    fn take(&mut self, actor: &Actor, now: UnixMillis, everything: bool, shares: &mut Vec<Share>) -> bool {
        let due = self.written_at.is_none_or(|written| written.distance(now) >= WINDOW_MS);
        if self.tally.count == 0 {
            return !due;
        }
        if due || everything {
            let (actor, what, tally) = (actor.clone(), self.what.clone(), self.tally.take());
            shares.push(Share { actor, what, tally, names: Vec::new() });
            self.written_at = Some(now);
        }
        true
    }
}

fn others_of(others: &mut Others, action: Action) -> &mut Entry {
    others.entry(action).or_insert_with(|| Entry::new(What::others(action)))
}

/// By action.
type Others = HashMap<Action, Entry>;

/// So many things of one actor are told apart, so that one that is refused all the time does not take the room of others.
const PER_ACTOR: usize = 256;

/// With so many new things, it is time to write.
const CROWD: usize = 128;
