//! What a host takes for an answer.

use super::{PRIMARY, SECONDARY, ZONE, asked, eseed, flipped, host_seed, of, rejected, with};
use crate::format::bundle::{Bundle, Identity, Trusted};
use crate::format::enrollment::{Answer, Asked, Enrolled, EnrollmentReplyCase};
use crate::format::{Expect, Hex};
use crate::raw::bundle::identity;
use crate::raw::enrollment::{Enrollment, key, name, public, reply_metadata, sealed_reply};
use crate::raw::{self, EPOCH, NOW, author, base64url, bytes};

pub(super) fn cases() -> Vec<EnrollmentReplyCase> {
    [accepted(), sealed(), other_requests(), other_kdcs(), malformed()].into_iter().flatten().collect()
}

fn accepted() -> Vec<EnrollmentReplyCase> {
    let good = |what: &str, request: Asked, answer: Answer| {
        let json = written(&request, &answer);
        case(what, &request, json, Expect::Accepted(answer))
    };
    let usual = asked();
    let changed = |change: &dyn Fn(&mut Enrolled)| Answer::Enrolled(enrolled_with(&usual, change));
    let secondary = with(|r| r.identity = SECONDARY.to_owned());
    let answer = Answer::Enrolled(enrolled(&usual));
    let metadata = metadata(&answer);
    let more = |what: &str, json: String| case(what, &usual, json, Expect::Accepted(answer.clone()));
    vec![
        good("enrolled", usual.clone(), answer.clone()),
        good("enrolled without a join token", with(|r| r.token = None), answer.clone()),
        good("enrolled again, while an earlier key lives", usual.clone(), {
            changed(&|e| (e.generation, e.state) = (2, "staged".to_owned()))
        }),
        good("enrolled by what was the secondary", secondary.clone(), Answer::Enrolled(enrolled(&secondary))),
        good("the largest numbers", usual.clone(), {
            changed(&|e| (e.server_time, e.generation, e.epoch) = (u64::MAX, u32::MAX, u32::MAX))
        }),
        good("with the next identity, and a zone that is trusted", usual.clone(), {
            changed(&|e| {
                e.bundle.identities.push(of_zone(SECONDARY, ZONE));
                let zone = "other.example".to_owned();
                e.bundle.trusted = vec![Trusted { identities: vec![identity(PRIMARY, &zone)], zone }];
            })
        }),
        good("to wait", usual.clone(), pending(60)),
        good("to wait for a second", usual.clone(), pending(1)),
        good("to wait for a day", usual.clone(), pending(86_400)),
        more(
            "members of the future are left alone",
            sealed_for(&usual, &metadata.replacen('{', r#"{"extra":{},"#, 1)),
        ),
        more("members in another order", {
            let (first, rest) = metadata[1..metadata.len() - 1].split_once(',').unwrap();
            sealed_for(&usual, &format!("{{{rest},{first}}}"))
        }),
        more("around it, members of the future are left alone", {
            written(&usual, &answer).replacen('{', r#"{"extra":1,"#, 1)
        }),
    ]
}

/// Who does not know the key of the answer.
fn sealed() -> Vec<EnrollmentReplyCase> {
    let usual = asked();
    let made = of(&usual);
    let answer = Answer::Enrolled(enrolled(&usual));
    let (m, json) = (metadata(&answer), written(&usual, &answer));
    let bad = |what: &str, json: String, reason: &str| case(what, &usual, json, rejected(reason));
    let under = |what: &str, key: [u8; 32]| bad(what, sealed_reply(&key, &nonce(), &m, b""), "forged");
    let spoilt = |what: &str, at: isize| {
        let encoded = base64url(&m);
        let sealed = raw::seal(&made.reply_key(), &nonce(), encoded.as_bytes(), b"");
        let sealed = flipped(&[&nonce()[..], &sealed].concat(), at);
        bad(what, raw::reply_with(&encoded, &base64url(sealed)), "forged")
    };
    let mut other = eseed();
    other[0] ^= 1;
    let other = Enrollment { eseed: other, ..made.clone() };
    vec![
        bad("empty", String::new(), "malformed"),
        bad("not JSON", "keycell".to_owned(), "malformed"),
        bad("no sealed part", format!(r#"{{"metadata":"{}"}}"#, base64url(&m)), "malformed"),
        bad("something after it", format!("{json}x"), "malformed"),
        bad("sealed part shorter than a nonce", raw::reply_with(&base64url(&m), "AAAA"), "malformed"),
        bad("sealed part shorter than a tag", raw::reply_with(&base64url(&m), &base64url([0; 39])), "forged"),
        spoilt("another nonce", 0),
        spoilt("another tag", -1),
        bad(
            "changed metadata",
            json.replace(&base64url(&m), &base64url(m.replace("active", "staged"))),
            "forged",
        ),
        bad(
            "metadata of the other answer",
            json.replace(&base64url(&m), &base64url(metadata(&pending(60)))),
            "forged",
        ),
        under("sealed under the long-term key", made.context().export("keycell/1 enrollment key")),
        under("sealed under a subkey of the long-term key", {
            raw::sub(&made.context().export("keycell/1 enrollment key"), "reply")
        }),
        under("sealed under another export", made.context().export("keycell/1 enrollment reply\0")),
        under("sealed for another request of the host", other.reply_key()),
        under("sealed by who has opened nothing", [0; 32]),
        bad(
            "sealed, with associated data left out",
            {
                let sealed = raw::seal(&made.reply_key(), &nonce(), b"", b"");
                raw::reply_with(&base64url(&m), &base64url([&nonce()[..], &sealed].concat()))
            },
            "forged",
        ),
        bad(
            "sealed, with the metadata before base64url",
            {
                let sealed = raw::seal(&made.reply_key(), &nonce(), m.as_bytes(), b"");
                raw::reply_with(&base64url(&m), &base64url([&nonce()[..], &sealed].concat()))
            },
            "forged",
        ),
    ]
}

/// What the KDC meant for another request, or another host.
fn other_requests() -> Vec<EnrollmentReplyCase> {
    let usual = asked();
    let other = |what: &str, answer: &Answer, nonce: &[u8]| {
        let json = sealed_for(&usual, &reply_metadata(nonce, answer));
        case(what, &usual, json, rejected("another-request"))
    };
    let answer = Answer::Enrolled(enrolled(&usual));
    let mut cases = vec![
        other("answers another request", &answer, &[0; 16]),
        other("answers another request: to wait", &pending(60), &[0; 16]),
    ];
    let print = raw::enrollment::fingerprint(&key(&host_seed()));
    let own = name(&usual, &key(&host_seed()));
    let names = [
        ("another service", format!("cma.web1.example.com::{print}@{ZONE}")),
        ("another host", format!("nanoprobe.web2.example.com::{print}@{ZONE}")),
        ("another zone", format!("nanoprobe.web1.example.com::{print}@other.example")),
        ("another fingerprint", own.replace(&print, &"0".repeat(32))),
        ("half of the fingerprint", own.replace(&print, &print[..16])),
        ("a fingerprint in capital letters", own.replace(&print, &print.to_uppercase())),
        ("no fingerprint", format!("nanoprobe.web1.example.com@{ZONE}")),
        ("a group", format!("nanoprobe@{ZONE}")),
        ("an administrator's name", format!("#KDC#00001@{ZONE}")),
    ];
    for (what, name) in names {
        assert_ne!(name, own);
        let answer = Answer::Enrolled(enrolled_with(&usual, &|e| e.name = name.clone()));
        cases.push(other(&format!("the name of {what}"), &answer, &usual.nonce.0));
    }
    cases
}

/// Whose bundle is that of another KDC than the one that was asked.
fn other_kdcs() -> Vec<EnrollmentReplyCase> {
    let usual = asked();
    let with_bundle = |what: &str, change: &dyn Fn(&mut Bundle)| {
        let answer = Answer::Enrolled(enrolled_with(&usual, &|e| change(&mut e.bundle)));
        case(what, &usual, written(&usual, &answer), rejected("another-kdc"))
    };
    vec![
        with_bundle("a bundle of another zone", &|b| b.zone = "other.example".to_owned()),
        with_bundle("a bundle of another identity", &|b| b.identities = vec![of_zone(SECONDARY, ZONE)]),
        with_bundle("a bundle that begins with another identity", &|b| {
            b.identities.insert(0, of_zone(SECONDARY, ZONE));
        }),
        with_bundle("the same identity with another signing key", &|b| {
            b.identities[0].signing_key = author::public("somebody").into();
        }),
        with_bundle("the same identity with another encryption key", &|b| {
            b.identities[0].encryption_key = Hex(public(&bytes("seed of somebody")));
        }),
        with_bundle("the keys that were asked under another name", &|b| {
            b.identities[0].name = SECONDARY.to_owned();
        }),
    ]
}

/// What the KDC sealed, and is no answer.
fn malformed() -> Vec<EnrollmentReplyCase> {
    let usual = asked();
    let malformed = |what: &str, json: String| case(what, &usual, json, rejected("malformed"));
    let (enrolled, waits) = (metadata(&Answer::Enrolled(enrolled(&usual))), metadata(&pending(60)));
    let changed = |what: &str, metadata: &str, from: &str, to: &str| {
        assert!(metadata.contains(from), "{from}");
        malformed(what, sealed_for(&usual, &metadata.replacen(from, to, 1)))
    };
    let mut cases = vec![
        malformed("metadata not JSON", sealed_for(&usual, "keycell")),
        malformed("metadata empty", sealed_for(&usual, "")),
        malformed("something after the metadata", sealed_for(&usual, &format!("{enrolled}x"))),
        malformed("metadata not base64url", {
            let sealed = raw::seal(&of(&usual).reply_key(), &nonce(), b"keycell!", b"");
            raw::reply_with("keycell!", &base64url([&nonce()[..], &sealed].concat()))
        }),
        malformed("a secret where none belongs", {
            sealed_reply(&of(&usual).reply_key(), &nonce(), &enrolled, &[7; 32])
        }),
        malformed("to wait, and a secret", sealed_reply(&of(&usual).reply_key(), &nonce(), &waits, &[7])),
        changed("neither of the two", &enrolled, "\"enrolled\"", "\"denied\""),
        changed("a status in a capital letter", &waits, "\"pending\"", "\"Pending\""),
        changed("two of them", &waits, "{", r#"{"status":"enrolled","#),
        changed("enrolled, with what belongs to waiting", &waits, "\"pending\"", "\"enrolled\""),
        changed("to wait, with what belongs to being enrolled", &enrolled, "\"enrolled\"", "\"pending\""),
        changed("a state that there is not", &enrolled, "\"active\"", "\"old\""),
        changed("an epoch of no seconds", &enrolled, "\"ratchet_period\":86400", "\"ratchet_period\":0"),
        changed("a generation below zero", &enrolled, "\"generation\":1", "\"generation\":-1"),
        changed("a name that is none", &enrolled, "nanoprobe.", ".nanoprobe."),
        changed("to wait for no time", &waits, ":60}", ":0}"),
        changed("to wait for more than a day", &waits, ":60}", ":86401}"),
        changed("to wait for a fraction", &waits, ":60}", ":60.5}"),
        changed("to wait for less than no time", &waits, ":60}", ":-60}"),
        changed("to wait for ever", &waits, ":60}", ":null}"),
        changed(
            "a nonce of 15 bytes",
            &enrolled,
            &base64url(&usual.nonce.0),
            &base64url(&usual.nonce.0[1..]),
        ),
        // A bundle is taken whole or not at all (§10.1).
        changed("a bundle of another version", &enrolled, "\"version\":1", "\"version\":2"),
        changed("a bundle with a member more", &enrolled, "\"version\":1", "\"version\":1,\"extra\":1"),
        changed("a bundle with a URL that is not https", &enrolled, "https://", "http://"),
        changed("a bundle without a list of those that are trusted", &enrolled, ",\"trusted\":[]", ""),
    ];
    for name in
        ["nonce", "server_time", "status", "name", "generation", "epoch", "state", "ratchet_period", "bundle"]
    {
        let what = format!("no {name}");
        let from = format!("\"{name}\":");
        // The last one: the bundle has members of its own before it.
        cases.push(changed(&what, &enrolled, &from, &format!("\"no-{name}\":")));
    }
    cases.push(changed("no time to wait for", &waits, "\"retry_after\":", "\"no\":"));
    cases
}

fn case(what: &str, request: &Asked, json: String, expect: Expect<Answer>) -> EnrollmentReplyCase {
    let made = of(request);
    EnrollmentReplyCase {
        case: what.to_owned(),
        identity_seed: made.identity_seed.into(),
        signing_key: author::public(&format!("{}@{}", request.identity, request.zone)).into(),
        host_seed: made.host_seed.into(),
        eseed: Hex(made.eseed.to_vec()),
        request: request.clone(),
        reply_key: made.reply_key().into(),
        json,
        expect,
    }
}

fn nonce() -> [u8; 24] {
    bytes("nonce of an answer")
}

fn metadata(answer: &Answer) -> String {
    reply_metadata(&asked().nonce.0, answer)
}

fn written(request: &Asked, answer: &Answer) -> String {
    sealed_for(request, &metadata(answer))
}

fn sealed_for(request: &Asked, metadata: &str) -> String {
    sealed_reply(&of(request).reply_key(), &nonce(), metadata, b"")
}

fn pending(retry_after: u32) -> Answer {
    Answer::Pending { server_time: NOW + 40, retry_after }
}

fn enrolled(request: &Asked) -> Enrolled {
    let Asked { zone, identity, .. } = request;
    Enrolled {
        server_time: NOW + 40,
        name: name(request, &key(&host_seed())),
        generation: 1,
        epoch: EPOCH,
        state: "active".to_owned(),
        ratchet_period: 86_400,
        bundle: Bundle {
            zone: zone.clone(),
            urls: vec![format!("https://kdc1.{zone}:7443")],
            tls_roots: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
            identities: vec![of_zone(identity, zone)],
            trusted: Vec::new(),
        },
    }
}

fn enrolled_with(request: &Asked, change: &dyn Fn(&mut Enrolled)) -> Enrolled {
    let mut enrolled = enrolled(request);
    change(&mut enrolled);
    enrolled
}

/// An identity that can be written to.
fn of_zone(name: &str, zone: &str) -> Identity {
    let encryption_key = Hex(public(&raw::enrollment::identity_seed(name, zone)));
    Identity { encryption_key, ..identity(name, zone) }
}
