//! What is counted of trust between zones.

use keycell_protocol::Zone;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::trust::Direction;

/// Tickets over the border, in both directions.
pub struct TrustMetrics {
    /// By what became of them.
    pub tickets: Family<OverBorder, Counter>,
}

/// The labels of tickets over the border.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct OverBorder {
    /// Which way the trust goes that they rest on.
    pub direction: &'static str,
    /// The other zone: one that there is a trust with.
    pub zone: String,
    /// What became of them.
    pub outcome: &'static str,
}

/// What became of a ticket over the border. Each is counted once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AtBorder {
    /// It was given, and nothing spoke against it.
    Given,
    /// It was refused.
    Refused,
    /// It was given although a list or a rule in monitor mode would have refused it.
    Monitored,
    /// The other zone's KDC gave no answer.
    Unavailable,
}

impl AtBorder {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::Refused => "refused",
            Self::Monitored => "monitored",
            Self::Unavailable => "unavailable",
        }
    }
}

impl TrustMetrics {
    /// Counters that all start at zero.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self { tickets: Family::default() };
        registry.register(
            "trust_tickets",
            "Tickets between parties of two zones, by the trust that they rest on and what became of them",
            metrics.tickets.clone(),
        );
        metrics
    }

    /// Counts tickets of which the same became. `zone` is one that there is a trust with, so that labels are bounded.
    pub fn count(&self, direction: Direction, zone: &Zone, outcome: AtBorder, tickets: u64) {
        if tickets > 0 {
            let (direction, outcome) = (direction.as_str(), outcome.as_str());
            let labels = OverBorder { direction, zone: zone.to_string(), outcome };
            self.tickets.get_or_create(&labels).inc_by(tickets);
        }
    }
}
