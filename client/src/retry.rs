//! When to ask a KDC again after a failure.

use keycell_protocol::{TicketRequest, UnixMillis};
use rand_core::CryptoRng;

/// Exponential backoff with full jitter, by the host's clock.
#[derive(Debug)]
pub(crate) struct Retry {
    base_ms: u64,
    max_ms: u64,
    failures: u32,
    not_before: UnixMillis,
    /// When that was decided.
    decided: UnixMillis,
    failing_since: Option<UnixMillis>,
    /// Immediate second tries since the last success.
    at_once: u32,
    /// How many destinations to ask for at a time: halved when the KDC says that it is too much.
    batch: usize,
}

impl Retry {
    pub(crate) const fn new(base_ms: u64, max_ms: u64) -> Self {
        Self {
            base_ms,
            max_ms,
            failures: 0,
            not_before: UnixMillis(0),
            decided: UnixMillis(0),
            failing_since: None,
            at_once: 0,
            batch: TicketRequest::MAX_DESTINATIONS,
        }
    }

    /// With the same bounds, and nothing that happened.
    pub(crate) const fn anew(&self) -> Self {
        Self::new(self.base_ms, self.max_ms)
    }

    pub(crate) const fn not_before(&self) -> UnixMillis {
        self.not_before
    }

    /// Whether it is time. A clock that was set back since must not make the wait longer.
    pub(crate) fn is_due(&self, now: UnixMillis) -> bool {
        now >= self.not_before || now < self.decided
    }

    pub(crate) const fn failing_since(&self) -> Option<UnixMillis> {
        self.failing_since
    }

    pub(crate) const fn batch(&self) -> usize {
        self.batch
    }

    /// A KDC answered.
    pub(crate) fn success(&mut self) {
        *self = Self { batch: (self.batch * 2).min(TicketRequest::MAX_DESTINATIONS), ..self.anew() };
    }

    /// Nobody answered, or not with what was asked for: waits a random time below a bound that doubles each time,
    /// but at least `retry_after` if the KDC named one.
    pub(crate) fn failure(&mut self, now: UnixMillis, retry_after_ms: Option<u64>, rng: &mut impl CryptoRng) {
        self.failing_since.get_or_insert(now);
        self.decided = now;
        let bound = self.base_ms.saturating_mul(1 << self.failures.min(20)).min(self.max_ms).max(1);
        self.failures = self.failures.saturating_add(1);
        // A KDC that is wrong about itself must not silence its agents for long.
        let least = retry_after_ms.unwrap_or(0).min(LONGEST_RETRY_AFTER_MS);
        self.not_before = now.plus(least).plus(rng.next_u64() % bound);
    }

    /// There is nothing to be had for so long.
    pub(crate) const fn hold(&mut self, now: UnixMillis, millis: u64) {
        self.decided = now;
        self.not_before = now.plus(millis);
    }

    /// Now is the time.
    pub(crate) const fn hurry(&mut self) {
        self.not_before = UnixMillis(0);
    }

    /// Something that a second try mends, a wrong clock for instance. `false` when it was tried before.
    pub(crate) const fn at_once(&mut self) -> bool {
        self.at_once += 1;
        self.at_once <= 2
    }

    /// The KDC grants fewer tickets at a time.
    pub(crate) fn ask_for_less(&mut self) {
        self.batch = (self.batch / 2).max(1);
    }
}

const LONGEST_RETRY_AFTER_MS: u64 = 600_000;

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    #[test]
    fn waits_are_random_and_bounded() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        let mut retry = Retry::new(250, 30_000);
        let now = UnixMillis(1_000_000);
        let mut waits = Vec::new();
        for failures in 0..40_u32 {
            retry.failure(now, None, &mut rng);
            let wait = retry.not_before().0 - now.0;
            assert!(wait < (250 << failures.min(20)).min(30_000));
            waits.push(wait);
        }
        assert!(waits.iter().any(|wait| *wait > 10_000));
        assert_eq!(retry.failing_since(), Some(now));
        retry.failure(now, Some(7_000), &mut rng);
        assert!(retry.not_before() >= now.plus(7_000));
        retry.failure(now, Some(u64::MAX), &mut rng);
        assert!(retry.not_before() <= now.plus(LONGEST_RETRY_AFTER_MS + 30_000));
        assert!(!retry.is_due(now) && retry.is_due(now.minus(1)));
        retry.success();
        assert_eq!((retry.not_before(), retry.failing_since()), (UnixMillis(0), None));
    }

    #[test]
    fn batches_shrink_and_grow_again() {
        let mut retry = Retry::new(1, 1);
        (0..20).for_each(|_| retry.ask_for_less());
        assert_eq!(retry.batch(), 1);
        (0..20).for_each(|_| retry.success());
        assert_eq!(retry.batch(), TicketRequest::MAX_DESTINATIONS);
    }
}
