//! What is wrapped under the master key, and how keys turn.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the keys at rest.
#[derive(Debug, Clone, Default)]
pub struct AtRestMetrics {
    /// The version of the master key that wraps.
    pub version: Gauge,
    /// Rows that are to be wrapped anew.
    pub remaining: Gauge,
    /// Rows that were.
    pub rewrapped: Counter,
    /// The epoch that keys are turned to.
    pub epoch: Gauge,
    /// 1 while the clock is not believed.
    pub clock_refused: Gauge,
}

impl AtRestMetrics {
    /// Counters that all start at zero, on the page.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "master_key_version",
            "Version of the master key that wraps new rows",
            metrics.version.clone(),
        );
        registry.register(
            "rewrap_remaining",
            "Rows that are to be turned or wrapped under the newest master key",
            metrics.remaining.clone(),
        );
        registry.register(
            "rewrapped_rows",
            "Rows that were turned or wrapped anew",
            metrics.rewrapped.clone(),
        );
        registry.register("ratchet_epoch", "Epoch that keys are turned to", metrics.epoch.clone());
        registry.register(
            "clock_refused",
            "1 while the clock is too far ahead to turn keys by it",
            metrics.clock_refused.clone(),
        );
        metrics
    }

    /// Sets how many rows remain.
    pub fn remain(&self, rows: u64) {
        self.remaining.set(i64::try_from(rows).unwrap_or(i64::MAX));
    }
}
