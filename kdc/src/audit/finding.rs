//! What a look through the log says: what is wrong with it, and what was looked at.

use serde::Serialize;

/// The result of a look through the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verdict {
    /// What is wrong, in the order of the records; empty for a sound log. At most [`Verdict::MAX_FINDINGS`].
    pub findings: Vec<Finding>,
    /// How many more findings there were.
    pub more: u64,
    /// What was looked at.
    pub summary: Summary,
}

impl Verdict {
    /// So many findings are told; a log with more of them is not read line by line.
    pub const MAX_FINDINGS: usize = 1000;

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.findings.is_empty()
    }
}

/// Something that is wrong with the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The record, or the first of several.
    pub seq: u64,
    /// The last of them: the same for a single one.
    pub through: u64,
    /// What it is.
    pub kind: FindingKind,
    /// The same in a sentence, and what to do.
    pub text: String,
}

/// What can be wrong with a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum FindingKind {
    /// The hash of a record does not follow from its content and the record before.
    Changed,
    /// Only the hash of a record was changed.
    HashChanged,
    /// Records are not there.
    Missing,
    /// Records are there, but after a later one. Only in a file.
    OutOfOrder,
    /// A record has a number that another has, or one that retention removed.
    Inserted,
    /// The records follow from each other, but a seal says that they were others.
    Rewritten,
    /// Records at the end that no head seal covers.
    Appended,
    /// Records at the end are not there.
    CutOff,
    /// Seals or an auditor's note tell of records after the head.
    SetBack,
    /// There is no head seal.
    HeadMissing,
    /// The head seal was not signed with the zone's key for this zone.
    HeadForged,
    /// A checkpoint is not there.
    CheckpointMissing,
    /// A checkpoint was not signed with the zone's key for this zone.
    CheckpointForged,
    /// Nothing tells where retention left off.
    TrimMissing,
    /// A trim seal was not signed with the zone's key for this zone.
    TrimForged,
    /// A record is not the one that an auditor noted down.
    NotTheNoted,
    /// What an auditor noted down was removed by retention, and cannot be compared.
    NotedTrimmed,
}

/// What was looked at.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// The zone.
    pub zone: String,
    /// The public key that the seals were held against, in hexadecimal.
    pub public_key: String,
    /// How many records.
    pub records: u64,
    /// The number of the first.
    pub first: Option<u64>,
    /// The number of the last.
    pub last: Option<u64>,
    /// How many checkpoints were compared with their records.
    pub checkpoints: u64,
    /// How many trims were made and hold.
    pub trims: u64,
    /// The last record that retention removed; 0 when it removed none.
    pub trimmed_through: u64,
    /// The head as `SEQ:HASH`, when its seal holds.
    pub head: Option<String>,
}

/// Findings as they come, up to the most that are told.
#[derive(Debug, Default)]
pub(super) struct Findings {
    told: Vec<Finding>,
    more: u64,
}

impl Findings {
    pub(super) fn add(&mut self, kind: FindingKind, seq: u64, through: u64, text: String) {
        if self.told.len() < Verdict::MAX_FINDINGS {
            self.told.push(Finding { seq, through, kind, text });
        } else {
            self.more = self.more.saturating_add(1);
        }
    }

    /// Forgets what was said of records after `seq`.
    pub(super) fn forget_after(&mut self, seq: u64) {
        self.told.retain(|finding| finding.seq <= seq);
    }

    pub(super) fn verdict(mut self, summary: Summary) -> Verdict {
        self.told.sort_by_key(|finding| finding.seq);
        Verdict { findings: self.told, more: self.more, summary }
    }
}

/// `record 7` or `records 7 to 9`.
pub(super) fn records(from: u64, through: u64) -> String {
    if from == through { format!("record {from}") } else { format!("records {from} to {through}") }
}
