//! What can be wrong with records in a row, and how it is told.

use crate::audit::FindingKind;
use crate::audit::finding::records;

/// Records in a row whose hashes do not follow.
#[derive(Debug)]
pub(super) struct Damage {
    pub(super) from: u64,
    pub(super) through: u64,
    pub(super) hash_only: bool,
    pub(super) twice: bool,
}

impl Damage {
    pub(super) const fn at(seq: u64) -> Self {
        Self { from: seq, through: seq, hash_only: false, twice: false }
    }

    pub(super) fn told(&self) -> (FindingKind, String) {
        let Self { from, through, .. } = *self;
        if self.twice {
            return (FindingKind::Inserted, twice(from));
        }
        if from != through {
            let text = format!(
                "{} were changed, swapped or put in: their hashes do not follow from what is there. Compare them with a backup or an earlier export",
                records(from, through)
            );
            return (FindingKind::Changed, text);
        }
        if self.hash_only {
            let text = format!(
                "the hash of record {from} was changed; its content is as it was. Restore it from a backup"
            );
            return (FindingKind::HashChanged, text);
        }
        let before = from.saturating_sub(1);
        let text = format!(
            "record {from} was changed, or record {before} was together with its hash: its hash does not follow from what is there. Compare it with a backup or an earlier export"
        );
        (FindingKind::Changed, text)
    }
}

/// Numbers that were passed over.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) from: u64,
    pub(super) through: u64,
    /// How many of them came later.
    pub(super) found: u64,
}

impl Gap {
    pub(super) fn told(&self) -> (FindingKind, String) {
        let Self { from, through, found } = *self;
        let next = through.saturating_add(1);
        let all = records(from, through);
        if found == 0 {
            let text = format!(
                "{all} missing: somebody removed them, and retention did not. Take them from a backup or an earlier export; record {next} cannot be checked without"
            );
            return (FindingKind::Missing, text);
        }
        let text = format!(
            "{all} out of order: {found} of these numbers come after record {next}, and were not checked. Put the lines in the order of their numbers and verify again"
        );
        (FindingKind::OutOfOrder, text)
    }
}

pub(super) fn twice(seq: u64) -> String {
    format!(
        "more than one record has the number {seq}: somebody put one in. Compare them with a backup or an earlier export"
    )
}
