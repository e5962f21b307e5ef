//! One body for many recipients, encrypted once (docs/protocol.md §8.4).

use core::fmt;

use keycell_protocol::{ContentPart, Name};

use crate::SealError;
use crate::agent::Proof;

/// One body for many recipients: send each its own part, and the common body to all, over whatever there is. Nobody learns
/// from the two who else got one.
#[derive(Debug)]
#[non_exhaustive]
pub struct Many {
    /// The body, encrypted: the same for all, and of no use without a part.
    pub common: Vec<u8>,
    /// For each recipient in the order asked its part, or why there is none; the others are not touched by that.
    pub parts: Vec<(Name, Result<Vec<u8>, SealError>)>,
    /// For parts that are made later.
    pub content: Content,
}

/// What it takes to write one more part for a body that was encrypted: as secret as the body is, and erased when dropped.
///
/// Not `Clone`: each copy is one more to lose.
pub struct Content {
    pub(crate) topic: String,
    pub(crate) part: ContentPart,
    pub(crate) proof: Proof,
}

impl fmt::Debug for Content {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, part: _, proof } = self;
        f.debug_struct("Content").field("topic", topic).field("proof", proof).finish_non_exhaustive()
    }
}
