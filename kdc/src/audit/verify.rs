//! Looks through a log, record by record: is it all there, in its order, as it was written?

mod flaw;

use keycell_protocol::Zone;

use self::flaw::{Damage, Gap, twice};
use super::finding::{Findings, Summary, records};
use super::seals::{Anchor, Seals, Start, Witness};
use super::{FindingKind, Hash, Link, Record, Seal, Verdict, hex};
use crate::store::CHECKPOINT_EVERY;

/// Looks through the log of a zone. It is fed the records in order, keeps none, and goes on after a damaged one: what is
/// stored there is taken as the truth, so that one damaged record is one finding.
#[derive(Debug)]
pub struct Verifier {
    zone: Zone,
    public: Vec<u8>,
    start: Start,
    head: Option<Seal>,
    /// Whether the head was known before the first record, and holds.
    end: Option<Link>,
    anchors: std::iter::Peekable<std::vec::IntoIter<Anchor>>,
    /// The record before the next.
    place: Place,
    damage: Option<Damage>,
    gaps: Vec<Gap>,
    /// Records that retention removed, and that are there.
    stale: Option<(u64, u64)>,
    /// Records after the head.
    beyond: Option<(u64, u64)>,
    /// The last record that a seal confirmed.
    confirmed: u64,
    /// Whether the chain left the one that the seals tell of, which was said already.
    rewritten: bool,
    /// The first checkpoint that is missing, and how many are.
    unchecked: Option<(u64, u64)>,
    findings: Findings,
    summary: Summary,
}

impl Verifier {
    /// Begins with the seals of the log of `zone`, which must be signed with the key whose public half is `public`. The
    /// records that an auditor `noted` down must be on the chain too.
    #[must_use]
    pub fn new(zone: &Zone, public: &[u8], seals: Seals, noted: &[Link]) -> Self {
        let mut findings = Findings::default();
        let start = Start::of(zone, public, seals.trims, &mut findings);
        let end = seals.head.as_ref().filter(|head| head.holds(zone, public)).map(|head| head.link);
        let mut anchors = Anchor::checkpoints(zone, public, seals.checkpoints, &mut findings);
        anchors.extend(end.map(|link| Anchor { link, witness: Witness::Head }));
        anchors.extend(noted.iter().map(|link| Anchor { link: *link, witness: Witness::Noted }));
        anchors.retain(|anchor| start.covers(anchor, &mut findings));
        anchors.sort_by_key(|anchor| anchor.link.seq);
        Self {
            summary: Summary {
                zone: zone.to_string(),
                public_key: hex::encode(public),
                trims: start.trims,
                trimmed_through: start.link.seq,
                head: end.map(|link| link.to_string()),
                ..Summary::default()
            },
            zone: zone.clone(),
            public: public.to_vec(),
            place: Place { seq: start.link.seq, hashes: vec![(start.link.hash, Source::Stored)] },
            confirmed: start.link.seq,
            start,
            head: seals.head,
            end,
            anchors: anchors.into_iter().peekable(),
            damage: None,
            gaps: Vec::new(),
            stale: None,
            beyond: None,
            rewritten: false,
            unchecked: None,
            findings,
        }
    }

    /// The head, for who learns of it after the records.
    pub fn head(&mut self, head: Seal) {
        self.head = Some(head);
    }

    /// The next record, in the order of their numbers.
    pub fn record(&mut self, record: &Record) {
        let seq = record.seq;
        self.summary.records = self.summary.records.saturating_add(1);
        self.summary.first = self.summary.first.or(Some(seq));
        self.summary.last = self.summary.last.max(Some(seq));
        if self.end.is_some_and(|end| seq > end.seq) {
            extend(&mut self.beyond, seq);
        } else if seq <= self.start.link.seq {
            extend(&mut self.stale, seq);
        } else if seq <= self.place.seq {
            self.back(record);
        } else {
            self.forward(record);
            self.compare(seq);
        }
    }

    /// The result, of a log that was fed to its end.
    #[must_use]
    pub fn finish(mut self) -> Verdict {
        self.late_head();
        self.settle();
        let last = self.place.seq;
        match &self.head {
            None => self.findings.add(
                FindingKind::HeadMissing,
                last,
                last,
                format!("nothing says that record {last} is the last one: the head seal is missing. Restore it from a backup"),
            ),
            Some(head) if self.end.is_none() => self.findings.add(
                FindingKind::HeadForged,
                head.link.seq,
                head.link.seq,
                format!(
                    "the head seal at record {} was not signed with this zone's audit key: somebody else wrote it. Restore a backup",
                    head.link.seq
                ),
            ),
            Some(head) if head.link.seq > last => self.findings.add(
                FindingKind::CutOff,
                last.saturating_add(1),
                head.link.seq,
                format!(
                    "{} at the end of the log are missing: the head seal tells of them. Take them from a backup or an earlier export",
                    records(last.saturating_add(1), head.link.seq)
                ),
            ),
            Some(_) => {}
        }
        self.beyond_the_end(last);
        self.findings.verdict(self.summary)
    }

    /// The result, of a log that was not fed to its end.
    #[must_use]
    pub fn so_far(mut self) -> Verdict {
        self.settle();
        self.findings.verdict(self.summary)
    }

    /// Takes a record whose number is greater than the last one's.
    fn forward(&mut self, record: &Record) {
        let seq = record.seq;
        let expected = self.place.seq.saturating_add(1);
        if seq > expected {
            self.end_damage();
            if !self.start.unsure.contains(&seq.saturating_sub(1)) || self.place.seq != self.start.link.seq {
                self.gaps.push(Gap { from: expected, through: seq.saturating_sub(1), found: 0 });
            }
            self.place = Place { seq, hashes: vec![(record.hash, Source::Stored)] };
            return;
        }
        let follows = self.place.hashes.iter().find(|(hash, _)| record.hash_after(hash) == record.hash);
        let mut hashes = vec![(record.hash, Source::Stored)];
        if let Some((_, source)) = follows {
            match (source, &mut self.damage) {
                (Source::Computed, Some(damage)) => damage.hash_only = true,
                // The old chain goes on here.
                (Source::Sealed, _) => (self.rewritten, self.confirmed) = (false, self.place.seq),
                _ => {}
            }
            self.end_damage();
        } else {
            match &mut self.damage {
                Some(damage) => damage.through = seq,
                None => self.damage = Some(Damage::at(seq)),
            }
            hashes.extend(
                self.place.hashes.first().map(|(hash, _)| (record.hash_after(hash), Source::Computed)),
            );
        }
        self.place = Place { seq, hashes };
    }

    /// Takes a record whose number was passed already.
    fn back(&mut self, record: &Record) {
        let seq = record.seq;
        if let Some(gap) = self.gaps.iter_mut().rev().find(|gap| gap.from <= seq && seq <= gap.through) {
            gap.found = gap.found.saturating_add(1);
            return;
        }
        if seq == self.place.seq {
            // The next record tells which of the two is the one; this must not grow with their number.
            if self.place.hashes.len() < MAX_CANDIDATES {
                self.place.hashes.push((record.hash, Source::Stored));
            }
            if let Some(damage) = self.damage.as_mut().filter(|damage| damage.from == seq) {
                damage.twice = true;
                return;
            }
        }
        self.findings.add(FindingKind::Inserted, seq, seq, twice(seq));
    }

    /// Compares the record at `seq`, which was just taken, with what the seals say of it.
    fn compare(&mut self, seq: u64) {
        let mut checkpoint = false;
        while let Some(anchor) = self.anchors.next_if(|anchor| anchor.link.seq <= seq) {
            if anchor.link.seq == seq {
                checkpoint |= matches!(anchor.witness, Witness::Checkpoint | Witness::Forged);
                self.compare_with(&anchor);
            }
        }
        if !checkpoint && seq.is_multiple_of(CHECKPOINT_EVERY) {
            let (_, count) = self.unchecked.get_or_insert((seq, 0));
            *count = count.saturating_add(1);
        }
    }

    fn compare_with(&mut self, anchor: &Anchor) {
        let Link { seq, hash } = anchor.link;
        if anchor.witness == Witness::Forged {
            return;
        }
        if anchor.witness == Witness::Checkpoint {
            self.summary.checkpoints = self.summary.checkpoints.saturating_add(1);
        }
        let found = self.place.hashes.iter().find(|(candidate, _)| *candidate == hash);
        if let Some((_, source)) = found {
            if let (Source::Computed, Some(damage)) = (source, &mut self.damage) {
                damage.hash_only = true;
            }
            (self.rewritten, self.confirmed) = (false, seq);
            return;
        }
        self.place.hashes.push((hash, Source::Sealed));
        if anchor.witness == Witness::Noted {
            let text = format!(
                "record {seq} is not the one that was noted down: the log was rewritten, or set back to an older state and continued. Compare it with a backup from before"
            );
            self.findings.add(FindingKind::NotTheNoted, seq, seq, text);
        } else if self.damage.is_none() && !self.rewritten {
            let from = self.confirmed.saturating_add(1);
            let text = format!(
                "between {from} and {seq}, records were rewritten: they follow from each other, but not up to the seal of record {seq}. Compare {} with a backup or an earlier export",
                records(from, seq)
            );
            self.findings.add(FindingKind::Rewritten, from, seq, text);
            self.rewritten = true;
        }
    }

    /// Takes in a head that was learnt of after the records.
    fn late_head(&mut self) {
        let holds = |head: &&Seal| head.holds(&self.zone, &self.public);
        let (None, Some(link)) = (self.end, self.head.as_ref().filter(holds).map(|head| head.link)) else {
            return;
        };
        self.end = Some(link);
        self.summary.head = Some(link.to_string());
        if link.seq == self.place.seq {
            self.compare_with(&Anchor { link, witness: Witness::Head });
        } else if link.seq < self.place.seq {
            self.end_damage();
            self.gaps.retain(|gap| gap.from <= link.seq);
            self.findings.forget_after(link.seq);
            self.beyond = Some((link.seq.saturating_add(1), self.place.seq));
            self.place.seq = link.seq;
        }
    }

    fn end_damage(&mut self) {
        if let Some(damage) = self.damage.take() {
            let (kind, text) = damage.told();
            self.findings.add(kind, damage.from, damage.through, text);
        }
    }

    /// Says what could only be said once no more records come.
    fn settle(&mut self) {
        self.end_damage();
        for gap in std::mem::take(&mut self.gaps) {
            let (kind, text) = gap.told();
            self.findings.add(kind, gap.from, gap.through, text);
        }
        if let Some((from, through)) = self.stale {
            let text = format!(
                "{} should not be there: a trim seal says that retention removed them. Somebody put them back; remove them",
                records(from, through)
            );
            self.findings.add(FindingKind::Inserted, from, through, text);
        }
        if let Some((first, count)) = self.unchecked {
            let text = format!(
                "{count} checkpoints are missing, the first at record {first}: somebody removed them. Restore them from a backup; the head seal still covers the records"
            );
            self.findings.add(FindingKind::CheckpointMissing, first, first, text);
        }
    }

    /// Says what there is after the end, `last`.
    fn beyond_the_end(&mut self, last: u64) {
        if let Some((from, through)) = self.beyond {
            let text = format!(
                "{} come after the head seal: Keycell did not write them. Find out who can write to the database, and remove them",
                records(from, through)
            );
            self.findings.add(FindingKind::Appended, from, through, text);
        }
        let trimmed = self.start.link.seq;
        if let Some(end) = self.end.filter(|end| self.start.trims > 0 && end.seq <= trimmed) {
            let text = format!(
                "the head seal is at record {}, but retention removed the records up to {trimmed}: the log was set back to an older state. Restore a newer backup",
                end.seq
            );
            self.findings.add(FindingKind::SetBack, end.seq, trimmed, text);
        }
        let end = self.end.map_or(last, |end| end.seq);
        let ahead = |anchor: &Anchor| anchor.link.seq > end && anchor.witness != Witness::Forged;
        if let Some(furthest) = self.anchors.by_ref().filter(ahead).last() {
            let from = end.saturating_add(1);
            let seq = furthest.link.seq;
            let text = format!(
                "the log ends at record {end}, but {} says that it reached record {seq}: it was set back to an older state. Restore a newer backup",
                furthest.witness
            );
            self.findings.add(FindingKind::SetBack, from, seq, text);
        }
    }
}

/// Where the log is, and the hashes that the record there may have: the next one tells which.
#[derive(Debug)]
struct Place {
    seq: u64,
    hashes: Vec<(Hash, Source)>,
}

/// Where a hash is from.
#[derive(Debug, Clone, Copy)]
enum Source {
    /// The record says so.
    Stored,
    /// Its content says so.
    Computed,
    /// A seal says so.
    Sealed,
}

fn extend(range: &mut Option<(u64, u64)>, seq: u64) {
    *range = Some(range.map_or((seq, seq), |(from, through)| (from.min(seq), through.max(seq))));
}

/// So many hashes of one record are tried at the next: stored, computed, sealed, and those of a second and third of the number.
const MAX_CANDIDATES: usize = 8;

#[cfg(test)]
mod tests;
