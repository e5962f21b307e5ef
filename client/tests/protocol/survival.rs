//! Whatever happens to a host, its disk, its clock and its KDC, in whatever order: it can go on.

use crate::cell::{Cell, DAY, Host, LIFETIME, name};
use proptest::prelude::*;

const HOUR: u64 = 3_600_000;

#[derive(Debug, Clone, Copy)]
enum Event {
    /// So many hours go by.
    Hours(u16),
    /// The host wants a ticket, and its requests are answered.
    Ask,
    /// One request reaches the KDC, and the answer is lost.
    LoseAnswer,
    /// One request is answered by a KDC that does not know this key.
    Stranger,
    /// One request is answered, and nothing is stored yet.
    OneStep,
    Save,
    DiskFull(bool),
    Crash,
    WantRotation,
    /// The host's clock is so many minutes off.
    Clock(i16),
    Receive,
}

fn event() -> impl Strategy<Value = Event> {
    prop_oneof![
        3 => (1_u16..60).prop_map(Event::Hours),
        1 => (60_u16..9_000).prop_map(Event::Hours),
        3 => Just(Event::Ask),
        3 => Just(Event::LoseAnswer),
        2 => Just(Event::Stranger),
        6 => Just(Event::OneStep),
        2 => Just(Event::Save),
        1 => any::<bool>().prop_map(Event::DiskFull),
        3 => Just(Event::Crash),
        3 => Just(Event::WantRotation),
        1 => (-3_000_i16..3_000).prop_map(Event::Clock),
        2 => Just(Event::Receive),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(256))]

    #[test]
    fn a_host_can_always_go_on(events in prop::collection::vec(event(), 1..60)) {
        let mut cell = Cell::new();
        let mut a = Host::new(&mut cell, "a");
        cell.key("b");
        for event in events {
            happen(event, &mut cell, &mut a);
        }

        // All is well again, and some hours go by.
        a.disk_full = false;
        a.off = 0;
        a.crash(&cell);
        for _ in 0..6 {
            a.ask(&mut cell, "b");
            cell.pass(HOUR);
        }
        a.ask(&mut cell, "b");
        prop_assert!(a.agent.ticket_expiration(cell.now, &name("b")).is_some());
        let mut sender = cell.agent("sender");
        let message = cell.seal(&mut sender, "a", "", b"");
        prop_assert!(a.opens(&cell, &message));
        // The file alone has what that takes.
        a.crash(&cell);
        prop_assert!(a.opens(&cell, &message));
        prop_assert!(a.file().retiring.len() <= 2);
    }
}

fn happen(event: Event, cell: &mut Cell, a: &mut Host) {
    let _ = a.agent.want(a.now(cell), &name("b"));
    match event {
        Event::Hours(hours) => cell.pass(u64::from(hours) * HOUR),
        Event::Ask => a.ask(cell, "b"),
        Event::Save => a.save(),
        Event::DiskFull(full) => a.disk_full = full,
        Event::Crash => a.crash(cell),
        Event::WantRotation => cell.want_rotation("a"),
        Event::Clock(minutes) => a.off = i64::from(minutes) * 60_000,
        Event::LoseAnswer | Event::Stranger | Event::OneStep => {
            let now = a.now(cell);
            let Some(pending) = a.agent.wants(now) else { return };
            match event {
                Event::LoseAnswer => {
                    let _ = cell.answer_at(pending.path(), &pending.body);
                    a.agent.give_up(now, &pending);
                }
                Event::Stranger => {
                    let mut problem =
                        keycell_protocol::Problem::new(keycell_protocol::ProblemType::Unauthenticated);
                    problem.server_time = Some(cell.now);
                    a.agent.take_problem(now, &pending, &problem);
                }
                _ => {
                    a.answer(cell, &pending);
                }
            }
        }
        Event::Receive => {
            cell.pass(LIFETIME * 1000 % DAY);
            let mut sender = cell.agent("sender");
            let message = cell.seal(&mut sender, "a", "", b"");
            let _ = a.opens(cell, &message);
        }
    }
}
