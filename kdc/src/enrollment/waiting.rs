//! Hosts that an administrator has to decide on.

use std::net::IpAddr;

use keycell_protocol::{
    AuthorPublicKey, EnrolledName, Fingerprint, HostName, JoinTokenId, Name, ServiceName, UnixMillis, Zone,
};
use serde::{Deserialize, Serialize};

use crate::named::named;

/// The body of the document of a host that waits, was approved and has not come back yet, or was denied. Its id is the
/// fingerprint of the public key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WaitingRecord {
    /// What was decided.
    pub state: WaitingState,
    /// Why it was not let in at once; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<WaitingFor>,
    /// The service that it wants to be; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The host that it says to be; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Its key; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub public_key: Option<AuthorPublicKey>,
    /// The join token that it came with, where its host is contested.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<JoinTokenId>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// When it first came, or was denied without coming.
    pub first_at: UnixMillis,
    /// When it was decided, and by whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<UnixMillis>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Until when it is kept; what is denied is kept for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// What an administrator wants to remember of it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// The document's own.
    #[serde(skip)]
    pub revision: u64,
}

impl WaitingRecord {
    /// What is kept of a host that is denied, for good.
    #[must_use]
    pub fn denied(found: Option<Self>, now: UnixMillis) -> Self {
        let blank = Self {
            state: WaitingState::Denied,
            because: None,
            service: None,
            host: None,
            public_key: None,
            token: None,
            address: None,
            first_at: now,
            decided_at: None,
            decided_by: None,
            until: None,
            note: String::new(),
            revision: 0,
        };
        Self { state: WaitingState::Denied, until: None, ..found.unwrap_or(blank) }
    }

    /// The name that it will have.
    #[must_use]
    pub fn name(&self, zone: &Zone) -> Option<Name> {
        let (service, host) = (self.service.clone()?, self.host.clone()?);
        let fingerprint = Fingerprint::of(self.public_key.as_ref()?);
        Some(EnrolledName { service, host, fingerprint }.name(zone))
    }

    /// Whether it still counts.
    #[must_use]
    pub fn lasts(&self, now: UnixMillis) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

named! {
    /// What was decided on a host.
    WaitingState(UnknownWaitingState, "a host is waiting, approved or denied") {
        /// Nothing yet.
        Waiting = "waiting",
        /// It is let in when it comes again.
        Approved = "approved",
        /// It is not let in, whatever it brings.
        Denied = "denied",
    }
}

named! {
    /// Why a host was not let in at once.
    WaitingFor(UnknownWaitingFor, "a host waits for approval, or because of a conflict") {
        /// The zone lets nobody in unseen.
        Approval = "approval",
        /// There is a party of the same service and host with another key.
        Conflict = "conflict",
    }
}
