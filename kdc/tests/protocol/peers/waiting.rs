//! Zones that do not answer: what that costs nobody else.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::time::Duration;

use futures_util::future::join_all;
use keycell_client::https::{ConnectError, Transport};
use keycell_kdc::limit::Rate;
use keycell_kdc::peers::Connect;
use keycell_kdc::trust::Direction;
use keycell_protocol::{Outcome, ProblemType};

use super::Pair;
use super::wire::Mood;
use crate::zones::trust::change_trust;

#[tokio::test]
async fn a_hanging_zone_costs_nobody_a_ticket_at_home() {
    let pair = Pair::new().await;
    let mut parties = Vec::new();
    for n in 0..20 {
        let name = format!("a{n}");
        parties.push((pair.here.party(&name).await, name));
    }
    pair.here.party("c").await;
    pair.there.party("b").await;
    let (to, home) = (pair.there.name("b"), pair.here.name("c"));
    pair.wire.set(Mood::Hangs);
    let refused = AtomicUsize::new(0);
    let thousand = join_all((0..1000).map(async |n| {
        let (key, name) = &parties[n % parties.len()];
        let outcome = pair.here.one(name, key, &to).await;
        refused.fetch_add(1, Ordering::SeqCst);
        outcome
    }));
    let meanwhile = async {
        // Whoever finds no place is told so at once; the others wait.
        while refused.load(Ordering::SeqCst) < 936 || pair.wire.calls() < 64 {
            tokio::task::yield_now().await;
        }
        // Not one of these waits: the path of a ticket at home is a plain function.
        for (key, name) in &parties {
            pair.here.ticket(name, key, "c").unwrap();
            assert_eq!(pair.here.one(name, key, &home).await, Ok(()));
        }
        assert_eq!(pair.wire.calls(), 64, "so many at once");
        pair.wire.release();
    };
    let (outcomes, ()) = tokio::join!(thousand, meanwhile);
    let given = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let overloaded = |outcome: &&Result<(), ProblemType>| **outcome == Err(ProblemType::Overloaded);
    assert_eq!((given, outcomes.iter().filter(overloaded).count()), (64, 936));
}

#[tokio::test]
async fn one_party_does_not_take_all_places() {
    let pair = Pair::new().await;
    let (greedy, key) = (pair.here.party("a").await, pair.here.party("c").await);
    pair.there.party("b").await;
    let to = pair.there.name("b");
    pair.wire.set(Mood::Hangs);
    let refused = AtomicUsize::new(0);
    let many = join_all((0..100).map(async |_| {
        let outcome = pair.here.one("a", &greedy, &to).await;
        refused.fetch_add(1, Ordering::SeqCst);
        outcome
    }));
    let meanwhile = async {
        while refused.load(Ordering::SeqCst) < 96 || pair.wire.calls() < 4 {
            tokio::task::yield_now().await;
        }
        let other = pair.here.one("c", &key, &to);
        let reaches = async {
            while pair.wire.calls() < 5 {
                tokio::task::yield_now().await;
            }
            pair.wire.release();
        };
        assert_eq!(tokio::join!(other, reaches).0, Ok(()));
    };
    let (outcomes, ()) = tokio::join!(many, meanwhile);
    let given = outcomes.iter().filter(|outcome| outcome.is_ok()).count();
    let overloaded = |outcome: &&Result<(), ProblemType>| **outcome == Err(ProblemType::Overloaded);
    assert_eq!((given, outcomes.iter().filter(overloaded).count()), (4, 96));
    assert_eq!(pair.here.one("a", &greedy, &to).await, Ok(()), "whoever was answered may ask again");
}

#[tokio::test]
async fn who_asks_over_the_border_gets_what_is_at_home_as_well() {
    let pair = Pair::with(|peers| peers.timeout_ms = 50).await;
    let key = pair.here.party("a").await;
    pair.here.party("c").await;
    pair.wire.set(Mood::Hangs);
    let to = [pair.there.name("b"), pair.here.name("c")];
    let outcomes = pair.here.outcomes("a", &key, &to).await.unwrap();
    let given: Vec<_> = outcomes.iter().map(|one| matches!(one, Outcome::Granted(_))).collect();
    assert_eq!(given, [false, true]);
}

#[tokio::test]
async fn a_dead_zone_is_left_alone_and_tried_again() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    let breaker = || pair.here.kdc.peers().states()[0].breaker;
    pair.wire.set(Mood::Dead);
    for _ in 0..5 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    }
    assert_eq!(breaker(), "open");
    let calls = pair.wire.calls();
    assert_eq!(calls, 10, "each of them tried twice");
    for _ in 0..100 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    }
    assert_eq!(pair.wire.calls(), calls, "nobody waits for it");
    pair.advance(1_000);
    assert_eq!(breaker(), "half-open");
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    assert_eq!(breaker(), "open");
    pair.wire.set(Mood::Well);
    pair.advance(2_000);
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    assert_eq!(breaker(), "closed");
}

/// Nobody is to be called for a zone that this one does not want to ask.
#[tokio::test]
async fn the_breaker_of_a_trust_that_is_disabled_is_not_told() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    let to = pair.there.name("b");
    pair.wire.set(Mood::Dead);
    for _ in 0..5 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    }
    let told = |number: u32| {
        let page = pair.here.kdc.metrics().page().unwrap();
        let line = format!("keycell_peer_breaker{{zone=\"two.example\"}} {number}\n");
        assert!(page.contains(&line), "{line}: {page}");
    };
    told(2);
    change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| trust.enabled = false).await;
    pair.here.kdc.peers().see_to_all().await;
    told(0);
}

#[tokio::test]
async fn a_slow_zone_is_not_asked_twice_as_often_for_that() {
    let pair = Pair::with(|peers| peers.breaker_failures = 1_000).await;
    let key = pair.here.party("a").await;
    let to = pair.there.name("b");
    pair.wire.set(Mood::Dead);
    for _ in 0..200 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    }
    // Ten at first, and one for ten requests.
    assert_eq!(pair.wire.calls(), 200 + 10 + 20 - 1);
}

#[tokio::test]
async fn the_next_url_is_asked_and_the_good_one_kept() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| {
        let urls = ["https://one", "https://two/", "https://three"];
        trust.peer.as_mut().unwrap().urls = urls.map(str::to_owned).to_vec();
    })
    .await;
    pair.wire.set(Mood::Dead);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    let path = |host: &str| format!("https://{host}/v1/peer/tickets");
    assert_eq!(pair.wire.urls(), [path("one"), path("two"), path("three")]);
    // Fails once, for a reason of the one that is asked.
    pair.wire.set(Mood::Says(502, b"<html>no".to_vec()));
    let mends = async {
        while pair.wire.calls() < 4 {
            tokio::task::yield_now().await;
        }
        pair.wire.set(Mood::Well);
    };
    let _ = tokio::join!(pair.here.one("a", &key, &to), mends);
    pair.wire.urls();
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    let urls = pair.wire.urls();
    assert_eq!(urls[urls.len() - 1], urls[urls.len() - 2], "it stays with the one that answered");
}

/// What is kept may lead to a machine that is gone.
#[tokio::test]
async fn who_says_nothing_is_asked_again_over_a_new_connection() {
    let pair = Pair::with(|peers| peers.attempt_timeout_ms = 50).await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    assert_eq!(pair.wire.connections(), 1);
    pair.wire.set(Mood::Hangs);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    assert_eq!((pair.wire.calls(), pair.wire.connections()), (3, 2));
    // Not where it is refused: there is a machine.
    pair.wire.set(Mood::Dead);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    assert_eq!((pair.wire.calls(), pair.wire.connections()), (5, 2));
}

#[tokio::test]
async fn who_is_asked_too_often_is_left_alone() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    let problem = keycell_protocol::Problem::new(ProblemType::RateLimited);
    pair.wire.set(Mood::Says(429, serde_json::to_vec(&problem).unwrap()));
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Overloaded));
    pair.wire.set(Mood::Well);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Overloaded));
    let first = pair.here.now();
    pair.advance(500);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Overloaded));
    let state = pair.here.kdc.peers().states().remove(0);
    assert_eq!((pair.wire.calls(), state.breaker), (1, "closed"));
    // Of what was not even asked nothing came.
    assert_eq!(state.last.map(|last| (last.at, last.outcome)), Some((first, "overloaded")));
    pair.advance(500);
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
}

/// Neither for that zone's KDC nor for what this one has to look up before.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_waits_longer_than_he_may_for_what_is_known_of_a_zone() {
    let pair = Pair::with(|peers| peers.timeout_ms = 50).await;
    let key = pair.here.party("a").await;
    let (let_go, stuck) = mpsc::channel();
    let entered = Arc::new(AtomicBool::new(false));
    let peers = pair.here.kdc.peers().clone();
    peers.connect_by(Arc::new(Stuck { entered: entered.clone(), until: Mutex::new(stuck) }));
    let looks = tokio::spawn(async move { peers.see_to_all().await });
    while !entered.load(Ordering::SeqCst) {
        tokio::task::yield_now().await;
    }
    let to = pair.there.name("b");
    let asked = pair.here.one("a", &key, &to);
    let outcome = tokio::time::timeout(Duration::from_secs(20), asked).await;
    assert_eq!(outcome.expect("it waits"), Err(ProblemType::Unavailable));
    drop(let_go);
    looks.await.unwrap();
}

/// Whoever is looked at with it waits.
struct Stuck {
    entered: Arc<AtomicBool>,
    until: Mutex<mpsc::Receiver<()>>,
}

impl Connect for Stuck {
    fn connect(&self, _: &str) -> Result<Arc<dyn Transport>, ConnectError> {
        self.entered.store(true, Ordering::SeqCst);
        let _ = self.until.lock().unwrap().recv();
        Err(ConnectError::NoUrls)
    }
}

#[tokio::test]
async fn the_rate_of_the_trust_holds_where_it_is_asked_from() {
    let pair = Pair::new().await;
    let (key, other) = (pair.here.party("a").await, pair.here.party("c").await);
    change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| trust.rate = Rate::new(1, 1_000))
        .await;
    let to: Vec<_> = (0..1_000).map(|n| pair.there.name(&format!("b{n}"))).collect();
    let outcomes = pair.here.outcomes("a", &key, &to).await.unwrap();
    let unknown = |outcome: &Outcome| {
        matches!(outcome, Outcome::Refused { problem: Some(ProblemType::UnknownDestination), .. })
    };
    assert!(outcomes.iter().all(unknown));
    // So many more that none of it comes back while this runs.
    let more: Vec<_> = (0..500).map(|n| pair.there.name(&format!("c{n}"))).collect();
    let overloaded = |outcome: &Outcome| {
        matches!(outcome, Outcome::Refused { problem: Some(ProblemType::Overloaded), .. })
    };
    for (name, key) in [("a", &key), ("c", &other)] {
        let outcomes = pair.here.outcomes(name, key, &more).await.unwrap();
        assert!(outcomes.iter().all(overloaded), "{name}");
    }
    assert_eq!(pair.wire.calls(), 1);
    // Another rate holds at once.
    change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| trust.rate = Rate::new(1, 2_000))
        .await;
    assert_eq!(pair.here.one("c", &other, &more[0]).await, Err(ProblemType::UnknownDestination));
}
