//! Writing with a proof of the author, and one body for many, without a runtime.

use keycell_protocol::{CannotOpen, Name};

use super::super::Error;
use super::Agent;
use crate::{Content, Many, Opened, SealError};

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

    /// Encrypts one body for many recipients, and waits for the tickets that are missing first.
    ///
    /// # Errors
    /// [`Error`]; for whom there is no ticket in time is told in its part.
    pub fn seal_many(&self, to: &[Name], topic: &str, body: &[u8]) -> Result<Many, Error> {
        self.runtime.block_on(self.agent.seal_many(to, topic, body))
    }

    /// A part for one more recipient of a body that was encrypted before; waits for a ticket if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn seal_part(&self, content: &Content, to: &Name) -> Result<Vec<u8>, Error> {
        self.runtime.block_on(self.agent.seal_part(content, to))
    }

    /// Opens a part together with the common body. No KDC is waited for.
    ///
    /// # Errors
    /// As [`open_many`](crate::Agent::open_many).
    pub fn open_many(&self, part: &[u8], common: &[u8]) -> Result<Opened, CannotOpen> {
        self.agent.open_many(part, common)
    }
}

impl WithAuthorProof<'_> {
    /// As [`Agent::seal`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn seal(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let Agent { agent, runtime, .. } = self.0;
        runtime.block_on(agent.with_author_proof().seal(to, topic, body))
    }

    /// As [`Agent::sign`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn sign(&self, to: &Name, topic: &str, body: &[u8]) -> Result<Vec<u8>, Error> {
        let Agent { agent, runtime, .. } = self.0;
        runtime.block_on(agent.with_author_proof().sign(to, topic, body))
    }

    /// As [`Agent::seal_many`]; waits for a voucher too, if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub fn seal_many(&self, to: &[Name], topic: &str, body: &[u8]) -> Result<Many, Error> {
        let Agent { agent, runtime, .. } = self.0;
        runtime.block_on(agent.with_author_proof().seal_many(to, topic, body))
    }

    /// As [`Agent::reply`]. After [`SealError::NoVoucher`] a voucher is being fetched.
    ///
    /// # Errors
    /// As [`Agent::reply`].
    pub fn reply(&self, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.agent.with_author_proof().reply(to, body)
    }

    /// As [`reply`](Self::reply), under another topic.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(&self, to: &Opened, topic: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.agent.with_author_proof().reply_with_topic(to, topic, body)
    }
}
