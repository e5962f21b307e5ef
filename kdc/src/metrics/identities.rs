//! The KDC's identities, and what they sign for others.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Counters of the KDC's identities.
#[derive(Debug, Clone, Default)]
pub struct IdentityMetrics {
    /// The number of the primary identity.
    pub primary: Gauge,
    /// 1 while the private half of the secondary identity is in the database.
    pub secondary_on_disk: Gauge,
    /// Vouchers given out.
    pub vouchers: Counter,
}

impl IdentityMetrics {
    /// Counters that all start at zero, on the page.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self::default();
        registry.register(
            "primary_identity",
            "The number of the primary identity: one more after each recovery",
            metrics.primary.clone(),
        );
        registry.register(
            "secondary_identity_on_disk",
            "1 while the private half of the secondary identity is in the database",
            metrics.secondary_on_disk.clone(),
        );
        registry.register("vouchers", "Vouchers given out", metrics.vouchers.clone());
        metrics
    }
}
