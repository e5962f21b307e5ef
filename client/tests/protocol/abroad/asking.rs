//! Asking for tickets of other zones keeps nobody waiting for those at home.

use keycell_client::{Agent, SealError};
use keycell_protocol::{Cause, Problem, ProblemType};

use super::cell;
use crate::cell::{Cell, LIFETIME, RENEW, name};

/// Of whom the requests since the last time were about.
fn asked(cell: &mut Cell) -> Vec<Vec<String>> {
    let requests = core::mem::take(&mut cell.requests);
    let names = |request: keycell_protocol::TicketRequest| -> Vec<_> {
        request.destinations.iter().map(ToString::to_string).collect()
    };
    requests.into_iter().map(names).collect()
}

/// Time passes as long as the agent says, once.
fn sleep(cell: &mut Cell, agent: &Agent) {
    let at = agent.next_wakeup(cell.now).unwrap();
    cell.now = cell.now.max(at);
}

#[test]
fn each_zone_is_asked_for_by_itself_and_the_own_one_first() {
    let mut cell = cell();
    let names = ["b@other", "b", "b@third", "c@other", "c"];
    names.iter().for_each(|party| drop(cell.key(party)));
    let mut a = cell.agent("a");
    for to in names {
        a.want(cell.now, &name(to)).unwrap();
    }
    let first = a.wants(cell.now).unwrap();
    let (second, third) = (a.wants(cell.now).unwrap(), a.wants(cell.now).unwrap());
    let zones = [&first, &second, &third].map(|pending| pending.abroad().map(ToString::to_string));
    assert_eq!(zones, [None, Some("other".to_owned()), Some("third".to_owned())]);
    for pending in [&third, &first, &second] {
        let answer = cell.answer(&pending.body).unwrap().unwrap();
        a.take_reply(cell.now, pending, &answer).unwrap();
    }
    assert_eq!(asked(&mut cell), [vec!["b@third"], vec!["b@z", "c@z"], vec!["b@other", "c@other"]]);
    assert!(a.wants(cell.now).is_none());
    assert!(names.iter().all(|to| a.seal(cell.now, &name(to), "t", b"").is_ok()));
}

#[test]
fn a_zone_that_is_being_waited_for_is_not_asked_again_and_keeps_nobody_waiting() {
    let mut cell = cell();
    ["b", "c", "b@other", "c@other"].iter().for_each(|party| drop(cell.key(party)));
    let mut a = cell.agent("a");
    a.want(cell.now, &name("b@other")).unwrap();
    let hanging = a.wants(cell.now).unwrap();
    a.want(cell.now, &name("c@other")).unwrap();
    assert!(a.wants(cell.now).is_none(), "one request at a time for each zone");
    cell.seal(&mut a, "b", "t", b"");
    // Nobody answers: it waits, and those at home go on.
    a.give_up(cell.now, &hanging);
    assert!(a.failing_since().is_some(), "a KDC of this zone did not answer");
    cell.seal(&mut a, "c", "t", b"");
    sleep(&mut cell, &a);
    cell.requests.clear();
    cell.serve(&mut a);
    assert_eq!(asked(&mut cell), [["c@other", "b@other"]]);
    assert_eq!(a.failing_since(), None);
}

#[test]
fn a_kdc_that_is_down_is_asked_again_by_itself_and_what_is_held_goes_on() {
    for problem in [ProblemType::Unavailable, ProblemType::Overloaded] {
        let mut cell = cell();
        let (mut a, mut b) = (cell.agent("a"), cell.agent("b@other"));
        cell.key("c@other");
        cell.seal(&mut a, "b@other", "t", b"");
        cell.closed.insert("other", problem);
        // Renewals fail, and the ticket at hand is good to its end.
        cell.pass(RENEW * 1000 + 1000);
        let to = name("b@other");
        for _ in 0..8 {
            let message = a.seal(cell.now, &to, "t", b"still").unwrap();
            cell.serve(&mut a);
            assert_eq!(a.zones_failing().first().map(|(zone, _)| zone.as_str()), Some("other"));
            assert!(cell.open(&mut b, &message).is_ok());
            assert!(cell.now.seconds() < a.ticket_expiration(cell.now, &to).unwrap());
            if cell.now.plus(61_000).seconds() < a.ticket_expiration(cell.now, &to).unwrap() {
                sleep(&mut cell, &a);
            }
        }
        assert!(asked(&mut cell).len() > 2, "it was asked again and again");
        // Who is new there is not refused: it is to be waited for.
        let new = name("c@other");
        assert!(matches!(a.seal(cell.now, &new, "t", b""), Err(SealError::NoTicket { .. })));
        cell.serve(&mut a);
        assert!(matches!(a.seal(cell.now, &new, "t", b""), Err(SealError::NoTicket { .. })));
        assert_eq!((a.failing_since(), a.stats().refusals), (None, 0), "this zone's KDC is well");
        cell.seal(&mut a, "b@other", "t", b"");
        cell.key("d");
        cell.seal(&mut a, "d", "t", b"");

        cell.closed.clear();
        cell.pass(61_000);
        cell.serve(&mut a);
        assert!(a.zones_failing().is_empty());
        assert!(a.seal(cell.now, &new, "t", b"").is_ok());
        assert!(a.ticket_expiration(cell.now, &to).unwrap() > cell.now.seconds().plus(LIFETIME / 2));
    }
}

#[test]
fn one_that_is_unavailable_keeps_nobody_else_of_its_zone_waiting() {
    let mut cell = cell();
    cell.group("broken@other", &["m@other"]);
    ["b@other", "c@other"].iter().for_each(|party| drop(cell.key(party)));
    let mut a = cell.agent("a");
    cell.closed.insert("other", ProblemType::Unavailable);
    a.want(cell.now, &name("b@other")).unwrap();
    cell.serve(&mut a);
    cell.closed.clear();
    // It waits; who is asked for meanwhile does not wait with it.
    a.want(cell.now, &name("c@other")).unwrap();
    cell.requests.clear();
    cell.serve(&mut a);
    assert_eq!(asked(&mut cell), [["c@other"]]);
    assert!(a.ticket_expiration(cell.now, &name("c@other")).is_some());
    sleep(&mut cell, &a);
    cell.serve(&mut a);
    assert_eq!(asked(&mut cell), [["b@other"]]);
}

#[test]
fn what_waiting_does_not_mend_is_told_at_once() {
    for problem in [ProblemType::UntrustedZone, ProblemType::NotAllowed, ProblemType::UnknownDestination] {
        let mut cell = cell();
        let mut a = cell.agent("a");
        cell.closed.insert("other", problem);
        let to = name("b@other");
        a.want(cell.now, &to).unwrap();
        cell.serve(&mut a);
        let refused = a.seal(cell.now, &to, "t", b"");
        assert!(
            matches!(refused, Err(SealError::Refused { problem: Some(told), .. }) if told == problem),
            "{refused:?}"
        );
        assert!(a.zones_failing().is_empty() && a.wants(cell.now).is_none());
    }
}

#[test]
fn a_busy_kdc_at_home_is_asked_for_less_of_that_zone_only() {
    let mut cell = cell();
    ["b", "b@other"].iter().for_each(|party| drop(cell.key(party)));
    let mut a = cell.agent("a");
    a.want(cell.now, &name("b@other")).unwrap();
    let mut problem = Problem::new(ProblemType::RateLimited);
    problem.retry_after = Some(30);
    cell.busy = Some(problem);
    cell.serve(&mut a);
    cell.busy = None;
    cell.seal(&mut a, "b", "t", b"");
    assert!(a.wants(cell.now).is_none());
    cell.pass(31_000);
    cell.serve(&mut a);
    let message = a.seal(cell.now, &name("b@other"), "t", b"").unwrap();
    let mut b = cell.agent("b@other");
    assert!(cell.open(&mut b, &message).is_ok());
    assert_eq!(cell.refused(&mut b, &message), Cause::Replayed);
}
