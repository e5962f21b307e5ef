//! One body for many recipients.

use keycell_protocol::{CannotOpen, Cause, Name};

use super::{Agent, Error};
use crate::{Content, Many, Opened, SealError};

impl Agent {
    /// Encrypts one body for many recipients, and fetches the tickets that are missing first, up to 1,000 in one request.
    ///
    /// # Errors
    /// [`Error`]; for whom there is no ticket in time is told in its part, and [`seal_part`](Self::seal_part) can make that
    /// later.
    pub async fn seal_many(&self, to: &[Name], topic: &str, body: &[u8]) -> Result<Many, Error> {
        // Who is missing is told in the parts.
        self.prefetch(to).await;
        let mut many = self.shared.act(|agent, now| agent.seal_many(now, to, topic, body))?;
        if many.parts.iter().any(|(_, part)| matches!(part, Err(SealError::NoVoucher))) {
            // For a group that takes only what proves its author.
            self.prefetch_voucher().await?;
            for (name, part) in &mut many.parts {
                if matches!(part, Err(SealError::NoVoucher)) {
                    *part = self.try_seal_part(&many.content, name);
                }
            }
        }
        Ok(many)
    }

    /// A part for one more recipient of a body that was encrypted before; fetches a ticket first if there is none.
    ///
    /// # Errors
    /// [`Error`].
    pub async fn seal_part(&self, content: &Content, to: &Name) -> Result<Vec<u8>, Error> {
        self.until_written(Some(to), || self.try_seal_part(content, to)).await
    }

    /// As [`seal_part`](Self::seal_part), with what is at hand.
    ///
    /// # Errors
    /// [`SealError`].
    pub fn try_seal_part(&self, content: &Content, to: &Name) -> Result<Vec<u8>, SealError> {
        self.shared.act(|agent, now| agent.seal_part(now, content, to))
    }

    /// Opens a part together with the common body. No KDC is waited for.
    ///
    /// # Errors
    /// As [`open_many`](crate::Agent::open_many).
    pub fn open_many(&self, part: &[u8], common: &[u8]) -> Result<Opened, CannotOpen> {
        let opened = self.shared.act(|agent, now| agent.open_many(now, part, common));
        if let Err(error) = &opened
            && matches!(error.cause(), Cause::Waiting { .. })
        {
            self.shared.wake.notify_one();
        }
        opened
    }
}
