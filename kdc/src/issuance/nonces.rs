//! Which requests were seen: each nonce of a party is accepted once while its timestamp is acceptable.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, MutexGuard, PoisonError};

use keycell_protocol::{Nonce, ProblemType, UnixMillis};

use super::Refusal;
use crate::directory::Party;

/// The nonces of the last while, in memory: about 40 bytes each, in shards so that requests do not wait for each
/// other.
///
/// Two sets take turns: a nonce is forgotten between one and two spans after it came. A span is twice the clock skew
/// that is tolerated, the longest time over which one timestamp is acceptable.
#[derive(Debug)]
pub struct Nonces {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    span_ms: u64,
    shard_capacity: usize,
}

#[derive(Debug, Default)]
struct Shard {
    /// The span that `fresh` is of, counted from 1970.
    span: u64,
    fresh: HashSet<Entry>,
    stale: HashSet<Entry>,
}

/// A party, as a hash with a secret seed, and its nonce.
type Entry = (u64, Nonce);

impl Nonces {
    /// Room for `capacity` nonces a span, for requests whose timestamps may be off by `skew_ms` either way.
    #[must_use]
    pub fn new(skew_ms: u64, capacity: usize) -> Self {
        Self {
            shards: Default::default(),
            hasher: RandomState::new(),
            span_ms: skew_ms.saturating_mul(2).max(1),
            shard_capacity: capacity.div_ceil(SHARDS),
        }
    }

    /// Forgets what is past its time also where no request comes by.
    pub fn prune(&self, now: UnixMillis) {
        for shard in &self.shards {
            shard.lock().unwrap_or_else(PoisonError::into_inner).turn(now.0 / self.span_ms);
        }
    }

    /// How many are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        let count = |shard: &Mutex<Shard>| {
            let shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
            shard.fresh.len() + shard.stale.len()
        };
        self.shards.iter().map(count).sum()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a nonce was not seen. Changes nothing, so that a request that is refused for another reason takes no
    /// room.
    ///
    /// # Errors
    /// `replayed` when it was seen.
    pub(super) fn check(&self, party: &Party, nonce: Nonce) -> Result<(), Refusal> {
        let entry = self.entry(party, nonce);
        self.shard(&entry).check(&entry)
    }

    /// Remembers a nonce of a request that is to be answered.
    ///
    /// # Errors
    /// `replayed` when it was seen; `overloaded` when there is no room: nothing is forgotten early for it.
    pub(super) fn accept(&self, party: &Party, nonce: Nonce, now: UnixMillis) -> Result<(), Refusal> {
        let entry = self.entry(party, nonce);
        let mut shard = self.shard(&entry);
        shard.turn(now.0 / self.span_ms);
        shard.check(&entry)?;
        if shard.fresh.len() >= self.shard_capacity {
            return Err(full());
        }
        shard.fresh.insert(entry);
        Ok(())
    }

    fn entry(&self, party: &Party, nonce: Nonce) -> Entry {
        (self.hasher.hash_one(party.name()), nonce)
    }

    /// By party and nonce, so that no party has a shard to itself.
    fn shard(&self, entry: &Entry) -> MutexGuard<'_, Shard> {
        let [first, ..] = &self.shards;
        let at = self.hasher.hash_one(entry) as usize % SHARDS;
        let shard = self.shards.get(at).unwrap_or(first);
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    fn check(&self, entry: &Entry) -> Result<(), Refusal> {
        if self.stale.contains(entry) || self.fresh.contains(entry) {
            return Err(Refusal { problem: ProblemType::Replayed, cause: "the nonce was seen before" });
        }
        Ok(())
    }

    fn turn(&mut self, span: u64) {
        match span.abs_diff(self.span) {
            0 => {}
            1 if span > self.span => {
                self.stale = std::mem::take(&mut self.fresh);
                self.span = span;
            }
            // A clock that was set back a little: what is here is still needed, and the clock will be back soon.
            1 => {}
            // A jump, either way: by their timestamps the requests of before are not acceptable now.
            _ => *self = Self { span, ..Self::default() },
        }
    }
}

const fn full() -> Refusal {
    Refusal { problem: ProblemType::Overloaded, cause: "no room to remember another nonce" }
}

const SHARDS: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::tests::party;

    fn nonce(n: u8) -> Nonce {
        Nonce([n; 16])
    }

    #[test]
    fn once_for_as_long_as_its_timestamp_is_good() {
        let nonces = Nonces::new(60_000, 1000);
        let (a, b) = (party("a@z"), party("b@z"));
        let start = 1_766_000_000_000;
        nonces.accept(&a, nonce(1), UnixMillis(start)).unwrap();
        nonces.accept(&b, nonce(1), UnixMillis(start)).unwrap();
        // A timestamp may be a skew ahead when it first comes, and a skew behind when it comes again.
        for later in [0, 1, 60_000, 120_000] {
            let refusal = nonces.accept(&a, nonce(1), UnixMillis(start + later)).unwrap_err();
            assert_eq!(refusal.problem, ProblemType::Replayed, "after {later} ms");
        }
        assert_eq!(nonces.len(), 2);
        nonces.prune(UnixMillis(start + 360_001));
        assert!(nonces.is_empty());
        nonces.accept(&a, nonce(1), UnixMillis(start + 360_001)).unwrap();
    }

    #[test]
    fn nothing_is_forgotten_for_want_of_room() {
        let nonces = Nonces::new(60_000, SHARDS);
        let a = party("a@z");
        let accepted: Vec<u8> =
            (0..=255).filter(|n| nonces.accept(&a, nonce(*n), UnixMillis(0)).is_ok()).collect();
        assert_eq!(accepted.len(), SHARDS, "one in each shard");
        for n in 0..=255 {
            let problem = nonces.accept(&a, nonce(n), UnixMillis(0)).unwrap_err().problem;
            let seen = accepted.contains(&n);
            assert_eq!(problem, if seen { ProblemType::Replayed } else { ProblemType::Overloaded });
            assert_eq!(nonces.check(&a, nonce(n)).is_err(), seen);
        }
    }

    #[test]
    fn a_clock_set_back_a_little_forgets_nothing() {
        let nonces = Nonces::new(60_000, 1000);
        let a = party("a@z");
        nonces.accept(&a, nonce(1), UnixMillis(10_000_000)).unwrap();
        assert!(nonces.accept(&a, nonce(1), UnixMillis(9_900_000)).is_err());
        assert!(nonces.accept(&a, nonce(1), UnixMillis(10_000_001)).is_err());
    }

    #[test]
    fn a_clock_that_jumps_does_not_stop_the_kdc() {
        let nonces = Nonces::new(60_000, 1000);
        let a = party("a@z");
        for now in [10_000_000, 10_000_000_000, 10_000_000, 20_000_000] {
            nonces.prune(UnixMillis(now));
            nonces.accept(&a, nonce(1), UnixMillis(now)).unwrap();
            nonces.prune(UnixMillis(now + 240_000));
            assert!(nonces.is_empty());
        }
    }
}
