//! A host that no KDC knows any more comes aboard again by itself, and no other does.

mod erased;
mod looking;
mod restored;
mod spread;

use keycell_protocol::{Bundle, Generation, IdentityName, Problem, ProblemType};

use crate::cell::{Cell, DAY, Host, LIFETIME, name};

const HOUR: u64 = 3_600_000;

/// A host that keeps a ticket for `b`, as one does that is to notice what becomes of it.
fn cell() -> (Cell, Host) {
    nth_cell(0)
}

/// As [`cell`], where other random numbers are drawn for each `n`.
fn nth_cell(n: u32) -> (Cell, Host) {
    let mut cell = Cell::new();
    cell.key("b");
    (0..n).for_each(|n| drop(cell.key(&format!("other{n}"))));
    let mut host = Host::enrolled(&mut cell, "nanoprobe", "web1.example");
    host.agent.keep(cell.now, &name("b")).unwrap();
    host.serve(&mut cell);
    assert!(has_ticket(&cell, &host));
    (cell, host)
}

fn has_ticket(cell: &Cell, host: &Host) -> bool {
    host.agent.ticket_expiration(host.now(cell), &name("b")).is_some()
}

/// Lets time pass, a second at a time.
fn live(cell: &mut Cell, host: &mut Host, millis: u64) {
    let end = cell.now.plus(millis);
    while cell.now < end {
        host.serve(cell);
        cell.pass(1_000);
    }
    host.serve(cell);
}

/// The ticket that it has ends, so that it needs the KDC.
fn need_a_ticket(cell: &mut Cell, host: &mut Host) {
    live(cell, host, LIFETIME * 1000);
}

fn enrollments(cell: &Cell) -> usize {
    cell.gate.requests.len() - 1
}

fn b_again(cell: &mut Cell) {
    cell.key("b");
}

fn is_well(cell: &mut Cell, host: &mut Host) {
    need_a_ticket(cell, host);
    assert!(has_ticket(cell, host));
    let mut sender = cell.agent("sender");
    let me = host.agent.name().local().to_owned();
    let message = cell.seal(&mut sender, &me, "", b"");
    assert!(host.opens(cell, &message));
    let party = &cell.parties[host.agent.name()];
    assert_eq!(host.file().key.generation(), party.active.generation());
    assert!(host.file().staged.is_none());
    assert_eq!(host.bundle, Some(cell.gate.bundle().to_json()));
}

#[test]
fn after_a_recovery_the_host_comes_back_under_its_name() {
    let (mut cell, mut host) = cell();
    let me = host.agent.name().clone();
    let mut sender = cell.agent("sender");
    let in_flight = cell.seal(&mut sender, me.local(), "", b"under the key before");
    let author = host.agent.author_key();
    cell.recover();
    b_again(&mut cell);
    live(&mut cell, &mut host, HOUR);
    assert_eq!((enrollments(&cell), host.agent.stats().reenrollments), (1, 1));
    let (_, request) = cell.gate.requests.last().unwrap();
    assert_eq!((request.name().name(&"z".parse().unwrap()), request.token.is_none()), (me.clone(), true));
    assert_eq!((host.agent.name(), host.agent.author_key()), (&me, author));
    assert_eq!(host.agent.generation(), Generation(2));
    let bundle = Bundle::from_json(host.bundle.as_ref().unwrap()).unwrap();
    assert_eq!(bundle.identities[0].name, IdentityName::SECONDARY);
    assert_eq!(host.file().signers, [bundle.identities[0].signing_key, bundle.identities[1].signing_key]);
    // What was sealed before is too old by now; the key for it is kept for as long as a ticket may last.
    assert!(!host.opens(&cell, &in_flight));
    assert_eq!(host.file().retiring.len(), 1);
    is_well(&mut cell, &mut host);
    cell.pass(DAY + HOUR);
    host.serve(&mut cell);
    assert!(host.file().retiring.is_empty());
    // And another time.
    cell.recover();
    b_again(&mut cell);
    live(&mut cell, &mut host, HOUR);
    assert_eq!(host.agent.generation(), Generation(3));
    is_well(&mut cell, &mut host);
    assert_eq!(enrollments(&cell), 2);
}

#[test]
fn nothing_that_is_under_way_is_lost() {
    let (mut cell, mut host) = cell();
    let me = host.agent.name().local().to_owned();
    // It comes to ask while it still has a ticket.
    live(&mut cell, &mut host, 590_000);
    let mut sender = cell.agent("sender");
    let in_flight: Vec<_> = (0..2).map(|_| cell.seal(&mut sender, &me, "", b"")).collect();
    let b = cell.parties[&name("b")].clone();
    cell.recover();
    cell.parties.insert(name("b"), b);
    live(&mut cell, &mut host, 150_000);
    assert_eq!(host.agent.generation(), Generation(2));
    assert!(host.opens(&cell, &in_flight[0]));
    host.crash(&cell);
    assert!(host.opens(&cell, &in_flight[1]), "from what is in the file");
    // Tickets go on too.
    let (mut cell, mut host) = self::cell();
    let mut other = cell.agent("b");
    live(&mut cell, &mut host, 590_000);
    let b = cell.parties[&name("b")].clone();
    cell.recover();
    cell.parties.insert(name("b"), b);
    for _ in 0..150 {
        let message = host.agent.seal(cell.now, &name("b"), "", b"").unwrap();
        assert!(other.open(cell.now, &message).is_ok());
        live(&mut cell, &mut host, 1_000);
    }
    assert_eq!((host.agent.generation(), enrollments(&cell)), (Generation(2), 1));
}

#[test]
fn it_takes_three_refusals_over_half_a_minute() {
    let (mut cell, mut host) = cell();
    need_a_ticket(&mut cell, &mut host);
    let party = cell.parties[host.agent.name()].clone();
    let me = host.agent.name().clone();
    for _ in 0..20 {
        // Two refusals, and the KDC knows it again.
        cell.erase(&me);
        let before = host.agent.stats().refusals;
        while host.agent.stats().refusals < before + 2 {
            live(&mut cell, &mut host, 1_000);
        }
        cell.parties.insert(me.clone(), party.clone());
        need_a_ticket(&mut cell, &mut host);
        assert!(has_ticket(&cell, &host));
    }
    assert_eq!(enrollments(&cell), 0);
    // Many refusals within a moment are not enough either.
    cell.erase(&me);
    let now = cell.now;
    for n in 0..30 {
        let _ = host.agent.want(now, &name(&format!("c{n}")));
        host.serve(&mut cell);
    }
    assert!(host.agent.stats().refusals > 30);
    assert_eq!((enrollments(&cell), host.agent.reenrollment_standing()), (0, None));
    live(&mut cell, &mut host, 5 * 60_000);
    assert_eq!(enrollments(&cell), 1);
}

/// It was refused twice, and slept: what was refused then says nothing of today.
#[test]
fn refusals_of_long_ago_do_not_count() {
    let (mut cell, mut host) = cell();
    need_a_ticket(&mut cell, &mut host);
    let me = host.agent.name().clone();
    cell.erase(&me);
    let before = host.agent.stats().refusals;
    while host.agent.stats().refusals < before + 2 {
        live(&mut cell, &mut host, 1_000);
    }
    assert_eq!(host.agent.reenrollment_standing(), None);
    let asleep = host.agent.stats().refusals;
    cell.pass(2 * HOUR);
    host.serve(&mut cell);
    assert!(host.agent.stats().refusals > asleep);
    assert_eq!(host.agent.reenrollment_standing(), None);
    live(&mut cell, &mut host, 5 * 60_000);
    assert_eq!(enrollments(&cell), 1);
}

/// The time between two refusals is that of one clock.
#[test]
fn a_clock_that_is_set_meanwhile_makes_no_half_minute() {
    for (before, after) in [(50_000, -50_000), (0, -10_000)] {
        let (mut cell, mut host) = cell();
        need_a_ticket(&mut cell, &mut host);
        let me = host.agent.name().clone();
        cell.erase(&me);
        host.off = before;
        let refuse = |cell: &mut Cell, host: &mut Host, n: u32| {
            let refusals = host.agent.stats().refusals;
            host.ask(cell, &format!("c{n}"));
            assert!(host.agent.stats().refusals > refusals);
        };
        (0..5).for_each(|n| refuse(&mut cell, &mut host, n));
        host.off = after;
        refuse(&mut cell, &mut host, 5);
        assert_eq!(host.agent.reenrollment_standing(), None, "{before} {after}");
        live(&mut cell, &mut host, 5 * 60_000);
        assert_eq!(enrollments(&cell), 1);
    }
}

#[test]
fn a_wrong_clock_is_no_reason() {
    for off in [7_200_000, -7_200_000, 3 * DAY as i64, -3 * DAY as i64, 61_000, -61_000] {
        let (mut cell, mut host) = cell();
        // While it was off for a day its clock went wrong; it is known as ever.
        cell.pass(DAY);
        host.off = off;
        host.crash(&cell);
        let now = host.now(&cell);
        host.agent.keep(now, &name("b")).unwrap();
        live(&mut cell, &mut host, HOUR);
        assert_eq!((enrollments(&cell), has_ticket(&cell, &host)), (0, true), "{off}");
        // And when it is not known: it cannot tell, until its clock is right.
        let (mut cell, mut host) = self::cell();
        let me = host.agent.name().clone();
        cell.erase(&me);
        host.off = off;
        host.crash(&cell);
        let now = host.now(&cell);
        host.agent.keep(now, &name("b")).unwrap();
        live(&mut cell, &mut host, HOUR);
        assert_eq!(enrollments(&cell), 0, "{off}");
        host.off = 0;
        host.ask(&mut cell, "b");
        live(&mut cell, &mut host, HOUR);
        assert_eq!(enrollments(&cell), 1, "{off}");
        is_well(&mut cell, &mut host);
    }
}

#[test]
fn a_clock_that_a_sealed_answer_corrected_is_right() {
    let (mut cell, mut host) = cell();
    host.off = 7_200_000;
    need_a_ticket(&mut cell, &mut host);
    assert_eq!(host.agent.clock_correction_ms(), -7_200_000);
    cell.recover();
    b_again(&mut cell);
    live(&mut cell, &mut host, HOUR);
    assert_eq!(enrollments(&cell), 1);
}

#[test]
fn other_refusals_and_no_answers_are_no_reason() {
    let problems = [
        ProblemType::PartyDisabled,
        ProblemType::NotAllowed,
        ProblemType::ClockSkew,
        ProblemType::Replayed,
        ProblemType::Unavailable,
        ProblemType::RateLimited,
        ProblemType::Internal,
        // One that does not tell the time, so that nobody knows whose clock is right.
        ProblemType::Unauthenticated,
    ];
    for kind in problems {
        let (mut cell, mut host) = cell();
        cell.busy = Some(Problem::new(kind));
        live(&mut cell, &mut host, 3 * HOUR);
        assert_eq!(enrollments(&cell), 0, "{kind:?}");
        cell.busy = None;
        is_well(&mut cell, &mut host);
    }
    let (mut cell, mut host) = cell();
    cell.up = false;
    live(&mut cell, &mut host, 12 * HOUR);
    cell.up = true;
    is_well(&mut cell, &mut host);
    assert_eq!((enrollments(&cell), host.agent.generation()), (0, Generation(1)));
}

#[test]
fn killed_at_any_moment_it_goes_on() {
    for second in (0..150).step_by(3) {
        for disk_full in [false, true] {
            let (mut cell, mut host) = cell();
            need_a_ticket(&mut cell, &mut host);
            cell.recover();
            b_again(&mut cell);
            host.disk_full = disk_full;
            live(&mut cell, &mut host, second * 1_000);
            host.disk_full = false;
            host.crash(&cell);
            host.agent.keep(cell.now, &name("b")).unwrap();
            live(&mut cell, &mut host, 10 * 60_000);
            is_well(&mut cell, &mut host);
        }
    }
}

#[test]
fn only_a_host_that_enrolled_does() {
    let mut cell = Cell::new();
    let bundle = cell.gate.bundle();
    let by_hand = Host::new(&mut cell, "web.host1").agent.reenrolling(bundle.clone());
    assert!(!by_hand.reenrolls());
    let host = Host::enrolled(&mut cell, "nanoprobe", "web1");
    let mut elsewhere = bundle.clone();
    elsewhere.zone = "y".parse().unwrap();
    assert!(!host.agent.reenrolling(elsewhere).reenrolls());
    // Not with another's key.
    let host = Host::enrolled(&mut cell, "nanoprobe", "web1");
    let mut file = host.file();
    file.author = Host::enrolled(&mut cell, "nanoprobe", "web1").file().author;
    let config = keycell_client::AgentConfig::default();
    let rng = keycell_client::system_rng();
    assert!(
        !keycell_client::Agent::keeping(file, &config, cell.now, rng).reenrolling(bundle.clone()).reenrolls()
    );
    let rng = keycell_client::system_rng();
    assert!(!keycell_client::Agent::new(host.file(), &config, cell.now, rng).reenrolling(bundle).reenrolls());
}
