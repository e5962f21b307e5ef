//! Hosts that an administrator decides on.

use std::net::IpAddr;

use keycell_protocol::{AuthorPublicKey, Fingerprint, HostName, JoinTokenId, Name, ServiceName, UnixMillis};
use serde::{Deserialize, Serialize};

use super::public_key;
use crate::enrollment::{WaitingFor, WaitingState};

/// A host that waits, was approved and has not come back yet, or was denied.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct WaitingView {
    /// Which key: to be compared with what the host itself says.
    pub fingerprint: Fingerprint,
    /// Grows with every change: the `ETag`.
    pub revision: u64,
    /// What was decided.
    pub state: WaitingState,
    /// Why it was not let in at once; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub because: Option<WaitingFor>,
    /// The name that it will have; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<Name>,
    /// The service that it wants to be; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub service: Option<ServiceName>,
    /// The host that it says to be; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<HostName>,
    /// Its key; absent of one that never came.
    #[serde(default, with = "public_key::optional", skip_serializing_if = "Option::is_none")]
    pub public_key: Option<AuthorPublicKey>,
    /// The join token that it came with; absent where it had none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub join_token: Option<JoinTokenId>,
    /// Where it came from; absent of one that never came.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// When it first came, or was denied without coming.
    pub first_at: UnixMillis,
    /// When it was decided; absent while it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_at: Option<UnixMillis>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_by: Option<String>,
    /// Until when it is kept; absent for good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixMillis>,
    /// What the KDC wants to say of it.
    pub note: String,
    /// Parties of the same service and host with other keys, at most 8; only where one is shown.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub others: Vec<Name>,
}

/// A page of hosts.
#[derive(Debug, Serialize, Deserialize)]
pub struct WaitingPage {
    /// In the order of their fingerprints.
    pub enrollments: Vec<WaitingView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Fingerprint>,
}
