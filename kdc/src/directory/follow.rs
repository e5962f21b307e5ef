//! How the directory keeps up with the database: everything at the start, then change by change.

use std::sync::Arc;
use std::time::Duration;

use keycell_protocol::LongTermKey;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{Directory, Party};
use crate::keyring::Keyring;
use crate::store::{Change, ChangeNumber, KeyRecord, KeyState, PartyRecord, Store, StoreError};

/// Carries changes from the store into the directory, always in their order.
pub struct Follower {
    store: Arc<dyn Store>,
    keyring: Arc<Keyring>,
    directory: Arc<Directory>,
    seen: Mutex<ChangeNumber>,
}

impl Follower {
    /// Reads all parties. A key that does not unwrap is reported and left out: its party cannot speak until it gets a
    /// new one, and nobody else is touched.
    ///
    /// # Errors
    /// [`FollowError`] when the database cannot be read.
    pub async fn start(store: Arc<dyn Store>, keyring: Arc<Keyring>) -> Result<Self, FollowError> {
        let directory = Arc::new(Directory::default());
        let snapshot = store.parties().await?;
        directory.replace(snapshot.parties.iter().map(|record| unwrapped(&keyring, record)));
        Ok(Self { store, keyring, directory, seen: Mutex::new(snapshot.change) })
    }

    /// The directory that is kept up.
    #[must_use]
    pub fn directory(&self) -> Arc<Directory> {
        self.directory.clone()
    }

    /// Takes in every change that is committed by now. Who changes something calls this before answering, so that
    /// the change holds on this KDC when the answer leaves.
    ///
    /// # Errors
    /// [`FollowError`] when the database cannot be read.
    pub async fn catch_up(&self) -> Result<(), FollowError> {
        let mut seen = self.seen.lock().await;
        let changes = self.store.changes_since(*seen).await?;
        if changes.change < *seen {
            tracing::error!(
                seen = seen.0,
                now = changes.change.0,
                "the database went back in time: reading it anew"
            );
            let snapshot = self.store.parties().await?;
            self.directory.replace(snapshot.parties.iter().map(|record| unwrapped(&self.keyring, record)));
            *seen = snapshot.change;
            return Ok(());
        }
        for change in &changes.parties {
            match change {
                Change::Put(record) => self.directory.put(unwrapped(&self.keyring, record)),
                Change::Deleted(name) => self.directory.remove(name),
            }
        }
        *seen = changes.change;
        Ok(())
    }

    /// Follows the database until told to stop: at once where it notifies, and at least every `at_least`. `report`
    /// hears how each look ended.
    pub async fn follow(
        &self,
        at_least: Duration,
        stop: CancellationToken,
        report: impl Fn(Result<(), FollowError>),
    ) {
        loop {
            let seen = *self.seen.lock().await;
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.store.wait_for_change(seen, at_least) => {}
            }
            report(self.catch_up().await);
        }
    }
}

/// Why the directory could not keep up.
#[derive(Debug, thiserror::Error)]
#[error("the parties cannot be read from the database")]
pub struct FollowError(#[from] StoreError);

fn unwrapped(keyring: &Keyring, record: &PartyRecord) -> Party {
    let open = |key: &KeyRecord| -> Option<(KeyState, LongTermKey)> {
        if key.state == KeyState::Dead {
            return None;
        }
        match keyring.open_key(record, key) {
            Ok(opened) => Some((key.state, opened)),
            Err(error) => {
                tracing::error!(party = %record.name, generation = %key.generation, %error, "a key does not unwrap");
                None
            }
        }
    };
    Party::new(record, record.keys.iter().filter_map(open))
}
