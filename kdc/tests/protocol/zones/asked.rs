//! What a zone that is asked gives, for how long, and how often.

use keycell_client::{Agent, SealError};
use keycell_kdc::administration::{Caller, Precondition};
use keycell_kdc::api::NewRule;
use keycell_kdc::config::Config;
use keycell_kdc::limit::Rate;
use keycell_kdc::metrics::OverBorder;
use keycell_kdc::policy::Mode;
use keycell_kdc::random::system;
use keycell_kdc::trust::{Direction, TrustRecord};
use keycell_protocol::{
    LongTermKey, ProblemType, RatchetPeriod, ReplyWriter, SignedPeerRequest, SignedRequest, TicketKind,
};
use serde_json::json;

use super::asking::{ask, ask_one, came, keys, problems, request, send};
use super::told::records;
use super::trust::{change_trust, trust_between, trust_with};
use crate::zone::Zone;

pub(super) async fn zone(name: &str) -> Zone {
    Zone::named(name, RatchetPeriod::DEFAULT, |_| {}).await
}

/// Lets an agent of `asking` have the ticket of `asked` that it wants, as its own KDC would pass it on.
fn pass_on(asking: &Zone, asked: &Zone, trust: &LongTermKey, agent: &mut Agent, own: &LongTermKey) {
    let pending = agent.wants(asking.now()).unwrap();
    let keys = own.subkeys();
    let wanted = SignedRequest::parse(&pending.body).unwrap().verify(&keys.request).unwrap();
    let [destination] = &wanted.destinations[..] else { panic!("{wanted:?}") };
    let grant = ask_one(asking, asked, trust, wanted.source.as_str(), destination.as_str()).unwrap();
    let mut reply = ReplyWriter::new(&wanted, asking.now());
    reply.pass_on(&grant);
    agent.take_reply(asking.now(), &pending, &reply.seal(&keys.reply, &mut system())).unwrap();
}

#[tokio::test]
async fn a_ticket_over_the_border_is_one_like_any_other() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    let own = z1.party("a").await;
    let (mut a, mut b) = (z1.agent_with("a", own.clone(), z1.now()), z2.agent("b").await);
    let to = z2.name("b");
    let none = a.seal(z1.now(), &to, "", b"hello").unwrap_err();
    assert!(matches!(none, SealError::NoTicket { .. }), "{none:?}");
    pass_on(&z1, &z2, &trust, &mut a, &own);
    let message = a.seal(z1.now(), &to, "", b"hello").unwrap();
    let opened = b.open(z2.now(), &message).unwrap();
    assert_eq!((opened.source.as_str(), &opened.body[..]), ("a@z1.example", &b"hello"[..]));
    let answer = b.reply(z2.now(), &opened, b"heard").unwrap();
    assert_eq!(a.open(z1.now(), &answer).unwrap().body, b"heard");
    assert_eq!(b.stats().requests, 0, "the receiver asks nobody");

    assert_eq!(a.ticket_expiration(z1.now(), &to), Some(z2.now().seconds().plus(900)));
    assert_eq!(z2.kdc.metrics().tickets.get(), 1);
    let page = z2.kdc.metrics().page().unwrap();
    let line = r#"keycell_trust_tickets_total{direction="incoming",zone="z1.example",outcome="given"} 1"#;
    assert!(page.contains(line), "{page}");
    // Trust has a direction.
    assert!(z1.kdc.directory().trusts().incoming("z2.example").is_none());
}

/// Its SEK is for one way, and members open it with the group's key, wherever it comes from.
#[tokio::test]
async fn a_group_is_a_destination_too() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    for (local, proof) in [("web", false), ("proved", true)] {
        z2.group(local).await;
        let grant = ask_one(&z1, &z2, &trust, "a", local).unwrap();
        assert_eq!((grant.ticket.kind(), grant.author_proof), (TicketKind::Group, proof));
        assert!(grant.reply_sek.is_none());
        // No longer than its key seals.
        assert_eq!(grant.expiration, z2.now().seconds().plus(300));
    }
}

#[tokio::test]
async fn a_thousand_at_once_and_none_at_all() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    z2.party("b").await;
    z2.party("c").await;
    let sources: Vec<String> = (0..1001).map(|n| format!("a{n}")).collect();
    let to = |n: usize| ["b", "c", "nobody"][n % 3];
    let pairs: Vec<_> = sources.iter().enumerate().map(|(n, source)| (source.as_str(), to(n))).collect();
    let came = ask(&z1, &z2, &trust, &pairs[..1000]).unwrap();
    for (n, came) in came.iter().enumerate() {
        match came {
            Ok(grant) => assert_eq!(grant.destination, z2.name(to(n))),
            Err(problem) => assert_eq!((to(n), *problem), ("nobody", ProblemType::UnknownDestination)),
        }
    }
    assert_eq!(came.iter().filter(|came| came.is_ok()).count(), 667);
    assert!(SignedPeerRequest::sign(&request(&z1, &z2, &pairs), &keys(&z2, &trust)).is_err());

    let probe = send(&z2, &request(&z1, &z2, &[]), &trust).unwrap();
    assert!(probe.outcomes.is_empty() && !probe.rotate);
}

/// The shortest of what the other zone asks for, what the trust says, and what tickets of the zone last.
#[tokio::test]
async fn tickets_over_the_border_last_as_both_ends_say() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    z2.party("b").await;
    let lasts = |asked: u32| {
        let mut request = request(&z1, &z2, &[("a", "b")]);
        request.lifetime_seconds = asked;
        let grant = came(send(&z2, &request, &trust)?.outcomes.pop().unwrap())?;
        let life = grant.expiration.0 - z2.now().seconds().0;
        let renewal = grant.renew_after.0 - z2.now().seconds().0;
        assert!((life / 2..=life * 8 / 10).contains(&renewal), "{renewal} of {life}");
        Ok(life)
    };
    assert_eq!([10, 899, 900, 86_400].map(|asked| lasts(asked).unwrap()), [10, 899, 900, 900]);
    for asked in [0, 9, 86_401, u32::MAX] {
        assert_eq!(lasts(asked), Err(ProblemType::MalformedRequest), "{asked}");
    }
    let limited = |seconds| move |trust: &mut TrustRecord| trust.lifetime_seconds = Some(seconds);
    change_trust(&z2, Direction::Incoming, &z1, limited(60)).await;
    assert_eq!([59, 60, 900].map(|asked| lasts(asked).unwrap()), [59, 60, 60]);
    change_trust(&z2, Direction::Incoming, &z1, limited(86_400)).await;
    assert_eq!(lasts(86_400).unwrap(), 900, "a trust makes nothing last longer than at home");
}

#[tokio::test]
async fn a_zone_pays_by_the_rate_of_its_trust() {
    let slow = |config: &mut Config| config.limits.tickets_per_party = Rate::new(1, 1);
    let z1 = zone("z1.example").await;
    let z2 = Zone::named("z2.example", RatchetPeriod::DEFAULT, slow).await;
    let rate = |burst| move |trust: &mut TrustRecord| trust.rate = Rate::new(1, burst);
    let trust = trust_with(&z1, &z2, rate(100)).await;
    z2.party("b").await;
    let much = vec![("a", "b"); 90];
    // The rate of this zone's parties would not let it.
    assert_eq!(ask(&z1, &z2, &trust, &much).unwrap().len(), 90);
    assert_eq!(ask(&z1, &z2, &trust, &much).unwrap_err(), ProblemType::RateLimited);
    // A change of something else gives nothing back, and asking for none costs one too.
    change_trust(&z2, Direction::Incoming, &z1, |trust| trust.note = "n".to_owned()).await;
    assert_eq!(ask(&z1, &z2, &trust, &much).unwrap_err(), ProblemType::RateLimited);
    let probes = (0..20).take_while(|_| ask(&z1, &z2, &trust, &[]).is_ok()).count();
    assert!((10..=12).contains(&probes), "{probes}");
    change_trust(&z2, Direction::Incoming, &z1, rate(200)).await;
    assert_eq!(ask(&z1, &z2, &trust, &much).unwrap().len(), 90);
}

#[tokio::test]
async fn the_lists_of_the_trust_say_who_may_speak_to_whom() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_with(&z1, &z2, |trust| {
        trust.sources = vec!["web.*@z1.example".parse().unwrap()];
        trust.destinations = vec!["db.*@z2.example".parse().unwrap(), "log@z2.example".parse().unwrap()];
    })
    .await;
    for local in ["db.a", "log", "secret"] {
        z2.party(local).await;
    }
    z2.set_enabled("log", false).await;
    let pairs = [
        ("web.1", "db.a"),
        ("web.1", "db.b"),
        ("web.1", "log"),
        ("web.1", "secret"),
        ("web.1", "none"),
        ("other", "db.a"),
        ("other", "db.b"),
    ];
    let refused = Some(ProblemType::NotAllowed);
    let lists = [
        None,
        Some(ProblemType::UnknownDestination),
        Some(ProblemType::DestinationDisabled),
        refused,
        // Whom one may not speak to, one does not learn about.
        refused,
        refused,
        refused,
    ];
    assert_eq!(problems(&ask(&z1, &z2, &trust, &pairs).unwrap()), lists);
    assert_eq!(outcomes(&z2), [("given", 1), ("refused", 6), ("monitored", 0)]);

    // Watched only, they stop nobody, and tell whom they would have stopped.
    change_trust(&z2, Direction::Incoming, &z1, |trust| trust.mode = Mode::Monitor).await;
    let (unknown, off) = (Some(ProblemType::UnknownDestination), Some(ProblemType::DestinationDisabled));
    let request = request(&z1, &z2, &pairs);
    let correlation = request.correlation.to_string();
    let watched: Vec<_> = send(&z2, &request, &trust).unwrap().outcomes.into_iter().map(came).collect();
    assert_eq!(problems(&watched), [None, unknown, off, None, unknown, None, unknown]);
    assert_eq!(outcomes(&z2), [("given", 2), ("refused", 10), ("monitored", 2)]);
    let told = records(&z2, "ticket.monitor").await;
    let mut targets: Vec<_> = told.iter().map(|(target, _)| target.as_str()).collect();
    targets.sort_unstable();
    assert_eq!(targets, ["db.a@z2.example", "secret@z2.example"]);
    for (_, detail) in told {
        assert_eq!(detail["zone"], "z1.example");
        assert_eq!(detail["correlation"], correlation, "the name that both logs have for it");
        assert!(detail.get("rule").is_none() && detail["source"].as_str().unwrap().ends_with("@z1.example"));
    }
}

/// No rule has to allow them: the lists do. What a rule denies stays denied.
#[tokio::test]
async fn the_rules_of_the_zone_that_is_asked_can_deny() {
    let (z1, z2) = (zone("z1.example").await, zone("z2.example").await);
    let trust = trust_between(&z1, &z2).await;
    for local in ["b", "c", "d"] {
        z2.party(local).await;
    }
    let only = |rules: serde_json::Value| {
        let rules: Vec<NewRule> = serde_json::from_value(rules).unwrap();
        let (policies, caller) = (z2.kdc.policies(), Caller::console());
        async move { policies.replace(&caller, &rules, &Precondition::NONE, false).await.unwrap() }
    };
    only(json!([
        { "id": "no-b", "effect": "deny", "source": "*@z1.example", "destination": "b@z2.example" },
        { "id": "soon", "effect": "deny", "mode": "monitor", "source": "*@*", "destination": "{b,c}@z2.example" },
        { "id": "short", "effect": "allow", "max_lifetime_seconds": 10, "source": "*@*", "destination": "*@*" },
    ]))
    .await;
    let pairs = [("a", "b"), ("a", "c"), ("a", "d")];
    let came = ask(&z1, &z2, &trust, &pairs).unwrap();
    assert_eq!(problems(&came), [Some(ProblemType::NotAllowed), None, None]);
    assert_eq!(came[2].as_ref().unwrap().expiration, z2.now().seconds().plus(900), "allows are for its own");
    let denied = records(&z2, "ticket.deny").await;
    let [(target, detail)] = &denied[..] else { panic!("{denied:?}") };
    assert_eq!((target.as_str(), &detail["rule"]), ("b@z2.example", &json!("no-b")));
    assert_eq!((&detail["zone"], &detail["source"]), (&json!("z1.example"), &json!("a@z1.example")));
    let watched = records(&z2, "ticket.monitor").await;
    let [(target, detail)] = &watched[..] else { panic!("{watched:?}") };
    assert_eq!((target.as_str(), &detail["rule"]), ("c@z2.example", &json!("soon")));

    // No rule at all, and all is as the lists say.
    only(json!([])).await;
    assert_eq!(problems(&ask(&z1, &z2, &trust, &pairs).unwrap()), [None; 3]);
}

/// How many tickets for the other zone came to what.
fn outcomes(asked: &Zone) -> [(&'static str, u64); 3] {
    ["given", "refused", "monitored"].map(|outcome| {
        let labels = OverBorder { direction: "incoming", zone: "z1.example".to_owned(), outcome };
        (outcome, asked.kdc.metrics().trust.tickets.get(&labels).map_or(0, |count| count.get()))
    })
}
