//! What the handles of an agent and what runs in the background share.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use keycell_protocol::{Name, UnixMillis};
use tokio::sync::{Notify, watch};
use tokio::task::AbortHandle;

use super::Config;
use super::failures::GroupFailures;
use super::keeper::Files;
use crate::Clock;

pub(super) struct Shared {
    pub(super) name: Name,
    pub(super) agent: Mutex<crate::Agent>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) config: Config,
    /// Something is to be asked for.
    pub(super) wake: Notify,
    /// Something is to be asked for of another zone.
    pub(super) wake_abroad: Notify,
    /// The key file is to be looked at.
    pub(super) keep: Notify,
    /// The last change of the keys that was told to who keeps the file.
    pub(super) told: AtomicU64,
    /// A KDC answered, or all of them failed.
    pub(super) changed: watch::Sender<()>,
    /// Why nothing came, by the zone of whom it was for; of this zone under no name.
    pub(super) last_failures: Mutex<BTreeMap<String, String>>,
    pub(super) group_failures: Mutex<GroupFailures>,
    pub(super) key_failure: Mutex<Option<String>>,
}

impl Shared {
    pub(super) fn lock(&self) -> MutexGuard<'_, crate::Agent> {
        // A panic of another thread leaves the agent whole: each of its steps does.
        self.agent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn group_failures(&self) -> MutexGuard<'_, GroupFailures> {
        self.group_failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn last_failures(&self) -> MutexGuard<'_, BTreeMap<String, String>> {
        self.last_failures.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Each change once: a full disk must not be looked at with every message.
    pub(super) fn tell_keeper(&self, change: Option<u64>) {
        if let Some(change) = change
            && self.told.fetch_max(change, Ordering::Relaxed) < change
        {
            self.keep.notify_one();
        }
    }

    /// Does something with the agent, and wakes the background task if there is something to ask for now.
    pub(super) fn act<T>(&self, act: impl FnOnce(&mut crate::Agent, UnixMillis) -> T) -> T {
        let now = self.clock.now();
        let mut agent = self.lock();
        let done = act(&mut agent, now);
        let (wake, wake_abroad) = (agent.may_request(now), agent.may_request_abroad(now));
        let change = agent.unsaved_change();
        drop(agent);
        // A signing key that was made just now is stored first.
        self.tell_keeper(change);
        if wake {
            self.wake.notify_one();
        }
        if wake_abroad {
            self.wake_abroad.notify_one();
        }
        done
    }
}

/// What runs in the background, and ends with the last handle.
pub(super) struct Tasks {
    pub(super) drivers: [AbortHandle; 2],
    pub(super) keeper: Option<(AbortHandle, Arc<Mutex<Option<Files>>>)>,
}

impl Drop for Tasks {
    fn drop(&mut self) {
        self.drivers.iter().for_each(AbortHandle::abort);
        if let Some((task, files)) = &self.keeper {
            task.abort();
            // A file that is being written is waited for; after that it is free for the next.
            files.lock().unwrap_or_else(PoisonError::into_inner).take();
        }
    }
}
