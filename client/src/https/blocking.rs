//! The same for programs without a runtime.

mod authored;
mod enroll;

use core::time::Duration;
use std::path::Path;
use std::sync::{Arc, mpsc};
use std::thread::{self, JoinHandle};

use keycell_protocol::{CannotOpen, Name};
use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

use super::{Config, ConnectError, Error, OpenError, Transport};
use crate::{AgentKey, Clock, Membership, Opened, SealError, Stats, StoredHost};

pub use authored::WithAuthorProof;
pub use enroll::enroll;

/// One party, with its connection to the KDCs on a thread of its own.
///
/// Not for use inside an async runtime: there its calls would stop everything else, so they panic.
#[derive(Debug)]
pub struct Agent {
    agent: super::Agent,
    runtime: Handle,
    thread: Option<(oneshot::Sender<()>, JoinHandle<()>)>,
}

impl Agent {
    /// Starts an agent for the party of a key file, and keeps the file up. Nothing is sent before the first ticket is
    /// needed.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect_file(path: impl AsRef<Path>, config: Config) -> Result<Self, ConnectError> {
        let path = path.as_ref().to_owned();
        Self::start(move || super::Agent::connect_file(path, config))
    }

    /// Starts an agent for a host that is [enrolled](enroll), and keeps its key file and its bundle up. When no KDC of its
    /// zone knows its keys any more it enrolls again by itself.
    ///
    /// # Errors
    /// [`ConnectError`], also when the host is not enrolled.
    pub fn connect_host(host: StoredHost, config: Config) -> Result<Self, ConnectError> {
        Self::start(move || super::Agent::connect_host(host, config))
    }

    /// Starts an agent with a key that stays what it is. Nothing is sent before the first ticket is needed.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn connect(key: AgentKey, config: Config) -> Result<Self, ConnectError> {
        Self::start(move || super::Agent::connect(key, config))
    }

    /// As [`connect`](Self::connect), over another transport and by another clock.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn with(
        key: AgentKey,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        Self::start(move || super::Agent::with(key, config, transport, clock))
    }

    fn start(
        make: impl FnOnce() -> Result<super::Agent, ConnectError> + Send + 'static,
    ) -> Result<Self, ConnectError> {
        let runtime = Builder::new_current_thread().enable_all().build().map_err(ConnectError::Thread)?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel();
        let (started, start) = mpsc::sync_channel(1);
        let thread = thread::Builder::new()
            .name("keycell".to_owned())
            .spawn(move || {
                runtime.block_on(async {
                    if started.send(make()).is_ok() {
                        let _ = stopped.await;
                    }
                });
            })
            .map_err(ConnectError::Thread)?;
        let gone = || ConnectError::Thread(std::io::Error::other("it ended at once"));
        let agent = start.recv().map_err(|_| gone())??;
        Ok(Self { agent, runtime: handle, thread: Some((stop, thread)) })
    }

    /// Who it is.
    #[must_use]
    pub fn name(&self) -> &Name {
        self.agent.name()
    }

    /// Encrypts a message, and waits for a ticket if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match self.agent.try_seal(to, topic, body) {
            Err(SealError::NoTicket { .. } | SealError::NoVoucher) => {
                self.runtime.block_on(self.agent.seal(to, topic, body))
            }
            written => Ok(written?),
        }
    }

    /// Signs a message whose body anyone may read, and waits for a ticket if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        match self.agent.try_sign(to, topic, body) {
            Err(SealError::NoTicket { .. } | SealError::NoVoucher) => {
                self.runtime.block_on(self.agent.sign(to, topic, body))
            }
            written => Ok(written?),
        }
    }

    /// Encrypts a message with what is at hand. After [`SealError::NoTicket`] a ticket is being fetched.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.agent.try_seal(to, topic, body)
    }

    /// Opens a message for this party or one of its groups, or a reply to it. No KDC is waited for.
    ///
    /// # Errors
    /// [`CannotOpen`], which says why only to its own log. With [`Cause::Waiting`](keycell_protocol::Cause::Waiting) the
    /// message is kept, the key of its group is being fetched, and [`open_waiting`](Self::open_waiting) gives the message
    /// then.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, CannotOpen> {
        self.agent.open(bytes)
    }

    /// As [`open`](Self::open), and fetches the key of the message's group first if it is not here. The message is not kept.
    ///
    /// # Errors
    /// [`OpenError`].
    pub fn fetch_and_open(&self, bytes: &[u8]) -> Result<Opened, OpenError> {
        self.runtime.block_on(self.agent.fetch_and_open(bytes))
    }

    /// The messages to groups that [`open`](Self::open) kept and that open by now, or never will.
    #[must_use]
    pub fn open_waiting(&self) -> Vec<Result<Opened, CannotOpen>> {
        self.agent.open_waiting()
    }

    /// Waits until there are some, but not longer than `timeout`, and gives them.
    #[must_use]
    pub fn waited(&self, timeout: Duration) -> Vec<Result<Opened, CannotOpen>> {
        let waited = async { tokio::time::timeout(timeout, self.agent.waited()).await };
        self.runtime.block_on(waited).unwrap_or_default()
    }

    /// Listens to a group from now on. After a refusal that asks once more.
    pub fn join(&self, group: &Name) {
        self.agent.join(group);
    }

    /// Listens to a group no longer, and forgets its keys.
    pub fn leave(&self, group: &Name) {
        self.agent.leave(group);
    }

    /// The groups that this party listens to, and how it stands with each.
    #[must_use]
    pub fn groups(&self) -> Vec<(Name, Membership)> {
        self.agent.groups()
    }

    /// Answers a message, encrypted and under the same topic. No KDC is asked.
    ///
    /// # Errors
    /// [`SealError::ReplyTooLate`] after the end of the message's ticket.
    pub fn reply(&self, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.agent.reply(to, body)
    }

    /// As [`reply`](Self::reply), under another topic.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(&self, to: &Opened, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.agent.reply_with_topic(to, topic, body)
    }

    /// Fetches tickets before they are needed; returns those for which there is none, and why.
    pub fn prefetch(&self, to: &[Name]) -> Vec<(Name, Error)> {
        self.runtime.block_on(self.agent.prefetch(to))
    }

    /// Keeps a ticket for `to` at hand even while nothing is sent.
    ///
    /// # Errors
    /// [`SealError::ToSelf`] and [`SealError::TooManyDestinations`].
    pub fn keep(&self, to: &Name) -> Result<(), SealError> {
        self.agent.keep(to)
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.agent.stats()
    }

    /// The async agent inside, for what is not here. Its waiting calls need this agent alive.
    #[must_use]
    pub const fn inner(&self) -> &super::Agent {
        &self.agent
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if let Some((stop, thread)) = self.thread.take() {
            let _ = stop.send(());
            let _ = thread.join();
        }
    }
}
