//! What the simulation counts.

use std::collections::BTreeMap;

use keycell_client::UnixMillis;

/// How often something happened in each second of the simulation.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tally(BTreeMap<u64, u64>);

impl Tally {
    pub(crate) fn count(&mut self, now: UnixMillis) {
        *self.0.entry(now.seconds().0).or_default() += 1;
    }

    pub(crate) fn add(&mut self, other: &Self) {
        for (second, count) in &other.0 {
            *self.0.entry(*second).or_default() += count;
        }
    }

    pub(crate) fn total(&self) -> u64 {
        self.0.values().sum()
    }

    /// The most in one second.
    pub(crate) fn peak(&self) -> u64 {
        self.0.values().copied().max().unwrap_or(0)
    }

    /// The second of the first and of the last.
    pub(crate) fn span(&self) -> Option<(u64, u64)> {
        Some((*self.0.keys().next()?, *self.0.keys().next_back()?))
    }

    /// In a second, from the first to the last.
    pub(crate) fn mean(&self) -> f64 {
        let seconds = self.span().map_or(1, |(first, last)| last - first + 1);
        self.total() as f64 / seconds as f64
    }

    /// By when that part of all had happened, of 1.
    pub(crate) fn by(&self, part: f64) -> Option<u64> {
        let mut so_far = 0;
        let enough = (self.total() as f64 * part).ceil() as u64;
        self.0.iter().find_map(|(second, count)| {
            so_far += count;
            (so_far >= enough).then_some(*second)
        })
    }
}

/// What happened to hosts.
#[derive(Debug, Clone, Default)]
pub(crate) struct Events {
    /// Answers by which a host was enrolled.
    pub(crate) enrolled: Tally,
    /// Requests to enroll, of all kinds.
    pub(crate) asked_to_enroll: Tally,
    /// Requests for tickets that were refused, for the KDC has no such key.
    pub(crate) unauthenticated: Tally,
    /// Requests for tickets that were answered.
    pub(crate) tickets: Tally,
    /// Requests that found no KDC.
    pub(crate) unanswered: Tally,
    /// Other problems, by type.
    pub(crate) problems: BTreeMap<String, u64>,
}

impl Events {
    pub(crate) fn add(&mut self, other: &Self) {
        let Self { enrolled, asked_to_enroll, unauthenticated, tickets, unanswered, problems } = other;
        self.enrolled.add(enrolled);
        self.asked_to_enroll.add(asked_to_enroll);
        self.unauthenticated.add(unauthenticated);
        self.tickets.add(tickets);
        self.unanswered.add(unanswered);
        for (kind, count) in problems {
            *self.problems.entry(kind.clone()).or_default() += count;
        }
    }
}
