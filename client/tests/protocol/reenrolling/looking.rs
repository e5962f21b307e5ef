//! A host that asks a KDC for nothing looks in now and then, and so hears that nobody knows it any more.

use keycell_client::{Agent, AgentConfig};
use keycell_protocol::{Bundle, Generation, ProblemType, UnixMillis};

use super::{HOUR, cell, enrollments, live, nth_cell};
use crate::cell::{Admit, Cell, DAY, Host, name};

/// A host that only answers.
fn only_answers(n: u32) -> (Cell, Host) {
    let (cell, mut host) = nth_cell(n);
    host.crash(&cell);
    (cell, host)
}

/// Lets time pass, and wakes the host when it says so, and each half minute. When it asked, and for what.
fn follow(cell: &mut Cell, host: &mut Host, millis: u64) -> Vec<(UnixMillis, &'static str)> {
    let end = cell.now.plus(millis);
    let mut asked = Vec::new();
    for _ in 0..20_000 {
        while let Some(pending) = host.agent.wants(host.now(cell)) {
            asked.push((cell.now, pending.path()));
            host.answer(cell, &pending);
            host.save();
            assert!(asked.len() < 10_000, "it asks without end");
        }
        if cell.now == end {
            return asked;
        }
        let now = host.now(cell);
        let next = host.agent.next_wakeup(now).unwrap();
        assert!(next >= now);
        cell.now = cell.now.plus((next.0 - now.0).clamp(1, 30_000)).min(end);
    }
    unreachable!("it is woken without end");
}

#[test]
fn a_host_that_only_answers_comes_back_after_a_recovery() {
    for n in 0..8 {
        let (mut cell, mut host) = only_answers(n);
        cell.gate.within = Some(600);
        follow(&mut cell, &mut host, 10 * HOUR);
        cell.recover();
        let recovered = cell.now;
        let asked = follow(&mut cell, &mut host, 2 * HOUR);
        assert_eq!((host.agent.generation(), enrollments(&cell)), (Generation(2), 1), "{n}");
        let at = asked.iter().find(|(_, path)| *path == "/v1/enroll").unwrap().0;
        // An hour and a half at the latest until it hears of it, and then as any other host.
        assert!(at.0 - recovered.0 <= 90 * 60_000 + 90_000 + 600_000, "{n}: {asked:?}");
        // Somebody can reach it again.
        let mut sender = cell.agent("sender");
        let me = host.agent.name().local().to_owned();
        let message = cell.seal(&mut sender, &me, "", b"");
        assert!(host.opens(&cell, &message), "{n}");
    }
}

#[test]
fn it_looks_in_once_an_hour_on_average_and_no_two_at_once() {
    let mut times = Vec::new();
    for n in 0..40 {
        let (mut cell, mut host) = only_answers(n);
        let begin = cell.now;
        let asked = follow(&mut cell, &mut host, DAY);
        assert!(asked.iter().all(|(_, path)| *path == "/v1/vouchers"), "{asked:?}");
        assert!((16..=48).contains(&asked.len()), "{}", asked.len());
        for pair in asked.windows(2) {
            let wait = pair[1].0.0 - pair[0].0.0;
            assert!((HOUR / 2..=HOUR * 3 / 2).contains(&wait), "{wait}");
        }
        times.extend(asked.iter().map(|(at, _)| at.0 - begin.0));
    }
    assert!((900..1_020).contains(&times.len()), "{}", times.len());
    // From the first quarter of an hour on.
    for quarter in 0..96 {
        let some = times.iter().filter(|at| **at / (HOUR / 4) == quarter).count();
        assert!((1..25).contains(&some), "{some} in quarter {quarter}");
    }
}

#[test]
fn who_asks_for_something_does_not_look_in() {
    let (mut cell, mut host) = cell();
    let asked = follow(&mut cell, &mut host, DAY);
    assert!(asked.len() > 100 && asked.iter().all(|(_, path)| *path == "/v1/tickets"), "{asked:?}");
    let (mut cell, mut host) = only_answers(0);
    cell.group("probes", &[host.agent.name().local()]);
    host.agent.join(cell.now, &name("probes"));
    let asked = follow(&mut cell, &mut host, DAY);
    assert!(asked.len() > 100 && asked.iter().all(|(_, path)| *path == "/v1/group-keys"), "{asked:?}");
}

#[test]
fn how_often_is_a_setting() {
    let (mut cell, mut host) = only_answers(0);
    for (look_in_ms, count) in [(u64::MAX, 0..=0), (6 * HOUR, 2..=8), (600_000, 96..=288), (0, 960..=2_880)] {
        let config = AgentConfig { look_in_ms, ..AgentConfig::default() };
        let bundle = Bundle::from_json(host.bundle.as_ref().unwrap()).unwrap();
        let rng = keycell_client::system_rng();
        host.agent = Agent::keeping(host.file(), &config, cell.now, rng).reenrolling(bundle);
        let asked = follow(&mut cell, &mut host, DAY).len();
        assert!(count.contains(&asked), "{look_in_ms}: {asked}");
    }
}

#[test]
fn while_no_kdc_answers_it_tries_again_and_not_in_a_storm() {
    let (mut cell, mut host) = only_answers(0);
    cell.up = false;
    let asked = follow(&mut cell, &mut host, DAY);
    assert!((100..3_500).contains(&asked.len()), "{}", asked.len());
    cell.up = true;
    follow(&mut cell, &mut host, 2 * 60_000);
    assert_eq!(cell.desk.given, 1);
    // One that gives no vouchers is not asked for them more often than any other.
    let (mut cell, mut host) = only_answers(0);
    cell.desk.problem = Some(ProblemType::Conflict);
    let asked = follow(&mut cell, &mut host, DAY);
    assert!((16..=48).contains(&asked.len()), "{}", asked.len());
    assert_eq!(enrollments(&cell), 0);
}

/// It was denied, or the KDC lost it: it goes on looking, and is refused each time.
#[test]
fn who_is_not_let_in_again_looks_in_as_before() {
    let (mut cell, mut host) = only_answers(0);
    let me = host.agent.name().clone();
    cell.erase(&me);
    cell.gate.admit = Admit::Nobody;
    let asked = follow(&mut cell, &mut host, DAY);
    let looks = asked.iter().filter(|(_, path)| *path == "/v1/vouchers").count();
    assert!((16..60).contains(&looks), "{looks}");
    assert!((15..60).contains(&enrollments(&cell)), "{}", enrollments(&cell));
    cell.gate.admit = Admit::Everybody;
    live(&mut cell, &mut host, HOUR);
    assert_eq!(host.agent.generation(), Generation(2));
}
