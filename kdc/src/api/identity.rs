//! The KDC's identities.

use keycell_protocol::{IdentityEncryptionKey, IdentityName, SignerKey, UnixMillis};
use serde::{Deserialize, Serialize};

use super::public_key;

/// The KDC's identities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentitiesView {
    /// The primary, the secondary, and those that are retired, the last one first.
    pub identities: Vec<IdentityView>,
}

/// One of them, without its private half.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityView {
    /// Which.
    pub name: IdentityName,
    /// What it is for.
    pub state: IdentityState,
    /// What it signs with.
    #[serde(with = "public_key")]
    pub signing_key: SignerKey,
    /// How a voucher names that key: the first 8 bytes of its SHA-256, in hexadecimal.
    pub signer: String,
    /// What it is written to with.
    pub encryption_key: IdentityEncryptionKey,
    /// Where its private half is.
    pub private_half: PrivateHalf,
    /// Since when it is retired.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retired_at: Option<UnixMillis>,
}

/// What an identity is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum IdentityState {
    /// The KDC works with it.
    Primary,
    /// It is for the day on which the primary is lost or stolen.
    Secondary,
    /// It was lost or stolen: nothing that it signs counts.
    Retired,
}

/// Where the private half of an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateHalf {
    /// Wrapped in the database.
    InDatabase,
    /// In a file that is elsewhere.
    Exported,
    /// Removed: nobody needs it any more.
    Deleted,
}
