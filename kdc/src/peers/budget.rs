//! How often a request may be made once more: a zone that is slow is not asked twice as often because of that.

use keycell_protocol::UnixMillis;

/// One more try for ten requests, and one a second, ten at once.
#[derive(Debug)]
pub(super) struct Budget {
    /// In thousandths of a try.
    left: u64,
    at: UnixMillis,
}

impl Budget {
    /// A full one.
    pub(super) const fn new(now: UnixMillis) -> Self {
        Self { left: MOST, at: now }
    }

    /// A request is made.
    pub(super) fn called(&mut self, now: UnixMillis) {
        self.earn(now);
        self.left = (self.left + A_CALL).min(MOST);
    }

    /// Whether it may be made once more.
    pub(super) fn spend(&mut self, now: UnixMillis) -> bool {
        self.earn(now);
        match self.left.checked_sub(A_TRY) {
            Some(left) => {
                self.left = left;
                true
            }
            None => false,
        }
    }

    fn earn(&mut self, now: UnixMillis) {
        // A thousandth in a millisecond. A clock that was set back earns nothing.
        let earned = now.0.saturating_sub(self.at.0);
        self.at = now;
        self.left = self.left.saturating_add(earned).min(MOST);
    }
}

const A_TRY: u64 = 1_000;
const A_CALL: u64 = 100;
const MOST: u64 = 10 * A_TRY;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn ten_at_once_then_one_a_second() {
        let mut now = UnixMillis(5_000);
        let mut budget = Budget::new(now);
        assert!((0..10).all(|_| budget.spend(now)));
        assert!(!budget.spend(now));
        now = now.plus(999);
        assert!(!budget.spend(now));
        now = now.plus(1);
        assert!(budget.spend(now) && !budget.spend(now));
    }

    #[test]
    fn one_for_ten_requests() {
        let now = UnixMillis(5_000);
        let mut budget = Budget::new(now);
        while budget.spend(now) {}
        for _ in 0..9 {
            budget.called(now);
            assert!(!budget.spend(now));
        }
        budget.called(now);
        assert!(budget.spend(now) && !budget.spend(now));
    }

    proptest! {
        #[test]
        fn no_more_than_is_earned(steps in prop::collection::vec((0_u64..3_000, any::<bool>()), 1..300)) {
            let mut now = UnixMillis(1_000_000);
            let start = now;
            let mut budget = Budget::new(now);
            let (mut calls, mut tries) = (0, 0);
            for (wait, call) in steps {
                now = now.plus(wait);
                if call {
                    calls += 1;
                    budget.called(now);
                }
                tries += u64::from(budget.spend(now));
                prop_assert!(tries * 1_000 <= MOST + calls * A_CALL + now.0 - start.0);
            }
        }
    }
}
