//! How long was waited.

use std::collections::BTreeMap;
use std::time::Duration;

/// The times of all turns of one kind.
#[derive(Default)]
pub(crate) struct Times(Vec<Vec<Duration>>);

impl Times {
    /// One more turn.
    pub(crate) fn add(&mut self, mut turn: Vec<Duration>) {
        turn.sort_unstable();
        self.0.push(turn);
    }

    /// Both kinds side by side, for people.
    pub(crate) fn report(
        without: &Self,
        with: &Self,
        (connections, abroad): (u64, BTreeMap<&'static str, u64>),
    ) -> String {
        let mut report = format!("tickets at home     {:>10} {:>10} {:>8}\n", "without", "hanging", "ratio");
        let (all, all_with) = (without.together(), with.together());
        for (what, share) in [("p50", 0.5), ("p90", 0.9), ("p99", 0.99), ("longest", 1.0)] {
            let (one, other) = (at(&all, share), at(&all_with, share));
            report += &line(what, one, other);
        }
        // A moment in which the machine did something else is in one turn only.
        for (what, share) in [("p50 of a turn", 0.5), ("p99 of a turn", 0.99)] {
            report += &line(what, without.median(share), with.median(share));
        }
        report += &format!(
            "{} and {} requests in {} and {} turns; the one that hangs took {connections} connections\n",
            all.len(),
            all_with.len(),
            without.0.len(),
            with.0.len()
        );
        let told = abroad.iter().map(|(why, times)| format!("abroad: {times} times {why:?}\n"));
        report + &told.collect::<String>()
    }

    fn together(&self) -> Vec<Duration> {
        let mut all = self.0.concat();
        all.sort_unstable();
        all
    }

    /// Of the turns' quantiles the one in the middle.
    fn median(&self, share: f64) -> Duration {
        let mut each: Vec<_> = self.0.iter().map(|turn| at(turn, share)).collect();
        each.sort_unstable();
        at(&each, 0.5)
    }
}

fn at(sorted: &[Duration], share: f64) -> Duration {
    let last = sorted.len().saturating_sub(1);
    sorted.get((last as f64 * share).round() as usize).copied().unwrap_or_default()
}

fn line(what: &str, without: Duration, with: Duration) -> String {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let ratio = micros(with) / micros(without).max(1.0);
    format!("  {what:<18}{:>7.0} µs {:>7.0} µs {ratio:>8.3}\n", micros(without), micros(with))
}
