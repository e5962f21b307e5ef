//! Answers that are none: whoever holds the key of the trust, or the wire, gets no ticket of his own making in.

use keycell_kdc::random::system;
use keycell_protocol::{
    Epoch, Generation, KeysFor, LongTermKey, Name, PeerRequest, Peers, Problem, ProblemType, ReplyWriter,
    UnixMillis, UnixSeconds,
};

use super::Pair;
use super::wire::{Lie, Mood};
use crate::zone::DAY;

/// Gives a ticket for each of `destinations` until `expiration`, sealed with `keys`.
fn reply(
    request: &PeerRequest,
    destinations: &[&Name],
    expiration: UnixSeconds,
    keys: &KeysFor<Peers>,
    now: UnixMillis,
) -> Vec<u8> {
    let theirs = LongTermKey::generate(Generation(1), Epoch(1), &mut system()).subkeys();
    let mut reply = ReplyWriter::to_zone(request, now);
    for destination in destinations {
        reply.grant_party(destination, &theirs, expiration, expiration, &mut system());
    }
    reply.seal_for_zone(keys, &mut system())
}

fn asked(request: &PeerRequest) -> Vec<&Name> {
    request.requests.iter().map(|pair| &pair.destination).collect()
}

fn lasting(request: &PeerRequest, now: UnixMillis, more: u64) -> UnixSeconds {
    now.seconds().plus(u64::from(request.lifetime_seconds) + more)
}

#[tokio::test]
async fn garbage_is_no_answer_and_opens_the_breaker() {
    let html = b"<html><h1>502 Bad Gateway</h1></html>".to_vec();
    let problem = |kind| serde_json::to_vec(&Problem::new(kind)).unwrap();
    let moods = |key: LongTermKey| -> Vec<(&str, Mood)> {
        let lie = |lie| Mood::Lies(key.clone(), lie);
        vec![
            ("an error of a proxy", Mood::Says(502, html.clone())),
            ("a page where the answer should be", Mood::Says(200, html.clone())),
            ("nothing", Mood::Says(200, Vec::new())),
            ("a redirect", Mood::Says(307, Vec::new())),
            ("a refusal that is none", Mood::Says(403, html.clone())),
            ("an error of the KDC", Mood::Says(500, problem(ProblemType::Internal))),
            ("a KDC that is busy", Mood::Says(503, problem(ProblemType::Overloaded))),
            ("a problem of another status", Mood::Says(404, problem(ProblemType::PartyDisabled))),
            ("half of it", Mood::Altered(|body| body[..body.len() / 2].to_vec())),
            (
                "one bit of it",
                Mood::Altered(|mut body| {
                    let at = body.len() - 10;
                    body[at] = if body[at] == b'A' { b'B' } else { b'A' };
                    body
                }),
            ),
            (
                "another key",
                lie(|request, _, now| {
                    let wrong = LongTermKey::generate(Generation(1), Epoch(1), &mut system()).keys_for();
                    reply(request, &asked(request), lasting(request, now, 0), &wrong, now)
                }),
            ),
            (
                "too few tickets",
                lie(|request, keys, now| {
                    reply(request, &asked(request)[1..], lasting(request, now, 0), keys, now)
                }),
            ),
            (
                "another order",
                lie(|request, keys, now| {
                    let mut turned = asked(request);
                    turned.reverse();
                    reply(request, &turned, lasting(request, now, 0), keys, now)
                }),
            ),
            (
                "somebody else",
                lie(|request, keys, now| {
                    let mut other = asked(request);
                    let name: Name = "x@two.example".parse().unwrap();
                    other[0] = &name;
                    reply(request, &other, lasting(request, now, 0), keys, now)
                }),
            ),
            (
                "a ticket that lasts",
                lie(|request, keys, now| {
                    reply(request, &asked(request), lasting(request, now, 61), keys, now)
                }),
            ),
            (
                "a ticket that has ended",
                lie(|request, keys, now| reply(request, &asked(request), now.seconds(), keys, now)),
            ),
            (
                "another nonce",
                lie(|request, keys, now| {
                    let nonce = keycell_protocol::Nonce([7; 16]);
                    let request = PeerRequest { nonce, ..request.clone() };
                    reply(&request, &asked(&request), lasting(&request, now, 0), keys, now)
                }),
            ),
            (
                "another zone's",
                lie(|request, keys, now| {
                    let source = "#ZONE#three.example@two.example".parse().unwrap();
                    let request = PeerRequest { source, ..request.clone() };
                    reply(&request, &asked(&request), lasting(&request, now, 0), keys, now)
                }),
            ),
        ]
    };
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    let (b, c) = (pair.there.name("b"), pair.there.name("c"));
    pair.there.party("b").await;
    pair.there.party("c").await;
    for (what, mood) in moods(pair.key.clone()) {
        pair.wire.set(mood);
        for _ in 0..5 {
            let outcomes = pair.here.outcomes("a", &key, &[b.clone(), c.clone()]).await.unwrap();
            for outcome in outcomes {
                let keycell_protocol::Outcome::Refused { problem, .. } = outcome else {
                    panic!("{what} is taken")
                };
                assert_eq!(problem, Some(ProblemType::Unavailable), "{what}");
            }
        }
        assert_eq!(pair.here.kdc.peers().states()[0].breaker, "open", "{what}");
        pair.wire.set(Mood::Well);
        pair.advance(31_000);
        assert_eq!(pair.here.one("a", &key, &b).await, Ok(()), "after {what}");
    }
}

#[tokio::test]
async fn a_ticket_that_lasts_a_little_longer_is_taken() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    let lie = |request: &PeerRequest, keys: &KeysFor<Peers>, now: UnixMillis| {
        reply(request, &asked(request), lasting(request, now, 60), keys, now)
    };
    pair.wire.set(Mood::Lies(pair.key.clone(), lie));
    assert_eq!(pair.here.one("a", &key, &pair.there.name("b")).await, Ok(()));
}

#[tokio::test]
async fn an_answer_that_was_given_before_is_none() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    pair.wire.set(Mood::Replays);
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
}

/// Who holds the key says once what time it is, decades ahead.
#[tokio::test]
async fn a_clock_that_is_decades_ahead_over_there_is_not_believed() {
    fn ahead<const DAYS: u64>(request: &PeerRequest, keys: &KeysFor<Peers>, now: UnixMillis) -> Vec<u8> {
        reply(request, &asked(request), lasting(request, now, 0), keys, now.plus(DAYS * DAY))
    }
    // As far as a key is turned at once, and further.
    for lie in [ahead::<65_000>, ahead::<70_000> as Lie] {
        let pair = Pair::new().await;
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        let to = pair.there.name("b");
        pair.wire.set(Mood::Lies(pair.key.clone(), lie));
        assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        pair.wire.set(Mood::Well);
        assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        // At once, and not after it was told that its own clock is wrong.
        assert_eq!(pair.wire.calls(), 2);
        let today = pair.there.kdc.zone_record().ratchet_period.epoch(pair.there.now().seconds());
        assert!(pair.wire.epoch().unwrap() <= Epoch(today.0 + 1));
    }
    // Nor what nobody proved.
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let mut problem = Problem::new(ProblemType::ClockSkew);
    problem.server_time = Some(pair.there.now().plus(70_000 * DAY));
    pair.wire.set(Mood::Says(401, serde_json::to_vec(&problem).unwrap()));
    let to = pair.there.name("b");
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::Unavailable));
    assert_eq!(pair.wire.calls(), 1, "not asked again for that");
}
