//! Takes from everybody again what an older database gave back.

use keycell_protocol::{Fingerprint, Generation, Name, UnixMillis};

use super::check::{REPLACES, gives_back};
use super::known::{PartyMark, State, join_token};
use super::{Undone, Verdict, Watermark, What};
use super::{denials, trusts};
use crate::administration::{AdminError, Caller};
use crate::audit::{Action, Link};
use crate::cell::Cell;
use crate::enrollment::JoinTokenRecord;
use crate::keyring::Standing;
use crate::store::{Act, KeyRecord, KeyState, Kind, PartyRecord, StoreError, Write};
use crate::token::TokenRecord;

/// Whether what an older database gave back is taken again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Kept {
    /// It is: nobody is un-revoked.
    #[default]
    Keep,
    /// It is not: what the database says counts from now on.
    Forget,
}

/// How a database is accepted.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// Whether nobody is un-revoked by it.
    pub kept: Kept,
    /// The last record of the database that it replaces, as far as that is known.
    pub replaces: u64,
    /// When the backup was made that it is from, in Unix milliseconds.
    pub backup: Option<u64>,
    /// Now.
    pub now: UnixMillis,
}

/// Accepts the database of `cell` in the place of the one that was seen, and records it. With [`Kept::Keep`], whoever got
/// something back loses it again first. An attempt that was interrupted is repeated from its beginning, and harmless.
///
/// # Errors
/// The database's, or the keyring's.
pub async fn accept(
    cell: &Cell,
    watermark: &Watermark,
    verdict: &Verdict,
    acceptance: &Acceptance,
) -> Result<(), AdminError> {
    let &Acceptance { kept, replaces, backup, now } = acceptance;
    let mut known = watermark.known();
    let caller = Caller::console();
    for undone in verdict.undone.chunks(BATCH) {
        let mut act = Act::default();
        for undone in undone {
            match kept {
                Kept::Keep => again(cell, watermark, undone, &caller, now, &mut act).await?,
                Kept::Forget => {
                    let _ = undone.name.parse::<Name>().map(|name| known.parties.remove(&name));
                    known.tokens.remove(&undone.name);
                    known.tokens.remove(&join_token(&undone.name));
                    let _ = undone.name.parse::<Fingerprint>().map(|host| known.denials.remove(&host));
                }
            }
        }
        if !act.events.is_empty() {
            cell.store.commit(&act, &cell.audit_key).await?;
        }
    }
    super::groups::again(cell, &mut known, kept, now).await?;
    let names: Vec<_> = verdict.undone.iter().take(NAMED).map(ToString::to_string).collect();
    let event = caller
        .event(now, Action::RestoreAccept, "")
        .with(REPLACES, known.head.map_or(0, |head| head.seq).max(replaces))
        .with("backup_created_at", backup)
        .with("undone", verdict.undone.len())
        .with("names", names)
        .with("kept", kept == Kept::Keep);
    cell.store.commit(&Act { writes: Vec::new(), events: vec![event] }, &cell.audit_key).await?;
    known.accepted = last_accepted(cell).await?;
    known.head = None;
    watermark.accepted(known);
    Ok(())
}

async fn last_accepted(cell: &Cell) -> Result<Option<Link>, StoreError> {
    let query = crate::store::AuditQuery {
        action: Some(Action::RestoreAccept.to_string()),
        newest_first: true,
        limit: 1,
        ..Default::default()
    };
    Ok(cell.store.audit(&query).await?.pop().map(|record| record.link()))
}

/// Adds to `act` what takes it again.
async fn again(
    cell: &Cell,
    watermark: &Watermark,
    undone: &Undone,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
) -> Result<(), AdminError> {
    let known = watermark.known();
    let event = |action| caller.event(now, action, undone.name.as_str()).with("restored", true);
    if undone.what == What::TokenRevoked {
        let Some(document) = cell.store.document(Kind::Token, &undone.name).await? else { return Ok(()) };
        let mut token: TokenRecord = serde_json::from_str(&document.body)?;
        token.revoked_at = known.tokens.get(&undone.name).map(|mark| mark.revoked_at).or(Some(now));
        let body = serde_json::to_string(&token)?;
        let (id, revision) = (document.id, document.revision.saturating_add(1));
        let random = &mut crate::random::system();
        let document = cell.keyring.seal_document(Kind::Token, id, revision, body, random);
        act.writes.push(Write::ForceDocument(document));
        act.events.push(event(Action::TokenRevoke));
        return Ok(());
    }
    if undone.what == What::JoinTokenRevoked {
        let Some(document) = cell.store.document(Kind::JoinToken, &undone.name).await? else { return Ok(()) };
        let mut token: JoinTokenRecord = serde_json::from_str(&document.body)?;
        let mark = known.tokens.get(&join_token(&undone.name));
        token.revoked_at = mark.map(|mark| mark.revoked_at).or(Some(now));
        let body = serde_json::to_string(&token)?;
        let (id, revision) = (document.id, document.revision.saturating_add(1));
        let random = &mut crate::random::system();
        let document = cell.keyring.seal_document(Kind::JoinToken, id, revision, body, random);
        act.writes.push(Write::ForceDocument(document));
        act.events.push(event(Action::JoinTokenRevoke));
        return Ok(());
    }
    if undone.what == What::DenialLost {
        return denials::again(cell, &known, undone, caller, now, act).await;
    }
    if matches!(undone.what, What::GroupDeleted | What::GroupMembers | What::GroupKeys) {
        // Groups are dealt with all together.
        return Ok(());
    }
    let Ok(name) = undone.name.parse::<Name>() else { return Ok(()) };
    let (Some(mark), Some(mut party)) = (known.parties.get(&name), cell.store.party(&name).await?) else {
        return Ok(());
    };
    if gives_back(mark, &party).is_none() {
        return Ok(());
    }
    // Its name goes on counting from where it was.
    party.revision = party.revision.max(mark.revision).saturating_add(1);
    party.updated_at = now;
    match mark.state {
        State::Deleted => {
            party.keys = vec![dead(cell, mark, now)];
            act.writes.push(Write::ForceParty(party));
            trusts::again(cell, &name, mark, caller, now, act).await?;
            act.writes.push(Write::DeleteParty { name, expected: None });
            act.events.push(event(Action::PartyDelete));
        }
        State::Enabled | State::Disabled => {
            if erase(cell, &mut party, mark, now) {
                act.events.push(event(Action::KeyErase).with("below", mark.floor));
            }
            if mark.state == State::Disabled && party.enabled {
                trusts::again(cell, &name, mark, caller, now, act).await?;
                let random = &mut crate::random::system();
                cell.keyring.set_enabled(&mut party, false, random)?;
                let revocation_epoch = party.revocation_epoch.max(mark.epoch);
                let standing = Standing { enabled: false, revocation_epoch, ..Standing::of(&party) };
                cell.keyring.restand(&mut party, standing, random)?;
                act.events.push(event(Action::PartyDisable));
            }
            act.writes.push(Write::ForceParty(party));
        }
    }
    Ok(())
}

/// Removes the keys that were dead. Says whether there were any.
fn erase(cell: &Cell, party: &mut PartyRecord, mark: &PartyMark, now: UnixMillis) -> bool {
    let before = party.keys.len();
    party.keys.retain(|key| key.state == KeyState::Dead || key.generation.0 >= mark.floor);
    let erased = party.keys.len() < before;
    if party.keys.iter().all(|key| key.state == KeyState::Dead) {
        // Nothing is left that it is bound to.
        cell.keyring.take_author_key(party, &mut crate::random::system());
    }
    // The next key gets a generation that no key had, also not one that this database never heard of.
    if party.keys.iter().all(|key| key.generation.0 < mark.last) {
        party.keys.push(dead(cell, mark, now));
    }
    erased
}

/// A key of which only the generation is left.
fn dead(cell: &Cell, mark: &PartyMark, now: UnixMillis) -> KeyRecord {
    KeyRecord {
        generation: Generation(mark.last.max(1)),
        state: KeyState::Dead,
        epoch: keycell_protocol::Epoch(0),
        created_at: now,
        ends_at: None,
        master_version: cell.keyring.master_version(),
        wrapped: Vec::new(),
    }
}

/// So many are written in one transaction.
const BATCH: usize = 256;
/// So many are named in the record.
const NAMED: usize = 1000;
