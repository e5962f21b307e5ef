//! One group, as the path of a ticket sees it.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keycell_protocol::{Generation, HeldKey, Name, RatchetError, TicketKey, UnixMillis, UnixSeconds};

use super::turning::Turning;
use super::{Chain, GroupRecord};
use crate::keyring::{Keyring, KeyringError};
use crate::policy::ClassSlot;
use crate::store::SecretRecord;

/// A group with the secrets of its chains unwrapped.
#[derive(Debug)]
pub struct Group {
    record: GroupRecord,
    /// Those that are at hand, in their order.
    chains: Vec<Held>,
    class: ClassSlot,
    /// How many members there are; [`NOT_COUNTED`] before the first time.
    members: AtomicU64,
}

#[derive(Debug)]
struct Held {
    chain: Chain,
    turning: Mutex<Turning>,
}

/// What seals a group's tickets at a moment.
pub struct Sealing {
    /// The key's generation.
    pub generation: Generation,
    /// What seals.
    pub key: TicketKey,
    /// For how many seconds a ticket may last.
    pub lifetime_seconds: u32,
    /// When no ticket under it may be good any more.
    pub ends: UnixSeconds,
}

impl Group {
    /// A group as its record describes it, with the secrets of its chains as `secret` finds them by their versions. One that
    /// does not unwrap is told of, and left out: without the last one the group is out of service.
    #[must_use]
    pub fn new<'a>(
        record: &GroupRecord,
        keyring: &Keyring,
        secret: impl Fn(u32) -> Option<&'a SecretRecord>,
    ) -> Self {
        let held = |chain: &Chain| {
            let opened = match secret(chain.version) {
                Some(found) => super::secret::open(keyring, found),
                // Erased when nothing was on its way under it any more.
                None if chain.ended_at.is_some() => return None,
                None => {
                    let row = format!("secret {}", super::secret_name(&record.name, chain.version));
                    Err(KeyringError::Damaged { row })
                }
            };
            match opened {
                // An old row of the same number would open: it began earlier.
                Ok(secret) if secret.generation() >= chain.first => {
                    Some(Held { chain: *chain, turning: Mutex::new(Turning::new(secret)) })
                }
                Ok(_) => {
                    tracing::error!(group = %record.name, version = chain.version, "the secret of a group's keys is of another chain");
                    None
                }
                Err(error) => {
                    tracing::error!(group = %record.name, version = chain.version, %error, "the secret of a group's keys does not unwrap");
                    None
                }
            }
        };
        let chains: Vec<_> = record.chains.iter().filter_map(held).collect();
        let group = Self {
            record: record.clone(),
            chains,
            class: ClassSlot::default(),
            members: AtomicU64::new(NOT_COUNTED),
        };
        if group.in_force().is_none() {
            tracing::error!(
                group = %record.name,
                "a group is out of service: rotate it with `keycell group rotate`, or restore a backup"
            );
        }
        group
    }

    /// Its full name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.record.name
    }

    /// What the database has of it.
    #[must_use]
    pub const fn record(&self) -> &GroupRecord {
        &self.record
    }

    /// Where the policy keeps the class of its name.
    pub(crate) const fn class(&self) -> &ClassSlot {
        &self.class
    }

    /// Whether its keys are at hand.
    #[must_use]
    pub fn is_in_service(&self) -> bool {
        self.in_force().is_some()
    }

    /// Whether the chain in force took another's place, and still seals with its first key: a member that asks now comes for
    /// it, because of a message or since it was time.
    #[must_use]
    pub fn is_renewed(&self, now: UnixSeconds) -> bool {
        let first = |chain: &Chain| chain.generation(now) == chain.first;
        self.record.chains.len() > 1 && self.record.chain().is_some_and(first)
    }

    /// What seals its tickets; `None` where its keys are not at hand.
    #[must_use]
    pub fn sealing(&self, now: UnixSeconds) -> Option<Sealing> {
        let Held { chain, turning } = self.in_force()?;
        let mut turning = lock(turning);
        let window = Window::of(chain, &turning, now)?;
        let generation = window.current;
        let keys = turning.keys(window.first, window.last).ok()?;
        let key = keys.iter().find(|ready| ready.key.generation() == generation)?.tickets.clone();
        let lifetime_seconds = chain.lifetime_seconds;
        Some(Sealing { generation, key, lifetime_seconds, ends: chain.ends(generation) })
    }

    /// The keys that a member is given: those that still open, the one in use, the next one (docs/protocol.md §11). `None`
    /// where its keys are not at hand.
    #[must_use]
    pub fn keys(&self, now: UnixSeconds) -> Option<Vec<HeldKey>> {
        self.in_force()?;
        let mut given = Vec::new();
        for Held { chain, turning } in &self.chains {
            let mut turning = lock(turning);
            // Of a chain that is over there is none.
            let Some(window) = Window::of(chain, &turning, now) else { continue };
            let keys = turning.keys(window.first, window.last);
            let in_force = chain.ended_at.is_none();
            match keys {
                Ok(keys) => given.extend(keys.iter().map(|ready| {
                    let generation = ready.key.generation();
                    // What seals now has begun, also where the clock was set back.
                    let begins = chain.begins(generation);
                    let begins = if generation <= window.current { begins.min(now) } else { begins };
                    HeldKey { key: ready.key.clone(), begins, ends: chain.ends(generation) }
                })),
                Err(_) if in_force => return None,
                Err(_) => {}
            }
        }
        Some(given)
    }

    /// When a member is to ask again: within the time in which the next key seals, which it holds by now, and the one after
    /// that is there already. `random` decides when.
    #[must_use]
    pub fn refresh_at(&self, now: UnixMillis, random: u32) -> UnixMillis {
        let Some(chain) = self.record.chain() else { return now };
        let seals = u64::from(chain.lifetime_seconds) * 1000;
        let current = chain.generation(now.seconds());
        let next = chain.begins(Generation(current.0.saturating_add(1))).millis();
        // A clock that was set back does not keep anybody away for longer.
        let next = next.min(now.plus(seals));
        let part = (seals * 8 / 10).saturating_mul(u64::from(random)) >> 32;
        next.plus(seals / 10 + part)
    }

    /// Over how many milliseconds members spread themselves who meet a key that they do not have, so that they make at most
    /// `per_second` requests; never over more than half of the time for which a key seals. `parties` is how many there may
    /// be while nobody has counted.
    #[must_use]
    pub fn spread(&self, per_second: u32, parties: usize) -> u64 {
        let members = match self.members.load(Ordering::Relaxed) {
            NOT_COUNTED => parties as u64,
            members => members,
        };
        let most = u64::from(self.record.chain().map_or(0, |chain| chain.lifetime_seconds)) * 500;
        (members.saturating_mul(1000) / u64::from(per_second.max(1))).min(most)
    }

    /// Notes how many members there are.
    pub(crate) fn count(&self, members: u64) {
        self.members.store(members, Ordering::Relaxed);
    }

    /// How many members there were when that was last counted.
    #[must_use]
    pub fn members(&self) -> Option<u64> {
        Some(self.members.load(Ordering::Relaxed)).filter(|members| *members != NOT_COUNTED)
    }

    /// Turns its secrets in memory: nothing is derived any more of what was over at that moment, which must be certain.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`]: the group was not turned for years.
    pub(crate) fn turn(&self, over: UnixSeconds) -> Result<(), RatchetError> {
        for Held { chain, turning } in &self.chains {
            lock(turning).turn(chain.oldest(over))?;
        }
        Ok(())
    }

    /// The generation that the secret of that chain is turned to in memory.
    #[must_use]
    pub fn turned(&self, version: u32) -> Option<Generation> {
        let held = self.chains.iter().find(|held| held.chain.version == version)?;
        Some(lock(&held.turning).generation())
    }

    fn in_force(&self) -> Option<&Held> {
        let version = self.record.chain()?.version;
        self.chains.last().filter(|held| held.chain.version == version)
    }
}

/// Which generations of a chain are handed out.
struct Window {
    first: Generation,
    current: Generation,
    last: Generation,
}

impl Window {
    fn of(chain: &Chain, turning: &Turning, now: UnixSeconds) -> Option<Self> {
        let turned = turning.generation();
        // A clock that is behind what has turned already was wrong then or is now: there is nothing earlier to be had, and a
        // group that stands still would be worse.
        let at = if chain.ended_at.is_none() { now.max(chain.begins(turned)) } else { now };
        let given = chain.given(at);
        let mut had = given.into_iter().filter(|generation| *generation >= turned);
        let first = had.next()?;
        let last = had.next_back().unwrap_or(first);
        Some(Self { first, current: chain.generation(at), last })
    }
}

fn lock(turning: &Mutex<Turning>) -> std::sync::MutexGuard<'_, Turning> {
    turning.lock().unwrap_or_else(PoisonError::into_inner)
}

const NOT_COUNTED: u64 = u64::MAX;
