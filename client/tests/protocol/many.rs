//! One body for many recipients.

use crate::cell::{Cell, name};
use keycell_client::{Agent, AgentConfig, SealError};
use keycell_protocol::{
    AuthorKey, Cause, ContentPart, Envelope, Evidence, Extras, Header, MAX_MESSAGE, Mode, Name, Signers,
    StreamKey, Topic, Under,
};

fn author(cell: &mut Cell, party: &str) -> Agent {
    let mut key = cell.key(party);
    key.author = Some(AuthorKey::generate(&mut cell.rng));
    Agent::new(key, &AgentConfig::default().first_use(), cell.now, keycell_client::system_rng())
}

fn names(parties: &[&str]) -> Vec<Name> {
    parties.iter().map(|party| name(party)).collect()
}

/// With tickets for all.
fn ready(cell: &mut Cell, agent: &mut Agent, to: &[Name]) {
    to.iter().for_each(|name| agent.want(cell.now, name).unwrap());
    cell.serve(agent);
}

fn open(cell: &Cell, agent: &mut Agent, part: &[u8], common: &[u8]) -> Result<Vec<u8>, Cause> {
    let opened = agent.open_many(cell.now, part, common).map_err(|error| error.cause())?;
    assert_eq!((opened.source.as_str(), opened.topic.as_str()), ("a@z", "patch"));
    Ok(opened.body)
}

#[test]
fn each_opens_its_own_part_and_no_other() {
    let mut cell = Cell::new();
    let (mut a, mut b, mut c) = (cell.agent("a"), cell.agent("b"), cell.agent("c"));
    let to = names(&["b", "c"]);
    ready(&mut cell, &mut a, &to);
    let many = a.seal_many(cell.now, &to, "patch", b"for all of you").unwrap();
    let parts: Vec<_> = many.parts.iter().map(|(_, part)| part.clone().unwrap()).collect();
    assert!(!many.common.windows(7).any(|part| part == b"for all"));
    let common = &many.common;

    // Without its body, with another one, with each byte of it changed: the part is not used up.
    let other = a.seal_many(cell.now, &[], "patch", b"for all of you").unwrap().common;
    assert_eq!(cell.refused(&mut b, &parts[0]), Cause::Detached);
    for wrong in [&other[..], b"", &common[1..], &common[..common.len() - 1]] {
        assert_eq!(open(&cell, &mut b, &parts[0], wrong), Err(Cause::Body));
    }
    for at in 0..common.len() {
        let mut changed = common.clone();
        changed[at] ^= 1;
        assert_eq!(open(&cell, &mut b, &parts[0], &changed), Err(Cause::Body), "byte {at}");
    }
    for at in 0..parts[0].len() {
        let mut changed = parts[0].clone();
        changed[at] ^= 1;
        assert!(open(&cell, &mut b, &changed, common).is_err(), "byte {at}");
    }
    assert_eq!(b.stats().streams, 0, "nothing of it is remembered");
    assert_eq!(open(&cell, &mut b, &parts[1], common), Err(Cause::NotForMe));
    assert_eq!(open(&cell, &mut b, &parts[0], common).unwrap(), b"for all of you");
    assert_eq!(open(&cell, &mut b, &parts[0], common), Err(Cause::Replayed));
    assert_eq!(cell.refused(&mut b, &parts[0]), Cause::Replayed);
    assert_eq!(open(&cell, &mut c, &parts[1], common).unwrap(), b"for all of you");
    // What is no part wants no body.
    let plain = cell.seal(&mut a, "b", "patch", b"alone");
    assert_eq!(open(&cell, &mut b, &plain, common), Err(Cause::Body));
    assert_eq!(cell.open(&mut b, &plain).unwrap().body, b"alone");
    // And the second of a known sender, too.
    let many = a.seal_many(cell.now, &to, "patch", b"once more").unwrap();
    let part = many.parts[0].1.as_ref().unwrap();
    assert_eq!(cell.refused(&mut b, part), Cause::Detached);
    assert_eq!(open(&cell, &mut b, part, &other), Err(Cause::Body));
    let opened = b.open_many(cell.now, part, &many.common).unwrap();
    // It is answered as any message is.
    let reply = b.reply(cell.now, &opened, b"done").unwrap();
    assert_eq!(cell.open(&mut a, &reply).unwrap().body, b"done");
}

#[test]
fn who_has_no_ticket_yet_gets_its_part_later() {
    let mut cell = Cell::new();
    let (mut a, mut b, mut c) = (cell.agent("a"), cell.agent("b"), cell.agent("c"));
    ready(&mut cell, &mut a, &names(&["b"]));
    let many = a.seal_many(cell.now, &names(&["b", "c", "gone", "a"]), "patch", b"x").unwrap();
    assert_eq!(open(&cell, &mut b, many.parts[0].1.as_ref().unwrap(), &many.common).unwrap(), b"x");
    assert_eq!(many.parts[1].1, Err(SealError::NoTicket { destination: name("c") }));
    assert_eq!(many.parts[2].1, Err(SealError::NoTicket { destination: name("gone") }));
    assert_eq!(many.parts[3], (name("a"), Err(SealError::ToSelf)));
    cell.serve(&mut a);
    let part = a.seal_part(cell.now, &many.content, &name("c")).unwrap();
    assert_eq!(open(&cell, &mut c, &part, &many.common).unwrap(), b"x");
    let refused = a.seal_part(cell.now, &many.content, &name("gone"));
    assert!(matches!(refused, Err(SealError::Refused { .. })));
    assert!(format!("{:?}", many.content).ends_with("{ topic: \"patch\", proof: IfRequired, .. }"));

    assert!(matches!(a.seal_many(cell.now, &[], "a\nb", b""), Err(SealError::Topic(_))));
    let longest = vec![0; MAX_MESSAGE - ContentPart::OVERHEAD];
    assert_eq!(a.seal_many(cell.now, &[], "t", &longest).unwrap().common.len(), MAX_MESSAGE);
    let longer = vec![0; longest.len() + 1];
    assert!(matches!(a.seal_many(cell.now, &[], "t", &longer), Err(SealError::TooLong)));
}

#[test]
fn another_recipient_cannot_say_something_else_in_the_senders_name() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (author(&mut cell, "a"), cell.agent("b"));
    let to = names(&["b", "m"]);
    cell.key("m");
    ready(&mut cell, &mut a, &to);
    a.want_voucher(cell.now).unwrap();
    cell.serve(&mut a);
    let many = a.with_author_proof().seal_many(cell.now, &to, "patch", b"said").unwrap();
    let part = many.parts[0].1.as_ref().unwrap();
    // m knows the content key. Another body under it is not what b's part means.
    let mut rng = keycell_client::system_rng();
    let (other, forged) = ContentPart::seal(b"not said", &mut rng).unwrap();
    assert_eq!(open(&cell, &mut b, part, &forged), Err(Cause::Body));
    // With all of b's symmetric secrets m writes a part for it, and has no signature for that.
    let grant = cell.grant("a", "b");
    let (source, destination) = (name("a"), name("b"));
    let header = Header {
        mode: Mode::Sealed,
        extras: Extras { author_proof: true, detached: true },
        expiration: grant.expiration,
        sent_at: cell.now,
        sequence: 0,
        source: &source,
        destination: &destination,
        topic: Topic::try_from("patch").unwrap(),
        under: Under::Ticket(grant.ticket.as_bytes()),
    };
    let m = AuthorKey::new(&[3; 32]);
    let voucher = cell.voucher(&name("a"), a.author_key().unwrap());
    let stream = StreamKey::new(grant.sek.clone(), cell.salt());
    let message = stream.write_authored(&header, (&m, &voucher), &*other.plaintext());
    assert_eq!(open(&cell, &mut b, &message, &forged), Err(Cause::AuthorForged));

    let opened = b.open_many(cell.now, part, &many.common).unwrap();
    assert_eq!((&opened.body[..], opened.author().unwrap().name()), (&b"said"[..], &name("a")));
    // The evidence is whole: it has the body, and what ties it to the part.
    let mut signers = Signers::new();
    signers.set(&"z".parse().unwrap(), &[cell.desk.signer()]);
    let evidence = opened.evidence().unwrap();
    let said = Evidence::verify(evidence.as_bytes(), &signers).unwrap();
    assert_eq!((&said.body[..], said.destination), (&b"said"[..], name("b")));
    for at in 0..evidence.as_bytes().len() {
        let mut changed = evidence.as_bytes().to_vec();
        changed[at] ^= 1;
        assert!(Evidence::verify(&changed, &signers).is_err(), "byte {at}");
    }
    let mut opened = opened;
    opened.body = b"not said".to_vec();
    assert!(opened.evidence().is_none());
    assert!(Envelope::parse(part).unwrap().extras.author_proof);
}

#[test]
fn a_group_gets_one_part() {
    let mut cell = Cell::new();
    cell.group("probe", &["probe.a"]);
    let mut sender = cell.agent("a");
    let to = names(&["probe", "b"]);
    cell.key("b");
    ready(&mut cell, &mut sender, &to);
    let many = sender.seal_many(cell.now, &to, "patch", b"x").unwrap();
    let part = many.parts[0].1.as_ref().unwrap();
    let mut member = cell.agent("probe.a");
    member.join(cell.now, &name("probe"));
    // Before the key is there the part does not wait: without its body it would be of no use.
    let waiting = open(&cell, &mut member, part, &many.common).unwrap_err();
    assert!(matches!(waiting, Cause::Waiting { .. }));
    cell.serve(&mut member);
    assert!(member.open_waiting(cell.now).is_empty());
    assert_eq!(open(&cell, &mut member, part, &many.common).unwrap(), b"x");
}
