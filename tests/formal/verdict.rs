//! What can come of a query.

use std::fmt;

use serde::Deserialize;

/// What came of a query, or is to come of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// No attack was found, and the search for one was not cut short.
    Holds,
    Falls(How),
}

/// In what way a property falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum How {
    /// The attacker learns the value.
    Learned,
    /// What is used is not what the named sender sent.
    Forged,
    /// What the named sender sent once is accepted twice: nothing is forged.
    Repeated,
    /// Two sessions take the same value for a fresh one.
    Stale,
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Holds => "holds",
            Self::Falls(How::Learned) => "FALLS: learned",
            Self::Falls(How::Forged) => "FALLS: forged",
            Self::Falls(How::Repeated) => "FALLS: repeated",
            Self::Falls(How::Stale) => "FALLS: stale",
        })
    }
}
