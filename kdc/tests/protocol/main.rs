//! The whole protocol between a real KDC on a real SQLite database and real agents, on one clock that stands still
//! until it is told otherwise. No socket is opened and nothing sleeps.

#![expect(clippy::unwrap_used, clippy::panic, reason = "this is a test")]

mod at_rest;
mod clocks;
mod copies;
mod damage;
mod enrollment;
mod groups;
mod hosts;
mod joining;
mod keys;
mod peers;
mod requests;
mod retention;
mod rotation;
mod zone;
mod zones;

use zone::Zone;

#[tokio::test]
async fn one_lookup_and_the_receiver_makes_none() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let mut answers = 0;
    for n in 0..100_u32 {
        let body = n.to_be_bytes();
        let message = zone.seal(&mut a, "b", &body).unwrap();
        let opened = b.open(zone.now(), &message).unwrap();
        assert_eq!((opened.source.as_str(), &opened.body[..]), ("a@cell1.internal", &body[..]));
        let answer = b.reply(zone.now(), &opened, b"heard").unwrap();
        assert_eq!(a.open(zone.now(), &answer).unwrap().body, b"heard");
        answers += 1;
    }
    assert_eq!((answers, a.stats().requests, b.stats().requests), (100, 1, 0));
}

#[tokio::test]
async fn tickets_are_renewed_before_they_end_and_leave_nothing_behind() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    // Two hours of messages, one each half minute; a ticket lasts 15 minutes.
    for _ in 0..240 {
        let message = zone.seal(&mut a, "b", b"x").unwrap();
        b.open(zone.now(), &message).unwrap();
        zone.clock.advance(30_000);
        zone.fetch(&mut a);
    }
    // Renewed at 50 to 80 % of its life: every 7.5 to 12 minutes.
    assert!((10..=18).contains(&a.stats().requests), "{:?}", a.stats());
    assert_eq!(b.stats().requests, 0);
}

#[tokio::test]
async fn sealing_goes_on_while_the_kdc_is_away_until_the_ticket_ends() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    zone.seal(&mut a, "b", b"first").unwrap();
    let end = a.ticket_expiration(zone.now(), &zone.name("b")).unwrap();
    zone.clock.set(end.millis().minus(1));
    let message = a.seal(zone.now(), &zone.name("b"), "", b"last").unwrap();
    b.open(zone.now(), &message).unwrap();
    // It asks for the next one, and nobody answers.
    let pending = a.wants(zone.now()).unwrap();
    a.give_up(zone.now(), &pending);
    zone.clock.set(end.millis());
    let error = a.seal(zone.now(), &zone.name("b"), "", b"late").unwrap_err();
    assert_eq!(error, keycell_client::SealError::Expired { destination: zone.name("b"), since: end });
    assert_eq!(b.open(zone.now(), &message).unwrap_err().cause().code(), "expired");
}
