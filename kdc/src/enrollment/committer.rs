//! Takes hosts aboard: as many as have come while the last transaction ran, in one transaction.

use std::collections::{HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keycell_protocol::Name;
use tokio::sync::{Mutex as AsyncMutex, oneshot};

use super::crowd::Waiting;
use super::draft::{Draft, Finished};
use super::found::Found;
use super::others::{alarm, others};
use super::{ConflictsRule, EnrollmentMode, Request, Settled};
use crate::administration::{AdminError, Keys, Ledger};
use crate::audit::Action;
use crate::http::chain;
use crate::keyring::KeyringError;
use crate::metrics::EnrollmentMetrics;
use crate::store::{Act, StoreError};

/// The one place where hosts are taken aboard. What is said of one is durable, recorded, and in force on this KDC.
pub struct Committer {
    ledger: Arc<Ledger>,
    keys: Keys,
    queue: Mutex<VecDeque<Job>>,
    /// Whose turn it is to commit, and what only that one needs.
    turn: AsyncMutex<Waiting>,
    metrics: EnrollmentMetrics,
}

struct Job {
    request: Request,
    done: oneshot::Sender<Result<Settled, Unsettled>>,
}

/// Why nothing was settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Unsettled {
    /// The database, or a version of the master key, is away: it may be done or not.
    #[error("the database does not answer; it may or may not be done")]
    Unavailable,
    /// Others keep changing the same.
    #[error("others keep changing the same: try again")]
    Busy,
    /// A fault of the KDC's own; the log has it.
    #[error("the KDC failed")]
    Failed,
}

impl Committer {
    pub(crate) fn new(ledger: Arc<Ledger>, keys: Keys, metrics: EnrollmentMetrics) -> Self {
        Self { ledger, keys, queue: Mutex::default(), turn: AsyncMutex::default(), metrics }
    }

    /// Settles what a host asked for. Whoever comes first commits for all who wait; see this through to its end, or those
    /// have to ask again.
    ///
    /// # Errors
    /// [`Unsettled`].
    pub async fn settle(&self, request: Request) -> Result<Settled, Unsettled> {
        let (done, mut settled) = oneshot::channel();
        self.queue().push_back(Job { request, done });
        loop {
            tokio::select! {
                biased;
                settled = &mut settled => return settled.unwrap_or(Err(Unsettled::Failed)),
                mut waiting = self.turn.lock() => {
                    let jobs = self.take();
                    self.together(jobs, &mut waiting).await;
                }
            }
        }
    }

    fn queue(&self) -> MutexGuard<'_, VecDeque<Job>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next ones, each key once: of two requests of one host, the second finds what the first did.
    fn take(&self) -> Vec<Job> {
        let mut queue = self.queue();
        let (mut jobs, mut later) = (Vec::new(), VecDeque::new());
        let mut keys = HashSet::new();
        while jobs.len() < BATCH {
            let Some(job) = queue.pop_front() else { break };
            if keys.insert(job.request.applicant.fingerprint()) {
                jobs.push(job);
            } else {
                later.push_back(job);
            }
        }
        later.append(&mut queue);
        *queue = later;
        jobs
    }

    /// Settles these in one transaction. Where that cannot be done, each has one of its own, so that no row of one is in
    /// the way of the others.
    async fn together(&self, jobs: Vec<Job>, waiting: &mut Waiting) {
        if jobs.is_empty() {
            return;
        }
        self.metrics.batch.observe(jobs.len() as f64);
        let requests: Vec<&Request> = jobs.iter().map(|job| &job.request).collect();
        match self.attempts(&requests, waiting).await {
            Ok(settled) => answer(jobs.into_iter().zip(settled.into_iter().map(Ok))),
            Err(error) if jobs.len() > 1 && !is_away_for_all(&error) => {
                for job in jobs {
                    let settled = self.attempts(&[&job.request], waiting).await;
                    let settled = settled.map(|settled| settled.into_iter().next());
                    let settled = match settled {
                        Ok(Some(settled)) => Ok(settled),
                        Ok(None) => Err(Unsettled::Failed),
                        Err(error) => Err(unsettled(&error, &job.request)),
                    };
                    let _ = job.done.send(settled);
                }
            }
            Err(error) => {
                for job in jobs {
                    let why = unsettled(&error, &job.request);
                    let _ = job.done.send(Err(why));
                }
            }
        }
    }

    /// Where others change the same in between, it is decided anew.
    async fn attempts(
        &self,
        requests: &[&Request],
        waiting: &mut Waiting,
    ) -> Result<Vec<Settled>, AdminError> {
        for _ in 0..ATTEMPTS {
            match self.attempt(requests, waiting).await {
                Err(error) if is_lost(&error) => self.ledger.catch_up().await,
                outcome => return outcome,
            }
        }
        Err(AdminError::Busy)
    }

    async fn attempt(
        &self,
        requests: &[&Request],
        waiting: &mut Waiting,
    ) -> Result<Vec<Settled>, AdminError> {
        let (ledger, states) = (&*self.ledger, self.keys.states());
        let settings = ledger.directory().settings();
        let setting = &settings.enrollment;
        let found =
            Found::read(ledger, requests.iter().map(|request| (&request.applicant, &request.name))).await?;
        let strangers = || requests.iter().any(|request| !found.parties.contains_key(&request.name));
        if (setting.mode == EnrollmentMode::Approve || setting.conflicts == ConflictsRule::Hold)
            && strangers()
        {
            waiting.count(ledger.store(), ledger.directory(), states.now, setting.pending_most).await?;
        }
        let mut draft = Draft::new(ledger, states, setting, waiting.clone());
        let mut settled = Vec::with_capacity(requests.len());
        for request in requests {
            settled.push(draft.add(request, &found)?);
        }
        let finished = draft.finish()?;
        if !finished.act.events.is_empty() {
            ledger.commit(&finished.act).await?;
            waiting.clone_from(&finished.waiting);
            self.tell(requests, &finished).await;
        } else if settled.iter().any(|settled| matches!(settled, Settled::Enrolled { .. })) {
            // Another KDC did it: what is answered here holds here.
            ledger.catch_up().await;
        }
        Ok(settled)
    }

    /// Tells of conflicts. Where another KDC took the same host aboard by another key in the same moment, nobody knew when
    /// it was decided: who commits second knows now, and raises the alarm.
    async fn tell(&self, requests: &[&Request], Finished { act, known, .. }: &Finished) {
        let raised = act.events.iter().filter(|event| event.action == Action::ConflictRaise);
        for event in raised {
            self.conflict(&event.target);
        }
        for request in requests {
            let Some(known) = known.get(&request.name) else { continue };
            let others = others(&self.ledger, &request.applicant, &request.name);
            // Those of this very transaction told of each other.
            let new =
                |other: &&Name| !known.contains(other) && requests.iter().all(|one| one.name != **other);
            if others.iter().find(new).is_none() {
                continue;
            }
            let raised = match alarm(&self.ledger, request, &others, self.ledger.now()) {
                Ok((write, event)) => self.ledger.commit(&Act::new(write, event)).await.map(drop),
                Err(error) => Err(error),
            };
            match raised {
                Ok(()) => self.conflict(request.name.as_str()),
                Err(error) => {
                    let error = chain(&error);
                    tracing::error!(party = %request.name, error, "a conflict is not recorded");
                }
            }
        }
    }

    fn conflict(&self, party: &str) {
        self.metrics.conflicts.inc();
        tracing::warn!(party, "a host came aboard that is known by another key: `keycell party conflicts`");
    }
}

fn answer(jobs: impl Iterator<Item = (Job, Result<Settled, Unsettled>)>) {
    for (job, settled) in jobs {
        let _ = job.done.send(settled);
    }
}

/// Whether somebody else changed what was looked at.
const fn is_lost(error: &AdminError) -> bool {
    matches!(
        error,
        AdminError::Store(
            StoreError::Exists { .. }
                | StoreError::Missing { .. }
                | StoreError::Changed { .. }
                | StoreError::GenerationUsed { .. }
                | StoreError::DocumentExists { .. }
                | StoreError::DocumentMissing { .. }
                | StoreError::DocumentChanged { .. }
        )
    )
}

/// Whether nobody can be settled now. A row under a version of the master key that is not here is in the way of its own host
/// only.
const fn is_away_for_all(error: &AdminError) -> bool {
    matches!(
        error,
        AdminError::Store(StoreError::Unavailable(_) | StoreError::Full(_))
            | AdminError::Keyring(KeyringError::Lacking { .. })
    )
}

/// Whether this one cannot be settled now.
const fn is_away(error: &AdminError) -> bool {
    is_away_for_all(error) || matches!(error, AdminError::Keyring(KeyringError::NoVersion { .. }))
}

fn unsettled(error: &AdminError, request: &Request) -> Unsettled {
    if matches!(error, AdminError::Busy) {
        return Unsettled::Busy;
    }
    tracing::error!(party = %request.name, error = chain(error), "a host cannot be taken aboard");
    if is_away(error) { Unsettled::Unavailable } else { Unsettled::Failed }
}

/// So many in one transaction.
const BATCH: usize = 100;
const ATTEMPTS: usize = 10;
