//! Which requests were seen: each nonce of a party is accepted once while its timestamp is acceptable.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

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
    shards: Vec<Mutex<Shard>>,
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
            shards: (0..SHARDS).map(|_| Mutex::default()).collect(),
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

    /// Remembers a nonce of an authenticated request.
    ///
    /// # Errors
    /// `replayed` when it was seen; `overloaded` when there is no room: nothing is forgotten early for it.
    pub(super) fn accept(&self, party: &Party, nonce: Nonce, now: UnixMillis) -> Result<(), Refusal> {
        let entry = (self.hasher.hash_one(party.name()), nonce);
        let Some(shard) = usize::try_from(entry.0).ok().and_then(|at| self.shards.get(at % SHARDS)) else {
            return Err(full());
        };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        shard.turn(now.0 / self.span_ms);
        if shard.stale.contains(&entry) || shard.fresh.contains(&entry) {
            return Err(Refusal { problem: ProblemType::Replayed, cause: "the nonce was seen before" });
        }
        if shard.fresh.len() >= self.shard_capacity {
            return Err(full());
        }
        shard.fresh.insert(entry);
        Ok(())
    }
}

impl Shard {
    fn turn(&mut self, span: u64) {
        // A clock that is set back keeps what is there: a nonce may be kept too long, never too short.
        match span.checked_sub(self.span) {
            None | Some(0) => {}
            Some(1) => {
                self.stale = std::mem::take(&mut self.fresh);
                self.span = span;
            }
            Some(_) => {
                *self = Self { span, ..Self::default() };
            }
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
        nonces.accept(&a, nonce(1), UnixMillis(0)).unwrap();
        assert_eq!(nonces.accept(&a, nonce(2), UnixMillis(0)).unwrap_err().problem, ProblemType::Overloaded);
        assert_eq!(nonces.accept(&a, nonce(1), UnixMillis(0)).unwrap_err().problem, ProblemType::Replayed);
    }

    #[test]
    fn a_clock_set_back_forgets_nothing() {
        let nonces = Nonces::new(60_000, 1000);
        let a = party("a@z");
        nonces.accept(&a, nonce(1), UnixMillis(10_000_000)).unwrap();
        assert!(nonces.accept(&a, nonce(1), UnixMillis(1_000_000)).is_err());
        assert!(nonces.accept(&a, nonce(1), UnixMillis(10_000_001)).is_err());
    }
}
