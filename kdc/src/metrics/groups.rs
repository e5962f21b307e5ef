//! What is counted of groups.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// Groups and their keys.
pub struct GroupMetrics {
    /// Groups in memory.
    pub groups: Gauge,
    /// Groups that nobody can send to, for their keys or their rows do not hold.
    pub out_of_service: Gauge,
    /// Groups of which a member was given the keys.
    pub given: Counter,
    /// Those of them of which a chain that took another's place was in its first lifetime.
    pub renewed: Counter,
    /// Groups of which one that asked was refused the keys.
    pub refused: Counter,
    /// Chains of keys that began, whichever KDC of the zone began them.
    pub chains: Counter,
}

impl GroupMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            groups: Gauge::default(),
            out_of_service: Gauge::default(),
            given: Counter::default(),
            renewed: Counter::default(),
            refused: Counter::default(),
            chains: Counter::default(),
        };
        registry.register("groups", "Groups in memory", metrics.groups.clone());
        registry.register(
            "groups_out_of_service",
            "Groups that nobody can send to, for their keys or their rows do not hold",
            metrics.out_of_service.clone(),
        );
        registry.register("group_keys", "Groups whose keys were given to a member", metrics.given.clone());
        registry.register(
            "group_keys_renewed",
            "Groups whose keys were given to a member in the first lifetime of a chain that took another's place",
            metrics.renewed.clone(),
        );
        registry.register(
            "group_keys_refused",
            "Groups whose keys were refused to a party that asked for them",
            metrics.refused.clone(),
        );
        registry.register(
            "group_chains",
            "Chains of group keys that began: of a new group, by rotation, because somebody was taken out, disabled or \
             deleted, or because patterns or the lifetime changed",
            metrics.chains.clone(),
        );
        metrics
    }
}
