//! The JSON of the administrators' API, for both of its ends.

use keycell_protocol::{Epoch, Generation, Name, RatchetPeriod, UnixMillis};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

/// What a party looks like from outside.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartyView {
    /// Its full name.
    pub name: Name,
    /// Whether it may ask for tickets and be asked for.
    pub enabled: bool,
    /// How often it was changed, from 1.
    pub revision: u64,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Its keys, without the keys.
    pub keys: Vec<KeyView>,
}

/// What a key looks like from outside.
#[derive(Debug, Serialize, Deserialize)]
pub struct KeyView {
    /// Its generation.
    pub generation: Generation,
    /// `staged`, `active`, `retiring` or `dead`.
    pub state: String,
}

/// A page of parties.
#[derive(Debug, Serialize, Deserialize)]
pub struct PartyPage {
    /// In the order of their names.
    pub parties: Vec<PartyView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// A party that is to be made.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewParty {
    /// Its full name.
    pub name: Name,
    /// 32 bytes in base64url, when the administrator chooses the key. Sending the same again is harmless.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
}

/// A party that was made, with what its host needs.
#[derive(Serialize, Deserialize)]
pub struct CreatedParty {
    /// The party.
    pub party: PartyView,
    /// The generation of its key.
    pub generation: Generation,
    /// The epoch of its key.
    pub epoch: Epoch,
    /// The length of an epoch.
    pub ratchet_period: RatchetPeriod,
    /// The key, 32 bytes in base64url; absent when the administrator chose it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// Where the zone's KDCs are.
    pub urls: Vec<String>,
}

/// What is to be changed.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PartyPatch {
    /// Whether it may speak.
    pub enabled: bool,
}
