//! Keys that are used in two places, and hosts that came with another key.

use std::net::IpAddr;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::enrollment::CopiesKind;

/// A page of conflicts.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConflictPage {
    /// In the order of the parties' names.
    pub conflicts: Vec<ConflictView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// What is wrong with one party, until somebody clears it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct ConflictView {
    /// The party.
    pub party: Name,
    /// Whether it may speak.
    pub enabled: bool,
    /// Its key is used in two places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<CopiesView>,
    /// Its host was known by another key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_host: Option<SameHostView>,
}

/// A key that is used in two places.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct CopiesView {
    /// What it looks like.
    pub kind: CopiesKind,
    /// The places; one twice where both are behind one address.
    pub addresses: [IpAddr; 2],
    /// When it was first seen.
    pub first_at: UnixMillis,
    /// When it was last told of.
    pub last_at: UnixMillis,
}

/// A host that was known by another key.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct SameHostView {
    /// Some of the other parties of that service and host.
    pub others: Vec<Name>,
    /// Where the party came from.
    pub address: IpAddr,
    /// When.
    pub at: UnixMillis,
}
