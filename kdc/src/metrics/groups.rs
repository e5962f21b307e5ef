//! What is counted of groups.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Groups and their keys.
pub struct GroupMetrics {
    /// Groups in memory.
    pub groups: Gauge,
    /// Groups of which a member was given the keys.
    pub given: Counter,
    /// Chains of keys that began, whichever KDC of the zone began them.
    pub chains: Counter,
}

impl GroupMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics =
            Self { groups: Gauge::default(), given: Counter::default(), chains: Counter::default() };
        registry.register("groups", "Groups in memory", metrics.groups.clone());
        registry.register("group_keys", "Groups whose keys were given to a member", metrics.given.clone());
        registry.register(
            "group_chains",
            "Chains of group keys that began: by rotation, and because a member was taken out",
            metrics.chains.clone(),
        );
        metrics
    }
}
