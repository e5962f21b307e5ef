//! Takes back that hosts were approved which have not come since: a thief of the primary may have been let in so, and would
//! come aboard under the new one.

use keycell_protocol::UnixMillis;

use crate::administration::Caller;
use crate::audit::Action;
use crate::cell::Cell;
use crate::enrollment::{WaitingRecord, WaitingState};
use crate::store::{Act, Kind, StoreError, Write};

/// Adds to `act` what forgets them: they are strangers again. Says how many there are.
pub(super) async fn forget(
    cell: &Cell,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
) -> Result<usize, StoreError> {
    let mut forgotten: usize = 0;
    // A row that does not hold lets nobody in.
    for document in cell.store.documents(Kind::Enrollment).await?.documents {
        let Ok(record) = serde_json::from_str::<WaitingRecord>(&document.body) else { continue };
        if record.state != WaitingState::Approved {
            continue;
        }
        let event = caller.event(now, Action::EnrollmentForget, document.id.as_str());
        let event = match record.name(&cell.zone.zone) {
            Some(name) => event.with("name", name.as_str()),
            None => event,
        };
        act.events.push(event.with("state", record.state.as_str()).with("recovered", true));
        act.writes.push(Write::DeleteDocument {
            kind: Kind::Enrollment,
            id: document.id,
            expected: Some(document.revision),
        });
        forgotten = forgotten.saturating_add(1);
    }
    Ok(forgotten)
}
