//! §11, and what §6 and §7 say of groups.

mod reply;

use super::{file, flipped, rejected};
use crate::format::group::{Chain, GroupKeyCase, GroupRequest, GroupRequestCase};
use crate::format::{Expect, Key, Outcome, Reply, ReplyCase, Request, TicketCase, TicketParts};
use crate::raw::group::{G, GENERATION, H, LIFETIME, chain, key as group_key, ticket};
use crate::raw::{self, A, B, C, EPOCH, NOW, base64url, bytes, expand, key, sub};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file("derive/group.json", "group-key", "A group's keys, out of its chain (§11.1).", keys()),
        file("ticket/group.json", "ticket", "Tickets, opened with a group's key (§6, §11.1).", tickets()),
        file("reply/group.json", "reply", "Replies with tickets for groups (§7.2).", ticket_replies()),
        file(
            "group/request.json",
            "group-request",
            "Signed requests for group keys, checked with the party's key (§11.2).",
            requests(),
        ),
        file(
            "group/reply.json",
            "group-reply",
            "Answers to them, opened by the party that asked (§11.2).",
            reply::replies(),
        ),
    ]
}

fn keys() -> Vec<GroupKeyCase> {
    let case = |case: &str, generation, key: [u8; 32], expect| GroupKeyCase {
        case: case.to_owned(),
        chain: Chain { generation: 5, secret: chain(G, 5).into() },
        generation,
        key: key.into(),
        expect,
    };
    let good = |what: &str, generation| {
        case(what, generation, group_key(G, generation).secret.array(), {
            Expect::Accepted(chain(G, generation).into())
        })
    };
    let bad = |what: &str, key: [u8; 32]| case(what, GENERATION, key, rejected("forged"));
    let refused = |what: &str, generation, reason: &str| case(what, generation, [0; 32], rejected(reason));
    let secret = chain(G, GENERATION);
    vec![
        good("where the chain stands", 5),
        good("the next generation", 6),
        good("two further", 7),
        good("a day of five minutes each", 5 + 288),
        bad("the key of the generation before", group_key(G, GENERATION - 1).secret.array()),
        bad("the key of another group", group_key(H, GENERATION).secret.array()),
        bad("the chain's secret itself", secret),
        bad("the secret of the next generation", sub(&secret, "group chain")),
        bad("turned as a party's key is", {
            let secret = (5..GENERATION).fold(chain(G, 5), |secret, _| sub(&secret, "ratchet"));
            sub(&secret, "group key")
        }),
        bad("out of the key before it instead of the chain", {
            let first = group_key(G, GENERATION - 1).secret;
            sub(&sub(&first.0, "group chain"), "group key")
        }),
        bad("a label without its prefix", expand(&secret, b"group key")),
        bad("with the generation in the label", {
            expand(&secret, &[&b"keycell/1 group key"[..], &GENERATION.to_be_bytes()].concat())
        }),
        refused("one generation back", 4, "backwards"),
        refused("more than a million generations at once", 5 + (1 << 20) + 1, "too-far"),
        refused("the last generation there is", u32::MAX, "too-far"),
    ]
}

fn tickets() -> Vec<TicketCase> {
    let (own, rkey) = (group_key(G, GENERATION), bytes("rkey"));
    let given = ticket(G, GENERATION, &rkey);
    let case = |case: &str, key: &Key, ticket: &[u8], expect| TicketCase {
        case: case.to_owned(),
        key: key.clone(),
        ticket: ticket.into(),
        expect,
    };
    let good = |what: &str, generation| {
        let ticket = ticket(G, generation, &rkey);
        let parts = TicketParts {
            kind: "group".to_owned(),
            generation,
            epoch: 0,
            id: raw::ticket_id(&ticket),
            rkey: rkey.into(),
        };
        case(what, &group_key(G, generation), &ticket, Expect::Accepted(parts))
    };
    let bad = |what: &str, ticket: &[u8]| case(what, &own, ticket, rejected("forged"));
    let nonce: [u8; 24] = bytes("nonce of a ticket");
    let chained = Key { secret: chain(G, GENERATION).into(), ..own.clone() };
    let patched = |at: usize, byte: u8| {
        let mut ticket = given.clone();
        ticket[at] = byte;
        ticket
    };
    vec![
        good("the generation in use", GENERATION),
        good("the one before", GENERATION - 1),
        good("the next", GENERATION + 1),
        bad("passed off as a party's", &patched(1, 1)),
        bad("another generation", &patched(5, 8)),
        bad("an epoch", &patched(9, 1)),
        bad("a changed byte", &flipped(&given, -1)),
        bad("of the next generation, labelled as of this one", &{
            [&given[..10], &ticket(G, GENERATION + 1, &rkey)[10..]].concat()
        }),
        bad("of another group", &ticket(H, GENERATION, &rkey)),
        bad("sealed under the chain's secret", &raw::ticket(2, &chained, &nonce, &rkey)),
        bad("sealed under the group's key itself", &{
            let sealed = raw::seal(&own.secret.array(), &nonce, &given[..10], &rkey);
            [&given[..34], &sealed].concat()
        }),
        case("the key of a member", &key(B, 1, EPOCH), &given, rejected("forged")),
    ]
}

fn ticket_replies() -> Vec<ReplyCase> {
    let own = key(A, 1, EPOCH);
    let request = Request { destinations: vec![G.to_owned(), B.to_owned()], ..super::decoders::request() };
    let (end, renew) = (NOW / 1000 + LIFETIME, NOW / 1000 + 200);
    let rkey: [u8; 32] = bytes("rkey");
    let nonce: [u8; 24] = bytes("nonce of a reply");
    let given = ticket(G, GENERATION, &rkey);
    let sek = raw::sek(&rkey, A.as_bytes(), G.as_bytes(), end);
    let back = raw::sek(&rkey, G.as_bytes(), A.as_bytes(), end);
    let record = [&[2][..], &sek, &given].concat();
    let refused = format!(r#"{{"destination":"{B}","problem":"urn:keycell:problem:not-allowed"}}"#);
    let entry = raw::entry(G, end, renew);
    let with = |extra: &str| entry.replace('}', &format!("{extra}}}"));
    let written = |entry: &str, record: &[u8]| {
        let metadata = raw::reply_metadata(&request, &[entry.to_owned(), refused.clone()]);
        raw::reply(&own, &nonce, &metadata, record)
    };
    let case = |case: &str, json: &str, expect| ReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request: request.clone(),
        json: json.to_owned(),
        expect,
    };
    let good = |what: &str, json: &str, author_proof| {
        let granted = Outcome::Granted {
            destination: G.to_owned(),
            expiration: end,
            renew_after: renew,
            ticket: (&given).into(),
            sek: sek.into(),
            reply_sek: None,
            author_proof,
        };
        let refused = Outcome::Refused {
            destination: B.to_owned(),
            problem: Some("urn:keycell:problem:not-allowed".to_owned()),
        };
        let outcomes = vec![granted, refused];
        case(what, json, Expect::Accepted(Reply { server_time: NOW + 40, rotate: false, outcomes }))
    };
    let bad = |what: &str, json: &str| case(what, json, rejected("malformed"));
    vec![
        good("a ticket for a group", &written(&entry, &record), false),
        good(
            "the group requires a proof of the author",
            &written(&with(r#","author_proof":true"#), &record),
            true,
        ),
        good("a proof is told not to be needed", &written(&with(r#","author_proof":false"#), &record), false),
        bad("a proof that is a word", &written(&with(r#","author_proof":"yes""#), &record)),
        bad("a way back from a group", &written(&entry, &[&[2][..], &sek, &back, &given].concat())),
        bad(
            "a group's ticket in a party's record",
            &written(&entry, &[&[1][..], &sek, &back, &given].concat()),
        ),
        bad("a group's record that is cut", &written(&entry, &record[..record.len() - 1])),
        bad("no SEK at all", &written(&entry, &[&[2][..], &given].concat())),
    ]
}

pub(super) fn request() -> GroupRequest {
    GroupRequest {
        source: B.to_owned(),
        groups: vec![G.to_owned(), H.to_owned()],
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a request for keys").into(),
        instance: bytes::<16>("instance").into(),
    }
}

fn requests() -> Vec<GroupRequestCase> {
    let own = key(B, 1, EPOCH);
    let metadata = raw::group::request(&request());
    let m = base64url(&metadata);
    let json = raw::group::signed(B, &own, &metadata);
    let case = |case: &str, json: &str, expect| GroupRequestCase {
        case: case.to_owned(),
        key: own.clone(),
        json: json.to_owned(),
        expect,
    };
    let naming = |count: usize| GroupRequest { groups: vec!["g@z".to_owned(); count], ..request() };
    let good = |what: &str, request: GroupRequest| {
        let json = raw::group::signed(B, &own, &raw::group::request(&request));
        case(what, &json, Expect::Accepted(request))
    };
    let bad = |what: &str, json: &str, reason: &str| case(what, json, rejected(reason));
    let right = sub(&own.secret.0, "group request");
    let signature =
        |key: &[u8], message: &[u8]| raw::signed_with(B, &own, &m, &base64url(raw::hmac(key, message)));
    let changed = |from: &str, to: &str| {
        assert!(metadata.contains(from));
        raw::group::signed(B, &own, &metadata.replacen(from, to, 1))
    };
    let nonce = base64url(&request().nonce.0);
    let tickets =
        Request { source: B.to_owned(), destinations: vec![G.to_owned()], ..super::decoders::request() };
    vec![
        good("two groups", request()),
        good("all that it is a member of", naming(0)),
        good("a hundred", naming(100)),
        bad(
            "a hundred and one",
            &{ raw::group::signed(B, &own, &raw::group::request(&naming(101))) },
            "destinations",
        ),
        bad("not JSON", "keycell", "malformed"),
        bad("an unknown member", &json.replacen('{', r#"{"extra":1,"#, 1), "malformed"),
        bad("a signature of 31 bytes", &raw::signed_with(B, &own, &m, &base64url([0; 31])), "malformed"),
        bad("signed by another party", &raw::group::signed(B, &key(C, 1, EPOCH), &metadata), "forged"),
        bad("signed at another epoch", &raw::group::signed(B, &key(B, 1, EPOCH + 1), &metadata), "forged"),
        bad("signed as a request for tickets is", &raw::signed(B, &own, &metadata), "forged"),
        bad("signed as a request to rotate is", &raw::signed_rotation(B, &own, &metadata), "forged"),
        bad("signed as a request for a voucher is", &raw::author::signed(B, &own, &metadata), "forged"),
        bad("a request for tickets", &raw::signed(B, &own, &raw::metadata(&tickets)), "forged"),
        bad(
            "signed with the answer's subkey",
            &signature(&sub(&own.secret.0, "group reply"), m.as_bytes()),
            "forged",
        ),
        bad("signed with the long-term key itself", &signature(&own.secret.0, m.as_bytes()), "forged"),
        bad("signed before base64url", &signature(&right, metadata.as_bytes()), "forged"),
        bad(
            "a changed signature",
            &raw::signed_with(B, &own, &m, &base64url(flipped(&raw::hmac(&right, m.as_bytes()), 31))),
            "forged",
        ),
        bad("changed metadata", &json.replace(&m, &base64url(metadata.replace(H, G))), "forged"),
        bad("asked in another party's name", &changed(B, C), "source"),
        bad(
            "signed, and not base64url",
            &raw::signed_with(B, &own, "keycell!", &base64url(raw::hmac(&right, b"keycell!"))),
            "malformed",
        ),
        bad("signed, and not JSON", &raw::group::signed(B, &own, "keycell"), "malformed"),
        bad("signed, with an unknown member", &changed("{", r#"{"extra":1,"#), "malformed"),
        bad("signed, with a member twice", &changed("{", r#"{"groups":[],"#), "malformed"),
        bad("signed, without groups", &changed(&format!(r#""groups":["{G}","{H}"],"#), ""), "malformed"),
        bad("signed, with destinations", &changed(r#""groups""#, r#""destinations""#), "malformed"),
        bad("signed, a group that is no name", &changed(H, "scheduler"), "malformed"),
        bad("signed, a nonce of 15 bytes", &changed(&nonce, &nonce[..20]), "malformed"),
    ]
}
