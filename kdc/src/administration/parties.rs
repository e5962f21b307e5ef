//! The parties of a zone: the one way in which they change.

use std::sync::Arc;

use keycell_protocol::{Generation, LongTermKey, Name};
use zeroize::Zeroizing;

use super::chosen::chosen;
use super::departures::{leave_groups, no_group, stay_away};
use super::kept::not_of_a_zone;
use super::{AdminError, Caller, Filter, Ledger, Precondition};
use crate::api::PartyPatch;
use crate::audit::{Action, Event};
use crate::directory::Party;
use crate::keyring::{KeyringError, Life, Standing};
use crate::store::{Act, Earlier, KeyRecord, KeyState, PartyRecord, StoreError, Write};

/// The parties of a zone. Everything here is durable, recorded, and in force on this KDC, when it returns.
pub struct Parties {
    pub(super) ledger: Arc<Ledger>,
}

/// A party that is to be made.
pub struct NewEntry {
    /// Its full name.
    pub name: Name,
    /// Its key, if the administrator chose it.
    pub secret: Option<Zeroizing<[u8; LongTermKey::SIZE]>>,
    /// What to remember of it.
    pub note: String,
    /// Whether its tickets are logged.
    pub log_tickets: bool,
}

impl NewEntry {
    /// A party of that name, whose key the KDC draws.
    #[must_use]
    pub const fn named(name: Name) -> Self {
        Self { name, secret: None, note: String::new(), log_tickets: false }
    }
}

/// A party that was made, with the key that it is to get.
#[derive(Debug)]
pub struct Created {
    /// The party.
    pub record: PartyRecord,
    /// Its key.
    pub key: LongTermKey,
    /// Whether it was there already, with this very key: a retry.
    pub retried: bool,
}

impl Parties {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// Makes a party. With a secret, its key is what the administrator chose, and doing it again is harmless; without,
    /// the KDC draws one. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Exists`] when the name is taken, unless by a party with this very secret.
    pub async fn create(
        &self,
        caller: &Caller,
        entry: &NewEntry,
        keep: impl FnOnce(&Created) -> Result<Option<Write>, AdminError>,
    ) -> Result<Created, AdminError> {
        self.check(entry)?;
        let name = &entry.name;
        let earlier = self.ledger.store().earlier(std::slice::from_ref(name)).await?;
        let created = self.draft(entry, earlier.get(name))?;
        let mut act = Act::new(
            Write::PutParty { party: created.record.clone(), expected: None },
            self.creation(caller, &created.record),
        );
        act.writes.extend(no_group(name));
        act.writes.extend(keep(&created)?);
        match self.ledger.commit(&act).await {
            Ok(_) => Ok(created),
            Err(AdminError::Store(StoreError::DocumentExists { .. })) => {
                Err(AdminError::Exists(format!("group {name}")))
            }
            Err(AdminError::Store(StoreError::Exists { .. })) => self.retried(entry).await,
            // Made and deleted by somebody else in between.
            Err(AdminError::Store(StoreError::GenerationUsed { .. } | StoreError::Changed { .. })) => {
                Err(AdminError::Busy)
            }
            Err(error) => Err(error),
        }
    }

    /// Changes a party. What it is already is left alone; doing it again changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn update(
        &self,
        caller: &Caller,
        name: &Name,
        patch: &PartyPatch,
        precondition: &Precondition,
    ) -> Result<Arc<Party>, AdminError> {
        if let Some(note) = &patch.note {
            check_note(note)?;
        }
        if patch.erase_keys == Some(true) && patch.enabled != Some(false) {
            let text =
                "only together with \"enabled\": false; give a key with `keycell key rotate --key-file`";
            return Err(AdminError::invalid("erase_keys", text));
        }
        // Somebody else may change the party in between, or its groups; then look again.
        for attempt in 0..ATTEMPTS {
            let Found { mut record, whole } = self.found(name, patch.enabled == Some(false)).await?;
            precondition.check(record.revision)?;
            if patch.enabled == Some(false) && self.is_altered(&record) {
                // Whoever wrote that it is disabled did not stop it: that is done now.
                record.enabled = true;
            }
            let was_enabled = record.enabled;
            let events = self.apply(caller, &mut record, patch)?;
            if events.is_empty() {
                return self.show(name);
            }
            let expected = Some(record.revise(self.ledger.now()));
            let party = record.clone();
            let write = if whole { Write::PutParty { party, expected } } else { Write::ForceParty(party) };
            let mut act = Act { writes: vec![write], events };
            if was_enabled && !record.enabled {
                leave_groups(&self.ledger, caller, name, "party disabled", attempt > 0, &mut act).await?;
            }
            if self.ledger.commit_on(name, &act).await? {
                return Ok(self.shown(&record));
            }
        }
        Err(AdminError::Busy)
    }

    /// Deletes a party with its keys. Its name can be given again; its generations and revisions go on counting. One that came
    /// aboard by itself does not come again with the same key.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn delete(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        self.remove(caller, name, precondition, false).await
    }

    /// As [`delete`](Self::delete), and lets the host of a party that came aboard by itself come again as a stranger.
    ///
    /// # Errors
    /// As there.
    pub async fn delete_and_forget(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        self.remove(caller, name, precondition, true).await
    }

    async fn remove(
        &self,
        caller: &Caller,
        name: &Name,
        precondition: &Precondition,
        forget: bool,
    ) -> Result<(), AdminError> {
        for attempt in 0..ATTEMPTS {
            let Found { record, whole } = self.found(name, true).await?;
            let (revision, enabled) = (record.revision, record.enabled || self.is_altered(&record));
            precondition.check(revision)?;
            let event = caller
                .event(self.ledger.now(), Action::PartyDelete, name.as_str())
                .with("revision", revision);
            let expected = whole.then_some(revision);
            let mut act = Act::new(Write::DeleteParty { name: name.clone(), expected }, event);
            if let Some(enrollment) = record.enrollment.as_deref().filter(|_| !forget) {
                stay_away(&self.ledger, caller, name, enrollment, &mut act).await?;
            }
            if !whole {
                act.writes.insert(0, Write::ForceParty(record));
            }
            if enabled {
                leave_groups(&self.ledger, caller, name, "party deleted", attempt > 0, &mut act).await?;
            }
            if self.ledger.commit_on(name, &act).await? {
                return Ok(());
            }
        }
        Err(AdminError::Busy)
    }

    /// One party.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub fn show(&self, name: &Name) -> Result<Arc<Party>, AdminError> {
        not_of_a_zone(name)?;
        self.ledger.directory().party(name.as_str()).ok_or_else(|| missing(name))
    }

    /// Up to `limit` parties in the order of their names, from the first after `after`.
    #[must_use]
    pub fn page(&self, after: Option<&Name>, limit: usize, filter: &Filter) -> Vec<Arc<Party>> {
        self.ledger.directory().page(after, limit, |party| filter.wants(party))
    }

    /// What can be seen of a new party before anybody is asked.
    pub(super) fn check(&self, entry: &NewEntry) -> Result<(), AdminError> {
        if entry.name.zone() != self.ledger.zone().zone.as_str() {
            return Err(AdminError::invalid("name", "it belongs to another zone"));
        }
        not_of_a_zone(&entry.name)?;
        check_note(&entry.note)
    }

    /// A new party with its key wrapped, after the life that its name had before.
    pub(super) fn draft(&self, entry: &NewEntry, earlier: Option<&Earlier>) -> Result<Created, AdminError> {
        let exhausted =
            || AdminError::invalid("name", "it has used up all its key generations; choose another");
        let (generation, revision) = match earlier {
            Some(earlier) => {
                (earlier.generation.next().ok_or_else(exhausted)?, earlier.revision.saturating_add(1))
            }
            None => (Generation::FIRST, 1),
        };
        let now = self.ledger.now();
        let clock = self.ledger.zone().ratchet_period.epoch(now.seconds());
        let epoch = self.ledger.directory().epoch_of_new_keys(clock);
        let random = &mut crate::random::system();
        let key = match &entry.secret {
            Some(secret) => LongTermKey::new(generation, epoch, **secret),
            None => LongTermKey::generate(generation, epoch, random),
        };
        let keyring = self.ledger.keyring();
        let sealed = keyring.seal_key(&entry.name, Standing::NEW, &key, Life::active(now), random);
        let record = PartyRecord {
            revision,
            log_tickets: entry.log_tickets,
            note: entry.note.clone(),
            keys: vec![sealed],
            ..PartyRecord::new(entry.name.clone(), now)
        };
        Ok(Created { record, key, retried: false })
    }

    pub(super) fn creation(&self, caller: &Caller, record: &PartyRecord) -> Event {
        let event = caller.event(record.created_at, Action::PartyCreate, record.name.as_str());
        match record.keys.first() {
            Some(key) => event.with("generation", key.generation.0),
            None => event,
        }
    }

    /// Whether a party is there with the very key of `entry`: then it was made by an earlier try.
    pub(super) fn holds(
        &self,
        record: &PartyRecord,
        secret: &[u8; LongTermKey::SIZE],
    ) -> Result<Option<LongTermKey>, AdminError> {
        Ok(chosen(&self.ledger, record, secret)?)
    }

    async fn retried(&self, entry: &NewEntry) -> Result<Created, AdminError> {
        let exists = || AdminError::Exists(format!("party {}", entry.name));
        let secret = entry.secret.as_ref().ok_or_else(exists)?;
        let record = self.ledger.store().party(&entry.name).await?.ok_or(AdminError::Busy)?;
        match self.holds(&record, secret)? {
            Some(key) => Ok(Created { record, key, retried: true }),
            None => Err(exists()),
        }
    }

    /// A party as the database has it. Where its rows are damaged or gone and it is to be `stopped`, that is the one in
    /// memory, which may still speak; its keys count as lost.
    async fn found(&self, name: &Name, stopped: bool) -> Result<Found, AdminError> {
        not_of_a_zone(name)?;
        let error = match self.ledger.store().party(name).await {
            Ok(Some(record)) => return Ok(Found { record, whole: true }),
            Ok(None) => missing(name),
            Err(error @ StoreError::Damaged { .. }) => error.into(),
            Err(error) => return Err(error.into()),
        };
        let Some(party) = self.ledger.directory().party(name.as_str()).filter(|_| stopped) else {
            return Err(error);
        };
        let (keyring, random) = (self.ledger.keyring(), &mut crate::random::system());
        tracing::error!(party = %name, error = %crate::http::chain(&error), "the rows of a party are damaged: they are written over");
        let mut record = party.record().clone();
        record.keys = record.keys.iter().map(KeyRecord::erased).collect();
        keyring.take_author_key(&mut record, random);
        Ok(Found { record, whole: false })
    }

    /// Whether somebody else than Keycell wrote its row: a key is bound to another one, or its seal is of another one. That
    /// it has no seal is no sign of it where it is disabled: it may have been Keycell that took it.
    fn is_altered(&self, record: &PartyRecord) -> bool {
        let keyring = self.ledger.keyring();
        let known = self.ledger.directory().party(record.name.as_str());
        let is_stopped = !record.enabled && known.is_none_or(|party| !party.enabled());
        let is_unsealed = record.enrollment.as_ref().is_some_and(|record| record.seal.sealed.is_empty());
        if !(is_stopped && is_unsealed)
            && matches!(keyring.check_enrollment(record), Err(KeyringError::Damaged { .. }))
        {
            return true;
        }
        let opened = |key: &KeyRecord| keyring.open_key(record, key);
        let mut alive = record.keys.iter().filter(|key| key.state != KeyState::Dead);
        alive.any(|key| matches!(opened(key), Err(KeyringError::Damaged { .. })))
    }

    /// A party after a change to it, also where the directory could not take it in.
    fn shown(&self, record: &PartyRecord) -> Arc<Party> {
        match self.ledger.directory().party(record.name.as_str()) {
            Some(party) if party.record().revision >= record.revision => party,
            known => {
                let seen = known.map(|party| party.seen().clone()).unwrap_or_default();
                Arc::new(Party::new(record, [], seen))
            }
        }
    }

    /// Changes the record and says what was changed.
    fn apply(
        &self,
        caller: &Caller,
        record: &mut PartyRecord,
        patch: &PartyPatch,
    ) -> Result<Vec<Event>, AdminError> {
        let now = self.ledger.now();
        let mut events = Vec::new();
        if let Some(enabled) = patch.enabled.filter(|enabled| *enabled != record.enabled) {
            self.ledger.keyring().set_enabled(record, enabled, &mut crate::random::system())?;
            let action = if enabled { Action::PartyEnable } else { Action::PartyDisable };
            events.push(caller.event(now, action, record.name.as_str()));
        }
        if patch.erase_keys == Some(true) {
            // Their generations stay: what remembers revocations goes by them.
            for key in record.keys.iter_mut().filter(|key| key.state != KeyState::Dead) {
                let event = caller.event(now, Action::KeyErase, record.name.as_str());
                events.push(event.with("generation", key.generation.0));
                *key = key.erased();
            }
            // Who took those may have taken the other too, and nothing is left that it is bound to.
            self.ledger.keyring().take_author_key(record, &mut crate::random::system());
        }
        let mut update = caller.event(now, Action::PartyUpdate, record.name.as_str());
        let before = update.clone();
        if let Some(note) = patch.note.as_ref().filter(|note| **note != record.note) {
            update = update.with("note", note.as_str()).with("note_before", record.note.as_str());
            record.note.clone_from(note);
        }
        if let Some(log) = patch.log_tickets.filter(|log| *log != record.log_tickets) {
            update = update.with("log_tickets", log);
            record.log_tickets = log;
        }
        if update != before {
            events.push(update);
        }
        Ok(events)
    }
}

/// A party that is to be changed.
struct Found {
    record: PartyRecord,
    /// Whether the database has it like this.
    whole: bool,
}

fn check_note(note: &str) -> Result<(), AdminError> {
    if note.chars().count() > NOTE || note.chars().any(char::is_control) {
        return Err(AdminError::invalid("note", "at most 200 characters, none of them a control character"));
    }
    Ok(())
}

fn missing(name: &Name) -> AdminError {
    AdminError::Missing(format!("party {name}"))
}

const NOTE: usize = 200;
const ATTEMPTS: usize = 40;
