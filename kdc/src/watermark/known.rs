//! What is remembered: for each party and token the strictest thing that was seen of it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use keycell_protocol::{Fingerprint, IdentityName, JoinTokenId, Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::file::Version;
use super::forgotten::Forgotten;
use super::is_over;
use crate::audit::Link;
use crate::enrollment::JoinTokenRecord;
use crate::groups::{Chain, GroupRecord};
use crate::policy::Pattern;
use crate::store::{Buried, KeyState, PartyRecord};
use crate::token::TokenRecord;

/// What is remembered.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Known {
    /// The last record of the audit log when somebody was last revoked.
    pub head: Option<Link>,
    /// The last record by which a restored database was accepted.
    pub accepted: Option<Link>,
    pub(super) parties: BTreeMap<Name, PartyMark>,
    pub(super) tokens: BTreeMap<String, TokenMark>,
    pub(super) groups: BTreeMap<Name, GroupMark>,
    /// The hosts that are denied, and since when.
    pub(super) denials: BTreeMap<Fingerprint, UnixMillis>,
    pub(super) forgotten: Option<Forgotten>,
    /// Which identities the zone goes by, once one was retired.
    pub(super) identities: Option<IdentityMark>,
}

/// What is remembered of the KDC's identities once one was retired: a database in which it still counts is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct IdentityMark {
    /// The primary. Those before it are retired.
    pub primary: IdentityName,
    /// The highest that was ever made.
    pub last: IdentityName,
    /// When this primary took its place.
    pub since: UnixMillis,
}

/// What is remembered of a party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PartyMark {
    /// At which revision.
    pub(super) revision: u64,
    /// How often it had been disabled.
    pub(super) epoch: u32,
    pub(super) state: State,
    /// Keys of a generation below this one are dead.
    pub(super) floor: u32,
    /// The highest generation of a key that it had.
    pub(super) last: u32,
    /// When it was made: a party that is made again under its name is another one.
    pub(super) made: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum State {
    Enabled,
    Disabled,
    Deleted,
}

/// What is remembered of a token that was revoked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct TokenMark {
    pub(super) revoked_at: UnixMillis,
    pub(super) expires_at: UnixMillis,
}

/// What is remembered of a group: who is a member, and which of its chains was in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GroupMark {
    /// At which revision.
    pub(super) revision: u64,
    pub(super) deleted: bool,
    /// Whether an older database was accepted that does not have it: nobody deleted it, and it may come back.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub(super) absent: bool,
    pub(super) members: Vec<Pattern>,
    pub(super) excluded: BTreeSet<Name>,
    pub(super) chain: Option<Chain>,
    /// When it was made: a group that is made again under its name is another one.
    pub(super) made: UnixMillis,
}

/// One thing that was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Entry {
    /// Which identities count.
    Identities(IdentityMark),
    Party(Name, PartyMark),
    Token(String, TokenMark),
    Group(Name, GroupMark),
    /// A host was denied at that moment.
    Denial(Fingerprint, UnixMillis),
    /// It is not denied any more: an administrator forgot or approved it.
    LetOff(Fingerprint, UnixMillis),
    /// Groups that were deleted are forgotten by their names.
    Forgotten(Forgotten),
    /// The end of the audit log, and the record by which it was last accepted as it is.
    Head(String, Option<String>),
}

impl Entry {
    pub(super) fn of_party(record: &PartyRecord) -> Self {
        let last = record.keys.iter().map(|key| key.generation.0).max().unwrap_or(0);
        let alive = record.keys.iter().filter(|key| key.state != KeyState::Dead);
        let floor = alive.map(|key| key.generation.0).min().unwrap_or_else(|| last.saturating_add(1));
        let state = if record.enabled { State::Enabled } else { State::Disabled };
        let mark = PartyMark {
            revision: record.revision,
            epoch: record.revocation_epoch,
            state,
            floor,
            last,
            made: record.created_at.0,
        };
        Self::Party(record.name.clone(), mark)
    }

    pub(super) fn of_deleted(record: &PartyRecord) -> Self {
        let last = record.keys.iter().map(|key| key.generation.0).max().unwrap_or(0);
        Self::of_buried(&Buried { name: record.name.clone(), revision: record.revision, generation: last })
    }

    pub(super) fn of_buried(buried: &Buried) -> Self {
        let mark = PartyMark {
            revision: buried.revision,
            epoch: 0,
            state: State::Deleted,
            floor: buried.generation.saturating_add(1),
            last: buried.generation,
            made: 0,
        };
        Self::Party(buried.name.clone(), mark)
    }

    pub(super) fn of_group(record: &GroupRecord) -> Self {
        Self::Group(record.name.clone(), GroupMark::of(record))
    }

    /// The first version of the file that knows such a line.
    pub(super) const fn version(&self) -> Version {
        match self {
            Self::Identities(_) | Self::Denial(..) | Self::LetOff(..) => Version::Three,
            Self::Forgotten(_) | Self::Group(_, GroupMark { absent: true, .. }) => Version::Two,
            Self::Party(..) | Self::Token(..) | Self::Group(..) | Self::Head(..) => Version::One,
        }
    }

    pub(super) fn of_token(id: &str, token: &TokenRecord) -> Option<Self> {
        let mark = TokenMark { revoked_at: token.revoked_at?, expires_at: token.expires_at };
        Some(Self::Token(id.to_owned(), mark))
    }

    pub(super) fn of_join_token(id: JoinTokenId, token: &JoinTokenRecord) -> Option<Self> {
        let mark = TokenMark { revoked_at: token.revoked_at?, expires_at: token.expires_at };
        Some(Self::Token(join_token(id), mark))
    }
}

/// Under what a join token is remembered, beside the tokens of administrators: their ids have no colon.
pub(super) fn join_token(id: impl Display) -> String {
    format!("join:{id}")
}

impl GroupMark {
    /// A group that there is.
    pub(super) fn of(record: &GroupRecord) -> Self {
        Self {
            revision: record.revision,
            deleted: false,
            absent: false,
            members: record.members.clone(),
            excluded: record.excluded.clone(),
            chain: record.chain().copied(),
            made: record.created_at,
        }
    }
}

impl PartyMark {
    /// Whether it takes anything from anybody.
    pub(super) const fn revokes(&self) -> bool {
        !matches!(self.state, State::Enabled) || self.floor > 1
    }
}

impl Known {
    /// Takes something in. Says whether it is news.
    pub(super) fn take(&mut self, entry: Entry) -> bool {
        match entry {
            Entry::Party(name, mut mark) => {
                let known = self.parties.get(&name);
                if let Some(known) = known {
                    // Revocations count up and keys go, never back: who says otherwise put rows back. Another life of
                    // the name has other keys.
                    let same = mark.floor <= known.last;
                    if mark.state != State::Deleted
                        && same
                        && (mark.epoch < known.epoch || mark.floor < known.floor)
                    {
                        return false;
                    }
                    // A deletion is of the revision that there was.
                    let older = mark.revision < known.revision
                        || (mark.revision == known.revision && known.state == State::Deleted);
                    if older {
                        return false;
                    }
                    // Generations are never used again: what was dead stays dead.
                    mark.floor = mark.floor.max(known.floor);
                    mark.last = mark.last.max(known.last);
                }
                if known == Some(&mark) || (known.is_none() && !mark.revokes()) {
                    return false;
                }
                // Whoever is enabled with a first key takes nothing from anybody: only its revision went on.
                let news = mark.revokes() || known.is_some_and(PartyMark::revokes);
                if mark.revokes() {
                    let before = self.parties.insert(name, mark.clone());
                    return before.is_none_or(|before| before.differs(&mark));
                }
                self.parties.remove(&name);
                news
            }
            Entry::Token(id, mark) => self.tokens.insert(id, mark.clone()).as_ref() != Some(&mark),
            Entry::Group(name, mark) => {
                let is_forgotten = self.is_forgotten(mark.revision, mark.made);
                match self.groups.get_mut(&name) {
                    // A deletion is of the revision that there was.
                    Some(known)
                        if mark.made <= known.made
                            && (mark.revision < known.revision
                                || (mark.revision == known.revision && known.deleted)) =>
                    {
                        // Also one that came back as it was before is there again.
                        let is_back = known.absent && !mark.absent && !mark.deleted;
                        known.absent &= !is_back;
                        is_back
                    }
                    Some(known) => {
                        // Another revision alone is not worth a line.
                        let news = GroupMark { revision: known.revision, ..mark.clone() } != *known;
                        *known = mark;
                        news
                    }
                    None if is_forgotten => false,
                    None => self.groups.insert(name, mark).is_none(),
                }
            }
            Entry::Denial(host, at) => {
                let is_news = self.denials.get(&host).is_none_or(|known| *known < at);
                if is_news {
                    self.denials.insert(host, at);
                }
                is_news
            }
            Entry::LetOff(host, at) => {
                let is_news = self.denials.get(&host).is_some_and(|known| *known <= at);
                if is_news {
                    self.denials.remove(&host);
                }
                is_news
            }
            Entry::Forgotten(forgotten) => self.take_forgotten(forgotten),
            Entry::Identities(mark) => {
                // A primary that was retired never comes back.
                let known = self.identities.filter(|known| known.primary >= mark.primary);
                let last = self.identities.map_or(mark.last, |known| known.last.max(mark.last));
                let next = IdentityMark { last, ..known.unwrap_or(mark) };
                self.identities.replace(next) != Some(next)
            }
            Entry::Head(head, accepted) => {
                self.head = head.parse().ok().or(self.head);
                self.accepted = accepted.and_then(|link| link.parse().ok()).or(self.accepted);
                false
            }
        }
    }

    /// Forgets tokens that nobody could use any more.
    pub(super) fn forget(&mut self, now: UnixMillis) {
        self.tokens.retain(|_, mark| !is_over(mark.expires_at, now));
    }

    /// Everything, as it is written.
    pub(super) fn entries(&self) -> impl Iterator<Item = Entry> {
        let parties = self.parties.iter().map(|(name, mark)| Entry::Party(name.clone(), mark.clone()));
        let tokens = self.tokens.iter().map(|(id, mark)| Entry::Token(id.clone(), mark.clone()));
        let groups = self.groups.iter().map(|(name, mark)| Entry::Group(name.clone(), mark.clone()));
        let denials = self.denials.iter().map(|(host, at)| Entry::Denial(*host, *at));
        // First of all, for who cannot check the line: see `file::retired`.
        let identities = self.identities.map(Entry::Identities).into_iter();
        // After the groups: whoever is remembered when names are forgotten is alive.
        let all = identities.chain(parties).chain(tokens).chain(denials).chain(groups);
        all.chain(self.forgotten.map(Entry::Forgotten))
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        [self.parties.len(), self.tokens.len(), self.groups.len(), self.denials.len()].iter().sum()
    }

    /// Whether nothing is remembered.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl PartyMark {
    /// Whether it takes other things than `other` does: another revision alone is not worth a line.
    fn differs(&self, other: &Self) -> bool {
        (self.epoch, self.state, self.floor, self.last, self.made)
            != (other.epoch, other.state, other.floor, other.last, other.made)
    }
}
