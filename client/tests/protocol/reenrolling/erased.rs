//! What a host still does with keys that the KDC has erased, and with what came under them.

use keycell_client::{SealError, TakeError};
use keycell_protocol::Generation;

use super::{HOUR, b_again, cell, enrollments, has_ticket, live, need_a_ticket};
use crate::cell::{Admit, DAY, PERIOD, START, Words, name};

/// Whoever stole the KDC's database and sits on the way answers the host as the KDC did before the recovery.
#[test]
fn keys_that_the_kdc_erased_open_messages_and_nothing_else() {
    let (mut cell, mut host) = cell();
    let me = host.agent.name().clone();
    let mut sender = cell.agent("sender");
    let stolen = cell.parties.clone();
    cell.recover();
    b_again(&mut cell);
    live(&mut cell, &mut host, HOUR);
    assert_eq!(host.agent.generation(), Generation(2));
    // The new key is refused from now on, and the one before would be accepted.
    cell.parties = stolen;
    cell.gate.admit = Admit::Nobody;
    need_a_ticket(&mut cell, &mut host);
    for crash in [false, true] {
        if crash {
            host.crash(&cell);
            host.agent.keep(cell.now, &name("b")).unwrap();
        }
        let (tickets, until) = (host.agent.stats().tickets, host.file().retiring[0].until);
        let asked = enrollments(&cell);
        live(&mut cell, &mut host, 3 * HOUR);
        assert!(!has_ticket(&cell, &host), "{crash}");
        assert_eq!(host.agent.stats().tickets, tickets, "{crash}");
        assert_eq!((host.file().retiring[0].until, host.file().retiring[0].erased), (until, true));
        assert!(enrollments(&cell) > asked, "it begins to enroll again");
        let message = cell.seal(&mut sender, me.local(), "", b"under the key before");
        assert!(host.opens(&cell, &message));
    }
    // No message makes the key before last, either.
    let mut now = cell.now;
    for _ in 0..30 {
        cell.pass(HOUR);
        let message = cell.seal(&mut sender, me.local(), "", b"under the key before");
        if host.opens(&cell, &message) {
            now = cell.now;
        }
        host.serve(&mut cell);
    }
    assert!(now.0 - START.0 < DAY + 4 * HOUR && host.file().retiring.is_empty());
}

/// Then the KDC has a living key of the host that the host has not, and gives it the next beside that.
#[test]
fn a_lost_answer_does_not_bring_erased_keys_back() {
    let (mut cell, mut host) = cell();
    let stolen = cell.parties.clone();
    cell.gate.within = Some(1);
    cell.recover();
    b_again(&mut cell);
    let end = cell.now.plus(HOUR);
    loop {
        let Some(pending) = host.agent.wants(host.now(&cell)) else {
            assert!(cell.now < end, "it does not enroll");
            cell.pass(1_000);
            continue;
        };
        if pending.path() != "/v1/enroll" {
            host.answer(&mut cell, &pending);
            host.save();
            continue;
        }
        match cell.answer_at(pending.path(), &pending.body).unwrap() {
            Ok(_) => break,
            // The first one names the identity that was stolen.
            Err(problem) => {
                let now = host.now(&cell);
                host.agent.take_problem(now, &pending, &problem);
            }
        }
    }
    host.crash(&cell);
    host.agent.keep(cell.now, &name("b")).unwrap();
    live(&mut cell, &mut host, 10 * 60_000);
    assert_eq!((host.agent.generation(), host.file().staged.is_none()), (Generation(3), true));
    assert!(host.file().retiring.iter().all(|old| old.erased) && has_ticket(&cell, &host));
    // The thief knows those from before, and no other.
    cell.parties = stolen;
    cell.gate.admit = Admit::Nobody;
    need_a_ticket(&mut cell, &mut host);
    let tickets = host.agent.stats().tickets;
    live(&mut cell, &mut host, HOUR);
    assert_eq!((host.agent.stats().tickets, has_ticket(&cell, &host)), (tickets, false));
}

#[test]
fn what_was_asked_with_a_key_that_is_erased_since_is_answered_by_nobody() {
    let (mut cell, mut host) = cell();
    cell.gate.within = Some(1);
    cell.key("c");
    let stolen = cell.parties.clone();
    need_a_ticket(&mut cell, &mut host);
    cell.recover();
    while host.agent.reenrollment_standing().is_none() {
        live(&mut cell, &mut host, 1_000);
    }
    host.agent.want(cell.now, &name("c")).unwrap();
    let pending = host.agent.wants(cell.now).unwrap();
    assert_eq!(pending.path(), "/v1/tickets");
    cell.key("c");
    live(&mut cell, &mut host, 2_000);
    assert_eq!(host.agent.generation(), Generation(2));
    let known = std::mem::replace(&mut cell.parties, stolen);
    let late = cell.answer_at(pending.path(), &pending.body).unwrap().unwrap();
    cell.parties = known;
    let taken = host.agent.take_reply(cell.now, &pending, &late);
    assert!(matches!(taken, Err(TakeError::NotPending)), "{taken:?}");
    // It was asked for with the new key instead.
    assert!(host.agent.ticket_expiration(cell.now, &name("c")).is_some());
}

/// Whoever had the old keys may have given them, or read them on the way.
#[test]
fn tickets_from_before_a_recovery_are_not_used_after_it() {
    let (mut cell, mut host) = cell();
    live(&mut cell, &mut host, 590_000);
    let end = host.agent.ticket_expiration(cell.now, &name("b")).unwrap();
    cell.recover();
    // The one that it is for has not been back.
    while host.agent.generation() == Generation(1) {
        assert!(has_ticket(&cell, &host));
        live(&mut cell, &mut host, 1_000);
    }
    assert!(cell.now < end.millis() && !has_ticket(&cell, &host));
    let sealed = host.agent.seal(cell.now, &name("b"), "", b"");
    assert!(matches!(sealed, Err(SealError::Refused { .. })), "{sealed:?}");
    b_again(&mut cell);
    live(&mut cell, &mut host, 60_000);
    assert!(has_ticket(&cell, &host));
}

/// Else the keys could be made to turn past the day that it is.
#[test]
fn a_ticket_under_an_erased_key_does_not_turn_the_keys() {
    for erased in [true, false] {
        let (mut cell, mut host) = cell();
        let me = host.agent.name().local().to_owned();
        let stolen = cell.parties.clone();
        if erased {
            cell.recover();
            live(&mut cell, &mut host, HOUR);
            cell.parties = stolen;
        }
        let before = host.file().key.epoch();
        cell.pass(13 * HOUR);
        // Of the day after the one that it is.
        let epoch = PERIOD.epoch(cell.now.plus(DAY).seconds());
        let end = cell.now.seconds().plus(900);
        let grant = cell.grant_with("sender", &me, end, |key| key.advance(epoch).unwrap());
        let message = cell.forge(&Words::honest(cell.now, "sender", &grant), grant.sek.clone());
        assert!(host.opens(&cell, &message));
        host.save();
        assert_eq!(host.file().key.epoch() == before, erased);
    }
}
