//! The records of the store, in the protocol's own types: a row that does not parse never becomes one.

use std::fmt;
use std::str::FromStr;

use keycell_protocol::{AuthorPublicKey, Epoch, Generation, Name, RatchetPeriod, UnixMillis, Zone};

use super::Kind;
use crate::enrollment::{EnrollmentRecord, Sighting};

/// The zone that a database belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZoneRecord {
    /// Its name.
    pub zone: Zone,
    /// How long an epoch of its keys lasts.
    pub ratchet_period: RatchetPeriod,
    /// When it was made.
    pub created_at: UnixMillis,
}

/// A secret of the KDC itself, wrapped under the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SecretRecord {
    /// What it is, such as `administrator token key`.
    pub name: String,
    /// Which one of that name: counts up when it is replaced.
    pub version: u32,
    /// The version of the master key that wraps it.
    pub master_version: u32,
    /// The wrapped secret.
    pub wrapped: Vec<u8>,
}

/// A party and its keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartyRecord {
    /// Its full name.
    pub name: Name,
    /// Whether it may ask for tickets and be asked for.
    pub enabled: bool,
    /// Starts at 1, one more with every change.
    pub revision: u64,
    /// One more with every disabling, so that keys wrapped before it do not open after it.
    pub revocation_epoch: u32,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
    /// Whether each ticket that it gets is a line of the log.
    pub log_tickets: bool,
    /// What an administrator wants to remember of it.
    pub note: String,
    /// Its key is to be replaced, by itself, if it was made before this moment.
    pub rotate_after: Option<UnixMillis>,
    /// The key that it signs with as an author. The first that it registers stays until an administrator removes it.
    pub author_key: Option<AuthorPublicKey>,
    /// How it came aboard, if it did so by itself.
    pub enrollment: Option<Box<EnrollmentRecord>>,
    /// Its keys, by generation.
    pub keys: Vec<KeyRecord>,
}

impl PartyRecord {
    /// One that is made at `now`: enabled, and with no key yet.
    #[must_use]
    pub const fn new(name: Name, now: UnixMillis) -> Self {
        Self {
            name,
            enabled: true,
            revision: 1,
            revocation_epoch: 0,
            created_at: now,
            updated_at: now,
            log_tickets: false,
            note: String::new(),
            rotate_after: None,
            author_key: None,
            enrollment: None,
            keys: Vec::new(),
        }
    }

    /// Marks the record as changed at `now` and gives back the revision it was at: what
    /// [`Write::PutParty`](super::Write::PutParty) is to expect.
    pub fn revise(&mut self, now: UnixMillis) -> u64 {
        let expected = self.revision;
        self.revision = expected.saturating_add(1);
        self.updated_at = now;
        expected
    }
}

/// A long-term key of a party, wrapped under the master key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRecord {
    /// Its generation.
    pub generation: Generation,
    /// What it is good for.
    pub state: KeyState,
    /// The epoch it has been stepped to.
    pub epoch: Epoch,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when it is good if it is retiring, and waits if it is staged; `None` for a key that lasts.
    pub ends_at: Option<UnixMillis>,
    /// The version of the master key that wraps it.
    pub master_version: u32,
    /// The wrapped key; empty once it is dead.
    pub wrapped: Vec<u8>,
}

impl KeyRecord {
    /// The same generation, dead: nothing is kept of its key.
    #[must_use]
    pub fn erased(&self) -> Self {
        Self { state: KeyState::Dead, ends_at: None, wrapped: Vec::new(), ..self.clone() }
    }
}

/// What a generation of a key is good for (docs/protocol.md §4.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// Made, not used yet.
    Staged,
    /// Seals new tickets and is accepted in requests.
    Active,
    /// Still accepted in requests.
    Retiring,
    /// Erased; only its generation is remembered.
    Dead,
}

impl KeyState {
    /// Every state with its name: the one table behind [`as_str`](Self::as_str) and `FromStr`.
    const NAMES: [(Self, &'static str); 4] = [
        (Self::Staged, "staged"),
        (Self::Active, "active"),
        (Self::Retiring, "retiring"),
        (Self::Dead, "dead"),
    ];

    /// Its name.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        Self::NAMES.iter().find(|(state, _)| *state == self).map_or("", |(_, name)| name)
    }
}

impl fmt::Display for KeyState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl FromStr for KeyState {
    type Err = UnknownKeyState;

    fn from_str(text: &str) -> Result<Self, UnknownKeyState> {
        let known = Self::NAMES.iter().find(|(_, name)| *name == text);
        known.map(|(state, _)| *state).ok_or(UnknownKeyState)
    }
}

/// A text that names no [`KeyState`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a key is staged, active, retiring or dead")]
pub struct UnknownKeyState;

/// The place of a change in the order of all changes: 1 is the first, none is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct ChangeNumber(pub u64);

impl fmt::Display for ChangeNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// What a name was before, in this life or an earlier one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Earlier {
    /// The highest generation of its keys. The next key takes the one after it.
    pub generation: Generation,
    /// The last revision of the party. A party that is made again takes the one after it.
    pub revision: u64,
}

/// When a party was last seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SeenRecord {
    /// Which party.
    pub name: Name,
    /// When, to the minute.
    pub at: UnixMillis,
    /// By which of its processes; `None` where an older release noted it.
    pub by: Option<Sighting>,
}

/// A party that was deleted, as it was last.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Buried {
    /// Its name.
    pub name: Name,
    /// Its last revision.
    pub revision: u64,
    /// The highest generation of its keys.
    pub generation: u32,
}

/// All parties as they were at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The last change that is in it.
    pub change: ChangeNumber,
    /// The parties, sorted by name.
    pub parties: Vec<PartyRecord>,
    /// The rows that are left out.
    pub damaged: Vec<Damaged>,
}

/// What happened after a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Changes {
    /// The last change that is in it: where the next look begins.
    pub change: ChangeNumber,
    /// What happened to each party, in order.
    pub parties: Vec<Change>,
    /// The kinds of documents of which one was put or deleted; kinds of a newer release are left out.
    pub documents: Vec<Kind>,
    /// The rows that are left out, besides those of whole parties.
    pub damaged: Vec<Damaged>,
}

/// What happened to a party.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// It was made or changed; this is its latest form.
    Put(PartyRecord),
    /// It was deleted.
    Deleted(Name),
    /// Its row does not parse: what it is now cannot be told.
    Unreadable {
        /// What the row gives as its name.
        name: String,
        /// What is wrong with the row.
        damaged: Damaged,
    },
}

/// A row that does not say what it must. One of them is left out; it must not keep the others from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Damaged {
    /// Which, as `table name`.
    pub row: String,
    /// What is wrong with it.
    pub reason: String,
}

impl Damaged {
    /// The id of the document, where it is one: it is named by its kind and its id.
    #[must_use]
    pub fn document(&self) -> Option<&str> {
        self.row.strip_prefix("document ")?.split_once(' ').map(|(_, id)| id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_and_their_names_go_both_ways() {
        let states = [KeyState::Staged, KeyState::Active, KeyState::Retiring, KeyState::Dead];
        for state in states {
            assert_eq!(state.as_str().parse(), Ok(state));
        }
        assert_eq!(states.map(KeyState::as_str), ["staged", "active", "retiring", "dead"]);
        assert_eq!("Active".parse::<KeyState>(), Err(UnknownKeyState));
        assert_eq!("".parse::<KeyState>(), Err(UnknownKeyState));
    }
}
