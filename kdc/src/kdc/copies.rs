//! Keys that are used in two places: found on the way of every signed request, looked at by a task of its own.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycell_protocol::{Name, UnixMillis};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::Kdc;
use crate::administration::{AdminError, Caller, Precondition};
use crate::api::PartyPatch;
use crate::enrollment::{Alternation, CopiesKind, Process, Sighting};
use crate::issuance::{Authenticated, Kind};

/// What was found and nobody has looked at yet. No request waits for it: what finds no room is found again.
#[derive(Debug, Default)]
pub(super) struct Found {
    waiting: Mutex<BTreeMap<Name, Alternation>>,
    news: Notify,
}

impl Found {
    /// Notes what was found of a party. Says whether there was room.
    fn note(&self, party: &Name, found: Alternation) -> bool {
        let mut waiting = self.waiting();
        if waiting.len() >= ROOM && !waiting.contains_key(party) {
            return false;
        }
        match waiting.entry(party.clone()) {
            // A clone is not made less of.
            Entry::Occupied(known) if severity(known.get()) > severity(&found) => {}
            Entry::Occupied(mut known) => drop(known.insert(found)),
            Entry::Vacant(place) => drop(place.insert(found)),
        }
        drop(waiting);
        self.news.notify_one();
        true
    }

    fn take(&self) -> Option<(Name, Alternation)> {
        self.waiting().pop_first()
    }

    fn waiting(&self) -> MutexGuard<'_, BTreeMap<Name, Alternation>> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Kdc {
    /// Looks which process of its party made a request. It takes a lock of that party, and waits for nothing else.
    pub(super) fn watch<K: Kind>(&self, asked: &Authenticated<K>, address: IpAddr, now: UnixMillis) {
        let stamp = asked.stamp();
        let sighting = Sighting { process: Process::of(stamp.instance), address, at: stamp.timestamp };
        if let Some(found) = asked.party().seen().saw(sighting, now) {
            self.note_copies(asked.party().name(), found);
        }
    }

    pub(super) fn note_copies(&self, party: &Name, found: Alternation) {
        if !self.found.note(party, found) {
            self.metrics.conflicts.crowded.inc();
        }
    }

    /// Raises what was found, and disables whom the zone wants disabled for it.
    ///
    /// # Errors
    /// The database's: then it waits for the next time.
    pub async fn raise_copies(&self) -> Result<(), AdminError> {
        while let Some((party, found)) = self.found.take() {
            if let Err(error) = self.raise(&party, &found).await {
                self.note_copies(&party, found);
                return Err(error);
            }
        }
        Ok(())
    }

    async fn raise(&self, party: &Name, found: &Alternation) -> Result<(), AdminError> {
        // First the alarm: it says why.
        self.conflicts.raise(party, found).await?;
        let speaks = self.directory.party(party.as_str()).is_some_and(|party| party.enabled());
        if !speaks || !self.conflicts.disables(found) {
            return Ok(());
        }
        let patch = PartyPatch { enabled: Some(false), ..PartyPatch::default() };
        match self.parties.update(&Caller::kdc(), party, &patch, &Precondition::NONE).await {
            Ok(_) => {
                self.conflicts.disabled(party);
                Ok(())
            }
            // Deleted in between.
            Err(AdminError::Missing(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Raises what is found as soon as it is, until told to stop.
    pub async fn watch_copies(&self, stop: CancellationToken) {
        let mut away = false;
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.found.news.notified() => {}
            }
            let raised = self.raise_copies().await;
            if let Err(error) = &raised
                && !away
            {
                let error = crate::http::chain(error);
                tracing::error!(error, "keys that are used in two places cannot be recorded yet");
            }
            away = raised.is_err();
            if away {
                tokio::select! {
                    () = stop.cancelled() => return,
                    () = tokio::time::sleep(AGAIN) => {}
                }
            }
        }
    }
}

/// What counts for more: a clone, and of clones one of which both came back.
fn severity(found: &Alternation) -> (bool, bool) {
    (found.kind == CopiesKind::Clone, found.both)
}

/// So many parties wait at the most, a hundred bytes or two each.
const ROOM: usize = 1024;
/// How long the database is left alone when it did not answer.
const AGAIN: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    fn found(kind: CopiesKind, at: u64) -> Alternation {
        let addresses = [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()];
        Alternation { kind, addresses, at: UnixMillis(at), both: false }
    }

    #[test]
    fn what_waits_is_bounded_and_a_clone_stays_one() {
        let waiting = Found::default();
        let name = |n: usize| -> Name { format!("p{n}@z").parse().unwrap() };
        assert!((0..ROOM).all(|n| waiting.note(&name(n), found(CopiesKind::Shared, 1))));
        assert!(!waiting.note(&name(ROOM), found(CopiesKind::Clone, 2)), "no room");
        assert!(waiting.note(&name(0), found(CopiesKind::Clone, 3)), "it waits already");
        assert!(waiting.note(&name(0), found(CopiesKind::Shared, 4)));
        let both = Alternation { both: true, ..found(CopiesKind::Clone, 5) };
        assert!(waiting.note(&name(0), both) && waiting.note(&name(0), found(CopiesKind::Clone, 6)));
        assert_eq!(waiting.take(), Some((name(0), both)));
        assert!(waiting.note(&name(ROOM), found(CopiesKind::Clone, 2)));
        assert_eq!(std::iter::from_fn(|| waiting.take()).count(), ROOM);
    }
}
