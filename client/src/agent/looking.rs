//! Looking in at the KDC: who asks it for nothing would never hear that it has another key to get.

use keycell_protocol::UnixMillis;
use rand_core::CryptoRng;

use super::Agent;
use crate::groups::below;

/// When a host that enrolled asks a KDC for something, though it needs nothing.
pub(crate) struct Looking {
    /// On average, in milliseconds since it last asked for anything.
    every: u64,
    /// Drawn with the first call that says what time it is.
    next: Option<Moment>,
}

struct Moment {
    at: UnixMillis,
    drawn: UnixMillis,
}

impl Looking {
    pub(super) fn new(every: u64) -> Self {
        Self { every: every.max(LEAST_MS), next: None }
    }

    /// Whether it is time. A clock that was set back since must not make the wait longer.
    ///
    /// The first time is drawn over all of the time: hosts that start at once do not come at once.
    fn is_due(&mut self, now: UnixMillis, rng: &mut impl CryptoRng) -> bool {
        let next =
            self.next.get_or_insert_with(|| Moment { at: now.plus(below(rng, self.every)), drawn: now });
        next.at <= now || now < next.drawn
    }

    /// It asks a KDC just now.
    fn asks(&mut self, now: UnixMillis, rng: &mut impl CryptoRng) {
        let wait = (self.every / 2).saturating_add(below(rng, self.every));
        self.next = Some(Moment { at: now.plus(wait), drawn: now });
    }
}

impl Agent {
    /// Wants a voucher if nothing was asked of a KDC for a while: it is cheap to give, and of use to the host.
    pub(super) fn look_in(&mut self, now: UnixMillis) {
        if let Some(reenrolling) = &mut self.reenrolling
            && reenrolling.looking.is_due(now, &mut self.rng)
        {
            reenrolling.looking.asks(now, &mut self.rng);
            self.author.look_in();
        }
    }

    /// A KDC is asked for something: if it does not know the key it says so now.
    pub(super) fn asks(&mut self, now: UnixMillis) {
        if let Some(reenrolling) = &mut self.reenrolling {
            reenrolling.looking.asks(now, &mut self.rng);
        }
    }

    /// When to [`look_in`](Self::look_in) next.
    pub(super) fn next_look(&self, now: UnixMillis) -> Option<UnixMillis> {
        let looking = &self.reenrolling.as_ref()?.looking;
        Some(looking.next.as_ref().map_or(now, |next| next.at.max(now)))
    }
}

/// More often is of no use to anybody.
const LEAST_MS: u64 = 60_000;

#[cfg(test)]
mod tests {
    use super::*;
    use chacha20::ChaCha20Rng;
    use rand_core::SeedableRng as _;

    const NOW: UnixMillis = UnixMillis(1_766_059_200_000);
    const HOUR: u64 = 3_600_000;

    #[test]
    fn a_clock_that_was_set_back_does_not_keep_it_from_looking() {
        let mut rng = ChaCha20Rng::seed_from_u64(1);
        for begun in [false, true] {
            let mut looking = Looking::new(HOUR);
            assert!(!looking.is_due(NOW, &mut rng));
            if begun {
                looking.asks(NOW, &mut rng);
            }
            assert!(!looking.is_due(NOW, &mut rng));
            assert!(looking.is_due(NOW.minus(1), &mut rng) && looking.is_due(NOW.plus(2 * HOUR), &mut rng));
        }
    }
}
