//! Telling systemd that the process is alive, for as long as it really is: a KDC whose tasks stand still or have died is
//! started again. A database that is away is no reason to: a start would not bring it back, and tickets would stop.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use tokio::task::AbortHandle;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::systemd;

/// The beat of a task that turns about once a second and waits for nobody.
pub(super) struct Pulse {
    begun: Instant,
    beaten_ms: AtomicU64,
}

impl Pulse {
    pub(super) fn new() -> Self {
        Self { begun: Instant::now(), beaten_ms: AtomicU64::new(0) }
    }

    /// The task has turned once more.
    pub(super) fn beat(&self) {
        self.beaten_ms.store(self.now_ms(), Ordering::Relaxed);
    }

    /// Whether it has within this time.
    fn beats(&self, within: Duration) -> bool {
        let quiet = self.now_ms().saturating_sub(self.beaten_ms.load(Ordering::Relaxed));
        Duration::from_millis(quiet) <= within
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}

/// Speaks twice in the time that systemd waits, unless something stands still. `tasks` are never to end before `stop`.
pub(super) async fn watch(pulse: &Pulse, tasks: &[AbortHandle], stop: CancellationToken) {
    let Some(patience) = systemd::watchdog() else { return };
    let mut silent = false;
    loop {
        match stands_still(pulse, tasks, patience) {
            None => {
                silent = false;
                systemd::alive();
            }
            Some(what) if !silent => {
                silent = true;
                tracing::error!(what, "the KDC stands still: systemd is to start it again");
            }
            Some(_) => {}
        }
        tokio::select! {
            () = stop.cancelled() => return,
            () = sleep(patience / 2) => {}
        }
    }
}

fn stands_still(pulse: &Pulse, tasks: &[AbortHandle], patience: Duration) -> Option<&'static str> {
    if tasks.iter().any(AbortHandle::is_finished) {
        return Some("a task has died");
    }
    (!pulse.beats(patience)).then_some("no task turns")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_task_that_died_or_turns_no_more_is_seen() {
        let pulse = Pulse::new();
        let lives = tokio::spawn(std::future::pending::<()>());
        let patience = Duration::from_secs(3600);
        assert_eq!(stands_still(&pulse, &[lives.abort_handle()], patience), None);

        let dies = tokio::spawn(async { panic!("as a bug would") });
        let died = dies.abort_handle();
        drop(dies.await);
        let tasks = [lives.abort_handle(), died];
        assert_eq!(stands_still(&pulse, &tasks, patience), Some("a task has died"));

        let still = Pulse { begun: Instant::now() - Duration::from_secs(10), beaten_ms: AtomicU64::new(0) };
        assert_eq!(stands_still(&still, &tasks[..1], Duration::from_secs(9)), Some("no task turns"));
        still.beat();
        assert_eq!(stands_still(&still, &tasks[..1], Duration::from_secs(9)), None);
    }
}
