//! Settings that hold on every KDC of the zone.

use serde::{Deserialize, Serialize};

use super::policy::given;
use crate::limit::Rate;

/// The zone's settings. What is absent is as each KDC's configuration says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneSettings {
    /// The zone's name.
    pub zone: String,
    /// Grows with every change: the `ETag`.
    pub revision: u64,
    /// How long a ticket lasts.
    pub ticket_lifetime_seconds: u32,
    /// Whether that is set here, and not by the configuration.
    pub ticket_lifetime_is_set: bool,
    /// For how many days the audit log is kept; absent for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub audit_retention_days: Option<u32>,
    /// After how many days a party is told to rotate its key; absent for never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rotate_keys_after_days: Option<u32>,
    /// The length of a key epoch; fixed when the zone was made.
    pub ratchet_period_seconds: u32,
}

/// What is to be changed; what is absent stays, what is `null` goes back to its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ZonePatch {
    /// 10 to 86,400.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub ticket_lifetime_seconds: Option<Option<u32>>,
    /// 1 to 36,500.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub audit_retention_days: Option<Option<u32>>,
    /// 1 to 3,650.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub rotate_keys_after_days: Option<Option<u32>>,
}

/// A rate, and where it comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateView {
    /// The rate in force on this KDC.
    pub rate: Rate,
    /// Whether it is set for the zone, and not by the configuration.
    pub is_set: bool,
}

/// The rates in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LimitsView {
    /// Grows with every change: the `ETag`.
    pub revision: u64,
    /// Requests of one address.
    pub per_address: RateView,
    /// Failed authentications of one address.
    pub failures_per_address: RateView,
    /// Requests of one address to enroll.
    pub enrollments_per_address: RateView,
    /// Tickets of one party.
    pub tickets_per_party: RateView,
}

/// What is to be changed; what is absent stays, what is `null` goes back to the configuration's.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LimitsPatch {
    /// Requests of one address.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub per_address: Option<Option<Rate>>,
    /// Failed authentications of one address.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub failures_per_address: Option<Option<Rate>>,
    /// Requests of one address to enroll.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub enrollments_per_address: Option<Option<Rate>>,
    /// Tickets of one party; the burst is at least 1,000.
    #[serde(
        default,
        serialize_with = "given::serialize",
        deserialize_with = "given::object",
        skip_serializing_if = "Option::is_none"
    )]
    pub tickets_per_party: Option<Option<Rate>>,
}
