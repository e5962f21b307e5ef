//! Whether another KDC is asked at all: one that does not answer is left alone for a while.
//!
//! ```text
//! closed ──failures in a row──▶ open ──its time is over──▶ half-open: one request tries it
//!    ▲                            ▲                             │
//!    └────────── it answered ─────┼─────────────────────────────┤
//!                                 └── it did not: twice as long ┘
//! ```

use keycell_protocol::UnixMillis;

/// When it opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Patience {
    /// So many failures in a row open it.
    pub(super) failures: u32,
    /// It stays open for a second, then for twice as long each time, up to so many milliseconds.
    pub(super) longest_ms: u64,
}

/// The breaker of one line to another zone.
#[derive(Debug, Default)]
pub(super) struct Breaker {
    failures: u32,
    /// How often it opened since the last answer.
    opened: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: UnixMillis,
    for_ms: u64,
    /// When a request was let through to see whether it is over.
    trying: Option<UnixMillis>,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Everybody may ask.
    Closed,
    /// One may ask.
    HalfOpen,
    /// Nobody may ask.
    Open,
}

impl Standing {
    /// Its name in `status`.
    pub(super) const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::HalfOpen => "half-open",
            Self::Open => "open",
        }
    }

    /// Its number among the metrics.
    pub(super) const fn number(self) -> i64 {
        match self {
            Self::Closed => 0,
            Self::HalfOpen => 1,
            Self::Open => 2,
        }
    }
}

impl Breaker {
    /// Where it stands at `now`. The distance in time counts, not the difference: a clock that was set back keeps nobody out.
    pub(super) fn standing(&self, now: UnixMillis) -> Standing {
        match &self.open {
            None => Standing::Closed,
            Some(open) if now.distance(open.since) < open.for_ms => Standing::Open,
            Some(_) => Standing::HalfOpen,
        }
    }

    /// Whether a request may be made. Who was let through tells how it ended.
    pub(super) fn admit(&mut self, now: UnixMillis) -> bool {
        let standing = self.standing(now);
        match &mut self.open {
            None => true,
            Some(open) => {
                // One that never told is not waited for without end.
                let tried = open.trying.is_some_and(|at| now.distance(at) < TRIAL_MS);
                let admitted = standing == Standing::HalfOpen && !tried;
                if admitted {
                    open.trying = Some(now);
                }
                admitted
            }
        }
    }

    /// The other KDC answered, whatever it said.
    pub(super) fn answered(&mut self) {
        *self = Self::default();
    }

    /// It did not. `random` spreads when it is tried again. Says whether this opened it.
    pub(super) fn failed(&mut self, now: UnixMillis, patience: Patience, random: u32) -> bool {
        self.failures = self.failures.saturating_add(1);
        let opens = match self.standing(now) {
            Standing::Closed => self.failures >= patience.failures,
            Standing::HalfOpen => true,
            // Of those that were on their way when it opened.
            Standing::Open => false,
        };
        if opens {
            let longest = (FIRST_MS << self.opened.min(16)).min(patience.longest_ms).max(1);
            // Between half of it and all of it.
            let for_ms = longest - ((longest / 2).saturating_mul(random.into()) >> 32);
            self.open = Some(Open { since: now, for_ms, trying: None });
            self.opened = self.opened.saturating_add(1);
        }
        opens
    }
}

const FIRST_MS: u64 = 1_000;
/// Longer than a request takes.
const TRIAL_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PATIENCE: Patience = Patience { failures: 5, longest_ms: 30_000 };

    fn opened(at: UnixMillis) -> Breaker {
        let mut breaker = Breaker::default();
        for n in 1..=5 {
            assert!(breaker.admit(at));
            assert_eq!(breaker.failed(at, PATIENCE, 0), n == 5);
        }
        breaker
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_an_answer_begins_anew() {
        let now = UnixMillis(1_000_000);
        let mut breaker = Breaker::default();
        for _ in 0..4 {
            breaker.failed(now, PATIENCE, 0);
        }
        breaker.answered();
        for _ in 0..4 {
            assert!(!breaker.failed(now, PATIENCE, 0));
        }
        assert_eq!(breaker.standing(now), Standing::Closed);
        assert!(breaker.failed(now, PATIENCE, 0));
        assert!(!breaker.admit(now));
    }

    #[test]
    fn one_tries_it_and_its_answer_closes_it() {
        let now = UnixMillis(1_000_000);
        let mut breaker = opened(now);
        assert!(!breaker.admit(now.plus(999)));
        assert_eq!(breaker.standing(now.plus(999)), Standing::Open);
        assert_eq!(breaker.standing(now.plus(1_000)), Standing::HalfOpen);
        assert!(breaker.admit(now.plus(1_000)));
        assert!(!breaker.admit(now.plus(1_001)), "only one");
        breaker.answered();
        assert!(breaker.admit(now.plus(1_001)) && breaker.admit(now.plus(1_001)));
    }

    #[test]
    fn each_time_twice_as_long_up_to_the_longest() {
        let mut now = UnixMillis(1_000_000);
        let mut breaker = opened(now);
        for seconds in [1, 2, 4, 8, 16, 30, 30, 30] {
            assert!(!breaker.admit(now.plus(seconds * 1000 - 1)));
            now = now.plus(seconds * 1000);
            assert!(breaker.admit(now));
            assert!(breaker.failed(now, PATIENCE, 0));
        }
    }

    #[test]
    fn a_trial_that_never_told_and_a_clock_that_was_set_back_keep_nobody_out() {
        let now = UnixMillis(1_000_000);
        let mut breaker = opened(now);
        assert!(breaker.admit(now.plus(1_000)));
        assert!(!breaker.admit(now.plus(2_000)));
        assert!(breaker.admit(now.plus(61_000)));
        let mut breaker = opened(now);
        assert!(breaker.admit(now.minus(500_000)));
    }

    proptest! {
        /// Whatever happens, it is never closed for good, and no more than one tries it at a time.
        #[test]
        fn it_always_comes_back(steps in prop::collection::vec((0_u64..40_000, 0_u8..4, any::<u32>()), 1..200)) {
            let (mut breaker, mut now) = (Breaker::default(), UnixMillis(1_000_000));
            for (wait, what, random) in steps {
                now = now.plus(wait);
                match what {
                    0 => breaker.answered(),
                    1 => drop(breaker.failed(now, PATIENCE, random)),
                    _ => {
                        let closed = breaker.standing(now) == Standing::Closed;
                        let (first, second) = (breaker.admit(now), breaker.admit(now));
                        prop_assert_eq!(second, closed);
                        prop_assert!(first || !closed);
                    }
                }
                prop_assert!(breaker.standing(now.plus(30_000)) != Standing::Open);
            }
            prop_assert!(breaker.admit(now.plus(30_000 + TRIAL_MS)));
        }
    }
}
