//! What a CMA and its nanoprobes say to each other: JSON inside sealed messages, one UDP datagram each.

use serde::{Deserialize, Serialize};

use super::facts::{Facts, Kind};

/// The topic of commands and of their answers.
pub(crate) const DISCOVER: &str = "discover";
/// The topic of heartbeats.
pub(crate) const HEARTBEAT: &str = "heartbeat";

/// What fits into one UDP datagram at all.
pub(crate) const MAX_DATAGRAM: usize = 65_536;

/// What the CMA wants to know. One kind of facts a command, so that every answer fits a datagram of its own and a
/// lost one costs only itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Command {
    /// The kind of facts.
    pub(crate) want: Kind,
}

/// What a nanoprobe answers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Answer {
    /// What it found.
    Facts(Facts),
    /// What it could not find, and why.
    Failed {
        /// What was wanted.
        want: Kind,
        /// Why it is not here.
        why: String,
    },
}

/// A sign of life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Heartbeat {
    /// For how long the nanoprobe has been running, in seconds.
    pub(crate) up_seconds: u64,
}

/// A body as it is sealed.
pub(crate) fn body(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers only: there is nothing that JSON could not say.
    serde_json::to_vec(value).unwrap_or_default()
}
