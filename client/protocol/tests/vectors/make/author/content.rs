//! §8.4

use super::super::{flipped, rejected};
use crate::format::Expect;
use crate::format::author::ContentCase;
use crate::raw::author::{common, common_as, part};
use crate::raw::{bytes, expand, sub};

pub(super) fn bodies() -> Vec<ContentCase> {
    let key: [u8; 32] = bytes("content key");
    let text = b"for all of you";
    let body = common(&key, text);
    let case = |case: &str, part: &[u8], common: &[u8], expect| ContentCase {
        case: case.to_owned(),
        part: part.into(),
        common: common.into(),
        expect,
    };
    let good = |what: &str, text: &[u8]| {
        let body = common(&key, text);
        case(what, &part(&key, &body), &body, Expect::Accepted(text.into()))
    };
    let bad = |what: &str, part: &[u8], common: &[u8]| case(what, part, common, rejected("body"));
    // With a part that means just this body: what a sender could make.
    let made = |what: &str, body: &[u8]| bad(what, &part(&key, body), body);
    let usual = part(&key, &body);
    let other: [u8; 32] = bytes("another content key");
    let (commitment, content) = (sub(&key, "content commitment"), sub(&key, "content key"));
    vec![
        good("a body", text),
        good("an empty body", b""),
        good("a longer body", &[b'x'; 1000]),
        bad(
            "another body under the same key, by another recipient",
            &usual,
            &common(&key, b"for none of you"),
        ),
        bad("the same body under another key", &usual, &common(&other, text)),
        bad("another key, and the hash of this body", &part(&other, &body), &body),
        bad("a changed commitment", &usual, &flipped(&body, 4)),
        bad("a changed byte of the body", &usual, &flipped(&body, 36)),
        bad("a changed tag", &usual, &flipped(&body, -1)),
        bad("a byte more", &usual, &[&body[..], &[0]].concat()),
        bad("a byte less", &usual, &body[..body.len() - 1]),
        bad("nothing", &usual, b""),
        bad("a changed hash", &flipped(&usual, 32), &body),
        bad("a part of 63 bytes", &usual[..63], &body),
        bad("a part of 65 bytes", &[&usual[..], &[0]].concat(), &body),
        bad("an empty part", b"", &body),
        made("meant, of another version", &common_as(*b"KCB2", &commitment, &content, text)),
        made("meant, committed to another key", &{
            common_as(*b"KCB1", &sub(&other, "content commitment"), &content, text)
        }),
        made("meant, encrypted under another key", &{
            common_as(*b"KCB1", &commitment, &sub(&other, "content key"), text)
        }),
        made("meant, encrypted under the content key itself", &common_as(*b"KCB1", &commitment, &key, text)),
        made("meant, commitment and key exchanged", &common_as(*b"KCB1", &content, &commitment, text)),
        made("meant, labels without their prefix", &{
            common_as(*b"KCB1", &expand(&key, b"content commitment"), &expand(&key, b"content key"), text)
        }),
        made("meant, its head not bound", &{
            let unbound = common_as(*b"KCB2", &commitment, &content, text);
            [b"KCB1", &unbound[4..]].concat()
        }),
        made("meant, only a head", &body[..36]),
        made("meant, shorter than a tag", &body[..36 + 15]),
        made("meant, shorter than a head", &body[..35]),
    ]
}
