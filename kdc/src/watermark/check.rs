//! Holds a database against what is remembered.

use std::fmt;

use keycell_protocol::Name;
use serde::Serialize;

use super::known::{GroupMark, PartyMark, State, join_token};
use super::{Known, WatermarkError, denials};
use crate::audit::{Action, AuditKey, Link, Record, SealKind};
use crate::enrollment::JoinTokenRecord;
use crate::groups::{Chain, GroupRecord};
use crate::store::{AuditQuery, KeyState, Kind, PartyRecord, Store, StoreError};
use crate::token::TokenRecord;

/// What a database is against what is remembered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    /// Whether its audit log is the one that was seen.
    pub history: History,
    /// Who gets something back.
    pub undone: Vec<Undone>,
}

/// Whether an audit log is the one that was seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum History {
    /// It is, or nothing was seen before.
    Same,
    /// It is another one, and an administrator accepted that, in this record.
    Accepted(Link),
    /// It ends before what was seen.
    Older {
        /// Where it ends.
        found: u64,
    },
    /// It goes another way.
    Other,
}

/// Somebody who gets something back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Undone {
    /// The party, the token's id, the host's fingerprint, or the group.
    pub name: String,
    /// What was taken from it.
    pub what: What,
}

/// What was taken from somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    /// The party was disabled.
    Disabled,
    /// The party was deleted.
    Deleted,
    /// Its older keys were erased.
    OlderKey,
    /// The token was revoked.
    TokenRevoked,
    /// The join token was revoked.
    JoinTokenRevoked,
    /// The host was denied.
    DenialLost,
    /// The group was deleted.
    GroupDeleted,
    /// Members of the group were taken out.
    GroupMembers,
    /// The group's keys were replaced.
    GroupKeys,
}

impl fmt::Display for Undone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, what } = self;
        match what {
            What::Disabled => write!(f, "{name} was disabled"),
            What::Deleted => write!(f, "{name} was deleted"),
            What::OlderKey => write!(f, "{name} goes back to an older key"),
            What::TokenRevoked => write!(f, "the token {name} was revoked"),
            What::JoinTokenRevoked => write!(f, "the join token {name} was revoked"),
            What::DenialLost => write!(f, "the host with the fingerprint {name} was denied"),
            What::GroupDeleted => write!(f, "the group {name} was deleted"),
            What::GroupMembers => write!(f, "members of the group {name} were taken out"),
            What::GroupKeys => write!(f, "the group {name} goes back to older keys"),
        }
    }
}

impl Verdict {
    /// Whether a KDC may start.
    #[must_use]
    pub const fn holds(&self) -> bool {
        self.undone.is_empty() && matches!(self.history, History::Same | History::Accepted(_))
    }

    /// The refusal: what it is, whom it concerns, and what to do.
    #[must_use]
    pub fn refusal(&self, known: &Known) -> WatermarkError {
        let seen = known.head.map_or(0, |head| head.seq);
        let what = match self.history {
            History::Older { found } => {
                format!(
                    "the database is older than this KDC: its audit log ends at record {found}, and record {seen} was seen"
                )
            }
            History::Other => {
                format!(
                    "the database has another history than this KDC saw: its record {seen} is another one"
                )
            }
            History::Same | History::Accepted(_) => "rows of the database were set back".to_owned(),
        };
        let mut who = self.undone.iter().take(NAMED).map(ToString::to_string).collect::<Vec<_>>().join(", ");
        if self.undone.len() > NAMED {
            who.push_str(&format!(
                " and {} more (`keycell --json check-config` names all)",
                self.undone.len() - NAMED
            ));
        }
        let who = if who.is_empty() { "nobody that it remembers gets anything back".to_owned() } else { who };
        WatermarkError::Rollback(format!(
            "{what}. Revocations would be undone: {who}. Restore a newer backup, or start once with --accept-rollback, which \
             takes from them again what was taken"
        ))
    }
}

/// Holds the database against what is `known`.
///
/// # Errors
/// The database's.
pub async fn check(store: &dyn Store, known: &Known, key: &AuditKey) -> Result<Verdict, StoreError> {
    Ok(Verdict { history: history(store, known, key).await?, undone: undone(store, known).await? })
}

/// Who gets something back.
///
/// # Errors
/// The database's.
pub async fn undone(store: &dyn Store, known: &Known) -> Result<Vec<Undone>, StoreError> {
    let mut undone = Vec::new();
    let names: Vec<Name> = known.parties.keys().cloned().collect();
    for names in names.chunks(PAGE) {
        for party in store.some_parties(names).await? {
            let what = known.parties.get(&party.name).and_then(|mark| gives_back(mark, &party));
            undone.extend(what.map(|what| Undone { name: party.name.to_string(), what }));
        }
    }
    for document in store.documents(Kind::Token).await?.documents {
        if known.tokens.contains_key(&document.id)
            && serde_json::from_str::<TokenRecord>(&document.body)
                .is_ok_and(|token| token.revoked_at.is_none())
        {
            undone.push(Undone { name: document.id, what: What::TokenRevoked });
        }
    }
    for document in store.documents(Kind::JoinToken).await?.documents {
        if known.tokens.contains_key(&join_token(&document.id))
            && serde_json::from_str::<JoinTokenRecord>(&document.body)
                .is_ok_and(|token| token.revoked_at.is_none())
        {
            undone.push(Undone { name: document.id, what: What::JoinTokenRevoked });
        }
    }
    undone.extend(denials::lost(store, known).await?.into_iter().map(denials::undone));
    for document in store.documents(Kind::Group).await?.documents {
        let Ok(record) = serde_json::from_str::<GroupRecord>(&document.body) else { continue };
        let what = known.group_goes_back(document.revision, &record);
        undone.extend(what.map(|what| Undone { name: record.name.to_string(), what }));
    }
    Ok(undone)
}

/// What a group as it is in the database, at that revision, has that was taken from it.
pub(super) fn goes_back(mark: &GroupMark, revision: u64, record: &GroupRecord) -> Option<What> {
    if record.created_at > mark.made || (revision >= mark.revision && !mark.deleted) {
        return None;
    }
    if mark.deleted {
        return Some(What::GroupDeleted);
    }
    let excluded = record.excluded.is_superset(&mark.excluded);
    let narrow = record.members.iter().all(|pattern| mark.members.contains(pattern));
    if !excluded || !narrow {
        return Some(What::GroupMembers);
    }
    let version = |chain: Option<&Chain>| chain.map_or(0, |chain| chain.version);
    (version(record.chain()) < version(mark.chain.as_ref())).then_some(What::GroupKeys)
}

/// What a party as it is in the database has that was taken from it. Only what its keys are bound to counts: a revision
/// could be written by anybody who can write there.
pub(super) fn gives_back(mark: &PartyMark, party: &PartyRecord) -> Option<What> {
    // Who came aboard by itself comes again by its own key pair, with none of the keys here.
    let returns = party.enrollment.is_some()
        && party.keys.iter().all(|key| key.state == KeyState::Dead && key.generation.0 <= mark.last);
    let mut alive = party.keys.iter().filter(|key| key.state != KeyState::Dead).peekable();
    // A party that was made again has other keys than all that its name had before.
    let again = party.created_at.0 > mark.made
        && alive.peek().is_some()
        && alive.clone().all(|key| key.generation.0 > mark.last);
    if again {
        return None;
    }
    let older = alive.any(|key| key.generation.0 < mark.floor);
    match mark.state {
        State::Deleted if older || returns => Some(What::Deleted),
        State::Disabled if party.enabled && party.revocation_epoch < mark.epoch => Some(What::Disabled),
        _ => older.then_some(What::OlderKey),
    }
}

async fn history(store: &dyn Store, known: &Known, key: &AuditKey) -> Result<History, StoreError> {
    let Some(seen) = known.head else { return Ok(History::Same) };
    let head = store.audit_seals(SealKind::Head).await?.pop();
    let head = head.filter(|head| head.holds(key.zone(), key.public())).map(|head| head.link);
    let Some(head) = head else { return Ok(History::Older { found: 0 }) };
    let found = match head.seq == seen.seq {
        true => Some(head),
        false => record(store, seen.seq).await?.map(|record| record.link()),
    };
    let history = match found {
        Some(found) if found.seq == seen.seq && found.hash == seen.hash => return Ok(History::Same),
        _ if head.seq < seen.seq => History::Older { found: head.seq },
        // Retention may have removed it: what it left is signed.
        None if trimmed(store, key, seen).await? => return Ok(History::Same),
        _ => History::Other,
    };
    Ok(accepted(store, known, seen, head, key).await?.map_or(history, History::Accepted))
}

async fn record(store: &dyn Store, seq: u64) -> Result<Option<Record>, StoreError> {
    let query = AuditQuery {
        after: seq.checked_sub(1),
        before: seq.checked_add(1),
        limit: 1,
        ..AuditQuery::default()
    };
    Ok(store.audit(&query).await?.pop())
}

async fn trimmed(store: &dyn Store, key: &AuditKey, seen: Link) -> Result<bool, StoreError> {
    let trims = store.audit_seals(SealKind::Trim).await?;
    Ok(trims.iter().any(|seal| seal.link.seq >= seen.seq && seal.holds(key.zone(), key.public())))
}

/// The record by which an administrator accepted this history in the place of one that reached what was seen, if there is
/// one that is news, and the signed chain goes from it to the end.
async fn accepted(
    store: &dyn Store,
    known: &Known,
    seen: Link,
    head: Link,
    key: &AuditKey,
) -> Result<Option<Link>, StoreError> {
    let query = AuditQuery {
        action: Some(Action::RestoreAccept.to_string()),
        newest_first: true,
        limit: 1,
        ..AuditQuery::default()
    };
    let Some(record) = store.audit(&query).await?.pop() else { return Ok(None) };
    let replaces = serde_json::from_str::<serde_json::Value>(&record.detail).ok();
    let replaces = replaces.as_ref().and_then(|detail| detail.get(REPLACES)?.as_u64());
    if known.accepted == Some(record.link()) || replaces.is_none_or(|replaces| replaces < seen.seq) {
        return Ok(None);
    }
    let mut link = match record.seq.checked_sub(1) {
        None => return Ok(None),
        Some(0) => Link::origin(key.zone()),
        Some(before) => match self::record(store, before).await? {
            Some(before) => before.link(),
            None => return Ok(None),
        },
    };
    while link.seq < head.seq {
        let query = AuditQuery { after: Some(link.seq), limit: 1000, ..AuditQuery::default() };
        let page = store.audit(&query).await?;
        if page.is_empty() {
            return Ok(None);
        }
        for record in page {
            if record.seq != link.seq.saturating_add(1) || record.hash_after(&link.hash) != record.hash {
                return Ok(None);
            }
            link = record.link();
            if link.seq == head.seq {
                break;
            }
        }
    }
    Ok((link == head).then(|| record.link()))
}

/// In the details of a record by which a restored database was accepted: the last record that was seen before.
pub(super) const REPLACES: &str = "replaces";
/// So many are named in a line.
const NAMED: usize = 20;
const PAGE: usize = 1000;
