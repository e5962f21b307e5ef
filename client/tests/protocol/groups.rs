//! Groups: members open what comes to them and ask seldom; nobody else opens anything.

mod attacks;
mod refresh;
mod waiting;

use keycell_client::{Agent, AgentConfig, Membership};
use keycell_protocol::{Cause, ProblemType};

use crate::cell::{Cell, Host, Words, name};

/// A member that listens to its group, and has its keys.
fn member(cell: &mut Cell, party: &str) -> Agent {
    let mut agent = listener(cell, party);
    cell.serve(&mut agent);
    agent
}

fn listener(cell: &mut Cell, party: &str) -> Agent {
    let config = AgentConfig::default().first_use().member_of([name("probe")]);
    cell.process(party, &config, 0)
}

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.group("probe", &["probe.a", "probe.b"]);
    cell
}

/// Time passes, and whoever wants something asks in time.
fn pass(cell: &mut Cell, agents: &mut [&mut Agent], millis: u64) {
    let end = cell.now.plus(millis);
    loop {
        let next = |agent: &&mut Agent| agent.next_wakeup(cell.now);
        let Some(at) = agents.iter().filter_map(next).min().filter(|at| *at < end) else { break };
        cell.now = cell.now.max(at);
        for agent in agents.iter_mut() {
            cell.serve(agent);
        }
    }
    cell.now = end;
}

#[test]
fn a_message_to_a_group_opens_for_each_member() {
    let mut cell = cell();
    let (mut cma, mut a, mut b) =
        (cell.agent("cma"), member(&mut cell, "probe.a"), member(&mut cell, "probe.b"));
    let message = cell.seal(&mut cma, "probe", "discover", b"what are you?");
    for agent in [&mut a, &mut b] {
        let opened = cell.open(agent, &message).unwrap();
        assert_eq!((opened.source.as_str(), opened.destination.as_str()), ("cma@z", "probe@z"));
        assert_eq!((&opened.body[..], opened.is_reply()), (&b"what are you?"[..], false));
        assert_eq!(cell.refused(agent, &message), Cause::Replayed);
        // There is no key for the way back, so an answer takes a ticket.
        assert!(agent.reply(cell.now, &opened, b"a server").is_err());
        cell.serve(agent);
        let answer = agent.reply(cell.now, &opened, b"a server").unwrap();
        let answer = cell.open(&mut cma, &answer).unwrap();
        assert_eq!((answer.destination.as_str(), answer.is_reply()), ("cma@z", false));
    }
    // Who is no member, or does not listen, opens nothing.
    let mut other = member(&mut cell, "other.c");
    assert_eq!(cell.refused(&mut other, &message), Cause::NotForMe);
    let refused = Membership::Refused { problem: Some(ProblemType::NotAllowed) };
    assert_eq!(other.groups(cell.now), [(name("probe"), refused)]);
    let mut deaf = cell.agent("probe.a");
    assert!(deaf.wants(cell.now).is_none());
    assert_eq!(cell.refused(&mut deaf, &message), Cause::NotForMe);
}

#[test]
fn of_several_groups_each_has_its_own_keys() {
    let mut cell = cell();
    cell.group("storage", &["probe.a"]);
    cell.group("empty", &[]);
    let mut cma = cell.agent("cma");
    let mut b = member(&mut cell, "probe.b");
    let config = AgentConfig::default().first_use().member_of_all();
    let mut a = cell.process("probe.a", &config, 0);
    cell.serve(&mut a);
    let names: Vec<_> = a.groups(cell.now).into_iter().map(|(group, _)| group).collect();
    assert_eq!(names, [name("probe"), name("storage")]);
    for group in ["probe", "storage"] {
        let message = cell.seal(&mut cma, group, "t", b"x");
        assert_eq!(cell.open(&mut a, &message).unwrap().destination, name(group));
    }
    let message = cell.seal(&mut cma, "storage", "t", b"x");
    assert_eq!(cell.refused(&mut b, &message), Cause::NotForMe);

    // One is left, one is lost, one is new.
    let stale = cell.seal(&mut cma, "storage", "t", b"y");
    a.leave(&name("storage"));
    assert_eq!(cell.refused(&mut a, &stale), Cause::NotForMe);
    cell.group("new", &["probe.a"]);
    cell.remove_member("probe", "probe.a");
    pass(&mut cell, &mut [&mut a], 600_000);
    let names: Vec<_> = a.groups(cell.now).into_iter().map(|(group, _)| group).collect();
    assert_eq!(names, [name("new")]);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert_eq!(cell.refused(&mut a, &message), Cause::NotForMe);
}

#[test]
fn who_left_and_comes_back_opens_nothing_twice() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    let messages = [0, 1].map(|n| cell.seal(&mut cma, "probe", "t", &[n]));
    assert!(cell.open(&mut a, &messages[0]).is_ok());
    a.leave(&name("probe"));
    assert_eq!(cell.refused(&mut a, &messages[1]), Cause::NotForMe);
    assert!(a.groups(cell.now).is_empty() && a.next_wakeup(cell.now).is_none_or(|at| at > cell.now));
    a.join(cell.now, &name("probe"));
    cell.serve(&mut a);
    assert_eq!(cell.refused(&mut a, &messages[0]), Cause::Replayed);
    assert!(cell.open(&mut a, &messages[1]).is_ok());
}

#[test]
fn signers_and_a_wish_to_rotate_come_with_the_keys() {
    let mut cell = cell();
    cell.group_mut("probe").author_proof = true;
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, "probe.a"));
    // A message without proof, from one who was not told that it takes one.
    let grant = cell.grant_group("cma", "probe");
    let words = Words::honest(cell.now, "cma", &grant);
    let message = cell.forge(&words, grant.sek.clone());
    assert_eq!(cell.refused(&mut a, &message), Cause::AuthorMissing);
    cell.group_mut("probe").author_proof = false;
    pass(&mut cell, &mut [&mut a], 600_000);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert!(cell.open(&mut a, &message).is_ok());

    let mut host = Host::new(&mut cell, "probe.b");
    host.agent.join(cell.now, &name("probe"));
    host.serve(&mut cell);
    cell.want_rotation("probe.b");
    cell.pass(600_000);
    host.serve(&mut cell);
    assert_eq!((host.agent.stats().rotations, host.agent.stats().requests), (1, 0));
}
