//! Tickets over the border.

use keycell_client::SealError;
use keycell_kdc::administration::{Caller, NewKey, Precondition};
use keycell_kdc::policy::Mode;
use keycell_kdc::store::AuditQuery;
use keycell_kdc::trust::Direction;
use keycell_protocol::{Outcome, ProblemType};
use zeroize::Zeroizing;

use super::Pair;
use super::wire::Mood;
use crate::zones::trust::{change_trust, delete_trust, trust_between};

#[tokio::test]
async fn a_party_speaks_to_one_of_another_zone_and_is_answered() {
    let pair = Pair::new().await;
    let (mut a, mut b) = (pair.here.agent("a").await, pair.there.agent("b").await);
    let to = pair.there.name("b");
    assert!(matches!(a.seal(pair.here.now(), &to, "", b"x"), Err(SealError::NoTicket { .. })));
    pair.here.fetch_anywhere(&mut a).await;
    let message = a.seal(pair.here.now(), &to, "topic", b"over the border").unwrap();
    let opened = b.open(pair.there.now(), &message).unwrap();
    assert_eq!((opened.source.as_str(), &opened.body[..]), ("a@one.example", &b"over the border"[..]));
    let answer = b.reply(pair.there.now(), &opened, b"heard").unwrap();
    assert_eq!(a.open(pair.here.now(), &answer).unwrap().body, b"heard");
    assert_eq!(pair.wire.calls(), 1);
    // Its own life is spread here, over what is left of it.
    pair.advance(60_000);
    pair.here.fetch_anywhere(&mut a).await;
    assert_eq!(pair.wire.calls(), 1, "no renewal before its time");
}

#[tokio::test]
async fn one_call_a_zone_for_all_that_a_request_wants_of_it() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.here.party("c").await;
    pair.there.party("b").await;
    pair.there.group("web").await;
    let (b, web) = (pair.there.name("b"), pair.there.name("web"));
    let nobody = pair.there.name("nobody");
    let third = "x@three.example".parse().unwrap();
    let to = [b.clone(), pair.here.name("c"), web.clone(), nobody, third, b];
    let outcomes = pair.here.outcomes("a", &key, &to).await.unwrap();
    let seen: Vec<_> = outcomes
        .iter()
        .map(|outcome| match outcome {
            Outcome::Granted(grant) => Ok((grant.destination.to_string(), grant.reply_sek.is_some())),
            Outcome::Refused { problem, .. } => Err(problem.unwrap()),
        })
        .collect();
    assert_eq!(
        seen,
        [
            Ok(("b@two.example".to_owned(), true)),
            Ok(("c@one.example".to_owned(), true)),
            Ok(("web@two.example".to_owned(), false)),
            Err(ProblemType::UnknownDestination),
            Err(ProblemType::UntrustedZone),
            Ok(("b@two.example".to_owned(), true)),
        ]
    );
    assert_eq!(pair.wire.calls(), 1);
    assert_eq!(pair.wire.urls(), ["https://localhost:8443/v1/peer/tickets"]);
}

/// More than the other KDC takes in one request.
#[tokio::test]
async fn a_thousand_long_names_are_asked_for_in_pieces() {
    let pair = Pair::new().await;
    let asker = "a".repeat(190);
    let key = pair.here.party(&asker).await;
    let to: Vec<_> = (0..1_000).map(|n| pair.there.name(&format!("b{n:0>189}"))).collect();
    let known = [&to[0], &to[999]];
    for name in known {
        pair.there.create(name).await;
    }
    let outcomes = pair.here.outcomes(&asker, &key, &to).await.unwrap();
    assert_eq!(outcomes.len(), to.len());
    for (name, outcome) in to.iter().zip(outcomes) {
        match outcome {
            Outcome::Granted(grant) => assert!(grant.destination == *name && known.contains(&name)),
            Outcome::Refused { problem, .. } => assert_eq!(problem, Some(ProblemType::UnknownDestination)),
        }
    }
    assert_eq!(pair.wire.calls(), 2);
}

#[tokio::test]
async fn this_zone_says_first_who_may_speak_over_the_border() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    let mine = |change: fn(&mut keycell_kdc::trust::TrustRecord)| {
        change_trust(&pair.here, Direction::Outgoing, &pair.there, change)
    };
    mine(|trust| trust.sources = vec!["cma.*@one.example".parse().unwrap()]).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::NotAllowed));
    assert_eq!(pair.wire.calls(), 0, "nobody there hears of it");
    mine(|trust| trust.mode = Mode::Monitor).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    mine(|trust| trust.enabled = false).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UntrustedZone));
    mine(|trust| trust.enabled = true).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    delete_trust(&pair.here, Direction::Outgoing, &pair.there).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UntrustedZone));
    assert_eq!(pair.wire.calls(), 2);
}

#[tokio::test]
async fn what_the_other_zone_refuses_is_told_and_not_asked_again_for_ten_seconds() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    let to = pair.there.name("b");
    for _ in 0..5 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UnknownDestination));
    }
    assert_eq!(pair.wire.calls(), 1);
    pair.there.party("b").await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UnknownDestination));
    pair.advance(10_000);
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
    // A change of the trust drops what is remembered.
    pair.there.set_enabled("b", false).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::DestinationDisabled));
    pair.there.set_enabled("b", true).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::DestinationDisabled));
    let note = |trust: &mut keycell_kdc::trust::TrustRecord| trust.note = "changed".to_owned();
    change_trust(&pair.here, Direction::Outgoing, &pair.there, note).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
}

#[tokio::test]
async fn a_zone_that_ended_the_trust_is_no_failure_of_its_kdc() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    let to = pair.there.name("b");
    change_trust(&pair.there, Direction::Incoming, &pair.here, |trust| trust.enabled = false).await;
    for _ in 0..20 {
        assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UntrustedZone));
    }
    assert_eq!(pair.here.kdc.peers().states()[0].breaker, "closed");
    change_trust(&pair.there, Direction::Incoming, &pair.here, |trust| trust.enabled = true).await;
    assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
}

#[tokio::test]
async fn a_party_that_is_disabled_while_it_waits_gets_nothing() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    pair.wire.set(Mood::Hangs);
    let to = pair.there.name("b");
    let disables = async {
        while pair.wire.calls() == 0 {
            tokio::task::yield_now().await;
        }
        pair.here.set_enabled("a", false).await;
        pair.wire.release();
    };
    let (outcome, ()) = tokio::join!(pair.here.one("a", &key, &to), disables);
    assert_eq!(outcome, Err(ProblemType::PartyDisabled));
}

#[tokio::test]
async fn a_key_that_is_erased_while_it_waits_gets_nothing() {
    for erase_old in [true, false] {
        let pair = Pair::new().await;
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        pair.wire.set(Mood::Hangs);
        let (a, to) = (pair.here.name("a"), pair.there.name("b"));
        let replaces = async {
            while pair.wire.calls() == 0 {
                tokio::task::yield_now().await;
            }
            let new = NewKey { secret: Some(Zeroizing::new([1; 32])), erase_old };
            let (keys, caller) = (pair.here.kdc.keys(), Caller::console());
            keys.replace(&caller, &a, &new, &Precondition::NONE, |_| Ok(None)).await.unwrap();
            pair.wire.release();
        };
        let (outcome, ()) = tokio::join!(pair.here.one("a", &key, &to), replaces);
        // A key that is only replaced is accepted for a while yet.
        let expected = if erase_old { Err(ProblemType::Unauthenticated) } else { Ok(()) };
        assert_eq!(outcome, expected);
    }
}

#[tokio::test]
async fn a_trust_that_ends_while_somebody_waits_gives_nothing() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    pair.there.party("b").await;
    pair.wire.set(Mood::Hangs);
    let to = pair.there.name("b");
    let ends = async {
        while pair.wire.calls() == 0 {
            tokio::task::yield_now().await;
        }
        change_trust(&pair.here, Direction::Outgoing, &pair.there, |trust| trust.enabled = false).await;
        pair.wire.release();
    };
    let (outcome, ()) = tokio::join!(pair.here.one("a", &key, &to), ends);
    assert_eq!(outcome, Err(ProblemType::UntrustedZone));
}

#[tokio::test]
async fn the_clock_of_the_other_zone_may_be_minutes_off() {
    for ahead in [true, false] {
        let pair = Pair::new().await;
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        let to = pair.there.name("b");
        if ahead {
            pair.there.clock.advance(300_000);
        } else {
            pair.here.clock.advance(300_000);
        }
        assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        assert_eq!(pair.wire.calls(), 2, "corrected, and asked once more");
        assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        assert_eq!(pair.wire.calls(), 3, "which is remembered");
    }
}

#[tokio::test]
async fn seconds_are_corrected_where_they_are_too_much() {
    // A KDC that has just started takes nothing from before that.
    let fresh = Pair::new().await;
    fresh.here.clock.set(fresh.there.now().minus(3_000));
    // One that wants clocks closer than ours are.
    let close = Pair::of(|_| {}, |there| there.tickets.clock_skew_seconds = 2).await;
    close.there.clock.advance(4_000);
    for pair in [fresh, close] {
        let key = pair.here.party("a").await;
        pair.there.party("b").await;
        let to = pair.there.name("b");
        assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        assert_eq!(pair.wire.calls(), 2, "corrected, and asked once more");
        for _ in 0..2 {
            assert_eq!(pair.here.one("a", &key, &to).await, Ok(()));
        }
        assert_eq!(pair.wire.calls(), 4, "which is remembered");
    }
}

#[tokio::test]
async fn both_ways_are_two_trusts() {
    let pair = Pair::new().await;
    pair.here.party("a").await;
    let key = pair.there.party("b").await;
    assert_eq!(
        pair.there.one("b", &key, &pair.here.name("a")).await,
        Err(ProblemType::UntrustedZone),
        "one way says nothing of the other"
    );
    let back = trust_between(&pair.there, &pair.here).await;
    assert_ne!(back.expose_secret(), pair.key.expose_secret());
}

#[tokio::test]
async fn both_audit_logs_tell_of_a_denial_by_one_name() {
    let pair = Pair::new().await;
    let key = pair.here.party("a").await;
    let to = pair.there.name("b");
    assert_eq!(pair.here.one("a", &key, &to).await, Err(ProblemType::UnknownDestination));
    let mut names = Vec::new();
    for zone in [&pair.here, &*pair.there] {
        let journal = zone.kdc.ledger().journal();
        zone.kdc.recorder().flush(journal, true).await.unwrap();
        let records = zone
            .kdc
            .ledger()
            .store()
            .audit(&AuditQuery { limit: 1000, ..AuditQuery::default() })
            .await
            .unwrap();
        let text = records.iter().map(|record| record.detail.clone()).collect::<Vec<_>>().join("\n");
        let at = text.find("\"correlation\":\"").unwrap_or_else(|| panic!("{text}"));
        names.push(text[at..at + 48].to_owned());
    }
    assert_eq!(names[0], names[1]);
}
