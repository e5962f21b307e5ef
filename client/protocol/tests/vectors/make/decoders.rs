//! §6, §7, and the replay window of §8

use super::{file, flipped, rejected, reply};
use crate::format::{Expect, Key, ReplayCase, ReplayStep, Request, RequestCase, TicketCase, TicketParts};
use crate::raw::{self, A, B, C, EPOCH, NOW, base64url, bytes, key};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file("ticket/ticket.json", "ticket", "Tickets, opened with the destination's key (§6).", tickets()),
        file(
            "request/request.json",
            "request",
            "Signed requests, checked with the party's key (§7).",
            requests(),
        ),
        file("request/many.json", "request", "How many destinations a request may have (§7).", many()),
        file("reply/reply.json", "reply", "Replies, opened by the party that asked (§7).", reply::replies()),
        file(
            "replay/window.json",
            "replay",
            "Sequence numbers of one sealer, in the order of arrival (§8).",
            windows(),
        ),
    ]
}

fn tickets() -> Vec<TicketCase> {
    let (nonce, rkey): ([u8; 24], [u8; 32]) = (bytes("nonce of a ticket"), bytes("rkey"));
    let key = key(B, 1, EPOCH);
    let made = |kind| raw::ticket(kind, &key, &nonce, &rkey);
    let case = |case: &str, key: &Key, ticket: &[u8], expect| TicketCase {
        case: case.to_owned(),
        key: key.clone(),
        ticket: ticket.into(),
        expect,
    };
    let accepted = |what: &str, kind: &str, key: &Key, ticket: &[u8]| {
        let parts = TicketParts {
            kind: kind.to_owned(),
            generation: key.generation,
            epoch: key.epoch,
            id: raw::ticket_id(ticket),
            rkey: rkey.into(),
        };
        case(what, key, ticket, Expect::Accepted(parts))
    };
    let bad = |what: &str, ticket: &[u8], reason: &str| case(what, &key, ticket, rejected(reason));
    let big = Key { generation: 0x0102_0304, epoch: 0x0506_0708, secret: key.secret.clone() };
    let party = made(1);
    let patched = |at: usize, byte: u8| {
        let mut ticket = party.clone();
        ticket[at] = byte;
        ticket
    };
    let unbound = {
        let sealed = raw::seal(&raw::sub(&key.secret.0, "ticket"), &nonce, b"", &rkey);
        [&party[..34], &sealed].concat()
    };
    let raw_key = {
        let sealed = raw::seal(&key.secret.array(), &nonce, &party[..10], &rkey);
        [&party[..34], &sealed].concat()
    };
    vec![
        accepted("for a party", "party", &key, &party),
        accepted("for a group", "group", &key, &made(2)),
        accepted("order of the bytes of the numbers", "party", &big, &raw::ticket(1, &big, &nonce, &rkey)),
        bad("empty", b"", "length"),
        bad("one byte short", &party[..81], "length"),
        bad("one byte long", &[&party[..], &[0]].concat(), "length"),
        bad("version 0", &patched(0, 0), "version"),
        bad("version 2", &patched(0, 2), "version"),
        bad("kind 0", &patched(1, 0), "kind"),
        bad("kind 3", &patched(1, 3), "kind"),
        bad("a party's ticket passed off as a group's", &patched(1, 2), "forged"),
        bad("another generation", &flipped(&party, 5), "forged"),
        bad("another epoch", &flipped(&party, 9), "forged"),
        bad("another nonce", &flipped(&party, 10), "forged"),
        bad("another Rkey", &flipped(&party, 34), "forged"),
        bad("another tag", &flipped(&party, -1), "forged"),
        bad("associated data left out", &unbound, "forged"),
        bad("sealed under the long-term key itself", &raw_key, "forged"),
        case("another party's", &raw::key(C, 1, EPOCH), &party, rejected("forged")),
        case("a key of another epoch", &raw::key(B, 1, EPOCH + 1), &party, rejected("forged")),
    ]
}

pub(super) fn request() -> Request {
    Request {
        source: A.to_owned(),
        destinations: vec![B.to_owned(), C.to_owned()],
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a request").into(),
        instance: bytes::<16>("instance").into(),
    }
}

fn requests() -> Vec<RequestCase> {
    let own = key(A, 1, EPOCH);
    let request = request();
    let metadata = raw::metadata(&request);
    let m = base64url(&metadata);
    let json = raw::signed(A, &own, &metadata);
    let case = |case: &str, json: &str, expect| RequestCase {
        case: case.to_owned(),
        key: own.clone(),
        json: json.to_owned(),
        expect,
    };
    let good = |what: &str, json: &str| case(what, json, Expect::Accepted(request.clone()));
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let signed = |metadata: &str| raw::signed(A, &own, metadata);
    let signature =
        |key: &[u8], message: &[u8]| raw::signed_with(A, &own, &m, &base64url(raw::hmac(key, message)));
    let right = raw::sub(&own.secret.0, "request");
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from));
        signed(&metadata.replacen(from, to, 1))
    };
    let nonce = base64url(&request.nonce.0);
    vec![
        good("two destinations", &json),
        good("white space and another order of the members", &{
            signed(&format!(
                r#" {{"nonce":"{nonce}", "instance":"{}","timestamp":{NOW},"destinations":["{B}","{C}"],"source":"{A}"}} "#,
                base64url(&request.instance.0)
            ))
        }),
        bad("not JSON", "keycell", "malformed"),
        bad("empty", "", "malformed"),
        bad("something after it", &format!("{json}{{}}"), "malformed"),
        bad("an unknown member", &json.replacen('{', r#"{"extra":1,"#, 1), "malformed"),
        bad("no signature", &format!("{}}}", &json[..json.find(r#","signature"#).unwrap()]), "malformed"),
        bad("a signature of 31 bytes", &raw::signed_with(A, &own, &m, &base64url([0; 31])), "malformed"),
        bad("a signature in base64 with padding", &json.replace("\"}", "=\"}"), "malformed"),
        bad("the key's name is no name", &json.replacen(A, "CMA", 1), "malformed"),
        bad("a negative generation", &json.replace(r#""generation":1"#, r#""generation":-1"#), "malformed"),
        bad("signed by another party", &raw::signed(A, &key(C, 1, EPOCH), &metadata).replace(C, A), "forged"),
        bad("signed at another epoch", &raw::signed(A, &key(A, 1, EPOCH + 1), &metadata), "forged"),
        bad("signed with the long-term key itself", &signature(&own.secret.0, m.as_bytes()), "forged"),
        bad(
            "signed with the reply's subkey",
            &signature(&raw::sub(&own.secret.0, "reply"), m.as_bytes()),
            "forged",
        ),
        bad("signed before base64url", &signature(&right, metadata.as_bytes()), "forged"),
        bad(
            "a changed signature",
            &raw::signed_with(A, &own, &m, &base64url(flipped(&raw::hmac(&right, m.as_bytes()), 31))),
            "forged",
        ),
        bad("changed metadata", &json.replace(&m, &base64url(metadata.replace(C, B))), "forged"),
        bad("asked in another party's name", &changed(A, C), "source"),
        bad(
            "signed, and not base64url",
            &{ raw::signed_with(A, &own, "keycell!", &base64url(raw::hmac(&right, b"keycell!"))) },
            "malformed",
        ),
        bad("signed, and not JSON", &signed("keycell"), "malformed"),
        bad("signed, with an unknown member", &changed("{", r#"{"extra":1,"#), "malformed"),
        bad("signed, with a member twice", &changed("{", &format!(r#"{{"source":"{A}","#)), "malformed"),
        bad("signed, without a timestamp", &changed(&format!(r#""timestamp":{NOW},"#), ""), "malformed"),
        bad(
            "signed, a timestamp with a fraction",
            &changed(&NOW.to_string(), &format!("{NOW}.5")),
            "malformed",
        ),
        bad("signed, a destination that is no name", &changed(C, "nobody"), "malformed"),
        bad("signed, a nonce of 15 bytes", &changed(&nonce, &nonce[..20]), "malformed"),
        bad("signed, a nonce of 17 bytes", &changed(&nonce, &base64url([0; 17])), "malformed"),
        bad("signed, no destination", &changed(&format!(r#"["{B}","{C}"]"#), "[]"), "destinations"),
    ]
}

fn many() -> Vec<RequestCase> {
    let own = key(A, 1, EPOCH);
    let case = |case: &str, count: usize, within: bool| {
        let request = Request { destinations: vec!["b@z".to_owned(); count], ..request() };
        let json = raw::signed(A, &own, &raw::metadata(&request));
        let expect = if within { Expect::Accepted(request) } else { rejected("destinations") };
        RequestCase { case: case.to_owned(), key: own.clone(), json, expect }
    };
    vec![case("one", 1, true), case("a thousand", 1000, true), case("one too many", 1001, false)]
}

fn windows() -> Vec<ReplayCase> {
    let case = |case: &str, steps: &[(u64, &str)]| {
        let step = |(sequence, expect): &(u64, &str)| ReplayStep {
            sequence: *sequence,
            expect: if *expect == "ok" { Expect::Accepted(()) } else { rejected(expect) },
        };
        ReplayCase { case: case.to_owned(), steps: steps.iter().map(step).collect() }
    };
    let last = u64::MAX - 1;
    vec![
        case("in order", &[(0, "ok"), (1, "ok"), (2, "ok")]),
        case("backwards", &[(2, "ok"), (1, "ok"), (0, "ok")]),
        case("twice", &[(0, "ok"), (0, "seen"), (1, "ok"), (0, "seen"), (1, "seen")]),
        case("the first to come need not be the first", &[(5_000, "ok"), (4_999, "ok"), (5_000, "seen")]),
        case("1,023 behind is remembered", &[(1_023, "ok"), (0, "ok"), (0, "seen")]),
        case("1,024 behind is not", &[(1_024, "ok"), (0, "too-old"), (1, "ok")]),
        case(
            "seen, and then too old",
            &[(0, "ok"), (1_023, "ok"), (0, "seen"), (1_024, "ok"), (0, "too-old")],
        ),
        case(
            "a jump past everything",
            &[(3, "ok"), (10_000, "ok"), (3, "too-old"), (8_976, "too-old"), (8_977, "ok")],
        ),
        case(
            "what a jump passes over is new",
            &[(0, "ok"), (1_000, "ok"), (500, "ok"), (1_500, "ok"), (500, "seen"), (999, "ok")],
        ),
        case(
            "places are used again",
            &[(7, "ok"), (1_031, "ok"), (1_031, "seen"), (1_030, "ok"), (7, "too-old")],
        ),
        case(
            "the last number is never used",
            &[(u64::MAX, "too-old"), (last, "ok"), (last, "seen"), (u64::MAX, "too-old")],
        ),
        case("the end", &[(last, "ok"), (last - 1_023, "ok"), (last - 1_024, "too-old")]),
    ]
}
