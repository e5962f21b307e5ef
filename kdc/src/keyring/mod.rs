//! Keys at rest: every secret in the database is wrapped under the master key and bound to its row.
//!
//! [`MasterKeys`] are read from outside the database ([`MasterKeySource`]), one or more versions. They become a
//! [`Keyring`], which wraps and unwraps, only by opening the database's key checks, so a wrong master key is never mistaken
//! for damaged rows.
//!
//! ```text
//! 0   1  version = 1
//! 1   4  version of the master key
//! 5   24 nonce, random
//! 29  .. XChaCha20-Poly1305(master key, nonce, aad = bytes 0..5 and the row's binding, secret), tag 16
//! ```

mod aboard;
mod binding;
mod error;
mod file;
mod master;
mod masters;
pub mod shares;
mod source;
mod versions;

use std::sync::{Arc, PoisonError, RwLock};

use keycell_protocol::{AuthorPublicKey, LongTermKey, Name, UnixMillis};
use rand_core::CryptoRng;
use zeroize::Zeroizing;

use crate::store::{Answer, BoundKey, Document, KeyRecord, KeyState, Kind, PartyRecord, SecretRecord};
use versions::Held;

pub use binding::RowBinding;
pub use error::KeyringError;
pub use master::MasterKey;
pub use masters::MasterKeys;
pub use source::MasterKeySource;
pub use versions::{check_name, is_key_check};

/// The versions of the master key that are at hand. Rows are unwrapped with the version that they name, and wrapped with
/// the active one, which has been proved to be this database's.
pub struct Keyring {
    held: RwLock<Arc<Held>>,
}

impl Keyring {
    /// The name of the secret that holds the key check of a zone's first master key.
    pub const CHECK: &'static str = "key check";

    /// The keyring of a new database, and the key check to store in it.
    pub fn create(master: MasterKey, rng: &mut impl CryptoRng) -> (Self, SecretRecord) {
        let active = Arc::new(master);
        let keyring = Self::of(Held { keys: active.clone().into(), active, lacking: None });
        let check = keyring.seal_secret(Self::CHECK, 1, CHECKED, rng);
        (keyring, check)
    }

    /// Wraps a secret of the KDC itself.
    pub fn seal_secret(
        &self,
        name: &str,
        version: u32,
        secret: &[u8],
        rng: &mut impl CryptoRng,
    ) -> SecretRecord {
        let master = self.active();
        SecretRecord {
            name: name.to_owned(),
            version,
            master_version: master.version(),
            wrapped: master.wrap(&RowBinding::Secret { name, version }, secret, rng),
        }
    }

    /// Unwraps a secret of the KDC itself.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
    pub fn open_secret(&self, record: &SecretRecord) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let binding = RowBinding::Secret { name: &record.name, version: record.version };
        self.unwrap(&binding, record.master_version, &record.wrapped)
    }

    /// Seals a document: not to hide it, but so that only what Keycell wrote counts.
    pub fn seal_document(
        &self,
        kind: Kind,
        id: String,
        revision: u64,
        body: String,
        rng: &mut impl CryptoRng,
    ) -> Document {
        self.active().seal_document(kind, id, revision, body, rng)
    }

    /// Checks that Keycell wrote this document, as it stands.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
    pub fn check_document(&self, document: &Document) -> Result<(), KeyringError> {
        let Document { kind, id, revision, body, master_version, sealed } = document;
        let binding = RowBinding::Document { kind: kind.as_str(), id, revision: *revision, body };
        self.unwrap(&binding, *master_version, sealed).map(drop)
    }

    /// Wraps the body of an answer; `answer` is complete but for it.
    pub fn seal_answer(&self, mut answer: Answer, body: &[u8], rng: &mut impl CryptoRng) -> Answer {
        let master = self.active();
        answer.master_version = master.version();
        answer.wrapped = master.wrap(&RowBinding::of(&answer), body, rng);
        answer
    }

    /// Unwraps the body of an answer.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] and [`KeyringError::NoVersion`].
    pub fn open_answer(&self, answer: &Answer) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        self.unwrap(&RowBinding::of(answer), answer.master_version, &answer.wrapped)
    }

    /// Wraps a key of a party, bound to the party's name, standing and the key's own state. For [`KeyState::Dead`]
    /// nothing is kept of the key (docs/protocol.md §4.1).
    pub fn seal_key(
        &self,
        party: &Name,
        standing: Standing,
        key: &LongTermKey,
        life: Life,
        rng: &mut impl CryptoRng,
    ) -> KeyRecord {
        let Life { state, created_at, ends_at } = life;
        let binding = RowBinding::Key {
            party,
            standing,
            generation: key.generation(),
            epoch: key.epoch(),
            state,
            ends_at,
        };
        let master = self.active();
        let wrapped = match state {
            KeyState::Dead => Vec::new(),
            _ => master.wrap(&binding, key.expose_secret(), rng),
        };
        KeyRecord {
            generation: key.generation(),
            state,
            epoch: key.epoch(),
            created_at,
            ends_at,
            master_version: master.version(),
            wrapped,
        }
    }

    /// Unwraps one of `party`'s keys.
    ///
    /// # Errors
    /// [`KeyringError::Damaged`] for a row that was changed or moved, or holds a dead key;
    /// [`KeyringError::NoVersion`].
    pub fn open_key(&self, party: &PartyRecord, key: &KeyRecord) -> Result<LongTermKey, KeyringError> {
        self.open_key_of(&party.name, Standing::of(party), key)
    }

    /// Unwraps a key as it was found with what it is bound to.
    ///
    /// # Errors
    /// As [`open_key`](Self::open_key).
    pub fn open_bound(&self, found: &BoundKey) -> Result<LongTermKey, KeyringError> {
        self.open_key_of(&found.party, found.standing, &found.key)
    }

    fn open_key_of(
        &self,
        party: &Name,
        standing: Standing,
        key: &KeyRecord,
    ) -> Result<LongTermKey, KeyringError> {
        let binding = RowBinding::Key {
            party,
            standing,
            generation: key.generation,
            epoch: key.epoch,
            state: key.state,
            ends_at: key.ends_at,
        };
        let secret = self.unwrap(&binding, key.master_version, &key.wrapped)?;
        let secret = Zeroizing::new(
            <[u8; LongTermKey::SIZE]>::try_from(secret.as_slice())
                .map_err(|_| KeyringError::Damaged { row: binding.to_string() })?,
        );
        Ok(LongTermKey::new(key.generation, key.epoch, *secret))
    }

    /// Gives `party` another standing and binds all its keys to it, and how it came aboard. On an error the record is as it
    /// was.
    ///
    /// # Errors
    /// As [`open_key`](Self::open_key) and [`check_enrollment`](Self::check_enrollment).
    pub fn rewrap(
        &self,
        party: &mut PartyRecord,
        standing: Standing,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyringError> {
        self.check_enrollment(party)?;
        self.restand(party, standing, rng)
    }

    /// As [`rewrap`](Self::rewrap), also where the seal of how the party came aboard does not hold, or where it names a version of
    /// the master key that is not here: then it is none from then on.
    ///
    /// # Errors
    /// As [`open_key`](Self::open_key).
    pub fn restand(
        &self,
        party: &mut PartyRecord,
        standing: Standing,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyringError> {
        let held = self.check_enrollment(party).is_ok();
        let mut keys = Vec::with_capacity(party.keys.len());
        for record in &party.keys {
            keys.push(match record.state {
                KeyState::Dead => record.clone(),
                _ => {
                    let key = self.open_key(party, record)?;
                    self.seal_key(&party.name, standing, &key, Life::of(record), rng)
                }
            });
        }
        party.keys = keys;
        party.enabled = standing.enabled;
        party.revocation_epoch = standing.revocation_epoch;
        // With no key left, nothing vouches for what it is bound to.
        let alive = party.keys.iter().any(|key| key.state != KeyState::Dead);
        party.author_key = standing.author_key.filter(|_| alive);
        self.seal_where(held, party, rng);
        Ok(())
    }

    /// Enables or disables `party` and binds its keys anew; each disabling counts its revocation epoch up. A party that
    /// is so already is left alone. A key that is damaged keeps nobody from disabling: it is dead from then on; nor does a
    /// seal, whatever it says.
    ///
    /// # Errors
    /// As [`rewrap`](Self::rewrap), to enable; [`KeyringError::TooManyRevocations`] and [`KeyringError::NoVersion`] of a
    /// key, to disable: a KDC that has the version can.
    pub fn set_enabled(
        &self,
        party: &mut PartyRecord,
        enabled: bool,
        rng: &mut impl CryptoRng,
    ) -> Result<(), KeyringError> {
        if party.enabled == enabled {
            return Ok(());
        }
        let mut revocation_epoch = party.revocation_epoch;
        if !enabled {
            revocation_epoch = revocation_epoch
                .checked_add(1)
                .ok_or_else(|| KeyringError::TooManyRevocations { party: party.name.clone() })?;
            let lost = |key: &KeyRecord| {
                key.state != KeyState::Dead
                    && matches!(self.open_key(party, key), Err(KeyringError::Damaged { .. }))
            };
            let keys = party.keys.iter().map(|key| if lost(key) { key.erased() } else { key.clone() });
            party.keys = keys.collect();
        } else {
            self.check_enrollment(party)?;
        }
        self.restand(party, Standing { enabled, revocation_epoch, ..Standing::of(party) }, rng)
    }

    fn of(held: Held) -> Self {
        Self { held: RwLock::new(Arc::new(held)) }
    }

    fn held(&self) -> Arc<Held> {
        self.held.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn unwrap(
        &self,
        binding: &RowBinding<'_>,
        version: u32,
        wrapped: &[u8],
    ) -> Result<Zeroizing<Vec<u8>>, KeyringError> {
        let held = self.held();
        let master = held
            .keys
            .version(version)
            .ok_or_else(|| KeyringError::NoVersion { row: binding.to_string(), needed: version })?;
        master.unwrap(binding, version, wrapped)
    }
}

/// What of a party its keys are bound to besides its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Whether the party is enabled.
    pub enabled: bool,
    /// How often it has been disabled.
    pub revocation_epoch: u32,
    /// The key that it signs with as an author.
    pub author_key: Option<AuthorPublicKey>,
}

impl Standing {
    /// That of a new party.
    pub const NEW: Self = Self { enabled: true, revocation_epoch: 0, author_key: None };

    /// That of `party`.
    #[must_use]
    pub fn of(party: &PartyRecord) -> Self {
        let PartyRecord { enabled, revocation_epoch, author_key, .. } = *party;
        Self { enabled, revocation_epoch, author_key }
    }
}

/// What becomes of a key besides its epochs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Life {
    /// What it is good for.
    pub state: KeyState,
    /// When it was made.
    pub created_at: UnixMillis,
    /// Until when, for a retiring or a staged one.
    pub ends_at: Option<UnixMillis>,
}

impl Life {
    /// That of a key that is used from now on.
    #[must_use]
    pub const fn active(now: UnixMillis) -> Self {
        Self { state: KeyState::Active, created_at: now, ends_at: None }
    }

    /// That of a key as it is stored.
    #[must_use]
    pub const fn of(record: &KeyRecord) -> Self {
        Self { state: record.state, created_at: record.created_at, ends_at: record.ends_at }
    }
}

const CHECKED: &[u8] = b"keycell master key check 1";

#[cfg(test)]
mod tests;
