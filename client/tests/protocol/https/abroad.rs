//! A zone that does not answer delays no ticket at home, nor of another zone.

use core::time::Duration;

use keycell_client::SealError;
use keycell_client::https::Error;
use keycell_protocol::ProblemType;
use tokio::time::Instant;

use super::net::Net;
use super::pass;
use crate::cell::name;

#[tokio::test(start_paused = true)]
async fn a_zone_that_hangs_delays_nobody_but_itself() {
    let net = Net::new();
    ["b", "c", "b@other", "b@third"].iter().for_each(|party| drop(net.key(party)));
    let agent = net.agent("a");
    net.silence(&["other"]);
    let hanging = {
        let agent = agent.clone();
        tokio::spawn(async move { agent.seal(&name("b@other"), "t", b"").await })
    };
    // It is being asked for.
    pass(1).await;
    assert_eq!(net.asked().len(), 1);
    let before = Instant::now();
    for to in ["b", "b@third", "c"] {
        agent.seal(&name(to), "t", b"").await.unwrap();
    }
    assert_eq!(before.elapsed(), Duration::ZERO, "somebody waited for the zone that hangs");
    assert!(matches!(hanging.await.unwrap(), Err(Error::NoAnswer { .. })));
    net.silence(&[]);
    agent.seal(&name("b@other"), "t", b"").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_zone_that_is_down_for_a_moment_is_waited_for() {
    let net = Net::new();
    net.key("b@other");
    let agent = net.agent("a");
    net.change(|cell| cell.closed.insert("other", ProblemType::Unavailable));
    let waiting = {
        let agent = agent.clone();
        tokio::spawn(async move { agent.seal(&name("b@other"), "t", b"").await })
    };
    pass(3_000).await;
    assert!(!waiting.is_finished() && net.requests() > 1, "it was not asked again");
    assert_eq!((agent.zones_failing().len(), agent.failing_since()), (1, None));
    net.change(|cell| cell.closed.clear());
    assert!(waiting.await.unwrap().is_ok());
    assert!(agent.zones_failing().is_empty());

    // Who waits in vain is told whose fault it is; what waiting does not mend is told at once.
    net.key("c@other");
    net.change(|cell| cell.closed.insert("other", ProblemType::Unavailable));
    let late = agent.seal(&name("c@other"), "t", b"").await.unwrap_err();
    assert!(late.to_string().contains("the zone other gives no tickets"), "{late}");
    net.change(|cell| cell.closed.insert("third", ProblemType::UntrustedZone));
    let before = Instant::now();
    let refused = agent.seal(&name("c@third"), "t", b"").await;
    assert!(matches!(refused, Err(Error::Seal(SealError::Refused { .. }))), "{refused:?}");
    assert_eq!(before.elapsed(), Duration::ZERO);
}
