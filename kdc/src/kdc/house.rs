//! What a KDC does by itself: counting, tidying, and telling the database.

use std::error::Error;
use std::fmt;
use std::sync::atomic::Ordering;

use keycell_protocol::{Generation, Name, UnixMillis};

use super::Kdc;
use crate::administration::{AdminError, Sample};
use crate::audit::{Action, Actor, Event, JournalError, OnDamage, Outcome};
use crate::backup;
use crate::disk::Space;
use crate::metrics::InState;
use crate::store::{Act, KeyState, StoreError};

impl Kdc {
    /// Records that this KDC began or stopped.
    ///
    /// # Errors
    /// The database's.
    pub async fn record(&self, action: Action) -> Result<(), StoreError> {
        let event = Event::new(self.now(), Actor::Kdc, action, "")
            .with("version", env!("CARGO_PKG_VERSION"))
            .with("listen", self.config.load().listen.to_string());
        self.ledger.journal().commit(&Act { writes: Vec::new(), events: vec![event] }).await.map(drop)
    }

    /// Records the keys that were found not to unwrap.
    ///
    /// # Errors
    /// The database's.
    pub async fn record_damaged(&self) -> Result<(), StoreError> {
        let event = |(name, generation): (Name, Generation)| {
            Event::new(self.now(), Actor::Kdc, Action::KeyDamaged, name.as_str())
                .outcome(Outcome::Failed)
                .with("generation", generation.0)
        };
        let events = self.follower.take_damaged().into_iter().map(event).collect();
        self.ledger.journal().commit(&Act { writes: Vec::new(), events }).await.map(drop)
    }

    /// What is done once a minute: the database is told who was seen, and forgets what is over. A step that fails keeps
    /// no other from being done.
    ///
    /// # Errors
    /// An error that names all that was not done: it is tried the next time.
    pub async fn keep_house(&self) -> Result<(), Box<dyn Error + Send + Sync>> {
        let mut failed = HouseError::default();
        failed.note("looking at the schema", self.store.check_schema().await);
        failed.note("recording damaged keys", self.record_damaged().await);
        failed.note("noting who was seen", self.exchange_seen().await);
        failed.note("forgetting conflicts of parties that are gone", self.conflicts.forget().await);
        failed.note("counting conflicts", self.conflicts.look().await);
        failed.note("erasing keys that have ended", self.keys.erase_ended().await);
        failed.note("forgetting old answers", self.store.forget_answers(self.now()).await);
        failed.note("forgetting old tokens", self.tokens.forget().await);
        failed.note("forgetting old join tokens", self.join_tokens.forget().await);
        failed.note("audit retention", self.retain().await);
        failed.note("forgetting hosts that waited too long", self.see_to_joining().await);
        self.measure_keys();
        self.measure_groups().await;
        failed.note("looking when the last backup was", self.note_backup().await);
        failed.note("looking where the secondary identity is", self.identities.look().await);
        self.follower.keep_watermark().await;
        if failed.steps.is_empty() { Ok(()) } else { Err(failed.into()) }
    }

    /// Looks when the database was last backed up.
    ///
    /// # Errors
    /// The database's.
    pub async fn note_backup(&self) -> Result<Option<UnixMillis>, StoreError> {
        let at = self.store.moment(backup::MOMENT).await?;
        let seconds = at.map_or(0, |at| at.seconds().0);
        self.metrics.recovery.last_backup.set(i64::try_from(seconds).unwrap_or(i64::MAX));
        Ok(at)
    }

    /// Forgets hosts that waited for too long, and counts who waits and what lets hosts in.
    ///
    /// # Errors
    /// The database's.
    pub async fn see_to_joining(&self) -> Result<(), AdminError> {
        let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
        let metrics = &self.metrics.joining;
        let now = self.now();
        let tokens = self.directory.join_tokens();
        let live = || tokens.values().filter(|token| token.is_live(now));
        metrics.join_tokens.set(count(live().count() as u64));
        metrics
            .join_token_uses
            .set(live().map(|token| i64::from(token.uses.saturating_sub(token.used))).sum());
        metrics.waiting_most.set(self.directory.settings().enrollment.pending_most.into());
        let crowd = self.waiting.forget_over().await?;
        metrics.waiting.set(count(crowd.waiting));
        metrics.approved.set(count(crowd.approved));
        metrics.denied.set(count(crowd.denied));
        Ok(())
    }

    /// Removes records of the audit log that are older than the zone wants. Damage stops it until somebody looks at it:
    /// then it is tried, and told of, once an hour.
    async fn retain(&self) -> Result<(), JournalError> {
        let Some(days) = self.directory.settings().zone.audit_retention_days else { return Ok(()) };
        let now = self.now();
        let stopped_at = self.retention_stopped_at.load(Ordering::Relaxed);
        if (stopped_at..stopped_at.saturating_add(HOUR_MS)).contains(&now.0) {
            return Ok(());
        }
        let before = now.minus(u64::from(days) * DAY_MS);
        let journal = self.ledger.journal();
        // A day's worth at a time: each trim leaves a seal and a record of its own.
        if journal.trimmable(before.minus(DAY_MS)).await?.is_some() {
            let event = Event::new(now, Actor::Kdc, Action::AuditTrim, "");
            let trimmed = journal.trim(before, event, OnDamage::Refuse).await;
            if matches!(trimmed, Err(JournalError::Damaged { .. })) {
                self.retention_stopped_at.store(now.0, Ordering::Relaxed);
            }
            trimmed?;
        }
        Ok(())
    }

    /// Tells the database who was seen here, and hears who was seen elsewhere.
    ///
    /// # Errors
    /// The database's.
    pub async fn exchange_seen(&self) -> Result<(), StoreError> {
        let now = self.now();
        for (party, found) in self.follower.exchange_seen(now.minus(SEEN_AGAIN_MS), now).await? {
            self.note_copies(&party, found);
        }
        Ok(())
    }

    /// Forgets what need not be remembered, and measures what is.
    pub fn tidy(&self) {
        self.limits.prune();
        self.nonces.prune(self.clock.now());
        self.sampler.take(Sample {
            running_ms: self.running_ms(),
            issued: self.metrics.tickets.get(),
            refused: self.metrics.refused(),
            monitored: self.metrics.monitored.get(),
        });
        self.measure();
    }

    /// Counts keys; as often as the house is kept, for every party is looked at.
    pub fn measure_keys(&self) {
        let metrics = &self.metrics.keys;
        let mut states = [KeyState::Staged, KeyState::Active, KeyState::Retiring].map(|state| (state, 0));
        let mut to_rotate = 0;
        for party in self.directory.all() {
            for key in &party.record().keys {
                states.iter_mut().filter(|(state, _)| *state == key.state).for_each(|(_, count)| *count += 1);
            }
            to_rotate += i64::from(party.enabled() && self.rotation_due(&party));
        }
        for (state, count) in states {
            metrics.keys.get_or_create(&InState { state: state.as_str() }).set(count);
        }
        metrics.to_rotate.set(to_rotate);
        let now = self.now();
        metrics.revocation_bound.set(self.tickets_end(now).0.saturating_sub(now.0) as f64 / 1000.0);
    }

    /// Brings the gauges up to date.
    pub fn measure(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.parties.set(count(self.directory.len()));
        self.metrics.nonces.set(count(self.nonces.len()));
        self.metrics.limited.set(count(self.limits.len()));
        let watermark = self.follower.watermark().and_then(|watermark| watermark.head());
        let watermark = watermark.map_or(0, |head| i64::try_from(head.seq).unwrap_or(i64::MAX));
        self.metrics.recovery.watermark.set(watermark);
        self.metrics.staleness.set(self.staleness_ms() as f64 / 1000.0);

        let running = &self.metrics.running;
        if let Some(space) = Space::of(&self.config.load().database) {
            self.disk_free.store(space.free, Ordering::Relaxed);
            running.disk_free.get_or_create(&Vec::new()).set(space.free.cast_signed());
        }
        let ends_at = self.certificate.ends_at().map_or(0, |end| end.seconds().0);
        running.certificate_expires.set(ends_at.cast_signed());
        running.ready.set(i64::from(self.unready().is_none()));
    }
}

/// What of the housekeeping was not done.
#[derive(Debug, Default)]
struct HouseError {
    /// Each step with its reason.
    steps: Vec<(&'static str, String)>,
}

impl HouseError {
    fn note<T, E: Error>(&mut self, step: &'static str, outcome: Result<T, E>) {
        if let Err(error) = outcome {
            self.steps.push((step, crate::http::chain(&error).to_string()));
        }
    }
}

impl fmt::Display for HouseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, (step, reason)) in self.steps.iter().enumerate() {
            let between = if number == 0 { "" } else { "; " };
            write!(f, "{between}{step}: {reason}")?;
        }
        Ok(())
    }
}

impl Error for HouseError {}

const DAY_MS: u64 = 86_400_000;
const HOUR_MS: u64 = 3_600_000;
/// Far enough back that what another KDC was late to tell is not missed.
const SEEN_AGAIN_MS: u64 = 10 * 60_000;
