//! Takes from everybody what a thief may have of them: all keys of parties, all chains of groups, all join tokens, and
//! what was approved.

use keycell_protocol::{JoinTokenId, Name, UnixMillis};
use serde::Serialize;

use super::{RecoveryError, approvals, trusts};
use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::Cell;
use crate::enrollment::JoinTokenRecord;
use crate::groups::{GroupRecord, begin_chain_alone};
use crate::store::{Act, KeyRecord, KeyState, Kind, PartyRecord, Write};
use crate::trust::{Direction, document_id};

/// Whose keys were erased, and what else ended.
#[derive(Debug, Default, Serialize)]
pub struct Erased {
    /// How many parties enrolled themselves: they do so again, by themselves.
    pub enrolled: usize,
    /// The parties that an administrator made, and that may speak: they need new keys.
    pub by_hand: Vec<Name>,
    /// How many others there were: disabled ones.
    pub disabled: usize,
    /// How many hosts were approved that have not come since: they are strangers again.
    pub approved: usize,
    /// The trusts with other zones whose keys are gone, as [their documents](crate::trust::document_id) are named: they need
    /// new offers.
    pub trusts: Vec<String>,
    /// How many groups have new chains.
    pub groups: usize,
    /// How many join tokens were revoked.
    pub join_tokens: usize,
    /// Rows that do not hold: nobody is served by them, nor does a host come back by itself as one of them.
    pub damaged: Vec<String>,
}

impl Erased {
    /// How many parties; zones are none.
    #[must_use]
    pub fn parties(&self) -> usize {
        self.enrolled.saturating_add(self.by_hand.len()).saturating_add(self.disabled)
    }
}

/// Adds to `act` what erases all keys, begins all chains anew, revokes all join tokens, and forgets which hosts were
/// approved.
pub(super) async fn all(
    cell: &Cell,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
) -> Result<Erased, RecoveryError> {
    let mut erased =
        Erased { approved: approvals::forget(cell, caller, now, act).await?, ..Erased::default() };
    let groups = cell.store.documents(Kind::Group).await?;
    erased.damaged.extend(groups.damaged.into_iter().map(|damaged| damaged.row));
    for document in groups.documents {
        let read = cell.keyring.check_document(&document).ok();
        let Some(mut record) = read.and_then(|()| serde_json::from_str::<GroupRecord>(&document.body).ok())
        else {
            erased.damaged.push(format!("document group {}", document.id));
            continue;
        };
        let revision = document.revision.saturating_add(1);
        (record.revision, record.updated_at) = (revision, now);
        let random = &mut crate::random::system();
        let (record, chain) = begin_chain_alone(record, now, &cell.keyring, random);
        // Names, numbers and patterns always become JSON.
        let body = serde_json::to_string(&record).unwrap_or_default();
        let new = cell.keyring.seal_document(Kind::Group, document.id, revision, body, random);
        act.writes.push(Write::PutDocument { document: new, expected: Some(document.revision) });
        act.writes.extend(chain);
        act.events.push(caller.event(now, Action::GroupRotate, record.name.as_str()).with("recovered", true));
        erased.groups = erased.groups.saturating_add(1);
    }
    let parties = cell.store.parties().await?;
    erased.damaged.extend(parties.damaged.into_iter().map(|damaged| damaged.row));
    for mut party in parties.parties {
        let generations = take_all(&mut party);
        let random = &mut crate::random::system();
        let unsigned = |party: &mut PartyRecord| {
            // Nothing is left that it is bound to, and the KDC has vouched for it under the identity that was stolen.
            party.author_key = None;
            if let Some(enrollment) = &mut party.enrollment {
                // A clock that was ahead once keeps no host from coming back.
                enrollment.timestamp = enrollment.timestamp.min(now);
            }
        };
        let holds = cell.keyring.check_enrollment(&party).is_ok();
        // A seal under a version of the master key that is not here is left: it holds again when that is.
        let _ = cell.keyring.alter(&mut party, random, unsigned);
        if !holds {
            // Its host is not let in again.
            erased.damaged.push(format!("party {}", party.name));
        }
        if generations.is_empty() {
            continue;
        }
        match (party.enabled, &party.enrollment) {
            _ if party.name.is_kept_for_zones() => {
                let zone = party.name.asking_zone();
                erased.trusts.extend(zone.map(|zone| document_id(Direction::Incoming, &zone)));
            }
            (false, _) => erased.disabled = erased.disabled.saturating_add(1),
            (true, Some(_)) if !holds => {}
            (true, Some(_)) => erased.enrolled = erased.enrolled.saturating_add(1),
            (true, None) => erased.by_hand.push(party.name.clone()),
        }
        let event = caller.event(now, Action::KeyErase, party.name.as_str());
        act.events.push(event.with("recovered", true).with("generations", generations));
        let expected = Some(party.revise(now));
        act.writes.push(Write::PutParty { party, expected });
    }
    trusts::let_go(cell, caller, now, act, &mut erased).await?;
    revoke(cell, caller, now, act, &mut erased).await?;
    Ok(erased)
}

/// Revokes the join tokens that have not ended. The database does not hold their secrets, but who has the primary's private
/// half reads them in requests of hosts that it recorded.
async fn revoke(
    cell: &Cell,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
    erased: &mut Erased,
) -> Result<(), RecoveryError> {
    let tokens = cell.store.documents(Kind::JoinToken).await?;
    erased.damaged.extend(tokens.damaged.into_iter().map(|damaged| damaged.row));
    for document in tokens.documents {
        let read = cell.keyring.check_document(&document).ok();
        let record = read.and_then(|()| serde_json::from_str::<JoinTokenRecord>(&document.body).ok());
        let id = document.id.parse::<JoinTokenId>().ok();
        let (Some(mut record), Some(id)) = (record, id) else {
            erased.damaged.push(format!("document join token {}", document.id));
            continue;
        };
        // One that is used up too: a database that is put back would give it its uses back.
        if record.revoked_at.is_some() || now >= record.expires_at {
            continue;
        }
        record.revoked_at = Some(now);
        let revision = document.revision.saturating_add(1);
        // Names, numbers and patterns always become JSON.
        let body = serde_json::to_string(&record).unwrap_or_default();
        let random = &mut crate::random::system();
        let new = cell.keyring.seal_document(Kind::JoinToken, document.id, revision, body, random);
        act.writes.push(Write::PutDocument { document: new, expected: Some(document.revision) });
        let event = caller.event(now, Action::JoinTokenRevoke, id.to_string()).with("recovered", true);
        act.events.push(event.with("service", record.service.as_str()).with("used", record.used));
        erased.join_tokens = erased.join_tokens.saturating_add(1);
    }
    Ok(())
}

/// Erases all keys of a party. Their generations stay: what remembers revocations goes by them. Says which there were.
fn take_all(party: &mut PartyRecord) -> Vec<u32> {
    let alive = party.keys.iter().filter(|key| key.state != KeyState::Dead);
    let generations = alive.map(|key| key.generation.0).collect();
    party.keys = party.keys.iter().map(KeyRecord::erased).collect();
    party.rotate_after = None;
    generations
}
