//! What a host asks for, and what came of it.

use std::time::Duration;

use keycell_protocol::{EnrollmentKeys, EnrollmentState, Epoch, Generation, Name, UnixMillis};

use super::{Applicant, Refusal};

/// A host that asks, and the keys that it made.
#[derive(Debug)]
pub struct Request {
    /// What it asks.
    pub applicant: Applicant,
    /// The name that it has or gets.
    pub name: Name,
    /// What it and the KDC have in common.
    pub keys: EnrollmentKeys,
    /// The request's name in the log.
    pub id: Option<String>,
}

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Settled {
    /// It is aboard, with this key.
    Enrolled {
        /// The key's generation.
        generation: Generation,
        /// The key's epoch.
        epoch: Epoch,
        /// What the key is good for.
        state: EnrollmentState,
        /// How.
        how: How,
    },
    /// It waits for an administrator.
    Pending {
        /// Since when.
        since: UnixMillis,
        /// Whether nothing was written, for it waited already.
        again: bool,
    },
    /// The request is older than one that was answered.
    Replayed,
    /// It got another key a moment ago, and gets the next one after this time.
    TooSoon(Duration),
    /// It does not come aboard.
    Refused(Refusal),
}

/// How a host came to its key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum How {
    /// For the first time.
    New,
    /// It was aboard already.
    Renewed,
    /// By the same request as before: nothing was written.
    Again,
}
