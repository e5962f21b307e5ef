use std::fs;
use std::sync::Arc;

use keycell_protocol::{Epoch, Fingerprint, Generation, UnixMillis};

use super::check::gives_back;
use super::known::{Entry, PartyMark};
use super::*;
use crate::store::{KeyRecord, KeyState};

mod mangled;

fn party(name: &str, revision: u64, enabled: bool, epoch: u32, keys: &[(u32, KeyState)]) -> PartyRecord {
    let key = |(generation, state): &(u32, KeyState)| KeyRecord {
        generation: Generation(*generation),
        state: *state,
        epoch: Epoch(1),
        created_at: UnixMillis(1),
        ends_at: None,
        master_version: 1,
        wrapped: Vec::new(),
    };
    PartyRecord {
        enabled,
        revision,
        revocation_epoch: epoch,
        keys: keys.iter().map(key).collect(),
        ..PartyRecord::new(format!("{name}@z").parse().unwrap(), UnixMillis(10))
    }
}

const ONE: &[(u32, KeyState)] = &[(1, KeyState::Active)];
const TURNING: &[(u32, KeyState)] = &[(1, KeyState::Retiring), (2, KeyState::Active)];
const TWO: &[(u32, KeyState)] = &[(2, KeyState::Active)];

/// What is remembered after these were seen, one after the other.
fn mark(seen: &[Entry]) -> Option<PartyMark> {
    let mut known = Known::default();
    for entry in seen {
        known.take(entry.clone());
    }
    known.parties.into_values().next()
}

#[test]
fn what_is_taken_is_remembered_and_what_is_given_is_not_held_against_anybody() {
    let (one, off) = (party("a", 1, true, 0, ONE), party("a", 2, false, 1, ONE));
    let on = party("a", 3, true, 1, ONE);
    let seen = |records: &[&PartyRecord]| {
        mark(&records.iter().map(|record| Entry::of_party(record)).collect::<Vec<_>>())
    };
    assert_eq!(seen(&[&one]), None);
    let disabled = seen(&[&one, &off]).unwrap();
    assert_eq!(gives_back(&disabled, &one), Some(What::Disabled));
    assert_eq!(gives_back(&disabled, &off), None);
    assert_eq!(gives_back(&disabled, &on), None, "it was enabled again later");
    // A revision that somebody wrote by hand changes nothing.
    assert_eq!(gives_back(&disabled, &party("a", 99, true, 0, ONE)), Some(What::Disabled));
    assert_eq!(seen(&[&off, &on]), None, "enabled again, with the key of before");
    assert_eq!(seen(&[&off, &one]), Some(disabled), "what is older is no news");

    let (turning, two) = (party("a", 4, true, 0, TURNING), party("a", 5, true, 0, TWO));
    assert_eq!(seen(&[&one, &turning]), None, "the key of before is still good");
    let turned = seen(&[&one, &turning, &two]).unwrap();
    for older in [&one, &turning] {
        assert_eq!(gives_back(&turned, older), Some(What::OlderKey));
    }
    assert_eq!(gives_back(&turned, &two), None);
    assert_eq!(gives_back(&turned, &party("a", 5, true, 0, &[(1, KeyState::Dead)])), None);
}

#[test]
fn a_party_that_is_made_again_is_another_one() {
    let one = party("a", 2, false, 1, ONE);
    let deleted = mark(&[Entry::of_party(&one), Entry::of_deleted(&one)]).unwrap();
    assert_eq!(gives_back(&deleted, &party("a", 1, true, 0, ONE)), Some(What::Deleted));
    let again = PartyRecord { created_at: UnixMillis(20), ..party("a", 3, true, 0, TWO) };
    assert_eq!(gives_back(&deleted, &again), None);
    let disabled = mark(&[Entry::of_party(&one)]).unwrap();
    assert_eq!(gives_back(&disabled, &again), None, "this KDC may not have heard of the deletion");
    // Only its key proves that it is another one, not a date that anybody can write.
    let dated = PartyRecord { created_at: UnixMillis(20), ..party("a", 3, true, 0, ONE) };
    assert_eq!(gives_back(&disabled, &dated), Some(What::Disabled));
    let remade = mark(&[Entry::of_deleted(&one), Entry::of_party(&again)]).unwrap();
    assert_eq!(gives_back(&remade, &party("a", 1, true, 0, ONE)), Some(What::OlderKey));
    // The last that a name had before counts, in whatever order it is heard of.
    assert_eq!(mark(&[Entry::of_party(&again), Entry::of_deleted(&one)]), Some(remade));
}

#[test]
fn a_host_that_was_deleted_comes_back_by_no_row_of_before() {
    let enrollment = crate::enrollment::record::tests::record("nanoprobe", "web1", [7; 32]);
    let aboard = |generation, state| PartyRecord {
        enrollment: Some(Box::new(enrollment.clone())),
        ..party("a", 3, true, 0, &[(generation, state)])
    };
    let deleted = mark(&[Entry::of_deleted(&aboard(2, KeyState::Active))]).unwrap();
    assert_eq!(gives_back(&deleted, &aboard(2, KeyState::Active)), Some(What::Deleted));
    // Its key pair is enough for a new key.
    assert_eq!(gives_back(&deleted, &aboard(2, KeyState::Dead)), Some(What::Deleted));
    assert_eq!(gives_back(&deleted, &aboard(1, KeyState::Dead)), Some(What::Deleted));
    assert_eq!(
        gives_back(&deleted, &PartyRecord { keys: Vec::new(), ..aboard(1, KeyState::Dead) }),
        Some(What::Deleted)
    );
    // It was let in again since, and lost that key too.
    assert_eq!(gives_back(&deleted, &aboard(3, KeyState::Dead)), None);
    assert_eq!(
        gives_back(&deleted, &party("a", 3, true, 0, &[(2, KeyState::Dead)])),
        None,
        "an administrator makes its keys"
    );
}

#[test]
fn the_last_decision_on_a_host_counts() {
    let [one, other] = ["1", "2"].map(|digit| digit.repeat(32).parse::<Fingerprint>().unwrap());
    let mut known = Known::default();
    let (denial, let_off) =
        (|at| Entry::Denial(one, UnixMillis(at)), |at| Entry::LetOff(one, UnixMillis(at)));
    assert!(known.take(denial(10)) && !known.take(denial(10)) && !known.take(denial(9)));
    assert!(!known.take(let_off(9)) && !known.take(Entry::LetOff(other, UnixMillis(20))));
    assert_eq!(known.len(), 1);
    assert!(known.take(denial(12)) && !known.take(let_off(11)), "denied again since");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    append(&watermark(&path));
    let (a, b) = (watermark(&path), watermark(&path));
    a.saw(denial(12));
    append(&a);
    append(&b);
    assert_eq!(b.known().denials, known.denials);
    assert!(known.take(let_off(12)) && known.is_empty());
    a.saw(let_off(12));
    append(&a);
    let (read, _) = file::read(&path, &key()).unwrap().unwrap();
    assert!(read.is_empty());
}

fn key() -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, b"a key of the tests")
}

fn watermark(path: &Path) -> Arc<Watermark> {
    let read = file::read(path, &key()).unwrap();
    let (known, written) = read.map(|(known, written)| (known, Some(written))).unwrap_or_default();
    let state = State { known, written, ..State::default() };
    Arc::new(Watermark { path: path.to_owned(), key: key(), state: Mutex::new(state) })
}

fn append(watermark: &Watermark) {
    file::append(&watermark.path, &watermark.key, &mut watermark.lock()).unwrap();
}

#[test]
fn two_kdcs_that_share_a_folder_share_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    append(&watermark(&path));
    let (a, b) = (watermark(&path), watermark(&path));
    for n in 0..20 {
        let (one, other) = if n % 2 == 0 { (&a, &b) } else { (&b, &a) };
        one.saw_party(&party(&format!("p{n}"), 2, false, 1, ONE));
        append(one);
        other.saw_party(&party(&format!("q{n}"), 2, false, 1, ONE));
        append(other);
    }
    let (known, _) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!(known.len(), 40);
}

#[test]
fn the_file_is_written_anew_before_it_is_mostly_past() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    append(&watermark(&path));
    let (a, b) = (watermark(&path), watermark(&path));
    b.saw_party(&party("b", 2, false, 1, ONE));
    for n in 1..2000 {
        a.saw_party(&party("a", n, false, u32::try_from(n).unwrap(), ONE));
        append(&a);
    }
    let lines = || fs::read_to_string(&path).unwrap().lines().count();
    assert!(lines() < 1100, "{}", lines());
    // Who had the old file open goes on with the new one.
    append(&b);
    let (known, _) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!(known.len(), 2);
}

#[test]
fn a_file_of_another_cell_does_not_count() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    let a = watermark(&path);
    a.saw_party(&party("a", 2, false, 1, ONE));
    append(&a);
    let other = hmac::Key::new(hmac::HMAC_SHA256, b"another");
    let error = file::read(&path, &other).unwrap_err();
    assert!(matches!(error, WatermarkError::Altered { line: 2, .. }), "{error}");
    assert!(file::read(&path, &key()).unwrap().is_some());
}

#[test]
fn a_file_is_of_the_version_that_its_lines_need() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    let first = || fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    let (a, forgotten) = (watermark(&path), serde_json::json!({"forgotten": {"revision": 5, "made": 5}}));
    a.saw_party(&party("a", 2, false, 1, ONE));
    append(&a);
    let b = watermark(&path);
    b.saw_party(&party("b", 2, false, 1, ONE));
    append(&b);
    assert_eq!(first(), "keycell-revocations-1");
    a.saw(serde_json::from_value(forgotten).unwrap());
    append(&a);
    b.saw_party(&party("c", 2, false, 1, ONE));
    append(&b);
    assert_eq!(first(), "keycell-revocations-2");
    let (known, _) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!((known.len(), known.is_forgotten(5, UnixMillis(5))), (3, true));
    // Nobody else changes which it is; and there may be one that is not known here.
    let text = fs::read_to_string(&path).unwrap();
    fs::write(&path, text.replacen("-2", "-1", 1)).unwrap();
    let error = file::read(&path, &key()).unwrap_err();
    assert!(matches!(error, WatermarkError::Altered { line: 2, .. }), "{error}");
    fs::write(&path, text.replacen("-2", "-4", 1)).unwrap();
    let error = file::read(&path, &key()).unwrap_err();
    assert!(matches!(error, WatermarkError::Newer { .. }), "{error}");
}

#[test]
fn who_cannot_check_the_file_reads_in_it_which_identities_are_retired() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    let mark = |primary, last| IdentityMark {
        primary: IdentityName::new(primary).unwrap(),
        last: IdentityName::new(last).unwrap(),
        since: UnixMillis(u64::MAX),
    };
    assert_eq!(Watermark::retired(&path), None, "there is no file");
    let a = watermark(&path);
    a.saw_party(&party("a", 2, false, 1, ONE));
    append(&a);
    assert_eq!(Watermark::retired(&path), None, "none is retired");
    a.saw_identities(mark(2, 3));
    append(&a);
    assert_eq!(Watermark::retired(&path), Some(mark(2, 3)));
    let first = fs::read_to_string(&path).unwrap().lines().next().unwrap().to_owned();
    assert_eq!(first, "keycell-revocations-3");
    // One that was retired never comes back, and no number is used twice.
    a.saw_identities(mark(1, 4));
    append(&a);
    let (known, _) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!((known.identities, known.len()), (Some(mark(2, 4)), 1));
    a.saw_identities(mark(3, 4));
    a.saw_party(&party("b", 2, false, 1, ONE));
    append(&a);
    let (known, written) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!((known.identities, known.len()), (Some(mark(3, 4)), 2));
    assert_eq!(watermark(&path).last_identity(), IdentityName::new(4));
    drop(written);

    // Under the key of another identity, all of it is written anew.
    let audit_key = AuditKey::new(&AuditKey::generate().unwrap(), &"z".parse().unwrap()).unwrap();
    let moved = Arc::new(Arc::into_inner(watermark(&path)).unwrap().under(&audit_key));
    append(&moved);
    assert!(matches!(file::read(&path, &key()), Err(WatermarkError::Altered { line: 2, .. })));
    assert_eq!(Watermark::retired(&path), Some(mark(3, 4)));
    assert_eq!(Watermark::open(&path, &audit_key).unwrap().known(), known);
    let stored = WatermarkKey::from_secret(audit_key.watermark().expose_secret()).unwrap();
    assert_eq!(Watermark::open_with(&path, &stored).unwrap().known(), known);
    assert_eq!(format!("{stored:?}"), "WatermarkKey(..)");
}
