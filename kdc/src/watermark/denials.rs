//! Hosts that are denied: by an administrator, or because their party was deleted.

use std::collections::{BTreeMap, BTreeSet};

use keycell_protocol::{Fingerprint, UnixMillis};

use super::known::{Entry, Known};
use super::{Undone, Watermark, What};
use crate::administration::{AdminError, Caller};
use crate::audit::{Action, Outcome};
use crate::cell::Cell;
use crate::enrollment::{WaitingRecord, WaitingState};
use crate::store::{Act, AuditQuery, Damaged, Document, Kind, Store, StoreError, Write};

impl Watermark {
    /// Takes in whom the database denies, and whom it does not deny any more, as far as its audit log tells that. Says up to
    /// which record of the log that is true.
    pub(crate) async fn take_in_denials(&self, store: &dyn Store) -> Result<u64, StoreError> {
        // Before the rest: what is decided meanwhile is read again.
        let last = AuditQuery { newest_first: true, limit: 1, ..AuditQuery::default() };
        let last = store.audit(&last).await?.pop().map_or(0, |record| record.seq);
        let denied = Denied::read(store).await?;
        for (fingerprint, at) in &denied.hosts {
            self.saw(Entry::Denial(*fingerprint, *at));
        }
        let missing = denied.missing(&self.known());
        for (fingerprint, at) in let_off(store, &missing).await? {
            self.saw(Entry::LetOff(fingerprint, at));
        }
        Ok(last)
    }

    /// Takes in what was decided on hosts after that record of the audit log. Says up to which one that is now.
    pub(crate) async fn take_in_decisions(
        &self,
        store: &dyn Store,
        mut after: u64,
    ) -> Result<u64, StoreError> {
        loop {
            let action = Some(ENROLLMENT.to_owned());
            let query = AuditQuery { after: Some(after), action, limit: PAGE, ..AuditQuery::default() };
            let page = store.audit(&query).await?;
            for record in page.iter().filter(|record| record.outcome == Outcome::Done.as_str()) {
                let Ok(fingerprint) = record.target.parse() else { continue };
                match record.action.parse() {
                    Ok(Action::EnrollmentDeny) => self.saw(Entry::Denial(fingerprint, record.at)),
                    Ok(Action::EnrollmentForget | Action::EnrollmentApprove) => {
                        // By the order of the log, whatever the clock said.
                        let denied = self.lock().known.denials.get(&fingerprint).copied();
                        let at = denied.unwrap_or(record.at).max(record.at);
                        self.saw(Entry::LetOff(fingerprint, at));
                    }
                    _ => {}
                }
            }
            match page.last() {
                Some(last) => after = last.seq,
                None => return Ok(after),
            }
        }
    }
}

/// Whom the database lets in again that was denied.
pub(super) async fn lost(store: &dyn Store, known: &Known) -> Result<Vec<Fingerprint>, StoreError> {
    if known.denials.is_empty() {
        return Ok(Vec::new());
    }
    let mut missing = Denied::read(store).await?.missing(known);
    for (fingerprint, _) in let_off(store, &missing).await? {
        missing.remove(&fingerprint);
    }
    Ok(missing.into_keys().collect())
}

/// Adds to `act` what denies it again.
pub(super) async fn again(
    cell: &Cell,
    known: &Known,
    undone: &Undone,
    caller: &Caller,
    now: UnixMillis,
    act: &mut Act,
) -> Result<(), AdminError> {
    let Ok(fingerprint) = undone.name.parse::<Fingerprint>() else { return Ok(()) };
    let id = fingerprint.to_string();
    // Whatever is in the row goes, but for what it tells of the host.
    let found = cell.store.document(Kind::Enrollment, &id).await.ok().flatten();
    let revision = found.as_ref().map_or(0, |found| found.revision);
    let found = found.filter(|found| cell.keyring.check_document(found).is_ok());
    let found = found.and_then(|found| serde_json::from_str(&found.body).ok());
    let mut record = WaitingRecord::denied(found, now);
    record.decided_at = Some(known.denials.get(&fingerprint).copied().unwrap_or(now));
    record.decided_by = Some(caller.actor.to_string());
    record.note = "denied before a backup was put back".to_owned();
    // Beyond whatever the database has kept of the key: each revision took a change.
    let change = cell.store.documents_after(Kind::Enrollment, &id, 1).await?.change.0;
    let (body, revision) = (serde_json::to_string(&record)?, revision.max(change).saturating_add(1));
    let random = &mut crate::random::system();
    let document = cell.keyring.seal_document(Kind::Enrollment, id.clone(), revision, body, random);
    act.writes.push(Write::ForceDocument(document));
    act.events.push(caller.event(now, Action::EnrollmentDeny, id).with("restored", true));
    Ok(())
}

/// That somebody gets something back.
pub(super) fn undone(fingerprint: Fingerprint) -> Undone {
    Undone { name: fingerprint.to_string(), what: What::DenialLost }
}

/// Whom a database denies.
struct Denied {
    /// Since when.
    hosts: BTreeMap<Fingerprint, UnixMillis>,
    /// Those whose rows do not hold: they are not let in either.
    damaged: BTreeSet<Fingerprint>,
    /// Whether there is a row that may be of anybody.
    unnamed: bool,
}

impl Denied {
    async fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let found = store.documents(Kind::Enrollment).await?;
        let denied = |document: &Document| {
            let record: WaitingRecord = serde_json::from_str(&document.body).ok()?;
            let at = record.decided_at.unwrap_or(record.first_at);
            (record.state == WaitingState::Denied).then_some((document.id.parse().ok()?, at))
        };
        let ids = found.damaged.iter().map(Damaged::document);
        Ok(Self {
            hosts: found.documents.iter().filter_map(denied).collect(),
            damaged: ids.clone().flatten().filter_map(|id| id.parse().ok()).collect(),
            unnamed: ids.clone().any(|id| id.is_none()),
        })
    }

    /// Who is remembered as denied, and is not here.
    fn missing(&self, known: &Known) -> BTreeMap<Fingerprint, UnixMillis> {
        if self.unnamed {
            return BTreeMap::new();
        }
        let is_here = |host| self.hosts.contains_key(host) || self.damaged.contains(host);
        known.denials.iter().filter(|(host, _)| !is_here(*host)).map(|(host, at)| (*host, *at)).collect()
    }
}

/// Which of these hosts were let off after they were denied, and when, by the audit log.
async fn let_off(
    store: &dyn Store,
    denied: &BTreeMap<Fingerprint, UnixMillis>,
) -> Result<Vec<(Fingerprint, UnixMillis)>, StoreError> {
    let mut found = Vec::new();
    let Some(since) = denied.values().min().copied() else { return Ok(found) };
    for action in [Action::EnrollmentForget, Action::EnrollmentApprove] {
        let mut after = 0;
        loop {
            let query = AuditQuery {
                after: Some(after),
                since: Some(since),
                action: Some(action.to_string()),
                outcome: Some(Outcome::Done.to_string()),
                limit: PAGE,
                ..AuditQuery::default()
            };
            let page = store.audit(&query).await?;
            for record in &page {
                let host = record.target.parse().ok();
                let host = host.filter(|host| denied.get(host).is_some_and(|at| *at <= record.at));
                found.extend(host.map(|host| (host, record.at)));
            }
            match page.last() {
                Some(last) => after = last.seq,
                None => break,
            }
        }
    }
    Ok(found)
}

/// What the actions begin with that are about hosts that enroll.
const ENROLLMENT: &str = "enrollment";
const PAGE: u32 = 1000;
