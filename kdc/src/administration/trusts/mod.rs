//! Trust with other zones: the one way in which administrators change it (docs/protocol.md §12).

mod accept;
mod offer;
mod read;

use std::sync::Arc;

use keycell_protocol::{Generation, Name, UnixMillis, Zone};

use super::{AdminError, Caller, Keys, Ledger, Precondition};
use crate::api::TrustPatch;
use crate::audit::{Action, Event};
use crate::keyring::KeyringError;
use crate::store::{Act, Documents, KeyState, Kind, PartyRecord, StoreError, Write};
use crate::trust::{Direction, MAX_TRUSTS, SCHEMA, TrustRecord, document_id, secret_name};

pub use accept::Accepted;
pub use offer::OfferMade;

/// The trusts of a zone. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct Trusts {
    ledger: Arc<Ledger>,
    keys: Keys,
}

/// A trust with what is here of the other zone.
#[derive(Debug, Clone)]
pub struct Trust {
    /// All but its keys.
    pub record: TrustRecord,
    /// What the other zone is here, where it is the one that asks.
    pub principal: Option<PartyRecord>,
}

impl Trust {
    /// The generation of the key that is asked with; the one of the staged key where the zone that asks holds only that.
    #[must_use]
    pub fn generation(&self) -> Option<Generation> {
        match &self.record.peer {
            Some(peer) => peer.held.map(|held| held.generation),
            None => self.in_state(KeyState::Active),
        }
    }

    /// The generation of the key that the zone that asks is to use next, where this zone gives the keys.
    #[must_use]
    pub fn staged(&self) -> Option<Generation> {
        self.in_state(KeyState::Staged)
    }

    /// Whether an administrator asked for another key, and there is none yet.
    #[must_use]
    pub fn rotation_asked(&self) -> bool {
        match &self.record.peer {
            Some(peer) => {
                let held = peer.held.map(|held| held.generation);
                peer.rotate_from.is_some_and(|from| held.is_some_and(|held| held <= from))
            }
            None => self.principal.as_ref().is_some_and(|principal| {
                let active = principal.keys.iter().find(|key| key.state == KeyState::Active);
                active.is_some_and(|key| principal.rotate_after.is_some_and(|after| key.created_at < after))
            }),
        }
    }

    fn in_state(&self, state: KeyState) -> Option<Generation> {
        let keys = self.principal.as_ref()?.keys.iter();
        keys.filter(|key| key.state == state).map(|key| key.generation).max()
    }
}

impl Trusts {
    pub(crate) const fn new(ledger: Arc<Ledger>, keys: Keys) -> Self {
        Self { ledger, keys }
    }

    /// All of them, the incoming ones first, each in the order of their zones.
    ///
    /// # Errors
    /// The database's.
    pub async fn list(&self) -> Result<Vec<Trust>, AdminError> {
        let mut trusts = Vec::new();
        for record in self.ledger.directory().trusts().iter() {
            trusts.push(self.with_principal(TrustRecord::clone(record)).await?);
        }
        Ok(trusts)
    }

    /// One trust.
    ///
    /// # Errors
    /// [`AdminError::Missing`]; [`AdminError::Refused`] where its row does not hold.
    pub async fn show(&self, direction: Direction, zone: &Zone) -> Result<Trust, AdminError> {
        let record = self.record(direction, zone).await?;
        self.with_principal(record).await
    }

    /// Changes a trust. What it is already is left alone; doing it again changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn update(
        &self,
        caller: &Caller,
        direction: Direction,
        zone: &Zone,
        patch: &TrustPatch,
        precondition: &Precondition,
    ) -> Result<Trust, AdminError> {
        let own = &self.ledger.zone().zone;
        if patch.fingerprint.is_some() && patch.bundle.is_none() {
            return Err(AdminError::invalid("fingerprint", "it is of a bundle: give that, too"));
        }
        self.change(
            (direction, zone),
            precondition,
            |before| {
                if let Some(bundle) = patch.bundle.as_ref().filter(|bundle| bundle.zone == *zone) {
                    self.agrees(direction.other(), bundle)?;
                }
                let after = read::patched(&before.record, patch, own)?;
                // The two are put back by themselves where a backup is.
                let differs = |principal: &PartyRecord| principal.enabled != after.enabled;
                let differs = patch.enabled.is_some() && before.principal.as_ref().is_some_and(differs);
                if after == before.record && !differs {
                    return Ok(None);
                }
                let now = self.ledger.now();
                let event = |action| caller.event(now, action, after.id());
                let mut events = Vec::new();
                let mut principal = before.principal.clone();
                if after.enabled != before.record.enabled || differs {
                    let action = if after.enabled { Action::TrustEnable } else { Action::TrustDisable };
                    events.push(event(action));
                    if let Some(principal) = &mut principal {
                        let random = &mut crate::random::system();
                        self.ledger.keyring().set_enabled(principal, after.enabled, random)?;
                    }
                }
                let update = read::compared(event(Action::TrustUpdate), &before.record, &after);
                // Also where it is about something that no record shows, such as the certificates.
                if events.is_empty() || update != event(Action::TrustUpdate) {
                    events.push(update);
                }
                let principal = principal.filter(|principal| before.principal.as_ref() != Some(principal));
                Ok(Some(Change { record: after, principal, events }))
            },
            |_| Ok(None),
        )
        .await
    }

    /// Asks for another key: the zone that asks fetches it by itself, and nothing stands still meanwhile. `keep` may add the
    /// write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`]; [`AdminError::Refused`] where there is no key to begin with.
    pub async fn rotate(
        &self,
        caller: &Caller,
        direction: Direction,
        zone: &Zone,
        precondition: &Precondition,
        keep: impl Fn(&Trust) -> Result<Option<Write>, AdminError>,
    ) -> Result<Trust, AdminError> {
        self.change(
            (direction, zone),
            precondition,
            |before| {
                let Some(generation) = before.generation() else {
                    return Err(AdminError::Refused(match direction {
                        Direction::Incoming => {
                            format!("{zone} has no key here: offer it another with `keycell trust offer`")
                        }
                        Direction::Outgoing => format!(
                            "there is no key of the trust with {zone}: accept a new offer of that zone"
                        ),
                    }));
                };
                let Trust { mut record, mut principal } = before.clone();
                let now = self.ledger.now();
                if let Some(peer) = &mut record.peer {
                    peer.rotate_from = Some(generation);
                }
                if let Some(principal) = &mut principal {
                    principal.rotate_after = Some(now);
                }
                let event = caller.event(now, Action::TrustRotate, record.id());
                let events = vec![event.with("generation", generation.0)];
                Ok(Some(Change { record, principal, events }))
            },
            keep,
        )
        .await
    }

    /// Deletes a trust with its keys. Of an incoming one the generations go on counting.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn delete(
        &self,
        caller: &Caller,
        direction: Direction,
        zone: &Zone,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let id = document_id(direction, zone);
            let event = caller.event(self.ledger.now(), Action::TrustDelete, id.as_str());
            let mut act = match self.record(direction, zone).await {
                Ok(record) => {
                    precondition.check(record.revision)?;
                    let write = delete_document(&id, Some(record.revision));
                    Act::new(write, read::described(event, &record).with("revision", record.revision))
                }
                // It lets nobody through, and would only stand in the way.
                Err(AdminError::Refused(_)) => {
                    Act::new(delete_document(&id, None), event.with("damaged", true))
                }
                Err(error) => return Err(error),
            };
            match direction {
                Direction::Incoming => act.writes.extend(self.delete_principal(zone).await?),
                Direction::Outgoing => act.writes.extend(self.forget_held(zone).await?),
            }
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(()),
                Err(error) => lost_a_race(error)?,
            }
        }
        Err(AdminError::Busy)
    }

    async fn delete_principal(&self, zone: &Zone) -> Result<Option<Write>, AdminError> {
        let name = self.principal_name(zone);
        let expected = match self.ledger.store().party(&name).await {
            Ok(Some(record)) => Some(record.revision),
            Ok(None) => return Ok(None),
            Err(StoreError::Damaged { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        Ok(Some(Write::DeleteParty { name, expected }))
    }

    async fn forget_held(&self, zone: &Zone) -> Result<Option<Write>, AdminError> {
        let name = secret_name(zone);
        let there = self.ledger.store().secret(&name).await?;
        Ok(there.map(|secret| Write::DeleteSecret { name, version: secret.version }))
    }

    /// A trust as it is now.
    async fn record(&self, direction: Direction, zone: &Zone) -> Result<TrustRecord, AdminError> {
        if let Some(record) = self.ledger.directory().trusts().get(direction, zone.as_str()) {
            return Ok(TrustRecord::clone(record));
        }
        match self.ledger.store().document(Kind::Trust, &document_id(direction, zone)).await {
            Ok(None) => Err(missing(direction, zone)),
            Ok(Some(_)) | Err(StoreError::Damaged { .. }) => Err(out_of_service(direction, zone)),
            Err(error) => Err(error.into()),
        }
    }

    async fn with_principal(&self, record: TrustRecord) -> Result<Trust, AdminError> {
        if record.direction == Direction::Outgoing {
            return Ok(Trust { record, principal: None });
        }
        let name = self.principal_name(&record.zone);
        match self.ledger.store().party(&name).await {
            Ok(principal) => Ok(Trust { record, principal }),
            // The log says so; it has no key here.
            Err(StoreError::Damaged { .. }) => Ok(Trust { record, principal: None }),
            Err(error) => Err(error.into()),
        }
    }

    fn principal_name(&self, zone: &Zone) -> Name {
        Name::of_zone(zone, &self.ledger.zone().zone)
    }

    /// The trust that is to be made or changed, if it is there; else there must be room for one more.
    fn before(
        &self,
        direction: Direction,
        zone: &Zone,
        there: &Documents,
    ) -> Result<Option<TrustRecord>, AdminError> {
        let id = document_id(direction, zone);
        if let Some(record) = self.ledger.directory().trusts().get(direction, zone.as_str()) {
            return Ok(Some(TrustRecord::clone(record)));
        }
        if there.ids_known().any(|known| known == id) {
            return Err(out_of_service(direction, zone));
        }
        if there.documents.len() + there.damaged.len() >= MAX_TRUSTS {
            let text = format!("the zone has {MAX_TRUSTS} trusts, which is the most; delete one first");
            return Err(AdminError::Refused(text));
        }
        Ok(None)
    }

    /// Makes a change to a trust as it is now; `None` is a change that changes nothing.
    async fn change(
        &self,
        (direction, zone): (Direction, &Zone),
        precondition: &Precondition,
        change: impl Fn(&Trust) -> Result<Option<Change>, AdminError>,
        keep: impl Fn(&Trust) -> Result<Option<Write>, AdminError>,
    ) -> Result<Trust, AdminError> {
        // Somebody else may change the trust in between, or its keys; then look again.
        for _ in 0..ATTEMPTS {
            self.ledger.catch_up().await;
            let before = self.show(direction, zone).await?;
            precondition.check(before.record.revision)?;
            let Some(Change { mut record, principal, events }) = change(&before)? else { return Ok(before) };
            let now = self.ledger.now();
            record.revision = before.record.revision.saturating_add(1);
            record.updated_at = now;
            let mut act = Act { writes: vec![self.write(&record, Some(before.record.revision))?], events };
            act.writes.extend(principal.clone().map(|principal| put(principal, now)));
            let after = Trust { record, principal: principal.or(before.principal) };
            act.writes.extend(keep(&after)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(after),
                Err(error) => lost_a_race(error)?,
            }
        }
        Err(AdminError::Busy)
    }

    fn write(&self, record: &TrustRecord, expected: Option<u64>) -> Result<Write, AdminError> {
        let document = self.ledger.document(Kind::Trust, &record.id(), record.revision, record)?;
        Ok(Write::PutDocument { document, expected })
    }
}

/// What is to become of a trust.
struct Change {
    record: TrustRecord,
    /// What the other zone is here, where that changes.
    principal: Option<PartyRecord>,
    events: Vec<Event>,
}

/// What makes a zone that is there already another.
fn put(mut principal: PartyRecord, now: UnixMillis) -> Write {
    let expected = Some(principal.revise(now));
    Write::PutParty { party: principal, expected }
}

fn delete_document(id: &str, expected: Option<u64>) -> Write {
    Write::DeleteDocument { kind: Kind::Trust, id: id.to_owned(), expected }
}

/// Whether somebody else was faster, and it is to be looked at again; any other error is one.
fn lost_a_race(error: AdminError) -> Result<(), AdminError> {
    match error {
        AdminError::Store(
            StoreError::DocumentChanged { .. }
            | StoreError::DocumentExists { .. }
            | StoreError::DocumentMissing { .. }
            | StoreError::Changed { .. }
            | StoreError::Missing { .. }
            | StoreError::Exists { .. }
            | StoreError::GenerationUsed { .. },
        ) => Ok(()),
        error => Err(error),
    }
}

fn missing(direction: Direction, zone: &Zone) -> AdminError {
    AdminError::Missing(format!("{direction} trust with {zone}"))
}

fn out_of_service(direction: Direction, zone: &Zone) -> AdminError {
    AdminError::Refused(format!(
        "the {direction} trust with {zone} is out of service: its row does not hold, see the log of this KDC; `keycell trust \
         delete {direction} {zone}`, then make it again"
    ))
}

/// A key that cannot be had, told to the log: what is done goes on without it.
fn without(zone: &Zone, error: &KeyringError) {
    tracing::error!(%zone, %error, "the keys of a trust do not unwrap: they count as lost");
}

/// Each loser of a race looks again; one of those that began together wins each time.
const ATTEMPTS: usize = 20;
