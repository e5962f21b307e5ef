//! When a member asks.

use std::collections::BTreeMap;

use keycell_client::{AgentConfig, Membership};
use keycell_protocol::{Cause, Problem, ProblemType};

use super::{Cell, cell, listener, member, name, pass};
use crate::cell::{START, TURN, TURN_MS};

#[test]
fn once_a_lifetime_and_never_for_a_message() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    let mut asked = vec![cell.group_requests().len()];
    for n in 0..200_u32 {
        pass(&mut cell, &mut [&mut a], TURN_MS / 10);
        let message = cell.seal(&mut cma, "probe", "t", &n.to_be_bytes());
        assert_eq!(cell.open(&mut a, &message).unwrap().body, n.to_be_bytes());
        if n % 10 == 9 {
            asked.push(cell.group_requests().len());
        }
    }
    // The moment is drawn inside the time of each key; so in no time of a key there are two.
    assert_eq!(asked[0], 1);
    assert!(asked.iter().all(|asked| *asked <= 1), "{asked:?}");
    assert!(asked.iter().sum::<usize>() >= 19, "{asked:?}");
    let stats = a.stats();
    assert_eq!((stats.group_refetches, stats.waited, stats.requests), (0, 0, 0));
}

#[test]
fn members_do_not_ask_together() {
    let mut cell = Cell::new();
    let names: Vec<_> = (0..400).map(|n| format!("probe.{n}")).collect();
    cell.group("probe", &names.iter().map(String::as_str).collect::<Vec<_>>());
    let mut members: Vec<_> = names.iter().map(|name| member(&mut cell, name)).collect();
    pass(&mut cell, &mut members.iter_mut().collect::<Vec<_>>(), TURN_MS);
    cell.group_requests();
    pass(&mut cell, &mut members.iter_mut().collect::<Vec<_>>(), TURN_MS);
    let mut tenths = BTreeMap::<u64, usize>::new();
    for request in cell.group_requests() {
        *tenths.entry(request.timestamp.distance(START) * 10 / TURN_MS).or_default() += 1;
    }
    assert_eq!(tenths.values().sum::<usize>(), 400);
    // Eight tenths with 50 each, more or less; none at the edges.
    assert_eq!(tenths.keys().copied().collect::<Vec<_>>(), (11..19).collect::<Vec<_>>());
    assert!(tenths.values().all(|asked| (25..=85).contains(asked)), "{tenths:?}");
}

#[test]
fn while_no_kdc_answers_the_keys_at_hand_go_on_and_then_it_heals() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    let key_ends = |cell: &Cell, a: &keycell_client::Agent| match a.groups(cell.now)[..] {
        [(_, Membership::Member { until })] => Some(until),
        _ => None,
    };
    assert_eq!(key_ends(&cell, &a), Some(START.seconds().plus(3 * TURN)));
    cell.up = false;
    let messages = [0, 1].map(|_| {
        // The sender has another way to the KDC.
        cell.up = true;
        let message = cell.seal(&mut cma, "probe", "t", b"x");
        cell.up = false;
        pass(&mut cell, &mut [&mut a], TURN_MS);
        message
    });
    assert!(cell.refused(&mut a, &messages[0]) == Cause::Expired, "the ticket, not the key");
    cell.up = true;
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    cell.up = false;
    assert_eq!(cell.refused(&mut a, &message).code(), "waiting");
    assert!(a.failing_since().is_some());
    // Several lifetimes without any.
    pass(&mut cell, &mut [&mut a], 5 * TURN_MS);
    assert_eq!(a.groups(cell.now), [(name("probe"), Membership::Asked)]);
    let failures = a.stats().failures;
    assert!((40..400).contains(&failures), "{failures} tries in half an hour");
    cell.up = true;
    pass(&mut cell, &mut [&mut a], 60_000);
    assert!(key_ends(&cell, &a).is_some() && a.failing_since().is_none());
    let message = cell.seal(&mut cma, "probe", "t", b"y");
    assert_eq!(cell.open(&mut a, &message).unwrap().body, b"y");
    // The one that waited is over, and is given as that.
    let given: Vec<_> =
        a.open_waiting(cell.now).into_iter().map(|given| given.unwrap_err().cause()).collect();
    assert_eq!(given, [Cause::Expired]);
}

#[test]
fn a_busy_kdc_and_one_of_an_earlier_release_are_left_alone() {
    let mut cell = cell();
    let mut a = listener(&mut cell, "probe.a");
    let mut busy = Problem::new(ProblemType::Overloaded);
    busy.retry_after = Some(90);
    cell.busy = Some(busy);
    cell.serve(&mut a);
    assert!(a.next_wakeup(cell.now).unwrap() >= START.plus(90_000));
    cell.busy = Some(Problem::new(ProblemType::NotFound));
    pass(&mut cell, &mut [&mut a], 100_000);
    let next = a.next_wakeup(cell.now).unwrap();
    assert!(next >= cell.now.plus(60_000), "{next} {}", cell.now);
    cell.busy = None;
    pass(&mut cell, &mut [&mut a], 450_000);
    assert!(matches!(a.groups(cell.now)[..], [(_, Membership::Member { .. })]));
}

#[test]
fn who_is_no_member_asks_seldom_and_finds_its_way_back() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    cell.remove_member("probe", "probe.a");
    pass(&mut cell, &mut [&mut a], 2 * TURN_MS);
    cell.group_requests();
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert_eq!(cell.refused(&mut a, &message), Cause::NotForMe);
    pass(&mut cell, &mut [&mut a], 86_400_000);
    let asked = cell.group_requests().len();
    assert!((24..=52).contains(&asked), "{asked} requests in a day");
    cell.group_mut("probe").members.insert(name("probe.a"));
    // By itself within the hour, or at once.
    a.join(cell.now, &name("probe"));
    cell.serve(&mut a);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert!(cell.open(&mut a, &message).is_ok());
}

#[test]
fn a_group_that_is_out_of_service_keeps_its_keys() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    cell.group_mut("probe").problem = Some(ProblemType::Unavailable);
    pass(&mut cell, &mut [&mut a], TURN_MS + TURN_MS * 95 / 100);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert!(cell.open(&mut a, &message).is_ok());
    cell.group_mut("probe").problem = None;
    pass(&mut cell, &mut [&mut a], 30_000);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert!(cell.open(&mut a, &message).is_ok());
}

#[test]
fn a_wrong_clock_is_corrected_and_a_jump_is_survived() {
    for off in [-3_600_000, 3_600_000] {
        let mut cell = cell();
        let mut cma = cell.agent("cma");
        let config = AgentConfig::default().first_use().member_of([name("probe")]);
        let mut a = cell.process("probe.a", &config, off);
        cell.serve_off(&mut a, off);
        assert_eq!(a.clock_correction_ms(), -off);
        let open = |cell: &mut Cell, cma: &mut _, a: &mut keycell_client::Agent, off| {
            let message = cell.seal(cma, "probe", "t", b"x");
            a.open(cell.now.shifted(off), &message).map(|_| ()).map_err(|error| error.cause())
        };
        assert_eq!(open(&mut cell, &mut cma, &mut a, off), Ok(()));
        // Somebody sets it right. Until a KDC tells so, this member lives in another hour; but it asks.
        cell.serve_off(&mut a, 0);
        for _ in 0..(2 * TURN_MS / 10_000) {
            cell.pass(10_000);
            cell.serve_off(&mut a, 0);
        }
        assert_eq!(open(&mut cell, &mut cma, &mut a, 0), Ok(()), "after it was off by {off}");
        assert_eq!(a.clock_correction_ms(), 0);
    }
}
