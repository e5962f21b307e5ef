//! §11.2: answers with group keys.

use super::super::{flipped, rejected};
use super::request;
use crate::format::Expect;
use crate::format::author::ZoneSigners;
use crate::format::group::{GroupKey, GroupOutcome, GroupReply, GroupReplyCase, GroupRequest};
use crate::raw::author::{KDC, not_trusted, public, trusting, zone_signers};
use crate::raw::group::{G, GENERATION, H, SPREAD, entry, held, refresh_at, reply, sealed};
use crate::raw::{self, B, C, EPOCH, NOW, base64url, bytes, key};

pub(super) fn replies() -> Vec<GroupReplyCase> {
    let own = key(B, 1, EPOCH);
    let nonce: [u8; 24] = bytes("nonce of an answer");
    let three = |group: &str| [GENERATION - 1, GENERATION, GENERATION + 1].map(|number| held(group, number));
    let records = |keys: &[GroupKey]| keys.iter().flat_map(|key| key.secret.0.clone()).collect::<Vec<_>>();
    let no = |group: &str, problem: &str| {
        format!(r#"{{"group":"{group}","problem":"urn:keycell:problem:{problem}"}}"#)
    };
    let granted = |group: &str, author_proof, keys: &[GroupKey]| GroupOutcome::Granted {
        group: group.to_owned(),
        author_proof,
        refresh_at: refresh_at(),
        spread: SPREAD,
        keys: keys.to_vec(),
    };
    let refused = |group: &str, problem: Option<&str>| GroupOutcome::Refused {
        group: group.to_owned(),
        problem: problem.map(|name| format!("urn:keycell:problem:{name}")),
    };
    let signers = [public(KDC), public("#KDC#00002@cell.example")];
    let metadata = |groups: &[String]| reply(&request(), &signers, groups);
    let yes = |group: &str| entry(group, false, &three(group));
    let first = three(G);
    let usual = metadata(&[yes(G), no(H, "not-allowed")]);
    let written = |groups: &[String], records: &[u8]| sealed(&own, &nonce, &metadata(groups), records);
    let json = sealed(&own, &nonce, &usual, &records(&first));
    let case = |case: &str, request: GroupRequest, json: &str, expect| GroupReplyCase {
        case: case.to_owned(),
        key: own.clone(),
        request,
        json: json.to_owned(),
        expect,
    };
    let accepted = |groups: Vec<GroupOutcome>| {
        let signers = signers.iter().map(Into::into).collect();
        let trusted = Vec::new();
        Expect::Accepted(GroupReply { server_time: NOW + 40, rotate: false, signers, trusted, groups })
    };
    let good = |what: &str, json: &str, groups| case(what, request(), json, accepted(groups));
    let bad = |what: &str, json: &str, reason: &str| case(what, request(), json, rejected(reason));
    let malformed = |what: &str, entry: &str, records: &[u8]| {
        bad(what, &written(&[entry.to_owned(), no(H, "not-allowed")], records), "malformed")
    };
    let expected = || vec![granted(G, false, &first), refused(H, Some("not-allowed"))];
    let spoilt = |at: isize| {
        let m = base64url(&usual);
        let key = raw::sub(&own.secret.0, "group reply");
        let sealed = raw::seal(&key, &nonce, m.as_bytes(), &records(&first));
        raw::reply_with(&m, &base64url(flipped(&[&nonce[..], &sealed].concat(), at)))
    };
    let changed = |from: &str, to: &str| {
        assert!(usual.contains(from));
        sealed(&own, &nonce, &usual.replacen(from, to, 1), &records(&first))
    };
    let abroad = [zone_signers("other.example", 8), zone_signers("third.example", 1)];
    let trusted = |zones: &[ZoneSigners]| sealed(&own, &nonce, &trusting(&usual, zones), &records(&first));
    let all = |count: usize| {
        let groups: Vec<_> = (0..count).map(|number| no(&format!("g{number}@z"), "not-allowed")).collect();
        let request = GroupRequest { groups: Vec::new(), ..request() };
        let refusals = (0..count).map(|number| refused(&format!("g{number}@z"), Some("not-allowed")));
        (request, written(&groups, b""), refusals.collect::<Vec<_>>())
    };
    let everything = {
        let (request, ..) = all(0);
        let both = [three(G), three(H)].concat();
        let json = written(&[entry(G, true, &three(G)), yes(H)], &records(&both));
        case(
            "all that it is a member of, one of which requires proofs",
            request,
            &json,
            accepted(vec![granted(G, true, &three(G)), granted(H, false, &three(H))]),
        )
    };
    // Two chains that ended, a minute each, before the one in force.
    let rotated: Vec<_> = [5, 7, 9, 10].map(|generation| held(G, generation)).into();
    let many = |count: u32| (1..=count).map(|number| GroupKey { generation: number, ..held(G, 7) });
    let most: Vec<_> = many(40).collect();
    let too_many: Vec<_> = many(41).collect();
    let swapped = [held(G, GENERATION), held(G, GENERATION - 1)];
    let twice = [held(G, GENERATION), held(G, GENERATION)];
    let backwards = [GroupKey { ends: first[0].begins, ..held(G, GENERATION - 1) }];
    let mut cases = vec![
        good("the key before, the one in use, and the next", &json, expected()),
        everything,
        case("a member of nothing", all(0).0, &all(0).1, accepted(Vec::new())),
        case("a hundred groups", all(100).0, &all(100).1, accepted(all(100).2)),
        case("more than a hundred groups", all(101).0, &all(101).1, rejected("destinations")),
        good(
            "only the one in use and the next",
            &written(&[entry(G, false, &first[1..]), no(H, "not-allowed")], &records(&first[1..])),
            vec![granted(G, false, &first[1..]), refused(H, Some("not-allowed"))],
        ),
        good(
            "chains that ended",
            &written(&[entry(G, false, &rotated), no(H, "not-allowed")], &records(&rotated)),
            vec![granted(G, false, &rotated), refused(H, Some("not-allowed"))],
        ),
        good(
            "the most keys",
            &written(&[entry(G, false, &most), no(H, "not-allowed")], &records(&most)),
            vec![granted(G, false, &most), refused(H, Some("not-allowed"))],
        ),
        malformed("one key too many", &entry(G, false, &too_many), &records(&too_many)),
        good(
            "a reason of the future",
            &written(&[yes(G), no(H, "of-the-future")], &records(&first)),
            vec![granted(G, false, &first), refused(H, None)],
        ),
        good("members of the future are left alone", &changed("{", r#"{"extra":1,"#), expected()),
        case(
            "the party is to rotate its own key",
            request(),
            &changed(r#""signers""#, r#""rotate":true,"signers""#),
            Expect::Accepted(GroupReply {
                server_time: NOW + 40,
                rotate: true,
                signers: signers.iter().map(Into::into).collect(),
                trusted: Vec::new(),
                groups: expected(),
            }),
        ),
        case(
            "a KDC that vouches for nobody",
            request(),
            &sealed(&own, &nonce, &reply(&request(), &[], &[yes(G), no(H, "not-allowed")]), &records(&first)),
            Expect::Accepted(GroupReply {
                server_time: NOW + 40,
                rotate: false,
                signers: Vec::new(),
                trusted: Vec::new(),
                groups: expected(),
            }),
        ),
        bad("not JSON", "keycell", "malformed"),
        bad("no sealed part", &format!(r#"{{"metadata":"{}"}}"#, base64url(&usual)), "malformed"),
        bad("sealed part shorter than a nonce", &raw::reply_with(&base64url(&usual), "AAAA"), "malformed"),
        bad(
            "sealed part shorter than a tag",
            &raw::reply_with(&base64url(&usual), &base64url([0; 39])),
            "forged",
        ),
        bad("another nonce", &spoilt(0), "forged"),
        bad("a changed key", &spoilt(24), "forged"),
        bad("another tag", &spoilt(-1), "forged"),
        bad(
            "metadata of another answer",
            &json.replace(&base64url(&usual), &base64url(metadata(&[yes(H), no(G, "not-allowed")]))),
            "forged",
        ),
        bad(
            "sealed as a reply with tickets is",
            &raw::reply(&own, &nonce, &usual, &records(&first)),
            "forged",
        ),
        bad(
            "sealed as an answer with a voucher is",
            &raw::author::sealed(&own, &nonce, &usual, &records(&first)),
            "forged",
        ),
        bad(
            "sealed for another party",
            &sealed(&key(C, 1, EPOCH), &nonce, &usual, &records(&first)),
            "forged",
        ),
        bad(
            "sealed under the next epoch",
            &sealed(&key(B, 1, EPOCH + 1), &nonce, &usual, &records(&first)),
            "forged",
        ),
        bad(
            "answers another request",
            &changed(&base64url(&request().nonce.0), &base64url([0; 16])),
            "another-request",
        ),
        bad("answers another party", &changed(B, C), "another-request"),
        bad(
            "groups in another order",
            &written(&[no(H, "not-allowed"), yes(G)], &records(&first)),
            "destinations",
        ),
        bad("one group only", &written(&[yes(G)], &records(&first)), "destinations"),
        bad(
            "one group too many",
            &written(&[yes(G), no(H, "not-allowed"), no(H, "not-allowed")], &records(&first)),
            "destinations",
        ),
        bad("another group", &written(&[yes(G), no(C, "not-allowed")], &records(&first)), "destinations"),
        bad("metadata not JSON", &sealed(&own, &nonce, "keycell", &records(&first)), "malformed"),
        bad(
            "no signers",
            &changed(&format!(r#""signers":["{}","{}"],"#, base64url(signers[0]), base64url(signers[1])), ""),
            "malformed",
        ),
        bad("a signer of 31 bytes", &changed(&base64url(signers[0]), &base64url([7; 31])), "malformed"),
        malformed("a key is missing", &yes(G), &records(&first[1..])),
        malformed("a byte is missing", &yes(G), &records(&first)[1..]),
        malformed("a key too many", &yes(G), &[records(&first), vec![0; 32]].concat()),
        malformed("keys for a group that is refused", &no(G, "not-allowed"), &records(&first)),
        malformed("a group without keys", &entry(G, false, &[]), b""),
        malformed("generations in another order", &entry(G, false, &swapped), &records(&swapped)),
        malformed("a generation twice", &entry(G, false, &twice), &records(&twice)),
        malformed("a key that ends as it begins", &entry(G, false, &backwards), &records(&backwards)),
        malformed(
            "given and refused at once",
            &yes(G).replace(r#""spread""#, r#""problem":"x","spread""#),
            &records(&first),
        ),
        malformed(
            "no moment to ask again",
            &yes(G).replace(&format!(r#""refresh_at":{},"#, refresh_at()), ""),
            &records(&first),
        ),
        malformed("no spread", &yes(G).replace(&format!(r#""spread":{SPREAD},"#), ""), &records(&first)),
        malformed("a negative spread", &yes(G).replace(r#""spread":"#, r#""spread":-"#), &records(&first)),
        malformed("neither given nor refused", &format!(r#"{{"group":"{G}"}}"#), b""),
        case(
            "two other zones are trusted",
            request(),
            &trusted(&abroad),
            Expect::Accepted(GroupReply {
                server_time: NOW + 40,
                rotate: false,
                signers: signers.iter().map(Into::into).collect(),
                trusted: abroad.to_vec(),
                groups: expected(),
            }),
        ),
        good("no other zone is trusted", &trusted(&[]), expected()),
    ];
    cases.extend(not_trusted().iter().map(|(what, zones)| bad(what, &trusted(zones), "malformed")));
    cases
}
