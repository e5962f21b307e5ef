//! A host that is aboard comes again.

use super::*;
use crate::store::KeyRecord;
use keycell_protocol::{Epoch, Generation};

#[test]
fn who_is_aboard_needs_nothing_but_its_key() {
    let aboard = |mode| Case::new(mode).aboard();
    for mode in EnrollmentMode::ALL {
        assert_eq!(aboard(*mode).decide(), Verdict::Renew);
        assert_eq!(aboard(*mode).contested().decide(), Verdict::Renew);
        let held = aboard(*mode).contested().with(|case| case.setting.conflicts = ConflictsRule::Hold);
        assert_eq!(held.decide(), Verdict::Renew);
        // A token that is not good any more does not matter either.
        assert_eq!(aboard(*mode).token().with(|case| case.token = None).decide(), Verdict::Renew);
        aboard(*mode).with(|case| case.sealed = false).refuses(Refusal::Damaged);
        aboard(*mode).with(|case| case.disabled = true).refuses(Refusal::Disabled);
        aboard(*mode).with(|case| case.party.as_mut().unwrap().enabled = false).refuses(Refusal::Disabled);
    }
    let waiting = aboard(EnrollmentMode::Token).waiting(WaitingState::Waiting, WaitingFor::Approval);
    assert_eq!(waiting.decide(), Verdict::Renew);
}

#[test]
fn only_the_very_same_request_is_answered_again() {
    let asked = |timestamp, request: &str| {
        Case::new(EnrollmentMode::Closed).aboard().with(|case| {
            case.applicant.timestamp = UnixMillis(timestamp);
            case.applicant.request = request.to_owned();
        })
    };
    assert_eq!(asked(5, "00").decide(), Verdict::Again);
    assert_eq!(asked(5, "01").decide(), Verdict::Replayed);
    assert_eq!(asked(4, "01").decide(), Verdict::Replayed);
    assert_eq!(asked(6, "01").decide(), Verdict::Renew);
    // What a clock that was ahead left there binds nobody, but for the very same request.
    let ahead = |by: u64, request| {
        asked(6, request).with(|case| {
            case.party.as_mut().unwrap().enrollment.as_mut().unwrap().timestamp = NOW.plus(by);
        })
    };
    assert_eq!(ahead(100, "01").decide(), Verdict::Replayed);
    assert_eq!(ahead(101, "01").decide(), Verdict::Renew);
    assert_eq!(ahead(101, "00").decide(), Verdict::Again);
    asked(5, "00").with(|case| case.disabled = true).refuses(Refusal::Disabled);
}

#[test]
fn who_got_another_key_a_moment_ago_waits_for_the_next() {
    let renewed = |before: u64, after: u64| {
        Case::new(EnrollmentMode::Closed).aboard().with(|case| {
            case.now = UnixMillis(1_000_000);
            let party = case.party.as_mut().unwrap();
            party.keys = vec![key(KeyState::Dead), key(KeyState::Active)];
            party.enrollment.as_mut().unwrap().renewed_at = case.now.minus(before).plus(after);
        })
    };
    let too_soon = |case: Case, left| {
        assert_eq!(case.decide(), Verdict::TooSoon(Duration::from_millis(left)));
    };
    assert_eq!(renewed(10_000, 0).decide(), Verdict::Renew);
    too_soon(renewed(9_999, 0), 1);
    too_soon(renewed(0, 0), 10_000);
    too_soon(
        renewed(3_000, 0).with(|case| case.party.as_mut().unwrap().keys = vec![key(KeyState::Staged)]),
        7_000,
    );
    // A clock that was ahead keeps nobody waiting for longer.
    too_soon(renewed(0, 9_999), 1);
    assert_eq!(renewed(0, 10_000).decide(), Verdict::Renew);
    // Who has no key that is good for anything is not kept waiting, nor who came aboard and lost its key on the way.
    let keys = |keys| renewed(0, 0).with(|case| case.party.as_mut().unwrap().keys = keys);
    assert_eq!(keys(Vec::new()).decide(), Verdict::Renew);
    assert_eq!(keys(vec![key(KeyState::Dead), key(KeyState::Retiring)]).decide(), Verdict::Renew);
    let new = renewed(0, 0).with(|case| {
        let now = case.now;
        case.party.as_mut().unwrap().enrollment.as_mut().unwrap().enrolled_at = now;
    });
    assert_eq!(new.decide(), Verdict::Renew);
    // What was asked before is answered as ever.
    assert_eq!(renewed(0, 0).with(|case| case.applicant.request = "00".to_owned()).decide(), Verdict::Again);
    assert_eq!(
        renewed(0, 0).with(|case| case.applicant.timestamp = UnixMillis(5)).decide(),
        Verdict::Replayed
    );
    renewed(0, 0).with(|case| case.disabled = true).refuses(Refusal::Disabled);
}

fn key(state: KeyState) -> KeyRecord {
    let (created_at, wrapped) = (UnixMillis(1), vec![1]);
    let (generation, epoch) = (Generation::FIRST, Epoch(20_000));
    KeyRecord { generation, state, epoch, created_at, ends_at: None, master_version: 1, wrapped }
}
