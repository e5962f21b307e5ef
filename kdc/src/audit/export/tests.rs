use proptest::prelude::*;

use super::super::FindingKind;
use super::super::fake::{Log, key, zone};
use super::*;

fn file(log: &Log) -> Vec<u8> {
    let mut file = header(&zone(), key().public());
    log.seals.trims.iter().chain(&log.seals.checkpoints).for_each(|one| file.extend(seal(one)));
    log.records.iter().for_each(|one| file.extend(record(one)));
    log.seals.head.iter().for_each(|head| file.extend(seal(head)));
    file
}

fn kinds(file: &[u8], pinned: Option<&PublicKey>) -> Vec<FindingKind> {
    let exported = verify_export(file, pinned, &[]).unwrap();
    exported.verdict.findings.iter().map(|finding| finding.kind).collect()
}

fn line_of(file: &[u8]) -> (u64, String) {
    match verify_export(file, None, &[]) {
        Err(ExportError::Line { line, reason }) => (line, reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_form_of_each_line() {
    let text = String::from_utf8(file(&Log::of(1))).unwrap();
    let lines: Vec<_> = text.lines().collect();
    let public = hex::encode(key().public());
    assert_eq!(
        lines[0],
        format!(r#"{{"format":"keycell audit log 1","zone":"example","public_key":"{public}"}}"#)
    );
    let hash = hex::encode(&Log::of(1).records[0].hash);
    assert_eq!(
        lines[1],
        format!(
            r#"{{"seq":1,"at":1000,"actor":"console:root","action":"party.create","target":"p1@example","outcome":"done","request":"r1","address":"192.0.2.1","detail":"{{\"n\":1}}","hash":"{hash}"}}"#
        )
    );
    assert!(lines[2].starts_with(&format!(
        r#"{{"seal":"head","seq":1,"hash":"{hash}","at":1000,"summary":"","signature":""#
    )));
    assert_eq!(lines.len(), 3);
}

#[test]
fn a_sound_file_is_sound_and_says_whose_key_was_believed() {
    let log = Log::of(2100);
    let exported = verify_export(file(&log).as_slice(), None, &[log.records[7].link()]).unwrap();
    assert_eq!(exported.verdict.findings, []);
    assert_eq!((exported.verdict.summary.records, exported.verdict.summary.checkpoints), (2100, 2));
    assert_eq!((exported.zone.clone(), exported.pinned), (zone(), false));
    assert_eq!(PublicKey::of(key().public()), Some(exported.public));
    assert!(verify_export(file(&log).as_slice(), Some(&exported.public), &[]).unwrap().pinned);
    assert_eq!(exported.public.to_string().parse(), Ok(exported.public));
}

#[test]
fn a_file_that_somebody_else_signed_holds_only_for_its_own_key() {
    let log = Log::of(20);
    let other = PublicKey([7; 32]);
    assert_eq!(kinds(&file(&log), Some(&other)), [FindingKind::HeadForged]);
}

#[test]
fn what_is_wrong_with_the_log_is_found_in_the_file() {
    let text = String::from_utf8(file(&Log::of(20))).unwrap();
    let public = PublicKey::of(key().public()).unwrap();
    let of = |text: &str| kinds(text.as_bytes(), Some(&public));
    assert_eq!(of(&text.replace("p7@example", "p8@example")), [FindingKind::Changed]);
    let without = |gone: &[usize]| -> String {
        let kept = text.lines().enumerate().filter(|(place, _)| !gone.contains(place));
        kept.map(|(_, line)| format!("{line}\n")).collect()
    };
    assert_eq!(of(&without(&[7])), [FindingKind::Missing]);
    assert_eq!(of(&without(&[20])), [FindingKind::CutOff]);
    assert_eq!(of(&without(&[21])), [FindingKind::HeadMissing]);
}

#[test]
fn a_file_that_is_none_is_refused_with_its_line() {
    for bad in [
        "",
        "\n",
        "{}\n",
        "seq,at\n",
        "{\"format\":\"keycell audit log 2\",\"zone\":\"example\",\"public_key\":\"\"}\n",
    ] {
        assert!(matches!(verify_export(bad.as_bytes(), None, &[]), Err(ExportError::NotALog)), "{bad}");
    }
    let text = String::from_utf8(file(&Log::of(3))).unwrap();
    let with = |from: &str, to: &str| line_of(text.replacen(from, to, 1).as_bytes());
    assert_eq!(with("\"zone\":\"example\"", "\"zone\":\"\""), (1, "its zone is none".into()));
    assert_eq!(with("\"seq\":2", "\"seq\":\"2\"").0, 3);
    assert_eq!(with("\"seq\":2", "\"seq\":2,\"more\":1").0, 3);
    assert_eq!(with("\"seal\":\"head\"", "\"seal\":\"foot\""), (5, "there is no such kind of seal".into()));
    assert_eq!(with("\"seal\":\"head\"", "\"seal\":\"trim\"").0, 5);
    let hash = hex::encode(&Log::of(3).records[1].hash);
    assert_eq!(with(&hash, &hash[1..]), (3, NOT_A_HASH.into()));
    assert_eq!(line_of(text.trim_end().as_bytes()), (5, "it is cut off".into()));
    assert_eq!(line_of(format!("{text}{{}}\n").as_bytes()).0, 6);
    let last = text.lines().last().unwrap();
    let (line, reason) = line_of(format!("{text}{last}\n").as_bytes());
    assert_eq!(line, 6);
    assert!(reason.contains("after the head seal"), "{reason}");
    let long = format!("{}{}", text, "x".repeat(MAX_LINE + 1));
    assert_eq!(line_of(long.as_bytes()), (6, "it is too long".into()));
}

fn any_record() -> impl Strategy<Value = Record> {
    let texts = prop::collection::vec(any::<String>(), 7);
    (any::<u64>(), any::<u64>(), texts, any::<[u8; 32]>()).prop_map(|(seq, at, texts, hash)| {
        let [actor, action, target, outcome, request, address, detail] = texts.try_into().unwrap();
        let at = UnixMillis(at);
        Record { seq, at, actor, action, target, outcome, request, address, detail, hash }
    })
}

proptest! {
    #[test]
    fn a_record_goes_through_its_line(one in any_record()) {
        let line = record(&one);
        let mut lines = Lines { file: line.as_slice(), number: 0, buffer: Vec::new() };
        let Some(Line::Record(read)) = lines.next().unwrap() else { panic!("it is a record") };
        prop_assert_eq!(read, one);
        prop_assert!(lines.next().unwrap().is_none());
    }

    #[test]
    fn nothing_makes_it_panic(bytes: Vec<u8>) {
        let _ = verify_export(bytes.as_slice(), None, &[]);
        let mut file = header(&zone(), key().public());
        file.extend(bytes);
        let _ = verify_export(file.as_slice(), None, &[]);
    }

    #[test]
    fn whatever_records_and_seals_come_it_ends(
        records in prop::collection::vec((any_record(), 0..20_u64, any::<bool>()), 0..20),
        seals in prop::collection::vec((0..3_usize, 0..20_u64, any::<String>()), 0..5),
    ) {
        let mut file = header(&zone(), key().public());
        for (kind, seq, summary) in seals {
            let kind = [SealKind::Head, SealKind::Checkpoint, SealKind::Trim][kind];
            let link = Link { seq, hash: [1; 32] };
            file.extend(seal(&key().seal(kind, link, UnixMillis(1), &summary)));
        }
        for (one, seq, near) in records {
            file.extend(record(&Record { seq: if near { seq } else { one.seq }, ..one }));
        }
        if let Ok(exported) = verify_export(file.as_slice(), None, &[Link { seq: 3, hash: [2; 32] }]) {
            prop_assert!(!exported.verdict.is_sound());
        }
    }

    #[test]
    fn any_byte_that_changes_is_noticed(place in 0.0..1.0_f64, bit in 0..8_u32) {
        let mut file = file(&Log::of(5));
        let public = PublicKey::of(key().public()).unwrap();
        let place = (place * file.len() as f64) as usize;
        file[place] ^= 1 << bit;
        let exported = verify_export(file.as_slice(), Some(&public), &[]);
        // The key in the file does not matter to who has it from elsewhere; nor does the case of hexadecimal digits.
        let harmless = |exported: &Exported| exported.public != public || bit == 5;
        prop_assert!(exported.as_ref().map_or(true, |exported| !exported.verdict.is_sound() || harmless(exported)));
    }
}
