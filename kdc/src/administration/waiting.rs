//! Hosts that an administrator decides on: listed, approved, denied, forgotten. They are read from the database when
//! somebody looks, for there may be a hundred thousand of them.

mod crowd;

use std::sync::Arc;

use keycell_protocol::{EnrolledName, Fingerprint, Name, ServiceName, UnixMillis};

use super::{AdminError, Caller, Ledger, Precondition};
use crate::api::WaitingView;
use crate::audit::{Action, Event};
use crate::enrollment::{HostPattern, SameHost, WaitingRecord, WaitingState};
use crate::store::{Act, Document, Kind, StoreError, Write};

pub use crowd::Crowd;
use crowd::Looked;

/// The hosts that wait, were approved or denied.
pub struct Waiting {
    ledger: Arc<Ledger>,
    looked: tokio::sync::Mutex<Option<Looked>>,
}

/// Which of them are looked for.
#[derive(Debug, Default)]
pub struct WaitingFilter {
    /// What was decided.
    pub state: Option<WaitingState>,
    /// The service that they want to be.
    pub service: Option<ServiceName>,
    /// The host that they say to be.
    pub host: Option<HostPattern>,
}

impl WaitingFilter {
    fn wants(&self, record: &WaitingRecord) -> bool {
        self.state.is_none_or(|state| state == record.state)
            && self.service.as_ref().is_none_or(|service| record.service.as_ref() == Some(service))
            && self
                .host
                .as_ref()
                .is_none_or(|pattern| record.host.as_ref().is_some_and(|host| pattern.matches(host)))
    }
}

impl Waiting {
    pub(crate) fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger, looked: tokio::sync::Mutex::default() }
    }

    /// Up to `limit` hosts that the filter wants, in the order of their fingerprints, from the first after `after`.
    ///
    /// # Errors
    /// The database's.
    pub async fn page(
        &self,
        after: Option<Fingerprint>,
        limit: usize,
        filter: &WaitingFilter,
    ) -> Result<Vec<WaitingView>, AdminError> {
        let mut page = Vec::new();
        let mut pages = Pages::after(after.map(|fingerprint| fingerprint.to_string()));
        while page.len() < limit
            && let Some(records) = pages.next(&self.ledger).await?
        {
            let now = self.ledger.now();
            let wanted = records.iter().filter(|(_, record)| record.lasts(now) && filter.wants(record));
            page.extend(
                wanted.take(limit - page.len()).map(|(fingerprint, record)| self.view(*fingerprint, record)),
            );
        }
        Ok(page)
    }

    /// One host, with the parties that have its name but for the key.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub async fn show(&self, fingerprint: Fingerprint) -> Result<WaitingView, AdminError> {
        let record = self.lasting(fingerprint).await?.ok_or_else(|| missing(fingerprint))?;
        Ok(WaitingView { others: self.others(fingerprint, &record), ..self.view(fingerprint, &record) })
    }

    /// Lets a host in when it comes again: for as long as one waits, from now on. Again is harmless.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`]; [`AdminError::Refused`] for one that never came.
    pub async fn approve(
        &self,
        caller: &Caller,
        fingerprint: Fingerprint,
        precondition: &Precondition,
    ) -> Result<WaitingView, AdminError> {
        self.decide(caller, fingerprint, precondition, Action::EnrollmentApprove, |found, now| {
            let mut record = found.ok_or_else(|| missing(fingerprint))?.clone();
            if record.public_key.is_none() || record.service.is_none() || record.host.is_none() {
                return Err(AdminError::Refused(format!(
                    "{fingerprint} was denied before it ever came, so nobody knows what it wants to be: `keycell enroll forget` \
                     it, and let it come"
                )));
            }
            record.state = WaitingState::Approved;
            let days = u64::from(self.ledger.directory().settings().enrollment.pending_days);
            record.until = Some(now.plus(days * DAY_MS));
            Ok(record)
        })
        .await
    }

    /// Lets a host never in, whatever it brings; also one that did not come yet. Again is harmless.
    ///
    /// # Errors
    /// [`AdminError::Precondition`].
    pub async fn deny(
        &self,
        caller: &Caller,
        fingerprint: Fingerprint,
        precondition: &Precondition,
    ) -> Result<WaitingView, AdminError> {
        self.decide(caller, fingerprint, precondition, Action::EnrollmentDeny, |found, now| {
            Ok(WaitingRecord::denied(found.cloned(), now))
        })
        .await
    }

    /// Forgets what was decided on a host: when it comes again, it is a stranger.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn forget(
        &self,
        caller: &Caller,
        fingerprint: Fingerprint,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        for _ in 0..ATTEMPTS {
            // A row that does not hold only stands in the way; it goes whatever it says.
            let found = match self.found(fingerprint).await {
                Err(AdminError::Store(StoreError::Damaged { .. }) | AdminError::Keyring(_)) => None,
                found => Some(found?.ok_or_else(|| missing(fingerprint))?),
            };
            precondition.check(found.as_ref().map_or(0, |record| record.revision))?;
            let event = caller.event(self.ledger.now(), Action::EnrollmentForget, fingerprint.to_string());
            let event = match &found {
                Some(record) => described(event, record, &self.ledger).with("state", record.state.as_str()),
                None => event.with("damaged", true),
            };
            let expected = found.map(|record| record.revision);
            let write =
                Write::DeleteDocument { kind: Kind::Enrollment, id: fingerprint.to_string(), expected };
            match self.ledger.commit(&Act::new(write, event)).await {
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => {}
                Err(AdminError::Store(StoreError::DocumentMissing { .. })) => {
                    return Err(missing(fingerprint));
                }
                done => return done.map(drop),
            }
        }
        Err(AdminError::Busy)
    }

    /// Makes a decision on a host as it is now; one that is made already is left alone.
    async fn decide(
        &self,
        caller: &Caller,
        fingerprint: Fingerprint,
        precondition: &Precondition,
        action: Action,
        change: impl Fn(Option<&WaitingRecord>, UnixMillis) -> Result<WaitingRecord, AdminError>,
    ) -> Result<WaitingView, AdminError> {
        // It may come meanwhile, or somebody else decides; then look again.
        for _ in 0..ATTEMPTS {
            let now = self.ledger.now();
            let found = self.found(fingerprint).await?;
            let lasting = found.as_ref().filter(|record| record.lasts(now));
            // One that is not there is missing, whatever the caller expects; else that comes first.
            if let Some(record) = lasting {
                precondition.check(record.revision)?;
            }
            let mut record = change(lasting, now)?;
            if lasting.is_none() {
                precondition.check(0)?;
            }
            if let Some(before) = lasting.filter(|before| before.state == record.state) {
                return Ok(self.view(fingerprint, before));
            }
            record.decided_at = Some(now);
            record.decided_by = Some(caller.actor.to_string());
            let expected = found.as_ref().map(|found| found.revision);
            record.revision = match expected {
                Some(revision) => revision.saturating_add(1),
                None => unused_revision(&self.ledger, fingerprint).await?,
            };
            let event = described(caller.event(now, action, fingerprint.to_string()), &record, &self.ledger);
            let id = fingerprint.to_string();
            let document = self.ledger.document(Kind::Enrollment, &id, record.revision, &record)?;
            match self.ledger.commit(&Act::new(Write::PutDocument { document, expected }, event)).await {
                Ok(_) => return Ok(self.view(fingerprint, &record)),
                Err(AdminError::Store(
                    StoreError::DocumentChanged { .. }
                    | StoreError::DocumentExists { .. }
                    | StoreError::DocumentMissing { .. },
                )) => {}
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    async fn lasting(&self, fingerprint: Fingerprint) -> Result<Option<WaitingRecord>, AdminError> {
        let now = self.ledger.now();
        Ok(self.found(fingerprint).await?.filter(|record| record.lasts(now)))
    }

    async fn found(&self, fingerprint: Fingerprint) -> Result<Option<WaitingRecord>, AdminError> {
        let document = self.ledger.store().document(Kind::Enrollment, &fingerprint.to_string()).await?;
        document.map(|document| read(&document, &self.ledger)).transpose()
    }

    fn others(&self, fingerprint: Fingerprint, record: &WaitingRecord) -> Vec<Name> {
        let zone = &self.ledger.zone().zone;
        let first = "0".repeat(32).parse().ok();
        let (Some(service), Some(host), Some(first)) = (&record.service, &record.host, first) else {
            return Vec::new();
        };
        let of = |fingerprint| EnrolledName { service: service.clone(), host: host.clone(), fingerprint };
        // All of one host stand together, and nobody has a key of this fingerprint.
        let parties = self.ledger.directory().page(Some(&of(first).name(zone)), SameHost::MOST + 1, |_| true);
        let names = parties.iter().map(|party| party.name());
        let same = names.take_while(|name| {
            EnrolledName::of(name).is_some_and(|name| name.service == *service && name.host == *host)
        });
        let own = of(fingerprint).name(zone);
        same.filter(|name| **name != own).take(SameHost::MOST).cloned().collect()
    }

    fn view(&self, fingerprint: Fingerprint, record: &WaitingRecord) -> WaitingView {
        WaitingView {
            fingerprint,
            revision: record.revision,
            state: record.state,
            because: record.because,
            name: record.name(&self.ledger.zone().zone),
            service: record.service.clone(),
            host: record.host.clone(),
            public_key: record.public_key,
            join_token: record.token,
            address: record.address,
            first_at: record.first_at,
            decided_at: record.decided_at,
            decided_by: record.decided_by.clone(),
            until: record.until,
            note: record.note.clone(),
            others: Vec::new(),
        }
    }
}

/// A revision that nothing had that was kept of this key before: each took a change of its kind.
pub(super) async fn unused_revision(ledger: &Ledger, fingerprint: Fingerprint) -> Result<u64, AdminError> {
    let page = ledger.store().documents_after(Kind::Enrollment, &fingerprint.to_string(), 1).await?;
    Ok(page.change.0.saturating_add(1))
}

fn read(document: &Document, ledger: &Ledger) -> Result<WaitingRecord, AdminError> {
    ledger.keyring().check_document(document)?;
    let record: WaitingRecord =
        serde_json::from_str(&document.body).map_err(|error| StoreError::Damaged {
            row: format!("document {} {}", document.kind.as_str(), document.id),
            reason: error.to_string(),
        })?;
    Ok(WaitingRecord { revision: document.revision, ..record })
}

fn described(event: Event, record: &WaitingRecord, ledger: &Ledger) -> Event {
    match record.name(&ledger.zone().zone) {
        Some(name) => event.with("name", name.as_str()),
        None => event,
    }
}

/// All of them, some at a time.
struct Pages {
    after: Option<String>,
    change: u64,
}

impl Pages {
    fn after(after: Option<String>) -> Self {
        Self { after: Some(after.unwrap_or_default()), change: 0 }
    }

    /// The next of them that hold; None after the last.
    async fn next(
        &mut self,
        ledger: &Ledger,
    ) -> Result<Option<Vec<(Fingerprint, WaitingRecord)>>, AdminError> {
        let Some(after) = self.after.take() else { return Ok(None) };
        let found = ledger.store().documents_after(Kind::Enrollment, &after, PAGE).await?;
        self.change = found.change.0;
        for damaged in &found.damaged {
            tracing::error!(row = damaged.row, reason = damaged.reason, "what is kept of a host is damaged");
        }
        if found.documents.len() + found.damaged.len() >= PAGE as usize {
            // Where a row does not even have an id, it goes on after the others.
            self.after = found.ids_known().max().map(str::to_owned).filter(|last| *last > after);
        }
        let held = |document: &Document| match read(document, ledger) {
            Ok(record) => Some((document.id.parse().ok()?, record)),
            Err(error) => {
                let error = crate::http::chain(&error);
                tracing::error!(fingerprint = document.id, %error, "what is kept of a host is damaged");
                None
            }
        };
        Ok(Some(found.documents.iter().filter_map(held).collect()))
    }
}

fn missing(fingerprint: Fingerprint) -> AdminError {
    AdminError::Missing(format!("host that waits with the fingerprint {fingerprint}"))
}

const PAGE: u32 = 1000;
const ATTEMPTS: usize = 20;
const DAY_MS: u64 = 86_400_000;
