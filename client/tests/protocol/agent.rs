//! The whole protocol between agents and a KDC, on one clock and without sockets.

use crate::cell::{Cell, DAY, LIFETIME, RENEW, START, name};
use keycell_client::{AgentConfig, SealError, TakeError};
use keycell_protocol::{Cause, Mode, Problem, ProblemType, ReplyError, UnixMillis};

#[test]
fn a_message_and_its_answer_cost_one_lookup_of_one_side() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let command = cell.seal(&mut a, "b", "discover", b"what are you?");
    let opened = cell.open(&mut b, &command).unwrap();
    assert_eq!(
        (&opened.source, opened.topic.as_str(), &opened.body[..]),
        (&name("a"), "discover", &b"what are you?"[..])
    );
    assert_eq!((opened.mode, opened.sent_at, opened.is_reply()), (Mode::Sealed, START, false));
    assert_eq!(opened.expiration, START.seconds().plus(LIFETIME));
    let answer = b.reply(cell.now, &opened, b"a probe").unwrap();
    let answer = cell.open(&mut a, &answer).unwrap();
    assert_eq!(
        (&answer.source, answer.topic.as_str(), &answer.body[..]),
        (&name("b"), "discover", &b"a probe"[..])
    );
    assert!(answer.is_reply());
    // An answer to the answer is a message under the ticket that a holds already.
    let thanks = a.reply_with_topic(cell.now, &answer, "thanks", b"!").unwrap();
    let thanks = cell.open(&mut b, &thanks).unwrap();
    assert!(!thanks.is_reply());
    assert_eq!(thanks.topic, "thanks");
    let signed = a.sign(cell.now, &name("b"), "t", b"in the clear").unwrap();
    assert_eq!(cell.open(&mut b, &signed).unwrap().mode, Mode::Signed);

    assert_eq!((a.stats().requests, b.stats().requests), (1, 0));
    assert_eq!((a.stats().sealed, a.stats().opened, a.stats().tickets), (3, 1, 1));
    assert_eq!((b.stats().replied, b.stats().opened, b.stats().streams), (1, 3, 1));
}

#[test]
fn what_is_opened_does_not_print_its_body() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "topic", b"{secret}");
    let printed = format!("{:?}", cell.open(&mut b, &message).unwrap());
    assert!(
        printed.contains("8 bytes") && printed.contains("topic") && !printed.contains("123"),
        "{printed}"
    );
}

#[test]
fn many_destinations_are_asked_for_at_once() {
    let mut cell = Cell::new();
    let mut cma = cell.agent("cma");
    for host in 0..1_500 {
        cell.key(&format!("probe{host}"));
        cma.want(cell.now, &name(&format!("probe{host}"))).unwrap();
        cma.want(cell.now, &name(&format!("probe{host}"))).unwrap();
    }
    cell.serve(&mut cma);
    let sizes: Vec<_> = cell.requests.iter().map(|request| request.destinations.len()).collect();
    assert_eq!(sizes, [1_000, 500]);
    assert_ne!(cell.requests[0].nonce, cell.requests[1].nonce);
    assert_eq!(cell.requests[0].instance, cell.requests[1].instance);
    assert!((0..1_500).all(|host| cma.seal(cell.now, &name(&format!("probe{host}")), "", b"").is_ok()));
    assert_eq!(cma.stats().tickets, 1_500);
}

#[test]
fn used_and_kept_tickets_are_renewed_and_others_lapse() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    for party in ["used", "kept", "idle"] {
        cell.key(party);
        a.want(cell.now, &name(party)).unwrap();
    }
    a.keep(cell.now, &name("kept")).unwrap();
    cell.serve(&mut a);
    a.seal(cell.now, &name("used"), "", b"").unwrap();
    assert_eq!(a.next_wakeup(cell.now), Some(START.plus(RENEW * 1000)));
    cell.pass(RENEW * 1000 - 1);
    assert!(a.wants(cell.now).is_none());
    cell.pass(1);
    cell.serve(&mut a);
    let mut renewed = cell.requests.last().unwrap().destinations.clone();
    renewed.sort();
    assert_eq!(renewed, [name("kept"), name("used")]);
    cell.pass((LIFETIME - RENEW) * 1000);
    cell.serve(&mut a);
    assert_eq!(a.stats().destinations, 2, "the idle one is forgotten");
    a.release(&name("kept"));
    cell.pass(LIFETIME * 1000);
    cell.serve(&mut a);
    assert_eq!(a.stats().destinations, 0);
    assert_eq!(cell.requests.len(), 2);
}

#[test]
fn an_idle_ticket_is_renewed_by_a_late_use() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    a.want(cell.now, &name("b")).unwrap();
    cell.serve(&mut a);
    cell.pass(RENEW * 1000 + 1);
    cell.serve(&mut a);
    assert_eq!(cell.requests.len(), 1);
    a.seal(cell.now, &name("b"), "", b"").unwrap();
    cell.serve(&mut a);
    assert_eq!(cell.requests.len(), 2);
}

#[test]
fn sealing_goes_on_while_the_kdc_is_down_until_the_ticket_expires() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    cell.seal(&mut a, "b", "", b"");
    let end = START.seconds().plus(LIFETIME);
    cell.up = false;
    let mut asked = 0;
    for _ in 0..LIFETIME - 1 {
        cell.pass(1_000);
        if let Some(pending) = a.wants(cell.now) {
            asked += 1;
            a.give_up(cell.now, &pending);
        }
        let message = a.seal(cell.now, &name("b"), "", b"still here").unwrap();
        assert_eq!(cell.open(&mut b, &message).unwrap().body, b"still here");
    }
    assert!((5..60).contains(&asked), "{asked} tries in 300 s");
    assert_eq!(a.ticket_expiration(cell.now, &name("b")), Some(end));
    cell.pass(1_000);
    let error = a.seal(cell.now, &name("b"), "", b"").unwrap_err();
    assert_eq!(error, SealError::Expired { destination: name("b"), since: end });
    assert!(a.failing_since().is_some_and(|since| since >= START.plus(RENEW * 1000)));
    // A destination that was never asked for is not "expired".
    assert!(matches!(a.seal(cell.now, &name("c"), "", b""), Err(SealError::NoTicket { .. })));
    // An hour later it still says since when, and it mends itself.
    cell.pass(3_600_000);
    cell.serve(&mut a);
    assert_eq!(a.seal(cell.now, &name("b"), "", b"").unwrap_err(), error);
    cell.up = true;
    cell.pass(60_000);
    cell.serve(&mut a);
    assert!(a.seal(cell.now, &name("b"), "", b"").is_ok());
    assert_eq!(a.failing_since(), None);
}

#[test]
fn a_refusal_is_remembered_for_a_while() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    cell.denied.insert(name("b"));
    assert!(matches!(a.seal(cell.now, &name("b"), "", b""), Err(SealError::NoTicket { .. })));
    assert!(matches!(a.seal(cell.now, &name("nobody"), "", b""), Err(SealError::NoTicket { .. })));
    cell.serve(&mut a);
    for (party, problem) in [("b", ProblemType::NotAllowed), ("nobody", ProblemType::UnknownDestination)] {
        let error = a.seal(cell.now, &name(party), "", b"").unwrap_err();
        let retry_at = START.plus(30_000);
        assert_eq!(error, SealError::Refused { destination: name(party), problem: Some(problem), retry_at });
    }
    cell.denied.clear();
    cell.pass(29_999);
    assert!(a.wants(cell.now).is_none());
    assert!(matches!(a.seal(cell.now, &name("b"), "", b""), Err(SealError::Refused { .. })));
    cell.pass(1);
    cell.seal(&mut a, "b", "", b"");
    // Who is not written to is not asked for again.
    assert_eq!(cell.requests.last().unwrap().destinations, [name("b")]);
    assert_eq!(a.stats().destinations, 1);
}

#[test]
fn a_refused_renewal_lets_the_ticket_live_until_its_end() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    cell.seal(&mut a, "b", "", b"");
    cell.denied.insert(name("b"));
    cell.pass(RENEW * 1000);
    cell.serve(&mut a);
    let message = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut b, &message).is_ok());
    cell.pass((LIFETIME - RENEW) * 1000);
    cell.serve(&mut a);
    assert!(matches!(a.seal(cell.now, &name("b"), "", b""), Err(SealError::Refused { .. })));
    let asked = cell.requests.len();
    (0..100).for_each(|_| {
        cell.pass(30_000);
        cell.serve(&mut a);
    });
    assert_eq!(cell.requests.len(), asked, "nobody asks forever");
}

#[test]
fn a_busy_kdc_is_left_alone_as_long_as_it_says() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    let mut problem = Problem::new(ProblemType::RateLimited);
    problem.retry_after = Some(20);
    cell.busy = Some(problem);
    a.want(cell.now, &name("b")).unwrap();
    cell.serve(&mut a);
    cell.busy = None;
    let wakeup = a.next_wakeup(cell.now).unwrap();
    assert!(wakeup >= cell.now.plus(20_000));
    cell.pass(19_999);
    assert!(a.wants(cell.now).is_none());
    cell.now = wakeup;
    assert!(a.wants(cell.now).is_some());
}

#[test]
fn any_other_problem_is_the_answer_for_each_destination() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.busy = Some(Problem::new(ProblemType::Unauthenticated));
    assert!(a.seal(cell.now, &name("b"), "", b"").is_err());
    cell.serve(&mut a);
    let error = a.seal(cell.now, &name("b"), "", b"").unwrap_err();
    assert!(
        matches!(error, SealError::Refused { problem: Some(ProblemType::Unauthenticated), .. }),
        "{error}"
    );
}

#[test]
fn a_lost_request_is_made_again() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    a.want(cell.now, &name("b")).unwrap();
    let lost = a.wants(cell.now).unwrap();
    assert!(a.wants(cell.now).is_none(), "it is on its way");
    assert_eq!(a.next_wakeup(cell.now), Some(START.plus(60_000)));
    cell.pass(60_000);
    assert!(a.wants(cell.now).is_none(), "after a wait");
    cell.pass(1_000);
    let again = a.wants(cell.now).unwrap();
    assert_ne!(lost.body, again.body);
    let late = cell.answer(&lost.body).unwrap().unwrap_err();
    assert_eq!(late.kind, ProblemType::ClockSkew);
    a.take_problem(cell.now, &lost, &late);
    assert_eq!(a.clock_correction_ms(), 0, "an answer to a lost request changes nothing");
    let answer = cell.answer(&again.body).unwrap().unwrap();
    assert_eq!(a.take_reply(cell.now, &lost, &answer), Err(TakeError::NotPending));
    assert_eq!(a.take_reply(cell.now, &again, &answer).unwrap().granted, 1);
    assert_eq!(a.take_reply(cell.now, &again, &answer), Err(TakeError::NotPending));
}

#[test]
fn an_answer_that_was_changed_or_is_for_another_request_is_not_used() {
    let mut cell = Cell::new();
    let (mut a, mut other) = (cell.agent("a"), cell.agent("other"));
    cell.key("b");
    for agent in [&mut a, &mut other] {
        agent.want(START, &name("b")).unwrap();
    }
    let (first, theirs) = (a.wants(cell.now).unwrap(), other.wants(cell.now).unwrap());
    let mut answer = cell.answer(&first.body).unwrap().unwrap();
    let reflected = theirs.body.clone();
    assert_eq!(a.take_reply(cell.now, &first, &reflected), Err(TakeError::Reply(ReplyError::Malformed)));
    cell.pass(300);
    let second = a.wants(cell.now).unwrap();
    let old = a.take_reply(cell.now, &second, &answer);
    assert_eq!(old, Err(TakeError::Reply(ReplyError::AnotherRequest)));
    cell.pass(1_000);
    let third = a.wants(cell.now).unwrap();
    let not_mine = cell.answer(&theirs.body).unwrap().unwrap();
    assert_eq!(a.take_reply(cell.now, &third, &not_mine), Err(TakeError::Reply(ReplyError::Forged)));
    cell.pass(2_000);
    let fourth = a.wants(cell.now).unwrap();
    answer = cell.answer(&fourth.body).unwrap().unwrap();
    assert_eq!(a.take_reply(cell.now, &fourth, &answer).unwrap().granted, 1);
    assert_eq!(a.stats().failures, 3);
}

#[test]
fn a_wrong_clock_is_corrected_and_its_messages_open() {
    for off in [-7 * 60_000, 7 * 60_000, -3 * 3_600_000, 3 * 3_600_000] {
        let mut cell = Cell::new();
        let mut b = cell.agent("b");
        let mut a = cell.process("a", &AgentConfig::default(), off);
        let mine = |cell: &Cell| cell.now.shifted(off);
        assert!(a.seal(mine(&cell), &name("b"), "", b"").is_err());
        cell.serve_off(&mut a, off);
        assert_eq!(a.clock_correction_ms(), -off);
        assert_eq!(cell.requests.len(), 2, "told once, right the second time");
        let message = a.seal(mine(&cell), &name("b"), "", b"").unwrap();
        let opened = cell.open(&mut b, &message).unwrap();
        assert_eq!(opened.sent_at, cell.now);
        // It expires when it should, whatever the host's clock says.
        cell.pass(LIFETIME * 1000 - 1);
        assert!(a.seal(mine(&cell), &name("b"), "", b"").is_ok());
        let answer = b.reply(cell.now, &opened, b"").unwrap();
        assert!(a.open(mine(&cell), &answer).is_ok());
        cell.pass(1);
        assert!(a.seal(mine(&cell), &name("b"), "", b"").is_err());
        // The clock is set right: the next answer takes the correction back.
        cell.serve(&mut a);
        assert_eq!(a.clock_correction_ms(), 0);
    }
}

#[test]
fn a_kdc_that_insists_on_a_skew_is_not_asked_without_end() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    a.want(cell.now, &name("b")).unwrap();
    cell.busy = Some(Problem::new(ProblemType::ClockSkew));
    cell.serve(&mut a);
    assert!(a.stats().requests <= 3);
    assert!(a.failing_since().is_some());
}

#[test]
fn both_sides_of_midnight() {
    for off in [-30_000_i64, 0, 30_000] {
        let mut cell = Cell::new();
        let mut config = AgentConfig::default();
        config.opener.restart_guard = keycell_client::RestartGuard::FirstUse;
        config.opener.max_ahead_ms = 40_000;
        let mut a = cell.agent("a");
        let mut b = cell.process("b", &config, off);
        let midnight = UnixMillis((START.0 / DAY + 1) * DAY);
        // A ticket of the old day, one of the new; messages and answers across, each clock on its own side.
        for now in [midnight.minus(20_000), midnight.minus(1), midnight, midnight.plus(20_000)] {
            cell.now = now;
            a.want(now, &name("b")).unwrap();
            let message = cell.seal(&mut a, "b", "", b"");
            let mine = now.shifted(off);
            let opened = b.open(mine, &message).unwrap();
            let answer = b.reply(mine, &opened, b"").unwrap();
            let answer = a.open(now, &answer);
            assert_eq!(answer.is_ok(), off <= 5_000, "{off}: 30 s ahead is too much for a's clock");
            let mut fresh = cell.process("a", &AgentConfig::default(), 0);
            let message = cell.seal(&mut fresh, "b", "", b"");
            assert!(b.open(mine, &message).is_ok());
        }
    }
}

#[test]
fn an_agent_that_slept_for_weeks_catches_up() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "", b"");
    cell.open(&mut b, &message).unwrap();
    cell.pass(40 * DAY);
    let message = cell.seal(&mut a, "b", "", b"");
    let opened = cell.open(&mut b, &message).unwrap();
    assert!(b.reply(cell.now, &opened, b"").is_ok());
}

#[test]
fn what_cannot_be_written() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    assert_eq!(a.seal(cell.now, &name("a"), "", b""), Err(SealError::ToSelf));
    assert_eq!(a.want(cell.now, &name("a")), Err(SealError::ToSelf));
    assert!(matches!(a.seal(cell.now, &name("b"), "a\nb", b""), Err(SealError::Topic(_))));
    let message = cell.seal(&mut a, "b", "", b"");
    assert_eq!(a.seal(cell.now, &name("b"), "", &vec![0; 1 << 24]), Err(SealError::TooLong));
    let opened = cell.open(&mut b, &message).unwrap();
    let mut stranger = cell.agent("stranger");
    assert_eq!(stranger.reply(cell.now, &opened, b""), Err(SealError::ReplyKeyGone));
    cell.pass(LIFETIME * 1000);
    let since = START.seconds().plus(LIFETIME);
    assert_eq!(b.reply(cell.now, &opened, b""), Err(SealError::ReplyTooLate { since }));
    assert_eq!(cell.refused(&mut b, &message), Cause::Expired);
}

#[test]
fn the_tables_are_bounded() {
    let mut cell = Cell::new();
    let config = AgentConfig { max_destinations: 2, max_replies: 1, ..AgentConfig::default() };
    let mut a = cell.process("a", &config, 0);
    cell.key("b");
    cell.key("c");
    a.want(cell.now, &name("b")).unwrap();
    a.want(cell.now, &name("c")).unwrap();
    assert_eq!(a.want(cell.now, &name("d")), Err(SealError::TooManyDestinations));
    cell.serve(&mut a);
    assert_eq!(a.seal(cell.now, &name("d"), "", b""), Err(SealError::TooManyDestinations));
    assert!(a.seal(cell.now, &name("c"), "", b"").is_ok());
    cell.pass(6_000);
    let (mut b, mut c) = (cell.agent("b"), cell.agent("c"));
    let from_b = cell.seal(&mut b, "a", "", b"");
    let from_c = cell.seal(&mut c, "a", "", b"");
    let (from_b, from_c) = (cell.open(&mut a, &from_b).unwrap(), cell.open(&mut a, &from_c).unwrap());
    assert!(a.reply(cell.now, &from_b, b"").is_ok());
    assert_eq!(a.reply(cell.now, &from_c, b""), Err(SealError::TooManyDestinations));
    assert!(a.reply(cell.now, &from_b, b"").is_ok());
    // What is over makes room.
    cell.pass(LIFETIME * 1000);
    cell.serve(&mut a);
    assert!(a.want(cell.now, &name("d")).is_ok());
}
