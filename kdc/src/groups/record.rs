//! A group as it is stored.

use std::collections::BTreeSet;
use std::ops::RangeInclusive;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::Chain;
use crate::policy::Pattern;

/// A group as it is stored: all but its keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GroupRecord {
    /// Its full name.
    pub name: Name,
    /// Who is a member: parties that one of these matches.
    pub members: Vec<Pattern>,
    /// Who is none although a pattern matches.
    #[serde(default)]
    pub excluded: BTreeSet<Name>,
    /// For how many seconds a key seals tickets; it opens them for twice as long.
    pub lifetime_seconds: u32,
    /// Whether a message to the group must prove its author.
    pub author_proof: bool,
    /// What an administrator wants to remember of it.
    #[serde(default)]
    pub note: String,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Grows with every change; the document's own is what counts.
    #[serde(default)]
    pub revision: u64,
    /// Where its keys come from: the last one is in force, those before it have ended and still open what is on its way.
    pub chains: Vec<Chain>,
}

impl GroupRecord {
    /// Whether a party of that name is a member, as long as it is enabled.
    #[must_use]
    pub fn includes(&self, party: &Name) -> bool {
        self.members.iter().any(|pattern| pattern.matches(party)) && !self.excluded.contains(party)
    }

    /// The chain that is in force.
    #[must_use]
    pub fn chain(&self) -> Option<&Chain> {
        self.chains.last()
    }
}

/// For how many seconds a key of a group may seal.
pub const LIFETIME: RangeInclusive<u32> = 60..=86_400;
/// The most groups of a zone.
pub const MAX_GROUPS: usize = 4096;
/// The most patterns of a group.
pub const MAX_PATTERNS: usize = 32;
/// The most names that a group excludes.
pub const MAX_EXCLUDED: usize = 1000;
