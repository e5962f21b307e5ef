//! When a host enrolls again: at a moment of its own, which nobody puts off for long.

use keycell_protocol::UnixMillis;

use super::{HOUR, b_again, enrollments, is_well, live, nth_cell};
use crate::cell::{Cell, Host, name};

/// It has the KDC's TLS key and a place on the way, for a while.
#[test]
fn whoever_forges_a_refusal_keeps_a_host_away_for_no_longer_than_the_kdc_says() {
    for n in 0..8 {
        let (mut cell, mut host) = nth_cell(n);
        let me = host.agent.name().clone();
        cell.erase(&me);
        cell.gate.within = Some(86_400);
        while host.agent.reenrollment_standing().is_none() {
            live(&mut cell, &mut host, 1_000);
        }
        let begin = cell.now;
        cell.gate.within = Some(60);
        while enrollments(&cell) == 0 && cell.now.0 - begin.0 < 2 * HOUR {
            live(&mut cell, &mut host, 1_000);
        }
        // The next refusal comes within half a minute and a second, and the KDC's minute counts from there.
        assert!(cell.now.0 - begin.0 <= 95_000, "{n}: {} ms", cell.now.0 - begin.0);
        is_well(&mut cell, &mut host);
    }
}

#[test]
fn no_refusal_keeps_a_host_away_for_longer_than_it_says_itself() {
    let mut waits = Vec::new();
    for n in 0..12 {
        let (mut cell, mut host) = nth_cell(n);
        let me = host.agent.name().clone();
        cell.erase(&me);
        cell.gate.within = Some(u32::MAX);
        while host.agent.reenrollment_standing().is_none() {
            live(&mut cell, &mut host, 1_000);
        }
        let begin = cell.now;
        while enrollments(&cell) == 0 && cell.now.0 - begin.0 < 2 * HOUR {
            live(&mut cell, &mut host, 1_000);
        }
        waits.push(cell.now.0 - begin.0);
    }
    // Spread over all of the hour.
    assert!(
        waits.iter().all(|wait| *wait <= HOUR + 2_000) && waits.iter().any(|wait| *wait > HOUR / 2),
        "{waits:?}"
    );
    assert!(waits.iter().any(|wait| *wait < HOUR / 2), "{waits:?}");
}

#[test]
fn a_fleet_comes_back_spread_over_the_time_that_the_kdc_names() {
    let mut cell = Cell::new();
    cell.gate.within = Some(600);
    cell.key("b");
    let mut hosts: Vec<_> =
        (0..200).map(|n| Host::enrolled(&mut cell, "nanoprobe", &format!("web{n}"))).collect();
    let enrolled = cell.gate.requests.len();
    cell.recover();
    b_again(&mut cell);
    for host in &mut hosts {
        host.agent.keep(cell.now, &name("b")).unwrap();
    }
    let begin = cell.now;
    for _ in 0..720 {
        hosts.iter_mut().for_each(|host| host.serve(&mut cell));
        cell.pass(1_000);
    }
    let times: Vec<UnixMillis> = cell.gate.requests[enrolled..].iter().map(|(at, _)| *at).collect();
    assert_eq!(times.len(), 200);
    let minute = |n: u64| times.iter().filter(|at| (at.0 - begin.0) / 60_000 == n).count();
    // Two refusals 30 s apart, and a third: none earlier than after a minute, then evenly.
    assert_eq!(minute(0), 0);
    assert!((1..=10).all(|n| (5..45).contains(&minute(n))), "{:?}", (0..12).map(minute).collect::<Vec<_>>());
    for host in &mut hosts {
        assert!(host.agent.ticket_expiration(cell.now, &name("b")).is_some());
    }
}

/// The KDC is not the one that gave the key, or loses it again.
#[test]
fn a_key_that_nobody_knows_either_is_replaced_later_and_later() {
    let (mut cell, mut host) = nth_cell(0);
    let me = host.agent.name().clone();
    cell.gate.within = Some(60);
    cell.erase(&me);
    let (mut last, mut waits) = (cell.now, Vec::new());
    while waits.len() < 10 {
        while let Some(pending) = host.agent.wants(cell.now) {
            host.answer(&mut cell, &pending);
            host.save();
            if pending.path() == "/v1/enroll" {
                cell.erase(&me);
                waits.push(cell.now.0 - last.0);
                last = cell.now;
            }
        }
        cell.pass(1_000);
    }
    // The first one only begins when its ticket is to be renewed.
    assert!(waits.iter().skip(1).take(2).all(|wait| *wait < 5 * 60_000), "{waits:?}");
    assert!(waits.iter().skip(5).any(|wait| *wait > 20 * 60_000), "{waits:?}");
    assert!(waits.iter().all(|wait| *wait < HOUR + 120_000), "{waits:?}");
    // Known for once, it is as if that had not been.
    live(&mut cell, &mut host, HOUR + 120_000);
    is_well(&mut cell, &mut host);
    cell.erase(&me);
    let before = (cell.now, enrollments(&cell));
    while enrollments(&cell) == before.1 {
        live(&mut cell, &mut host, 1_000);
    }
    assert!(cell.now.0 - before.0.0 < 20 * 60_000);
}
