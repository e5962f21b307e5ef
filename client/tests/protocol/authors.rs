//! Author proof: what only the author can write, who believes it, and what a party does to be believed.

mod vouchers;

use aws_lc_rs::signature::Ed25519KeyPair;
use keycell_client::{Agent, AgentConfig, AgentKey, SealError};
use keycell_protocol::{
    AuthorKey, Cause, Evidence, EvidenceError, Extras, Grant, Header, Mode, Sek, Signers, StreamKey, Topic,
    Under, UnixMillis, UnixSeconds, Voucher,
};

use crate::cell::{Cell, DAY, name, public, signer, voucher};

/// A party that takes only what proves its author.
fn strict(cell: &mut Cell, party: &str) -> Agent {
    let mut config = AgentConfig::default().first_use();
    config.opener.require_author_proof = true;
    cell.process(party, &config, 0)
}

/// An agent with a signing key that no key file has to keep.
pub(crate) fn author(cell: &mut Cell, party: &str) -> Agent {
    let mut key = cell.key(party);
    key.author = Some(AuthorKey::generate(&mut cell.rng));
    Agent::new(key, &AgentConfig::default().first_use(), cell.now, keycell_client::system_rng())
}

/// Seals with a proof, fetching what it takes.
pub(crate) fn prove(cell: &mut Cell, agent: &mut Agent, to: &str, topic: &str, body: &[u8]) -> Vec<u8> {
    match agent.with_author_proof().seal(cell.now, &name(to), topic, body) {
        Err(SealError::NoTicket { .. } | SealError::NoVoucher) => {
            cell.serve(agent);
            agent.with_author_proof().seal(cell.now, &name(to), topic, body).unwrap()
        }
        message => message.unwrap(),
    }
}

fn signers(cell: &Cell) -> Signers {
    let mut signers = Signers::new();
    signers.set(&"z".parse().unwrap(), &[cell.desk.signer()]);
    signers
}

/// What a forger knows and says: every symmetric key, and whatever names and times it likes.
pub(crate) struct Forgery<'a> {
    source: &'a str,
    to: &'a str,
    topic: &'a str,
    sent_at: UnixMillis,
    sequence: u64,
    body: &'a [u8],
}

impl Forgery<'_> {
    fn header<'a>(
        &'a self,
        names: &'a (keycell_protocol::Name, keycell_protocol::Name),
        grant: &'a Grant,
    ) -> Header<'a> {
        Header {
            mode: Mode::Sealed,
            extras: Extras { author_proof: true, detached: false },
            expiration: grant.expiration,
            sent_at: self.sent_at,
            sequence: self.sequence,
            source: &names.0,
            destination: &names.1,
            topic: Topic::try_from(self.topic).unwrap(),
            under: Under::Ticket(grant.ticket.as_bytes()),
        }
    }

    /// Written by whoever holds `key` and `voucher`.
    pub(crate) fn signed(
        &self,
        cell: &mut Cell,
        grant: &Grant,
        key: &AuthorKey,
        voucher: &Voucher,
    ) -> Vec<u8> {
        let names = (name(self.source), name(self.to));
        let stream = StreamKey::new(grant.sek.clone(), cell.salt());
        stream.write_authored(&self.header(&names, grant), (key, voucher), self.body)
    }

    /// With the proof of another message.
    fn with_proof(&self, cell: &mut Cell, grant: &Grant, proof: &[u8]) -> Vec<u8> {
        let names = (name(self.source), name(self.to));
        let stream = StreamKey::new(grant.sek.clone(), cell.salt());
        stream.write(&self.header(&names, grant), &[proof, self.body].concat())
    }
}

pub(crate) fn forgery<'a>(cell: &Cell, source: &'a str, to: &'a str) -> Forgery<'a> {
    Forgery { source, to, topic: "run", sent_at: cell.now, sequence: 0, body: b"reboot" }
}

#[test]
fn an_author_is_told_and_the_proof_is_kept() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (author(&mut cell, "a"), strict(&mut cell, "b"));
    let message = prove(&mut cell, &mut a, "b", "run", b"reboot");
    let opened = cell.open(&mut b, &message).unwrap();
    assert_eq!((&opened.body[..], opened.source.as_str()), (&b"reboot"[..], "a@z"));
    let voucher = opened.author().unwrap();
    assert_eq!((voucher.name(), Some(voucher.public_key())), (&name("a"), a.author_key()));
    assert_eq!(cell.refused(&mut b, &message), Cause::Replayed);

    // Signed in the clear, and as a reply, and a second one of the same stream.
    let signed = a.with_author_proof().sign(cell.now, &name("b"), "run", b"halt").unwrap();
    assert!(signed.windows(4).any(|part| part == b"halt"));
    let signed = cell.open(&mut b, &signed).unwrap();
    assert_eq!((signed.mode, &signed.body[..]), (Mode::Signed, &b"halt"[..]));
    let mut c = strict(&mut cell, "c");
    let mut key = cell.key("d");
    key.author = Some(AuthorKey::generate(&mut cell.rng));
    let mut d = Agent::new(key, &AgentConfig::default().first_use(), cell.now, keycell_client::system_rng());
    let asked = cell.seal(&mut c, "d", "ask", b"?");
    let asked = cell.open(&mut d, &asked).unwrap();
    assert_eq!(d.with_author_proof().reply(cell.now, &asked, b"!"), Err(SealError::NoVoucher));
    cell.serve(&mut d);
    let plain = d.reply(cell.now, &asked, b"!").unwrap();
    assert_eq!(cell.refused(&mut c, &plain), Cause::AuthorMissing);
    let reply = d.with_author_proof().reply(cell.now, &asked, b"!").unwrap();
    let reply = cell.open(&mut c, &reply).unwrap();
    assert!(reply.is_reply() && reply.author().is_some());

    // Anyone can be shown, with the public key of the KDC and nothing else.
    for (opened, from, to, body) in
        [(&opened, "a", "b", &b"reboot"[..]), (&signed, "a", "b", b"halt"), (&reply, "d", "c", b"!")]
    {
        let evidence = opened.evidence().unwrap();
        let said = Evidence::verify(evidence.as_bytes(), &signers(&cell)).unwrap();
        assert_eq!((said.source, said.destination), (name(from), name(to)));
        assert_eq!(
            (&said.body[..], said.topic.as_str(), said.sent_at),
            (body, opened.topic.as_str(), cell.now)
        );
        for at in 0..evidence.as_bytes().len() {
            let mut changed = evidence.as_bytes().to_vec();
            changed[at] ^= 1;
            assert!(Evidence::verify(&changed, &signers(&cell)).is_err(), "byte {at}");
        }
        assert_eq!(Evidence::verify(evidence.as_bytes(), &Signers::new()), Err(EvidenceError::UnknownSigner));
    }
    // What was not said is no evidence.
    let mut opened = opened;
    opened.body.push(b'!');
    assert!(opened.evidence().is_none());
    let plain = cell.seal(&mut a, "c", "t", b"");
    let mut lax = cell.agent("c");
    let plain = cell.open(&mut lax, &plain).unwrap();
    assert!(plain.author().is_none() && plain.evidence().is_none());
}

#[test]
fn who_holds_every_symmetric_key_is_not_the_author() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (author(&mut cell, "a"), strict(&mut cell, "b"));
    let mut m = author(&mut cell, "m");
    prove(&mut cell, &mut a, "b", "", b"");
    prove(&mut cell, &mut m, "b", "", b"");
    let true_one = prove(&mut cell, &mut a, "b", "run", b"reboot");
    let proof_of = |message: &[u8]| {
        let evidence = cell.open(&mut strict_copy(&cell), message).unwrap().evidence().unwrap();
        let bytes = evidence.as_bytes();
        let head = u32::from_be_bytes(bytes[4..8].try_into().unwrap()) as usize;
        let length = u16::from_be_bytes(bytes[8 + head..10 + head].try_into().unwrap()) as usize;
        bytes[8 + head..10 + head + length + 64].to_vec()
    };
    let proof = proof_of(&true_one);
    let grant = cell.grant("a", "b");
    let (a_key, m_key) = (AuthorKey::new(&[1; 32]), AuthorKey::new(&[2; 32]));
    let now = cell.now.seconds();
    let for_long = (UnixSeconds(0), now.plus(1_000_000));
    let vouch = |signer: &Ed25519KeyPair, name_: &str, key: &AuthorKey, valid| {
        voucher(signer, &name(name_), key.public(), valid)
    };
    let own = cell.voucher(&name("m"), m_key.public());
    let said = forgery(&cell, "a", "b");
    let kdc = signer(1);
    let cases = [
        (said.signed(&mut cell, &grant, &m_key, &own), Cause::AuthorForged, "its own voucher"),
        (
            said.signed(&mut cell, &grant, &m_key, &vouch(&kdc, "a", &a_key, for_long)),
            Cause::AuthorForged,
            "another's voucher",
        ),
        (
            said.signed(&mut cell, &grant, &m_key, &vouch(&signer(2), "a", &m_key, for_long)),
            Cause::AuthorUnknown,
            "a voucher by nobody",
        ),
        (
            said.signed(
                &mut cell,
                &grant,
                &a_key,
                &vouch(&kdc, "a", &a_key, (UnixSeconds(0), UnixSeconds(now.0 - 1))),
            ),
            Cause::AuthorExpired,
            "over",
        ),
        (
            said.signed(&mut cell, &grant, &a_key, &vouch(&kdc, "a", &a_key, (now.plus(1), now.plus(9)))),
            Cause::AuthorExpired,
            "not yet",
        ),
        (said.with_proof(&mut cell, &grant, &proof), Cause::AuthorForged, "the proof of another message"),
        (said.with_proof(&mut cell, &grant, b"\x00\x05short"), Cause::AuthorForged, "no proof"),
        (said.with_proof(&mut cell, &grant, b""), Cause::AuthorForged, "nothing"),
    ];
    for (message, cause, what) in cases {
        assert_eq!(cell.refused(&mut b, &message), cause, "{what}");
    }
    let plain = cell.agent("a");
    let plain = {
        let mut plain = plain;
        cell.seal(&mut plain, "b", "run", b"reboot")
    };
    assert_eq!(cell.refused(&mut b, &plain), Cause::AuthorMissing);
    // A KDC vouches for its own zone's names only.
    b.trust_signers(&"other".parse().unwrap(), &[public(&signer(2))]);
    let message = said.signed(&mut cell, &grant, &m_key, &vouch(&signer(2), "a", &m_key, for_long));
    assert_eq!(cell.refused(&mut b, &message), Cause::AuthorUnknown);
    // None of it took room or moved a window: the true one opens.
    assert_eq!(b.stats().streams, 0);
    assert!(cell.open(&mut b, &true_one).is_ok());
}

#[test]
fn who_has_an_old_voucher_cannot_go_back_to_its_days() {
    let mut cell = Cell::new();
    // A receiver that has been running since.
    let mut b = strict(&mut cell, "b");
    b.trust_signers(&"z".parse().unwrap(), &[public(&signer(1))]);
    let key = AuthorKey::new(&[1; 32]);
    let (then, valid) = (cell.now, (cell.now.seconds(), cell.now.seconds().plus(DAY / 1000)));
    let old = voucher(&signer(1), &name("a"), key.public(), valid);
    cell.pass(DAY * 3);
    let grant = cell.grant("a", "b");
    let message = forgery(&cell, "a", "b").signed(&mut cell, &grant, &key, &old);
    assert_eq!(cell.refused(&mut b, &message), Cause::AuthorExpired);
    let message = Forgery { sent_at: then, ..forgery(&cell, "a", "b") };
    let message = message.signed(&mut cell, &grant, &key, &old);
    assert_eq!(cell.refused(&mut b, &message), Cause::AuthorExpired);
    assert_eq!(b.stats().streams, 0);
    // As long as its voucher holds, its clock may be behind.
    let late = voucher(&signer(1), &name("a"), key.public(), (valid.0, cell.now.seconds().plus(1)));
    let message = Forgery { sent_at: cell.now.minus(DAY / 2), ..forgery(&cell, "a", "b") };
    let message = message.signed(&mut cell, &grant, &key, &late);
    assert!(cell.open(&mut b, &message).is_ok());
}

/// Another that takes what `b` takes.
fn strict_copy(cell: &Cell) -> Agent {
    let key = cell.parties[&name("b")].active.clone();
    let mut key = AgentKey::new(name("b"), key, crate::cell::PERIOD, keycell_client::KdcAddress::default());
    key.signers = vec![cell.desk.signer()];
    Agent::new(key, &AgentConfig::default().first_use(), cell.now, keycell_client::system_rng())
}

#[test]
fn a_signature_is_for_one_head_and_one_body() {
    let mut cell = Cell::new();
    let (mut b, mut c) = (strict(&mut cell, "b"), strict(&mut cell, "c"));
    let key = AuthorKey::new(&[9; 32]);
    let own = cell.voucher(&name("a"), key.public());
    let (grant, again, to_c) = (cell.grant("a", "b"), cell.grant("a", "b"), cell.grant("a", "c"));
    let (a_b, a_c) = ((name("a"), name("b")), (name("a"), name("c")));
    let said = forgery(&cell, "a", "b");
    let stream = StreamKey::new(grant.sek.clone(), cell.salt());
    let header = said.header(&a_b, &grant);
    let message = stream.write_authored(&header, (&key, &own), said.body);
    let envelope = keycell_protocol::Envelope::parse(&message).unwrap();
    let plaintext = stream.read(&envelope).unwrap();
    let (proof, body) = plaintext.split_at(plaintext.len() - said.body.len());
    assert_eq!(body, said.body);
    let with =
        |stream: &StreamKey, header: &Header<'_>, body: &[u8]| stream.write(header, &[proof, body].concat());
    assert_eq!(with(&stream, &header, said.body), message, "what is copied is the same");

    let topic = Header { topic: Topic::try_from("ran").unwrap(), ..header };
    let later = Header { sent_at: cell.now.plus(1), ..header };
    let next = Header { sequence: 1, ..header };
    let signed = Header { mode: Mode::Signed, ..header };
    let under =
        Header { under: Under::Ticket(again.ticket.as_bytes()), expiration: again.expiration, ..header };
    let other = said.header(&a_c, &to_c);
    let fresh = |cell: &mut Cell, sek: &Sek| StreamKey::new(sek.clone(), cell.salt());
    let (of_again, of_c, resalted) =
        (fresh(&mut cell, &again.sek), fresh(&mut cell, &to_c.sek), fresh(&mut cell, &grant.sek));
    for (message, what) in [
        (with(&stream, &header, b"reboot!"), "body"),
        (with(&stream, &header, b""), "no body"),
        (with(&stream, &topic, said.body), "topic"),
        (with(&stream, &later, said.body), "time"),
        (with(&stream, &next, said.body), "number"),
        (with(&stream, &signed, said.body), "mode"),
        (with(&resalted, &header, said.body), "salt"),
        (with(&of_again, &under, said.body), "ticket"),
    ] {
        assert_eq!(cell.refused(&mut b, &message), Cause::AuthorForged, "{what}");
    }
    assert_eq!(cell.refused(&mut c, &with(&of_c, &other, said.body)), Cause::AuthorForged, "destination");
    assert!(cell.open(&mut b, &message).is_ok());
    // And now that the sender is known.
    assert_eq!(cell.refused(&mut b, &with(&stream, &next, said.body)), Cause::AuthorForged);
    let next = stream.write_authored(&next, (&key, &own), said.body);
    assert!(cell.open(&mut b, &next).is_ok());
}

#[test]
fn a_member_with_every_secret_of_its_group_speaks_for_itself_only() {
    let mut cell = Cell::new();
    cell.group("probe", &["probe.a", "probe.m"]);
    cell.group_mut("probe").author_proof = true;
    let (mut cma, mut a) = (author(&mut cell, "cma"), cell.agent("probe.a"));
    a.join(cell.now, &name("probe"));
    cell.serve(&mut a);
    // The sender does nothing about it: the ticket says that it takes a proof, and a voucher comes with it.
    let probe = name("probe");
    assert!(matches!(cma.seal(cell.now, &probe, "run", b"halt"), Err(SealError::NoTicket { .. })));
    cell.serve(&mut cma);
    assert_eq!(cell.desk.given, 1);
    let message = cma.seal(cell.now, &probe, "run", b"halt").unwrap();
    let many = cma.seal_many(cell.now, core::slice::from_ref(&probe), "run", b"halt all").unwrap();

    // m holds each key of the group, so it opens each ticket, makes each SEK, and has seen each voucher.
    let m = AuthorKey::new(&[5; 32]);
    let (of_m, of_cma) =
        (cell.voucher(&name("probe.m"), m.public()), cell.voucher(&name("cma"), cma.author_key().unwrap()));
    let grant = cell.grant_group("cma", "probe");
    let said = forgery(&cell, "cma", "probe");
    for (voucher, what) in [(&of_m, "its own voucher"), (&of_cma, "that of the cma")] {
        let forged = said.signed(&mut cell, &grant, &m, voucher);
        assert_eq!(cell.refused(&mut a, &forged), Cause::AuthorForged, "{what}");
    }
    let names = (name("cma"), probe.clone());
    let none = Header { extras: Extras::NONE, ..said.header(&names, &grant) };
    let forged = StreamKey::new(grant.sek.clone(), cell.salt()).write(&none, b"reboot");
    assert_eq!(cell.refused(&mut a, &forged), Cause::AuthorMissing);
    // It goes on in the stream of the cma: under its ticket, its salt, and the next number.
    let envelope = keycell_protocol::Envelope::parse(&message).unwrap();
    let Under::Ticket(ticket) = envelope.under else { unreachable!() };
    let held = cell.group_key(&probe).unwrap().0;
    let rkey = keycell_protocol::Ticket::parse(ticket).unwrap().open(&held.key.ticket_key()).unwrap();
    let sek = rkey.sek(&names.0, &names.1, envelope.expiration);
    let stream = StreamKey::new(sek, keycell_protocol::Salt::of(&envelope));
    let next = Header {
        expiration: envelope.expiration,
        sequence: 7,
        under: envelope.under,
        ..said.header(&names, &grant)
    };
    let forged = stream.write_authored(&next, (&m, &of_cma), b"reboot");
    assert_eq!(cell.refused(&mut a, &forged), Cause::AuthorForged);
    let opened = cell.open(&mut a, &message).unwrap();
    assert_eq!((&opened.body[..], opened.author().unwrap().name()), (&b"halt"[..], &name("cma")));
    assert_eq!(cell.refused(&mut a, &forged), Cause::AuthorForged);
    // In its own name it may speak.
    let grant = cell.grant_group("probe.m", "probe");
    let own = forgery(&cell, "probe.m", "probe").signed(&mut cell, &grant, &m, &of_m);
    assert_eq!(cell.open(&mut a, &own).unwrap().author().unwrap().name(), &name("probe.m"));
    // And what is for many is proved as well.
    let part = many.parts[0].1.as_ref().unwrap();
    assert!(a.open_many(cell.now, part, &many.common).unwrap().author().is_some());
}
