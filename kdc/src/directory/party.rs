//! One party, as the path of a ticket sees it.

use std::sync::{Arc, Mutex, PoisonError};

use keycell_protocol::{
    Epoch, Generation, KeysFor, LongTermKey, Name, Purpose, RatchetedKey, RotationKeys, Subkeys, UnixMillis,
};

use super::Seen;
use crate::policy::ClassSlot;
use crate::store::{KeyRecord, KeyState, PartyRecord};

/// A party with its keys unwrapped.
#[derive(Debug)]
pub struct Party {
    record: PartyRecord,
    keys: Vec<PartyKey>,
    seen: Arc<Seen>,
    class: ClassSlot,
}

#[derive(Debug)]
struct PartyKey {
    state: KeyState,
    generation: Generation,
    /// Shared with what the party was before, where its keys cannot be unwrapped anew.
    key: Arc<Mutex<RatchetedKey>>,
    ends_at: Option<UnixMillis>,
}

impl PartyKey {
    /// Whether it is still good for what its state says: by the clock, whether or not it was erased already. An end that is
    /// further off than any is set was set by a clock that has been put right since.
    fn lasts(&self, at: UnixMillis) -> bool {
        self.ends_at.is_none_or(|end| at < end && end.0.saturating_sub(at.0) <= LONGEST_END_MS)
    }
}

impl Party {
    /// A party as its record describes it, with the keys that are unwrapped already.
    #[must_use]
    pub fn new(
        record: &PartyRecord,
        keys: impl IntoIterator<Item = (KeyState, LongTermKey)>,
        seen: Arc<Seen>,
    ) -> Self {
        let key = |(state, key): (KeyState, LongTermKey)| PartyKey {
            state,
            generation: key.generation(),
            ends_at: record
                .keys
                .iter()
                .find(|row| row.generation == key.generation())
                .and_then(|row| row.ends_at),
            key: Arc::new(Mutex::new(RatchetedKey::new(key))),
        };
        let mut record = record.clone();
        record.keys.iter_mut().for_each(|key| key.wrapped = Vec::new());
        Self { record, keys: keys.into_iter().map(key).collect(), seen, class: ClassSlot::default() }
    }

    /// Its full name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.record.name
    }

    /// Whether it may ask for tickets and be asked for.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.record.enabled
    }

    /// The same party after a change whose keys cannot be unwrapped here: what the new record takes away is gone, and what it
    /// gives is not believed, for nothing proves it.
    pub(crate) fn restricted(&self, record: &PartyRecord) -> Self {
        let mut merged = record.clone();
        merged.enabled = record.enabled && self.record.enabled;
        merged.author_key = self.record.author_key.filter(|key| record.author_key == Some(*key));
        merged.enrollment.clone_from(&self.record.enrollment);
        merged.keys.iter_mut().for_each(|key| key.wrapped = Vec::new());
        let kept = self.keys.iter().filter_map(|key| {
            let found = record.keys.iter().find(|found| found.generation == key.generation)?;
            let state = found.state;
            let retires = key.state == KeyState::Active && state == KeyState::Retiring;
            let ends_at = [key.ends_at, found.ends_at].into_iter().flatten().min();
            let kept = || PartyKey { state, generation: key.generation, ends_at, key: key.key.clone() };
            (retires || state == key.state).then(kept)
        });
        Self { keys: kept.collect(), record: merged, seen: self.seen.clone(), class: ClassSlot::default() }
    }

    /// Turns its keys: erases what is past the overlap of one epoch before `now`, which must be certain.
    pub(crate) fn turn(&self, now: Epoch) {
        for key in &self.keys {
            key.key.lock().unwrap_or_else(PoisonError::into_inner).confirm(now);
        }
    }

    /// What the database has of it, without the wrapped keys.
    #[must_use]
    pub const fn record(&self) -> &PartyRecord {
        &self.record
    }

    /// The epoch that its key of that generation is turned to in memory.
    #[must_use]
    pub fn epoch(&self, generation: Generation) -> Option<Epoch> {
        let key = self.keys.iter().find(|key| key.generation == generation)?;
        Some(key.key.lock().unwrap_or_else(PoisonError::into_inner).epoch())
    }

    /// When it last asked for tickets, on this KDC or on another.
    #[must_use]
    pub const fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// Whether it has a key for new tickets.
    #[must_use]
    pub fn has_key(&self) -> bool {
        self.keys.iter().any(|key| key.state == KeyState::Active)
    }

    /// Where the policy keeps the class of its name.
    pub(crate) const fn class(&self) -> &ClassSlot {
        &self.class
    }

    /// Its active key as the database has it, without the wrapped key.
    #[must_use]
    pub fn active(&self) -> Option<&KeyRecord> {
        self.record.keys.iter().find(|key| key.state == KeyState::Active)
    }

    /// Whether a request that a key of that generation signed is accepted at `at`, whatever its epoch.
    #[must_use]
    pub fn accepts(&self, generation: Generation, at: UnixMillis) -> bool {
        let key = self.keys.iter().find(|key| key.generation == generation && key.lasts(at));
        key.is_some_and(|key| matches!(key.state, KeyState::Active | KeyState::Retiring))
    }

    /// The subkeys that check a request of that generation and epoch, at `at` in epoch `now`: of an active key, or of a
    /// retiring one before its end (docs/protocol.md §4.1).
    #[must_use]
    pub fn request_keys(
        &self,
        generation: Generation,
        epoch: Epoch,
        now: Epoch,
        at: UnixMillis,
    ) -> Option<Arc<Subkeys>> {
        let key = self.keys.iter().find(|key| key.generation == generation)?;
        match key.state {
            KeyState::Active | KeyState::Retiring if key.lasts(at) => {
                key.key.lock().unwrap_or_else(PoisonError::into_inner).at(epoch, now).ok()
            }
            _ => None,
        }
    }

    /// The same for requests that have keys of their own.
    #[must_use]
    pub fn keys_for<P: Purpose>(
        &self,
        generation: Generation,
        epoch: Epoch,
        now: Epoch,
        at: UnixMillis,
    ) -> Option<KeysFor<P>> {
        let accepted = |key: &&PartyKey| matches!(key.state, KeyState::Active | KeyState::Retiring);
        let key =
            self.keys.iter().find(|key| key.generation == generation && key.lasts(at)).filter(accepted)?;
        key.key.lock().unwrap_or_else(PoisonError::into_inner).keys_for(epoch, now).ok()
    }

    /// The keys that check a request to rotate, and what state the generation is in: active, retiring or staged, before
    /// its end (docs/protocol.md §4.4).
    #[must_use]
    pub fn rotation_keys(
        &self,
        generation: Generation,
        epoch: Epoch,
        now: Epoch,
        at: UnixMillis,
    ) -> Option<(KeyState, RotationKeys)> {
        let key = self.keys.iter().find(|key| key.generation == generation && key.lasts(at))?;
        let keys = key.key.lock().unwrap_or_else(PoisonError::into_inner).keys_for(epoch, now).ok()?;
        Some((key.state, keys))
    }

    /// The subkeys that seal new tickets for it: of its active key, whatever a request says.
    #[must_use]
    pub fn ticket_keys(&self, now: Epoch) -> Option<Arc<Subkeys>> {
        let key = self.keys.iter().find(|key| key.state == KeyState::Active)?;
        key.key.lock().unwrap_or_else(PoisonError::into_inner).current(now).ok()
    }
}

/// A ticket lasts for a day at most, and a staged key for one; the clocks may be off by ten minutes twice.
pub(crate) const LONGEST_END_MS: u64 = 25 * 3_600_000;
