//! What the seals of a log say of it, before its first record is looked at.

use std::collections::BTreeSet;
use std::fmt;

use keycell_protocol::Zone;

use super::finding::{Findings, records};
use super::{FindingKind, Link, Seal, Trimmed};

/// The seals of a log.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seals {
    /// Of its last record.
    pub head: Option<Seal>,
    /// The checkpoints.
    pub checkpoints: Vec<Seal>,
    /// What retention removed.
    pub trims: Vec<Seal>,
}

/// Where a log begins.
#[derive(Debug)]
pub(super) struct Start {
    /// What is before its first record.
    pub(super) link: Link,
    /// Where it would begin if forged trim seals were to be believed.
    pub(super) unsure: BTreeSet<u64>,
    /// How many trims hold.
    pub(super) trims: u64,
}

impl Start {
    /// Goes through the trims: each must be signed, and they must leave nothing out between them.
    pub(super) fn of(zone: &Zone, public: &[u8], mut trims: Vec<Seal>, findings: &mut Findings) -> Self {
        trims.sort_by_key(|seal| seal.link.seq);
        let mut start = Self { link: Link::origin(zone), unsure: BTreeSet::new(), trims: 0 };
        for seal in trims {
            let Link { seq, .. } = seal.link;
            if !seal.holds(zone, public) {
                start.unsure.insert(seq);
                let text = format!(
                    "the trim seal at record {seq} was not signed with this zone's audit key: nothing proves that retention removed what was there. Restore the seal or the records from a backup"
                );
                findings.add(FindingKind::TrimForged, seq, seq, text);
                continue;
            }
            let next = start.link.seq.saturating_add(1);
            // Two KDCs may trim at the same time: ranges may overlap, but leave nothing out.
            let from = Trimmed::of(&seal).map_or(next, |trimmed| trimmed.from);
            if from > next && !start.unsure.contains(&from.saturating_sub(1)) {
                let text = format!(
                    "nothing says how {} went: the trim seal at record {} is missing. Restore it from a backup",
                    records(next, from.saturating_sub(1)),
                    from.saturating_sub(1)
                );
                findings.add(FindingKind::TrimMissing, next, from.saturating_sub(1), text);
            }
            start.link = seal.link;
            start.trims = start.trims.saturating_add(1);
        }
        start
    }

    /// Whether an anchor's record is still to come. What an auditor noted down and retention removed cannot be compared,
    /// unless a trim ended just there.
    pub(super) fn covers(&self, anchor: &Anchor, findings: &mut Findings) -> bool {
        let seq = anchor.link.seq;
        if seq > self.link.seq {
            return true;
        }
        if anchor.witness == Witness::Noted && anchor.link != self.link {
            if seq == self.link.seq {
                let text = format!(
                    "record {seq}, which retention removed, was not the one that was noted down: the log was rewritten before. Compare it with a backup from before"
                );
                findings.add(FindingKind::NotTheNoted, seq, seq, text);
            } else {
                let text = format!(
                    "record {seq} was noted down, but retention removed it: it cannot be compared any more. Note down a newer one with `keycell audit seal`"
                );
                findings.add(FindingKind::NotedTrimmed, seq, seq, text);
            }
        }
        false
    }
}

/// What a record must be, and who says so.
#[derive(Debug)]
pub(super) struct Anchor {
    pub(super) link: Link,
    pub(super) witness: Witness,
}

impl Anchor {
    /// The checkpoints; each must be signed.
    pub(super) fn checkpoints(
        zone: &Zone,
        public: &[u8],
        seals: Vec<Seal>,
        findings: &mut Findings,
    ) -> Vec<Self> {
        let anchor = |seal: Seal| {
            let seq = seal.link.seq;
            if seal.holds(zone, public) {
                return Self { link: seal.link, witness: Witness::Checkpoint };
            }
            let text = format!(
                "the checkpoint at record {seq} was not signed with this zone's audit key: somebody else wrote it. Restore it from a backup"
            );
            findings.add(FindingKind::CheckpointForged, seq, seq, text);
            Self { link: seal.link, witness: Witness::Forged }
        };
        seals.into_iter().map(anchor).collect()
    }
}

/// Who says what a record is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Witness {
    Head,
    Checkpoint,
    /// A checkpoint that does not hold, and was told of.
    Forged,
    /// An auditor.
    Noted,
}

impl fmt::Display for Witness {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Head => "the head seal",
            Self::Checkpoint | Self::Forged => "a checkpoint",
            Self::Noted => "what was noted down",
        })
    }
}
