//! What is counted of parties' keys.

use std::sync::atomic::AtomicU64;

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::{Registry, Unit};

/// Keys and their rotation.
pub struct KeyMetrics {
    /// Steps of rotations that changed something, by step.
    pub rotations: Family<Rotation, Counter>,
    /// Keys in memory, by state.
    pub keys: Family<InState, Gauge>,
    /// Parties that are told to rotate.
    pub to_rotate: Gauge,
    /// For how long a ticket may outlive its party's disabling.
    pub revocation_bound: Gauge<f64, AtomicU64>,
}

/// The label of a rotation.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Rotation {
    /// `stage`, `commit`, or `replace` for a key that an administrator handed out.
    pub step: &'static str,
}

/// The label of keys.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct InState {
    /// `staged`, `active` or `retiring`.
    pub state: &'static str,
}

impl KeyMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            rotations: Family::default(),
            keys: Family::default(),
            to_rotate: Gauge::default(),
            revocation_bound: Gauge::default(),
        };
        // There from the start, so that a rate can be taken of them.
        for step in ["stage", "commit", "replace"] {
            let _ = metrics.rotations.get_or_create(&Rotation { step });
        }
        registry.register("key_rotations", "Steps of key rotations", metrics.rotations.clone());
        registry.register("keys", "Keys of parties, by state", metrics.keys.clone());
        registry.register("keys_to_rotate", "Parties that are told to rotate", metrics.to_rotate.clone());
        registry.register_with_unit(
            "revocation_bound",
            "How long a ticket may outlive the disabling of a party",
            Unit::Seconds,
            metrics.revocation_bound.clone(),
        );
        metrics
    }

    /// Counts a step that changed something.
    pub fn rotated(&self, step: &'static str) {
        self.rotations.get_or_create(&Rotation { step }).inc();
    }
}
