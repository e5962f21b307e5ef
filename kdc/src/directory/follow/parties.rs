//! How parties are taken in.

use std::sync::PoisonError;

use keycell_protocol::LongTermKey;

use super::Follower;
use crate::directory::Party;
use crate::store::{Change, Damaged, KeyRecord, KeyState, PartyRecord, Snapshot};

impl Follower {
    pub(super) fn take(&self, change: &Change) {
        match change {
            Change::Put(record) => {
                if let Some(watermark) = self.watermark.get() {
                    if let Some(what) = watermark.gives_back(record) {
                        tracing::error!(party = %record.name, ?what, "the database rows of a party were put back: it stays as it was");
                        return;
                    }
                    watermark.saw_party(record);
                }
                self.directory.put(self.unwrapped(record));
            }
            Change::Deleted(name) => {
                if let (Some(watermark), Some(party)) =
                    (self.watermark.get(), self.directory.principal(name.as_str()))
                {
                    watermark.saw_deleted(party.record());
                }
                self.directory.remove(name);
            }
            // Whether it may still speak cannot be told, so it may not.
            Change::Unreadable { name, damaged } => {
                let Damaged { row, reason } = damaged;
                tracing::error!(party = %name, row, reason, "a party is taken out of service: its row is damaged");
                if let Some(party) = self.directory.principal(name) {
                    self.directory.remove(party.name());
                }
            }
        }
    }

    pub(super) fn replace(&self, snapshot: &Snapshot) {
        told(&snapshot.damaged);
        self.directory.replace(snapshot.parties.iter().map(|record| self.unwrapped(record)));
    }

    fn unwrapped(&self, record: &PartyRecord) -> Party {
        // Not damaged, but not to be read here yet: what it takes away holds all the same.
        let waits = |key: &KeyRecord| key.state != KeyState::Dead && self.keyring.expects(key.master_version);
        if record.keys.iter().any(waits)
            && let Some(known) = self.directory.principal(record.name.as_str())
        {
            return known.restricted(record);
        }
        let open = |key: &KeyRecord| -> Option<(KeyState, LongTermKey)> {
            if key.state == KeyState::Dead || waits(key) {
                return None;
            }
            match self.keyring.open_key(record, key) {
                Ok(opened) => Some((key.state, opened)),
                Err(error) => {
                    tracing::error!(party = %record.name, generation = %key.generation, %error, "a key does not unwrap");
                    let mut damaged = self.damaged.lock().unwrap_or_else(PoisonError::into_inner);
                    if damaged.len() < TOLD {
                        damaged.insert((record.name.clone(), key.generation));
                    }
                    None
                }
            }
        };
        Party::new(record, record.keys.iter().filter_map(open), self.directory.seen_of(&record.name))
    }
}

pub(super) fn told(damaged: &[Damaged]) {
    for Damaged { row, reason } in damaged {
        tracing::error!(row, reason, "a database row is left out: it is damaged");
    }
}

/// How many damaged keys are remembered until they are told of.
const TOLD: usize = 256;
