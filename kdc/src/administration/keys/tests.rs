//! Whatever happens in whatever order, a party and its KDC have a key in common.

use keycell_protocol::{AuthorPublicKey, Epoch, Generation, LongTermKey, Name, UnixMillis};
use proptest::prelude::*;

use super::states::{Activated, Refused, States};
use crate::keyring::{Keyring, Life, MasterKey, Standing};
use crate::store::{KeyState, PartyRecord};

/// What may happen.
#[derive(Debug, Clone)]
enum Step {
    /// The party stages. Its answer may be lost.
    Stage { lost: bool },
    /// It stores what it was given. It may die before.
    Store,
    /// It commits what it stored. The answer may be lost.
    Commit { lost: bool },
    /// It dies, and comes back with what it stored.
    Crash,
    /// An administrator asks for a new key.
    Ask,
    /// An administrator hands out a key, which gets to the party.
    Replace { erase: bool },
    /// An administrator disables and enables the party.
    Revoke,
    /// Time passes, and perhaps somebody tidies.
    Wait { seconds: u64, tidy: bool },
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => any::<bool>().prop_map(|lost| Step::Stage { lost }),
        4 => Just(Step::Store),
        4 => any::<bool>().prop_map(|lost| Step::Commit { lost }),
        2 => Just(Step::Crash),
        1 => Just(Step::Ask),
        1 => any::<bool>().prop_map(|erase| Step::Replace { erase }),
        1 => Just(Step::Revoke),
        3 => (0..200_000_u64, any::<bool>()).prop_map(|(seconds, tidy)| Step::Wait { seconds, tidy }),
    ]
}

/// A party with what it holds, and the KDC's record of it.
struct World {
    keyring: Keyring,
    record: PartyRecord,
    last: Generation,
    now: UnixMillis,
    /// What is on the party's disk: the key that it uses, and the next one.
    active: LongTermKey,
    stored: Option<LongTermKey>,
    /// What is in its memory only.
    fetched: Option<LongTermKey>,
}

impl World {
    fn new() -> Self {
        let mut random = crate::random::system();
        let (keyring, _) = Keyring::create(MasterKey::generate(1, &mut random), &mut random);
        let name: Name = "a@z".parse().unwrap();
        let now = UnixMillis(1_767_268_800_000);
        let active = LongTermKey::generate(Generation::FIRST, Epoch(20_454), &mut random);
        let sealed = keyring.seal_key(&name, Standing::NEW, &active, Life::active(now), &mut random);
        let record = PartyRecord { keys: vec![sealed], ..PartyRecord::new(name, now) };
        let last = Generation::FIRST;
        Self { keyring, record, last, now, active, stored: None, fetched: None }
    }

    fn states(&self) -> States<'_> {
        let skew_ms = 100;
        States { keyring: &self.keyring, now: self.now, epoch: Epoch(20_454), retire_ms: 1_020_000, skew_ms }
    }

    fn take(&mut self, step: &Step) {
        let mut random = crate::random::system();
        let mut record = self.record.clone();
        let states = self.states();
        states.expire(&mut record);
        match step {
            Step::Stage { lost } => {
                match states.stage(&mut record, self.active.generation(), self.last, None, &mut random) {
                    Ok(next) => {
                        assert!(next.key.generation() > self.active.generation());
                        self.last = self.last.max(next.key.generation());
                        if !lost {
                            self.fetched = Some(next.key);
                        }
                    }
                    Err(Refused::TooSoon(wait)) => assert!(!wait.is_zero() && wait.as_secs() <= 1020),
                    // Its commit was done, and the answer lost.
                    Err(Refused::Superseded) => assert!(self.stored.is_some()),
                    // The same, and the old key has ended since; it holds the new one on its disk.
                    Err(Refused::Unknown) => assert!(self.stored.is_some()),
                    Err(error) => panic!("{error:?}"),
                }
            }
            Step::Store => {
                if let Some(key) = self.fetched.take() {
                    self.stored = Some(key);
                }
            }
            Step::Commit { lost } => {
                let Some(next) = self.stored.clone() else { return };
                match states.activate(&mut record, next.generation(), &mut random) {
                    Ok(Activated::Now { .. } | Activated::Already) => {
                        if !lost {
                            (self.active, self.stored) = (next, None);
                        }
                    }
                    // It waited too long, or an administrator wanted another one.
                    Err(Refused::Unknown) => self.stored = None,
                    Err(error) => panic!("{error:?}"),
                }
            }
            Step::Crash => self.fetched = None,
            Step::Ask => record.rotate_after = Some(self.now),
            Step::Replace { erase } => {
                let made = states.replace(&mut record, None, self.last, *erase, &mut random).unwrap();
                self.last = made.key.generation();
                (self.active, self.stored, self.fetched) = (made.key, None, None);
            }
            Step::Revoke => {
                self.keyring.set_enabled(&mut record, false, &mut random).unwrap();
                self.keyring.set_enabled(&mut record, true, &mut random).unwrap();
            }
            Step::Wait { seconds, tidy } => {
                self.now = self.now.plus(seconds * 1000);
                if !tidy {
                    return;
                }
                let states = self.states();
                states.expire(&mut record);
            }
        }
        self.record = record;
    }

    /// The party can go on: a key on its disk is the active one, or staged and about to be.
    fn check(&self) {
        let of = |key: &LongTermKey| self.record.keys.iter().find(|row| row.generation == key.generation());
        let lasts = |row: &&crate::store::KeyRecord| row.ends_at.is_none_or(|end| self.now < end);
        let usable = |key: &LongTermKey| {
            of(key).filter(lasts).is_some_and(|row| {
                let opened = self.keyring.open_key(&self.record, row).unwrap();
                assert_eq!(opened.expose_secret(), key.expose_secret());
                row.state == KeyState::Active
            })
        };
        assert!(
            usable(&self.active) || self.stored.as_ref().is_some_and(usable),
            "no key in common: {:?} of {:?}",
            self.active,
            self.record.keys
        );
        let count = |state| self.record.keys.iter().filter(|row| row.state == state).count();
        assert_eq!(count(KeyState::Active), 1);
        assert!(count(KeyState::Staged) <= 1);
        for row in &self.record.keys {
            let ends = matches!(row.state, KeyState::Staged | KeyState::Retiring);
            assert_eq!(row.ends_at.is_some(), ends, "{row:?}");
            assert!(row.generation <= self.last);
        }
        let mut generations: Vec<_> = self.record.keys.iter().map(|row| row.generation).collect();
        generations.sort_unstable();
        generations.dedup();
        assert_eq!(generations.len(), self.record.keys.len());
    }
}

/// A host that enrolls again and never uses the key that it made keeps nobody from asking for another one.
#[test]
fn what_an_administrator_wants_replaced_is_not_waited_for() {
    let mut world = World::new();
    let random = &mut crate::random::system();
    let mut record = world.record.clone();
    let enrolled = LongTermKey::generate(Generation(2), Epoch(20_454), random);
    let author = AuthorPublicKey::new([7; 32]);
    world.states().enroll(&mut record, &enrolled, author, random).unwrap();
    let mut enrollment = crate::enrollment::record::tests::record("nanoprobe", "web1", [7; 32]);
    enrollment.generation = Generation(2);
    record.enrollment = Some(Box::new(enrollment));
    world.now = world.now.plus(1);
    let stage = |world: &World, record: &mut PartyRecord| {
        let apart = record.enrollment.as_ref().map(|enrollment| enrollment.generation);
        world.states().stage(record, Generation::FIRST, Generation(2), apart, &mut crate::random::system())
    };
    assert!(matches!(stage(&world, &mut record), Err(Refused::Apart(_))));
    record.rotate_after = Some(world.now);
    let next = stage(&world, &mut record).unwrap();
    assert_eq!((next.key.generation(), next.erased), (Generation(3), vec![Generation(2)]));
    assert!(next.fresh);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn a_party_and_its_kdc_always_have_a_key_in_common(steps in prop::collection::vec(step(), 1..60)) {
        let mut world = World::new();
        for step in &steps {
            world.take(step);
            world.check();
        }
    }
}
