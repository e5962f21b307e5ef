//! Whether the clock is believed: a ratchet does not turn back, so a clock that is far off must not turn it.

use keycell_protocol::{Epoch, RatchetPeriod};

/// What the clock and the database say of the time, in epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reckoning {
    /// The epoch by the clock.
    pub now: Epoch,
    /// The highest epoch that keys at rest were turned to; 0 before the first time.
    pub turned: Epoch,
    /// The length of an epoch.
    pub period: RatchetPeriod,
}

impl Reckoning {
    /// The epoch that keys are turned to: the one before this one, so that clocks on both sides of a turn still understand
    /// each other (docs/protocol.md §4.3).
    #[must_use]
    pub fn target(&self) -> Epoch {
        let [before, ..] = self.now.neighbours();
        before
    }

    /// Whether keys may be turned. A KDC whose clock is far ahead of all that it has done was off for long, or its clock is
    /// wrong: only somebody who looks at a calendar can tell. Before the first time there is nothing to hold it against.
    #[must_use]
    pub fn is_believed(&self) -> bool {
        self.turned == Epoch(0) || self.target().0.saturating_sub(self.turned.0) <= self.leap()
    }

    /// The most epochs at once: 31, and as many as make 31 days.
    fn leap(&self) -> u32 {
        (LEAP_SECONDS / self.period.seconds()).max(LEAP_EPOCHS)
    }
}

const LEAP_EPOCHS: u32 = 31;
const LEAP_SECONDS: u32 = 31 * 86_400;

#[cfg(test)]
mod tests {
    use super::*;

    fn believed(period: u32, turned: u32, now: u32) -> bool {
        let period = RatchetPeriod::from_seconds(period).unwrap();
        Reckoning { now: Epoch(now), turned: Epoch(turned), period }.is_believed()
    }

    #[test]
    fn a_month_is_believed_and_more_is_not() {
        assert!(believed(86_400, 100, 101 + 31));
        assert!(!believed(86_400, 100, 101 + 32));
        assert!(believed(86_400, 100, 1), "a clock that is behind turns nothing anyway");
        assert!(believed(86_400, 0, 20_000));
        // Short epochs: 31 days of them; long ones: 31.
        assert!(believed(600, 100_000, 100_001 + 31 * 144));
        assert!(!believed(600, 100_000, 100_002 + 31 * 144));
        assert!(believed(7 * 86_400, 100, 101 + 31));
        assert!(!believed(u32::MAX, 1, u32::MAX));
    }
}
