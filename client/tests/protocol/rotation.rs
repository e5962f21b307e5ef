//! Rotating a party's key, step by step, with everything that may go wrong between two of them.

mod behind;

use crate::cell::{Cell, DAY, Host, LIFETIME, name};
use keycell_client::{Agent, AgentConfig};
use keycell_protocol::{Cause, Generation, Problem, ProblemType};

const HOUR: u64 = 3_600_000;

fn cell() -> (Cell, Host) {
    let mut cell = Cell::new();
    let a = Host::new(&mut cell, "a");
    cell.key("b");
    cell.want_rotation("a");
    (cell, a)
}

fn message(cell: &mut Cell, to: &str) -> Vec<u8> {
    let mut sender = cell.agent("sender");
    cell.seal(&mut sender, to, "", b"")
}

/// It has the key that the KDC uses, in memory and on the disk, and can ask and be written to.
fn is_well(cell: &mut Cell, host: &mut Host) {
    cell.pass(LIFETIME * 1000);
    host.ask(cell, "b");
    assert!(host.agent.ticket_expiration(host.now(cell), &name("b")).is_some());
    let message = message(cell, "a");
    assert!(host.opens(cell, &message));
    let used = &cell.party("a").active;
    assert_eq!(
        (host.agent.generation(), host.file().key.generation()),
        (used.generation(), used.generation())
    );
    let held = host.file().key.advance(host.file().key.epoch().max(used.epoch())).unwrap();
    let used = used.clone().advance(held.epoch()).unwrap();
    assert_eq!(held.expose_secret(), used.expose_secret());
    assert!(host.file().staged.is_none());
}

#[test]
fn the_kdc_asks_and_the_host_rotates() {
    let (mut cell, mut a) = cell();
    let mut in_flight = vec![message(&mut cell, "a")];
    a.agent.want(cell.now, &name("b")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    a.answer(&mut cell, &tickets);

    let stage = a.wants_rotation(&cell);
    assert!(a.agent.wants(cell.now).is_none(), "one at a time");
    a.answer(&mut cell, &stage);
    in_flight.push(message(&mut cell, "a"));
    assert!(a.agent.wants(cell.now).is_none(), "nothing is committed that is not stored");
    assert_eq!(a.agent.generation(), Generation(1));
    a.save();
    assert_eq!(a.file().staged.unwrap().generation(), Generation(2));
    assert_eq!(a.file().key.generation(), Generation(1));

    let commit = a.wants_rotation(&cell);
    assert!(cell.answer_at(commit.path(), &commit.body).unwrap().is_ok());
    // The KDC uses it, and the host has not heard yet.
    in_flight.push(message(&mut cell, "a"));
    assert!(a.opens(&cell, &in_flight[2]));
    a.answer(&mut cell, &commit);
    assert_eq!((a.agent.generation(), a.agent.stats().rotations), (Generation(2), 1));
    assert!(a.agent.wants(cell.now).is_none());
    a.save();
    let file = a.file();
    assert_eq!((file.key.generation(), file.staged.is_none(), file.retiring.len()), (Generation(2), true, 1));
    // What was on its way opens.
    for message in &in_flight[..2] {
        assert!(a.opens(&cell, message));
    }
    is_well(&mut cell, &mut a);

    // A day later the old one is gone from memory and disk, and no day after brings another.
    cell.pass(DAY);
    a.serve(&mut cell);
    assert!(a.file().retiring.is_empty());
    assert_eq!(String::from_utf8(a.disk.clone()).unwrap().matches("\"key\"").count(), 1);
    for _ in 0..5 {
        cell.pass(DAY);
        is_well(&mut cell, &mut a);
    }
    assert_eq!(a.agent.stats().rotations, 1);
}

#[test]
fn a_message_in_flight_opens_across_a_turn_and_a_rotation() {
    let (mut cell, mut a) = cell();
    cell.pass(DAY / 2 - 60_000);
    let before = message(&mut cell, "a");
    cell.pass(120_000);
    a.ask(&mut cell, "b");
    assert_eq!(a.agent.generation(), Generation(2));
    for crash in [false, true] {
        if crash {
            a.crash(&cell);
        }
        assert!(a.opens(&cell, &before), "{crash}");
    }
    cell.pass(LIFETIME * 1000);
    assert_eq!(a.agent.open(cell.now, &before).unwrap_err().cause(), Cause::Expired);
}

#[test]
fn the_host_may_ask_itself() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    assert!(a.agent.rotate());
    a.serve(&mut cell);
    assert_eq!(a.agent.generation(), Generation(2));
    is_well(&mut cell, &mut a);
}

#[test]
fn killed_at_any_step_it_goes_on() {
    // After so many of: tickets, stage, save, commit, save.
    for steps in 0..=5 {
        for lose_answer in [false, true] {
            for later in [0, HOUR, 2 * DAY, 40 * DAY] {
                let (mut cell, mut a) = cell();
                a.agent.want(cell.now, &name("b")).unwrap();
                for step in 1..=steps {
                    if step == 3 || step == 5 {
                        a.save();
                        continue;
                    }
                    let Some(pending) = a.agent.wants(cell.now) else { continue };
                    if lose_answer && step == steps {
                        let _ = cell.answer_at(pending.path(), &pending.body);
                    } else {
                        a.answer(&mut cell, &pending);
                    }
                }
                cell.pass(later);
                a.crash(&cell);
                // It may have to wait a little between two tries.
                for _ in 0..4 {
                    a.ask(&mut cell, "b");
                    cell.pass(2 * HOUR);
                }
                is_well(&mut cell, &mut a);
                assert!(a.agent.generation() > Generation(1), "{steps} {lose_answer} {later}");
            }
        }
    }
}

#[test]
fn while_the_disk_is_full_nothing_is_committed() {
    let (mut cell, mut a) = cell();
    a.disk_full = true;
    for _ in 0..5 {
        cell.pass(HOUR);
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
    }
    assert_eq!(cell.party("a").active.generation(), Generation(1));
    a.crash(&cell);
    a.disk_full = false;
    a.ask(&mut cell, "b");
    is_well(&mut cell, &mut a);
    assert_eq!(a.agent.generation(), Generation(2));
}

#[test]
fn a_refusal_is_waited_out() {
    let (mut cell, mut a) = cell();
    a.ask(&mut cell, "b");
    // Wanted again at once: the KDC refuses while an older key is retiring.
    cell.want_rotation("a");
    cell.pass(LIFETIME * 1000);
    a.ask(&mut cell, "b");
    assert_eq!(a.agent.generation(), Generation(2));
    for _ in 0..40 {
        cell.pass(HOUR);
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
    }
    assert_eq!(a.agent.generation(), Generation(3));
    is_well(&mut cell, &mut a);
}

#[test]
fn a_rotation_delays_no_ticket() {
    let (mut cell, mut a) = cell();
    a.agent.want(cell.now, &name("b")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    a.answer(&mut cell, &tickets);
    let stage = a.wants_rotation(&cell);
    // No answer to it; meanwhile a ticket is wanted.
    cell.key("c");
    a.agent.want(cell.now, &name("c")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    assert_eq!(tickets.path(), "/v1/tickets");
    a.answer(&mut cell, &tickets);
    assert!(a.agent.ticket_expiration(cell.now, &name("c")).is_some());
    // It counts as lost after a minute, and is made again.
    assert_eq!(a.agent.next_wakeup(cell.now).unwrap(), cell.now.plus(60_000));
    cell.pass(60_000);
    assert!(a.agent.wants(cell.now).is_none());
    cell.pass(5_000);
    let again = a.wants_rotation(&cell);
    assert_ne!(again.body, stage.body);
    let late = cell.answer_at(stage.path(), &stage.body).unwrap().unwrap_err();
    a.agent.take_problem(cell.now, &stage, &late);
    a.answer(&mut cell, &again);
    a.serve(&mut cell);
    assert_eq!(a.agent.generation(), Generation(2));
}

#[test]
fn only_what_the_kdc_sealed_gives_a_key() {
    let (mut cell, mut a) = cell();
    let mut other = Host::new(&mut cell, "b");
    other.agent.rotate();
    a.agent.rotate();
    let (mine, theirs) = (a.wants_rotation(&cell), other.wants_rotation(&cell));
    let not_mine = cell.answer_at(theirs.path(), &theirs.body).unwrap().unwrap();
    assert!(a.agent.take_reply(cell.now, &mine, &not_mine).is_err());
    cell.pass(5_000);
    let mine = a.wants_rotation(&cell);
    let mut answer = cell.answer_at(mine.path(), &mine.body).unwrap().unwrap();
    let at = answer.len() - 10;
    answer[at] ^= 1;
    assert!(a.agent.take_reply(cell.now, &mine, &answer).is_err());
    assert!(a.agent.unsaved().is_none() && a.file().staged.is_none());
    // Nor does a busy KDC, or one that knows no such party.
    for kind in [ProblemType::Overloaded, ProblemType::Unauthenticated, ProblemType::PartyDisabled] {
        cell.pass(HOUR);
        let pending = a.wants_rotation(&cell);
        a.agent.take_problem(cell.now, &pending, &Problem::new(kind));
        assert!(a.agent.unsaved().is_none());
    }
}

#[test]
fn a_clock_that_is_wrong_rotates_too() {
    for off in [-3 * DAY as i64, -600_000, 600_000, DAY as i64] {
        let (mut cell, mut a) = cell();
        a.off = off;
        a.crash(&cell);
        a.agent.rotate();
        a.serve(&mut cell);
        assert_eq!(a.agent.generation(), Generation(2), "{off}");
        is_well(&mut cell, &mut a);
    }
}

#[test]
fn what_was_said_to_the_old_key_is_past() {
    let (mut cell, mut a) = cell();
    a.agent.want(cell.now, &name("b")).unwrap();
    let tickets = a.agent.wants(cell.now).unwrap();
    let says_rotate = cell.answer_at(tickets.path(), &tickets.body).unwrap().unwrap();
    a.agent.rotate();
    a.serve(&mut cell);
    assert_eq!(a.agent.generation(), Generation(2));
    a.agent.take_reply(cell.now, &tickets, &says_rotate).unwrap();
    assert!(a.agent.wants(cell.now).is_none());
}

#[test]
fn who_only_reads_the_file_finds_the_key_that_counts() {
    let (mut cell, mut a) = cell();
    a.ask(&mut cell, "b");
    // What the file said before the commit was stored.
    let retiring = a.file().retiring.remove(0);
    let mut file = a.file();
    let active = std::mem::replace(&mut file.key, retiring.key);
    file.staged = Some(active);
    file.retiring.clear();
    cell.pass(3 * DAY);
    let config = AgentConfig::default().first_use();
    let mut reader = Agent::new(file, &config, cell.now, keycell_client::system_rng());
    let to_it = message(&mut cell, "a");
    assert!(reader.open(cell.now, &to_it).is_ok());
    let _ = cell.seal(&mut reader, "b", "", b"");
    assert_eq!(reader.stats().requests, 2, "the old key is refused, the next is not");
}
