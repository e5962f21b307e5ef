//! What retention removed: the summary in a trim seal.

use std::collections::BTreeMap;

use keycell_protocol::UnixMillis;
use serde::{Deserialize, Serialize};

use super::{Record, Seal};

/// What one trim removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trimmed {
    /// The first record that went.
    pub from: u64,
    /// The last.
    pub through: u64,
    /// How many went.
    pub records: u64,
    /// The earliest time among them.
    pub first_at: UnixMillis,
    /// The latest.
    pub last_at: UnixMillis,
    /// How many of each action.
    pub actions: BTreeMap<String, u64>,
    /// How many things were wrong with them when they went.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub findings: u64,
}

impl Trimmed {
    /// The summary in a trim seal.
    #[must_use]
    pub fn of(seal: &Seal) -> Option<Self> {
        serde_json::from_str(&seal.summary).ok()
    }

    /// Nothing, before the first record is counted.
    pub(super) const fn nothing() -> Self {
        Self {
            from: 0,
            through: 0,
            records: 0,
            first_at: UnixMillis(0),
            last_at: UnixMillis(0),
            actions: BTreeMap::new(),
            findings: 0,
        }
    }

    /// Takes what went after this to it.
    pub(super) fn join(&mut self, more: Self) {
        self.through = more.through;
        self.records = self.records.saturating_add(more.records);
        self.first_at = self.first_at.min(more.first_at);
        self.last_at = self.last_at.max(more.last_at);
        self.findings = self.findings.saturating_add(more.findings);
        for (action, count) in more.actions {
            let sum = self.actions.entry(action).or_default();
            *sum = sum.saturating_add(count);
        }
    }

    /// Takes one more record to those that went.
    pub(super) fn count(&mut self, record: &Record) {
        if self.records == 0 {
            (self.from, self.first_at, self.last_at) = (record.seq, record.at, record.at);
        }
        self.through = record.seq;
        self.records = self.records.saturating_add(1);
        self.first_at = self.first_at.min(record.at);
        self.last_at = self.last_at.max(record.at);
        let known = self.actions.len() < MAX_ACTIONS || self.actions.contains_key(&record.action);
        let action = if known { record.action.as_str() } else { "other" };
        let count = self.actions.entry(action.to_owned()).or_default();
        *count = count.saturating_add(1);
    }
}

const fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// Keycell has fewer actions; a damaged log may name any number.
const MAX_ACTIONS: usize = 256;
