//! Takes the keys by which this zone asks others. Those by which others ask this one are erased with the parties'.

use keycell_protocol::{Name, UnixMillis};

use super::{Erased, RecoveryError};
use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::Cell;
use crate::store::{Act, Kind, Write};
use crate::trust::{SECRET_PREFIX, TrustRecord};

/// Adds to `act` what deletes the keys of outgoing trusts, and says so in their documents. Each of them rests until another
/// offer of its zone is accepted.
pub(super) async fn let_go(
    cell: &Cell,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
    erased: &mut Erased,
) -> Result<(), RecoveryError> {
    // All of them, also those that no document names any more.
    for secret in cell.store.secrets().await? {
        if secret.name.starts_with(SECRET_PREFIX) {
            act.writes.push(Write::DeleteSecret { name: secret.name, version: secret.version });
        }
    }
    let trusts = cell.store.documents(Kind::Trust).await?;
    erased.damaged.extend(trusts.damaged.into_iter().map(|damaged| damaged.row));
    for document in trusts.documents {
        let read = cell.keyring.check_document(&document).ok();
        let record = read.and_then(|()| serde_json::from_str::<TrustRecord>(&document.body).ok());
        let Some(mut record) = record.filter(|record| record.id() == document.id) else {
            erased.damaged.push(format!("document trust {}", document.id));
            continue;
        };
        let Some(held) = record.peer.as_mut().and_then(|peer| peer.held.take()) else { continue };
        let revision = document.revision.saturating_add(1);
        (record.revision, record.updated_at) = (revision, now);
        // Names, numbers and patterns always become JSON.
        let body = serde_json::to_string(&record).unwrap_or_default();
        let random = &mut crate::random::system();
        let new = cell.keyring.seal_document(Kind::Trust, record.id(), revision, body, random);
        act.writes.push(Write::PutDocument { document: new, expected: Some(document.revision) });
        let principal = Name::of_zone(&cell.zone.zone, &record.zone);
        let event = caller.event(now, Action::KeyErase, principal.as_str());
        act.events.push(event.with("recovered", true).with("generations", vec![held.generation.0]));
        erased.trusts.push(document.id);
    }
    Ok(())
}
