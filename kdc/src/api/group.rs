//! Groups. Patterns are texts here; the KDC reads them, and says which field is wrong.

use keycell_protocol::{Generation, Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::policy::given;
use crate::named::named;

/// What a group looks like from outside: all but its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupView {
    /// Its full name.
    pub name: Name,
    /// Grows with every change: the `ETag`.
    pub revision: u64,
    /// Who is a member: enabled parties that one of these patterns is about.
    pub members: Vec<String>,
    /// How many parties were taken out although a pattern is about them.
    pub excluded: u64,
    /// For how long a key seals; it opens for twice as long.
    pub lifetime_seconds: u32,
    /// Whether members refuse a message to the group that does not prove its author.
    pub author_proof: bool,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Which key seals at this moment.
    pub generation: Generation,
    /// Since when its keys are of the chain that they are of now: no key that was out before seals or is given out.
    pub chain_began_at: UnixMillis,
    /// When the last ticket ends that a key of an earlier chain may open; absent once that is over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub old_keys_until: Option<UnixMillis>,
    /// Why the party that was asked about is no member although a pattern is about it; absent if it is one, or if none was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

/// A page of groups.
#[derive(Debug, Serialize, Deserialize)]
pub struct GroupPage {
    /// In the order of their names.
    pub groups: Vec<GroupView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}

/// A group that is to be made.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewGroup {
    /// Its full name; its local part has no `.`.
    pub name: Name,
    /// Who is a member: 1 to 32 patterns on names of this zone; without, those that begin with the group's name and a dot.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// 60 to 86,400; 300 without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// Whether members refuse a message to the group that does not prove its author.
    #[serde(default)]
    pub author_proof: bool,
    /// At most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
}

/// What of a group is to be changed; what is absent stays.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupPatch {
    /// Who is a member: all patterns. Without one of those before, all keys that are out come to an end.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub members: Option<Vec<String>>,
    /// 60 to 86,400. Another one brings all keys that are out to an end.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// Whether members refuse a message to the group that does not prove its author.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub author_proof: Option<bool>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
}

/// A party that a group's patterns are about.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MemberView {
    /// Its full name.
    pub name: Name,
    /// Why it is no member all the same; absent if it is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub left_out: Option<LeftOut>,
}

named! {
    /// Why a party is no member although a pattern is about it.
    LeftOut(UnknownLeftOut, "a party is left out as disabled or excluded") {
        /// It may not speak at all.
        Disabled = "disabled",
        /// An administrator took it out; there may be no such party any more.
        Excluded = "excluded",
    }
}

/// A page of members.
#[derive(Debug, Serialize, Deserialize)]
pub struct MemberPage {
    /// In the order of their names.
    pub members: Vec<MemberView>,
    /// How many parties are members in all; only on the first page.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub total: Option<u64>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Name>,
}
