//! The identities of a zone's KDC as a host knows them, while somebody has stolen the one that the KDC works with
//! (docs/protocol.md §10.5).
//!
//! Real are the bundles, how they are read, and which of them may take the place of which. That an answer is sealed by the
//! identity to which the host wrote, and that its bundle begins with that one, is taken as given: HPKE and the reading of
//! answers are not a part of this.

use std::collections::BTreeSet;

use keycell_protocol::{Bundle, IdentityEncryptionKey, IdentityName, KdcIdentity, SignerKey};
use stateright::{Model, Property};

use crate::memo::Memo;
use crate::{breaks, holds};

#[test]
fn a_thief_of_the_identity_in_use_keeps_no_host() {
    holds("identities", Identities::new(None));
}

#[test]
fn the_model_sees_what_the_rules_are_for() {
    for property in [LOST, BACK] {
        breaks("identities, any bundle is taken", property, Identities::new(Some(Weakness::TakesAny)));
    }
    // Whom the host does not know yet nothing protects: an administrator brings it the bundle.
    breaks(
        "identities, a host that slept through a recovery",
        STRANGER,
        Identities::new(Some(Weakness::Asleep)),
    );
}

/// Which rule is missing.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    TakesAny,
    /// What holds for hosts that know the next identity when one is stolen is expected of all.
    Asleep,
}

struct Identities {
    weakness: Option<Weakness>,
    known: Memo<[Vec<Identity>; 2], bool>,
}

/// One identity: its number, and whether its keys are the thief's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
struct Identity {
    number: u32,
    forged: bool,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct State {
    /// The one that the KDC works with; the next one is its secondary.
    works: u32,
    stolen: Option<u32>,
    /// Whether the host knew no identity after the one that was stolen.
    asleep: bool,
    /// The bundle of the host.
    host: Vec<Identity>,
    /// To whom it may have written: an answer may come when it knows better.
    asked: BTreeSet<Identity>,
    /// The highest that has answered it.
    answered: u32,
    /// Whether it ever took an answer of the thief.
    was_fooled: bool,
    broken: Option<&'static str>,
}

#[derive(Debug, Clone, PartialEq)]
enum Action {
    /// What the KDC answered with that identity, now or before.
    Answer(u32),
    Forge(Vec<Identity>),
    Steal,
    Recover,
}

impl State {
    /// To whom the host may write: what makes it go on to a later identity is not proved.
    fn may_write_to(&self, identity: Identity) -> bool {
        self.host.contains(&identity) && identity.number >= self.answered
    }

    /// Whether the thief can read what is written to that identity.
    fn is_thiefs(&self, identity: Identity) -> bool {
        identity.forged || self.stolen == Some(identity.number)
    }
}

impl Identities {
    fn new(weakness: Option<Weakness>) -> Self {
        Self { weakness, known: Memo::new() }
    }

    fn accepts(&self, host: &[Identity], later: &[Identity]) -> bool {
        if self.weakness == Some(Weakness::TakesAny) {
            return true;
        }
        self.known.get([host.to_vec(), later.to_vec()], || {
            let read = |identities| Bundle::from_json(&bundle(identities).to_json());
            read(later).is_ok_and(|later| read(host).unwrap().accepts(&later).is_ok())
        })
    }

    /// The host takes an answer, or does not.
    fn take(&self, state: &mut State, later: &[Identity], by_thief: bool) {
        let Some(&first) = later.first() else { return };
        if !state.asked.contains(&first) || !self.accepts(&state.host, later) {
            return;
        }
        let is_expected = !state.asleep || self.weakness == Some(Weakness::Asleep);
        let before = std::mem::replace(&mut state.host, later.to_vec());
        state.answered = state.answered.max(first.number);
        let asked: Vec<_> = later.iter().filter(|identity| state.may_write_to(**identity)).collect();
        state.asked.extend(asked);
        state.was_fooled |= by_thief;
        let lost = |identity: &Identity| identity.number > first.number && !later.contains(identity);
        state.broken = match () {
            () if first.number < before.first().map_or(0, |first| first.number) => Some(BACK),
            () if !is_expected => None,
            () if before.iter().any(|identity| !identity.forged && lost(identity)) => Some(LOST),
            () if later.iter().any(|identity| identity.forged) => Some(STRANGER),
            () => None,
        };
    }
}

impl Model for Identities {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        let host = published(1);
        let (stolen, asleep, was_fooled) = (None, false, false);
        let asked = host.iter().copied().collect();
        vec![State { works: 1, stolen, asleep, host, asked, answered: 0, was_fooled, broken: None }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.broken.is_some() {
            return;
        }
        actions.extend((1..=state.works).map(Action::Answer));
        for first in state.asked.iter().filter(|first| state.is_thiefs(**first)) {
            // Whatever it can put together of what is public and of its own.
            let any = (1..=RECOVERIES + 2)
                .flat_map(|number| [false, true].map(|forged| Identity { number, forged }));
            let any: Vec<_> = any.filter(|other| other.forged || other.number <= state.works + 1).collect();
            actions.push(Action::Forge(vec![*first]));
            actions.extend(any.iter().map(|second| Action::Forge(vec![*first, *second])));
            let pairs = any.iter().flat_map(|second| any.iter().map(|third| vec![*first, *second, *third]));
            actions.extend(pairs.map(Action::Forge));
        }
        if state.stolen.is_none() {
            actions.push(Action::Steal);
        }
        if state.works <= RECOVERIES {
            actions.push(Action::Recover);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        match action {
            Action::Answer(by) => self.take(&mut state, &published(by), false),
            Action::Forge(later) => self.take(&mut state, &later, true),
            Action::Steal => {
                state.stolen = Some(state.works);
                state.asleep = !state.host.contains(&Identity { number: state.works + 1, forged: false });
            }
            Action::Recover => state.works += 1,
        }
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always(LOST, |_, state: &State| state.broken != Some(LOST)),
            Property::always(BACK, |_, state: &State| state.broken != Some(BACK)),
            Property::always(STRANGER, |_, state: &State| state.broken != Some(STRANGER)),
            Property::always("an honest answer is taken", |model: &Self, state: &State| {
                let works = Identity { number: state.works, forged: false };
                // Who slept through two recoveries knows nobody that answers.
                !state.may_write_to(works) || state.asleep || state.broken.is_some() || {
                    let mut after = state.clone();
                    model.take(&mut after, &published(state.works), false);
                    after.host == published(state.works)
                }
            }),
            Property::always("who knew the secondary finds the KDC after a recovery", |_, state: &State| {
                let recovered = state.stolen.is_some_and(|stolen| state.works == stolen + 1);
                let works = Identity { number: state.works, forged: false };
                !recovered || state.asleep || state.broken.is_some() || state.may_write_to(works)
            }),
            Property::sometimes("an answer may come of an identity that was replaced", |_, state: &State| {
                state.asked.iter().any(|identity| identity.number < state.answered)
            }),
            Property::sometimes("a thief is heard", |_, state: &State| state.was_fooled),
            Property::sometimes("a host is where the KDC is after the last recovery", |_, state: &State| {
                state.was_fooled && state.host == published(RECOVERIES + 1)
            }),
        ]
    }
}

/// What the KDC publishes while it works with an identity.
fn published(works: u32) -> Vec<Identity> {
    [works, works + 1].map(|number| Identity { number, forged: false }).to_vec()
}

fn bundle(identities: &[Identity]) -> Bundle {
    let identity = |&Identity { number, forged }: &Identity| {
        let key = u8::try_from(number).unwrap() + if forged { 100 } else { 0 };
        KdcIdentity {
            name: IdentityName::new(number).unwrap(),
            signing_key: SignerKey::new([key; 32]),
            encryption_key: IdentityEncryptionKey([key; IdentityEncryptionKey::SIZE]),
        }
    };
    Bundle {
        zone: "z".parse().unwrap(),
        urls: vec!["https://kdc.example".to_owned()],
        tls_roots: String::new(),
        identities: identities.iter().map(identity).collect(),
        trusted: Vec::new(),
    }
}

const LOST: &str = "no host loses the identity that will replace the stolen one";
const BACK: &str = "no host goes back";
const STRANGER: &str = "no host takes an identity of the thief's";

const RECOVERIES: u32 = 2;
