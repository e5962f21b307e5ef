//! The long-term keys of one party, and their subkeys at the epochs that matter now (docs/protocol.md §4).

use core::fmt;
use std::sync::Arc;

use keycell_protocol::{
    Cause, Epoch, Generation, LongTermKey, RatchetError, RatchetPeriod, RatchetedKey, Subkeys, UnixMillis,
};

/// Holds one party's long-term keys, of one generation or several.
///
/// Subkeys are at hand for the epoch of the clock and its two neighbours only. What is on disk does not change here.
pub struct Keys {
    period: RatchetPeriod,
    /// Newest generation first.
    held: Vec<RatchetedKey>,
}

impl Keys {
    /// One key, whose epochs last `period`.
    #[must_use]
    pub fn new(key: LongTermKey, period: RatchetPeriod) -> Self {
        Self { period, held: vec![RatchetedKey::new(key)] }
    }

    /// Adds a key; one of the same generation is replaced.
    pub fn add(&mut self, key: LongTermKey) {
        self.held.retain(|held| held.generation() != key.generation());
        self.held.push(RatchetedKey::new(key));
        self.held.sort_by_key(|held| core::cmp::Reverse(held.generation()));
    }

    /// Drops the key of a generation that the KDC no longer uses. The last key stays.
    pub fn remove(&mut self, generation: Generation) {
        if self.held.len() > 1 {
            self.held.retain(|held| held.generation() != generation);
        }
    }

    /// The subkeys to speak to the KDC with: newest generation, epoch of `now`.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`] when the clock is centuries ahead.
    pub fn current(&mut self, now: UnixMillis) -> Result<Arc<Subkeys>, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        self.held.first_mut().ok_or(RatchetError::EndOfTime)?.current(clock)
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
    /// Only then, because the clock alone may be wrong, and a ratchet does not turn back. An [`Agent`](crate::Agent) does
    /// not call this: as long as the key on disk stays what it was, it would gain nothing, and a KDC whose clock once
    /// jumped ahead would leave it behind.
    pub fn confirm(&mut self, generation: Generation, epoch: Epoch) {
        if let Some(held) = self.generation(generation) {
            held.confirm(epoch);
        }
    }

    fn generation(&mut self, generation: Generation) -> Option<&mut RatchetedKey> {
        self.held.iter_mut().find(|held| held.generation() == generation)
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, held } = self;
        f.debug_struct("Keys").field("period", period).field("held", held).finish()
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
        assert_eq!(keys.held[0].epoch(), Epoch(104));
        assert!(named(&mut keys, 105, 2, 104).is_ok());
        assert!(named(&mut keys, 103, 2, 103).is_err());
        // An older proof does not turn anything back.
        keys.confirm(Generation(2), Epoch(102));
        assert_eq!(keys.held[0].epoch(), Epoch(104));
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
