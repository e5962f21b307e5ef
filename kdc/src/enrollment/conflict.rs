//! Two that say to be one: another key under the name of a known host, or one key in two places.

use std::net::IpAddr;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use crate::named::named;

/// The body of the document of a conflict; its id is the local name of the party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ConflictRecord {
    /// The party.
    pub party: Name,
    /// There are others of the same service and host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub same_host: Option<SameHost>,
    /// Its key is used in two places.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub copies: Option<Copies>,
    /// The document's own.
    #[serde(skip)]
    pub revision: u64,
}

/// A host that was known by another key.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SameHost {
    /// Some of the others, at most [`MOST`](Self::MOST).
    pub others: Vec<Name>,
    /// Where the party came from.
    pub address: IpAddr,
    /// When.
    pub at: UnixMillis,
}

impl SameHost {
    /// How many others are named.
    pub const MOST: usize = 8;
}

/// A key that is used in two places.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Copies {
    /// What it looks like.
    pub kind: CopiesKind,
    /// The places.
    pub addresses: [IpAddr; 2],
    /// When it was first seen.
    pub first_at: UnixMillis,
    /// When it was last seen.
    pub last_at: UnixMillis,
}

named! {
    /// What two copies of a key look like.
    CopiesKind(UnknownCopiesKind, "copies are a clone, or a key that is shared") {
        /// Two addresses in turn: a machine with its key store was copied.
        Clone = "clone",
        /// Two processes behind one address: two agents use one key file, or a copy is behind the same address.
        Shared = "shared",
    }
}
