//! What a party's leave means for the groups that it was a member of: all their keys that are out come to an end.

use keycell_protocol::{Fingerprint, Name};

use super::{AdminError, Caller, Ledger, waiting};
use crate::audit::Action;
use crate::enrollment::{EnrollmentRecord, WaitingRecord};
use crate::groups::{GroupRecord, begin_chain};
use crate::store::{Act, Kind, Write};

/// Adds to `act` a new chain for every group that `party` is a member of, so that it opens nothing that is sent from now
/// on. The act then holds only where the groups are still as they were looked at. `again` is whether an earlier attempt
/// failed: then it is looked closer, for no row of a group may keep anybody from stopping a party.
pub(super) async fn leave_groups(
    ledger: &Ledger,
    caller: &Caller,
    party: &Name,
    because: &str,
    again: bool,
    act: &mut Act,
) -> Result<(), AdminError> {
    let memberships = ledger.directory().memberships();
    let left = memberships.of_party(party);
    let mut writes = Vec::new();
    let mut put_back = false;
    for group in left {
        let expected = group.record().revision;
        let found = if again { at(ledger, group.record()).await? } else { Found::Same };
        let now = ledger.now();
        let random = &mut crate::random::system();
        let (mut record, chain) = begin_chain(group.record().clone(), now, ledger.keyring(), random);
        record.revision = expected.saturating_add(1);
        record.updated_at = now;
        let document = ledger.document(Kind::Group, record.name.local(), record.revision, &record)?;
        writes.push(match found {
            Found::Same => Write::PutDocument { document, expected: Some(expected) },
            // What is in memory was in force, and is again.
            Found::PutBack => {
                put_back = true;
                Write::ForceDocument(document)
            }
        });
        writes.extend(chain);
        let event = caller.event(now, Action::GroupRotate, record.name.as_str());
        let event = event.with("because", because).with("party", party.as_str());
        act.events.push(match record.chain() {
            Some(chain) => event.with("chain", chain.version).with("generation", chain.first.0),
            None => event,
        });
    }
    if !put_back {
        act.writes.push(Write::Expect { kind: Kind::Group, change: memberships.change() });
    }
    act.writes.extend(writes);
    Ok(())
}

/// Adds to `act` that a host does not come aboard again with the key of a party that is deleted: else it would by itself, as
/// soon as its tickets end.
pub(super) async fn stay_away(
    ledger: &Ledger,
    caller: &Caller,
    party: &Name,
    enrollment: &EnrollmentRecord,
    act: &mut Act,
) -> Result<(), AdminError> {
    let fingerprint = Fingerprint::of(&enrollment.public_key);
    let now = ledger.now();
    let mut record = WaitingRecord::denied(None, now);
    record.service = Some(enrollment.service.clone());
    record.host = Some(enrollment.host.clone());
    record.public_key = Some(enrollment.public_key);
    record.address = Some(enrollment.address);
    record.first_at = enrollment.enrolled_at;
    record.decided_at = Some(now);
    record.decided_by = Some(caller.actor.to_string());
    record.note = "the party was deleted".to_owned();
    // Beyond whatever is kept of the key: each revision took a change.
    record.revision = waiting::unused_revision(ledger, fingerprint).await?;
    let id = fingerprint.to_string();
    // Whatever somebody else decides at this moment: deleting goes before.
    act.writes.push(Write::ForceDocument(ledger.document(
        Kind::Enrollment,
        &id,
        record.revision,
        &record,
    )?));
    let event = caller.event(now, Action::EnrollmentDeny, id);
    act.events.push(event.with("name", party.as_str()).with("because", "party deleted"));
    Ok(())
}

/// What the database has of a group.
enum Found {
    /// What is in memory, or what will be there in a moment.
    Same,
    /// An older row, or one that Keycell did not write.
    PutBack,
}

async fn at(ledger: &Ledger, known: &GroupRecord) -> Result<Found, AdminError> {
    let Some(document) = ledger.store().document(Kind::Group, known.name.local()).await? else {
        return Ok(Found::Same);
    };
    let whole = document.revision >= known.revision && ledger.keyring().check_document(&document).is_ok();
    Ok(if whole { Found::Same } else { Found::PutBack })
}

/// What keeps a party from being made under the name of a group, where it could be one.
pub(super) fn no_group(party: &Name) -> Option<Write> {
    let local = party.local();
    let may_be = !local.contains('.') && !local.starts_with('#');
    may_be.then(|| Write::NoDocument { kind: Kind::Group, id: local.to_owned() })
}
