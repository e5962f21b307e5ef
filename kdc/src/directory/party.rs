//! One party, as the path of a ticket sees it.

use std::sync::{Arc, Mutex, PoisonError};

use keycell_protocol::{Epoch, Generation, LongTermKey, Name, RatchetedKey, Subkeys, UnixMillis};

use crate::store::{KeyState, PartyRecord};

/// A party with its keys unwrapped.
#[derive(Debug)]
pub struct Party {
    name: Name,
    enabled: bool,
    revision: u64,
    created_at: UnixMillis,
    updated_at: UnixMillis,
    keys: Vec<PartyKey>,
}

#[derive(Debug)]
struct PartyKey {
    state: KeyState,
    generation: Generation,
    key: Mutex<RatchetedKey>,
}

impl Party {
    /// A party as its record describes it, with the keys that are unwrapped already.
    pub(crate) fn new(record: &PartyRecord, keys: impl IntoIterator<Item = (KeyState, LongTermKey)>) -> Self {
        let key = |(state, key): (KeyState, LongTermKey)| PartyKey {
            state,
            generation: key.generation(),
            key: Mutex::new(RatchetedKey::new(key)),
        };
        Self {
            name: record.name.clone(),
            enabled: record.enabled,
            revision: record.revision,
            created_at: record.created_at,
            updated_at: record.updated_at,
            keys: keys.into_iter().map(key).collect(),
        }
    }

    /// Its full name.
    #[must_use]
    pub const fn name(&self) -> &Name {
        &self.name
    }

    /// Whether it may ask for tickets and be asked for.
    #[must_use]
    pub const fn enabled(&self) -> bool {
        self.enabled
    }

    /// How often it was changed.
    #[must_use]
    pub const fn revision(&self) -> u64 {
        self.revision
    }

    /// When it was made.
    #[must_use]
    pub const fn created_at(&self) -> UnixMillis {
        self.created_at
    }

    /// When it was last changed.
    #[must_use]
    pub const fn updated_at(&self) -> UnixMillis {
        self.updated_at
    }

    /// Its generations and what each is good for.
    pub fn generations(&self) -> impl Iterator<Item = (Generation, KeyState)> {
        self.keys.iter().map(|key| (key.generation, key.state))
    }

    /// The subkeys that check a request of that generation and epoch, at epoch `now`: of an active or retiring key
    /// only (docs/protocol.md §4.1).
    #[must_use]
    pub fn request_keys(&self, generation: Generation, epoch: Epoch, now: Epoch) -> Option<Arc<Subkeys>> {
        let key = self.keys.iter().find(|key| key.generation == generation)?;
        match key.state {
            KeyState::Active | KeyState::Retiring => {
                key.key.lock().unwrap_or_else(PoisonError::into_inner).at(epoch, now).ok()
            }
            KeyState::Staged | KeyState::Dead => None,
        }
    }

    /// The subkeys that seal new tickets for it: of its active key, whatever a request says.
    #[must_use]
    pub fn ticket_keys(&self, now: Epoch) -> Option<Arc<Subkeys>> {
        let key = self.keys.iter().find(|key| key.state == KeyState::Active)?;
        key.key.lock().unwrap_or_else(PoisonError::into_inner).current(now).ok()
    }
}
