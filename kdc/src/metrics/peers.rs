//! What is counted of asking other zones' KDCs.

use std::time::Duration;

use keycell_protocol::Zone;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

/// Requests to the KDCs of other zones.
#[derive(Clone)]
pub struct PeerMetrics {
    requests: Family<Asked, Counter>,
    took: Family<OfZone, Histogram, fn() -> Histogram>,
    breaker: Family<OfZone, Gauge>,
    trusts: Family<InForce, Gauge>,
}

/// The labels of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Asked {
    zone: String,
    outcome: &'static str,
}

/// The label of a zone that there is a trust with.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OfZone {
    zone: String,
}

/// The labels of trusts.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct InForce {
    direction: &'static str,
    state: &'static str,
}

impl PeerMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            took: Family::new_with_constructor(seconds),
            breaker: Family::default(),
            trusts: Family::default(),
        };
        registry.register(
            "peer_requests",
            "Requests to the KDCs of other zones, by what became of them",
            metrics.requests.clone(),
        );
        registry.register_with_unit(
            "peer_request",
            "How long the KDCs of another zone took to answer, all tries together",
            Unit::Seconds,
            metrics.took.clone(),
        );
        registry.register(
            "peer_breaker",
            "Whether another zone is asked: 0 it is, 1 one request tries it, 2 it is left alone",
            metrics.breaker.clone(),
        );
        registry.register(
            "trusts",
            "Trusts with other zones, by direction and state",
            metrics.trusts.clone(),
        );
        for direction in ["incoming", "outgoing"] {
            metrics.trusts(direction, 0, 0);
        }
        metrics
    }

    /// A request to `zone`, one that there is a trust with, came to this.
    pub fn count(&self, zone: &Zone, outcome: &'static str) {
        self.requests.get_or_create(&Asked { zone: zone.to_string(), outcome }).inc();
    }

    /// It took so long.
    pub fn took(&self, zone: &Zone, time: Duration) {
        self.took.get_or_create(&OfZone { zone: zone.to_string() }).observe(time.as_secs_f64());
    }

    /// Where the breaker of `zone` stands.
    pub fn stands(&self, zone: &Zone, number: i64) {
        self.breaker.get_or_create(&OfZone { zone: zone.to_string() }).set(number);
    }

    /// How many trusts there are of a direction.
    pub fn trusts(&self, direction: &'static str, enabled: i64, disabled: i64) {
        self.trusts.get_or_create(&InForce { direction, state: "enabled" }).set(enabled);
        self.trusts.get_or_create(&InForce { direction, state: "disabled" }).set(disabled);
    }

    /// There is no trust with `zone` any more.
    pub fn forget(&self, zone: &Zone) {
        let zone = OfZone { zone: zone.to_string() };
        self.breaker.remove(&zone);
        self.took.remove(&zone);
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 1.5, 3.0])
}
