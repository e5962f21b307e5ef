//! Correcting a wrong clock by the KDC's.

use keycell_protocol::UnixMillis;

/// By how much the host's clock is wrong, as far as a KDC told.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Correction(i64);

impl Correction {
    pub(crate) const fn new(millis: i64) -> Self {
        Self(millis)
    }

    pub(crate) const fn millis(self) -> i64 {
        self.0
    }

    /// The corrected time.
    pub(crate) const fn apply(self, host: UnixMillis) -> UnixMillis {
        host.shifted(self.0)
    }

    /// When the host's clock will show what is `corrected` here.
    pub(crate) const fn undo(self, corrected: UnixMillis) -> UnixMillis {
        corrected.shifted(self.0.saturating_neg())
    }

    /// A KDC said that it was `server_time` some time between `asked` and `answered`, both by the host's clock.
    ///
    /// A clock that agrees within the time on the way and [`SLACK`] is left alone, so that a good clock is never made
    /// worse by a slow network; the host's own is believed again as soon as it agrees. Nothing is learned from an
    /// answer that took very long, or during which the host's clock was set back.
    pub(crate) fn learn(&mut self, asked: UnixMillis, answered: UnixMillis, server_time: UnixMillis) {
        if answered < asked || answered.distance(asked) > SLOWEST {
            return;
        }
        let agrees = |correction: Self| {
            let (from, to) = (correction.apply(asked), correction.apply(answered));
            server_time >= from.minus(SLACK) && server_time <= to.plus(SLACK)
        };
        if agrees(Self(0)) {
            self.0 = 0;
        } else if !agrees(*self) {
            let middle = asked.0.midpoint(answered.0);
            let ahead = i128::from(server_time.0) - i128::from(middle);
            self.0 = i64::try_from(ahead).unwrap_or(0);
        }
    }
}

/// Milliseconds: what a host's clock may be off without anybody caring.
const SLACK: u64 = 500;
/// Milliseconds: an answer that takes longer says too little about the time.
const SLOWEST: u64 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    fn learn(from: i64, asked: u64, answered: u64, server: u64) -> i64 {
        let mut correction = Correction(from);
        correction.learn(UnixMillis(asked), UnixMillis(answered), UnixMillis(server));
        correction.0
    }

    #[test]
    fn a_good_clock_is_left_alone() {
        assert_eq!(learn(0, 10_000, 10_100, 10_050), 0);
        assert_eq!(learn(0, 10_000, 10_100, 9_600), 0);
        assert_eq!(learn(0, 10_000, 40_000, 11_000), 0, "a slow answer is no wrong clock");
        assert_eq!(learn(90_000, 10_000, 10_100, 10_010), 0, "the clock was set right meanwhile");
    }

    #[test]
    fn a_wrong_clock_is_corrected() {
        assert_eq!(learn(0, 10_000, 10_100, 100_050), 90_000);
        assert_eq!(learn(0, 100_000, 100_100, 10_050), -90_000);
        assert_eq!(learn(90_000, 10_000, 10_100, 100_300), 90_000, "near enough");
        assert_eq!(learn(90_000, 10_000, 10_100, 50_050), 40_000);
        assert_eq!(learn(0, 3_610_000, 10_000, 10_000), 0, "set back while the answer was on its way");
        assert_eq!(learn(0, 10_000, 20_001, 100_000), 0, "too slow to tell");
    }

    #[test]
    fn applying_and_undoing() {
        let correction = Correction(-90_000);
        assert_eq!(correction.undo(correction.apply(UnixMillis(200_000))), UnixMillis(200_000));
    }
}
