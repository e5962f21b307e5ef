//! §9.2

use super::super::{flipped, rejected};
use super::{ZONE, for_everything, parts, respelt, signer, signers};
use crate::format::author::{
    Signer, VoucherCase, VoucherReply, VoucherReplyCase, VoucherRequest, VoucherRequestCase, ZoneSigners,
};
use crate::format::{Expect, Hex};
use crate::raw::author::{
    KDC, Voucher, asked, not_trusted, possession, public, reply, request, sealed, sign, signed, signer_id,
    trusting, zone_signers,
};
use crate::raw::{self, A, B, C, EPOCH, NOW, base64url, bytes, key};

pub(super) fn vouchers() -> Vec<VoucherCase> {
    let honest = Voucher::of(A);
    let with = |change: fn(&mut Voucher)| {
        let mut voucher = Voucher::of(A);
        change(&mut voucher);
        voucher
    };
    let case = |case: &str, signers: Vec<Signer>, at, voucher: &[u8], expect| VoucherCase {
        case: case.to_owned(),
        signers,
        at,
        voucher: voucher.into(),
        expect,
    };
    let good = |what: &str, at, voucher: &Voucher| {
        case(what, signers(), at, &voucher.write(), Expect::Accepted(parts(voucher)))
    };
    let bad =
        |what: &str, voucher: &[u8], reason: &str| case(what, signers(), NOW, voucher, rejected(reason));
    let knowing =
        |what: &str, signers, reason: &str| case(what, signers, NOW, &honest.write(), rejected(reason));
    let at = |what: &str, at, reason: &str| case(what, signers(), at, &honest.write(), rejected(reason));
    let written = honest.write();
    let unsigned = honest.unsigned();
    let signed_as = |context: &str| [&unsigned[..], &sign(KDC, context, &unsigned)].concat();
    let longest = format!("{}@{ZONE}", "x".repeat(190));
    let (small, all) = for_everything();
    let weak = Voucher { signer: signer_id(&small), ..honest.clone() };
    let mut cases = vec![
        good("of a party", NOW, &honest),
        good("of another", NOW, &Voucher::of(B)),
        good("of the longest name", NOW, &Voucher { name: longest.into(), ..Voucher::of(A) }),
        good("from its first second on", honest.not_before * 1000, &honest),
        good("to the end of its last second", honest.not_after * 1000 + 999, &honest),
        at("a millisecond early", honest.not_before * 1000 - 1, "expired"),
        at("a second late", (honest.not_after + 1) * 1000, "expired"),
        bad("which ends before it begins", &with(|v| v.not_after = v.not_before - 1).write(), "expired"),
        knowing("no signer is known", Vec::new(), "unknown-signer"),
        knowing("another signer of the zone is known", vec![signer(ZONE, "#KDC#00002@cell.example")], {
            "unknown-signer"
        }),
        knowing("the signer is known for another zone", vec![signer("other.example", KDC)], "unknown-signer"),
        bad("of another zone's party, by this zone's KDC", &Voucher::of("cma@other.example").write(), {
            "unknown-signer"
        }),
        bad("signed by another than it says", &honest.write_by("#KDC#00001@other.example"), "forged"),
        bad("signed by the party itself", &honest.write_by(A), "forged"),
        bad("signed without its purpose", &signed_as("keycell/1"), "forged"),
        bad("signed as a message is", &signed_as("keycell/1 author"), "forged"),
        bad(
            "signed without the zero byte",
            &{
                let message = [b"keycell/1 voucher", &unsigned[..]].concat();
                let signature = ed25519_dalek::Signer::sign(&raw::author::signing(KDC), &message);
                [&unsigned[..], &signature.to_bytes()].concat()
            },
            "forged",
        ),
        bad("a signature in another spelling", &respelt(&written), "forged"),
        case(
            "by a key of small order, which signs everything",
            vec![Signer { zone: ZONE.to_owned(), key: small.into() }],
            NOW,
            &[&weak.unsigned()[..], &all].concat(),
            rejected("forged"),
        ),
        bad("of a name that is none", &with(|v| v.name = b"cma".to_vec()).write(), "malformed"),
        bad("of no name", &with(|v| v.name.clear()).write(), "malformed"),
        bad("of a name with a zero byte", &with(|v| v.name = b"cma\0@cell.example".to_vec()).write(), {
            "malformed"
        }),
        bad("another version", &with(|v| v.magic = *b"KCV2").write(), "malformed"),
        bad("empty", b"", "malformed"),
        bad("a byte short", &written[..written.len() - 1], "malformed"),
        bad("a byte long", &[&written[..], &[0]].concat(), "malformed"),
        bad("only what is signed", &unsigned, "malformed"),
        bad(
            "a name longer than the rest",
            &{
                let mut voucher = written.clone();
                voucher[28] = 255;
                voucher
            },
            "malformed",
        ),
    ];
    for (what, at, reason) in [
        ("another signer", 4, "unknown-signer"),
        ("an earlier beginning", 19, "forged"),
        ("a later end", 27, "forged"),
        ("another name", 29, "forged"),
        ("another key", 29 + A.len() as isize, "forged"),
        ("another R", -64, "forged"),
        ("another S", -32, "forged"),
    ] {
        cases.push(bad(&format!("changed: {what}"), &flipped(&written, at), reason));
    }
    cases
}

pub(super) fn requests() -> Vec<VoucherRequestCase> {
    let own = key(A, 1, EPOCH);
    let usual = asked();
    let metadata = request(&usual);
    let m = base64url(&metadata);
    let json = signed(A, &own, &metadata);
    let case = |case: &str, json: &str, expect| VoucherRequestCase {
        case: case.to_owned(),
        key: own.clone(),
        json: json.to_owned(),
        expect,
    };
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let right = raw::sub(&own.secret.0, "voucher request");
    let signature =
        |key: &[u8], message: &[u8]| raw::signed_with(A, &own, &m, &base64url(raw::hmac(key, message)));
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from));
        signed(A, &own, &metadata.replacen(from, to, 1))
    };
    let nonce = usual.nonce.clone();
    // Authentic, but for the proof.
    let proof = |what: &str, change: &dyn Fn(&mut VoucherRequest)| {
        let mut request = asked();
        change(&mut request);
        bad(what, &signed(A, &own, &self::request(&request)), "possession")
    };
    let by = |who: &str, name: &str, nonce: &Hex, key: &[u8; 32]| -> Hex {
        possession(who, name, &nonce.0, key).into()
    };
    let (small, all) = for_everything();
    vec![
        case("a party with a signing key", &json, Expect::Accepted(usual.clone())),
        proof("another's key", &|r| r.public_key = public(B).into()),
        proof("another's key and its holder's proof for itself", &|r| {
            (r.public_key, r.proof) = (public(B).into(), by(B, B, &nonce, &public(B)));
        }),
        proof("proved for another name", &|r| r.proof = by(A, B, &nonce, &public(A))),
        proof("proved for another request", &|r| {
            r.proof = by(A, A, &bytes::<16>("nonce").into(), &public(A))
        }),
        proof("proved for another key", &|r| r.proof = by(A, A, &nonce, &public(B))),
        proof("proved as a message is signed", &|r| {
            let message = [&[A.len() as u8], A.as_bytes(), &nonce.0, &public(A)].concat();
            r.proof = sign(A, "keycell/1 author", &message).into();
        }),
        proof("proved without the length of the name", &|r| {
            let message = [A.as_bytes(), &nonce.0, &public(A)].concat();
            r.proof = sign(A, "keycell/1 author key", &message).into();
        }),
        proof("a proof of zeros", &|r| r.proof = [0; 64].into()),
        proof("a proof in another spelling", &|r| r.proof = respelt(&r.proof.0).into()),
        proof("a key of small order, which proves everything", &|r| {
            (r.public_key, r.proof) = (small.into(), all.into());
        }),
        bad("not JSON", "keycell", "malformed"),
        bad("an unknown member", &json.replacen('{', r#"{"extra":1,"#, 1), "malformed"),
        bad("a signature of 31 bytes", &raw::signed_with(A, &own, &m, &base64url([0; 31])), "malformed"),
        bad("signed by another party", &signed(A, &key(C, 1, EPOCH), &metadata), "forged"),
        bad("signed at another epoch", &signed(A, &key(A, 1, EPOCH + 1), &metadata), "forged"),
        bad("signed as a request for tickets is", &raw::signed(A, &own, &metadata), "forged"),
        bad("signed as a request for group keys is", &raw::group::signed(A, &own, &metadata), "forged"),
        bad("signed as a request to rotate is", &raw::signed_rotation(A, &own, &metadata), "forged"),
        bad(
            "signed with the answer's subkey",
            &signature(&raw::sub(&own.secret.0, "voucher reply"), m.as_bytes()),
            "forged",
        ),
        bad("signed with the long-term key itself", &signature(&own.secret.0, m.as_bytes()), "forged"),
        bad("signed before base64url", &signature(&right, metadata.as_bytes()), "forged"),
        bad(
            "changed metadata",
            &json.replace(&m, &base64url(metadata.replace(&NOW.to_string(), "1"))),
            "forged",
        ),
        bad("asked in another party's name", &changed(A, C), "source"),
        bad("signed, and not JSON", &signed(A, &own, "keycell"), "malformed"),
        bad("signed, with an unknown member", &changed("{", r#"{"extra":1,"#), "malformed"),
        bad("signed, with a member twice", &changed("{", &format!(r#"{{"source":"{A}","#)), "malformed"),
        bad(
            "signed, without a proof",
            &{
                let proof = format!(r#""proof":"{}","#, base64url(&usual.proof.0));
                changed(&proof, "")
            },
            "malformed",
        ),
        bad(
            "signed, a proof of 63 bytes",
            &{ changed(&base64url(&usual.proof.0), &base64url(&usual.proof.0[1..])) },
            "malformed",
        ),
        bad(
            "signed, a key of 33 bytes",
            &{ changed(&base64url(&usual.public_key.0), &base64url([7; 33])) },
            "malformed",
        ),
    ]
}

pub(super) fn replies() -> Vec<VoucherReplyCase> {
    let own = key(A, 1, EPOCH);
    let nonce: [u8; 24] = bytes("nonce of an answer");
    let usual = asked();
    let signers = [public(KDC), public("#KDC#00002@cell.example")];
    let voucher = Voucher::of(A);
    let renew = NOW / 1000 + 60_000;
    let metadata = reply(&usual, renew, &signers);
    let written = |metadata: &str, voucher: &[u8]| sealed(&own, &nonce, metadata, voucher);
    let json = written(&metadata, &voucher.write());
    let case = |case: &str, json: &str, expect| VoucherReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request: usual.clone(),
        json: json.to_owned(),
        expect,
    };
    let given = |voucher: &[u8], signers: &[[u8; 32]]| {
        Expect::Accepted(VoucherReply {
            server_time: NOW + 40,
            renew_after: renew,
            signers: signers.iter().map(Into::into).collect(),
            trusted: Vec::new(),
            voucher: voucher.into(),
        })
    };
    let abroad = [zone_signers("other.example", 8), zone_signers("third.example", 1)];
    let trusted = |zones: &[ZoneSigners]| written(&trusting(&metadata, zones), &voucher.write());
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let with = |what: &str, voucher: &[u8], reason: &str| bad(what, &written(&metadata, voucher), reason);
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from));
        written(&metadata.replacen(from, to, 1), &voucher.write())
    };
    let spoilt = |at: isize| {
        let m = base64url(&metadata);
        let sealed =
            raw::seal(&raw::sub(&own.secret.0, "voucher reply"), &nonce, m.as_bytes(), &voucher.write());
        raw::reply_with(&m, &base64url(flipped(&[&nonce[..], &sealed].concat(), at)))
    };
    let second = {
        let who = "#KDC#00002@cell.example";
        Voucher { signer: signer_id(&public(who)), ..voucher.clone() }.write_by(who)
    };
    let mut cases = vec![
        case("a voucher", &json, given(&voucher.write(), &signers)),
        case("a voucher of the secondary", &written(&metadata, &second), given(&second, &signers)),
        case(
            "one signer only",
            &written(&reply(&usual, renew, &signers[..1]), &voucher.write()),
            given(&voucher.write(), &signers[..1]),
        ),
        case("members of the future are left alone", &changed("{", r#"{"extra":1,"#), {
            given(&voucher.write(), &signers)
        }),
        bad("not JSON", "keycell", "malformed"),
        bad("sealed part shorter than a nonce", &raw::reply_with(&base64url(&metadata), "AAAA"), "malformed"),
        bad(
            "sealed part shorter than a tag",
            &raw::reply_with(&base64url(&metadata), &base64url([0; 39])),
            "forged",
        ),
        bad("another nonce", &spoilt(0), "forged"),
        bad("a changed voucher", &spoilt(24), "forged"),
        bad("another tag", &spoilt(-1), "forged"),
        bad(
            "sealed as a reply with tickets is",
            &raw::reply(&own, &nonce, &metadata, &voucher.write()),
            "forged",
        ),
        bad(
            "sealed as an answer with group keys is",
            &raw::group::sealed(&own, &nonce, &metadata, &voucher.write()),
            "forged",
        ),
        bad(
            "sealed for another party",
            &sealed(&key(C, 1, EPOCH), &nonce, &metadata, &voucher.write()),
            "forged",
        ),
        bad(
            "answers another request",
            &changed(&base64url(&usual.nonce.0), &base64url([0; 16])),
            "another-request",
        ),
        bad("answers another party", &changed(A, C), "another-request"),
        with("a voucher for another name", &Voucher::of(B).write(), "another-request"),
        with(
            "a voucher for another key",
            &Voucher { public_key: public(B), ..voucher.clone() }.write(),
            "another-request",
        ),
        with("no voucher", b"", "malformed"),
        with("a voucher and a byte", &[&voucher.write()[..], &[0]].concat(), "malformed"),
        with("a voucher whose signature does not hold", &flipped(&voucher.write(), -1), "malformed"),
        bad(
            "a voucher by none of the signers",
            &written(&reply(&usual, renew, &signers[1..]), &voucher.write()),
            "malformed",
        ),
        bad("no signers", &written(&reply(&usual, renew, &[]), &voucher.write()), "malformed"),
        bad("no moment to ask again", &changed(&format!(r#""renew_after":{renew},"#), ""), "malformed"),
        bad("metadata not JSON", &written("keycell", &voucher.write()), "malformed"),
        case(
            "two other zones are trusted",
            &trusted(&abroad),
            Expect::Accepted(VoucherReply {
                server_time: NOW + 40,
                renew_after: renew,
                signers: signers.iter().map(Into::into).collect(),
                trusted: abroad.to_vec(),
                voucher: voucher.write().into(),
            }),
        ),
        case("no other zone is trusted", &trusted(&[]), given(&voucher.write(), &signers)),
        bad(
            "a voucher by another zone that is trusted",
            &{
                let who = "#KDC#00001@other.example";
                let theirs = Voucher { signer: signer_id(&public(who)), ..voucher.clone() };
                written(&trusting(&metadata, &abroad), &theirs.write_by(who))
            },
            "malformed",
        ),
    ];
    cases.extend(not_trusted().iter().map(|(what, zones)| bad(what, &trusted(zones), "malformed")));
    cases
}
