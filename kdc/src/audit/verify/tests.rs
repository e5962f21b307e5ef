use proptest::prelude::*;

use super::super::fake::{Log, event, key, zone};
use super::super::{AuditKey, SealKind, Trimmed};
use super::*;
use FindingKind as Kind;
use keycell_protocol::UnixMillis;

fn verdict(log: &Log) -> Verdict {
    noted(log, &[])
}

fn noted(log: &Log, noted: &[Link]) -> Verdict {
    let mut verifier = Verifier::new(&zone(), key().public(), log.seals.clone(), noted);
    log.records.iter().for_each(|record| verifier.record(record));
    let verdict = verifier.finish();
    // Whoever learns of the head at the end sees a fault too, if there is one.
    let head = log.seals.head.clone();
    let seals = Seals { head: None, ..log.seals.clone() };
    let mut verifier = Verifier::new(&zone(), key().public(), seals, noted);
    log.records.iter().for_each(|record| verifier.record(record));
    head.into_iter().for_each(|head| verifier.head(head));
    assert_eq!(verifier.finish().is_sound(), verdict.is_sound(), "{verdict:?}");
    verdict
}

fn told(log: &Log) -> Vec<(Kind, u64, u64)> {
    verdict(log).findings.iter().map(|finding| (finding.kind, finding.seq, finding.through)).collect()
}

/// Makes the records from `from` on follow from each other again, as somebody without the key can.
fn rehash(log: &mut Log, from: usize) {
    for place in from..log.records.len() {
        let before =
            place.checked_sub(1).map_or(Link::origin(&zone()).hash, |before| log.records[before].hash);
        log.records[place].hash = log.records[place].hash_after(&before);
    }
}

fn trimmed(log: &mut Log, through: u64) -> Trimmed {
    let mut trimmed = Trimmed::nothing();
    let gone: Vec<Record> = log.records.iter().filter(|record| record.seq <= through).cloned().collect();
    gone.iter().for_each(|record| trimmed.count(record));
    log.records.retain(|record| record.seq > through);
    let summary = serde_json::to_string(&trimmed).unwrap();
    let link = gone.last().unwrap().link();
    log.seals.trims.push(key().seal(SealKind::Trim, link, UnixMillis(1), &summary));
    trimmed
}

/// Changes one field; none of the changes leaves it as it was.
fn edit(record: &mut Record, field: usize) {
    match field {
        0 => record.at = record.at.plus(1),
        1 => record.actor.push('x'),
        2 => record.action.push('x'),
        3 => record.target.push('x'),
        4 => record.outcome.push('x'),
        5 => record.request.push('x'),
        6 => record.address.push('x'),
        7 => record.detail.push('x'),
        _ => record.hash[field % 32] ^= 1,
    }
}

#[test]
fn a_sound_log_has_no_findings() {
    for n in [1, 2, 999, 1000, 1001, 2500] {
        let verdict = verdict(&Log::of(n));
        assert_eq!(verdict.findings, [], "{n}");
        assert_eq!((verdict.summary.records, verdict.summary.last), (n, Some(n)));
        assert_eq!(verdict.summary.checkpoints, n / CHECKPOINT_EVERY);
    }
}

#[test]
fn one_changed_record_is_one_finding() {
    for (place, field) in (0..9).flat_map(|field| [0, 1, 5, 998, 999, 1000, 1199].map(|place| (place, field)))
    {
        let mut log = Log::of(1200);
        edit(&mut log.records[place], field);
        let kind = if field == 8 { Kind::HashChanged } else { Kind::Changed };
        assert_eq!(told(&log), [(kind, place as u64 + 1, place as u64 + 1)], "record {place}, field {field}");
    }
}

#[test]
fn changed_records_are_found_each() {
    let mut log = Log::of(1200);
    for place in [3, 4, 700, 1100] {
        edit(&mut log.records[place], 3);
    }
    let kind = Kind::Changed;
    assert_eq!(told(&log), [(kind, 4, 5), (kind, 701, 701), (kind, 1101, 1101)]);
    let mut log = Log::of(20);
    edit(&mut log.records[9], 3);
    edit(&mut log.records[9], 8);
    assert_eq!(told(&log), [(Kind::Changed, 10, 11)], "content and hash: the next does not follow either");
}

#[test]
fn a_record_changed_with_its_hash_is_found_at_the_next() {
    let mut log = Log::of(20);
    edit(&mut log.records[9], 3);
    let before = log.records[8].hash;
    log.records[9].hash = log.records[9].hash_after(&before);
    assert_eq!(told(&log), [(Kind::Changed, 11, 11)]);
    assert!(verdict(&log).findings[0].text.contains("record 11 was changed, or record 10 was"));
}

#[test]
fn a_rewritten_chain_is_found_between_two_seals() {
    let mut log = Log::of(2500);
    edit(&mut log.records[1500], 3);
    rehash(&mut log, 1500);
    assert_eq!(told(&log), [(Kind::Rewritten, 1001, 2000)], "and not again at the head");
    let mut log = Log::of(2500);
    edit(&mut log.records[2100], 3);
    rehash(&mut log, 2100);
    assert_eq!(told(&log), [(Kind::Rewritten, 2001, 2500)]);

    // Two stretches, each rewritten up to its checkpoint: the old chain goes on after it.
    let whole = Log::of(3500);
    let mut log = whole.clone();
    for place in [500, 1500] {
        edit(&mut log.records[place], 3);
        rehash(&mut log, place);
        let end = (place / 1000 + 1) * 1000;
        log.records[end..].clone_from_slice(&whole.records[end..]);
    }
    assert_eq!(told(&log), [(Kind::Rewritten, 1, 1000), (Kind::Rewritten, 1001, 2000)]);
}

#[test]
fn removed_records_are_named() {
    let mut log = Log::of(1200);
    log.records.drain(4..7);
    assert_eq!(told(&log), [(Kind::Missing, 5, 7)]);
    let mut log = Log::of(1200);
    log.records.remove(0);
    assert_eq!(told(&log), [(Kind::Missing, 1, 1)]);
    let mut log = Log::of(1200);
    log.records.truncate(1190);
    assert_eq!(told(&log), [(Kind::CutOff, 1191, 1200)]);
    assert_eq!(told(&Log { records: Vec::new(), ..Log::of(1200) }), [(Kind::CutOff, 1, 1200)]);
    assert_eq!(told(&Log::empty()), [(Kind::HeadMissing, 0, 0)]);
}

#[test]
fn records_out_of_order_and_twice_are_named() {
    let mut log = Log::of(20);
    log.records.swap(4, 9);
    assert_eq!(told(&log), [(Kind::OutOfOrder, 5, 9)]);
    let mut log = Log::of(20);
    log.records.insert(5, log.records[4].clone());
    assert_eq!(told(&log), [(Kind::Inserted, 5, 5)]);
    let mut log = Log::of(20);
    let mut forged = log.records[4].clone();
    edit(&mut forged, 3);
    log.records.insert(4, forged);
    assert_eq!(told(&log), [(Kind::Inserted, 5, 5)], "the forged one first");
}

#[test]
fn rows_that_change_places_are_named() {
    let mut log = Log::of(20);
    log.records.swap(4, 9);
    (log.records[4].seq, log.records[9].seq) = (5, 10);
    assert_eq!(told(&log), [(Kind::Changed, 5, 6), (Kind::Changed, 10, 11)]);
    // A record is taken out and those after it are renumbered, or one is put in.
    let mut log = Log::of(20);
    log.records.remove(4);
    log.records.iter_mut().skip(4).for_each(|record| record.seq -= 1);
    assert_eq!(told(&log), [(Kind::Changed, 5, 19), (Kind::CutOff, 20, 20)]);
    rehash(&mut log, 4);
    assert_eq!(told(&log), [(Kind::CutOff, 20, 20)]);
}

#[test]
fn what_is_appended_by_hand_is_named() {
    let mut log = Log::of(20);
    let mut link = log.records[19].link();
    for n in 21..=22 {
        log.records.push(link.next(&event(n)));
        link = log.records.last().unwrap().link();
    }
    assert_eq!(told(&log), [(Kind::Appended, 21, 22)]);
}

#[test]
fn a_seal_must_be_there_and_hold() {
    let with = |change: fn(&mut Seals)| {
        let mut log = Log::of(2500);
        change(&mut log.seals);
        told(&log)
    };
    assert_eq!(with(|seals| seals.head = None), [(Kind::HeadMissing, 2500, 2500)]);
    assert_eq!(
        with(|seals| seals.head.iter_mut().for_each(|seal| seal.signature[0] ^= 1)),
        [(Kind::HeadForged, 2500, 2500)]
    );
    assert_eq!(
        with(|seals| seals.head.iter_mut().for_each(|seal| seal.link.seq = 2499)),
        [(Kind::HeadForged, 2499, 2499)]
    );
    assert_eq!(with(|seals| seals.checkpoints[1].signature.clear()), [(Kind::CheckpointForged, 2000, 2000)]);
    assert_eq!(with(|seals| drop(seals.checkpoints.remove(0))), [(Kind::CheckpointMissing, 1000, 1000)]);

    // Sealed for another zone, with the same key or another.
    let other: Zone = "other".parse().unwrap();
    let mut log = Log::of(20);
    let pkcs8 = AuditKey::generate().unwrap();
    let stranger = AuditKey::new(&pkcs8, &zone()).unwrap();
    let elsewhere = AuditKey::new(&pkcs8, &other).unwrap();
    let link = log.records[19].link();
    log.seals.head = Some(stranger.seal(SealKind::Head, link, UnixMillis(1), ""));
    assert_eq!(told(&log), [(Kind::HeadForged, 20, 20)]);
    let head = elsewhere.seal(SealKind::Head, link, UnixMillis(1), "");
    assert!(head.holds(&other, elsewhere.public()) && !head.holds(&zone(), elsewhere.public()));
    // A checkpoint does not pass for a head.
    log.seals.head =
        Some(Seal { kind: SealKind::Head, ..key().seal(SealKind::Checkpoint, link, UnixMillis(1), "") });
    assert_eq!(told(&log), [(Kind::HeadForged, 20, 20)]);
}

#[test]
fn an_older_head_is_found_by_what_is_newer() {
    let old = Log::of(900);
    let new = Log::of(2500);
    // Set back, but a checkpoint was forgotten.
    let mut log = old.clone();
    log.seals.checkpoints = new.seals.checkpoints.clone();
    assert_eq!(told(&log), [(Kind::SetBack, 901, 2000)]);
    // Set back altogether: only who noted something down knows.
    assert_eq!(told(&old), []);
    let verdict = noted(&old, &[new.records[1200].link()]);
    assert_eq!(verdict.findings[0].kind, Kind::SetBack);
    assert_eq!((verdict.findings[0].seq, verdict.findings[0].through), (901, 1201));
    // Set back and continued in another way.
    let mut log = old;
    let mut link = log.records[899].link();
    for n in 2000..2050 {
        log.records.push(link.next(&event(n)));
        link = log.records.last().unwrap().link();
    }
    log.seals.head = Some(key().seal(SealKind::Head, link, UnixMillis(1), ""));
    assert_eq!(told(&log), []);
    let verdict = noted(&log, &[new.records[930].link(), new.records[800].link()]);
    assert_eq!(
        verdict.findings.iter().map(|finding| (finding.kind, finding.seq)).collect::<Vec<_>>(),
        [(Kind::NotTheNoted, 931)]
    );
}

#[test]
fn trims_join() {
    let mut log = Log::of(2500);
    let first = log.records[699].link();
    assert_eq!(trimmed(&mut log, 700).records, 700);
    assert_eq!(trimmed(&mut log, 1300).from, 701);
    let fine = verdict(&log);
    assert_eq!(fine.findings, []);
    assert_eq!((fine.summary.trims, fine.summary.trimmed_through, fine.summary.first), (2, 1300, Some(1301)));

    let with = |change: fn(&mut Log)| {
        let mut log = log.clone();
        change(&mut log);
        told(&log)
    };
    assert_eq!(with(|log| drop(log.seals.trims.remove(0))), [(Kind::TrimMissing, 1, 700)]);
    assert_eq!(with(|log| drop(log.seals.trims.pop())), [(Kind::Missing, 701, 1300)]);
    assert_eq!(with(|log| log.seals.trims[0].summary.push(' ')), [(Kind::TrimForged, 700, 700)]);
    assert_eq!(with(|log| log.seals.trims[1].summary.push(' ')), [(Kind::TrimForged, 1300, 1300)]);
    assert_eq!(with(|log| drop(log.records.remove(0))), [(Kind::Missing, 1301, 1301)]);
    assert_eq!(with(|log| edit(&mut log.records[0], 2)), [(Kind::Changed, 1301, 1301)]);
    assert_eq!(
        with(|log| log.records.insert(0, Log::of(1300).records[1299].clone())),
        [(Kind::Inserted, 1300, 1300)]
    );
    let back = |log: &mut Log| {
        log.records.clear();
        log.seals.head = Log::of(1300).seals.head;
    };
    assert_eq!(with(back), [(Kind::SetBack, 1300, 1300), (Kind::SetBack, 1301, 2000)]);

    let kinds = |link| noted(&log, &[link]).findings.iter().map(|finding| finding.kind).collect::<Vec<_>>();
    assert_eq!(kinds(first), [Kind::NotedTrimmed]);
    assert_eq!(kinds(log.seals.trims[1].link), []);
    assert_eq!(kinds(Link { hash: [0; 32], ..log.seals.trims[1].link }), [Kind::NotTheNoted]);
    assert_eq!(kinds(log.records[10].link()), []);
}

#[test]
fn findings_are_bounded() {
    let mut log = Log::of(5000);
    log.records.iter_mut().step_by(2).for_each(|record| record.seq = 0);
    let verdict = verdict(&log);
    assert_eq!(verdict.findings.len(), Verdict::MAX_FINDINGS);
    assert!(verdict.more > 1000);
}

#[derive(Debug, Clone)]
enum Tampering {
    Edit(usize, usize),
    Seq(usize, u64),
    Remove(usize),
    SwapLines(usize, usize),
    SwapRows(usize, usize),
    Insert(usize, usize),
    InsertAndRenumber(usize),
    Truncate(usize),
}

const RECORDS: usize = 60;

fn tampering() -> impl Strategy<Value = Tampering> {
    let place = || 0..RECORDS;
    prop_oneof![
        (place(), 0..40_usize).prop_map(|(place, field)| Tampering::Edit(place, field)),
        (place(), 0..200_u64).prop_map(|(place, seq)| Tampering::Seq(place, seq)),
        place().prop_map(Tampering::Remove),
        (place(), place()).prop_map(|(a, b)| Tampering::SwapLines(a, b)),
        (place(), place()).prop_map(|(a, b)| Tampering::SwapRows(a, b)),
        (place(), place()).prop_map(|(a, b)| Tampering::Insert(a, b)),
        place().prop_map(Tampering::InsertAndRenumber),
        place().prop_map(Tampering::Truncate),
    ]
}

/// Does it, and tells the numbers of which at least one must be named; none if nothing was changed.
fn tamper(log: &mut Log, tampering: &Tampering) -> Vec<u64> {
    match *tampering {
        Tampering::Edit(place, field) => {
            edit(&mut log.records[place], field);
            vec![place as u64 + 1]
        }
        Tampering::Seq(place, seq) => {
            let old = std::mem::replace(&mut log.records[place].seq, seq);
            if old == seq { Vec::new() } else { vec![old] }
        }
        Tampering::Remove(place) => vec![log.records.remove(place).seq],
        Tampering::SwapLines(a, b) => {
            log.records.swap(a, b);
            if a == b { Vec::new() } else { vec![a.min(b) as u64 + 1] }
        }
        Tampering::SwapRows(a, b) => {
            log.records.swap(a, b);
            (log.records[a].seq, log.records[b].seq) = (a as u64 + 1, b as u64 + 1);
            if a == b { Vec::new() } else { vec![a as u64 + 1] }
        }
        Tampering::Insert(from, to) => {
            let copy = log.records[from].clone();
            log.records.insert(to, copy);
            vec![from as u64 + 1]
        }
        Tampering::InsertAndRenumber(place) => {
            log.records.insert(place, log.records[place].clone());
            log.records.iter_mut().skip(place + 1).for_each(|record| record.seq += 1);
            // The copy has the number and the content of the one before.
            vec![place as u64 + 1, place as u64 + 2]
        }
        Tampering::Truncate(place) => {
            log.records.truncate(place);
            vec![place as u64 + 1]
        }
    }
}

proptest! {
    #[test]
    fn whatever_is_done_to_a_log_is_named(tampering in tampering(), trim in prop::option::of(1..RECORDS as u64)) {
        let mut log = Log::of(RECORDS as u64 + trim.unwrap_or(0));
        if let Some(through) = trim {
            trimmed(&mut log, through);
        }
        let shift = trim.unwrap_or(0);
        if shift > 0 {
            // The same things, in a log that begins later.
            let mut places = log.records.clone();
            places.iter_mut().enumerate().for_each(|(place, record)| record.seq = place as u64 + 1);
            let mut plain = Log { records: places, seals: Seals::default() };
            let named = tamper(&mut plain, &tampering);
            plain.records.iter_mut().for_each(|record| record.seq += shift);
            log.records = plain.records;
            prop_assert!(names(&verdict(&log), &named, shift), "{named:?}: {:?}", verdict(&log).findings);
        } else {
            let named = tamper(&mut log, &tampering);
            prop_assert!(names(&verdict(&log), &named, 0), "{named:?}: {:?}", verdict(&log).findings);
        }
    }
}

fn names(verdict: &Verdict, named: &[u64], shift: u64) -> bool {
    let found = |seq: &u64| {
        let seq = seq + shift;
        verdict.findings.iter().any(|finding| finding.seq <= seq && seq <= finding.through)
    };
    if named.is_empty() { verdict.is_sound() } else { named.iter().any(found) }
}
