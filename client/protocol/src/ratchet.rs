//! A long-term key at hand: the subkeys of the epochs around now (docs/protocol.md §4.3).

use core::fmt;
use std::sync::Arc;

use crate::key::{Epoch, Generation, LongTermKey, RatchetError, Subkeys};

/// One generation of a key as its holder or its KDC uses it.
///
/// Clocks on both sides of a turn must understand each other, so three epochs are at hand: this one, the one before
/// and the one after. Any other is refused without work, so that an epoch named by a stranger costs nothing.
/// The ratchet turns in memory only, and never past the epoch before now; nothing here makes it irrevocable.
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

    /// The subkeys to use at epoch `now`. A clock that is behind the key itself is taken to be wrong: then these are
    /// the subkeys of the key's own epoch.
    ///
    /// # Errors
    /// [`RatchetError::TooFar`] when the key would have to turn too often; the clock is likely to be wrong.
    pub fn current(&mut self, now: Epoch) -> Result<Arc<Subkeys>, RatchetError> {
        let epoch = now.max(self.key.epoch());
        self.at(epoch, epoch)
    }

    /// The subkeys of `epoch`, at epoch `now`.
    ///
    /// # Errors
    /// [`RatchetError::Backwards`] for an epoch that is over, [`RatchetError::TooFar`] for one that is not near.
    pub fn at(&mut self, epoch: Epoch, now: Epoch) -> Result<Arc<Subkeys>, RatchetError> {
        let [before, _, after] = now.neighbours();
        if epoch < before {
            return Err(RatchetError::Backwards);
        }
        if epoch > after {
            return Err(RatchetError::TooFar);
        }
        if let Some(ready) = self.ready.iter().find(|subkeys| subkeys.epoch == epoch) {
            return Ok(ready.clone());
        }
        if self.key.epoch() < before {
            self.key = self.key.clone().advance(before)?;
        }
        let subkeys = Arc::new(self.key.clone().advance(epoch)?.subkeys());
        self.ready.retain(|ready| ready.epoch >= before);
        self.ready.push(subkeys.clone());
        Ok(subkeys)
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
    }

    #[test]
    fn a_long_sleep_is_caught_up_and_a_wrong_clock_is_not_followed_back() {
        let mut sleeper = key(100);
        assert_eq!(sleeper.current(Epoch(20_000)).unwrap().epoch, Epoch(20_000));
        // A clock that turned out to be right again costs nothing: only up to the epoch before is gone.
        assert_eq!(sleeper.at(Epoch(19_999), Epoch(20_000)).unwrap().epoch, Epoch(19_999));
        assert_eq!(sleeper.at(Epoch(19_998), Epoch(19_999)).unwrap_err(), RatchetError::Backwards);
        let mut early = key(100);
        assert_eq!(early.current(Epoch(90)).unwrap().epoch, Epoch(100));
        assert_eq!(key(0).current(Epoch(u32::MAX)).unwrap_err(), RatchetError::TooFar);
    }
}
