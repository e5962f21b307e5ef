//! Asking for tickets: what the KDC refuses, and that nobody gains by asking again.

use std::num::NonZeroU32;

use keycell_client::SealError;
use keycell_kdc::issuance::Denied;
use keycell_kdc::limit::Rate;
use keycell_protocol::{
    Instance, LongTermKey, Nonce, Outcome, ProblemType, RatchetPeriod, SealedReply, SignedRequest,
    TicketRequest,
};

use crate::zone::{START, Zone};

fn request(zone: &Zone, source: &str, to: &[&str], nonce: u8) -> TicketRequest {
    TicketRequest {
        source: zone.name(source),
        destinations: to.iter().map(|to| zone.name(to)).collect(),
        timestamp: zone.now(),
        nonce: Nonce([nonce; 16]),
        instance: Instance([1; 16]),
    }
}

fn ask(zone: &Zone, request: &TicketRequest, key: &LongTermKey) -> Result<Vec<Outcome>, ProblemType> {
    let keys = key.subkeys();
    let json = SignedRequest::sign(request, &keys).unwrap().to_json();
    let issued =
        zone.kdc.tickets(&SignedRequest::parse(&json).unwrap(), None).map_err(|denied| denied.problem())?;
    Ok(SealedReply::parse(&issued.body).unwrap().open(&keys.reply, request).unwrap().outcomes)
}

#[tokio::test]
async fn a_request_is_answered_once() {
    let zone = Zone::new().await;
    let (a, _b, c) = (zone.party("a").await, zone.party("b").await, zone.party("c").await);
    let first = request(&zone, "a", &["b"], 1);
    assert!(ask(&zone, &first, &a).is_ok());
    assert_eq!(ask(&zone, &first, &a).unwrap_err(), ProblemType::Replayed);
    // Another party may happen to use the same nonce.
    assert!(ask(&zone, &request(&zone, "c", &["b"], 1), &c).is_ok());
    for later in [1, 59_999, 60_000] {
        zone.clock.set(START.plus(later));
        assert_eq!(ask(&zone, &first, &a).unwrap_err(), ProblemType::Replayed, "after {later} ms");
    }
    zone.clock.set(START.plus(60_001));
    assert_eq!(ask(&zone, &first, &a).unwrap_err(), ProblemType::ClockSkew);
}

#[tokio::test]
async fn a_request_from_the_future_is_no_way_around_the_nonces() {
    let zone = Zone::new().await;
    let a = zone.party("a").await;
    zone.party("b").await;
    let mut ahead = request(&zone, "a", &["b"], 1);
    ahead.timestamp = START.plus(60_000);
    assert!(ask(&zone, &ahead, &a).is_ok());
    // It stays acceptable by its timestamp for two minutes, and seen for as long.
    for later in [1, 60_000, 119_999, 120_000] {
        zone.clock.set(START.plus(later));
        assert_eq!(ask(&zone, &ahead, &a).unwrap_err(), ProblemType::Replayed, "after {later} ms");
    }
    zone.clock.set(START.plus(120_001));
    assert_eq!(ask(&zone, &ahead, &a).unwrap_err(), ProblemType::ClockSkew);
}

#[tokio::test]
async fn a_restart_of_the_kdc_does_not_let_an_old_request_in() {
    let mut zone = Zone::new().await;
    let a = zone.party("a").await;
    zone.party("b").await;
    let before = request(&zone, "a", &["b"], 1);
    assert!(ask(&zone, &before, &a).is_ok());
    zone.clock.advance(1);
    zone.restart().await;
    assert_eq!(ask(&zone, &before, &a).unwrap_err(), ProblemType::ClockSkew);
    assert!(ask(&zone, &request(&zone, "a", &["b"], 2), &a).is_ok());
}

#[tokio::test]
async fn each_destination_is_decided_by_itself() {
    let zone = Zone::new().await;
    let a = zone.party("a").await;
    zone.party("b").await;
    zone.party("off").await;
    zone.set_enabled("off", false).await;
    let mut request = request(&zone, "a", &["b", "nobody", "a", "off", "b"], 1);
    request.destinations.insert(1, "b@elsewhere".parse().unwrap());
    let outcomes = ask(&zone, &request, &a).unwrap();
    let problems: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Granted(_) => None,
            Outcome::Refused { problem, .. } => *problem,
        })
        .collect();
    assert_eq!(
        problems,
        [
            None,
            Some(ProblemType::UntrustedZone),
            Some(ProblemType::UnknownDestination),
            Some(ProblemType::SelfDestination),
            Some(ProblemType::DestinationDisabled),
            None
        ]
    );
    let [Outcome::Granted(one), .., Outcome::Granted(other)] = &outcomes[..] else { panic!("{outcomes:?}") };
    assert_ne!(one.ticket, other.ticket, "every ticket has its own key");
}

#[tokio::test]
async fn who_is_not_authenticated_learns_nothing() {
    let zone = Zone::new().await;
    let a = zone.party("a").await;
    zone.party("b").await;
    let wrong = LongTermKey::new(a.generation(), a.epoch(), [7; 32]);
    let next = LongTermKey::new(a.generation().next().unwrap(), a.epoch(), *a.expose_secret());
    let good = request(&zone, "a", &["b"], 1);
    for (request, key) in [
        (&good, &wrong),
        (&good, &next),
        (&request(&zone, "nobody", &["b"], 2), &a),
        (&request(&zone, "b", &["a"], 3), &a),
    ] {
        assert_eq!(ask(&zone, request, key).unwrap_err(), ProblemType::Unauthenticated);
    }
    // None of them used the nonce up.
    assert!(ask(&zone, &good, &a).is_ok());
}

#[tokio::test]
async fn disabling_holds_at_once_in_both_directions_and_can_be_taken_back() {
    let zone = Zone::new().await;
    let (mut a, mut b) = (zone.agent("a").await, zone.agent("b").await);
    let message = zone.seal(&mut a, "b", b"x").unwrap();
    zone.set_enabled("a", false).await;
    // What is out bounds itself by the ticket's life.
    b.open(zone.now(), &message).unwrap();
    let error = zone.seal(&mut b, "a", b"x").unwrap_err();
    assert!(
        matches!(error, SealError::Refused { problem: Some(ProblemType::DestinationDisabled), .. }),
        "{error:?}"
    );
    let key = zone.party("c").await;
    assert!(ask(&zone, &request(&zone, "c", &["b"], 9), &key).is_ok(), "nobody else notices");

    a.want(zone.now(), &zone.name("c")).unwrap();
    let pending = a.wants(zone.now()).unwrap();
    let denied = zone.ask(&pending).unwrap_err();
    assert_eq!(denied.problem(), ProblemType::PartyDisabled);
    zone.set_enabled("a", true).await;
    a.give_up(zone.now(), &pending);
    zone.clock.advance(60_000);
    zone.seal(&mut a, "c", b"x").unwrap();
}

#[tokio::test]
async fn a_party_pays_for_every_ticket_it_asks_for() {
    let rate = Rate { per_second: NonZeroU32::MIN, burst: NonZeroU32::new(1000).unwrap() };
    let zone = Zone::with(RatchetPeriod::DEFAULT, |config| config.limits.tickets_per_party = rate).await;
    let (a, b) = (zone.party("a").await, zone.party("b").await);
    let many = TicketRequest { destinations: vec![zone.name("b"); 999], ..request(&zone, "a", &[], 1) };
    assert_eq!(ask(&zone, &many, &a).unwrap().len(), 999);
    let more = request(&zone, "a", &["b"; 10], 2);
    let json = SignedRequest::sign(&more, &a.subkeys()).unwrap().to_json();
    let denied = zone.kdc.tickets(&SignedRequest::parse(&json).unwrap(), None).unwrap_err();
    assert!(matches!(denied, Denied::TooOften(limit) if limit.retry_after.as_secs() > 0), "{denied:?}");
    assert!(ask(&zone, &request(&zone, "b", &["a"; 10], 3), &b).is_ok(), "others do not pay for it");
}
