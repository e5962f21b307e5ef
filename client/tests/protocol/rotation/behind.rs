//! KDC and host do not know the same: one of them has not heard, has forgotten, or is older.

use keycell_protocol::{Generation, Problem, ProblemType};

use super::{HOUR, cell, is_well, message};
use crate::cell::{Cell, DAY, Host, name};

#[test]
fn a_kdc_that_has_not_heard_of_the_commit_yet_locks_nobody_out() {
    let (mut cell, mut a) = cell();
    a.agent.want(cell.now, &name("b")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    a.answer(&mut cell, &tickets);
    let stage = a.wants_rotation(&cell);
    a.answer(&mut cell, &stage);
    a.save();
    let commit = a.wants_rotation(&cell);
    // Done, and the answer is lost.
    let _ = cell.answer_at(commit.path(), &commit.body);
    a.agent.give_up(cell.now, &commit);
    // Another KDC of the zone is asked, for a while: it knows neither this key nor of another.
    for _ in 0..3 {
        cell.pass(20_000);
        let pending = a.wants_rotation(&cell);
        a.agent.take_problem(cell.now, &pending, &Problem::new(ProblemType::Unauthenticated));
        a.save();
    }
    assert!(a.file().staged.is_some(), "it may be the key that counts");
    cell.pass(2 * DAY);
    a.ask(&mut cell, "b");
    cell.pass(2 * HOUR);
    a.serve(&mut cell);
    is_well(&mut cell, &mut a);
    assert_eq!(a.agent.generation(), Generation(2));
}

#[test]
fn a_staged_key_that_the_kdc_forgot_is_replaced() {
    let (mut cell, mut a) = cell();
    a.agent.want(cell.now, &name("b")).unwrap();
    for _ in 0..2 {
        let pending = a.agent.wants(cell.now).unwrap();
        a.answer(&mut cell, &pending);
    }
    a.save();
    // Off for longer than a staged key lasts.
    cell.pass(3 * DAY);
    a.crash(&cell);
    for _ in 0..3 {
        a.ask(&mut cell, "b");
        cell.pass(2 * HOUR);
    }
    assert_eq!(cell.party("a").active.generation(), Generation(3));
    is_well(&mut cell, &mut a);
}

#[test]
fn a_kdc_that_was_restored_from_before_the_rotation_is_followed() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    let backup = cell.party("a").clone();
    cell.want_rotation("a");
    a.ask(&mut cell, "b");
    assert_eq!(a.agent.generation(), Generation(2));
    *cell.party("a") = backup;
    cell.pass(HOUR);
    for crash in [false, true] {
        if crash {
            a.crash(&cell);
        }
        a.agent.want(cell.now, &name("c")).unwrap();
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some(), "{crash}");
        let message = message(&mut cell, "a");
        assert!(a.opens(&cell, &message));
        cell.pass(20 * HOUR);
    }
    // It is asked to rotate again, and gets another key of the same generation. Killed in between, its file holds.
    a.agent.rotate();
    let pending = loop {
        cell.pass(60_000);
        match a.agent.wants(cell.now) {
            Some(pending) if pending.path() == "/v1/keys/rotate" => break pending,
            Some(pending) => drop(a.answer(&mut cell, &pending)),
            None => {}
        }
    };
    a.answer(&mut cell, &pending);
    a.save();
    a.crash(&cell);
    assert_eq!((a.agent.generation(), a.file().staged.unwrap().generation()), (Generation(1), Generation(2)));
    for _ in 0..3 {
        a.ask(&mut cell, "b");
        cell.pass(2 * HOUR);
    }
    is_well(&mut cell, &mut a);
    assert_eq!(a.agent.generation(), Generation(2));
}

#[test]
fn a_kdc_that_does_not_know_rotation_is_asked_once_an_hour() {
    let (mut cell, mut a) = cell();
    cell.rotates = false;
    a.ask(&mut cell, "b");
    cell.pass(HOUR - 1);
    assert!(a.agent.wants(cell.now).is_none_or(|pending| pending.path() == "/v1/tickets"));
    let wakeup = a.agent.next_wakeup(cell.now).unwrap();
    assert!(wakeup <= cell.now.plus(1));
    cell.rotates = true;
    cell.pass(1);
    a.ask(&mut cell, "b");
    assert_eq!(a.agent.generation(), Generation(2));
}

/// The KDC has done the commit, and the host has not heard of it; what it signs with the old key is refused by now.
fn committed_unheard() -> (Cell, Host) {
    let (mut cell, mut a) = cell();
    a.agent.want(cell.now, &name("b")).unwrap();
    for _ in 0..2 {
        let pending = a.agent.wants(cell.now).unwrap();
        a.answer(&mut cell, &pending);
    }
    a.save();
    let commit = a.wants_rotation(&cell);
    let _ = cell.answer_at(commit.path(), &commit.body);
    a.agent.give_up(cell.now, &commit);
    cell.pass(2 * DAY);
    (cell, a)
}

#[test]
fn a_staged_key_that_is_accepted_for_tickets_is_the_active_one() {
    let (mut cell, mut a) = committed_unheard();
    // A KDC that is behind refuses the commit, so that the host means to stage anew.
    let commit = a.wants_rotation(&cell);
    a.agent.take_problem(cell.now, &commit, &Problem::new(ProblemType::Unauthenticated));
    cell.want_rotation("a");
    a.agent.want(cell.now, &name("b")).unwrap();
    for generation in [1, 2] {
        let tickets = a.agent.wants(cell.now).unwrap();
        assert_eq!(tickets.path(), "/v1/tickets");
        assert_eq!(a.agent.generation(), Generation(1), "{generation}");
        a.answer(&mut cell, &tickets);
    }
    assert_eq!(a.agent.generation(), Generation(2));
    a.save();
    assert_eq!((a.file().key.generation(), a.file().retiring.len()), (Generation(2), 1));
    // And only then it is told to rotate, and does.
    for _ in 0..3 {
        cell.pass(HOUR);
        a.ask(&mut cell, "b");
    }
    is_well(&mut cell, &mut a);
    assert_eq!(a.agent.generation(), Generation(3));
}

#[test]
fn the_next_key_is_asked_for_with_no_staged_one() {
    let (mut cell, mut a) = committed_unheard();
    let commit = a.wants_rotation(&cell);
    a.agent.take_problem(cell.now, &commit, &Problem::new(ProblemType::Unauthenticated));
    // The old key is refused: the staged one is to be tried for tickets next. Before that comes a rotation.
    a.agent.want(cell.now, &name("b")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    a.agent.take_problem(cell.now, &tickets, &Problem::new(ProblemType::Unauthenticated));
    let tickets = a.agent.wants(cell.now).unwrap();
    let commit = a.wants_rotation(&cell);
    a.agent.take_problem(cell.now, &commit, &Problem::new(ProblemType::Unauthenticated));
    cell.pass(60_000 - 1);
    let stage = a.wants_rotation(&cell);
    assert_eq!(a.answer(&mut cell, &stage), Some(ProblemType::Unauthenticated));
    assert_eq!(
        cell.party("a").staged.as_ref().map(|(key, _)| key.generation()),
        None,
        "no third one was made"
    );
    a.agent.give_up(cell.now, &tickets);
    cell.pass(HOUR);
    is_well(&mut cell, &mut a);
}

#[test]
fn requests_at_the_same_time_try_each_key_once() {
    let (mut cell, mut a) = committed_unheard();
    for n in 0..2_500 {
        cell.key(&format!("probe{n}"));
        a.agent.want(cell.now, &name(&format!("probe{n}"))).unwrap();
    }
    let pending: Vec<_> = (0..3).map(|_| a.agent.wants(cell.now).unwrap()).collect();
    for pending in &pending {
        assert_eq!(a.answer(&mut cell, pending), Some(ProblemType::Unauthenticated));
    }
    let before = cell.requests.len();
    a.serve(&mut cell);
    assert!((0..2_500).all(|n| a.agent.ticket_expiration(cell.now, &name(&format!("probe{n}"))).is_some()));
    assert_eq!(cell.requests.len() - before, 3);
}
