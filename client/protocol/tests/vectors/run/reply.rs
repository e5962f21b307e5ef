//! Answers to requests for tickets.

use keycell_protocol::{
    Instance, Nonce, Outcome, ReplyWriter, SealedReply, TicketRequest, UnixMillis, UnixSeconds,
};

use super::derive::is;
use super::key;
use super::known::Known;
use super::reasons::reply_reason;
use crate::format::{self, Expect};
use crate::raw;

pub(super) fn asked(request: &format::Request) -> TicketRequest {
    TicketRequest {
        source: request.source.parse().unwrap(),
        destinations: request.destinations.iter().map(|name| name.parse().unwrap()).collect(),
        timestamp: UnixMillis(request.timestamp),
        nonce: Nonce(request.nonce.array()),
        instance: Instance(request.instance.array()),
    }
}

pub(super) fn reply(case: &format::ReplyCase) -> Result<format::Reply, &'static str> {
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
pub(super) fn outcome(got: Outcome, expected: &format::Outcome) -> format::Outcome {
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
