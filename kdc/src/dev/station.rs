//! One nanoprobe in a thread of its own, and what it saw.

use std::net::{SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use keycell_client::{Agent, AgentConfig, AgentKey, KeyStore, Stats, system_rng};
use keycell_protocol::{Cause, Name};
use tokio::sync::Notify;
use tokio::sync::mpsc::{self, UnboundedReceiver};
use tokio::time::timeout;

use super::Failure;
use super::fleet::courier::Courier;
use super::fleet::probe::{Event, Orders, Probe};
use super::local;
use crate::clock::{Clock as _, SystemClock};

/// A running nanoprobe. It only answers.
pub(super) struct Station {
    name: Name,
    key_file: PathBuf,
    address: SocketAddr,
    seen: UnboundedReceiver<Seen>,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

/// What it did with a datagram.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    /// Opened and answered.
    Answered,
    /// Opened, but not obeyed.
    Disobeyed,
    /// Kept until the key is there.
    Waiting,
    /// Not opened.
    Refused(Cause),
}

#[derive(Default)]
struct Shared {
    orders: Orders,
    joined: Notify,
    stats: Mutex<Stats>,
    ahead_ms: AtomicU64,
}

impl Station {
    /// Starts the nanoprobe of a key file.
    ///
    /// # Errors
    /// The key file, the socket or the thread.
    pub(super) fn start(key_file: PathBuf, cma: Name) -> Result<Self, Failure> {
        let (store, key) = KeyStore::open(&key_file)?;
        let name = key.name.clone();
        let socket = UdpSocket::bind(("127.0.0.1", 0))?;
        let address = socket.local_addr()?;
        let shared = Arc::new(Shared::default());
        let (report, seen) = mpsc::unbounded_channel();
        let agent = Agent::keeping(key, &AgentConfig::default().first_use(), SystemClock.now(), system_rng());
        let probe = Probe::new(agent, cma, None, SystemClock.now()).keeping(store);

        let (host, theirs) = (name.clone(), shared.clone());
        let clock = shared.clone();
        let see = move |event: &Event, stats: &Stats| {
            *theirs.stats.lock().unwrap_or_else(PoisonError::into_inner) = stats.clone();
            if matches!(event, Event::Joined(_)) {
                theirs.joined.notify_one();
            }
            if let Some(seen) = look(&host, event) {
                // Nobody listens any more: it is about to stop.
                let _ = report.send(seen);
            }
        };
        let stop = shared.clone();
        let clock = move || SystemClock.now().plus(clock.ahead_ms.load(Ordering::SeqCst));
        let host = name.clone();
        let thread = thread::Builder::new().name(local(&name).to_owned()).spawn(move || {
            if let Err(error) = probe.run(&socket, clock, &stop.orders, see) {
                tracing::error!(by = local(&host), %error, "the nanoprobe stopped");
            }
        })?;
        Ok(Self { name, key_file, address, seen, shared, thread: Some(thread) })
    }

    /// Who it is.
    pub(super) const fn name(&self) -> &Name {
        &self.name
    }

    /// Its key file: what somebody steals who breaks into its host.
    pub(super) fn key_file(&self) -> &Path {
        &self.key_file
    }

    /// Where it listens.
    pub(super) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Its counters.
    pub(super) fn stats(&self) -> Stats {
        self.shared.stats.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Sets its clock ahead of the true time.
    pub(super) fn set_ahead(&self, millis: u64) {
        self.shared.ahead_ms.store(millis, Ordering::SeqCst);
    }

    /// Has it hear what is said to a group, too.
    ///
    /// # Errors
    /// Its key file, or the thread that speaks to the KDC.
    pub(super) fn join(&self, group: &Name) -> Result<(), Failure> {
        let courier = Courier::start(&AgentKey::load(&self.key_file)?.kdc)?;
        self.shared.orders.join(group.clone(), courier);
        Ok(())
    }

    /// Waits until it has the keys of its group, and a ticket to answer under.
    ///
    /// # Errors
    /// The KDC gives none.
    pub(super) async fn joined(&self) -> Result<(), Failure> {
        match timeout(PATIENCE, self.shared.joined.notified()).await {
            Ok(()) => Ok(()),
            Err(_) => Err(format!("{} gets no keys of its group", local(&self.name)).into()),
        }
    }

    /// What it did with the next datagram.
    pub(super) async fn next(&mut self) -> Option<Seen> {
        self.seen.recv().await
    }
}

impl Drop for Station {
    fn drop(&mut self) {
        self.shared.orders.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

/// How long it may take to get the keys of a group.
const PATIENCE: Duration = Duration::from_secs(10);

fn look(host: &Name, event: &Event) -> Option<Seen> {
    let by = local(host);
    match event {
        Event::Answered(kind) => {
            tracing::debug!(by, ?kind, "answered");
            Some(Seen::Answered)
        }
        Event::Refused(error) => {
            tracing::info!(by, reason = error.cause().code(), "refused: {}", error.cause());
            Some(Seen::Refused(error.cause()))
        }
        Event::Disobeyed(source, why) => {
            tracing::info!(by, %source, "not obeyed: {why}");
            Some(Seen::Disobeyed)
        }
        Event::Waiting => {
            tracing::debug!(by, "one waits for the key of its group");
            Some(Seen::Waiting)
        }
        Event::Heartbeat => None,
        Event::Joined(group) => {
            tracing::debug!(by, %group, "hears its group");
            None
        }
        Event::Unanswered(error) => {
            tracing::warn!(by, %error, "not answered");
            None
        }
        Event::Unkept(error) => {
            tracing::warn!(by, %error, "its key file is not kept up");
            None
        }
    }
}
