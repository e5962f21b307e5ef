//! A long-term key at hand: the subkeys of the epochs around now (docs/protocol.md §4.3).

use core::fmt;
use std::sync::Arc;

use crate::key::{Epoch, Generation, LongTermKey, RatchetError, Subkeys};
use crate::purpose::{KeysFor, Purpose};

/// One generation of a key as its holder or its KDC uses it.
///
/// Clocks on both sides of a turn must understand each other, so three epochs are at hand: this one, the one before
/// and the one after. Any other is refused without work: whatever epoch a stranger names, it costs at most three
/// derivations an epoch. What is derived is kept beside the key; the key itself turns only when
/// [`confirm`](Self::confirm) says so, because a clock may be wrong and a ratchet does not turn back.
pub struct RatchetedKey {
    key: LongTermKey,
    ready: Vec<Arc<Subkeys>>,
}

impl RatchetedKey {
    /// A key of any epoch up to the next one.
    #[must_use]
    pub const fn new(key: LongTermKey) -> Self {
        Self { key, ready: Vec::new() }
    }

    /// Its generation.
    #[must_use]
    pub const fn generation(&self) -> Generation {
        self.key.generation()
    }

    /// The epoch that the key itself has turned to: nothing before it can be derived any more.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.key.epoch()
    }

    /// The key as it is now, for whoever stores it.
    #[must_use]
    pub const fn key(&self) -> &LongTermKey {
        &self.key
    }

    /// The subkeys to use at epoch `now`. A clock that is behind the key itself is wrong, since nobody makes keys of
    /// the future; then these are the subkeys of the key's own epoch.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`] when the key would have to turn too often; the clock is likely to be wrong.
    pub fn current(&mut self, now: Epoch) -> Result<Arc<Subkeys>, RatchetError> {
        self.at(now.max(self.key.epoch()), now)
    }

    /// The subkeys of `epoch`, at epoch `now`.
    ///
    /// # Errors
    /// [`RatchetError::Backwards`] for an epoch that is over, [`RatchetError::TooFar`] for one that is not near.
    pub fn at(&mut self, epoch: Epoch, now: Epoch) -> Result<Arc<Subkeys>, RatchetError> {
        let near = self.near(epoch, now)?;
        if let Some(ready) = self.ready.iter().find(|subkeys| subkeys.epoch == epoch) {
            return Ok(ready.clone());
        }
        let subkeys = Arc::new(self.key.clone().advance(epoch)?.subkeys());
        self.ready.retain(|ready| near.contains(&ready.epoch));
        self.ready.push(subkeys.clone());
        Ok(subkeys)
    }

    /// The keys for one purpose, of `epoch`, at epoch `now`; see [`at`](Self::at). They are needed seldom, so they are not
    /// kept.
    ///
    /// # Errors
    /// As [`at`](Self::at).
    pub fn keys_for<P: Purpose>(&self, epoch: Epoch, now: Epoch) -> Result<KeysFor<P>, RatchetError> {
        self.near(epoch, now)?;
        Ok(self.key.clone().advance(epoch)?.keys_for())
    }

    /// The epochs that are at hand at epoch `now`, if `epoch` is one of them.
    fn near(&self, epoch: Epoch, now: Epoch) -> Result<[Epoch; 3], RatchetError> {
        let near = now.max(self.key.epoch()).neighbours();
        let [before, _, after] = near;
        match epoch {
            _ if epoch < before => Err(RatchetError::Backwards),
            _ if epoch > after => Err(RatchetError::TooFar),
            _ => Ok(near),
        }
    }

    /// `epoch` is certain: a holder saw something authentic of it, or the KDC's own clock says so. Erases what is past
    /// the overlap of one epoch. An older proof changes nothing.
    pub fn confirm(&mut self, epoch: Epoch) {
        let [before, ..] = epoch.neighbours();
        if before > self.key.epoch()
            && let Ok(key) = self.key.clone().advance(before)
        {
            self.key = key;
            self.ready.retain(|ready| ready.epoch >= before);
        }
    }
}

impl fmt::Debug for RatchetedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, ready: _ } = self;
        f.debug_struct("RatchetedKey").field("key", key).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(epoch: u32) -> RatchetedKey {
        RatchetedKey::new(LongTermKey::new(Generation(1), Epoch(epoch), [9; 32]))
    }

    #[test]
    fn three_epochs_are_at_hand() {
        let mut key = key(100);
        let signed = key.at(Epoch(101), Epoch(100)).unwrap();
        for now in 100..=102 {
            assert_eq!(key.at(Epoch(101), Epoch(now)).unwrap().epoch, Epoch(101));
        }
        assert!(key.at(Epoch(101), Epoch(102)).unwrap().request.verify(b"m", &signed.request.sign(b"m")));
        assert_eq!(key.at(Epoch(101), Epoch(103)).unwrap_err(), RatchetError::Backwards);
        assert_eq!(key.at(Epoch(105), Epoch(103)).unwrap_err(), RatchetError::TooFar);
        assert_eq!(key.at(Epoch(u32::MAX), Epoch(103)).unwrap_err(), RatchetError::TooFar);
    }

    #[test]
    fn rotation_keys_follow_the_same_window() {
        let mut key = key(100);
        for now in 98..106 {
            for epoch in 95..110 {
                let (at, rotation) = (
                    key.at(Epoch(epoch), Epoch(now)),
                    key.keys_for::<crate::Rotation>(Epoch(epoch), Epoch(now)),
                );
                assert_eq!(at.map(|keys| keys.epoch), rotation.map(|keys| keys.epoch()));
            }
        }
    }

    #[test]
    fn whatever_is_named_at_most_three_epochs_are_kept() {
        let mut key = key(100);
        for now in 100..300 {
            for epoch in 90..310 {
                let _ = key.at(Epoch(epoch), Epoch(now));
            }
            assert!(key.ready.len() <= 3);
        }
        assert_eq!(key.epoch(), Epoch(100));
    }

    #[test]
    fn only_what_is_certain_turns_the_key() {
        let mut key = key(100);
        assert_eq!(key.current(Epoch(9_000)).unwrap().epoch, Epoch(9_000));
        assert_eq!(key.current(Epoch(101)).unwrap().epoch, Epoch(101));
        key.confirm(Epoch(105));
        assert_eq!(key.epoch(), Epoch(104));
        assert!(key.at(Epoch(104), Epoch(105)).is_ok());
        assert_eq!(key.at(Epoch(103), Epoch(103)).unwrap_err(), RatchetError::Backwards);
        key.confirm(Epoch(102));
        assert_eq!(key.epoch(), Epoch(104));
    }

    #[test]
    fn a_long_sleep_is_caught_up_and_a_clock_behind_the_key_is_not_believed() {
        assert_eq!(key(100).current(Epoch(20_000)).unwrap().epoch, Epoch(20_000));
        assert_eq!(key(100).current(Epoch(90)).unwrap().epoch, Epoch(100));
        assert_eq!(key(100).at(Epoch(101), Epoch(90)).unwrap().epoch, Epoch(101));
        assert_eq!(key(0).current(Epoch(u32::MAX)).unwrap_err(), RatchetError::TooFar);
    }
}
