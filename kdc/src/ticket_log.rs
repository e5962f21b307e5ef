//! A line of the log for each ticket of the parties that ask for it (`log_tickets`). Issuing never waits for it: what the
//! log cannot take is dropped, and counted.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use keycell_protocol::{Correlation, Name, ProblemType, UnixSeconds};
use tokio::sync::mpsc;

/// Where tickets are logged.
#[derive(Debug)]
pub struct TicketLog {
    lines: mpsc::Sender<TicketLine>,
    received: Mutex<Option<mpsc::Receiver<TicketLine>>>,
    dropped: AtomicU64,
}

/// What is logged of a ticket, or of its refusal.
#[derive(Debug)]
pub struct TicketLine {
    /// Who asked.
    pub source: Name,
    /// For whom.
    pub destination: Name,
    /// Until when the ticket is good, or why there is none.
    pub outcome: Result<UnixSeconds, ProblemType>,
    /// By which name the KDCs of two zones tell of it, where it goes over a border.
    pub correlation: Option<Correlation>,
}

impl TicketLog {
    /// A log that keeps its lines until it is [written](Self::write).
    #[must_use]
    pub fn new() -> Self {
        let (lines, received) = mpsc::channel(WAITING);
        Self { lines, received: Mutex::new(Some(received)), dropped: AtomicU64::new(0) }
    }

    /// Writes the lines as long as the log lives, on a thread of its own: a log that hangs hangs nothing else. Only the
    /// first call does anything.
    pub fn write(&self) {
        if let Some(lines) = self.received.lock().unwrap_or_else(PoisonError::into_inner).take() {
            std::thread::spawn(move || write(lines));
        }
    }

    /// Logs a line, or drops it.
    pub fn log(&self, line: TicketLine) {
        if self.lines.try_send(line).is_err() {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// How many lines were dropped.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

impl Default for TicketLog {
    fn default() -> Self {
        Self::new()
    }
}

fn write(mut lines: mpsc::Receiver<TicketLine>) {
    while let Some(TicketLine { source, destination, outcome, correlation }) = lines.blocking_recv() {
        let correlation = correlation.map(tracing::field::display);
        match outcome {
            Ok(expiration) => {
                tracing::info!(target: "keycell::tickets", %source, %destination, %expiration, correlation, "ticket issued");
            }
            Err(problem) => {
                let problem = problem.urn();
                tracing::info!(target: "keycell::tickets", %source, %destination, problem, correlation, "ticket refused");
            }
        }
    }
}

/// How many lines may wait.
const WAITING: usize = 8192;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_nobody_writes_drops_and_counts() {
        let log = TicketLog::new();
        let name = |text: &str| text.parse::<Name>().unwrap();
        for _ in 0..WAITING + 5 {
            log.log(TicketLine {
                source: name("a@z"),
                destination: name("b@z"),
                outcome: Ok(UnixSeconds(1)),
                correlation: None,
            });
        }
        let received = log.received.lock().unwrap().take().unwrap();
        assert_eq!((log.dropped(), received.len()), (5, WAITING));
    }
}
