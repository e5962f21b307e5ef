//! The groups of a database that was set back: none goes on with keys that it had before.

use std::collections::{BTreeMap, BTreeSet};

use keycell_protocol::{Name, UnixMillis};

use super::known::GroupMark;
use super::living::lacks;
use super::{Kept, Known, What};
use crate::administration::{AdminError, Caller};
use crate::audit::Action;
use crate::cell::Cell;
use crate::groups::{GroupRecord, begin_chain_after, forget_chains};
use crate::store::{Act, Damaged, Documents, Kind, Write};

/// Begins a new chain for every group, ahead of all that is known of: what was lost with the newer database is given to
/// nobody again. With [`Kept::Keep`], members that were taken out are taken out again, a group that was deleted is
/// deleted, and one that the database lacks is remembered as it was: the right backup may come after the wrong one.
///
/// # Errors
/// The database's.
pub(super) async fn again(
    cell: &Cell,
    known: &mut Known,
    kept: Kept,
    now: UnixMillis,
) -> Result<(), AdminError> {
    let caller = Caller::console();
    let Documents { documents, damaged, .. } = cell.store.documents(Kind::Group).await?;
    let mut there = BTreeMap::new();
    for id in damaged.iter().filter_map(Damaged::document) {
        there.extend(unread(id, cell, known));
    }
    for some in documents.chunks(BATCH) {
        let mut act = Act::default();
        for document in some {
            if let Err(error) = cell.keyring.check_document(document) {
                tracing::error!(group = document.id, %error, "a group stays as it is, out of service: its row does not open");
                there.extend(unread(&document.id, cell, known));
                continue;
            }
            let mut record: GroupRecord = serde_json::from_str(&document.body)?;
            record.revision = document.revision;
            let name = record.name.clone();
            let mark = known.groups.get(&name);
            let what = known.group_goes_back(document.revision, &record);
            let event = |action| caller.event(now, action, name.as_str()).with("restored", true);
            if kept == Kept::Keep && what == Some(What::GroupDeleted) {
                act.writes.push(Write::DeleteDocument {
                    kind: Kind::Group,
                    id: document.id.clone(),
                    expected: Some(document.revision),
                });
                act.writes.extend(forget_chains(&record));
                act.events.push(event(Action::GroupDelete));
                continue;
            }
            if let (Kept::Keep, Some(What::GroupMembers), Some(mark)) = (kept, what, mark) {
                record.members.clone_from(&mark.members);
                record.excluded.extend(mark.excluded.iter().cloned());
                let excluded: Vec<_> = mark.excluded.iter().map(|name| name.as_str().to_owned()).collect();
                act.events.push(event(Action::GroupUpdate).with("excluded", excluded));
            }
            let lost = mark.and_then(|mark| mark.chain.as_ref());
            let revision = mark.map_or(0, |mark| mark.revision).max(document.revision).saturating_add(1);
            let random = &mut crate::random::system();
            let (mut record, chain) = begin_chain_after(record, lost, now, &cell.keyring, random);
            (record.revision, record.updated_at) = (revision, now);
            there.insert(record.name.clone(), GroupMark::of(&record));
            let (id, body) = (document.id.clone(), serde_json::to_string(&record)?);
            let new = cell.keyring.seal_document(Kind::Group, id, revision, body, random);
            act.writes.push(Write::PutDocument { document: new, expected: Some(document.revision) });
            act.writes.extend(chain);
            act.events.push(event(Action::GroupRotate));
        }
        if !act.events.is_empty() {
            cell.store.commit(&act, &cell.audit_key).await?;
        }
    }
    match kept {
        // For all that was not forgotten by its name is told by it.
        Kept::Keep => {
            let ids: BTreeSet<_> = there.keys().map(Name::local).collect();
            lacks(&*cell.store, known, |id| ids.contains(id)).await?;
        }
        Kept::Forget => {
            known.groups.clear();
            known.forgotten = None;
        }
    }
    // What is there now is what counts.
    known.groups.extend(there);
    Ok(())
}

/// What is known of a group that is there, but cannot be read: it still is.
fn unread(id: &str, cell: &Cell, known: &Known) -> Option<(Name, GroupMark)> {
    let name = Name::in_zone(id, &cell.zone.zone).ok()?;
    let mark = known.groups.get(&name)?.clone();
    Some((name, GroupMark { absent: false, ..mark }))
}

/// So many are written in one transaction.
const BATCH: usize = 64;
