//! What administrators set of enrollment.

use ipnet::IpNet;
use keycell_protocol::ServiceName;
use serde::{Deserialize, Serialize};

use super::HostPattern;
use crate::named::named;

/// The body of the document `enrollment`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EnrollmentSetting {
    /// Who gets in.
    pub mode: EnrollmentMode,
    /// The services that get in without a join token, where the mode lets anybody in without one.
    pub services: Vec<ServiceName>,
    /// The hosts that do.
    pub hosts: Vec<HostPattern>,
    /// The networks that requests to enroll may come from; any, where there is none.
    pub networks: Vec<IpNet>,
    /// What becomes of a host that is known by another key.
    pub conflicts: ConflictsRule,
    /// What becomes of a party whose key is used in two places.
    pub clones: ClonesRule,
    /// Over how many seconds hosts spread that find their keys refused: 1 to 86,400.
    pub reenroll_within_seconds: u32,
    /// How many hosts may wait for an administrator: 1 to 100,000.
    pub pending_most: u32,
    /// After how many days one that waits is forgotten: 1 to 365.
    pub pending_days: u32,
    /// How many parties there may be that came in by trust on first use: 1 to 10,000,000.
    pub tofu_most: u32,
}

impl EnrollmentSetting {
    /// The document's id.
    pub const ID: &'static str = "enrollment";
}

impl Default for EnrollmentSetting {
    fn default() -> Self {
        Self {
            mode: EnrollmentMode::Token,
            services: "nanoprobe".parse().into_iter().collect(),
            hosts: HostPattern::any().into_iter().collect(),
            networks: Vec::new(),
            conflicts: ConflictsRule::Alarm,
            clones: ClonesRule::Alarm,
            reenroll_within_seconds: 600,
            pending_most: 10_000,
            pending_days: 7,
            tofu_most: 100_000,
        }
    }
}

named! {
    /// Who gets in.
    EnrollmentMode(UnknownEnrollmentMode, "the mode is closed, token, approve or tofu") {
        /// Nobody who is not known.
        Closed = "closed",
        /// Who has a join token.
        Token = "token",
        /// Also who an administrator approves.
        Approve = "approve",
        /// Also who comes first.
        Tofu = "tofu",
    }
}

named! {
    /// What becomes of a host that is known by another key.
    ConflictsRule(UnknownConflictsRule, "write alarm or hold") {
        /// It gets in as another party, and an alarm is raised.
        Alarm = "alarm",
        /// It waits for an administrator.
        Hold = "hold",
    }
}

named! {
    /// What becomes of a party whose key is used in two places.
    ClonesRule(UnknownClonesRule, "write alarm or disable") {
        /// An alarm is raised.
        Alarm = "alarm",
        /// It is disabled too, where the places have different addresses.
        Disable = "disable",
    }
}
