//! §4.4

use super::{file, flipped, rejected};
use crate::format::{Answered, Expect, Rotation, RotationCase, RotationReplyCase};
use crate::raw::{self, A, C, EPOCH, NOW, base64url, bytes, key};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file(
            "rotation/request.json",
            "rotation-request",
            "Signed requests to rotate, checked with the party's key (§4.4).",
            requests(),
        ),
        file(
            "rotation/reply.json",
            "rotation-reply",
            "Answers to them, opened by the party that asked (§4.4).",
            replies(),
        ),
    ]
}

fn request(step: &str) -> Rotation {
    Rotation {
        source: A.to_owned(),
        step: step.to_owned(),
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a rotation").into(),
        instance: bytes::<16>("instance").into(),
    }
}

fn requests() -> Vec<RotationCase> {
    let own = key(A, 1, EPOCH);
    let metadata = raw::rotation(&request("stage"));
    let m = base64url(&metadata);
    let json = raw::signed_rotation(A, &own, &metadata);
    let case = |case: &str, json: &str, expect| RotationCase {
        case: case.to_owned(),
        key: own.clone(),
        json: json.to_owned(),
        expect,
    };
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let right = raw::sub(&own.secret.0, "rotate request");
    let signature =
        |key: &[u8], message: &[u8]| raw::signed_with(A, &own, &m, &base64url(raw::hmac(key, message)));
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from));
        raw::signed_rotation(A, &own, &metadata.replacen(from, to, 1))
    };
    let nonce = base64url(&request("stage").nonce.0);
    let next = key(A, 2, EPOCH);
    vec![
        case("the next key is asked for", &json, Expect::Accepted(request("stage"))),
        RotationCase {
            case: "the next key is stored".to_owned(),
            key: next.clone(),
            json: raw::signed_rotation(A, &next, &raw::rotation(&request("commit"))),
            expect: Expect::Accepted(request("commit")),
        },
        bad("not JSON", "keycell", "malformed"),
        bad("an unknown member", &json.replacen('{', r#"{"extra":1,"#, 1), "malformed"),
        bad("a signature of 31 bytes", &raw::signed_with(A, &own, &m, &base64url([0; 31])), "malformed"),
        bad("signed by another party", &raw::signed_rotation(A, &key(C, 1, EPOCH), &metadata), "forged"),
        bad("signed at another epoch", &raw::signed_rotation(A, &key(A, 1, EPOCH + 1), &metadata), "forged"),
        bad("signed as a request for tickets is", &raw::signed(A, &own, &metadata), "forged"),
        bad(
            "signed with the answer's subkey",
            &signature(&raw::sub(&own.secret.0, "rotate reply"), m.as_bytes()),
            "forged",
        ),
        bad("signed with the long-term key itself", &signature(&own.secret.0, m.as_bytes()), "forged"),
        bad("signed before base64url", &signature(&right, metadata.as_bytes()), "forged"),
        bad(
            "a changed signature",
            &raw::signed_with(A, &own, &m, &base64url(flipped(&raw::hmac(&right, m.as_bytes()), 31))),
            "forged",
        ),
        bad("changed metadata", &json.replace(&m, &base64url(metadata.replace("stage", "commit"))), "forged"),
        bad("asked in another party's name", &changed(A, C), "source"),
        bad(
            "signed, and not base64url",
            &raw::signed_with(A, &own, "keycell!", &base64url(raw::hmac(&right, b"keycell!"))),
            "malformed",
        ),
        bad("signed, and not JSON", &raw::signed_rotation(A, &own, "keycell"), "malformed"),
        bad("signed, with an unknown member", &changed("{", r#"{"extra":1,"#), "malformed"),
        bad("signed, with a member twice", &changed("{", r#"{"step":"stage","#), "malformed"),
        bad("signed, without a step", &changed(r#""step":"stage","#, ""), "malformed"),
        bad("signed, with a step that there is not", &changed(r#""stage""#, r#""erase""#), "malformed"),
        bad("signed, with a step in capitals", &changed(r#""stage""#, r#""Stage""#), "malformed"),
        bad("signed, with destinations", &changed("{", r#"{"destinations":["b@z"],"#), "malformed"),
        bad("signed, a nonce of 15 bytes", &changed(&nonce, &nonce[..20]), "malformed"),
    ]
}

fn replies() -> Vec<RotationReplyCase> {
    let (own, next) = (key(A, 1, EPOCH), key(A, 2, EPOCH));
    let (stage, commit) = (request("stage"), request("commit"));
    let nonce: [u8; 24] = bytes("nonce of an answer");
    let secret = next.secret.0.clone();
    let metadata = |request: &Rotation, generation| raw::rotation_reply(request, generation, EPOCH);
    let staged = metadata(&stage, 2);
    let sealed = |metadata: &str, secret: &[u8]| raw::sealed_rotation(&own, &nonce, metadata, secret);
    let json = sealed(&staged, &secret);
    let case = |case: &str, request: &Rotation, json: &str, expect| RotationReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request: request.clone(),
        json: json.to_owned(),
        expect,
    };
    let given = || Expect::Accepted(Answered::Staged { server_time: NOW + 40, key: next.clone() });
    let bad = |what: &str, json: &str, reason: &str| case(what, &stage, json, rejected(reason));
    let changed = |from: &str, to: &str| {
        assert!(staged.contains(from));
        sealed(&staged.replacen(from, to, 1), &secret)
    };
    let spoilt = |at: isize| {
        let m = base64url(&staged);
        let sealed = raw::seal(&raw::sub(&own.secret.0, "rotate reply"), &nonce, m.as_bytes(), &secret);
        raw::reply_with(&m, &base64url(flipped(&[&nonce[..], &sealed].concat(), at)))
    };
    vec![
        case("the next key", &stage, &json, given()),
        case(
            "the key that signed is active",
            &commit,
            &sealed(&metadata(&commit, 1), b""),
            Expect::Accepted(Answered::Committed { server_time: NOW + 40, generation: 1 }),
        ),
        case("members of the future are left alone", &stage, &changed("{", r#"{"extra":1,"#), given()),
        bad("not JSON", "keycell", "malformed"),
        bad("no sealed part", &format!(r#"{{"metadata":"{}"}}"#, base64url(&staged)), "malformed"),
        bad("sealed part shorter than a nonce", &raw::reply_with(&base64url(&staged), "AAAA"), "malformed"),
        bad(
            "sealed part shorter than a tag",
            &raw::reply_with(&base64url(&staged), &base64url([0; 39])),
            "forged",
        ),
        bad("another nonce", &spoilt(0), "forged"),
        bad("a changed key", &spoilt(24), "forged"),
        bad("another tag", &spoilt(-1), "forged"),
        bad(
            "metadata of another answer",
            &json.replace(&base64url(&staged), &base64url(metadata(&stage, 3))),
            "forged",
        ),
        bad("sealed as a reply with tickets is", &raw::reply(&own, &nonce, &staged, &secret), "forged"),
        bad(
            "sealed for another party",
            &raw::sealed_rotation(&key(C, 1, EPOCH), &nonce, &staged, &secret),
            "forged",
        ),
        bad(
            "sealed under the next epoch",
            &raw::sealed_rotation(&key(A, 1, EPOCH + 1), &nonce, &staged, &secret),
            "forged",
        ),
        bad(
            "answers another request",
            &changed(&base64url(&stage.nonce.0), &base64url([0; 16])),
            "another-request",
        ),
        bad("answers another party", &changed(A, C), "another-request"),
        bad("answers the other step", &sealed(&metadata(&commit, 1), b""), "another-request"),
        bad("the next key is the one before", &sealed(&metadata(&stage, 1), &secret), "malformed"),
        bad("the next key is an earlier one", &sealed(&metadata(&stage, 0), &secret), "malformed"),
        bad("a key of 31 bytes", &sealed(&staged, &secret[..31]), "malformed"),
        bad("a key of 33 bytes", &sealed(&staged, &[&secret[..], &[0]].concat()), "malformed"),
        bad("no key", &sealed(&staged, b""), "malformed"),
        bad("metadata not JSON", &sealed("keycell", &secret), "malformed"),
        bad("a step that there is not", &changed("stage", "erase"), "malformed"),
        bad("no generation", &changed(r#""generation":2,"#, ""), "malformed"),
        case(
            "another key is active than the one that signed",
            &commit,
            &sealed(&metadata(&commit, 2), b""),
            rejected("malformed"),
        ),
        case(
            "a key where none belongs",
            &commit,
            &sealed(&metadata(&commit, 1), &secret),
            rejected("malformed"),
        ),
    ]
}
