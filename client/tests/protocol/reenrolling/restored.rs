//! The host, or the KDC, is not what it was: restored from a backup, or forgotten.

use keycell_client::Standing;
use keycell_protocol::Generation;

use super::{HOUR, cell, enrollments, is_well, live};
use crate::cell::{Admit, DAY, name};

/// Its file is from before a rotation, and the KDC has a living key of it.
#[test]
fn a_restored_host_gets_a_key_beside_the_living_one_and_commits_it() {
    let (mut cell, mut host) = cell();
    let (old, bundle) = (host.disk.clone(), host.bundle.clone());
    assert!(host.agent.rotate());
    host.serve(&mut cell);
    assert_eq!(host.agent.generation(), Generation(2));
    cell.pass(2 * DAY);
    (host.disk, host.bundle) = (old, bundle);
    host.crash(&cell);
    host.agent.keep(cell.now, &name("b")).unwrap();
    live(&mut cell, &mut host, 10 * 60_000);
    assert_eq!((host.agent.generation(), enrollments(&cell)), (Generation(3), 1));
    assert_eq!(host.agent.stats().rotations, 1);
    is_well(&mut cell, &mut host);
}

/// The host has been given more keys than the KDC knows of.
#[test]
fn a_restored_kdc_is_come_to_again() {
    for rotations in 1..4 {
        let (mut cell, mut host) = cell();
        let backup = cell.parties[host.agent.name()].clone();
        for _ in 0..rotations {
            cell.pass(2 * DAY);
            assert!(host.agent.rotate());
            host.serve(&mut cell);
        }
        assert_eq!(host.agent.generation().0, 1 + rotations);
        cell.pass(2 * DAY);
        host.serve(&mut cell);
        cell.parties.insert(host.agent.name().clone(), backup);
        let known = host.agent.generation();
        for _ in 0..3 * 3_600 {
            live(&mut cell, &mut host, 1_000);
            // No number is given to another key.
            let (file, newest) = (host.file(), host.agent.generation());
            assert!(newest == known || newest.0 == known.0 + 1, "{newest:?}");
            // The KDC knows none of those before it.
            assert!(file.staged.is_none() && file.retiring.iter().all(|old| old.erased == (newest != known)));
        }
        is_well(&mut cell, &mut host);
        assert_eq!(host.agent.generation().0, known.0 + 1);
        // Each one that is not taken brings the KDC's numbers further.
        assert_eq!(enrollments(&cell) as u32, rotations + 1);
        let times: Vec<_> = cell.gate.requests[1..].iter().map(|(at, _)| at.0).collect();
        let took = times.last().unwrap() - times.first().unwrap();
        assert!(took < 8 * 60_000 && (rotations == 1 || took > 5_000), "{took} ms, not all at once");
    }
}

/// Its generations begin anew then, whichever the host is at.
#[test]
fn a_host_that_the_kdc_forgot_comes_as_a_stranger() {
    for rotations in 0..3 {
        let (mut cell, mut host) = cell();
        for _ in 0..rotations {
            cell.pass(2 * DAY);
            assert!(host.agent.rotate());
            host.serve(&mut cell);
        }
        assert_eq!(host.agent.generation().0, 1 + rotations);
        cell.forget(&host.agent.name().clone());
        cell.gate.admit = Admit::Later(600);
        live(&mut cell, &mut host, HOUR);
        assert!(matches!(host.agent.reenrollment_standing(), Some(Standing::Pending { .. })));
        // An administrator has looked.
        cell.gate.admit = Admit::Everybody;
        live(&mut cell, &mut host, HOUR);
        assert_eq!((host.agent.generation(), host.file().key.generation()), (Generation(1), Generation(1)));
        is_well(&mut cell, &mut host);
        host.crash(&cell);
        host.agent.keep(cell.now, &name("b")).unwrap();
        is_well(&mut cell, &mut host);
        cell.pass(2 * DAY);
        assert!(host.agent.rotate());
        host.serve(&mut cell);
        assert_eq!(host.agent.generation(), Generation(2));
        is_well(&mut cell, &mut host);
    }
}

#[test]
fn who_is_not_let_in_again_asks_seldom() {
    let (mut cell, mut host) = cell();
    let me = host.agent.name().clone();
    cell.erase(&me);
    cell.gate.admit = Admit::Nobody;
    live(&mut cell, &mut host, DAY);
    assert!((20..60).contains(&enrollments(&cell)), "{} in a day", enrollments(&cell));
    assert_eq!(host.agent.reenrollment_standing(), Some(Standing::Refused));
    // Or an administrator is to look first.
    cell.gate.admit = Admit::Later(600);
    live(&mut cell, &mut host, 2 * HOUR);
    assert!(matches!(host.agent.reenrollment_standing(), Some(Standing::Pending { .. })));
    cell.gate.admit = Admit::Everybody;
    live(&mut cell, &mut host, HOUR);
    assert_eq!(host.agent.reenrollment_standing(), None);
    is_well(&mut cell, &mut host);
}

#[test]
fn known_again_it_asks_no_more() {
    let (mut cell, mut host) = cell();
    let me = host.agent.name().clone();
    let party = cell.parties[&me].clone();
    cell.erase(&me);
    cell.gate.within = Some(86_400);
    live(&mut cell, &mut host, 20 * 60_000);
    assert_eq!(host.agent.reenrollment_standing(), Some(Standing::Asking));
    cell.parties.insert(me, party);
    live(&mut cell, &mut host, DAY);
    assert_eq!((enrollments(&cell), host.agent.reenrollment_standing()), (0, None));
    is_well(&mut cell, &mut host);
}
