//! What is counted of hosts that come aboard.

use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

use crate::enrollment::Refusal;

/// Counters of hosts that come aboard.
#[derive(Debug, Clone)]
pub struct EnrollmentMetrics {
    /// Requests to enroll, by what came of them.
    pub requests: Family<Outcome, Counter>,
    /// Those that were refused, by why.
    pub refused: Family<Reason, Counter>,
    /// Hosts that came aboard while they were known by another key.
    pub conflicts: Counter,
    /// Requests that wait to be opened.
    pub waiting: Gauge,
    /// How many were taken in one transaction.
    pub batch: Histogram,
}

/// The label of a request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Outcome {
    /// `enrolled`, `renewed`, `again`, `pending`, `refused`, `failed` or `overloaded`.
    pub outcome: &'static str,
}

/// The label of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Reason {
    /// As [`Refusal::reason`].
    pub reason: &'static str,
}

impl EnrollmentMetrics {
    /// Counters that all start at zero, on the page.
    pub(super) fn register(registry: &mut Registry) -> Self {
        let metrics = Self {
            requests: Family::default(),
            refused: Family::default(),
            conflicts: Counter::default(),
            waiting: Gauge::default(),
            batch: Histogram::new([1.0, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0]),
        };
        // There from the start, so that a rate can be taken of them.
        for outcome in ["enrolled", "renewed", "again", "pending", "refused", "failed", "overloaded"] {
            drop(metrics.requests.get_or_create(&Outcome { outcome }));
        }
        for reason in Refusal::REASONS {
            drop(metrics.refused.get_or_create(&Reason { reason }));
        }
        registry.register(
            "enrollments",
            "Requests to enroll, by what came of them",
            metrics.requests.clone(),
        );
        registry.register("enrollment_refusals", "Hosts that were refused, by why", metrics.refused.clone());
        registry.register(
            "enrollment_conflicts",
            "Hosts that came aboard while they were known by another key",
            metrics.conflicts.clone(),
        );
        registry.register(
            "enrollment_queue",
            "Requests to enroll that wait to be opened",
            metrics.waiting.clone(),
        );
        registry.register(
            "enrollment_batch",
            "Requests to enroll that were settled in one transaction",
            metrics.batch.clone(),
        );
        metrics
    }

    /// Counts what came of a request.
    pub fn count(&self, outcome: &'static str) {
        self.requests.get_or_create(&Outcome { outcome }).inc();
    }

    /// Counts one that was refused.
    pub fn refuse(&self, refusal: Refusal) {
        self.count("refused");
        self.refused.get_or_create(&Reason { reason: refusal.reason() }).inc();
    }
    /// How many were refused for this reason.
    #[must_use]
    pub fn refused_for(&self, reason: &'static str) -> u64 {
        self.refused.get_or_create(&Reason { reason }).get()
    }
}
