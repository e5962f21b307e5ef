//! Parties in bulk: one transaction for many, each with its own record.

use keycell_protocol::{LongTermKey, Name};

use super::departures::no_group;
use super::parties::{NewEntry, Parties};
use super::{AdminError, Caller, Created};
use crate::api::{ImportOutcome, ImportSummary};
use crate::audit::Action;
use crate::store::{Act, StoreError, Write};

/// One line to be dealt with.
pub struct ImportEntry {
    /// Its number.
    pub line: u64,
    /// The party to be made.
    pub entry: NewEntry,
}

/// What became of a line.
#[derive(Debug)]
pub struct ImportResult {
    /// Its number.
    pub line: u64,
    /// The party's name.
    pub name: Name,
    /// What became of it.
    pub outcome: ImportOutcome,
    /// The party's key, where there is one to tell of.
    pub key: Option<LongTermKey>,
    /// What is wrong, where something is.
    pub error: Option<String>,
}

impl Parties {
    /// Makes many parties in one transaction, and says of each what became of it, in the order of the lines. Sending them
    /// again is harmless for those whose key the administrator chose. With `dry_run` nothing is written.
    pub async fn import(&self, caller: &Caller, entries: &[ImportEntry], dry_run: bool) -> Vec<ImportResult> {
        match self.import_together(caller, entries, dry_run).await {
            Ok(results) => results,
            // Somebody else makes the same names at the same time: one by one, so that the others are made.
            Err(AdminError::Store(
                StoreError::Exists { .. }
                | StoreError::GenerationUsed { .. }
                | StoreError::Changed { .. }
                | StoreError::DocumentExists { .. },
            )) if entries.len() > 1 => {
                let mut results = Vec::with_capacity(entries.len());
                for entry in entries {
                    let entry = std::slice::from_ref(entry);
                    match self.import_together(caller, entry, dry_run).await {
                        Ok(one) => results.extend(one),
                        Err(error) => results.extend(failed(entry, &error)),
                    }
                }
                results
            }
            Err(error) => failed(entries, &error),
        }
    }

    /// Records what a whole import did.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_import(&self, caller: &Caller, summary: &ImportSummary) -> Result<(), AdminError> {
        let event = caller
            .event(self.ledger.now(), Action::PartyImport, "")
            .with("lines", summary.lines)
            .with("created", summary.created)
            .with("unchanged", summary.unchanged)
            .with("exists", summary.exists)
            .with("invalid", summary.invalid)
            .with("failed", summary.failed);
        self.ledger.commit(&Act { writes: Vec::new(), events: vec![event] }).await.map(drop)
    }

    async fn import_together(
        &self,
        caller: &Caller,
        entries: &[ImportEntry],
        dry_run: bool,
    ) -> Result<Vec<ImportResult>, AdminError> {
        self.ledger.catch_up().await;
        let directory = self.ledger.directory();
        let known = |entry: &ImportEntry| directory.party(entry.entry.name.as_str()).is_some();
        let (there, new): (Vec<_>, Vec<_>) = entries
            .iter()
            .map(|entry| entry.entry.name.clone())
            .partition(|name| directory.party(name.as_str()).is_some());
        let there =
            if there.is_empty() { Vec::new() } else { self.ledger.store().some_parties(&there).await? };
        let earlier = self.ledger.store().earlier(&new).await?;

        let mut act = Act::default();
        let mut results = Vec::with_capacity(entries.len());
        let mut taken = std::collections::HashSet::with_capacity(entries.len());
        for entry in entries {
            let name = &entry.entry.name;
            let result = if let Err(error) = self.check(&entry.entry) {
                entry.result(ImportOutcome::Invalid, None, Some(error.to_string()))
            } else if !taken.insert(name.clone()) {
                entry.result(
                    ImportOutcome::Exists,
                    None,
                    Some("the name is in a line before this one".to_owned()),
                )
            } else if directory.groups().contains_key(name.local()) {
                entry.result(ImportOutcome::Exists, None, Some("there is a group of that name".to_owned()))
            } else if known(entry) {
                let record = there.binary_search_by(|record| record.name.as_str().cmp(name.as_str()));
                let record = record.ok().and_then(|at| there.get(at));
                self.compared(entry, record)
            } else {
                let Created { record, key, .. } = self.draft(&entry.entry, earlier.get(name))?;
                act.events.push(self.creation(caller, &record));
                act.writes.extend(no_group(name));
                act.writes.push(Write::PutParty { party: record, expected: None });
                entry.result(ImportOutcome::Created, Some(key), None)
            };
            results.push(result);
        }
        if !dry_run && !act.writes.is_empty() {
            self.ledger.commit(&act).await?;
        }
        Ok(results)
    }

    /// A line whose party is there: made by an earlier try, or another one.
    fn compared(&self, entry: &ImportEntry, record: Option<&crate::store::PartyRecord>) -> ImportResult {
        let Some(record) = record else {
            return entry.result(ImportOutcome::Failed, None, Some(AdminError::Busy.to_string()));
        };
        let key = match &entry.entry.secret {
            Some(secret) => self.holds(record, secret),
            None => Ok(None),
        };
        match key {
            Ok(Some(key)) => entry.result(ImportOutcome::Unchanged, Some(key), None),
            Err(error) => {
                tracing::error!(party = %record.name, error = %crate::http::chain(&error), "a line cannot be compared");
                entry.result(
                    ImportOutcome::Failed,
                    None,
                    Some("the key that the party has is damaged; nothing was changed".to_owned()),
                )
            }
            Ok(None) => entry.result(
                ImportOutcome::Exists,
                None,
                Some("there is a party of that name with another key; nothing was changed".to_owned()),
            ),
        }
    }
}

impl ImportEntry {
    fn result(
        &self,
        outcome: ImportOutcome,
        key: Option<LongTermKey>,
        error: Option<String>,
    ) -> ImportResult {
        ImportResult { line: self.line, name: self.entry.name.clone(), outcome, key, error }
    }
}

fn failed(entries: &[ImportEntry], error: &AdminError) -> Vec<ImportResult> {
    tracing::error!(error = %crate::http::chain(error), lines = entries.len(), "an import could not be written");
    let text = "the KDC could not write it; send the line again";
    entries.iter().map(|entry| entry.result(ImportOutcome::Failed, None, Some(text.to_owned()))).collect()
}
