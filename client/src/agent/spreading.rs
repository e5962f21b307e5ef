//! One body for many recipients (docs/protocol.md §8.4).

use keycell_protocol::{CannotOpen, Cause, ContentPart, Mode, Name, Topic, UnixMillis};

use super::{Agent, Proof};
use crate::SealError;
use crate::many::{Content, Many};
use crate::opened::Opened;
use crate::sealer::Draft;

impl Agent {
    /// Encrypts one body for many recipients: the body once, and for each recipient only the key to it.
    ///
    /// A recipient without a ticket does not keep the others waiting: its part is an error, its ticket is wanted from now
    /// on, and [`seal_part`](Self::seal_part) makes the part when it is there.
    ///
    /// # Errors
    /// [`SealError::Topic`] and [`SealError::TooLong`]; what fails for one recipient is in its part.
    pub fn seal_many(
        &mut self,
        now: UnixMillis,
        to: &[Name],
        topic: &str,
        body: &[u8],
    ) -> Result<Many, SealError> {
        self.spread(now, to, Proof::IfRequired, topic, body)
    }

    /// A part for one more recipient of a body that was encrypted before.
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn seal_part(&mut self, now: UnixMillis, content: &Content, to: &Name) -> Result<Vec<u8>, SealError> {
        let Content { topic, part, proof } = content;
        let (topic, body) = (Topic::try_from(topic.as_str())?, part.plaintext());
        let draft = Draft { mode: Mode::Sealed, topic, body: &*body, author: None, detached: true };
        self.seal_draft(now, to, *proof, draft)
    }

    /// Opens a part for this party, or for one of its groups, together with the common body.
    ///
    /// # Errors
    /// [`CannotOpen`]. After [`Cause::Body`], another body than the one that is meant, and [`Cause::Waiting`], a key of the
    /// group that is still to come, the same part may be tried again; nothing of it is kept.
    pub fn open_many(&mut self, now: UnixMillis, part: &[u8], common: &[u8]) -> Result<Opened, CannotOpen> {
        let corrected = self.correction.apply(now);
        let opened = self.opener.open_with_body(&mut self.keys, corrected, part, common);
        if let Err(Cause::Waiting { generation }) = opened {
            return Err(self.look_for(now, part, generation).into());
        }
        self.opened(now, opened)
    }

    pub(super) fn spread(
        &mut self,
        now: UnixMillis,
        to: &[Name],
        proof: Proof,
        topic: &str,
        body: &[u8],
    ) -> Result<Many, SealError> {
        let topic = Topic::try_from(topic)?.as_str().to_owned();
        let (part, common) = ContentPart::seal(body, &mut self.rng).map_err(|_| SealError::TooLong)?;
        let content = Content { topic, part, proof };
        let parts = to.iter().map(|name| (name.clone(), self.seal_part(now, &content, name))).collect();
        Ok(Many { common, parts, content })
    }
}
