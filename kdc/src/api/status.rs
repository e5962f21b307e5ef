//! The cell at a glance.

use keycell_protocol::{Generation, Name, UnixMillis, Zone};
use serde::{Deserialize, Serialize};

use crate::enrollment::EnrollmentMode;
use crate::trust::Direction;

/// The cell as this KDC sees it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct StatusView {
    /// The zone.
    pub zone: String,
    /// The release that answers.
    pub version: String,
    /// Its time.
    pub server_time: UnixMillis,
    /// When it was started.
    pub started_at: UnixMillis,
    /// The parties.
    pub parties: PartyCounts,
    /// How many groups there are.
    #[serde(default)]
    pub groups: u64,
    /// How many parties have a conflict that nobody has cleared.
    #[serde(default)]
    pub conflicts: u64,
    /// The tickets of this KDC.
    pub tickets: TicketCounts,
    /// How many rules the policy has.
    pub rules: u64,
    /// How many of them are in monitor mode.
    pub rules_monitored: u64,
    /// How many tokens are good now.
    pub tokens: u64,
    /// Hosts that come aboard by themselves; a KDC of an earlier release does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enrollment: Option<EnrollmentCounts>,
    /// The trusts with other zones, the incoming ones first.
    #[serde(default)]
    pub trusts: Vec<TrustState>,
    /// The oldest key in use: whose, and when it was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub oldest_key: Option<OldestKey>,
    /// When the server's certificate ends.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate_expires_at: Option<UnixMillis>,
    /// `sqlite` or `postgres`.
    pub database: String,
    /// For how long the directory may have missed changes.
    pub directory_staleness_ms: u64,
    /// Bytes free where the database is; absent when it is elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_free_bytes: Option<u64>,
    /// Bytes there in all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disk_total_bytes: Option<u64>,
    /// The last record of the audit log.
    pub audit_seq: u64,
    /// What an operator should look at.
    pub warnings: Vec<Warning>,
}

/// How a trust with another zone stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TrustState {
    /// Which way it goes, seen from this zone.
    pub direction: Direction,
    /// The other zone.
    pub zone: Zone,
    /// Whether tickets are given by it.
    pub enabled: bool,
    /// The generation of its key; absent where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key_generation: Option<Generation>,
    /// When the other zone's KDC last answered this one, or last asked it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_answer: Option<UnixMillis>,
    /// Of an outgoing one: when this KDC last asked it for anything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_request: Option<UnixMillis>,
    /// What came of that: `ok`, `refused`, `overloaded`, `timeout`, `unreachable` or `garbage`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_outcome: Option<String>,
    /// Of an outgoing one: `closed` where its KDCs are asked, `half-open` where one request tries them, `open` where they are
    /// left alone because they do not answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub breaker: Option<String>,
}

/// Parties by state.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct PartyCounts {
    /// All.
    pub total: u64,
    /// May speak.
    pub enabled: u64,
    /// May not.
    pub disabled: u64,
    /// Asked for tickets within the last day.
    pub seen_last_day: u64,
    /// May speak, and have no key: it was erased, as by a recovery after which they are not back yet.
    #[serde(default)]
    pub keyless: u64,
    /// Have a key that does not unwrap.
    pub without_key: u64,
}

/// Hosts that come aboard by themselves.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EnrollmentCounts {
    /// Who gets in.
    pub mode: EnrollmentMode,
    /// Hosts that wait for an administrator.
    pub waiting: u64,
    /// How many may.
    pub waiting_most: u64,
    /// Hosts that were approved and have not come again yet.
    pub approved: u64,
    /// Keys that were denied.
    pub denied: u64,
    /// Join tokens that let hosts in now.
    pub join_tokens: u64,
}

/// Tickets since the KDC was started, and lately.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TicketCounts {
    /// Given out.
    pub issued: u64,
    /// Refused.
    pub refused: u64,
    /// Given out although a monitored rule would refuse them.
    pub monitored: u64,
    /// Given out a second, over the last minute.
    pub per_second: f64,
    /// Refused a second, over the last minute.
    pub refused_per_second: f64,
}

/// A party and the age of its key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct OldestKey {
    /// Whose key.
    pub name: Name,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// Something to look at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A short name that does not change, such as `certificate-expires`.
    pub kind: String,
    /// One sentence that says what to do.
    pub text: String,
}
