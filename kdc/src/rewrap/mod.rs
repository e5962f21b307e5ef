//! Keeps what is at rest as it should be, while everything goes on: every row under the active version of the master key,
//! every party's key turned to the epoch before this one, in memory and in the database; the chains of groups' keys too.
//!
//! It looks for what is left and does some of it at a time, so it may be stopped anywhere and begins again by itself; several
//! KDCs may do it at once.

mod batch;
mod chains;
mod guard;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use keycell_protocol::{Epoch, RatchetPeriod};
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use crate::administration::{AdminError, Ledger};
use crate::audit::{Action, Actor, Event};
use crate::directory::Directory;
use crate::metrics::AtRestMetrics;
use crate::settings::MasterKeySetting;
use crate::store::{Act, Kind, Rewrap, StoreError, Target, Write};

pub use guard::Reckoning;

/// Turns and wraps anew.
pub struct Rewrapper {
    ledger: Arc<Ledger>,
    metrics: AtRestMetrics,
    /// One pass at a time.
    busy: Mutex<Last>,
    /// Whether the clock was not believed when it was last looked at.
    refused: AtomicBool,
    /// Rows under an earlier version that did not open in the last whole pass.
    stuck: AtomicU64,
    /// What was told of rows that do not open: once each, not in every pass.
    told: std::sync::Mutex<BTreeSet<String>>,
}

/// What the last pass was for.
#[derive(Default)]
struct Last {
    target: Option<Target>,
    at: Option<Instant>,
    /// Turned in memory up to here.
    memory: Option<Epoch>,
    /// The hour in which the chains of groups were turned.
    groups: Option<u64>,
}

/// What a pass has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pass {
    /// Rows that were written.
    pub written: u64,
    /// Rows that do not open: the log has their names.
    pub damaged: u64,
    /// Those among them that are under an earlier version of the master key.
    pub stuck: u64,
    /// Rows that are still to be done, those among them.
    pub remaining: u64,
    /// Whether the clock was believed.
    pub believed: bool,
}

impl Rewrapper {
    pub(crate) fn new(ledger: Arc<Ledger>, metrics: AtRestMetrics) -> Self {
        metrics.version.set(ledger.keyring().master_version().into());
        Self {
            ledger,
            metrics,
            busy: Mutex::default(),
            refused: AtomicBool::new(false),
            stuck: AtomicU64::new(0),
            told: std::sync::Mutex::default(),
        }
    }

    /// Returns when there may be something to do: when an epoch has passed or another version of the master key wraps, and
    /// once a minute, for what another KDC or an administrator wrote meanwhile.
    pub async fn due(&self) {
        loop {
            let (target, at) = {
                let last = self.busy.lock().await;
                (last.target, last.at)
            };
            let now = self.target(self.period().epoch(self.ledger.now().seconds()));
            let rested = at.is_none_or(|at| at.elapsed() >= AGAIN);
            // Of a pass that failed early there is no target: it is tried again after a rest.
            let rotated = target.is_some_and(|target| target.master_version != now.master_version);
            // A clock that is not believed asks for nothing.
            let passed = !self.refused() && target.is_some_and(|target| target.epoch < now.epoch);
            if rested || rotated || passed {
                return;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Goes through all that is left, once.
    ///
    /// # Errors
    /// The database's: what was done stays, and the next pass goes on.
    pub async fn pass(&self) -> Result<Pass, AdminError> {
        let last = &mut *self.busy.lock().await;
        // First of all: what fails is tried again later, not at once.
        last.at = Some(Instant::now());
        let now = self.ledger.now();
        let reckoning = self.reckon().await?;
        let believed = self.heed(reckoning);
        if believed {
            self.turn_memory(reckoning.now, last).await;
            if reckoning.target() > reckoning.turned {
                self.ledger.store().note_ratchet_epoch(reckoning.target()).await?;
            }
            self.metrics.epoch.set(reckoning.target().0.into());
        }
        let target = if believed { self.target(reckoning.now) } else { self.target(Epoch(0)) };
        last.target = Some(target);
        self.metrics.version.set(target.master_version.into());
        let mut pass = self.rewrap(target).await?;
        pass.believed = believed;
        self.stuck.store(pass.stuck, Ordering::Relaxed);
        if believed {
            self.turn_groups(now, &mut last.groups).await?;
        }
        self.complete(target, pass).await?;
        Ok(pass)
    }

    /// What the clock and the database say of the time.
    ///
    /// # Errors
    /// The database's.
    pub async fn reckon(&self) -> Result<Reckoning, StoreError> {
        let period = self.period();
        let turned = match self.ledger.store().ratchet_epoch().await? {
            // Nothing was turned yet: the clock is held against the making of the zone, whose own epoch turns keys to the
            // one before it.
            Epoch(0) => Epoch(period.epoch(self.ledger.zone().created_at.seconds()).0.saturating_sub(2)),
            turned => turned,
        };
        Ok(Reckoning { now: period.epoch(self.ledger.now().seconds()), turned, period })
    }

    /// Whether the clock was not believed when it was last looked at.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.refused.load(Ordering::Relaxed)
    }

    /// How many rows under an earlier version of the master key did not open in the last pass.
    #[must_use]
    pub fn stuck(&self) -> u64 {
        self.stuck.load(Ordering::Relaxed)
    }

    fn period(&self) -> RatchetPeriod {
        self.ledger.zone().ratchet_period
    }

    fn directory(&self) -> &Directory {
        self.ledger.directory()
    }

    fn target(&self, now: Epoch) -> Target {
        let [epoch, ..] = now.neighbours();
        Target { master_version: self.ledger.keyring().master_version(), epoch }
    }

    fn heed(&self, reckoning: Reckoning) -> bool {
        let believed = reckoning.is_believed();
        self.refused.store(!believed, Ordering::Relaxed);
        self.metrics.clock_refused.set(i64::from(!believed));
        if !believed {
            tracing::warn!(
                epoch = reckoning.now.0,
                turned_to = reckoning.turned.0,
                "the clock is far ahead of what keys were last turned to: none is turned until somebody confirms it with \
                 `keycell ratchet confirm`, or the clock is put right"
            );
        }
        believed
    }

    /// Turns what is in memory, some parties at a time.
    async fn turn_memory(&self, now: Epoch, last: &mut Last) {
        // First, so that who is taken in meanwhile is turned as well.
        self.directory().believe(now);
        if last.memory.is_some_and(|memory| memory >= now) {
            return;
        }
        self.directory().zones().iter().for_each(|zone| zone.turn(now));
        let mut after = None;
        loop {
            let some = self.directory().page(after.as_ref(), BATCH as usize, |_| true);
            let Some(party) = some.last() else { break };
            after = Some(party.name().clone());
            // After a long sleep each takes many steps: requests are not to wait behind them.
            let turned = move || some.iter().for_each(|party| party.turn(now));
            let _ = tokio::task::spawn_blocking(turned).await;
        }
        last.memory = Some(now);
    }

    async fn rewrap(&self, target: Target) -> Result<Pass, StoreError> {
        let store = self.ledger.store();
        let mut pass = Pass { remaining: store.stale(target).await?, ..Pass::default() };
        self.metrics.remain(pass.remaining);
        if pass.remaining == 0 {
            return Ok(pass);
        }
        // The keys first: nothing that is wrong with other rows keeps them from turning.
        let mut after = None;
        loop {
            let some = store.stale_keys(target, after.as_ref(), BATCH).await?;
            self.unreadable(&some.damaged, &mut pass);
            self.write(self.keys(some.keys, target, &mut pass).await, &mut pass).await?;
            after = some.next;
            if after.is_none() {
                break;
            }
        }
        let mut after = String::new();
        loop {
            let some = store.stale_enrollments(target.master_version, &after, BATCH).await?;
            self.unreadable(&some.damaged, &mut pass);
            self.write(self.enrollments(some.enrollments, &mut pass), &mut pass).await?;
            let Some(next) = some.next else { break };
            after = next;
        }
        let secrets = store.secrets().await?;
        self.write(self.secrets(&secrets, target, &mut pass), &mut pass).await?;
        for kind in Kind::all() {
            let documents = store.documents(kind).await?.documents;
            let stale: Vec<_> =
                documents.iter().filter(|one| one.master_version < target.master_version).collect();
            for some in stale.chunks(BATCH as usize) {
                self.write(self.documents(some, &mut pass), &mut pass).await?;
            }
        }
        let mut after: Option<(String, String)> = None;
        loop {
            let place = after.as_ref().map(|(actor, key)| (actor.as_str(), key.as_str()));
            let some = store.stale_answers(target.master_version, place, BATCH).await?;
            let Some(end) = some.last() else { break };
            after = Some((end.actor.clone(), end.idempotency.clone()));
            self.write(self.answers(&some, &mut pass), &mut pass).await?;
        }
        if pass.written > 0 {
            store.forget_overwritten().await?;
        }
        pass.remaining = store.stale(target).await?;
        self.metrics.remain(pass.remaining);
        Ok(pass)
    }

    async fn write(&self, rows: Vec<Rewrap>, pass: &mut Pass) -> Result<(), StoreError> {
        if rows.is_empty() {
            return Ok(());
        }
        let written = self.ledger.store().rewrap(&rows).await?;
        pass.written += written;
        pass.remaining = pass.remaining.saturating_sub(written);
        self.metrics.rewrapped.inc_by(written);
        self.metrics.remain(pass.remaining);
        // Whoever else wants to write comes first.
        sleep(PAUSE).await;
        Ok(())
    }

    /// Records the end of a rotation, once: the document that says so counts its revisions.
    async fn complete(&self, target: Target, pass: Pass) -> Result<(), AdminError> {
        let settings = self.ledger.directory().settings();
        let Some(setting) = settings.master_key.filter(|setting| !setting.rewrapped) else { return Ok(()) };
        if setting.active != target.master_version {
            return Ok(());
        }
        let wrapped = self.ledger.store().wrapped().await?;
        let earlier = wrapped.iter().filter(|one| one.master_version < setting.active);
        if earlier.map(|one| one.rows).sum::<u64>() > pass.stuck {
            return Ok(());
        }
        let (revision, body) =
            (settings.master_key_revision, MasterKeySetting { rewrapped: true, ..setting });
        let document = self.ledger.document(Kind::Setting, MasterKeySetting::ID, revision + 1, &body)?;
        let event = Event::new(self.ledger.now(), Actor::Kdc, Action::MasterKeyRewrapped, "")
            .with("version", setting.active)
            .with("damaged", pass.stuck);
        let act = Act::new(Write::PutDocument { document, expected: Some(revision) }, event);
        match self.ledger.commit(&act).await {
            Ok(_) => {
                tracing::info!(
                    version = setting.active,
                    "everything is wrapped under this version of the master key"
                );
                Ok(())
            }
            // Another KDC has said it.
            Err(AdminError::Store(StoreError::DocumentChanged { .. })) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// So many rows in one transaction: other writers wait no longer than for these.
const BATCH: u32 = 256;
/// Between two transactions.
const PAUSE: Duration = Duration::from_millis(5);
const LOOK_EVERY: Duration = Duration::from_secs(1);
const AGAIN: Duration = Duration::from_secs(60);
