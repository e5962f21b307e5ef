//! The background task of an agent with a key file: stores its keys, and rotates them.

use std::sync::{Arc, Mutex, PoisonError};

use keycell_protocol::Generation;
use rand_core::Rng as _;
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::driver;
use super::kdcs::Kdcs;
use super::shared::Shared;
use super::transport::Transport;
use crate::pending::Kind;
use crate::{HostStoreError, KeyStore, StoredHost, Unsaved, system_rng};

/// Apart from the task that fetches tickets, so that a message never waits for a rotation or a disk.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut kdcs: Kdcs,
    transport: Arc<dyn Transport>,
    files: Arc<Mutex<Option<Files>>>,
) {
    let mut saving = Saving { failures: 0, next: Instant::now() };
    loop {
        let unsaved = if saving.next <= Instant::now() { shared.lock().unsaved() } else { None };
        if let Some(unsaved) = unsaved {
            saving.save(&shared, &files, unsaved).await;
        }
        let now = shared.clock.now();
        let (request, wakeup, unsaved) = {
            let mut agent = shared.lock();
            let request = agent.wants_rotation(now).or_else(|| agent.wants_enrollment(now));
            (request, agent.next_key_wakeup(now), agent.unsaved_change().is_some())
        };
        if let Some(request) = request {
            if request.kind == Kind::Enrollment {
                info!("no KDC knows this host's key any more; it enrolls again");
            }
            let before = counts(&shared.lock());
            driver::turn(&shared, &mut kdcs, &*transport, &request).await;
            let (generation, rotations, reenrollments) = counts(&shared.lock());
            if rotations != before.1 {
                info!(generation = generation.0, "this party's key was rotated");
            }
            if reenrollments != before.2 {
                info!(generation = generation.0, "this host is enrolled again");
                // What was refused is asked for anew.
                shared.wake.notify_one();
                shared.wake_abroad.notify_one();
            }
            continue;
        }
        let nap = Duration::from_millis(wakeup.map_or(NAP_MS, |at| at.0.saturating_sub(now.0)));
        // Not for long: the clock may jump.
        let mut nap = nap.clamp(Duration::from_millis(1), Duration::from_millis(NAP_MS));
        if unsaved {
            nap = nap.min(saving.next.saturating_duration_since(Instant::now()));
        }
        let _ = tokio::time::timeout(nap, shared.keep.notified()).await;
    }
}

/// What the log is told of.
fn counts(agent: &crate::Agent) -> (Generation, u64, u64) {
    let stats = agent.stats();
    (agent.generation(), stats.rotations, stats.reenrollments)
}

/// What is kept up: a key file, and for a host that enrolled the bundle too.
pub(super) struct Files {
    pub(super) keys: KeyStore,
    pub(super) host: Option<StoredHost>,
}

impl Files {
    /// The bundle first: without it a host cannot enroll again, and with a key of an identity that it does not know it can do
    /// everything else.
    fn save(&mut self, unsaved: &Unsaved) -> Result<(), HostStoreError> {
        if let (Some(host), Some(bundle)) = (&self.host, &unsaved.bundle) {
            host.keep_bundle(bundle)?;
        }
        Ok(self.keys.save(&unsaved.key)?)
    }
}

/// How storing goes.
struct Saving {
    failures: u32,
    next: Instant,
}

impl Saving {
    async fn save(&mut self, shared: &Shared, files: &Arc<Mutex<Option<Files>>>, unsaved: Unsaved) {
        let files = Arc::clone(files);
        let saved = tokio::task::spawn_blocking(move || {
            let mut files = files.lock().unwrap_or_else(PoisonError::into_inner);
            let saved = files.as_mut().map(|files| files.save(&unsaved));
            (unsaved, saved)
        });
        // Without files the agent has ended: nothing more is saved.
        let Ok((unsaved, Some(saved))) = saved.await else { return };
        match saved {
            Ok(()) => self.saved(shared, &unsaved),
            Err(error) => self.failed(shared, &error),
        }
    }

    fn saved(&mut self, shared: &Shared, unsaved: &Unsaved) {
        shared.lock().saved(unsaved);
        // A signing key may be registered now.
        shared.wake.notify_one();
        *shared.key_failure.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if self.failures > 0 {
            info!("the key file is written again");
        }
        *self = Self { failures: 0, next: Instant::now() };
    }

    fn failed(&mut self, shared: &Shared, error: &HostStoreError) {
        shared.lock().save_failed();
        let failure = error.to_string();
        if self.failures == 0 {
            warn!(failure, "the key file is not kept up; messages go on");
        }
        *shared.key_failure.lock().unwrap_or_else(PoisonError::into_inner) = Some(failure);
        let bound = (BASE_MS << self.failures.min(10)).min(MAX_MS);
        self.failures = self.failures.saturating_add(1);
        self.next = Instant::now() + Duration::from_millis(bound / 2 + system_rng().next_u64() % (bound / 2));
    }
}

const NAP_MS: u64 = 30_000;
const BASE_MS: u64 = 1_000;
const MAX_MS: u64 = 300_000;
