//! What came of the last request to another zone's KDCs, for administrators.

use std::sync::Mutex;

use keycell_protocol::{ProblemType, UnixMillis};

use super::line::{NoAnswer, lock};

/// What came of a request that was made, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Last {
    /// When.
    pub at: UnixMillis,
    /// `ok`, or why there was no answer: `refused`, `overloaded`, `timeout`, `unreachable` or `garbage`.
    pub outcome: &'static str,
}

/// The last one of a line.
#[derive(Default)]
pub(super) struct LastOutcome(Mutex<Option<Last>>);

impl LastOutcome {
    /// Takes in what came of a request; one that was not even made says nothing of the other zone.
    pub(super) fn note(&self, at: UnixMillis, failure: Option<NoAnswer>) {
        let outcome = match failure {
            None => "ok",
            Some(NoAnswer::Breaker | NoAnswer::Crowded | NoAnswer::NoKey) => return,
            // That it is not the turn of a rotation's step says nothing of tickets.
            Some(NoAnswer::NotYet(_) | NoAnswer::Refused(ProblemType::Conflict)) => return,
            Some(failure) => failure.outcome(),
        };
        *lock(&self.0) = Some(Last { at, outcome });
    }

    pub(super) fn last(&self) -> Option<Last> {
        *lock(&self.0)
    }
}
