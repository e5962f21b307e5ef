//! What is to be got from another zone, and what was got.

use std::collections::BTreeMap;
use std::sync::Arc;

use keycell_protocol::{Correlation, Grant, Name, ProblemType};

use crate::trust::TrustRecord;

/// The tickets that one request wants of one zone.
#[derive(Debug)]
pub struct Errand {
    pub(crate) trust: Arc<TrustRecord>,
    /// Who asks.
    pub(crate) source: Name,
    /// For whom: each once.
    pub(crate) destinations: Vec<Name>,
    pub(crate) lifetime_seconds: u32,
    /// By which name both KDCs tell their logs of it.
    pub(crate) correlation: Correlation,
}

/// What other zones' KDCs answered to one request.
#[derive(Debug, Default)]
pub struct Fetched {
    outcomes: BTreeMap<Name, Result<Box<Grant>, ProblemType>>,
    correlations: BTreeMap<String, Correlation>,
}

impl Fetched {
    /// Nothing: nobody was asked.
    #[must_use]
    pub const fn nothing() -> Self {
        Self { outcomes: BTreeMap::new(), correlations: BTreeMap::new() }
    }

    pub(super) fn add(&mut self, errand: &Errand, outcomes: Vec<(Name, Result<Box<Grant>, ProblemType>)>) {
        self.outcomes.extend(outcomes);
        self.correlations.insert(errand.trust.zone.to_string(), errand.correlation);
    }

    /// The ticket for a destination, or why there is none.
    ///
    /// # Errors
    /// The other zone's reason; `unavailable` where it was not asked.
    pub fn of(&self, destination: &Name) -> Result<&Grant, ProblemType> {
        match self.outcomes.get(destination) {
            Some(Ok(grant)) => Ok(grant),
            Some(Err(problem)) => Err(*problem),
            None => Err(ProblemType::Unavailable),
        }
    }

    /// By which name that zone was asked.
    #[must_use]
    pub fn correlation(&self, zone: &str) -> Option<Correlation> {
        self.correlations.get(zone).copied()
    }
}
