//! What one KDC asks another for.

use super::{flipped, rejected};
use crate::format::trust::{Pair, PeerReplyCase, PeerRequest, PeerRequestCase};
use crate::format::{Expect, Outcome, Reply};
use crate::raw::trust::{peer_metadata, peer_reply, peer_reply_metadata, signed_peer};
use crate::raw::{self, EPOCH, NOW, base64url, bytes, key};

const ZONE: &str = "#ZONE#cell.example@other.example";
const THIRD: &str = "#ZONE#third.example@other.example";
const A: &str = "cma@cell.example";
const C: &str = "nanoprobe.web2@cell.example";
const B: &str = "nanoprobe.web1@other.example";
const D: &str = "nanoprobe.web3@other.example";

fn pair(source: &str, destination: &str) -> Pair {
    Pair { source: source.to_owned(), destination: destination.to_owned() }
}

fn request() -> PeerRequest {
    PeerRequest {
        source: ZONE.to_owned(),
        requests: vec![pair(A, B), pair(C, D)],
        lifetime: 900,
        correlation: bytes::<16>("correlation").into(),
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a peer request").into(),
        instance: bytes::<16>("instance of a KDC").into(),
    }
}

pub(super) fn requests() -> Vec<PeerRequestCase> {
    let own = key(ZONE, 1, EPOCH);
    let request = request();
    let metadata = peer_metadata(&request);
    let m = base64url(&metadata);
    let json = signed_peer(ZONE, &own, &metadata);
    let case = |case: &str, json: &str, expect| PeerRequestCase {
        case: case.to_owned(),
        key: own.clone(),
        json: json.to_owned(),
        expect,
    };
    let good = |what: &str, change: &dyn Fn(&mut PeerRequest)| {
        let mut request = request.clone();
        change(&mut request);
        case(what, &signed_peer(ZONE, &own, &peer_metadata(&request)), Expect::Accepted(request))
    };
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let right = raw::sub(&own.secret.0, "peer request");
    let signature =
        |key: &[u8], message: &[u8]| raw::signed_with(ZONE, &own, &m, &base64url(raw::hmac(key, message)));
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from), "{from}");
        signed_peer(ZONE, &own, &metadata.replacen(from, to, 1))
    };
    let mut cases = vec![
        good("two tickets", &|_| ()),
        good("a probe asks for none", &|r| r.requests.clear()),
        good("one party speaks to two", &|r| r.requests[1].source = A.to_owned()),
        good("the same ticket twice", &|r| r.requests[1] = r.requests[0].clone()),
        good("names of other zones are for the KDC to refuse", &|r| r.requests.reverse()),
        good("the longest and the latest", &|r| (r.lifetime, r.timestamp) = (u32::MAX, u64::MAX)),
        bad("not JSON", "keycell", "malformed"),
        bad("empty", "", "malformed"),
        bad("something after it", &format!("{json}{{}}"), "malformed"),
        bad("an unknown member", &json.replacen('{', r#"{"extra":1,"#, 1), "malformed"),
        bad("no signature", &format!("{}}}", &json[..json.find(r#","signature"#).unwrap()]), "malformed"),
        bad("a signature of 31 bytes", &raw::signed_with(ZONE, &own, &m, &base64url([0; 31])), "malformed"),
        bad("signed by another zone", &{ signed_peer(ZONE, &key(THIRD, 1, EPOCH), &metadata) }, "forged"),
        bad("signed at another epoch", &signed_peer(ZONE, &key(ZONE, 1, EPOCH + 1), &metadata), "forged"),
        bad("signed with the key itself", &signature(&own.secret.0, m.as_bytes()), "forged"),
        bad("signed before base64url", &signature(&right, metadata.as_bytes()), "forged"),
        bad(
            "a changed signature",
            &raw::signed_with(ZONE, &own, &m, &base64url(flipped(&raw::hmac(&right, m.as_bytes()), 31))),
            "forged",
        ),
        bad("changed metadata", &json.replace(&m, &base64url(metadata.replace(D, B))), "forged"),
        bad("asked in another zone's name", &changed(ZONE, THIRD), "source"),
        bad("asked in a party's name", &changed(ZONE, A), "source"),
        bad("signed, and not JSON", &signed_peer(ZONE, &own, "keycell"), "malformed"),
        bad("signed, with an unknown member", &changed("{", r#"{"extra":1,"#), "malformed"),
        bad(
            "signed, with an unknown member of a ticket",
            &changed(r#"{"source":"cma"#, r#"{"extra":1,"source":"cma"#),
            "malformed",
        ),
        bad("signed, a destination that is no name", &changed(D, "nobody"), "malformed"),
        bad("signed, a source that is no name", &changed(C, "nobody"), "malformed"),
        bad("signed, a ticket without a source", &changed(&format!(r#""source":"{A}","#), ""), "malformed"),
        bad("signed, a negative lifetime", &changed(":900", ":-900"), "malformed"),
        bad("signed, a lifetime in quotes", &changed(":900", r#":"900""#), "malformed"),
        bad("signed, a lifetime past 32 bits", &changed(":900", ":4294967296"), "malformed"),
        bad(
            "signed, a correlation of 15 bytes",
            &changed(&base64url(&request.correlation.0), &base64url([0; 15])),
            "malformed",
        ),
        bad(
            "signed, a nonce of 17 bytes",
            &changed(&base64url(&request.nonce.0), &base64url([0; 17])),
            "malformed",
        ),
    ];
    for label in ["request", "reply", "ticket", "peer reply", "rotate request", "group request"] {
        let json = signature(&raw::sub(&own.secret.0, label), m.as_bytes());
        cases.push(bad(&format!("signed with the subkey of {label}"), &json, "forged"));
    }
    for member in ["requests", "lifetime", "correlation", "timestamp", "nonce", "instance", "source"] {
        let mut less: serde_json::Value = serde_json::from_str(&metadata).unwrap();
        less.as_object_mut().unwrap().remove(member).unwrap();
        let json = signed_peer(ZONE, &own, &less.to_string());
        cases.push(bad(&format!("signed, without {member}"), &json, "malformed"));
    }
    cases
}

pub(super) fn many() -> Vec<PeerRequestCase> {
    let own = key(ZONE, 1, EPOCH);
    let case = |case: &str, count: usize, within: bool| {
        let request = PeerRequest { requests: vec![pair("a@y", "b@z"); count], ..request() };
        let json = signed_peer(ZONE, &own, &peer_metadata(&request));
        let expect = if within { Expect::Accepted(request) } else { rejected("destinations") };
        PeerRequestCase { case: case.to_owned(), key: own.clone(), json, expect }
    };
    vec![case("a thousand", 1000, true), case("one too many", 1001, false)]
}

pub(super) fn replies() -> Vec<PeerReplyCase> {
    let own = key(ZONE, 1, EPOCH);
    let request = request();
    let (end, renew) = (NOW / 1000 + 900, NOW / 1000 + 600);
    let rkeys: [[u8; 32]; 2] = [bytes("rkey"), bytes("second rkey")];
    let ticket = |to: &str, n: usize| {
        raw::ticket(1, &key(to, 1, EPOCH), &bytes(&format!("nonce of ticket {n}")), &rkeys[n])
    };
    let record = |from: &str, to: &str, n: usize| raw::record(&rkeys[n], from, to, end, &ticket(to, n));
    let granted = |from: &str, to: &str, n: usize| Outcome::Granted {
        destination: to.to_owned(),
        expiration: end,
        renew_after: renew,
        ticket: ticket(to, n).into(),
        sek: raw::sek(&rkeys[n], from.as_bytes(), to.as_bytes(), end).into(),
        reply_sek: Some(raw::sek(&rkeys[n], to.as_bytes(), from.as_bytes(), end).into()),
        author_proof: false,
    };
    let no = |to: &str, problem: &str| {
        format!(r#"{{"destination":"{to}","problem":"urn:keycell:problem:{problem}"}}"#)
    };
    let yes = |to: &str| raw::entry(to, end, renew);
    let nonce: [u8; 24] = bytes("nonce of a reply");
    let sealed = |metadata: &str, records: &[Vec<u8>]| peer_reply(&own, &nonce, metadata, &records.concat());
    let written =
        |tickets: &[String], records: &[Vec<u8>]| sealed(&peer_reply_metadata(&request, tickets), records);
    let both = [yes(B), yes(D)];
    let records = [record(A, B, 0), record(C, D, 1)];
    let metadata = peer_reply_metadata(&request, &both);
    let json = written(&both, &records);
    let case = |case: &str, json: &str, expect| PeerReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request: request.clone(),
        json: json.to_owned(),
        expect,
    };
    let reply = |rotate, outcomes| Expect::Accepted(Reply { server_time: NOW + 40, rotate, outcomes });
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from), "{from}");
        sealed(&metadata.replacen(from, to, 1), &records)
    };
    let under = |label: &str| {
        let m = base64url(&metadata);
        let sealed = raw::seal(&raw::sub(&own.secret.0, label), &nonce, m.as_bytes(), &records.concat());
        raw::reply_with(&m, &base64url([&nonce[..], &sealed].concat()))
    };
    let spoilt = |at: isize| {
        let sealed: serde_json::Value = serde_json::from_str(&json).unwrap();
        let bytes = base64_bytes(sealed["sealed"].as_str().unwrap());
        raw::reply_with(&base64url(&metadata), &base64url(flipped(&bytes, at)))
    };
    let nothing: [Vec<u8>; 0] = [];
    let probe = PeerRequest { requests: Vec::new(), ..request.clone() };
    vec![
        case("two tickets", &json, reply(false, vec![granted(A, B, 0), granted(C, D, 1)])),
        case(
            "one refused, the other given",
            &written(&[no(B, "untrusted-zone"), yes(D)], &[record(C, D, 1)]),
            reply(
                false,
                vec![
                    Outcome::Refused {
                        destination: B.to_owned(),
                        problem: Some("urn:keycell:problem:untrusted-zone".to_owned()),
                    },
                    granted(C, D, 1),
                ],
            ),
        ),
        case(
            "the zone is to rotate its key",
            &changed(r#""tickets""#, r#""rotate":true,"tickets""#),
            reply(true, vec![granted(A, B, 0), granted(C, D, 1)]),
        ),
        PeerReplyCase {
            request: probe.clone(),
            ..case(
                "a probe is answered",
                &sealed(&peer_reply_metadata(&probe, &[]), &nothing),
                reply(false, Vec::new()),
            )
        },
        bad("not JSON", "keycell", "malformed"),
        bad("sealed with the subkey of a party's replies", &under("reply"), "forged"),
        bad("sealed with the subkey of the request", &under("peer request"), "forged"),
        bad(
            "sealed for another zone",
            &{ peer_reply(&key(THIRD, 1, EPOCH), &nonce, &metadata, &records.concat()) },
            "forged",
        ),
        bad(
            "sealed under the next epoch",
            &{ peer_reply(&key(ZONE, 1, EPOCH + 1), &nonce, &metadata, &records.concat()) },
            "forged",
        ),
        bad("another nonce", &spoilt(0), "forged"),
        bad("a changed record", &spoilt(24), "forged"),
        bad("another tag", &spoilt(-1), "forged"),
        bad(
            "answers another request",
            &changed(&base64url(&request.nonce.0), &base64url([0; 16])),
            "another-request",
        ),
        bad("answers another zone", &changed(ZONE, THIRD), "another-request"),
        bad(
            "destinations in another order",
            &written(&[yes(D), yes(B)], &[record(C, D, 1), record(A, B, 0)]),
            "destinations",
        ),
        bad("one destination only", &written(&[yes(B)], &records[..1]), "destinations"),
        bad(
            "one destination too many",
            &written(&[yes(B), yes(D), no(D, "not-allowed")], &records),
            "destinations",
        ),
        PeerReplyCase { request: probe, ..bad("tickets for who asked for none", &json, "destinations") },
        bad("metadata not JSON", &sealed("keycell", &records), "malformed"),
        bad("a record is missing", &written(&both, &records[..1]), "malformed"),
        bad("a record too many", &written(&[yes(B), no(D, "not-allowed")], &records), "malformed"),
        bad("a byte too many", &written(&both, &[&records[..], &[vec![0]]].concat()), "malformed"),
        bad(
            "given and refused at once",
            &written(&[yes(B).replace('}', r#","problem":"x"}"#), yes(D)], &records),
            "malformed",
        ),
    ]
}

fn base64_bytes(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}
