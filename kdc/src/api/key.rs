//! New keys for parties.

use keycell_protocol::Name;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::policy::given;

/// Which parties are to replace their keys: either `names`, or all enabled ones that `match` and `service` want.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RotateKeys {
    /// 1 to 1,000 full names.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub names: Option<Vec<Name>>,
    /// A glob on the full name.
    #[serde(
        default,
        rename = "match",
        deserialize_with = "given::value",
        skip_serializing_if = "Option::is_none"
    )]
    pub matching: Option<String>,
    /// The local part up to the first dot.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// Only keys that are older than so many days.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub older_than_days: Option<u32>,
    /// Where the page begins: `next` of the one before.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub after: Option<Name>,
}

/// What came of asking.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RotationAsked {
    /// How many parties replace their keys when they next ask for tickets.
    pub asked: u64,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// A key that is to be handed out.
#[derive(Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewPartyKey {
    /// 32 bytes in base64url, when the administrator chooses the key. Sending the same again is harmless.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub key: Option<Zeroizing<String>>,
    /// Whether all other keys of the party are erased at once: somebody else may have them.
    #[serde(default)]
    pub erase_old: bool,
}
