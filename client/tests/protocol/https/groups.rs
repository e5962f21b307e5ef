//! Groups over the network: keys are fetched by themselves, and what waited is given out.

use core::time::Duration;
use std::sync::Arc;

use keycell_client::Membership;
use keycell_client::https::{OpenError, Transport};
use keycell_protocol::{Cause, Generation, GroupKey, Problem, ProblemType};
use tokio::time::Instant;

use super::{Agent, Config, HostClock, Mood, Net, blocking, config, name, pass, problem_answer};
use crate::cell::{TURN_MS, Words};

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
    let broken = problem_answer(&Problem::new(ProblemType::Internal));
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

#[tokio::test(start_paused = true)]
async fn who_opens_what_was_stored_fetches_the_keys_for_it() {
    let net = net();
    let (cma, a, out) = (net.agent("cma"), net.agent("probe.a"), net.agent("other.x"));
    let [message, second, third] = [
        cma.seal(&name("probe"), "t", b"1").await,
        cma.seal(&name("probe"), "t", b"2").await,
        cma.seal(&name("probe"), "t", b"3").await,
    ]
    .map(Result::unwrap);
    let not_for_me = |error| matches!(error, OpenError::Cannot(error) if error.cause() == Cause::NotForMe);
    assert!(not_for_me(a.fetch_and_open(&message).await.unwrap_err()), "it does not listen");
    [&a, &out].iter().for_each(|agent| agent.join(&name("probe")));
    assert_eq!(a.fetch_and_open(&message).await.unwrap().body, b"1");
    assert_eq!(a.open(&second).unwrap().body, b"2", "the keys are here now");
    let replayed = OpenError::Cannot(Cause::Replayed.into());
    assert_eq!(a.fetch_and_open(&message).await.unwrap_err(), replayed);
    assert!(a.open_waiting().is_empty(), "nothing of it was kept");
    for _ in 0..2 {
        let refused = out.fetch_and_open(&message).await.unwrap_err();
        let because = Some(ProblemType::NotAllowed);
        assert_eq!(refused, OpenError::Refused { group: name("probe"), problem: because });
    }
    let asked = |net: &Arc<Net>| net.change(|cell| cell.group_requests().len());
    assert_eq!(asked(&net), 2, "each once");

    // After a rotation it asks when it is its turn; where that takes too long, it says so instead.
    net.change(|cell| cell.rotate_group("probe"));
    let other = net.agent("other.y");
    let message = other.seal(&name("probe"), "t", b"new").await.unwrap();
    assert_eq!(a.fetch_and_open(&message).await.unwrap().body, b"new");
    assert_eq!(asked(&net), 1);
    // No KDC, and none that has keys.
    for (mood, why) in [
        (Mood::Refuses, "connection refused"),
        (Mood::Answers(problem_answer(&Problem::new(ProblemType::PartyDisabled))), "The party is disabled"),
    ] {
        let late = net.agent("probe.b");
        late.join(&name("probe"));
        ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, "/v1/group-keys", mood.clone()));
        let error = late.fetch_and_open(&third).await.unwrap_err();
        assert!(matches!(error, OpenError::NoKey { .. }) && error.to_string().contains(why), "{error}");
        ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, "/v1/group-keys", Mood::Well));
    }
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_the_keys_of_one_group_is_not_told_of_another() {
    let net = net();
    net.change(|cell| {
        cell.group("busy", &["probe.a"]);
        cell.group_mut("busy").problem = Some(ProblemType::Unavailable);
    });
    let busy = net.agent("cma").seal(&name("busy"), "t", b"x").await.unwrap();
    let a = net.agent("probe.a");
    ["busy", "probe"].iter().for_each(|group| a.join(&name(group)));
    let made_up = |at: u32| {
        net.change(|cell| {
            let key = GroupKey::new(Generation(1_000 + at), [7; 32]);
            let grant = cell.grant_group_with("evil.x", "probe", &key, cell.now.seconds().plus(60));
            cell.forge(&Words::honest(cell.now, "evil.x", &grant), grant.sek.clone())
        })
    };
    for at in 0..6 {
        let error = a.fetch_and_open(&made_up(at)).await.unwrap_err().to_string();
        assert!(error.contains("a later key than the KDC gave") && !error.contains("busy"), "{error}");
        let error = a.fetch_and_open(&busy).await.unwrap_err().to_string();
        assert!(error.contains("the KDC gives no keys of it: "), "{error}");
        assert!(error.contains(ProblemType::Unavailable.title()) && !error.contains("probe"), "{error}");
    }
    // What is left and joined again is not told of by what it was.
    a.leave(&name("busy"));
    net.change(|cell| cell.group_mut("busy").problem = None);
    a.join(&name("busy"));
    assert_eq!(a.fetch_and_open(&busy).await.unwrap().body, b"x");
}

#[tokio::test(start_paused = true)]
async fn made_up_keys_are_waited_for_less_and_less() {
    let net = net();
    let a = member(&net, "probe.a");
    pass(10).await;
    let started = Instant::now();
    for made_up in 0..50_u32 {
        let message = net.change(|cell| {
            let key = GroupKey::new(Generation(1_000 + made_up), [7; 32]);
            let grant = cell.grant_group_with("evil.x", "probe", &key, cell.now.seconds().plus(60));
            cell.forge(&Words::honest(cell.now, "evil.x", &grant), grant.sek.clone())
        });
        let error = a.fetch_and_open(&message).await.unwrap_err();
        assert!(error.to_string().contains("a later key than the KDC gave"), "{error}");
    }
    assert!(started.elapsed() < Duration::from_secs(120), "{:?}", started.elapsed());
    assert!(net.change(|cell| cell.group_requests().len()) < 12);
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
