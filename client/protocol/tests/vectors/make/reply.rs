//! §7: replies

use super::decoders::request;
use super::{flipped, rejected};
use crate::format::{Expect, Outcome, Reply, ReplyCase};
use crate::raw::{self, A, B, C, EPOCH, NOW, base64url, bytes, key};

pub(super) fn replies() -> Vec<ReplyCase> {
    let own = key(A, 1, EPOCH);
    let request = request();
    let (end, renew) = (NOW / 1000 + 900, NOW / 1000 + 600);
    let rkeys: [[u8; 32]; 2] = [bytes("rkey"), bytes("second rkey")];
    let ticket = |to: &str, n: usize| {
        let nonce = bytes(&format!("nonce of ticket {n}"));
        raw::ticket(1, &key(to, 1, EPOCH), &nonce, &rkeys[n])
    };
    let record = |to: &str, n: usize| raw::record(&rkeys[n], A, to, end, &ticket(to, n));
    let granted = |to: &str, n: usize| Outcome::Granted {
        destination: to.to_owned(),
        expiration: end,
        renew_after: renew,
        ticket: ticket(to, n).into(),
        sek: raw::sek(&rkeys[n], A.as_bytes(), to.as_bytes(), end).into(),
        reply_sek: Some(raw::sek(&rkeys[n], to.as_bytes(), A.as_bytes(), end).into()),
        author_proof: false,
    };
    let refused = |to: &str, problem: Option<&str>| Outcome::Refused {
        destination: to.to_owned(),
        problem: problem.map(|name| format!("urn:keycell:problem:{name}")),
    };
    let no = |to: &str, problem: &str| {
        format!(r#"{{"destination":"{to}","problem":"urn:keycell:problem:{problem}"}}"#)
    };
    let nonce: [u8; 24] = bytes("nonce of a reply");
    let sealed = |metadata: &str, records: &[Vec<u8>]| raw::reply(&own, &nonce, metadata, &records.concat());
    let written =
        |tickets: &[String], records: &[Vec<u8>]| sealed(&raw::reply_metadata(&request, tickets), records);
    let yes = |to: &str| raw::entry(to, end, renew);
    let both = [yes(B), yes(C)];
    let records = [record(B, 0), record(C, 1)];
    let metadata = raw::reply_metadata(&request, &both);
    let json = written(&both, &records);
    let case = |case: &str, json: &str, expect| ReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request: request.clone(),
        json: json.to_owned(),
        expect,
    };
    let good = |what: &str, json: &str, outcomes: Vec<Outcome>| {
        case(what, json, Expect::Accepted(Reply { server_time: NOW + 40, rotate: false, outcomes }))
    };
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let group = {
        let (to, rkey) = (B.as_bytes(), &rkeys[0]);
        let ticket = raw::ticket(2, &key(B, 1, EPOCH), &nonce, rkey);
        ([&[2][..], &raw::sek(rkey, A.as_bytes(), to, end), &ticket].concat(), ticket)
    };
    let granted_group = Outcome::Granted {
        destination: B.to_owned(),
        expiration: end,
        renew_after: renew,
        ticket: (&group.1).into(),
        sek: raw::sek(&rkeys[0], A.as_bytes(), B.as_bytes(), end).into(),
        reply_sek: None,
        author_proof: false,
    };
    let spoilt = |at: isize| {
        let m = base64url(&metadata);
        let sealed = raw::seal(&raw::sub(&own.secret.0, "reply"), &nonce, m.as_bytes(), &records.concat());
        raw::reply_with(&m, &base64url(flipped(&[&nonce[..], &sealed].concat(), at)))
    };
    let other_aad = {
        let sealed =
            raw::seal(&raw::sub(&own.secret.0, "reply"), &nonce, metadata.as_bytes(), &records.concat());
        raw::reply_with(&base64url(&metadata), &base64url([&nonce[..], &sealed].concat()))
    };
    let swapped = base64url(raw::reply_metadata(&request, &[yes(C), yes(B)]));
    let renamed = |from: &str, to: &str| sealed(&metadata.replacen(from, to, 1), &records);
    let nothing: [Vec<u8>; 0] = [];
    vec![
        good("two tickets", &json, vec![granted(B, 0), granted(C, 1)]),
        good(
            "one refused, the other given",
            &written(&[no(B, "unknown-destination"), yes(C)], &[record(C, 1)]),
            vec![refused(B, Some("unknown-destination")), granted(C, 1)],
        ),
        good(
            "a reason of the future",
            &written(&[no(B, "of-the-future"), no(C, "not-allowed")], &nothing),
            vec![refused(B, None), refused(C, Some("not-allowed"))],
        ),
        good(
            "a group, which never answers",
            &written(&[yes(B), no(C, "not-allowed")], std::slice::from_ref(&group.0)),
            vec![granted_group, refused(C, Some("not-allowed"))],
        ),
        good(
            "members of the future are left alone",
            &sealed(&metadata.replacen('{', r#"{"extra":1,"#, 1), &records),
            vec![granted(B, 0), granted(C, 1)],
        ),
        case(
            "the party is to rotate its key",
            &sealed(&metadata.replacen(r#""tickets""#, r#""rotate":true,"tickets""#, 1), &records),
            Expect::Accepted(Reply {
                server_time: NOW + 40,
                rotate: true,
                outcomes: vec![granted(B, 0), granted(C, 1)],
            }),
        ),
        bad(
            "to rotate or not is no number",
            &sealed(&metadata.replacen('{', r#"{"rotate":1,"#, 1), &records),
            "malformed",
        ),
        bad("not JSON", "keycell", "malformed"),
        bad("no sealed part", &format!(r#"{{"metadata":"{}"}}"#, base64url(&metadata)), "malformed"),
        bad("sealed part not base64url", &raw::reply_with(&base64url(&metadata), "!"), "malformed"),
        bad("sealed part shorter than a nonce", &raw::reply_with(&base64url(&metadata), "AAAA"), "malformed"),
        bad(
            "sealed part shorter than a tag",
            &raw::reply_with(&base64url(&metadata), &base64url([0; 39])),
            "forged",
        ),
        bad("another nonce", &spoilt(0), "forged"),
        bad("a changed record", &spoilt(24), "forged"),
        bad("another tag", &spoilt(-1), "forged"),
        bad("metadata of another reply", &json.replace(&base64url(&metadata), &swapped), "forged"),
        bad("bound to the metadata before base64url", &other_aad, "forged"),
        bad(
            "sealed for another party",
            &raw::reply(&key(C, 1, EPOCH), &nonce, &metadata, &records.concat()),
            "forged",
        ),
        bad(
            "sealed under the next epoch",
            &raw::reply(&key(A, 1, EPOCH + 1), &nonce, &metadata, &records.concat()),
            "forged",
        ),
        bad(
            "answers another request",
            &renamed(&base64url(&request.nonce.0), &base64url([0; 16])),
            "another-request",
        ),
        bad("answers another party", &renamed(A, C), "another-request"),
        bad(
            "destinations in another order",
            &written(&[yes(C), yes(B)], &[record(C, 1), record(B, 0)]),
            "destinations",
        ),
        bad("one destination only", &written(&[yes(B)], &[record(B, 0)]), "destinations"),
        bad(
            "one destination too many",
            &written(&[yes(B), yes(C), no(C, "not-allowed")], &records),
            "destinations",
        ),
        bad("another destination", &written(&[yes(B), yes(A)], &records), "destinations"),
        bad("metadata not JSON", &sealed("keycell", &records), "malformed"),
        bad("a record is missing", &written(&both, &[record(B, 0)]), "malformed"),
        bad("a record too many", &written(&[yes(B), no(C, "not-allowed")], &records), "malformed"),
        bad("a byte too many", &written(&both, &[record(B, 0), record(C, 1), vec![0]]), "malformed"),
        bad(
            "a record of kind 3",
            &written(&both, &[record(B, 0).tap(|r| r[0] = 3), record(C, 1)]),
            "malformed",
        ),
        bad(
            "a record's ticket is of another kind",
            &written(&both, &[record(B, 0).tap(|r| r[130] = 2), record(C, 1)]),
            "malformed",
        ),
        bad(
            "a record's ticket is of another version",
            &written(&both, &[record(B, 0).tap(|r| r[129] = 2), record(C, 1)]),
            "malformed",
        ),
        bad(
            "given and refused at once",
            &written(&[yes(B).replace('}', r#","problem":"x"}"#), yes(C)], &records),
            "malformed",
        ),
        bad(
            "no end",
            &written(&[format!(r#"{{"destination":"{B}","renew_after":{renew}}}"#), yes(C)], &records),
            "malformed",
        ),
        bad(
            "neither given nor refused",
            &written(&[format!(r#"{{"destination":"{B}"}}"#), yes(C)], &[record(C, 1)]),
            "malformed",
        ),
    ]
}

/// Changes a value on its way.
trait Tap: Sized {
    fn tap(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }
}

impl Tap for Vec<u8> {}
