//! The background task of an agent with a key file: stores its keys, and rotates them.

use std::sync::{Arc, Mutex, PoisonError};

use rand_core::Rng as _;
use tokio::time::{Duration, Instant};
use tracing::{info, warn};

use super::driver;
use super::kdcs::Kdcs;
use super::shared::Shared;
use super::transport::Transport;
use crate::{KeyFileError, KeyStore, Unsaved, system_rng};

/// Apart from the task that fetches tickets, so that a message never waits for a rotation or a disk.
pub(super) async fn run(
    shared: Arc<Shared>,
    mut kdcs: Kdcs,
    transport: Arc<dyn Transport>,
    store: Arc<Mutex<Option<KeyStore>>>,
) {
    let mut saving = Saving { failures: 0, next: Instant::now() };
    loop {
        let unsaved = if saving.next <= Instant::now() { shared.lock().unsaved() } else { None };
        if let Some(unsaved) = unsaved {
            saving.save(&shared, &store, unsaved).await;
        }
        let now = shared.clock.now();
        let (request, wakeup, unsaved) = {
            let mut agent = shared.lock();
            (agent.wants_rotation(now), agent.next_key_wakeup(now), agent.unsaved_change().is_some())
        };
        if let Some(request) = request {
            let generation = shared.lock().generation();
            driver::turn(&shared, &mut kdcs, &*transport, &request).await;
            let rotated = shared.lock().generation();
            if rotated != generation {
                info!(generation = rotated.0, "this party's key was rotated");
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

/// How storing goes.
struct Saving {
    failures: u32,
    next: Instant,
}

impl Saving {
    async fn save(&mut self, shared: &Shared, store: &Arc<Mutex<Option<KeyStore>>>, unsaved: Unsaved) {
        let store = Arc::clone(store);
        let saved = tokio::task::spawn_blocking(move || {
            let mut store = store.lock().unwrap_or_else(PoisonError::into_inner);
            let saved = store.as_mut().map(|store| store.save(&unsaved.key));
            (unsaved, saved)
        });
        // Without a store the agent has ended: nothing more is saved.
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

    fn failed(&mut self, shared: &Shared, error: &KeyFileError) {
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
