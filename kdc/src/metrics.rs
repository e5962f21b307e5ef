//! What is counted, in the Prometheus text format at `/metrics`.

mod at_rest;
mod conflicts;
mod enrollment;
mod groups;
mod identities;
mod joining;
mod keys;
mod peers;
mod recovery;
mod running;
mod trust;

use std::sync::atomic::AtomicU64;

use keycell_protocol::ProblemType;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::{Registry, Unit};

pub use at_rest::AtRestMetrics;
pub use conflicts::{ConflictMetrics, OfKind};
pub use enrollment::EnrollmentMetrics;
pub use groups::GroupMetrics;
pub use identities::IdentityMetrics;
pub use joining::JoiningMetrics;
pub use keys::{InState, KeyMetrics};
pub use peers::PeerMetrics;
pub use recovery::RecoveryMetrics;
pub use running::{Reloaded, Running};
pub use trust::{AtBorder, OverBorder, TrustMetrics};

/// The counters of one KDC.
pub struct Metrics {
    registry: Registry,
    /// Tickets given out.
    pub tickets: Counter,
    /// Destinations and whole requests refused, by problem.
    pub refusals: Family<Refused, Counter>,
    /// Tickets given out that a monitored rule would have refused.
    pub monitored: Counter,
    /// Denials that the audit log could not be told one by one, because there were too many.
    pub unrecorded: Counter,
    /// Requests answered, by route and status.
    pub requests: Family<Answered, Counter>,
    /// How long a request took from its last byte to its answer.
    pub duration: Family<Route, Histogram, fn() -> Histogram>,
    /// Requests in work.
    pub in_flight: Gauge,
    /// Open connections.
    pub connections: Gauge,
    /// Connections that ended before a request: handshakes that failed or took too long.
    pub handshake_failures: Counter,
    /// Parties in memory.
    pub parties: Gauge,
    /// Nonces remembered.
    pub nonces: Gauge,
    /// Addresses and parties that the rates remember.
    pub limited: Gauge,
    /// Seconds since the directory last agreed with the database.
    pub staleness: Gauge<f64, AtomicU64>,
    /// Of keys at rest.
    pub at_rest: AtRestMetrics,
    /// Keys in two places, and hosts with another key.
    pub conflicts: ConflictMetrics,
    /// Hosts that come aboard.
    pub enrollment: EnrollmentMetrics,
    /// The KDC's identities.
    pub identities: IdentityMetrics,
    /// Hosts that wait, and join tokens.
    pub joining: JoiningMetrics,
    /// Keys and their rotation.
    pub keys: KeyMetrics,
    /// Groups and their keys.
    pub groups: GroupMetrics,
    /// Backups, and what is remembered of revocations.
    pub recovery: RecoveryMetrics,
    /// The KDCs of other zones, as this one asks them.
    pub peers: PeerMetrics,
    /// Tickets over the border.
    pub trust: TrustMetrics,
    /// The process.
    pub running: Running,
}

/// The label of a refusal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Refused {
    /// The problem's URN.
    pub problem: &'static str,
}

/// The labels of an answer.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Answered {
    /// The route's pattern, never the path itself: a path has names in it.
    pub route: &'static str,
    /// The HTTP status.
    pub status: u16,
}

/// The label of a duration.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Route {
    /// The route's pattern.
    pub route: &'static str,
}

impl Metrics {
    /// Counters that all start at zero.
    #[must_use]
    pub fn new() -> Self {
        let mut registry = Registry::with_prefix("keycell");
        let metrics = Self {
            tickets: Counter::default(),
            refusals: Family::default(),
            monitored: Counter::default(),
            unrecorded: Counter::default(),
            requests: Family::default(),
            duration: Family::new_with_constructor(seconds),
            in_flight: Gauge::default(),
            connections: Gauge::default(),
            handshake_failures: Counter::default(),
            parties: Gauge::default(),
            nonces: Gauge::default(),
            limited: Gauge::default(),
            staleness: Gauge::default(),
            at_rest: AtRestMetrics::register(&mut registry),
            conflicts: ConflictMetrics::register(&mut registry),
            enrollment: EnrollmentMetrics::register(&mut registry),
            identities: IdentityMetrics::register(&mut registry),
            joining: JoiningMetrics::register(&mut registry),
            keys: KeyMetrics::register(&mut registry),
            groups: GroupMetrics::register(&mut registry),
            recovery: RecoveryMetrics::register(&mut registry),
            peers: PeerMetrics::register(&mut registry),
            trust: TrustMetrics::register(&mut registry),
            running: Running::register(&mut registry),
            registry: Registry::default(),
        };
        registry.register("tickets_issued", "Tickets given out", metrics.tickets.clone());
        registry.register(
            "refusals",
            "Refused destinations and requests, by problem",
            metrics.refusals.clone(),
        );
        registry.register(
            "tickets_monitored",
            "Tickets given out that a monitored rule would have refused",
            metrics.monitored.clone(),
        );
        registry.register(
            "audit_unrecorded",
            "Denials that are in the audit log only as a number, because there were too many",
            metrics.unrecorded.clone(),
        );
        registry.register("http_requests", "Requests answered", metrics.requests.clone());
        registry.register_with_unit(
            "http_request_duration",
            "From the last byte of a request to its answer",
            Unit::Seconds,
            metrics.duration.clone(),
        );
        registry.register("http_requests_in_flight", "Requests in work", metrics.in_flight.clone());
        registry.register("connections", "Open connections", metrics.connections.clone());
        registry.register(
            "tls_handshake_failures",
            "Connections that ended before a request",
            metrics.handshake_failures.clone(),
        );
        registry.register("parties", "Parties in memory", metrics.parties.clone());
        registry.register("nonces", "Nonces remembered against replay", metrics.nonces.clone());
        registry.register(
            "limiter_keys",
            "Addresses and parties that the rate limits remember",
            metrics.limited.clone(),
        );
        registry.register_with_unit(
            "directory_staleness",
            "Time since the directory in memory last agreed with the database",
            Unit::Seconds,
            metrics.staleness.clone(),
        );
        // There from the start, so that the first refusal is an increase.
        for problem in ProblemType::ALL {
            drop(metrics.refusals.get_or_create(&Refused { problem: problem.urn() }));
        }
        Self { registry, ..metrics }
    }

    /// Counts one refusal.
    pub fn refuse(&self, problem: ProblemType) {
        self.refusals.get_or_create(&Refused { problem: problem.urn() }).inc();
    }

    /// How many refusals there were, of all problems.
    #[must_use]
    pub fn refused(&self) -> u64 {
        let of = |problem: &ProblemType| {
            self.refusals.get(&Refused { problem: problem.urn() }).map_or(0, |count| count.get())
        };
        ProblemType::ALL.iter().map(of).sum()
    }

    /// The page that Prometheus reads.
    ///
    /// # Errors
    /// Never in practice: writing to a string does not fail.
    pub fn page(&self) -> Result<String, std::fmt::Error> {
        let mut page = String::new();
        text::encode(&mut page, &self.registry)?;
        Ok(page)
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

fn seconds() -> Histogram {
    Histogram::new([0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.1, 0.5, 1.0, 5.0])
}
