//! The KDC's identities.

use keycell_protocol::{IdentityEncryptionKey, IdentityName, SignerKey};
use serde::{Deserialize, Serialize};

use super::public_key;

/// The KDC's identities.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentitiesView {
    /// The primary first.
    pub identities: Vec<IdentityView>,
}

/// One of them, without its private half.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct IdentityView {
    /// Which.
    pub name: IdentityName,
    /// What it signs with.
    #[serde(with = "public_key")]
    pub signing_key: SignerKey,
    /// How a voucher names that key: the first 8 bytes of its SHA-256, in hexadecimal.
    pub signer: String,
    /// What it is written to with.
    pub encryption_key: IdentityEncryptionKey,
    /// Where its private half is.
    pub private_half: PrivateHalf,
}

/// Where the private half of an identity is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PrivateHalf {
    /// Wrapped in the database.
    InDatabase,
    /// Not here.
    CarriedOff,
}
