//! What an older database says of trust with a zone that had lost it: the zone is a principal, and its trust a document beside
//! that.

use keycell_protocol::{Name, UnixMillis};

use super::known::{PartyMark, State};
use crate::administration::{AdminError, Caller};
use crate::audit::Action;
use crate::cell::Cell;
use crate::store::{Act, Kind, StoreError, Write};
use crate::trust::{Direction, TrustRecord, document_id};

/// Adds to `act` what takes the trust from the zone that `name` is here, if it is one: else the zone would be told of as one
/// that is trusted, and its vouchers would be believed.
pub(super) async fn again(
    cell: &Cell,
    name: &Name,
    mark: &PartyMark,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
) -> Result<(), AdminError> {
    let Some(zone) = name.asking_zone() else { return Ok(()) };
    let id = document_id(Direction::Incoming, &zone);
    let document = match cell.store.document(Kind::Trust, &id).await {
        Ok(Some(document)) => document,
        // One that does not hold lets nobody through.
        Ok(None) | Err(StoreError::Damaged { .. }) => return Ok(()),
        Err(error) => return Err(error.into()),
    };
    let event = |action| caller.event(now, action, id.as_str()).with("restored", true);
    if mark.state == State::Deleted {
        act.writes.push(Write::DeleteDocument { kind: Kind::Trust, id: id.clone(), expected: None });
        act.events.push(event(Action::TrustDelete));
        return Ok(());
    }
    let mut record: TrustRecord = serde_json::from_str(&document.body)?;
    if record.enabled {
        (record.enabled, record.updated_at) = (false, now);
        record.revision = document.revision.saturating_add(1);
        let body = serde_json::to_string(&record)?;
        let random = &mut crate::random::system();
        let document = cell.keyring.seal_document(Kind::Trust, id.clone(), record.revision, body, random);
        act.writes.push(Write::ForceDocument(document));
        act.events.push(event(Action::TrustDisable));
    }
    Ok(())
}
