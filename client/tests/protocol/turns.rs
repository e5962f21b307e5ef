//! Keys that turn as the days pass: on the disk and in memory, by what the KDC sealed and never by a clock alone.

use crate::cell::{Cell, DAY, Host, LIFETIME, PERIOD, START, name};
use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, RestartGuard};
use keycell_protocol::{Cause, Epoch, Generation, LongTermKey, ProblemType, UnixMillis};

fn today(cell: &Cell) -> Epoch {
    PERIOD.epoch(cell.now.seconds())
}

fn before(epoch: Epoch) -> Epoch {
    let [before, ..] = epoch.neighbours();
    before
}

/// A message to `to` under a fresh ticket.
fn message(cell: &mut Cell, to: &str) -> Vec<u8> {
    let mut sender = cell.agent("sender");
    cell.seal(&mut sender, to, "", b"")
}

#[test]
fn a_reply_turns_the_key_to_the_day_before() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    let made = today(&cell);
    for day in 1..5 {
        cell.pass(DAY);
        a.ask(&mut cell, "b");
        assert_eq!(a.file().key.epoch(), before(today(&cell)), "day {day}");
        assert_eq!(a.agent.stats().key_saves, day - 1, "the day it was made is the overlap of the next");
    }
    let expected = cell.key("a").key.advance(Epoch(made.0 + 3)).unwrap();
    assert_eq!(a.file().key.expose_secret(), expected.expose_secret());
    // Nothing is written twice.
    cell.pass(LIFETIME * 1000);
    a.ask(&mut cell, "b");
    assert_eq!(a.agent.stats().key_saves, 3);
}

#[test]
fn who_only_receives_turns_too() {
    let mut cell = Cell::new();
    let mut b = Host::new(&mut cell, "b");
    cell.pass(9 * DAY);
    let message = message(&mut cell, "b");
    assert!(b.opens(&cell, &message));
    b.save();
    assert_eq!(b.file().key.epoch(), before(today(&cell)));
    assert_eq!(b.agent.stats().requests, 0);
}

#[test]
fn what_does_not_open_turns_nothing() {
    let mut cell = Cell::new();
    let mut b = Host::new(&mut cell, "b");
    cell.pass(9 * DAY);
    let mut message = message(&mut cell, "b");
    *message.last_mut().unwrap() ^= 1;
    assert!(!b.opens(&cell, &message));
    assert!(b.agent.unsaved().is_none());
}

#[test]
fn the_clock_alone_turns_nothing() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    let made = a.disk.clone();
    cell.up = false;
    for _ in 0..40 {
        cell.pass(DAY);
        a.ask(&mut cell, "b");
    }
    assert!(a.agent.unsaved().is_none());
    assert_eq!(a.disk, made);
}

#[test]
fn an_agent_without_a_file_leaves_its_key_as_it_is() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    cell.want_rotation("a");
    cell.pass(9 * DAY);
    cell.seal(&mut a, "b", "", b"");
    assert!(a.unsaved().is_none());
    assert!(!a.rotate());
    assert_eq!((a.stats().rotations, a.stats().key_saves), (0, 0));
    // Nothing is gone: a message of any day whose ticket were alive would open.
    assert!(format!("{a:?}").contains(&format!("{:?}", PERIOD.epoch(START.seconds()))));
}

#[test]
fn a_year_asleep() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    for crash in [false, true] {
        cell.pass(365 * DAY);
        if crash {
            a.crash(&cell);
        }
        let message = message(&mut cell, "a");
        assert!(a.opens(&cell, &message));
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
        assert_eq!(a.file().key.epoch(), before(today(&cell)));
        // A second later it is as if it had never slept.
        cell.pass(1_000);
        let message = self::message(&mut cell, "a");
        assert!(a.opens(&cell, &message));
    }
}

#[test]
fn an_old_backup_of_the_file_goes_on() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    let backup = a.disk.clone();
    for _ in 0..100 {
        cell.pass(DAY);
        a.ask(&mut cell, "b");
    }
    a.disk = backup;
    a.crash(&cell);
    let message = message(&mut cell, "a");
    assert!(a.opens(&cell, &message));
    a.ask(&mut cell, "b");
    assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
    assert_eq!(a.file().key.epoch(), before(today(&cell)));
}

#[test]
fn a_clock_that_is_a_day_wrong_loses_nothing() {
    for off in [-3 * DAY as i64, -(DAY as i64), DAY as i64, 3 * DAY as i64, 300 * DAY as i64] {
        let mut cell = Cell::new();
        let mut a = Host::new(&mut cell, "a");
        cell.key("b");
        cell.pass(10 * DAY);
        a.off = off;
        a.crash(&cell);
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(a.now(&cell), &name("b")).is_some(), "{off}");
        assert_eq!(a.agent.clock_correction_ms(), -off);
        assert_eq!(a.file().key.epoch(), before(today(&cell)), "{off}");
        let message = message(&mut cell, "a");
        assert!(a.opens(&cell, &message), "{off}");
        // The clock is set right.
        a.off = 0;
        a.crash(&cell);
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some(), "{off}");
    }
}

#[test]
fn both_sides_of_midnight() {
    // The host's clock is up to 50 s off, so that one is in the old day while the other is in the new.
    for off in [-50_000_i64, 0, 50_000] {
        let mut cell = Cell::new();
        let mut a = Host::new(&mut cell, "a");
        a.off = off;
        cell.key("b");
        let midnight = UnixMillis((START.0 / DAY + 3) * DAY);
        cell.now = midnight.minus(40_000);
        a.crash(&cell);
        a.ask(&mut cell, "b");
        let late = message(&mut cell, "a");
        cell.now = midnight.plus(10_000);
        let early = message(&mut cell, "a");
        a.ask(&mut cell, "b");
        a.agent.want(a.now(&cell), &name("c")).unwrap();
        a.serve(&mut cell);
        assert_eq!(a.file().key.epoch(), before(today(&cell)), "{off}");
        for message in [&early, &late] {
            assert!(a.opens(&cell, message), "{off}");
        }
        // And after a restart with what is on the disk.
        a.crash(&cell);
        for message in [&early, &late] {
            assert!(a.opens(&cell, message), "{off}");
        }
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(a.now(&cell), &name("b")).is_some(), "{off}");
    }
}

#[test]
fn killed_at_any_moment_of_saving_it_goes_on() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    cell.pass(9 * DAY);
    let old = a.disk.clone();
    a.ask(&mut cell, "b");
    let new = a.disk.clone();
    assert_ne!(old, new);
    // Before the rename, after it, and long after.
    for later in [0, DAY, 40 * DAY] {
        cell.pass(later);
        for disk in [&old, &new] {
            a.disk.clone_from(disk);
            a.crash(&cell);
            let message = message(&mut cell, "a");
            assert!(a.opens(&cell, &message));
            a.ask(&mut cell, "b");
            assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
        }
    }
}

#[test]
fn a_full_disk_stops_no_message() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    let made = a.disk.clone();
    a.disk_full = true;
    for day in 1..30 {
        cell.pass(DAY);
        a.ask(&mut cell, "b");
        let message = message(&mut cell, "a");
        assert!(a.opens(&cell, &message), "day {day}");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
    }
    assert_eq!(a.disk, made);
    assert!(a.agent.stats().key_save_failures > 20);
    a.disk_full = false;
    a.save();
    assert_eq!(a.file().key.epoch(), before(today(&cell)));
}

#[test]
fn a_kdc_whose_clock_jumps_leaves_no_host_behind() {
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    cell.key("b");
    let right = cell.now;
    // Ten years ahead for an hour.
    cell.pass(3_650 * DAY);
    a.off = -(3_650 * DAY as i64);
    a.ask(&mut cell, "b");
    assert!(a.agent.ticket_expiration(a.now(&cell), &name("b")).is_some(), "messages go on by that clock");
    assert!(a.agent.unsaved().is_none(), "and the key is where it was");
    cell.now = right.plus(3_600_000);
    a.off = 0;
    for crash in [false, true] {
        if crash {
            a.crash(&cell);
        }
        a.ask(&mut cell, "b");
        assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
    }
    // A host that has no clock of its own takes a month on trust, and a year when its clock agrees.
    a.off = -(cell.now.0 as i64);
    cell.pass(30 * DAY);
    a.off -= 30 * DAY as i64;
    a.crash(&cell);
    a.ask(&mut cell, "b");
    assert_eq!(a.file().key.epoch(), before(today(&cell)));
    cell.pass(365 * DAY);
    a.off -= 365 * DAY as i64;
    a.crash(&cell);
    a.ask(&mut cell, "b");
    assert!(a.agent.unsaved().is_none());
    a.off = 0;
    a.crash(&cell);
    a.ask(&mut cell, "b");
    assert_eq!(a.file().key.epoch(), before(today(&cell)));
}

/// What somebody has who takes the host today, its disk and the memory of its process, and recorded what went before.
#[test]
fn what_was_recorded_before_the_overlap_does_not_open_any_more() {
    let mut cell = Cell::new();
    let mut b = Host::new(&mut cell, "b");
    let mut recorded = Vec::new();
    for _ in 0..6 {
        let message = message(&mut cell, "b");
        assert!(b.opens(&cell, &message));
        b.save();
        recorded.push((cell.now, message));
        cell.pass(DAY);
    }
    let now = cell.now;
    b.agent.wants(now);

    // The disk: every key that the bytes of the file hold, turned to any day there is.
    let file = String::from_utf8(b.disk.clone()).unwrap();
    assert_eq!(file.matches("\"key\"").count(), 1);
    let stolen = b.file();
    let mut opened = Vec::new();
    for (day, (sent, message)) in recorded.iter().enumerate() {
        let mut any = false;
        for epoch in 0..10 {
            let epoch = Epoch(stolen.key.epoch().0 + epoch);
            let key = stolen.key.clone().advance(epoch).unwrap();
            // As if it were of the day of the ticket: nothing but the secret decides.
            let of_that_day =
                LongTermKey::new(Generation::FIRST, PERIOD.epoch(sent.seconds()), *key.expose_secret());
            let mut config = AgentConfig::default();
            config.opener.restart_guard = RestartGuard::Off;
            let file = AgentKey::new(name("b"), of_that_day, PERIOD, KdcAddress::default());
            let mut thief = Agent::new(file, &config, *sent, keycell_client::system_rng());
            any |= thief.open(*sent, message).is_ok();
        }
        if any {
            opened.push(day);
        }
    }
    // The last message came on day 5, and proved it: what is left is the day before, for what is on its way, and on.
    assert_eq!(opened, [4, 5]);

    // The memory: the agent itself, with its clock set back to any of those days and its replay windows out of the way.
    for (day, (sent, message)) in recorded.iter().enumerate() {
        let cause = b.agent.open(*sent, message).unwrap_err().cause();
        let gone = matches!(cause, Cause::NoKey { .. } | Cause::Expired);
        assert!(gone || day >= 4, "day {day}: {cause}");
    }
    let held = format!("{:?}", b.agent);
    for day in 0..4 {
        let epoch = Epoch(PERIOD.epoch(START.seconds()).0 + day);
        assert!(!held.contains(&format!("{epoch:?}")), "{held}");
    }
}

#[test]
fn a_stranger_with_a_right_name_gets_no_further() {
    // A KDC that does not know the key cannot turn it.
    let mut cell = Cell::new();
    let mut a = Host::new(&mut cell, "a");
    let mut other = Cell::new();
    other.key("b");
    other.pass(5 * DAY);
    cell.pass(5 * DAY);
    let _ = a.agent.want(cell.now, &name("b"));
    let pending = a.agent.wants(cell.now).unwrap();
    assert_eq!(a.answer(&mut other, &pending), Some(ProblemType::Unauthenticated));
    assert!(a.agent.unsaved().is_none());
}
