//! The replay window: which sequence numbers of one sealer were seen (docs/protocol.md §8).

/// Remembers which of the last 1,024 sequence numbers were seen, 136 bytes.
///
/// Messages may come in any order; one that falls more than 1,023 behind the newest is refused, since nobody
/// remembers whether it was seen. Call [`check`](Self::check) before the tag is verified if that saves work, and
/// [`accept`](Self::accept) only after: a forged number must not move the window.
#[derive(Debug, Clone)]
pub struct ReplayWindow {
    /// One more than the highest number seen; 0 while none was.
    next: u64,
    /// Bit `n % 1024` says whether `n` was seen, for the last 1,024 numbers below `next`.
    seen: [u64; WORDS],
}

impl ReplayWindow {
    /// How many numbers it remembers.
    pub const SIZE: u64 = 1024;

    /// A window that has seen nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { next: 0, seen: [0; WORDS] }
    }

    /// Whether `sequence` would be accepted.
    ///
    /// # Errors
    /// [`ReplayError`] when it was seen, or may have been.
    pub fn check(&self, sequence: u64) -> Result<(), ReplayError> {
        if sequence == u64::MAX {
            // The last number is never sent: `next` could not pass it.
            return Err(ReplayError::TooOld);
        }
        if sequence >= self.next {
            return Ok(());
        }
        if self.next - sequence > Self::SIZE {
            return Err(ReplayError::TooOld);
        }
        let (word, bit) = place(sequence);
        if self.seen.get(word).is_some_and(|seen| seen & bit == 0) { Ok(()) } else { Err(ReplayError::Seen) }
    }

    /// Marks `sequence` as seen.
    ///
    /// # Errors
    /// As [`check`](Self::check); then nothing changes.
    pub fn accept(&mut self, sequence: u64) -> Result<(), ReplayError> {
        self.check(sequence)?;
        if sequence >= self.next {
            if sequence - self.next >= Self::SIZE {
                self.seen = [0; WORDS];
            } else {
                // The numbers between, and this one, take the places of numbers that fall out of the window.
                (self.next..sequence).for_each(|skipped| self.set(skipped, false));
            }
            self.next = sequence + 1;
        }
        self.set(sequence, true);
        Ok(())
    }

    fn set(&mut self, sequence: u64, seen: bool) {
        let (word, bit) = place(sequence);
        if let Some(word) = self.seen.get_mut(word) {
            if seen {
                *word |= bit;
            } else {
                *word &= !bit;
            }
        }
    }
}

impl Default for ReplayWindow {
    fn default() -> Self {
        Self::new()
    }
}

/// Why a sequence number is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ReplayError {
    /// It was accepted before.
    #[error("this message was opened before")]
    Seen,
    /// It is so far behind that nobody remembers.
    #[error("this message is more than 1,023 behind the newest of its sender")]
    TooOld,
}

const WORDS: usize = (ReplayWindow::SIZE / 64) as usize;

const fn place(sequence: u64) -> (usize, u64) {
    ((sequence % ReplayWindow::SIZE / 64) as usize, 1 << (sequence % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    #[test]
    fn the_edges() {
        let mut window = ReplayWindow::new();
        window.accept(0).unwrap();
        assert_eq!(window.accept(0), Err(ReplayError::Seen));
        window.accept(1023).unwrap();
        assert_eq!(window.accept(0), Err(ReplayError::Seen));
        window.accept(1).unwrap();
        window.accept(1024).unwrap();
        assert_eq!(window.accept(0), Err(ReplayError::TooOld));
        assert_eq!(window.accept(1), Err(ReplayError::Seen));
        window.accept(2).unwrap();
        window.accept(u64::MAX - 1).unwrap();
        assert_eq!(window.accept(u64::MAX), Err(ReplayError::TooOld));
        assert_eq!(window.accept(u64::MAX - 1), Err(ReplayError::Seen));
        window.accept(u64::MAX - 1024).unwrap();
        assert_eq!(window.accept(u64::MAX - 1025), Err(ReplayError::TooOld));
    }

    proptest! {
        /// Against a model that remembers everything.
        #[test]
        fn never_twice_and_never_too_old(jumps in prop::collection::vec((0_u64..3000, any::<bool>()), 1..400)) {
            let mut window = ReplayWindow::new();
            let mut seen = BTreeSet::new();
            let mut at = 1500_u64;
            for (jump, forward) in jumps {
                at = if forward { at + jump } else { at.saturating_sub(jump) };
                let newest = seen.last().copied();
                let expected = if seen.contains(&at) && newest.is_some_and(|newest| newest - at < 1024) {
                    Err(ReplayError::Seen)
                } else if newest.is_some_and(|newest| newest >= at + 1024) {
                    Err(ReplayError::TooOld)
                } else {
                    Ok(())
                };
                prop_assert_eq!(window.check(at), expected);
                prop_assert_eq!(window.accept(at), expected);
                if expected.is_ok() {
                    seen.insert(at);
                }
            }
        }
    }
}
