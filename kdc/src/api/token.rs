//! Administrators' tokens.

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy::given;
use crate::token::Role;

/// What is known of a token; not the token itself.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct TokenView {
    /// Its name, the `jti` inside it.
    pub id: String,
    /// Whose it is.
    pub subject: String,
    /// What its holder may do.
    pub role: Role,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when it is good.
    pub expires_at: UnixMillis,
    /// Who made it.
    pub created_by: String,
    /// When it was revoked; absent if it was not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<UnixMillis>,
}

/// A page of tokens.
#[derive(Debug, Serialize, Deserialize)]
pub struct TokenPage {
    /// The newest first.
    pub tokens: Vec<TokenView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A token that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// Whose it is to be: 1 to 100 printable characters without spaces.
    pub subject: String,
    /// What its holder may do.
    pub role: Role,
    /// For how long it is to be good: 60 to 2,678,400 (31 days); 43,200 (12 hours) without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub ttl_seconds: Option<u64>,
}

impl NewToken {
    /// How long a token is good unless something else is asked for: 12 hours.
    pub const DEFAULT_TTL: u64 = 43_200;
    /// The longest: 31 days.
    pub const MAX_TTL: u64 = 2_678_400;
}

/// A token that was made. It is shown this once.
#[derive(Serialize, Deserialize)]
pub struct CreatedToken {
    /// What is known of it.
    pub info: TokenView,
    /// The token.
    pub token: Zeroizing<String>,
}

/// Who is asking.
#[derive(Debug, Serialize, Deserialize)]
pub struct WhoAmI {
    /// As the audit log names it: `administrator:SUBJECT` or `external:SUBJECT@ISSUER`.
    pub actor: String,
    /// What it may do.
    pub role: Role,
    /// Until when the token is good.
    pub expires_at: UnixMillis,
    /// The token's id, if it has one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
}
