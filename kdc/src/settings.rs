//! Settings of the zone: what administrators set here holds on every KDC, before its own configuration.

use keycell_protocol::{IdentityEncryptionKey, IdentityName, KdcIdentity, SignerKey, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::config::{Config, Tickets};
use crate::enrollment::EnrollmentSetting;
use crate::limit::Rate;
use crate::watermark::IdentityMark;

/// All settings, with the revisions of the documents that hold them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// What is set of the zone.
    pub zone: ZoneSetting,
    /// The revision of that; 0 when nothing was ever set.
    pub zone_revision: u64,
    /// What is set of the rates.
    pub limits: LimitsSetting,
    /// The revision of that.
    pub limits_revision: u64,
    /// Which version of the master key wraps, once there was more than one.
    pub master_key: Option<MasterKeySetting>,
    /// The revision of that.
    pub master_key_revision: u64,
    /// By which keys the KDC is known.
    pub identities: IdentitiesSetting,
    /// The revision of that.
    pub identities_revision: u64,
    /// How hosts come aboard.
    pub enrollment: EnrollmentSetting,
    /// The revision of that.
    pub enrollment_revision: u64,
}

impl Settings {
    /// How long tickets last.
    #[must_use]
    pub fn ticket_lifetime_seconds(&self, tickets: &Tickets) -> u32 {
        self.zone.ticket_lifetime_seconds.unwrap_or(tickets.lifetime_seconds)
    }

    /// The rates in force on a KDC of this configuration.
    #[must_use]
    pub fn rates(&self, config: &Config) -> Rates {
        Rates {
            per_address: self.limits.per_address.unwrap_or(config.limits.per_address),
            failures_per_address: self
                .limits
                .failures_per_address
                .unwrap_or(config.limits.failures_per_address),
            enrollments_per_address: self
                .limits
                .enrollments_per_address
                .unwrap_or(config.limits.enrollments_per_address),
            tickets_per_party: self.limits.tickets_per_party.unwrap_or(config.limits.tickets_per_party),
        }
    }
}

/// The rates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rates {
    /// Requests of one address.
    pub per_address: Rate,
    /// Failed authentications of one address.
    pub failures_per_address: Rate,
    /// Requests of one address to enroll.
    pub enrollments_per_address: Rate,
    /// Tickets of one party.
    pub tickets_per_party: Rate,
}

/// The body of the document `zone`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ZoneSetting {
    /// How long tickets last: 10 to 86,400.
    pub ticket_lifetime_seconds: Option<u32>,
    /// For how many days the audit log is kept: 1 to 36,500; for ever without it.
    pub audit_retention_days: Option<u32>,
    /// After how many days a party is told to rotate its key: 1 to 3,650; never without it. Not written unless set, so
    /// that the release before, which does not know it, can read the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotate_keys_after_days: Option<u32>,
}

impl ZoneSetting {
    /// The document's id.
    pub const ID: &'static str = "zone";
}

/// The body of the document `limits`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsSetting {
    /// Requests of one address.
    pub per_address: Option<Rate>,
    /// Failed authentications of one address.
    pub failures_per_address: Option<Rate>,
    /// Tickets of one party.
    pub tickets_per_party: Option<Rate>,
    /// Requests of one address to enroll. Not written unless set, so that the release before, which does not know it, can
    /// read the rest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub enrollments_per_address: Option<Rate>,
}

impl LimitsSetting {
    /// The document's id.
    pub const ID: &'static str = "limits";
}

/// The body of the document `identities`: what everybody may know of the KDC's identities.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentitiesSetting {
    /// The public halves of those that count: the primary, then the secondary.
    pub identities: Vec<KdcIdentity>,
    /// Those that were the primary once: nothing that they sign counts any more. Not written unless there are any, so
    /// that the release before, which does not know them, can read the rest.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub retired: Vec<RetiredIdentity>,
}

/// An identity that is not to be believed any more.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RetiredIdentity {
    /// Which.
    pub name: IdentityName,
    /// What it signed with.
    pub signing_key: SignerKey,
    /// What it was written to with.
    pub encryption_key: IdentityEncryptionKey,
    /// When another took its place.
    pub retired_at: UnixMillis,
}

impl IdentitiesSetting {
    /// The document's id.
    pub const ID: &'static str = "identities";

    /// The one that the KDC works with; none before the zone has any.
    #[must_use]
    pub fn primary(&self) -> Option<&KdcIdentity> {
        self.identities.first()
    }

    /// The one whose private half is to be away from it.
    #[must_use]
    pub fn secondary(&self) -> Option<&KdcIdentity> {
        self.identities.get(1)
    }

    /// What is to be remembered of them beside the database; nothing before one was retired.
    #[must_use]
    pub fn mark(&self) -> Option<IdentityMark> {
        let since = self.retired.last()?.retired_at;
        let primary = self.primary()?.name;
        let last = self.secondary().map_or(primary, |secondary| secondary.name.max(primary));
        Some(IdentityMark { primary, last, since })
    }

    /// As it is stored.
    #[must_use]
    pub fn body(&self) -> String {
        let mut body = serde_json::json!({ "identities": self.identities });
        if let Some(body) = body.as_object_mut().filter(|_| !self.retired.is_empty()) {
            body.insert("retired".to_owned(), serde_json::json!(self.retired));
        }
        body.to_string()
    }
}

/// The body of the document `master-key`: sealed under the version that it names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MasterKeySetting {
    /// The version that wraps.
    pub active: u32,
    /// Whether everything there was has been wrapped under it.
    pub rewrapped: bool,
}

impl MasterKeySetting {
    /// The document's id.
    pub const ID: &'static str = "master-key";

    /// As it is stored.
    #[must_use]
    pub fn body(&self) -> String {
        serde_json::json!({ "active": self.active, "rewrapped": self.rewrapped }).to_string()
    }
}
