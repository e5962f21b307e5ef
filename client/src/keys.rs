//! The long-term keys of one party, and their subkeys at the epochs that matter now (docs/protocol.md §4).

use core::fmt;

use keycell_protocol::{
    Cause, Epoch, Generation, LongTermKey, RatchetError, RatchetPeriod, Subkeys, UnixMillis,
};

/// Holds one party's long-term keys, of one generation or several.
///
/// Subkeys are derived for the epoch of the clock and its two neighbours only, and kept: whatever epoch a stranger
/// names, it costs at most three derivations a day. What is on disk does not change here.
pub struct Keys {
    period: RatchetPeriod,
    /// Newest generation first.
    held: Vec<Held>,
}

impl Keys {
    /// One key, whose epochs last `period`.
    #[must_use]
    pub fn new(key: LongTermKey, period: RatchetPeriod) -> Self {
        Self { period, held: vec![Held { base: key, derived: Vec::new() }] }
    }

    /// Adds a key; one of the same generation is replaced.
    pub fn add(&mut self, key: LongTermKey) {
        self.held.retain(|held| held.base.generation() != key.generation());
        self.held.push(Held { base: key, derived: Vec::new() });
        self.held.sort_by_key(|held| core::cmp::Reverse(held.base.generation()));
    }

    /// Drops the key of a generation that the KDC no longer uses. The last key stays.
    pub fn remove(&mut self, generation: Generation) {
        if self.held.len() > 1 {
            self.held.retain(|held| held.base.generation() != generation);
        }
    }

    /// The subkeys to speak to the KDC with: newest generation, epoch of `now`.
    ///
    /// A clock that is behind the key's own epoch is wrong, since nobody makes keys of the future; then it is the
    /// key's epoch.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`] when the clock is centuries ahead.
    pub fn current(&mut self, now: UnixMillis) -> Result<&Subkeys, RatchetError> {
        let clock = self.period.epoch(now.seconds());
        let held = self.held.first_mut().ok_or(RatchetError::EndOfTime)?;
        let here = clock.max(held.base.epoch());
        held.subkeys(here, here)
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
    ) -> Result<&Subkeys, Cause> {
        let no_key = Cause::NoKey { generation, epoch };
        let clock = self.period.epoch(now.seconds());
        let held = self.held.iter_mut().find(|held| held.base.generation() == generation).ok_or(no_key)?;
        let here = clock.max(held.base.epoch());
        if !here.neighbours().contains(&epoch) {
            return Err(no_key);
        }
        held.subkeys(epoch, here).map_err(|_| no_key)
    }

    /// Something authentic was sealed at `epoch`: erases the keys that are past the overlap of one epoch.
    ///
    /// Only then, because the clock alone may be wrong, and a ratchet does not turn back.
    pub fn confirm(&mut self, generation: Generation, epoch: Epoch) {
        let [oldest, ..] = epoch.neighbours();
        let Some(held) = self.held.iter_mut().find(|held| held.base.generation() == generation) else {
            return;
        };
        if oldest > held.base.epoch()
            && let Ok(base) = held.base.clone().advance(oldest)
        {
            held.base = base;
            held.derived.retain(|subkeys| subkeys.epoch >= oldest);
        }
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { period, held } = self;
        f.debug_struct("Keys")
            .field("period", period)
            .field("held", &held.iter().map(|held| &held.base).collect::<Vec<_>>())
            .finish()
    }
}

struct Held {
    base: LongTermKey,
    derived: Vec<Subkeys>,
}

impl Held {
    /// The subkeys of `epoch`; those that are not next to `here` are forgotten when new ones are made.
    fn subkeys(&mut self, epoch: Epoch, here: Epoch) -> Result<&Subkeys, RatchetError> {
        let at = match self.derived.iter().position(|subkeys| subkeys.epoch == epoch) {
            Some(at) => at,
            None => {
                let subkeys = self.base.clone().advance(epoch)?.subkeys();
                self.derived.retain(|subkeys| here.neighbours().contains(&subkeys.epoch));
                self.derived.push(subkeys);
                self.derived.len() - 1
            }
        };
        self.derived.get(at).ok_or(RatchetError::EndOfTime)
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
        assert_eq!(keys.held[0].derived.len(), 3);
        assert!(named(&mut keys, 200, 2, 200).is_ok());
        assert_eq!(keys.held[0].derived.len(), 1);
    }

    #[test]
    fn nothing_is_erased_before_something_authentic_was_seen() {
        let mut keys = keys();
        assert_eq!(keys.current(day(9_000)).unwrap().epoch, Epoch(9_000));
        assert_eq!(keys.current(day(101)).unwrap().epoch, Epoch(101));
        keys.confirm(Generation(2), Epoch(105));
        assert_eq!(keys.held[0].base.epoch(), Epoch(104));
        assert!(named(&mut keys, 105, 2, 104).is_ok());
        assert!(named(&mut keys, 103, 2, 103).is_err());
        // An older proof does not turn anything back.
        keys.confirm(Generation(2), Epoch(102));
        assert_eq!(keys.held[0].base.epoch(), Epoch(104));
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
