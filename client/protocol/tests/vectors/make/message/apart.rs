//! §8.4: bodies that travel apart.

use super::author::{believer, by};
use super::group::to_group;
use super::*;
use crate::raw::author::{Voucher, common, part};

const TEXT: &[u8] = b"for all of you";

fn content() -> [u8; 32] {
    bytes("content key")
}

/// The message whose body is the part of a common body.
fn part_of(message: Message, flags: u8) -> Message {
    Message { flags, body: part(&content(), &body()), ..message }
}

fn body() -> Vec<u8> {
    common(&content(), TEXT)
}

fn given(step: MessageStep, common: &[u8]) -> MessageStep {
    MessageStep { common: Some(common.into()), ..step }
}

fn good(message: &Message) -> MessageStep {
    let opened = Opened { body: TEXT.into(), ..opened(message) };
    given(step(&message.write(), Expect::Accepted(opened)), &body())
}

pub(super) fn apart() -> Vec<MessageCase> {
    let usual = || part_of(honest(), 4);
    let with = |change: fn(&mut Message)| {
        let mut message = usual();
        change(&mut message);
        message
    };
    // With that body it is refused, and opens with the right one after it.
    let not = |case: &str, common: &[u8]| {
        steps(case, believer(), [given(bad(&usual().write(), "body"), common), good(&usual())])
    };
    let refuses = |case: &str, message: &[u8], code: &str| {
        steps(case, believer(), [given(bad(message, code), &body()), good(&usual())])
    };
    let to_group = part_of(to_group(), 4);
    let in_group = Opened {
        body: TEXT.into(),
        group: Some(String::from_utf8(to_group.destination.clone()).unwrap()),
        ..opened(&to_group)
    };
    let (signed, voucher) = (part_of(honest(), 6), Voucher::of(A).write());
    let by_author = Opened { body: TEXT.into(), voucher: Some((&voucher).into()), ..opened(&signed) };
    vec![
        steps("a part and its body", believer(), [good(&usual())]),
        steps(
            "to a group",
            believer(),
            [given(step(&to_group.write(), Expect::Accepted(in_group)), &body())],
        ),
        steps(
            "with a proof of the author",
            believer(),
            [given(step(&by(&signed, A, &voucher), Expect::Accepted(by_author)), &body())],
        ),
        steps(
            "the part comes before the body",
            believer(),
            [bad(&usual().write(), "detached"), good(&usual())],
        ),
        steps(
            "twice",
            believer(),
            [
                good(&usual()),
                given(bad(&usual().write(), "replayed"), &body()),
                bad(&usual().write(), "replayed"),
            ],
        ),
        not("another body under the same key", &common(&content(), b"for none of you")),
        not("a body under another key", &common(&bytes("another content key"), TEXT)),
        not("a changed body", &flipped(&body(), -1)),
        not("no body at all", b""),
        not("the text itself", TEXT),
        refuses("a body for a message that has its own", &honest().write(), "body"),
        refuses("a part of 63 bytes", &with(|m| m.body.truncate(63)).write(), "body"),
        refuses("a part and a byte", &with(|m| m.body.push(0)).write(), "body"),
        refuses("a part of another body", &with(|m| m.body[63] ^= 1).write(), "body"),
        refuses("a part with another key", &with(|m| m.body[0] ^= 1).write(), "body"),
        refuses("a part in the clear", &with(|m| m.flags = 5).write(), "flags"),
        refuses("a changed part", &flipped(&usual().write(), -1), "forged"),
        refuses("a part of another's", &by(&signed, C, &voucher), "author-forged"),
        steps(
            "a part of another's, and no body",
            believer(),
            [bad(&by(&signed, C, &voucher), "author-forged"), good(&usual())],
        ),
        steps(
            "a part without its body moves no numbers",
            believer(),
            [
                good(&usual()),
                bad(&with(|m| m.sequence = 1 << 40).write(), "detached"),
                good(&with(|m| m.sequence = 1)),
            ],
        ),
    ]
}
