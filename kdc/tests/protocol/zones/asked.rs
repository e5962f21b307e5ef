//! What a zone that is asked gives, for how long, and how often.

use keycell_client::{Agent, SealError};
use keycell_kdc::random::system;
use keycell_protocol::{LongTermKey, RatchetPeriod, ReplyWriter, SignedRequest};

use super::asking::ask_one;
use super::trust::trust_between;
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
