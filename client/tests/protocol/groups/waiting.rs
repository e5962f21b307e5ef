//! Messages under a key that a member does not hold yet.

use keycell_client::Agent;
use keycell_protocol::{Cause, UnixMillis};

use super::{Cell, cell, listener, member, pass};
use crate::cell::TURN_MS;

fn bodies(agent: &mut Agent, now: UnixMillis) -> Vec<Vec<u8>> {
    agent.open_waiting(now).into_iter().map(|opened| opened.unwrap().body).collect()
}

/// A sender whose tickets are all from now on.
fn sender(cell: &mut Cell) -> Agent {
    cell.agent("cma")
}

#[test]
fn after_a_rotation_they_wait_for_one_request_and_open_in_order() {
    let mut cell = cell();
    cell.group_mut("probe").spread = 20_000;
    let (mut a, mut b) = (member(&mut cell, "probe.a"), member(&mut cell, "probe.b"));
    let before = sender(&mut cell);
    let before = cell.seal_first(before);
    cell.pass(1_000);
    cell.group_requests();
    cell.rotate_group("probe");
    let mut cma = sender(&mut cell);
    let messages = [0, 1, 2].map(|n| cell.seal(&mut cma, "probe", "t", &[n]));
    for message in &messages {
        assert_eq!(cell.refused(&mut a, message).code(), "waiting");
        assert_eq!(cell.refused(&mut b, message).code(), "waiting");
    }
    assert!(a.open_waiting(cell.now).is_empty());
    assert_eq!((a.stats().waiting, a.stats().refused.len()), (3, 0), "to wait is no refusal");
    // What was on its way before opens all the while.
    assert!(cell.open(&mut a, &before).is_ok());
    let (at_a, at_b) = (a.next_wakeup(cell.now).unwrap(), b.next_wakeup(cell.now).unwrap());
    assert!(at_a <= cell.now.plus(20_000) && at_b <= cell.now.plus(20_000) && at_a != at_b);
    pass(&mut cell, &mut [&mut a, &mut b], 20_001);
    assert_eq!(cell.group_requests().len(), 2);
    for agent in [&mut a, &mut b] {
        assert_eq!(bodies(agent, cell.now), [[0], [1], [2]]);
        assert!(agent.open_waiting(cell.now).is_empty());
        let stats = agent.stats();
        assert_eq!((stats.group_refetches, stats.waiting, stats.waited_in_vain), (1, 0, 0));
        messages.iter().for_each(|message| assert_eq!(cell.refused(agent, message), Cause::Replayed));
    }
    // What is on its way under a key of before opens after it too.
    assert!(cell.open(&mut b, &before).is_ok());
    assert_eq!(cell.refused(&mut a, &before), Cause::Replayed);
    // And it is quiet again: one each in the time of each key.
    pass(&mut cell, &mut [&mut a, &mut b], 4 * TURN_MS);
    let asked = cell.group_requests().len();
    assert!((6..=10).contains(&asked), "{asked}");
}

#[test]
fn before_the_first_keys_they_wait_too() {
    let mut cell = cell();
    let (mut cma, mut a) = (sender(&mut cell), listener(&mut cell, "probe.a"));
    let message = cell.seal(&mut cma, "probe", "t", b"early");
    assert_eq!(cell.refused(&mut a, &message).code(), "waiting");
    cell.serve(&mut a);
    assert_eq!(bodies(&mut a, cell.now), [b"early"]);
    assert_eq!(cell.group_requests().len(), 1);
    assert_eq!(a.stats().group_refetches, 0, "they were asked for anyway");
}

#[test]
fn a_kdc_that_has_not_heard_of_the_change_is_asked_again_soon() {
    let mut cell = cell();
    let mut a = member(&mut cell, "probe.a");
    let mut other = Cell::clone_groups(&cell);
    // The sender's KDC knows more than the member's.
    other.rotate_group("probe");
    let mut cma = sender(&mut other);
    let message = other.seal(&mut cma, "probe", "t", b"x");
    assert_eq!(cell.refused(&mut a, &message).code(), "waiting");
    cell.serve(&mut a);
    assert!(a.open_waiting(cell.now).is_empty());
    let next = a.next_wakeup(cell.now).unwrap();
    assert!(next > cell.now && next <= cell.now.plus(2_500), "{next} {}", cell.now);
    cell.take_groups(other);
    pass(&mut cell, &mut [&mut a], 3_000);
    assert_eq!(bodies(&mut a, cell.now), [b"x"]);
}
