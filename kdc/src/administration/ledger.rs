//! How a change is made: in one transaction with its record, and in force on this KDC when it returns.

use std::sync::Arc;

use keycell_protocol::{Name, UnixMillis};

use super::AdminError;
use crate::audit::{AuditKey, Journal};
use crate::clock::Clock;
use crate::directory::{Directory, Follower};
use crate::keyring::Keyring;
use crate::store::{Act, ChangeNumber, Document, Kind, Store, StoreError, ZoneRecord};

/// What every change needs.
pub struct Ledger {
    store: Arc<dyn Store>,
    journal: Arc<Journal>,
    keyring: Arc<Keyring>,
    follower: Arc<Follower>,
    directory: Arc<Directory>,
    clock: Arc<dyn Clock>,
    zone: ZoneRecord,
}

impl Ledger {
    /// The ledger of a zone.
    #[must_use]
    pub fn new(
        store: Arc<dyn Store>,
        key: Arc<AuditKey>,
        keyring: Arc<Keyring>,
        follower: Arc<Follower>,
        clock: Arc<dyn Clock>,
        zone: ZoneRecord,
    ) -> Self {
        let directory = follower.directory();
        let journal = Arc::new(Journal::new(store.clone(), key, clock.clone()));
        Self { store, journal, keyring, follower, directory, clock, zone }
    }

    /// Does an act: durable, recorded, and in force here when it returns. Where it cannot be read back at once it is done
    /// all the same; the log and the readiness of this KDC tell that the directory is behind.
    ///
    /// # Errors
    /// As [`Store::commit`]; [`KeyringError::Lacking`](crate::keyring::KeyringError::Lacking) while this KDC lacks the
    /// version of the master key that the zone works with: what it wrapped would be under one that is on its way out.
    pub async fn commit(&self, act: &Act) -> Result<ChangeNumber, AdminError> {
        if let Some(error) = self.keyring.lacking() {
            return Err(error.into());
        }
        let change = self.journal.commit(act).await?;
        self.catch_up().await;
        Ok(change)
    }

    /// Does an act on a party that was looked at before, and says whether it is done. Where it is not, somebody else changed
    /// the party or its groups in between, and the caller looks again.
    ///
    /// # Errors
    /// [`AdminError::Missing`] when it is gone by now; else as [`Ledger::commit`].
    pub(super) async fn commit_on(&self, party: &Name, act: &Act) -> Result<bool, AdminError> {
        match self.commit(act).await {
            Ok(_) => Ok(true),
            Err(AdminError::Store(StoreError::Changed { .. } | StoreError::GenerationUsed { .. })) => {
                Ok(false)
            }
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. } | StoreError::DocumentMissing { .. },
            )) => {
                self.catch_up().await;
                Ok(false)
            }
            Err(AdminError::Store(StoreError::Missing { .. })) => {
                Err(AdminError::Missing(format!("party {party}")))
            }
            Err(error) => Err(error),
        }
    }

    /// Takes in what the zone's other KDCs changed, as far as it holds: what is to be changed next begins from there, not
    /// from a second ago.
    pub(crate) async fn catch_up(&self) {
        if let Err(error) = self.follower.catch_up().await {
            let error = crate::http::chain(&error);
            tracing::error!(error, "not all of the database can be taken in");
        }
    }

    /// A document as it is to be stored.
    ///
    /// # Errors
    /// [`AdminError::Json`].
    pub(crate) fn document(
        &self,
        kind: Kind,
        id: &str,
        revision: u64,
        body: &impl serde::Serialize,
    ) -> Result<Document, AdminError> {
        let body = serde_json::to_string(body)?;
        Ok(self.keyring.seal_document(kind, id.to_owned(), revision, body, &mut crate::random::system()))
    }

    /// The database.
    #[must_use]
    pub fn store(&self) -> &dyn Store {
        &*self.store
    }

    /// The audit log.
    #[must_use]
    pub const fn journal(&self) -> &Arc<Journal> {
        &self.journal
    }

    /// Wraps and unwraps.
    #[must_use]
    pub fn keyring(&self) -> &Keyring {
        &self.keyring
    }

    /// What is in memory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The zone.
    #[must_use]
    pub const fn zone(&self) -> &ZoneRecord {
        &self.zone
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }
}
