//! The policy and its rules. Patterns, effects and modes are texts here; the KDC reads them, and says which field is wrong.

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

/// A rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RuleView {
    /// Its name: 1 to 64 of `a-z 0-9 -`.
    pub id: String,
    /// Grows with every change.
    pub revision: u64,
    /// `allow` or `deny`.
    pub effect: String,
    /// `enforce` or `monitor`.
    pub mode: String,
    /// A glob on the full names of those who ask.
    pub source: String,
    /// A glob on the full names of those who are asked for.
    pub destination: String,
    /// The longest life of a ticket under this rule; absent for the zone's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u32>,
    /// What it is for.
    pub note: String,
    /// From when on it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Why it never decides anything as things are; absent if it may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub warning: Option<String>,
}

/// A rule that is to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewRule {
    /// Its name; the KDC makes one up without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// `allow` or `deny`.
    pub effect: String,
    /// `enforce` (which it is without this) or `monitor`.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// A glob on full names; this zone's without an `@`.
    pub source: String,
    /// A glob on full names; this zone's without an `@`.
    pub destination: String,
    /// 10 to 86,400; for `allow` only.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<u32>,
    /// At most 200 characters.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub note: String,
    /// Unix milliseconds.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMillis>,
}

/// What of a rule is to be changed; what is absent stays, what is `null` is taken away.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RulePatch {
    /// `allow` or `deny`.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub effect: Option<String>,
    /// `enforce` or `monitor`.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub mode: Option<String>,
    /// A glob on full names.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// A glob on full names.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub destination: Option<String>,
    /// 10 to 86,400.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub max_lifetime_seconds: Option<Option<u32>>,
    /// At most 200 characters.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub note: Option<String>,
    /// Unix milliseconds.
    #[serde(default, with = "given", skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Option<UnixMillis>>,
}

/// A page of rules.
#[derive(Debug, Serialize, Deserialize)]
pub struct RulePage {
    /// In the order of their ids.
    pub rules: Vec<RuleView>,
    /// What to send as `after` for the next page; absent on the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// The whole policy.
#[derive(Debug, Serialize, Deserialize)]
pub struct PolicyView {
    /// The number of its last change: the `ETag`.
    pub revision: u64,
    /// In the order of their ids.
    pub rules: Vec<RuleView>,
}

/// The rules that are to be the whole policy.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rules {
    /// All of them; those without an id get one.
    #[serde(deserialize_with = "given::objects")]
    pub rules: Vec<NewRule>,
}

/// A set of rules to begin with.
#[derive(Debug, Serialize, Deserialize)]
pub struct ProfileView {
    /// Its name.
    pub name: String,
    /// What it is for.
    pub summary: String,
    /// Its rules, as they can be sent back.
    pub rules: Vec<NewRule>,
}

/// Whether one party may speak to another. The answer is the policy's explanation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyTest {
    /// Who would ask: a full name, or a local one of this zone.
    pub source: String,
    /// Who would be asked for.
    pub destination: String,
    /// At which moment; now without it.
    #[serde(default, deserialize_with = "given::value", skip_serializing_if = "Option::is_none")]
    pub at: Option<UnixMillis>,
}

/// Fields that may be absent: where `null` means something of its own, and where it is refused.
pub(super) mod given {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    use crate::api::Object;

    #[expect(clippy::ref_option, reason = "serde's signature")]
    pub(in crate::api) fn serialize<T: Serialize, S: Serializer>(
        value: &Option<Option<T>>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().and_then(Option::as_ref).serialize(serializer)
    }

    pub(in crate::api) fn deserialize<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Option::deserialize(deserializer).map(Some)
    }

    /// A field that may be absent, but not `null`: who sends that may mean something else than to leave it as it is.
    pub(in crate::api) fn value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<T>, D::Error> {
        T::deserialize(deserializer).map(Some)
    }

    /// An object that may be absent or `null`.
    pub(in crate::api) fn object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Option<T>>, D::Error> {
        Ok(Some(Option::<Object<T>>::deserialize(deserializer)?.map(|Object(value)| value)))
    }

    /// A list of objects.
    pub(in crate::api) fn objects<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let objects = Vec::<Object<T>>::deserialize(deserializer)?;
        Ok(objects.into_iter().map(|Object(value)| value).collect())
    }
}
