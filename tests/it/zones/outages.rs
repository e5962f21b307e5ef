//! A zone whose KDC is away, comes back, or takes connections and says nothing.

use std::net::TcpListener;

use keycell_client::AgentConfig;
use keycell_client::https::{Agent, Config, Error};
use keycell_protocol::ProblemType;
use keycell_tests::party::Party;
use keycell_tests::wait::until;
use serde_json::{Value, json};

use super::scene::{Zone, config};
use super::talk;

/// Killed in the middle of what it gives, the other zone's KDC takes nothing from anybody at home.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_away_costs_nobody_his_own_tickets() {
    let (a, mut b) = (Zone::impatient("a.test"), Zone::start("b.test"));
    b.lets_speak(&a);
    let (sender, receiver) = (patient(&a, "sender"), b.agent("receiver"));
    let message = sender.seal(receiver.name(), "", b"before").await.unwrap();
    talk(&sender, &receiver, &message);

    b.kdc.kill9();
    let asker = Party::load(&{
        a.cell.run(&["party", "add", "asker"]).succeeded();
        a.cell.folder().join("asker.key")
    });
    let http = a.kdc.http();
    assert_eq!(asker.refusal(&http, receiver.name().as_str()).await, Some(ProblemType::Unavailable));
    assert_eq!(asker.refusal(&http, sender.name().as_str()).await, None);
    // One request for both: the one at home is given.
    let both = asker.ask(&http, &[sender.name().as_str(), receiver.name().as_str()]).await.unwrap();
    assert!(matches!(both[0], keycell_protocol::Outcome::Granted(_)), "{both:?}");
    // Who has a ticket goes on under it, and is heard: the KDC is not asked for a message.
    let message = sender.seal(receiver.name(), "", b"meanwhile").await.unwrap();
    talk(&sender, &receiver, &message);
    // After some failures it is not even tried; an administrator sees that.
    until("the breaker is open", async || {
        let _ = asker.refusal(&http, receiver.name().as_str()).await;
        (breaker(&a)? == "open").then_some(())
    })
    .await;

    let fresh = patient(&a, "fresh");
    let waiting = {
        let (fresh, to) = (fresh.clone(), receiver.name().clone());
        tokio::spawn(async move { fresh.seal(&to, "", b"after").await })
    };
    until("it was told that nobody answers, and asks again", async || {
        (fresh.stats().requests > 1).then_some(())
    })
    .await;
    b.kdc = b.cell.serve();
    // Who waits is served when it is back, and has done nothing for that.
    let message = waiting.await.unwrap().unwrap();
    talk(&fresh, &receiver, &message);
    until("the breaker is closed", async || (breaker(&a)? == "closed").then_some(())).await;
    for zone in [&a, &b] {
        zone.admin().assert_intact().await;
    }
}

/// It takes connections and says nothing: who asks for what is at home does not notice.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_hangs_holds_up_nobody_at_home() {
    let (a, mut b) = (Zone::impatient("a.test"), Zone::start("b.test"));
    b.lets_speak(&a);
    let (home, receiver) = (a.agent("home"), b.agent("receiver"));
    let address = b.kdc.address();
    b.kdc.terminate();
    let hanging = TcpListener::bind(address).unwrap();

    // Many ask abroad, each again and again.
    let askers: Vec<_> = (0..20).map(|number| a.agent(&format!("asker.{number}"))).collect();
    let abroad: Vec<_> = askers
        .iter()
        .map(|asker| {
            let (asker, to) = (asker.clone(), receiver.name().clone());
            tokio::spawn(async move { asker.seal(&to, "", b"").await })
        })
        .collect();
    hanging.set_nonblocking(true).unwrap();
    let mut taken = Vec::new();
    until("the KDC asks the one that hangs", async || {
        taken.extend(hanging.accept().ok());
        (!taken.is_empty()).then_some(())
    })
    .await;
    // Meanwhile each of them gets what is at home, and so do others.
    for asker in &askers {
        let message = asker.seal(home.name(), "", b"at home").await.unwrap();
        talk(asker, &home, &message);
        assert!(asker.stats().tickets >= 1);
    }
    let message = home.seal(askers[0].name(), "", b"back").await.unwrap();
    talk(&home, &askers[0], &message);
    until("the breaker opens", async || {
        taken.extend(hanging.accept().ok());
        (breaker(&a)? == "open").then_some(())
    })
    .await;
    drop((hanging, taken));
    b.kdc = b.cell.serve();
    // Everybody who asked is heard at last, or was told that nobody answers.
    for (asker, asking) in askers.iter().zip(abroad) {
        let message = match asking.await.unwrap() {
            Ok(message) => message,
            Err(error) => {
                assert!(matches!(error, Error::NoAnswer { .. } | Error::Seal(_)), "{error}");
                until("it is given now", async || asker.seal(receiver.name(), "", b"").await.ok()).await
            }
        };
        talk(asker, &receiver, &message);
    }
}

/// It answers, and lets nobody speak any more: who administers this one is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_ended_the_trust_is_told_of() {
    let (a, b) = (Zone::start("a.test"), Zone::start("b.test"));
    b.lets_speak(&a);
    let asker = a.cell.add("asker");
    b.cell.run(&["party", "add", "receiver"]).succeeded();
    assert_eq!(asker.refusal(&a.kdc.http(), "receiver@b.test").await, None);
    let status = a.json(&["status"]);
    assert_eq!((&status["trusts"][0]["last_outcome"], is_warned(&status)), (&json!("ok"), false));

    b.cell.run(&["trust", "delete", "incoming", "a.test"]).succeeded();
    let other = a.cell.add("other");
    assert_eq!(other.refusal(&a.kdc.http(), "receiver@b.test").await, Some(ProblemType::Unavailable));
    let status = a.cell.run(&["status"]).succeeded().stdout;
    assert!(status.contains("ago: refused"), "{status}");
    assert!(status.contains("WARNING peers: the KDCs of b.test refuse what this one asks"), "{status}");
    let trust = a.trust("outgoing", &b);
    assert_eq!(trust["last_outcome"], "refused", "{trust}");
    assert!(trust["last_answer"].as_u64() <= trust["last_request"].as_u64(), "{trust}");
    let shown = a.cell.run(&["trust", "show", "outgoing", "b.test"]).succeeded().stdout;
    assert!(shown.contains("last answer ") && shown.contains("last request  refused, "), "{shown}");
    // What is not asked is not refused.
    a.cell.run(&["trust", "disable", "outgoing", "b.test"]).succeeded();
    assert!(!is_warned(&a.json(&["status"])));
}

/// Whether `keycell status` warns of other zones.
fn is_warned(status: &Value) -> bool {
    status["warnings"].as_array().unwrap().iter().any(|warning| warning["kind"] == "peers")
}

/// An agent that waits for longer than a breaker is open.
fn patient(zone: &Zone, local: &str) -> Agent {
    zone.cell.run(&["party", "add", local]).succeeded();
    let total_timeout = std::time::Duration::from_secs(50);
    let agent = AgentConfig { max_backoff_ms: 500, ..config() };
    let config = Config { agent, total_timeout, ..Config::default() };
    Agent::connect_file(zone.cell.folder().join(format!("{local}.key")), config).unwrap()
}

/// What `keycell status` says of the one zone that this one may ask.
fn breaker(zone: &Zone) -> Option<String> {
    let status: Value = zone.json(&["status"]);
    let outgoing = status["trusts"].as_array()?.iter().find(|trust| trust["direction"] == "outgoing")?;
    outgoing["breaker"].as_str().map(str::to_owned)
}
