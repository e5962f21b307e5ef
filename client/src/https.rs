//! Agents that talk to their KDCs by themselves, over HTTPS.
//!
//! [`Agent`] is for async programs on tokio, [`blocking::Agent`] for all others. Both fetch tickets when they are
//! missing, many at a time, and renew them in the background; they go from one KDC to the next when one is down, wait
//! longer after each failure, and go on sealing under the tickets they have until those end.
//!
//! Those that are given a key file by its path also keep it up: its keys turn as the days pass, and are rotated when the
//! KDC asks. Those that are given an [`AgentKey`](crate::AgentKey) leave it as it is.
//!
//! A host that nobody has made a key file for [enrolls](enroll), with what is in its [`HostStore`](crate::HostStore).

mod abroad;
mod authored;
pub mod blocking;
mod config;
mod connect;
mod driver;
mod enroll;
mod error;
mod failures;
mod groups;
mod kdcs;
mod keeper;
mod many;
mod shared;
mod tls;
mod transport;

use core::fmt;
use std::sync::{Arc, PoisonError};

use keycell_protocol::{
    CannotOpen, Cause, Generation, LongTermKey, Mode, Name, UnixMillis, UnixSeconds, Zone,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::agent::Proof;
use crate::{Opened, SealError, Stats};

use shared::{Shared, Tasks};

pub use authored::WithAuthorProof;
pub use config::Config;
pub use enroll::{EnrollError, EnrollOptions, enroll, enroll_with};
pub use error::{ConnectError, Error, OpenError};
pub use tls::config as tls_config;
pub use transport::{Answer, Https, Transport, TransportError};

/// One party, with its connection to the KDCs. A clone is another handle to the same.
///
/// What runs in the background ends with the last handle, and the key file is free again.
#[derive(Clone)]
pub struct Agent {
    shared: Arc<Shared>,
    _tasks: Arc<Tasks>,
}

impl Agent {
    /// Who it is.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// Encrypts a message, and fetches a ticket first if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.write(to, (Mode::Sealed, Proof::IfRequired), topic, body).await
    }

    /// Signs a message whose body anyone may read, and fetches a ticket first if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.write(to, (Mode::Signed, Proof::IfRequired), topic, body).await
    }

    /// Encrypts a message with what is at hand. After [`SealError::NoTicket`] a ticket is being fetched.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.try_write(to, (Mode::Sealed, Proof::IfRequired), topic, body)
    }

    /// Signs a message with what is at hand.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.try_write(to, (Mode::Signed, Proof::IfRequired), topic, body)
    }

    /// Opens a message for this party or one of its groups, or a reply to it. No KDC is waited for.
    ///
    /// # Errors
    /// [`CannotOpen`], which says why only to its own log. With [`Cause::Waiting`] the message is kept, the key of its
    /// group is being fetched, and [`waited`](Self::waited) gives the message then.
    pub fn open(&self, bytes: &[u8]) -> Result<Opened, CannotOpen> {
        let now = self.shared.clock.now();
        let mut agent = self.shared.lock();
        let opened = agent.open(now, bytes);
        let change = agent.unsaved_change();
        drop(agent);
        self.shared.tell_keeper(change);
        if let Err(error) = &opened
            && matches!(error.cause(), Cause::Waiting { .. })
        {
            self.shared.wake.notify_one();
        }
        opened
    }

    /// Answers a message, encrypted and under the same topic. No KDC is asked.
    ///
    /// # Errors
    /// [`SealError::ReplyTooLate`] after the end of the message's ticket. An answer to a reply, or to a message that came to
    /// a group, is a new message: [`SealError::NoTicket`] until there is a ticket for it.
    pub fn reply(&self, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.shared.act(|agent, now| agent.reply(now, to, body))
    }

    /// As [`reply`](Self::reply), under another topic.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(&self, to: &Opened, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.shared.act(|agent, now| agent.reply_with_topic(now, to, topic, body))
    }

    /// Fetches tickets before they are needed, up to 1,000 in one request. Returns those for which there is none,
    /// and why; nobody when all is well.
    pub async fn prefetch(&self, to: &[Name]) -> Vec<(Name, Error)> {
        let deadline = self.deadline();
        let mut changed = self.shared.changed.subscribe();
        let mut failed = Vec::new();
        let mut missing: Vec<&Name> = to.iter().collect();
        loop {
            changed.borrow_and_update();
            self.shared.act(|agent, now| {
                missing.retain(|name| match agent.prepare(now, name) {
                    Ok(()) => false,
                    Err(SealError::NoTicket { .. }) => true,
                    Err(error) => {
                        failed.push(((*name).clone(), error.into()));
                        false
                    }
                });
            });
            if missing.is_empty() {
                return failed;
            }
            if self.wait(&mut changed, deadline).await.is_err() {
                failed.extend(missing.into_iter().map(|name| (name.clone(), self.no_answer(Some(name)))));
                return failed;
            }
        }
    }

    /// Keeps a ticket for `to` at hand even while nothing is sent.
    ///
    /// # Errors
    /// [`SealError::ToSelf`] and [`SealError::TooManyDestinations`].
    pub fn keep(&self, to: &Name) -> Result<(), SealError> {
        self.shared.act(|agent, now| agent.keep(now, to))
    }

    /// Takes [`keep`](Self::keep) back.
    pub fn release(&self, to: &Name) {
        self.shared.lock().release(to);
    }

    /// Adds a key of another generation.
    pub fn add_key(&self, key: LongTermKey) {
        self.shared.lock().add_key(key);
        self.shared.keep.notify_one();
    }

    /// Rotates this party's key as soon as can be. `false` without a key file.
    #[must_use]
    pub fn rotate(&self) -> bool {
        let keeps = self.shared.lock().rotate();
        self.shared.keep.notify_one();
        keeps
    }

    /// Which of the party's keys is active.
    #[must_use]
    pub fn generation(&self) -> Generation {
        self.shared.lock().generation()
    }

    /// Why the key file is not what it should be by now; `None` while it is. Messages go on meanwhile, and so do the
    /// attempts to write it; a rotation waits.
    #[must_use]
    pub fn key_file_failure(&self) -> Option<String> {
        self.shared.key_failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until when messages to `to` can be sealed without a KDC.
    #[must_use]
    pub fn ticket_expiration(&self, to: &Name) -> Option<UnixSeconds> {
        self.shared.lock().ticket_expiration(self.shared.clock.now(), to)
    }

    /// Since when requests to the KDCs have failed; `None` while they do not.
    #[must_use]
    pub fn failing_since(&self) -> Option<UnixMillis> {
        self.shared.lock().failing_since()
    }

    /// The other zones whose KDCs give no tickets at the moment, though those of this one answer; and since when.
    #[must_use]
    pub fn zones_failing(&self) -> Vec<(Zone, UnixMillis)> {
        self.shared.lock().zones_failing()
    }

    /// By how many milliseconds the host's clock is behind the KDC's, as far as it matters.
    #[must_use]
    pub fn clock_correction_ms(&self) -> i64 {
        self.shared.lock().clock_correction_ms()
    }

    /// What it has done so far.
    #[must_use]
    pub fn stats(&self) -> Stats {
        self.shared.lock().stats()
    }

    async fn write(&self, to: &Name, how: (Mode, Proof), topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.until_written(Some(to), || self.try_write(to, how, topic, body)).await
    }

    fn try_write(
        &self,
        to: &Name,
        how: (Mode, Proof),
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.shared.act(|agent, now| agent.write(now, to, how, topic, body))
    }

    /// Tries again after each answer of a KDC, until what is missing is there.
    async fn until_written<T>(
        &self,
        to: Option<&Name>,
        mut write: impl FnMut() -> Result<T, SealError>,
    ) -> Result<T, Error> {
        let deadline = self.deadline();
        // Before the first try, so that no answer that comes right after it is missed.
        let mut changed = self.shared.changed.subscribe();
        loop {
            let to = match write() {
                Err(SealError::NoTicket { .. }) => to,
                Err(SealError::NoVoucher) => None,
                written => return Ok(written?),
            };
            self.wait(&mut changed, deadline).await.map_err(|Late| self.no_answer(to))?;
        }
    }

    fn deadline(&self) -> Instant {
        Instant::now() + self.shared.config.total_timeout
    }

    async fn wait(&self, changed: &mut watch::Receiver<()>, deadline: Instant) -> Result<(), Late> {
        match tokio::time::timeout_at(deadline, changed.changed()).await {
            Ok(Ok(())) => Ok(()),
            _ => Err(Late),
        }
    }

    /// No ticket for `to` came, or no voucher.
    fn no_answer(&self, to: Option<&Name>) -> Error {
        let zone = to.map(Name::zone).filter(|zone| *zone != self.shared.name.zone());
        let last = self.shared.last_failures().get(zone.unwrap_or_default()).cloned();
        // Without the key in its file no voucher is asked for.
        let last = if to.is_none() { self.key_file_failure().or(last) } else { last };
        let last = last.unwrap_or_else(|| "no KDC has answered yet".to_owned());
        let waited = self.shared.config.total_timeout;
        match to {
            Some(to) => Error::NoAnswer { destination: to.clone(), waited, last },
            None => Error::NoVoucher { waited, last },
        }
    }
}

impl fmt::Debug for Agent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agent").field("name", &self.shared.name).finish_non_exhaustive()
    }
}

struct Late;
