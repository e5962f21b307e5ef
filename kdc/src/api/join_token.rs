//! Join tokens.

use ipnet::IpNet;
use keycell_protocol::{JoinTokenId, ServiceName, UnixMillis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy::given;
use crate::enrollment::HostPattern;
use crate::named::named;

/// What is known of a join token; not the token itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct JoinTokenView {
    /// Which one: the first part of the token.
    pub id: JoinTokenId,
    /// What has become of it.
    pub state: JoinTokenState,
    /// The only service that it lets in.
    pub service: ServiceName,
    /// The hosts that it lets in.
    pub hosts: Vec<HostPattern>,
    /// The networks that they come from; any, where there is none.
    pub networks: Vec<IpNet>,
    /// How many hosts it lets in.
    pub uses: u32,
    /// How many it has let in.
    pub used: u32,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Who made it.
    pub created_by: String,
    /// Until when it is good.
    pub expires_at: UnixMillis,
    /// When it was revoked; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixMillis>,
}

named! {
    /// What has become of a join token.
    JoinTokenState(UnknownJoinTokenState, "a join token is live, used_up, expired or revoked") {
        /// It lets hosts in.
        Live = "live",
        /// It has let in as many as it was made for.
        UsedUp = "used_up",
        /// Its time is over.
        Expired = "expired",
        /// An administrator revoked it.
        Revoked = "revoked",
    }
}

/// A page of join tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct JoinTokenPage {
    /// The newest first.
    pub join_tokens: Vec<JoinTokenView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<JoinTokenId>,
}

/// A join token that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewJoinToken {
    /// The only service that it is to let in.
    pub service: ServiceName,
    /// The hosts that it is to let in: 1 to 64 patterns.
    pub hosts: Vec<HostPattern>,
    /// The networks that they come from: at most 64; any, where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub networks: Vec<IpNet>,
    /// How many hosts it is to let in: 1 to 1,000,000; one without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub uses: Option<u32>,
    /// For how long it is to be good: 60 to 31,622,400 (366 days); 172,800 (2 days) without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
    /// What to remember of it: at most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

impl NewJoinToken {
    /// How long a join token is good unless something else is asked for: 2 days.
    pub const DEFAULT_TTL: u64 = 172_800;
    /// The longest: 366 days.
    pub const MAX_TTL: u64 = 31_622_400;
    /// How many hosts it lets in at most.
    pub const MAX_USES: u32 = 1_000_000;
}

/// A join token that was made. It is shown this once.
#[derive(Serialize, Deserialize)]
pub struct CreatedJoinToken {
    /// What is known of it.
    pub info: JoinTokenView,
    /// The token.
    pub token: Zeroizing<String>,
}
