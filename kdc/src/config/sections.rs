//! The sections of the configuration.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::limit::Rate;

/// The files of the server's TLS.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// The certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM.
    pub key: PathBuf,
    /// The root certificates that hosts are to trust, PEM: goes into every key file.
    pub roots: PathBuf,
    /// Whether the KDC makes itself a new certificate in time, where it has the key of the cell's own root.
    #[serde(default = "yes")]
    pub renew: bool,
    /// How often the files are looked at for a new certificate: 1 to 3,600 seconds.
    #[serde(default = "half_a_minute")]
    pub look_every_seconds: u32,
}

impl Tls {
    /// With these files, and the rest as it is where nobody says otherwise.
    #[must_use]
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>, roots: impl Into<PathBuf>) -> Self {
        Self {
            certificate: certificate.into(),
            key: key.into(),
            roots: roots.into(),
            renew: yes(),
            look_every_seconds: half_a_minute(),
        }
    }
}

const fn yes() -> bool {
    true
}

const fn half_a_minute() -> u32 {
    30
}

/// Backups.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Backup {
    /// Who can open a backup: recipients of age, as `keycell backup keygen` prints them.
    pub recipients: Vec<String>,
}

impl Backup {
    /// Whether nothing is said of backups.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.recipients.is_empty()
    }
}

/// How tickets are given out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Tickets {
    /// How long a ticket lasts: 10 seconds to 24 hours.
    pub lifetime_seconds: u32,
    /// How far a request's timestamp may be from the KDC's clock, either way: 1 to 600 seconds.
    pub clock_skew_seconds: u32,
}

impl Default for Tickets {
    fn default() -> Self {
        Self { lifetime_seconds: 900, clock_skew_seconds: 60 }
    }
}

/// Groups, and proof of who in one spoke.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GroupsConfig {
    /// For how long the KDC vouches for a party's signing key: 3,600 to 2,592,000 seconds.
    pub voucher_lifetime_seconds: u32,
    /// How many requests a second the members of a group make when all of them need new keys before their time: 1 to
    /// 1,000,000.
    pub refetches_per_second: u32,
}

impl Default for GroupsConfig {
    fn default() -> Self {
        Self { voucher_lifetime_seconds: 86_400, refetches_per_second: 1_000 }
    }
}

/// How the KDCs of other zones are asked for tickets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PeersConfig {
    /// How long one KDC may take for one answer: 10 to 60,000 milliseconds.
    pub attempt_timeout_ms: u32,
    /// How long a party waits for tickets of another zone, all tries together: 10 to 60,000 milliseconds.
    pub timeout_ms: u32,
    /// How many requests to one zone may be on their way at once: 1 to 10,000. What comes on top is refused at once.
    pub concurrency: usize,
    /// After so many failures in a row a zone is left alone for a while: 1 to 1,000.
    pub breaker_failures: u32,
    /// For a second at first, then for twice as long each time, up to so many seconds: 1 to 3,600.
    pub breaker_open_seconds: u32,
}

impl Default for PeersConfig {
    fn default() -> Self {
        Self {
            attempt_timeout_ms: 1_500,
            timeout_ms: 3_000,
            concurrency: 64,
            breaker_failures: 5,
            breaker_open_seconds: 30,
        }
    }
}

/// Rates and sizes that keep one KDC up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    /// Requests of one address, before authentication. Many hosts may share one.
    pub per_address: Rate,
    /// Failed authentications of one address; past it, the address is refused unread.
    pub failures_per_address: Rate,
    /// Requests of one address to enroll. Many hosts may share one.
    pub enrollments_per_address: Rate,
    /// Tickets of one party, after authentication. The burst is at least 1,000, the largest request.
    pub tickets_per_party: Rate,
    /// How many addresses, and how many parties, are remembered for the rates.
    pub remembered: usize,
    /// How many nonces are remembered; at 40 bytes each.
    pub nonces: usize,
    /// Open connections.
    pub connections: usize,
    /// Open connections of one address. Many hosts may share one.
    pub connections_per_address: usize,
    /// Requests in work at once; what comes on top is refused with 503.
    pub requests_in_flight: usize,
    /// The largest body in bytes.
    pub body_bytes: usize,
    /// How long a client may take for a TLS handshake, the head of a request, and the whole of one.
    pub request_timeout_seconds: u32,
    /// After how long without a request a connection is ended.
    pub idle_seconds: u32,
    /// How long requests may take to finish when the KDC stops.
    pub shutdown_seconds: u32,
    /// With less than this free where a SQLite database is, the KDC says that it is not ready.
    pub disk_free_bytes: u64,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self {
            per_address: Rate::new(2_000, 10_000),
            failures_per_address: Rate::new(10, 100),
            enrollments_per_address: Rate::new(100, 1_000),
            tickets_per_party: Rate::new(500, 100_000),
            remembered: 200_000,
            nonces: 4_000_000,
            connections: 10_000,
            connections_per_address: 2_000,
            requests_in_flight: 1_024,
            body_bytes: 512 * 1024,
            request_timeout_seconds: 10,
            idle_seconds: 120,
            shutdown_seconds: 30,
            disk_free_bytes: 64 << 20,
        }
    }
}

/// What is logged, and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Log {
    /// `error`, `warn`, `info`, `debug` or `trace`, also per module. `KEYCELL_LOG` is its variable
    /// too.
    pub level: String,
    /// How a line looks.
    pub format: LogFormat,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: "info".to_owned(), format: LogFormat::Text }
    }
}

/// What is told of requests, and to whom.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Telemetry {
    /// The base URL of a collector that takes OTLP over HTTP, such as `http://127.0.0.1:4318`; without it, no spans are
    /// made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub otlp_endpoint: Option<String>,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// For programs: one JSON object a line.
    Json,
}
