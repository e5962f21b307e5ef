//! What is counted of conflicts.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::enrollment::ConflictKind;

/// Keys that are used in two places, and hosts that came with another key.
#[derive(Clone)]
pub struct ConflictMetrics {
    /// Parties with a conflict that nobody has cleared, by kind.
    pub conflicts: Family<OfKind, Gauge>,
    /// Conflicts that this KDC raised, by kind.
    pub raised: Family<OfKind, Counter>,
    /// Parties that this KDC disabled because their keys were used in two places.
    pub disabled: Counter,
    /// Findings that were put off, because there were too many at once.
    pub crowded: Counter,
}

/// The label of a conflict.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OfKind {
    /// The kind's name.
    pub kind: &'static str,
}

impl ConflictMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            conflicts: Family::default(),
            raised: Family::default(),
            disabled: Counter::default(),
            crowded: Counter::default(),
        };
        registry.register(
            "conflicts",
            "Parties whose key is used in two places, or whose host came with another key, until somebody clears that",
            metrics.conflicts.clone(),
        );
        registry.register(
            "conflicts_raised",
            "Conflicts that this KDC raised, by kind",
            metrics.raised.clone(),
        );
        registry.register(
            "clones_disabled",
            "Parties that this KDC disabled because their keys were used in two places",
            metrics.disabled.clone(),
        );
        registry.register(
            "copies_put_off",
            "Keys in two places that were not looked at, because there were too many at once: they are found again",
            metrics.crowded.clone(),
        );
        // There from the start, so that the first is an increase.
        for kind in ConflictKind::ALL {
            drop(metrics.conflicts.get_or_create(&OfKind { kind: kind.as_str() }));
            drop(metrics.raised.get_or_create(&OfKind { kind: kind.as_str() }));
        }
        metrics
    }
}
