//! Takes vectors through the crate, by nothing but its public interface.
//!
//! A secret that cannot be read is shown by its effect: what it seals opens under the bytes of the vector.

mod author;
mod case;
mod group;
mod known;
mod reasons;
mod rotation;

use std::collections::BTreeSet;

use keycell_protocol::{
    Envelope, Epoch, Extras, Generation, Header, Instance, LongTermKey, Mode, Name, Nonce, Outcome,
    RatchetPeriod, RatchetedKey, ReplayWindow, ReplyWriter, Rkey, Salt, SealedReply, Sek, SignedRequest,
    StreamKey, Ticket, TicketId, TicketKind, TicketRequest, Topic, Under, UnixMillis, UnixSeconds,
};

use self::case::Case;
use self::known::Known;
use self::reasons::{
    name_reason, ratchet_reason, replay_reason, reply_reason, request_reason, ticket_reason,
};
use crate::format::{self, Expect, File, Hex};
use crate::raw;

/// What became of some cases.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) accepted: usize,
    pub(crate) rejected: usize,
    pub(crate) reasons: BTreeSet<String>,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.accepted += other.accepted;
        self.rejected += other.rejected;
        self.reasons.extend(other.reasons);
    }
}

/// Every reason that the functions below can give.
pub(crate) const REASONS: &[&str] = &[
    "another-request",
    "author-expired",
    "author-forged",
    "author-missing",
    "author-unknown",
    "backwards",
    "body",
    "destinations",
    "expired",
    "forged",
    "kind",
    "length",
    "local-byte",
    "local-length",
    "local-start",
    "malformed",
    "no-zone",
    "possession",
    "seen",
    "source",
    "too-far",
    "too-old",
    "unknown-signer",
    "version",
    "zone-form",
    "zone-length",
];

/// Runs the cases of one file.
pub(crate) fn file(path: &str, text: &str) -> Tally {
    #[derive(serde::Deserialize)]
    struct Kind {
        kind: String,
    }
    let Kind { kind } = serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    match kind.as_str() {
        "author" => each(path, text, author::message),
        "content" => each(path, text, author::content),
        "epoch" => each(path, text, epoch),
        "evidence" => each(path, text, author::evidence),
        "group-key" => each(path, text, group::key),
        "group-reply" => each(path, text, group::reply),
        "group-request" => each(path, text, group::request),
        "name" => each(path, text, name),
        "ratchet" => each(path, text, ratchet),
        "replay" => replay(path, text),
        "reply" => each(path, text, reply),
        "request" => each(path, text, request),
        "rotation-reply" => each(path, text, rotation::reply),
        "rotation-request" => each(path, text, rotation::request),
        "sek" => each(path, text, sek),
        "subkeys" => each(path, text, subkeys),
        "ticket" => each(path, text, ticket),
        "voucher" => each(path, text, author::voucher),
        "voucher-reply" => each(path, text, author::reply),
        "voucher-request" => each(path, text, author::request),
        other => panic!("{path}: nobody knows vectors of the kind {other}"),
    }
}

fn each<C: Case>(path: &str, text: &str, run: fn(&C) -> Result<C::Accepted, &'static str>) -> Tally {
    let file: File<C> = serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut tally = Tally::default();
    for case in file.cases {
        let got = run(&case);
        let (name, expected) = case.expected();
        hold(&mut tally, &format!("{path}: {name}"), &expected, got);
    }
    tally
}

fn hold<T: PartialEq + std::fmt::Debug>(
    tally: &mut Tally,
    place: &str,
    expected: &Expect<T>,
    got: Result<T, &'static str>,
) {
    let got = match got {
        Ok(value) => Expect::Accepted(value),
        Err(reason) => Expect::Rejected(reason.to_owned()),
    };
    assert_eq!(&got, expected, "{place}");
    match got {
        Expect::Accepted(_) => tally.accepted += 1,
        Expect::Rejected(reason) => {
            tally.rejected += 1;
            tally.reasons.insert(reason);
        }
    }
}

fn key(key: &format::Key) -> LongTermKey {
    LongTermKey::new(Generation(key.generation), Epoch(key.epoch), key.secret.array())
}

fn name(case: &format::NameCase) -> Result<format::NameParts, &'static str> {
    let name = Name::try_from(&case.name.0[..]).map_err(name_reason)?;
    Ok(format::NameParts {
        full: name.as_str().to_owned(),
        local: name.local().to_owned(),
        zone: name.zone().to_owned(),
        service: name.service().to_owned(),
        administrative: name.is_administrative(),
        may_be_group: name.may_be_group(),
    })
}

/// What the vector's subkeys sign and seal holds under the crate's, all three or none.
fn subkeys(case: &format::SubkeysCase) -> Result<(), &'static str> {
    let subkeys = key(&case.key).subkeys();
    let request = format::Request {
        source: raw::A.to_owned(),
        destinations: vec![raw::B.to_owned()],
        timestamp: raw::NOW,
        nonce: [1; 16].into(),
        instance: [2; 16].into(),
    };
    let m = raw::base64url(raw::metadata(&request));
    let signature = raw::base64url(raw::hmac(&case.request.0, m.as_bytes()));
    let json = raw::signed_with(raw::A, &case.key, &m, &signature);
    let signed = SignedRequest::parse(json.as_bytes()).unwrap().verify(&subkeys.request).is_ok();

    let refusal = format!(r#"{{"destination":"{}","problem":"urn:keycell:problem:not-allowed"}}"#, raw::B);
    let m = raw::base64url(raw::reply_metadata(&request, &[refusal]));
    let sealed = raw::seal(&case.reply.array(), &[3; 24], m.as_bytes(), b"");
    let json = raw::reply_with(&m, &raw::base64url([&[3; 24][..], &sealed].concat()));
    let replied = SealedReply::parse(json.as_bytes()).unwrap().open(&subkeys.reply, &asked(&request)).is_ok();

    let header = [&[1, 1][..], &case.key.generation.to_be_bytes(), &case.key.epoch.to_be_bytes()].concat();
    let sealed = raw::seal(&case.ticket.array(), &[4; 24], &header, &[5; 32]);
    let ticket = Ticket::parse(&[&header[..], &[4; 24], &sealed].concat()).unwrap();
    let opened = ticket.open(&subkeys.ticket).is_ok();

    match [signed, replied, opened] {
        [true, true, true] => Ok(()),
        [false, false, false] => Err("forged"),
        mixed => panic!("{}: only some hold: {mixed:?}", case.case),
    }
}

fn ratchet(case: &format::RatchetCase) -> Result<Hex, &'static str> {
    let key = key(&case.key).advance(Epoch(case.epoch)).map_err(ratchet_reason)?;
    Ok(key.expose_secret().into())
}

fn epoch(case: &format::EpochCase) -> Result<(), &'static str> {
    let key = LongTermKey::new(Generation::FIRST, Epoch(case.key_epoch), [7; 32]);
    let period = RatchetPeriod::from_seconds(case.ratchet_period).unwrap();
    let now = period.epoch(UnixSeconds(case.now));
    let subkeys = RatchetedKey::new(key).at(Epoch(case.epoch), now).map_err(ratchet_reason)?;
    assert_eq!(subkeys.epoch, Epoch(case.epoch));
    Ok(())
}

fn sek(case: &format::SekCase) -> Result<(), &'static str> {
    let (source, destination) = (case.source.parse().unwrap(), case.destination.parse().unwrap());
    let sek = Rkey::generate(&mut Known(case.rkey.0.clone())).sek(
        &source,
        &destination,
        UnixSeconds(case.expiration),
    );
    if is(&sek, &case.sek) { Ok(()) } else { Err("forged") }
}

/// Whether what `sek` seals and signs is what the vector's bytes would have sealed and signed.
fn is(sek: &Sek, bytes: &Hex) -> bool {
    let (source, destination): (Name, Name) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
    let holds = [Mode::Sealed, Mode::Signed].map(|mode| {
        let header = Header {
            mode,
            extras: Extras::NONE,
            expiration: UnixSeconds(1),
            sent_at: UnixMillis(2),
            sequence: 3,
            source: &source,
            destination: &destination,
            topic: Topic::try_from("t").unwrap(),
            under: Under::Id(TicketId::from_bytes([4; 16])),
        };
        let salt = Salt::generate(&mut Known(vec![5; 16]));
        let message = raw::Message {
            magic: *b"KCL1",
            kind: 2,
            flags: u8::from(mode == Mode::Signed),
            expiration: 1,
            sent_at: 2,
            salt: [5; 16],
            sequence: 3,
            source: b"a@z".to_vec(),
            destination: b"b@z".to_vec(),
            topic: b"t".to_vec(),
            under: vec![4; 16],
            body: b"body".to_vec(),
            rkey: [0; 32],
        };
        let written = StreamKey::new(sek.clone(), salt).write(&header, b"body");
        let expected = message.write_under(&bytes.array());
        // What the vector's bytes wrote is read as well.
        let read = StreamKey::new(sek.clone(), Salt::generate(&mut Known(vec![5; 16])))
            .read(&Envelope::parse(&expected).unwrap());
        assert_eq!(read.is_ok(), written == expected);
        written == expected
    });
    assert_eq!(holds[0], holds[1], "one half only");
    holds[0]
}

fn ticket(case: &format::TicketCase) -> Result<format::TicketParts, &'static str> {
    let (bytes, with) = (&case.ticket, &case.key);
    let ticket = Ticket::parse(&bytes.0).map_err(ticket_reason)?;
    let subkeys = key(with).subkeys();
    let rkey = ticket.open(&subkeys.ticket).map_err(ticket_reason)?;
    // The Rkey cannot be read, but sealed anew, and opened with the plain primitives.
    let rng = || Known(bytes.0[10..34].to_vec());
    let again = match ticket.kind() {
        // A group's keys have no epoch; one that a ticket names is for whoever looks for a key to refuse.
        TicketKind::Group if ticket.epoch() == Epoch(0) => {
            Ticket::seal_for_group(&rkey, ticket.generation(), &subkeys.ticket, &mut rng())
        }
        TicketKind::Party | TicketKind::Group => Ticket::seal_for_party(&rkey, &subkeys, &mut rng()),
    };
    let again = again.as_bytes();
    let rkey = raw::open(
        &raw::sub(&with.secret.0, "ticket"),
        again[10..34].try_into().unwrap(),
        &again[..10],
        &again[34..],
    );
    if ticket.kind() == TicketKind::Party || ticket.epoch() == Epoch(0) {
        assert_eq!(again[..], bytes.0, "what is written is not what is read");
    }
    Ok(format::TicketParts {
        kind: match ticket.kind() {
            TicketKind::Party => "party",
            TicketKind::Group => "group",
        }
        .to_owned(),
        generation: ticket.generation().0,
        epoch: ticket.epoch().0,
        id: ticket.id().as_bytes().into(),
        rkey: rkey.unwrap().into(),
    })
}

fn request(case: &format::RequestCase) -> Result<format::Request, &'static str> {
    let subkeys = key(&case.key).subkeys();
    let signed = SignedRequest::parse(case.json.as_bytes()).map_err(request_reason)?;
    let request = signed.verify(&subkeys.request).map_err(request_reason)?;
    let named = (signed.key().name.as_str(), signed.key().generation.0, signed.key().epoch.0);
    assert_eq!(named, (request.source.as_str(), case.key.generation, case.key.epoch), "{}", case.case);
    let parts = format::Request {
        source: request.source.to_string(),
        destinations: request.destinations.iter().map(Name::to_string).collect(),
        timestamp: request.timestamp.0,
        nonce: request.nonce.0.into(),
        instance: request.instance.0.into(),
    };
    let written = SignedRequest::sign(&request, &subkeys).unwrap().to_json();
    assert_eq!(written, raw::signed(&parts.source, &case.key, &raw::metadata(&parts)).as_bytes());
    Ok(parts)
}

fn asked(request: &format::Request) -> TicketRequest {
    TicketRequest {
        source: request.source.parse().unwrap(),
        destinations: request.destinations.iter().map(|name| name.parse().unwrap()).collect(),
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

fn reply(case: &format::ReplyCase) -> Result<format::Reply, &'static str> {
    let subkeys = key(&case.key).subkeys();
    let request = asked(&case.request);
    let sealed = SealedReply::parse(case.json.as_bytes()).map_err(reply_reason)?;
    let opened = sealed.open(&subkeys.reply, &request).map_err(reply_reason)?;
    let expected = match &case.expect {
        Expect::Accepted(expected) => expected.outcomes.as_slice(),
        Expect::Rejected(_) => &[],
    };
    assert!(opened.outcomes.len() == expected.len() || expected.is_empty(), "{}", case.case);
    let outcomes = opened.outcomes.into_iter().zip(expected).map(|(got, expected)| outcome(got, expected));
    Ok(format::Reply {
        server_time: opened.server_time.0,
        rotate: opened.rotate,
        outcomes: outcomes.collect(),
    })
}

/// The SEKs of a grant cannot be read; they are the vector's when they do what the vector's do.
fn outcome(got: Outcome, expected: &format::Outcome) -> format::Outcome {
    match got {
        Outcome::Granted(grant) => {
            let (sek, reply_sek) = match expected {
                format::Outcome::Granted { sek, reply_sek, .. } => (sek.clone(), reply_sek.clone()),
                format::Outcome::Refused { .. } => panic!("a ticket that was to be refused"),
            };
            assert!(is(&grant.sek, &sek), "another SEK(A→B)");
            assert_eq!(grant.reply_sek.is_some(), reply_sek.is_some());
            if let (Some(got), Some(expected)) = (&grant.reply_sek, &reply_sek) {
                assert!(is(got, expected), "another SEK(B→A)");
            }
            format::Outcome::Granted {
                destination: grant.destination.to_string(),
                expiration: grant.expiration.0,
                renew_after: grant.renew_after.0,
                ticket: grant.ticket.as_bytes().into(),
                sek,
                reply_sek,
                author_proof: grant.author_proof,
            }
        }
        Outcome::Refused { destination, problem } => format::Outcome::Refused {
            destination: destination.to_string(),
            problem: problem.map(|problem| problem.urn().to_owned()),
        },
    }
}

/// What the crate's KDC side writes is what the plain primitives write, byte by byte.
#[test]
fn a_reply_is_written_as_the_text_says() {
    let (nonce, rkey, ticket_nonce): ([u8; 24], [u8; 32], [u8; 24]) =
        (raw::bytes("nonce of a reply"), raw::bytes("rkey"), raw::bytes("nonce of a ticket"));
    let end = raw::NOW / 1000 + 900;
    let granted = raw::grant(raw::A, raw::B, &rkey, end);
    let request = asked(&granted.request);
    let mut rng = Known([&rkey[..], &ticket_nonce, &nonce].concat());
    let mut writer = ReplyWriter::new(&request, UnixMillis(raw::NOW + 40));
    let keys = |party| key(&raw::key(party, 1, raw::EPOCH)).subkeys();
    writer.grant_party(
        &request.destinations[0],
        &keys(raw::B),
        UnixSeconds(end),
        UnixSeconds(end - 300),
        &mut rng,
    );
    assert_eq!(writer.seal(&keys(raw::A).reply, &mut rng), granted.reply.as_bytes());
    assert!(rng.0.is_empty());
}

fn replay(path: &str, text: &str) -> Tally {
    let file: File<format::ReplayCase> =
        serde_json::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut tally = Tally::default();
    for case in file.cases {
        let mut window = ReplayWindow::new();
        for (at, step) in case.steps.into_iter().enumerate() {
            let checked = window.check(step.sequence);
            let got = window.accept(step.sequence);
            assert_eq!(checked, got);
            let place = format!("{path}: {}, step {at}", case.case);
            hold(&mut tally, &place, &step.expect, got.map_err(replay_reason));
        }
    }
    tally
}
