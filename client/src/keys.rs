//! The long-term keys of one party, and their subkeys at the epochs that matter now (docs/protocol.md §4).

mod kept;

use core::fmt;
use std::sync::Arc;

use keycell_protocol::{
    Cause, Epoch, Generation, KeysFor, LongTermKey, Purpose, RatchetError, RatchetPeriod, RatchetedKey,
    Subkeys, UnixMillis, UnixSeconds,
};

use crate::keyfile::{AgentKey, RetiringKey};

/// Holds one party's long-term keys: the active one, and during a rotation the next and the ones before.
///
/// Messages open under each of them. Subkeys are at hand for the epoch of the clock and its two neighbours only.
pub struct Keys {
    period: RatchetPeriod,
    active: RatchetedKey,
    staged: Option<RatchetedKey>,
    /// Newest first.
    retiring: Vec<Retiring>,
    /// Which of them requests are signed with: the active one, unless no KDC knows that.
    speaker: Generation,
    /// How many of them were refused since one was accepted.
    refused: usize,
}

struct Retiring {
    key: RatchetedKey,
    until: UnixSeconds,
    /// By the KDC, with all that it had: it opens messages, and is good for nothing else.
    erased: bool,
}

impl Keys {
    /// One key, whose epochs last `period`.
    #[must_use]
    pub const fn new(key: LongTermKey, period: RatchetPeriod) -> Self {
        let speaker = key.generation();
        let active = RatchetedKey::new(key);
        Self { period, active, staged: None, retiring: Vec::new(), speaker, refused: 0 }
    }

    /// Adds a key. One of a later generation is the active one from now on, and the one before goes on opening messages
    /// until it is [removed](Self::remove); one of the same generation is replaced.
    pub fn add(&mut self, key: LongTermKey) {
        let key = RatchetedKey::new(key);
        if key.generation() < self.active.generation() {
            self.retire(Retiring { key, until: UnixSeconds(u64::MAX), erased: false });
        } else {
            self.replace(key, UnixSeconds(u64::MAX));
        }
    }

    /// Drops the key of a generation that the KDC no longer uses. The last key that requests may be signed with stays.
    pub fn remove(&mut self, generation: Generation) {
        if generation != self.active.generation() {
            self.retiring.retain(|old| old.key.generation() != generation);
            self.staged.take_if(|staged| staged.generation() == generation);
        } else if let Some(at) = self.retiring.iter().position(|old| !old.erased) {
            self.active = self.retiring.remove(at).key;
        }
        self.speak_again();
    }

    /// The subkeys to speak to the KDC with, at the epoch of `now`.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`] when the clock is centuries ahead.
    pub fn current(&mut self, now: UnixMillis) -> Result<Arc<Subkeys>, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        let speaker = self.speaker;
        self.generation(speaker).ok_or(RatchetError::EndOfTime)?.current(clock)
    }

    /// The keys to ask for something else than tickets with, at the epoch of `now`.
    pub(crate) fn asking<P: Purpose>(&mut self, now: UnixMillis) -> Result<KeysFor<P>, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        let speaker = self.speaker;
        let key = self.generation(speaker).ok_or(RatchetError::EndOfTime)?;
        key.keys_for(clock.max(key.epoch()), clock)
    }

    /// The subkeys of the generation and epoch that a ticket names.
    ///
    /// # Errors
    /// [`Cause::NoKey`] when the generation is not held, or the epoch is neither that of `now` nor next to it, or
    /// lies before the key: nobody steps back.
    pub fn named(
        &mut self,
        now: UnixMillis,
        generation: Generation,
        epoch: Epoch,
    ) -> Result<Arc<Subkeys>, Cause> {
        let no_key = Cause::NoKey { generation, epoch };
        let clock = self.period.epoch(now.seconds());
        self.generation(generation).ok_or(no_key)?.at(epoch, clock).map_err(|_| no_key)
    }

    /// Something authentic was sealed at `epoch`: erases the keys that are past the overlap of one epoch.
    ///
    /// Only then, because the clock alone may be wrong, and a ratchet does not turn back.
    pub fn confirm(&mut self, generation: Generation, epoch: Epoch) {
        if let Some(held) = self.generation(generation) {
            held.confirm(epoch);
        }
    }

    fn generation(&mut self, generation: Generation) -> Option<&mut RatchetedKey> {
        self.all().find(|held| held.generation() == generation)
    }

    fn all(&mut self) -> impl Iterator<Item = &mut RatchetedKey> {
        let old = self.retiring.iter_mut().map(|old| &mut old.key);
        core::iter::once(&mut self.active).chain(&mut self.staged).chain(old)
    }

    fn retire(&mut self, key: Retiring) {
        self.retiring.retain(|old| old.key.generation() != key.key.generation());
        self.retiring.push(key);
        self.retiring.sort_by_key(|old| core::cmp::Reverse(old.key.generation()));
    }

    /// Makes `key` the active one. The one before opens messages `until` then.
    fn replace(&mut self, key: RatchetedKey, until: UnixSeconds) {
        let generation = key.generation();
        self.staged.take_if(|staged| staged.generation() <= generation);
        let before = core::mem::replace(&mut self.active, key);
        if before.generation() < generation {
            self.retire(Retiring { key: before, until, erased: false });
        }
        self.speak_again();
    }

    /// Requests are signed with the active key.
    fn speak_again(&mut self) {
        self.speaker = self.active.generation();
        self.refused = 0;
    }
}

impl From<AgentKey> for Keys {
    /// All keys of a key file.
    fn from(file: AgentKey) -> Self {
        let AgentKey {
            name: _,
            key,
            ratchet_period,
            kdc: _,
            staged,
            retiring,
            author: _,
            signers: _,
            trusted: _,
        } = file;
        let mut keys = Self::new(key, ratchet_period);
        keys.staged = staged.map(RatchetedKey::new);
        for RetiringKey { key, until, erased } in retiring {
            keys.retire(Retiring { key: RatchetedKey::new(key), until, erased });
        }
        keys
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, active, staged, retiring, speaker, refused: _ } = self;
        let retiring: Vec<_> = retiring.iter().map(|old| &old.key).collect();
        f.debug_struct("Keys")
            .field("period", period)
            .field("active", active)
            .field("staged", staged)
            .field("retiring", &retiring)
            .field("speaker", speaker)
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: u64 = 86_400_000;

    fn keys() -> Keys {
        Keys::new(LongTermKey::new(Generation(2), Epoch(100), [7; 32]), RatchetPeriod::DEFAULT)
    }

    fn day(n: u64) -> UnixMillis {
        UnixMillis(n * DAY + DAY / 2)
    }

    fn named(keys: &mut Keys, now: u64, generation: u32, epoch: u32) -> Result<Epoch, Cause> {
        keys.named(day(now), Generation(generation), Epoch(epoch)).map(|subkeys| subkeys.epoch)
    }

    #[test]
    fn only_the_neighbours_of_now_are_derived() {
        let mut keys = keys();
        for epoch in [104, 105, 106] {
            assert_eq!(named(&mut keys, 105, 2, epoch), Ok(Epoch(epoch)));
        }
        for epoch in [0, 100, 103, 107, u32::MAX] {
            let cause = Cause::NoKey { generation: Generation(2), epoch: Epoch(epoch) };
            assert_eq!(named(&mut keys, 105, 2, epoch), Err(cause));
        }
        assert!(named(&mut keys, 105, 1, 105).is_err() && named(&mut keys, 105, 3, 105).is_err());
        assert!(named(&mut keys, 200, 2, 200).is_ok());
    }

    #[test]
    fn nothing_is_erased_before_something_authentic_was_seen() {
        let mut keys = keys();
        assert_eq!(keys.current(day(9_000)).unwrap().epoch, Epoch(9_000));
        assert_eq!(keys.current(day(101)).unwrap().epoch, Epoch(101));
        keys.confirm(Generation(2), Epoch(105));
        assert_eq!(keys.active.epoch(), Epoch(104));
        assert!(named(&mut keys, 105, 2, 104).is_ok());
        assert!(named(&mut keys, 103, 2, 103).is_err());
        // An older proof does not turn anything back.
        keys.confirm(Generation(2), Epoch(102));
        assert_eq!(keys.active.epoch(), Epoch(104));
    }

    #[test]
    fn a_clock_behind_the_key_is_not_believed() {
        assert_eq!(keys().current(day(3)).unwrap().epoch, Epoch(100));
        assert_eq!(named(&mut keys(), 3, 2, 100), Ok(Epoch(100)));
        assert!(named(&mut keys(), 3, 2, 99).is_err());
    }

    #[test]
    fn the_newest_generation_speaks() {
        let mut keys = keys();
        keys.add(LongTermKey::new(Generation(3), Epoch(100), [8; 32]));
        keys.add(LongTermKey::new(Generation(1), Epoch(100), [9; 32]));
        assert_eq!(keys.current(day(100)).unwrap().generation, Generation(3));
        assert!((1..=3).all(|generation| named(&mut keys, 100, generation, 100).is_ok()));
        keys.remove(Generation(3));
        assert_eq!(keys.current(day(100)).unwrap().generation, Generation(2));
    }
}
