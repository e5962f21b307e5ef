//! What administrators do with parties: the one way in which the directory of a zone changes.

use std::sync::Arc;

use keycell_protocol::{Generation, LongTermKey, Name, UnixMillis};
use subtle::ConstantTimeEq as _;

use crate::clock::Clock;
use crate::directory::{Directory, FollowError, Follower, Party};
use crate::keyring::{Keyring, KeyringError, Standing};
use crate::store::{KeyState, PartyRecord, Store, StoreError, ZoneRecord};

/// The parties of a zone. Everything here is durable, and in force on this KDC, when it returns.
pub struct Parties {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    follower: Arc<Follower>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    zone: ZoneRecord,
}

/// A party that was made, with the key that it is to get.
#[derive(Debug)]
pub struct Created {
    /// The party.
    pub party: Arc<Party>,
    /// Its key.
    pub key: LongTermKey,
    /// Whether it was there already, with this very key: a retry.
    pub retried: bool,
}

impl Parties {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        keyring: Arc<Keyring>,
        follower: Arc<Follower>,
        clock: Arc<dyn Clock>,
        zone: ZoneRecord,
    ) -> Self {
        let directory = follower.directory();
        Self { store, keyring, follower, directory, clock, zone }
    }

    /// Makes a party. With `secret` its key is what the administrator chose, and doing it again is harmless; without,
    /// the KDC draws one.
    ///
    /// # Errors
    /// [`PartyError::Exists`] when the name is taken, unless by a party with this very secret.
    pub async fn create(&self, name: &Name, secret: Option<&[u8; 32]>) -> Result<Created, PartyError> {
        if name.zone() != self.zone.zone.as_str() {
            return Err(PartyError::Zone);
        }
        let now = self.clock.now();
        let generation = match self.store.last_generation(name).await? {
            Some(last) => last.next().ok_or(PartyError::Exhausted)?,
            None => Generation::FIRST,
        };
        let epoch = self.zone.ratchet_period.epoch(now.seconds());
        let key = match secret {
            Some(secret) => LongTermKey::new(generation, epoch, *secret),
            None => LongTermKey::generate(generation, epoch, &mut crate::random::system()),
        };
        let random = &mut crate::random::system();
        let record = PartyRecord {
            name: name.clone(),
            enabled: Standing::NEW.enabled,
            revision: 1,
            revocation_epoch: Standing::NEW.revocation_epoch,
            created_at: now,
            updated_at: now,
            keys: vec![self.keyring.seal_key(name, Standing::NEW, &key, KeyState::Active, random)],
        };
        match self.store.put_party(&record, None).await {
            Ok(_) => {}
            // Made and deleted by somebody else in between.
            Err(StoreError::GenerationUsed { .. }) => return Err(PartyError::Busy),
            Err(StoreError::Exists { .. }) => {
                let secret = secret.ok_or(PartyError::Exists)?;
                return self.retried(name, secret).await;
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Created { party: self.settled(name).await?, key, retried: false })
    }

    /// Lets a party speak, or not. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`PartyError::Missing`].
    pub async fn set_enabled(&self, name: &Name, enabled: bool) -> Result<Arc<Party>, PartyError> {
        // Somebody else may change the party in between; then look again.
        for _ in 0..ATTEMPTS {
            let mut record = self.store.party(name).await?.ok_or(PartyError::Missing)?;
            if record.enabled == enabled {
                return self.settled(name).await;
            }
            let expected = record.revise(self.clock.now());
            self.keyring.set_enabled(&mut record, enabled, &mut crate::random::system())?;
            match self.store.put_party(&record, Some(expected)).await {
                Ok(_) => return self.settled(name).await,
                Err(StoreError::Changed { .. }) => {}
                Err(StoreError::Missing { .. }) => return Err(PartyError::Missing),
                Err(error) => return Err(error.into()),
            }
        }
        Err(PartyError::Busy)
    }

    /// Deletes a party with its keys. Its name can be given again; its generations go on counting.
    ///
    /// # Errors
    /// [`PartyError::Missing`].
    pub async fn delete(&self, name: &Name) -> Result<(), PartyError> {
        match self.store.delete_party(name, None).await {
            Ok(_) => Ok(self.follower.catch_up().await?),
            Err(StoreError::Missing { .. }) => Err(PartyError::Missing),
            Err(error) => Err(error.into()),
        }
    }

    /// One party.
    ///
    /// # Errors
    /// [`PartyError::Missing`].
    pub fn show(&self, name: &Name) -> Result<Arc<Party>, PartyError> {
        self.directory.party(name.as_str()).ok_or(PartyError::Missing)
    }

    /// Up to `limit` parties in the order of their names, from the first after `after`.
    #[must_use]
    pub fn page(&self, after: Option<&Name>, limit: usize) -> Vec<Arc<Party>> {
        self.directory.page(after, limit)
    }

    /// The moment at which keys are made.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    async fn settled(&self, name: &Name) -> Result<Arc<Party>, PartyError> {
        self.follower.catch_up().await?;
        self.show(name)
    }

    async fn retried(&self, name: &Name, secret: &[u8; 32]) -> Result<Created, PartyError> {
        let record = self.store.party(name).await?.ok_or(PartyError::Exists)?;
        let active =
            record.keys.iter().find(|key| key.state == KeyState::Active).ok_or(PartyError::Exists)?;
        let key = self.keyring.open_key(&record, active)?;
        if bool::from(key.expose_secret().ct_eq(secret)) {
            Ok(Created { party: self.settled(name).await?, key, retried: true })
        } else {
            Err(PartyError::Exists)
        }
    }
}

/// Why something was not done with a party.
#[derive(Debug, thiserror::Error)]
pub enum PartyError {
    /// Nobody has that name.
    #[error("there is no party of that name")]
    Missing,
    /// The name is taken.
    #[error("there is a party of that name already")]
    Exists,
    /// The name is of another zone.
    #[error("the name belongs to another zone")]
    Zone,
    /// The name has used up all its generations.
    #[error("the name has used up all its key generations; choose another")]
    Exhausted,
    /// Others keep changing it.
    #[error("the party is being changed by others; try again")]
    Busy,
    /// The database.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keyring.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The directory.
    #[error(transparent)]
    Follow(#[from] FollowError),
}

const ATTEMPTS: usize = 5;
