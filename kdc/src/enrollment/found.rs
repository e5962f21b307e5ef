//! What the database has of hosts that enroll, when it is decided on them.

use std::collections::HashMap;

use keycell_protocol::{Name, UnixMillis};

use super::{Applicant, WaitingRecord};
use crate::administration::{AdminError, Ledger};
use crate::keyring::KeyringError;
use crate::store::{Document, Earlier, Kind, PartyRecord};

/// The rows of some hosts.
pub(super) struct Found {
    pub(super) parties: HashMap<Name, PartyRecord>,
    /// What their names were before.
    pub(super) earlier: HashMap<Name, Earlier>,
    /// What was decided on their keys, by fingerprint.
    waiting: HashMap<String, WaitingRecord>,
}

impl Found {
    /// Reads them.
    pub(super) async fn read(
        ledger: &Ledger,
        hosts: impl Iterator<Item = (&Applicant, &Name)> + Clone,
    ) -> Result<Self, AdminError> {
        let store = ledger.store();
        let names: Vec<Name> = hosts.clone().map(|(_, name)| name.clone()).collect();
        let parties = store.some_parties(&names).await?;
        let earlier = store.earlier(&names).await?;
        let mut waiting = HashMap::new();
        for (applicant, _) in hosts {
            let id = applicant.fingerprint().to_string();
            if let Some(document) = store.document(Kind::Enrollment, &id).await? {
                waiting.insert(id, read(ledger, &document)?);
            }
        }
        let parties = parties.into_iter().map(|party| (party.name.clone(), party)).collect();
        Ok(Self { parties, earlier, waiting })
    }

    /// What was decided on a host's key.
    pub(super) fn waiting(&self, applicant: &Applicant) -> Option<&WaitingRecord> {
        self.waiting.get(&applicant.fingerprint().to_string())
    }
}

/// What a document says. One that Keycell did not write may have been a denial: it counts as one.
fn read(ledger: &Ledger, document: &Document) -> Result<WaitingRecord, AdminError> {
    let damaged = |error: &dyn std::error::Error| {
        tracing::error!(fingerprint = document.id, %error, "a host is refused: the row of what was decided on it is damaged");
        WaitingRecord { revision: document.revision, ..WaitingRecord::denied(None, UnixMillis(0)) }
    };
    match ledger.keyring().check_document(document) {
        Ok(()) => match serde_json::from_str::<WaitingRecord>(&document.body) {
            Ok(record) => Ok(WaitingRecord { revision: document.revision, ..record }),
            Err(error) => Ok(damaged(&error)),
        },
        Err(error @ KeyringError::Damaged { .. }) => Ok(damaged(&error)),
        // Another version of the master key has what it says: it is asked again.
        Err(error) => Err(error.into()),
    }
}
