//! Writing with a proof of the author.

use keycell_protocol::{Mode, Name};

use super::{Agent, Error};
use crate::agent::Proof;
use crate::{Many, Opened, SealError};

/// An [`Agent`] that proves with each message that it is the author.
#[derive(Debug, Clone, Copy)]
pub struct WithAuthorProof<'a>(&'a Agent);

impl Agent {
    /// Writes what comes next with a proof that this party is its author:
    /// `agent.with_author_proof().seal(&to, topic, body)`. See [`with_author_proof`](crate::Agent::with_author_proof).
    #[must_use]
    pub const fn with_author_proof(&self) -> WithAuthorProof<'_> {
        WithAuthorProof(self)
    }

    /// Gets a voucher for this party's signing key before it is needed.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn prefetch_voucher(&self) -> Result<(), Error> {
        let ready = || self.shared.act(|agent, now| agent.voucher_ready(now));
        self.until_written(None, ready).await
    }
}

impl WithAuthorProof<'_> {
    /// As [`Agent::seal`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.write(to, (Mode::Sealed, Proof::Always), topic, body).await
    }

    /// As [`Agent::sign`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        self.0.write(to, (Mode::Signed, Proof::Always), topic, body).await
    }

    /// As [`Agent::seal_many`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn seal_many(&self, to: &[Name], topic: &str, body: &[u8]) -> Result<Many, Error> {
        self.0.prefetch_voucher().await?;
        self.0.prefetch(to).await;
        let many =
            self.0.shared.act(|agent, now| agent.with_author_proof().seal_many(now, to, topic, body))?;
        Ok(many)
    }

    /// As [`Agent::try_seal`]. After [`SealError::NoVoucher`] a voucher is being fetched.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.try_write(to, (Mode::Sealed, Proof::Always), topic, body)
    }

    /// As [`Agent::try_sign`]. After [`SealError::NoVoucher`] a voucher is being fetched.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.try_write(to, (Mode::Signed, Proof::Always), topic, body)
    }

    /// As [`Agent::reply`]. After [`SealError::NoVoucher`] a voucher is being fetched.
    ///
    /// # Errors
    /// As [`Agent::reply`].
    pub fn reply(&self, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.shared.act(|agent, now| agent.with_author_proof().reply(now, to, body))
    }

    /// As [`reply`](Self::reply), under another topic.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(&self, to: &Opened, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.shared.act(|agent, now| agent.with_author_proof().reply_with_topic(now, to, topic, body))
    }
}
