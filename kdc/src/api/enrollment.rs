//! How hosts come aboard by themselves: what administrators set of it.

use ipnet::IpNet;
use keycell_protocol::ServiceName;
use serde::{Deserialize, Serialize};

use super::policy::given;
use crate::enrollment::{ClonesRule, ConflictsRule, EnrollmentMode, EnrollmentSetting, HostPattern};

/// What is in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnrollmentView {
    /// Grows with every change: the `ETag`.
    pub revision: u64,
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
    /// Over how many seconds hosts spread that find their keys refused.
    pub reenroll_within_seconds: u32,
    /// How many hosts may wait for an administrator.
    pub pending_most: u32,
    /// After how many days one that waits is forgotten.
    pub pending_days: u32,
    /// How many parties there may be that came in by trust on first use.
    pub tofu_most: u32,
}

impl EnrollmentView {
    /// What is set, at that revision.
    #[must_use]
    pub fn new(revision: u64, setting: EnrollmentSetting) -> Self {
        let EnrollmentSetting {
            mode,
            services,
            hosts,
            networks,
            conflicts,
            clones,
            reenroll_within_seconds,
            pending_most,
            pending_days,
            tofu_most,
        } = setting;
        Self {
            revision,
            mode,
            services,
            hosts,
            networks,
            conflicts,
            clones,
            reenroll_within_seconds,
            pending_most,
            pending_days,
            tofu_most,
        }
    }
}

/// What is to be changed; what is absent stays, what is `null` goes back to its default.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnrollmentPatch {
    /// Who gets in.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub mode: Option<Option<EnrollmentMode>>,
    /// 1 to 64.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub services: Option<Option<Vec<ServiceName>>>,
    /// 1 to 64.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub hosts: Option<Option<Vec<HostPattern>>>,
    /// At most 64; any network with none.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub networks: Option<Option<Vec<IpNet>>>,
    /// What becomes of a host that is known by another key.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub conflicts: Option<Option<ConflictsRule>>,
    /// What becomes of a party whose key is used in two places.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub clones: Option<Option<ClonesRule>>,
    /// 1 to 86,400.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub reenroll_within_seconds: Option<Option<u32>>,
    /// 1 to 100,000.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub pending_most: Option<Option<u32>>,
    /// 1 to 365.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub pending_days: Option<Option<u32>>,
    /// 1 to 10,000,000.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub tofu_most: Option<Option<u32>>,
}
