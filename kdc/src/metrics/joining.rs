//! What is counted of hosts that an administrator decides on, and of what lets them in.

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Hosts that wait, and join tokens.
#[derive(Debug, Clone, Default)]
pub struct JoiningMetrics {
    /// Hosts that wait for an administrator.
    pub waiting: Gauge,
    /// How many may.
    pub waiting_most: Gauge,
    /// Hosts that were approved and have not come again yet.
    pub approved: Gauge,
    /// Keys that were denied.
    pub denied: Gauge,
    /// Join tokens that let hosts in.
    pub join_tokens: Gauge,
    /// How many hosts those still let in.
    pub join_token_uses: Gauge,
}

impl JoiningMetrics {
    /// Counters that all start at zero, on the page.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        let Self { waiting, waiting_most, approved, denied, join_tokens, join_token_uses } = &metrics;
        for (name, help, gauge) in [
            ("enrollments_waiting", "Hosts that wait for an administrator", waiting),
            (
                "enrollments_waiting_most",
                "Hosts that may wait for an administrator (pending_most)",
                waiting_most,
            ),
            ("enrollments_approved", "Hosts that were approved and have not come again yet", approved),
            ("enrollments_denied", "Keys that were denied", denied),
            ("join_tokens", "Join tokens that let hosts in", join_tokens),
            ("join_token_uses_left", "How many hosts the join tokens still let in", join_token_uses),
        ] {
            registry.register(name, help, gauge.clone());
        }
        metrics
    }
}
