//! Takes vectors through the crate, by nothing but its public interface.
//!
//! A secret that cannot be read is shown by its effect: what it seals opens under the bytes of the vector.

mod author;
mod bundle;
mod case;
mod derive;
mod enrollment;
mod group;
mod known;
mod reasons;
mod reply;
mod rotation;
mod trust;

use std::collections::BTreeSet;

use keycell_protocol::{
    Epoch, Generation, LongTermKey, Name, ReplayWindow, SignedRequest, Ticket, TicketKind,
};

use self::case::Case;
use self::known::Known;
use self::reasons::{name_reason, replay_reason, request_reason, ticket_reason};
use crate::format::{self, Expect, File};
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
    "another-kdc",
    "another-key",
    "another-request",
    "author-expired",
    "author-forged",
    "author-missing",
    "author-unknown",
    "backwards",
    "body",
    "destinations",
    "earlier",
    "early",
    "expired",
    "fingerprint",
    "forged",
    "host",
    "identities",
    "identity",
    "inconsistent",
    "kind",
    "length",
    "local-byte",
    "local-length",
    "local-start",
    "malformed",
    "missing",
    "no-zone",
    "not-enrolled",
    "other-keys",
    "possession",
    "seen",
    "service",
    "several",
    "source",
    "stranger",
    "token",
    "too-far",
    "too-long",
    "too-old",
    "trusted",
    "unknown-signer",
    "urls",
    "version",
    "zone",
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
        "bundle" => each(path, text, bundle::bundle),
        "bundle-fingerprint" => each(path, text, trust::fingerprint),
        "content" => each(path, text, author::content),
        "encryption-key" => each(path, text, enrollment::encryption_key),
        "enrolled-name" => each(path, text, enrollment::name),
        "enrollment" => each(path, text, enrollment::request),
        "enrollment-reply" => each(path, text, enrollment::reply),
        "epoch" => each(path, text, derive::epoch),
        "evidence" => each(path, text, author::evidence),
        "fingerprint" => each(path, text, enrollment::fingerprint),
        "group-key" => each(path, text, group::key),
        "group-reply" => each(path, text, group::reply),
        "group-request" => each(path, text, group::request),
        "host" => each(path, text, enrollment::host),
        "join-token" => each(path, text, enrollment::token),
        "name" => each(path, text, name),
        "own-host" => each(path, text, enrollment::own_host),
        "peer-reply" => each(path, text, trust::reply),
        "peer-request" => each(path, text, trust::request),
        "ratchet" => each(path, text, derive::ratchet),
        "replay" => replay(path, text),
        "reply" => each(path, text, reply::reply),
        "request" => each(path, text, request),
        "rotation-reply" => each(path, text, rotation::reply),
        "rotation-request" => each(path, text, rotation::request),
        "sek" => each(path, text, derive::sek),
        "service" => each(path, text, enrollment::service),
        "subkeys" => each(path, text, derive::subkeys),
        "succession" => each(path, text, bundle::succession),
        "ticket" => each(path, text, ticket),
        "trust-offer" => each(path, text, trust::offer),
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
