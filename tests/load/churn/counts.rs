//! What the soak counts.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use super::fleet::Fleet;

/// Counted by all tasks alike.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Messages and replies that were sealed.
    pub(crate) sealed: AtomicU64,
    /// Those that were opened.
    pub(crate) opened: AtomicU64,
    /// Messages to the group that were sealed.
    pub(crate) group_sealed: AtomicU64,
    /// To how many members they went.
    pub(crate) group_sent: AtomicU64,
    /// What of that was opened.
    pub(crate) group_opened: AtomicU64,
    /// Requests for tickets that were made by hand, besides those of the agents.
    pub(crate) requests: AtomicU64,
    /// Tickets that came of them.
    pub(crate) tickets: AtomicU64,
    /// What went wrong, with how often.
    failed: Mutex<BTreeMap<String, u64>>,
}

impl Counts {
    /// Counts one.
    pub(crate) fn one(counter: &AtomicU64) {
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Something went wrong.
    pub(crate) fn failed(&self, what: String) {
        *self.failed.lock().unwrap_or_else(PoisonError::into_inner).entry(what).or_default() += 1;
    }

    /// Whether there was something to count, all of it went well, and nothing is missing.
    pub(crate) fn is_clean(&self) -> bool {
        let (sealed, opened) = (self.sealed.load(Ordering::Relaxed), self.opened.load(Ordering::Relaxed));
        let (sent, heard) =
            (self.group_sent.load(Ordering::Relaxed), self.group_opened.load(Ordering::Relaxed));
        let tickets = self.tickets.load(Ordering::Relaxed);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        sealed > 0 && sealed == opened && sent > 0 && sent == heard && tickets > 0 && failed.is_empty()
    }

    /// For people.
    pub(crate) fn report(&self, fleet: &Fleet) -> String {
        let (sealed, opened) = (self.sealed.load(Ordering::Relaxed), self.opened.load(Ordering::Relaxed));
        let agents = fleet.stats();
        let requests = self.requests.load(Ordering::Relaxed);
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        let mut report = format!(
            "messages: {sealed} sealed, {opened} opened, {} unopened\n\
             group:    {} sealed with a proof of their author, for {} members in all, opened by {}; {} waited for a key\n\
             requests: {} of agents for {} tickets, {} for keys of the group, {} for vouchers; {requests} by hand for {}\n\
             failed:   {}",
            sealed.abs_diff(opened),
            self.group_sealed.load(Ordering::Relaxed),
            self.group_sent.load(Ordering::Relaxed),
            self.group_opened.load(Ordering::Relaxed),
            agents.waited,
            agents.requests,
            agents.tickets,
            agents.group_requests,
            agents.vouchers,
            self.tickets.load(Ordering::Relaxed),
            failed.values().sum::<u64>(),
        );
        for (what, times) in &*failed {
            let _ = write!(report, "\n  {times} times: {what}");
        }
        report
    }
}
