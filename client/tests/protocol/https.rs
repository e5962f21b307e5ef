//! The agents that talk to KDCs by themselves, over a network that fails as a test likes. Time is paused: it passes
//! when everybody waits.

mod abroad;
mod files;
mod groups;
mod hosts;
mod net;

use core::time::Duration;
use std::sync::Arc;

use keycell_client::https::{Agent, Answer, Config, ConnectError, Error, Https, Transport, blocking};
use keycell_client::{Clock, KdcAddress, SealError};
use keycell_protocol::{Problem, ProblemType, UnixMillis};
use tokio::time::Instant;

use crate::cell::{LIFETIME, RENEW, name};
use net::{HostClock, Mood, Net, problem_answer};

fn config() -> Config {
    let mut config = Config::default();
    config.agent = config.agent.first_use();
    config
}

async fn pass(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

#[tokio::test(start_paused = true)]
async fn callers_at_the_same_time_share_requests() {
    let net = Net::new();
    let names: Vec<_> = (0..500).map(|host| name(&format!("probe{host}"))).collect();
    names.iter().for_each(|name| drop(net.key(name.local())));
    let agent = net.agent("cma");
    let mut tasks = tokio::task::JoinSet::new();
    for name in [names.clone(), names].concat() {
        let agent = agent.clone();
        tasks.spawn(async move { agent.seal(&name, "t", b"body").await });
    }
    assert!(tasks.join_all().await.iter().all(Result::is_ok));
    assert!(net.requests() <= 3, "{} requests for 500 tickets", net.requests());
    assert_eq!(agent.stats().tickets, 500);
}

#[tokio::test(start_paused = true)]
async fn both_ends_and_a_prefetch() {
    let net = Net::new();
    let (a, b) = (net.agent("a"), net.agent("b"));
    let missing = a.prefetch(&[name("b"), name("nobody"), name("a")]).await;
    let missing: Vec<_> = missing.into_iter().map(|(name, error)| (name.local().to_owned(), error)).collect();
    assert_eq!(missing[0], ("a".into(), Error::Seal(SealError::ToSelf)));
    assert!(matches!(
        &missing[1],
        (name, Error::Seal(SealError::Refused { problem: Some(ProblemType::UnknownDestination), .. }))
            if name == "nobody"
    ));
    assert_eq!(missing.len(), 2);
    let opened = b.open(&a.try_seal(&name("b"), "t", b"hello").unwrap()).unwrap();
    let answer = b.reply(&opened, b"hi").unwrap();
    assert_eq!(a.open(&answer).unwrap().body, b"hi");
    let signed = a.sign(&name("b"), "t", b"clear").await.unwrap();
    assert_eq!(b.open(&signed).unwrap().body, b"clear");
    assert_eq!((net.requests(), b.stats().requests), (1, 0));
    let refused = a.seal(&name("nobody"), "", b"").await.unwrap_err();
    assert!(refused.to_string().contains("nobody@z: The destination is unknown"), "{refused}");
}

#[tokio::test(start_paused = true)]
async fn a_dead_kdc_is_passed_over_and_the_good_one_kept() {
    let net = Net::new();
    let agent = net.agent("a");
    ["b", "c", "d", "e"].iter().for_each(|party| drop(net.key(party)));
    net.mood("one", Mood::Refuses);
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["one", "two"]);
    net.mood("one", Mood::Well);
    agent.seal(&name("c"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["two"]);
    pass(120_000).await;
    net.mood("two", Mood::Hangs);
    let before = Instant::now();
    agent.seal(&name("d"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["two", "one"]);
    assert_eq!(before.elapsed().as_secs(), 5, "one attempt's time");
    agent.seal(&name("e"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["one"]);
    assert_eq!(agent.failing_since(), None);
}

#[tokio::test(start_paused = true)]
async fn an_overloaded_kdc_and_a_proxys_page_are_passed_over() {
    let net = Net::new();
    let agent = net.agent("a");
    ["b", "c"].iter().for_each(|party| drop(net.key(party)));
    net.mood("one", Mood::Answers(problem_answer(&Problem::new(ProblemType::Overloaded))));
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["one", "two"]);
    let page = Answer { status: 502, retry_after: None, body: b"<html>".to_vec() };
    net.mood("two", Mood::Answers(page));
    net.mood("one", Mood::Well);
    pass(120_000).await;
    agent.seal(&name("c"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["two", "one"]);
}

#[tokio::test(start_paused = true)]
async fn all_kdcs_down_says_so_in_time() {
    let net = Net::new();
    let agent = net.agent("a");
    net.all(&Mood::Refuses);
    let before = Instant::now();
    let error = agent.seal(&name("b"), "", b"").await.unwrap_err();
    assert_eq!(before.elapsed().as_secs(), 20);
    assert!(matches!(error, Error::NoAnswer { .. }));
    assert!(error.to_string().contains("within 20 s: https://"), "{error}");
    assert!(error.to_string().ends_with("connection refused"), "{error}");
    let tries = net.asked().len();
    assert!((6..80).contains(&tries), "{tries} tries in 20 s");
    // The waits grow: in an hour not many more.
    pass(3_600_000).await;
    let tries = net.asked().len();
    assert!((60..600).contains(&tries), "{tries} tries in an hour");
    drop(net.key("b"));
    net.all(&Mood::Well);
    pass(60_000).await;
    assert!(agent.try_seal(&name("b"), "", b"").is_ok(), "it mends itself");
}

#[tokio::test(start_paused = true)]
async fn renewed_in_the_background_and_used_while_every_kdc_is_down() {
    let net = Net::new();
    let agent = net.agent("a");
    drop(net.key("b"));
    agent.seal(&name("b"), "", b"").await.unwrap();
    pass(RENEW * 1000 + 50).await;
    assert_eq!(net.requests(), 2);
    let end = net.now().seconds().plus(LIFETIME);
    assert!(agent.ticket_expiration(&name("b")).is_some_and(|renewed| renewed.0 + 1 >= end.0));

    for mood in [Mood::Refuses, Mood::Hangs] {
        net.all(&mood);
        let end = agent.ticket_expiration(&name("b")).unwrap();
        while net.now().plus(1_000) < end.millis() {
            let before = Instant::now();
            agent.seal(&name("b"), "", b"").await.unwrap();
            assert_eq!(before.elapsed(), Duration::ZERO, "a renewal that fails keeps nobody waiting");
            pass(900).await;
        }
        pass(2_000).await;
        let before = Instant::now();
        let error = agent.seal(&name("b"), "", b"").await.unwrap_err();
        assert_eq!(error, Error::Seal(SealError::Expired { destination: name("b"), since: end }));
        assert_eq!(before.elapsed(), Duration::ZERO);
        net.all(&Mood::Well);
        pass(120_000).await;
        agent.try_seal(&name("b"), "", b"").unwrap();
        assert_eq!(agent.failing_since(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn a_wrong_clock_costs_one_more_request() {
    for off in [-600_000, 600_000] {
        let net = Net::new();
        let (agent, b) = (net.agent_off("a", off), net.agent("b"));
        let before = Instant::now();
        let message = agent.seal(&name("b"), "", b"").await.unwrap();
        assert_eq!((net.requests(), before.elapsed()), (2, Duration::ZERO));
        assert_eq!(agent.clock_correction_ms(), -off);
        assert_eq!(b.open(&message).unwrap().sent_at, net.now());
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_is_asked_for_at_the_next_kdc() {
    let net = Net::new();
    let agent = net.agent("a");
    drop(net.key("b"));
    net.mood("one", Mood::Swallows);
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!(net.asked(), ["one", "two"]);
    // The same request, twice.
    let cell = net.cell.lock().unwrap();
    assert_eq!(cell.requests[0], cell.requests[1]);
}

#[tokio::test(start_paused = true)]
async fn retry_after_is_obeyed() {
    let net = Net::new();
    let agent = net.agent("a");
    drop(net.key("b"));
    let mut busy = problem_answer(&Problem::new(ProblemType::RateLimited));
    busy.retry_after = Some(15);
    net.all(&Mood::Answers(busy));
    assert!(matches!(agent.try_seal(&name("b"), "", b""), Err(SealError::NoTicket { .. })));
    pass(14_999).await;
    assert_eq!(net.asked(), ["one"], "a limit of the party holds at every KDC");
    net.all(&Mood::Well);
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!(net.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_forged_answer_is_not_used() {
    let net = Net::new();
    let agent = net.agent("a");
    let body = br#"{"metadata":"e30","sealed":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"}"#;
    net.all(&Mood::Answers(Answer { status: 200, retry_after: None, body: body.to_vec() }));
    let error = agent.seal(&name("b"), "", b"").await.unwrap_err();
    assert!(error.to_string().ends_with("not sealed by a KDC that knows this party's key"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn the_task_ends_with_the_last_handle() {
    let net = Net::new();
    let agent = net.agent("a");
    let other = agent.clone();
    drop(agent);
    drop(net.key("b"));
    other.seal(&name("b"), "", b"").await.unwrap();
    drop(other);
    pass(1).await;
    assert_eq!(Arc::strong_count(&net), 1);
}

#[test]
fn a_program_without_a_runtime() {
    struct Real(Arc<Net>);
    impl Clock for Real {
        fn now(&self) -> UnixMillis {
            self.0.now()
        }
    }
    let net = Net::new();
    drop(net.key("b"));
    let start = |party, config| {
        let clock = Arc::new(Real(Arc::clone(&net)));
        blocking::Agent::with(net.key(party), config, Arc::clone(&net) as Arc<dyn Transport>, clock).unwrap()
    };
    let (a, b) = (start("a", config()), start("b", config()));
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            (0..4).map(|_| scope.spawn(|| a.seal(&name("b"), "t", b"hello").unwrap())).collect();
        for thread in threads {
            let opened = b.open(&thread.join().unwrap()).unwrap();
            let answer = b.reply(&opened, b"hi").unwrap();
            assert_eq!(a.open(&answer).unwrap().body, b"hi");
        }
    });
    assert_eq!(net.requests(), 1);
    assert_eq!(a.prefetch(&[name("b")]), []);
    assert_eq!(b.stats().requests, 0);
    drop((a, b));
    assert_eq!(Arc::strong_count(&net), 1, "the threads are gone");

    net.all(&Mood::Refuses);
    let hasty = start("a", Config { total_timeout: Duration::from_millis(20), ..config() });
    assert!(matches!(hasty.seal(&name("c"), "", b""), Err(Error::NoAnswer { .. })));
}

#[tokio::test]
async fn what_is_missing_in_the_key_file_is_told() {
    let net = Net::new();
    let with = |urls: &[&str], tls_roots: &str| {
        let mut key = net.key("a");
        let urls = urls.iter().map(|url| (*url).to_owned()).collect();
        key.kdc = KdcAddress { urls, tls_roots: tls_roots.to_owned() };
        key
    };
    let connect = |key| Agent::connect(key, Config::default()).unwrap_err();
    assert!(matches!(connect(with(&["https://kdc"], " \n")), ConnectError::NoRoots));
    assert!(connect(with(&["https://kdc"], "")).to_string().contains("set \"tls_roots\""));
    assert!(matches!(connect(with(&["https://kdc"], "no PEM")), ConnectError::Roots(_)));
    let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    assert!(matches!(connect(with(&["https://kdc"], broken)), ConnectError::Roots(_)));
    assert!(matches!(Https::new("", Duration::from_secs(1)), Err(ConnectError::NoRoots)));
    for url in ["http://kdc", "kdc", "https://", "https:///", "", "https://a b"] {
        let clock = Arc::new(HostClock { net: Arc::clone(&net), off: 0 });
        let agent =
            Agent::with(with(&[url], ""), Config::default(), Arc::clone(&net) as Arc<dyn Transport>, clock);
        assert!(matches!(agent, Err(ConnectError::Url { .. })), "{url}");
    }
    let clock = Arc::new(HostClock { net: Arc::clone(&net), off: 0 });
    let agent = Agent::with(with(&[], ""), Config::default(), Arc::clone(&net) as Arc<dyn Transport>, clock);
    assert!(matches!(agent, Err(ConnectError::NoUrls)));
}

#[test]
fn an_async_agent_needs_a_runtime() {
    let net = Net::new();
    let clock = Arc::new(HostClock { net: Arc::clone(&net), off: 0 });
    let agent = Agent::with(net.key("a"), config(), Arc::clone(&net) as Arc<dyn Transport>, clock);
    assert!(matches!(agent, Err(ConnectError::NoRuntime)));
}
