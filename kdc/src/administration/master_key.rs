//! The versions of the master key, and the clock by which keys turn.

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::Epoch;

use super::{AdminError, Caller, Ledger};
use crate::api::{MasterKeyVersion, MasterKeyView, RatchetView};
use crate::audit::Action;
use crate::keyring::check_name;
use crate::rewrap::Rewrapper;
use crate::store::{Act, StoreError, Write};

/// Where the master key is rotated and the clock is confirmed.
pub struct MasterKeyDesk {
    ledger: Arc<Ledger>,
    rewrapper: Arc<Rewrapper>,
}

impl MasterKeyDesk {
    pub(crate) const fn new(ledger: Arc<Ledger>, rewrapper: Arc<Rewrapper>) -> Self {
        Self { ledger, rewrapper }
    }

    /// The versions, and what is wrapped under each.
    ///
    /// # Errors
    /// The database's.
    pub async fn show(&self) -> Result<MasterKeyView, AdminError> {
        let keyring = self.ledger.keyring();
        let mut rows: BTreeMap<u32, u64> =
            keyring.versions().into_iter().map(|version| (version, 0)).collect();
        for wrapped in self.ledger.store().wrapped().await? {
            rows.insert(wrapped.master_version, wrapped.rows);
        }
        let (active, held) = (keyring.master_version(), keyring.versions());
        let remaining = rows.range(..active).map(|(_, rows)| rows).sum();
        let damaged = self.rewrapper.stuck().min(remaining);
        Ok(MasterKeyView {
            active,
            source: keyring.place(),
            versions: rows
                .into_iter()
                .map(|(version, rows)| MasterKeyVersion { version, rows, held: held.contains(&version) })
                .collect(),
            remaining,
            damaged,
            rewrapped: remaining == damaged,
        })
    }

    /// Reads the source again and makes the highest version there active; what is under others is wrapped anew from then
    /// on.
    ///
    /// # Errors
    /// [`AdminError::Refused`] when there is none above the active one, and for a source that cannot be used.
    pub async fn rotate(&self, caller: &Caller) -> Result<MasterKeyView, AdminError> {
        self.ledger.catch_up().await;
        let keyring = self.ledger.keyring();
        let secrets = self.ledger.store().secrets().await?;
        keyring.renew(&secrets).map_err(|error| AdminError::Refused(error.to_string()))?;
        let before = keyring.master_version();
        let version = keyring.versions().last().copied().unwrap_or(before);
        if version <= before {
            return Err(AdminError::Refused(format!(
                "version {before} of the master key is active, and {} holds none above it: `keycell master-key new` makes one",
                keyring.place()
            )));
        }
        let revision = self.ledger.directory().settings().master_key_revision;
        let random = &mut crate::random::system();
        let (check, document) = keyring.activation(version, revision + 1, random)?;
        let event = caller
            .event(self.ledger.now(), Action::MasterKeyRotate, "")
            .with("version", version)
            .with("version_before", before);
        let mut writes = vec![Write::PutDocument { document, expected: (revision > 0).then_some(revision) }];
        // A check that is there was held against this version just now.
        if !secrets.iter().any(|secret| secret.name == check_name(version)) {
            writes.push(Write::AddSecret(check));
        }
        match self.ledger.commit(&Act { writes, events: vec![event] }).await {
            Ok(_) => self.show().await,
            // Another KDC was told the same.
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. }
                | StoreError::DocumentExists { .. }
                | StoreError::Exists { .. },
            )) => Err(AdminError::Busy),
            Err(error) => Err(error),
        }
    }

    /// How far keys are turned.
    ///
    /// # Errors
    /// The database's.
    pub async fn ratchet(&self) -> Result<RatchetView, AdminError> {
        let reckoning = self.rewrapper.reckon().await?;
        let begun = reckoning.period.end(Epoch(reckoning.turned.0.saturating_sub(1)));
        Ok(RatchetView {
            server_time: self.ledger.now(),
            epoch: reckoning.now.0,
            turned_to: reckoning.turned.0,
            turned_until: begun.millis(),
            period_seconds: reckoning.period.seconds(),
            believed: reckoning.is_believed(),
        })
    }

    /// Accepts a clock that was not believed: keys are turned by it from now on. Doing it again changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Refused`] when the KDC's clock does not show that epoch.
    pub async fn confirm(&self, caller: &Caller, epoch: Epoch) -> Result<RatchetView, AdminError> {
        let reckoning = self.rewrapper.reckon().await?;
        if epoch != reckoning.now {
            return Err(AdminError::Refused(format!(
                "the KDC's clock shows epoch {}, not {epoch}: look again with `keycell ratchet show`",
                reckoning.now
            )));
        }
        if !reckoning.is_believed() {
            let event = caller
                .event(self.ledger.now(), Action::RatchetConfirm, "")
                .with("epoch", reckoning.target().0)
                .with("epoch_before", reckoning.turned.0);
            self.ledger.commit(&Act::new(Write::AcceptEpoch(reckoning.target()), event)).await?;
            self.rewrapper.pass().await?;
        }
        self.ratchet().await
    }
}
