//! Groups over the network: keys are fetched by themselves, and what waited is given out.

use core::time::Duration;
use std::sync::Arc;

use keycell_client::{Membership, https::Transport};
use keycell_protocol::{Cause, ProblemType};

use super::{Agent, Config, HostClock, Mood, Net, blocking, config, name, pass, problem_answer};
use crate::cell::TURN_MS;

fn listening() -> Config {
    let mut config = config();
    config.agent = config.agent.member_of_all();
    config
}

fn member(net: &Arc<Net>, party: &str) -> Agent {
    let clock = Arc::new(HostClock { net: Arc::clone(net), off: 0 });
    Agent::with(net.key(party), listening(), Arc::clone(net) as Arc<dyn Transport>, clock).unwrap()
}

fn net() -> Arc<Net> {
    let net = Net::new();
    net.change(|cell| {
        cell.group("probe", &["probe.a", "probe.b"]);
        cell.group_mut("probe").spread = 10_000;
    });
    net
}

fn is_member(agent: &Agent) -> bool {
    matches!(agent.groups()[..], [(_, Membership::Member { .. })])
}

#[tokio::test(start_paused = true)]
async fn keys_come_by_themselves_and_a_rotation_is_slept_through() {
    let net = net();
    let (cma, a) = (net.agent("cma"), member(&net, "probe.a"));
    pass(10).await;
    assert!(is_member(&a));
    for n in 0..30_u8 {
        let message = cma.seal(&name("probe"), "t", &[n]).await.unwrap();
        assert_eq!(a.open(&message).unwrap().body, [n]);
        pass(TURN_MS / 3).await;
    }
    assert_eq!((a.stats().waited, a.stats().group_refetches), (0, 0));
    let asked = net.change(|cell| cell.group_requests().len());
    assert!((10..=12).contains(&asked), "{asked}");

    net.change(|cell| cell.rotate_group("probe"));
    let other = net.agent("other");
    let message = other.seal(&name("probe"), "t", b"new").await.unwrap();
    let waits = tokio::spawn({
        let a = a.clone();
        async move { a.waited().await }
    });
    assert_eq!(a.open(&message).unwrap_err().cause().code(), "waiting");
    let opened = tokio::time::timeout(Duration::from_secs(11), waits).await.unwrap().unwrap();
    assert_eq!(opened.into_iter().map(|opened| opened.unwrap().body).collect::<Vec<_>>(), [b"new"]);
    assert!(a.open_waiting().is_empty());
}

#[tokio::test(start_paused = true)]
async fn tickets_go_on_while_the_keys_of_groups_fail() {
    let net = net();
    net.key("b");
    let broken = problem_answer(&keycell_protocol::Problem::new(ProblemType::Internal));
    ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, "/v1/group-keys", Mood::Answers(broken.clone())));
    let a = member(&net, "probe.a");
    pass(60_000).await;
    assert!(a.failing_since().is_some() && a.groups().is_empty());
    assert!(a.seal(&name("b"), "t", b"x").await.is_ok());
    ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, "/v1/group-keys", Mood::Well));
    pass(61_000).await;
    assert!(is_member(&a) && a.failing_since().is_none());
    // What is left is not asked for again, and what is joined is asked for at once.
    a.leave(&name("probe"));
    net.change(|cell| cell.group_requests());
    pass(1_000).await;
    assert!(net.change(|cell| cell.group_requests()).is_empty());
    a.join(&name("probe"));
    pass(10).await;
    assert!(is_member(&a));
}

#[test]
fn a_program_without_a_runtime_is_told_too() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let net = runtime.block_on(async { net() });
    net.change(|cell| cell.group_mut("probe").spread = 0);
    let member = |party: &str| {
        let mut config = config();
        config.agent = config.agent.member_of([name("probe")]);
        let clock = Arc::new(HostClock { net: Arc::clone(&net), off: 0 });
        blocking::Agent::with(net.key(party), config, Arc::clone(&net) as Arc<dyn Transport>, clock).unwrap()
    };
    let (a, b) = (member("probe.a"), member("probe.b"));
    let message = a.seal(&name("probe"), "t", b"early").unwrap();
    // Whether its keys are there already is a matter of threads.
    let opened = match b.open(&message) {
        Err(error) if matches!(error.cause(), Cause::Waiting { .. }) => {
            b.waited(Duration::from_secs(60)).pop().unwrap()
        }
        opened => opened,
    };
    assert_eq!(opened.unwrap().body, b"early");
    assert_eq!(a.open(&message).unwrap_err().cause(), Cause::Reflected);
}
