//! Which versions of the master key there are, which one wraps, and how a KDC goes over to the next.

use std::fmt;
use std::sync::{Arc, PoisonError};

use rand_core::CryptoRng;

use super::{CHECKED, Keyring, KeyringError, MasterKey, MasterKeySource, MasterKeys, RowBinding};
use crate::settings::MasterKeySetting;
use crate::store::{Document, Kind, SecretRecord};

/// What a keyring holds at one moment.
pub(super) struct Held {
    pub(super) keys: MasterKeys,
    /// What wraps: one of `keys`.
    pub(super) active: Arc<MasterKey>,
    /// The version that the zone has gone over to, where it is not among `keys`.
    pub(super) lacking: Option<u32>,
}

impl Keyring {
    /// The keyring of a database: `secrets` are all of its own, and `announced` is the version that its document
    /// `master-key` makes active, if there is one; whether that document holds is for the caller to check with what this
    /// returns.
    ///
    /// # Errors
    /// [`KeyringError::Lacking`] without the active version; [`KeyringError::WrongMasterKey`] for a version that is not the
    /// one the database knows; [`KeyringError::Damaged`] for a key check that is none.
    pub fn open(
        keys: MasterKeys,
        secrets: &[SecretRecord],
        announced: Option<u32>,
    ) -> Result<Self, KeyringError> {
        let active = announced.unwrap_or(0).max(in_use(secrets));
        prove(&keys, secrets)?;
        let proved = secrets.iter().any(|secret| checked_version(secret) == Some(active));
        if !proved {
            return Err(KeyringError::Damaged { row: format!("secret {}", check_name(active)) });
        }
        let Some(active) = keys.version(active).cloned() else {
            return Err(KeyringError::Lacking { version: active, place: place(&keys) });
        };
        Ok(Self::of(Held { keys, active, lacking: None }))
    }

    /// The version of the master key that wraps new rows.
    #[must_use]
    pub fn master_version(&self) -> u32 {
        self.held().active.version()
    }

    /// The versions that are here, the lowest first.
    #[must_use]
    pub fn versions(&self) -> Vec<u32> {
        self.held().keys.versions()
    }

    /// The version that the zone has gone over to and that is not here.
    #[must_use]
    pub fn lacking(&self) -> Option<KeyringError> {
        let held = self.held();
        held.lacking.map(|version| KeyringError::Lacking { version, place: place(&held.keys) })
    }

    /// How errors and reports name the place where the keys come from.
    #[must_use]
    pub fn place(&self) -> String {
        place(&self.held().keys)
    }

    /// Whether rows of that version wait for it to be given to this KDC.
    #[must_use]
    pub fn expects(&self, version: u32) -> bool {
        self.held().lacking == Some(version)
    }

    /// Notes that the zone seems to have gone over to a version; it is lacking until it is here.
    pub fn expect(&self, version: u32) {
        let mut slot = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let lacking = slot.keys.version(version).is_none().then_some(version);
        *slot = Arc::new(Held { keys: slot.keys.clone(), active: slot.active.clone(), lacking });
    }

    /// Goes over to a version that a document names which holds under it. It never goes back: an old document that somebody
    /// put into the database must not bring an old key into use again. Says whether another version wraps now.
    pub fn follow(&self, version: u32) -> bool {
        let mut slot = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let newer = slot.keys.version(version).filter(|_| version > slot.active.version()).cloned();
        let goes_over = newer.is_some();
        let active = newer.unwrap_or_else(|| slot.active.clone());
        *slot = Arc::new(Held { keys: slot.keys.clone(), active, lacking: None });
        goes_over
    }

    /// Reads the source again. A version that the database knows stays, whether it is still there or not: rows may need it.
    /// One that it does not know yet is as the source has it now, or gone; one that it knows as another is gone.
    ///
    /// # Errors
    /// What reading it says, and [`KeyringError::WrongMasterKey`] for a version that is not the one the database knows: then
    /// nothing is taken in.
    pub fn renew(&self, secrets: &[SecretRecord]) -> Result<(), KeyringError> {
        let Some(source) = self.held().keys.source().cloned() else { return Ok(()) };
        let found = source.load().and_then(|found| prove(&found, secrets).map(|()| found));
        let mut slot = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let mut keys = slot.keys.clone();
        for version in slot.keys.versions() {
            let known = secrets.iter().any(|secret| checked_version(secret) == Some(version));
            let here = slot.keys.clone().only(version);
            // Whatever the source is like now, what cannot be right must not be used.
            let goes = if known { prove(&here, secrets).is_err() } else { found.is_ok() };
            if goes && version != slot.active.version() {
                keys = keys.without(version);
            }
        }
        if let Ok(found) = &found {
            found.iter().for_each(|key| keys.take(key));
        }
        *slot = Arc::new(Held { keys, active: slot.active.clone(), lacking: slot.lacking });
        found.map(drop)
    }

    /// What makes a version active: its key check, unless the database has one, and the document that names it, both sealed
    /// under that very version.
    ///
    /// # Errors
    /// [`KeyringError::Lacking`].
    pub fn activation(
        &self,
        version: u32,
        revision: u64,
        rng: &mut impl CryptoRng,
    ) -> Result<(SecretRecord, Document), KeyringError> {
        let held = self.held();
        let Some(master) = held.keys.version(version) else {
            return Err(KeyringError::Lacking { version, place: place(&held.keys) });
        };
        let alone = Self::of(Held { keys: held.keys.clone(), active: master.clone(), lacking: None });
        let check = alone.seal_secret(&check_name(version), version, CHECKED, rng);
        let body = MasterKeySetting { active: version, rewrapped: false }.body();
        Ok((check, master.seal_document(Kind::Setting, MasterKeySetting::ID.to_owned(), revision, body, rng)))
    }

    pub(super) fn active(&self) -> Arc<MasterKey> {
        self.held().active.clone()
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let held = self.held();
        let Held { keys, active, lacking } = &*held;
        f.debug_struct("Keyring")
            .field("active", &active.version())
            .field("lacking", lacking)
            .field("keys", keys)
            .finish_non_exhaustive()
    }
}

/// Whether a secret is a key check. Each stays under the version that it is for.
#[must_use]
pub fn is_key_check(name: &str) -> bool {
    name == Keyring::CHECK || name.starts_with(CHECK_OF)
}

/// The name of the secret that proves a version that came after the first.
#[must_use]
pub fn check_name(version: u32) -> String {
    format!("{CHECK_OF}{version}")
}

/// The version that secrets of the KDC itself show to have been active: nobody but its holder can have put them there, and a
/// KDC does not work without them. A document that is gone, or an older one, does not bring an old version back.
fn in_use(secrets: &[SecretRecord]) -> u32 {
    let first = secrets.iter().find(|secret| secret.name == Keyring::CHECK);
    let others = secrets.iter().filter(|secret| !is_key_check(&secret.name));
    others.chain(first).map(|secret| secret.master_version).max().unwrap_or(0)
}

fn checked_version(secret: &SecretRecord) -> Option<u32> {
    is_key_check(&secret.name).then_some(secret.master_version)
}

/// Holds every key against the key check of its version. One that has none yet proves nothing and is good for nothing
/// until it is made active.
fn prove(keys: &MasterKeys, secrets: &[SecretRecord]) -> Result<(), KeyringError> {
    for check in secrets {
        let Some(version) = checked_version(check) else { continue };
        let damaged = || KeyringError::Damaged { row: format!("secret {}", check.name) };
        if !MasterKey::has_form(&check.wrapped, version, CHECKED.len()) {
            return Err(damaged());
        }
        let Some(master) = keys.version(version) else { continue };
        let binding = RowBinding::Secret { name: &check.name, version: check.version };
        // Of the right form and does not open: a wrong key is by far the likelier cause.
        let opened = master
            .unwrap(&binding, version, &check.wrapped)
            .map_err(|_| KeyringError::WrongMasterKey { version })?;
        if *opened != CHECKED {
            return Err(damaged());
        }
    }
    Ok(())
}

fn place(keys: &MasterKeys) -> String {
    keys.source().map_or_else(|| "the keyring".to_owned(), MasterKeySource::place)
}

const CHECK_OF: &str = "key check ";
