//! Conflicts: raised by the KDC, looked at and cleared by administrators.

use std::sync::Arc;

use keycell_protocol::Name;

use super::{AdminError, Caller, Ledger};
use crate::audit::{Action, Actor, Event};
use crate::enrollment::{Alternation, ClonesRule, ConflictKind, ConflictRecord, Copies, CopiesKind};
use crate::metrics::{ConflictMetrics, OfKind};
use crate::store::{Act, Document, Kind, StoreError, Write};

/// The conflicts of a zone.
pub struct Conflicts {
    ledger: Arc<Ledger>,
    metrics: ConflictMetrics,
}

impl Conflicts {
    pub(crate) const fn new(ledger: Arc<Ledger>, metrics: ConflictMetrics) -> Self {
        Self { ledger, metrics }
    }

    /// Takes in that the key of a party is used in two places. What is known already is told of once a day.
    ///
    /// # Errors
    /// The database's.
    pub async fn raise(&self, party: &Name, found: &Alternation) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            if self.ledger.directory().party(party.as_str()).is_none() {
                return Ok(());
            }
            let stored = self.stored(party).await?;
            let revision = stored.as_ref().map(|stored| stored.revision);
            let mut record = match &stored {
                Some(document) => self.read(document).unwrap_or_else(|| ConflictRecord::new(party.clone())),
                None => ConflictRecord::new(party.clone()),
            };
            if !record.copied(found) {
                return Ok(());
            }
            let Some(copies) = &record.copies else { return Ok(()) };
            let next = revision.unwrap_or(0).saturating_add(1);
            let document = self.ledger.document(Kind::Conflict, party.local(), next, &record)?;
            let write = match revision {
                Some(0) => Write::ForceDocument(document),
                expected => Write::PutDocument { document, expected },
            };
            match self.ledger.commit(&Act::new(write, self.raised(party, copies))).await {
                Ok(_) => {
                    self.tell(party, copies);
                    self.count().await;
                    return Ok(());
                }
                Err(error) if is_late(&error) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// Whether a party is to be disabled that was found like this: not for a command that ran once at another address.
    #[must_use]
    pub fn disables(&self, found: &Alternation) -> bool {
        let rule = self.ledger.directory().settings().enrollment.clones;
        found.both && (found.kind, rule) == (CopiesKind::Clone, ClonesRule::Disable)
    }

    /// Notes that the KDC disabled a party.
    pub(crate) fn disabled(&self, party: &Name) {
        self.metrics.disabled.inc();
        tracing::warn!(%party, "the party is disabled: its key is used in two places, and the zone wants it so");
    }

    /// The conflicts, in the order of the parties' names; a row that does not hold is left out, and named in the log.
    ///
    /// # Errors
    /// The database's.
    pub async fn all(&self) -> Result<Vec<ConflictRecord>, AdminError> {
        let found = self.ledger.store().documents(Kind::Conflict).await?;
        for damaged in &found.damaged {
            tracing::error!(
                row = damaged.row,
                reason = damaged.reason,
                "a conflict is left out: its row is damaged"
            );
        }
        let mut all: Vec<_> = found.documents.iter().filter_map(|document| self.read(document)).collect();
        all.sort_unstable_by(|a, b| a.party.cmp(&b.party));
        Ok(all)
    }

    /// Forgets the conflict of a party, which somebody has seen to. Where it goes on, it is raised again.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub async fn clear(&self, caller: &Caller, party: &Name) -> Result<(), AdminError> {
        let missing = || AdminError::Missing(format!("conflict of {party}"));
        let ours = party.zone() == self.ledger.zone().zone.as_str();
        let stored = self.stored(party).await?.filter(|_| ours).ok_or_else(missing)?;
        let mut event = caller.event(self.ledger.now(), Action::ConflictClear, party.as_str());
        if let Some(record) = self.read(&stored) {
            let kinds: Vec<_> = record.kinds().map(ConflictKind::as_str).collect();
            event = event.with("kinds", kinds);
        }
        match self.ledger.commit(&Act::new(deletion(party), event)).await {
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => return Err(missing()),
            done => done?,
        };
        self.count().await;
        Ok(())
    }

    /// Counts the conflicts of the parties that there are.
    ///
    /// # Errors
    /// The database's.
    pub async fn look(&self) -> Result<u64, AdminError> {
        let all = self.all().await?;
        let here: Vec<_> = all.iter().filter(|record| self.is_here(record)).collect();
        for kind in ConflictKind::ALL {
            let count = here.iter().filter(|record| record.kinds().any(|of| of == *kind)).count();
            let gauge = self.metrics.conflicts.get_or_create(&OfKind { kind: kind.as_str() });
            gauge.set(i64::try_from(count).unwrap_or(i64::MAX));
        }
        Ok(here.len() as u64)
    }

    /// Forgets the conflicts of parties that are gone.
    ///
    /// # Errors
    /// The database's.
    pub async fn forget(&self) -> Result<(), AdminError> {
        let all = self.all().await?;
        for record in all.iter().filter(|record| !self.is_here(record)).take(FORGOTTEN) {
            // What was just made may not be in memory yet.
            let writes = vec![Write::NoParty(record.party.clone()), deletion(&record.party)];
            match self.ledger.commit(&Act { writes, events: Vec::new() }).await {
                // Another KDC of the zone was quicker.
                Err(AdminError::Store(StoreError::Exists { .. } | StoreError::DocumentMissing { .. })) => {}
                done => drop(done?),
            }
        }
        Ok(())
    }

    fn is_here(&self, record: &ConflictRecord) -> bool {
        self.ledger.directory().party(record.party.as_str()).is_some()
    }

    /// Counts anew after a change, which is done whether that succeeds or not.
    async fn count(&self) {
        if let Err(error) = self.look().await {
            tracing::warn!(
                error = crate::http::chain(&error),
                "conflicts could not be counted: they are in a minute"
            );
        }
    }

    /// The document of a party, if there is one; at revision 0 where its row is damaged.
    async fn stored(&self, party: &Name) -> Result<Option<Document>, AdminError> {
        match self.ledger.store().document(Kind::Conflict, party.local()).await {
            Err(error @ StoreError::Damaged { .. }) => {
                tracing::error!(%party, error = %crate::http::chain(&error), "the row of a conflict is damaged");
                let document = Document {
                    kind: Kind::Conflict,
                    id: party.local().to_owned(),
                    revision: 0,
                    body: String::new(),
                    master_version: 0,
                    sealed: Vec::new(),
                };
                Ok(Some(document))
            }
            stored => Ok(stored?),
        }
    }

    /// What a document says, if Keycell wrote it.
    fn read(&self, document: &Document) -> Option<ConflictRecord> {
        let id = &document.id;
        let reason = match self.ledger.keyring().check_document(document) {
            Ok(()) => match serde_json::from_str::<ConflictRecord>(&document.body) {
                Ok(record) if record.party.local() == id => {
                    return Some(ConflictRecord { revision: document.revision, ..record });
                }
                Ok(_) => "it has another name".to_owned(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        tracing::error!(conflict = id, reason, "a conflict is left out: its row is damaged");
        None
    }

    fn raised(&self, party: &Name, copies: &Copies) -> Event {
        let Copies { kind, addresses, first_at, last_at: _ } = copies;
        Event::new(self.ledger.now(), Actor::Kdc, Action::ConflictRaise, party.as_str())
            .with("kind", kind.as_str())
            .with("addresses", addresses.map(|address| address.to_string()).to_vec())
            .with("first_at", first_at.0)
    }

    fn tell(&self, party: &Name, copies: &Copies) {
        let Copies { kind, addresses: [one, other], .. } = copies;
        self.metrics.raised.get_or_create(&OfKind { kind: kind.as_str() }).inc();
        match kind {
            CopiesKind::Clone => tracing::warn!(
                %party, %one, %other,
                "a key is used at two addresses at once: a machine was copied with its key file, or the key was stolen"
            ),
            CopiesKind::Shared => tracing::warn!(
                %party, %one, %other,
                "two processes use one key at once: give each a party of its own"
            ),
        }
    }
}

fn deletion(party: &Name) -> Write {
    Write::DeleteDocument { kind: Kind::Conflict, id: party.local().to_owned(), expected: None }
}

/// Whether somebody else changed it in between.
const fn is_late(error: &AdminError) -> bool {
    matches!(
        error,
        AdminError::Store(
            StoreError::DocumentExists { .. }
                | StoreError::DocumentChanged { .. }
                | StoreError::DocumentMissing { .. }
        )
    )
}

const ATTEMPTS: usize = 8;
/// So many are forgotten at a time.
const FORGOTTEN: usize = 100;
