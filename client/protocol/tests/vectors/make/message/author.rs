//! §9.1: who wrote it.

use super::group::{self, member, to_group};
use super::*;
use crate::format::author::Signer;
use crate::raw::author::{KDC, Voucher, authored, public, signer_id};
use crate::raw::group::{GENERATION, H, ticket};

/// A member of a group that requires proofs, and of one that does not.
pub(super) fn believer() -> Receiver {
    let signer = |zone: &str, who| Signer { zone: zone.to_owned(), key: public(who).into() };
    let signers = vec![signer("cell.example", KDC), signer("other.example", "#KDC#00001@other.example")];
    Receiver { signers, ..member() }
}

/// To the group that requires a proof.
fn said() -> Message {
    let mut message = Message { flags: 2, ..to_group() };
    (message.destination, message.under) = (H.into(), ticket(H, GENERATION, &message.rkey));
    message
}

/// The message with a proof by `who`.
pub(super) fn by(message: &Message, who: &str, voucher: &[u8]) -> Vec<u8> {
    Message { body: authored(message, who, voucher), ..message.clone() }.write()
}

fn opened_by(message: &Message, voucher: &[u8]) -> Opened {
    let to = String::from_utf8(message.destination.clone()).unwrap();
    Opened { group: (to != B && to != A).then_some(to), voucher: Some(voucher.into()), ..opened(message) }
}

pub(super) fn proved(message: &Message) -> MessageStep {
    let voucher = Voucher::of(A).write();
    step(&by(message, A, &voucher), Expect::Accepted(opened_by(message, &voucher)))
}

pub(super) fn authors() -> Vec<MessageCase> {
    let with = |change: fn(&mut Message)| {
        let mut message = said();
        change(&mut message);
        message
    };
    let accepts = |case: &str, message: &Message| steps(case, believer(), [proved(message)]);
    let refuses = |case: &str, message: &[u8], code: &str| {
        steps(case, believer(), [bad(message, code), proved(&said())])
    };
    let forged = |case: &str, message: &[u8]| refuses(case, message, "author-forged");
    let voucher = Voucher::of(A).write();
    let sent = said().sent_at / 1000;
    let during = |from, to| Voucher { not_before: from, not_after: to, ..Voucher::of(A) }.write();
    let member_of_none = Receiver { signers: Vec::new(), ..believer() };
    let party = Message { flags: 2, ..honest() };
    let granted = raw::grant(A, B, &rkey(), END);
    let asker = Receiver {
        name: A.to_owned(),
        keys: vec![key(A, 1, EPOCH - 1)],
        granted: vec![granted],
        groups: Vec::new(),
        ..believer()
    };
    let answer = super::with(|m| {
        (m.kind, m.flags, m.source, m.destination) = (2, 2, B.into(), A.into());
        m.under = raw::ticket_id(&ticket_for_b()).0;
    });
    let of_b = Voucher::of(B).write();
    let later = |number, voucher: &[u8]| {
        let message = Message { sequence: number, ..said() };
        step(&by(&message, A, voucher), Expect::Accepted(opened_by(&message, voucher)))
    };
    // To the group that requires none.
    let open = |flags, sequence| Message { flags, sequence, ..to_group() };
    let stranger = {
        let who = "#KDC#00001@other.example";
        Voucher { signer: signer_id(&public(who)), ..Voucher::of(A) }.write_by(who)
    };
    vec![
        accepts("to a group that requires it", &said()),
        accepts("signed", &with(|m| m.flags = 3)),
        accepts("an empty body", &with(|m| m.body.clear())),
        accepts("to a group that does not require it", &Message { flags: 2, ..to_group() }),
        accepts("to a party", &party),
        steps(
            "an answer",
            asker,
            [step(&by(&answer, B, &of_b), Expect::Accepted(opened_by(&answer, &of_b)))],
        ),
        refuses("no proof", &with(|m| m.flags = 0).write(), "author-missing"),
        refuses("no proof, and signed", &with(|m| m.flags = 1).write(), "author-missing"),
        steps(
            "no signer is known",
            member_of_none,
            [bad(&by(&said(), A, &voucher), "author-unknown"), good(&honest())],
        ),
        refuses(
            "another zone's KDC vouches for this zone's name",
            &by(&said(), A, &stranger),
            "author-unknown",
        ),
        refuses("sent before its voucher", &by(&said(), A, &during(sent + 1, sent + 9)), "author-expired"),
        refuses("sent after its voucher", &by(&said(), A, &during(sent - 9, sent - 1)), "author-expired"),
        forged("the flag, and no block", &said().write()),
        forged("another member, under its own voucher", &by(&said(), C, &Voucher::of(C).write())),
        forged("another member, under the source's voucher", &by(&said(), C, &voucher)),
        forged("another member, under a voucher that it made", &{
            by(&said(), C, &Voucher { public_key: public(C), ..Voucher::of(A) }.write_by(C))
        }),
        forged("another member, in the place of the KDC", &{
            let voucher = Voucher { signer: signer_id(&public(C)), ..Voucher::of(A) };
            by(&said(), C, &Voucher { signer: signer_id(&public(KDC)), ..voucher }.write_by(C))
        }),
        forged("a proof where none is required, by another", &{
            by(&Message { flags: 2, ..to_group() }, C, &Voucher::of(C).write())
        }),
        forged("another's words sealed anew", &{
            let proved = authored(&said(), A, &voucher);
            Message { sequence: 7, body: proved, ..said() }.write()
        }),
        forged("another's words to another group", &{
            let proved = authored(&Message { flags: 2, ..to_group() }, A, &voucher);
            Message { body: proved, ..said() }.write()
        }),
        forged("another's words to a party, told to the group", &{
            let proved = authored(&party, A, &voucher);
            Message { body: proved, ..said() }.write()
        }),
        refuses("a changed byte", &flipped(&by(&said(), A, &voucher), -1), "forged"),
        forged("no block, and ahead of time", &with(|m| m.sent_at = NOW + 5_001).write()),
        refuses(
            "another's proof, and ahead of time",
            &{ by(&with(|m| m.sent_at = NOW + 5_001), C, &Voucher::of(C).write()) },
            "from-the-future",
        ),
        steps("twice", believer(), [proved(&said()), bad(&by(&said(), A, &voucher), "replayed")]),
        steps(
            "another's proof under a number that was opened",
            believer(),
            [proved(&said()), bad(&by(&said(), C, &Voucher::of(C).write()), "replayed")],
        ),
        steps(
            "another's proof moves no numbers",
            believer(),
            [
                proved(&said()),
                bad(&by(&with(|m| m.sequence = 1 << 40), C, &voucher), "author-forged"),
                proved(&with(|m| m.sequence = 1)),
            ],
        ),
        steps(
            "another member under the same ticket and salt",
            believer(),
            [
                step(&by(&with(|m| m.source = C.into()), C, &Voucher::of(C).write()), {
                    Expect::Accepted(opened_by(&with(|m| m.source = C.into()), &Voucher::of(C).write()))
                }),
                proved(&said()),
                bad(&by(&said(), A, &voucher), "replayed"),
            ],
        ),
        steps(
            "a known author gets another voucher",
            believer(),
            [
                later(0, &voucher),
                later(1, &during(sent - 9, sent + 9)),
                later(2, &voucher),
                bad(&by(&with(|m| m.sequence = 3), A, &during(sent - 9, sent - 1)), "author-expired"),
                bad(&by(&with(|m| m.sequence = 3), C, &Voucher::of(C).write()), "author-forged"),
                later(3, &voucher),
            ],
        ),
        steps(
            "no room for another sender",
            Receiver { max_senders: 3, ..believer() },
            [
                proved(&said()),
                proved(&with(|m| m.salt = bytes("another salt"))),
                bad(&by(&with(|m| m.salt[0] ^= 1), A, &voucher), "too-many-senders"),
                bad(&by(&with(|m| m.salt[0] ^= 1), C, &voucher), "author-forged"),
            ],
        ),
        steps(
            "to a group that requires none, a number far ahead without a proof, in the author's name",
            believer(),
            [
                group::good(&open(0, 1 << 40)),
                proved(&open(2, 0)),
                bad(&open(0, 1).write(), "out-of-window"),
                proved(&open(2, 1)),
                bad(&by(&open(2, 0), A, &voucher), "replayed"),
            ],
        ),
        steps(
            "to a group that requires none, the same without the proof",
            believer(),
            [
                group::good(&open(0, 0)),
                proved(&open(2, 0)),
                bad(&open(0, 0).write(), "replayed"),
                bad(&by(&open(2, 0), A, &voucher), "replayed"),
            ],
        ),
        steps(
            "what is written in a name without a proof leaves room for what it proves",
            Receiver { max_senders_per_source: 1, ..believer() },
            [
                group::good(&open(0, 0)),
                bad(&Message { salt: bytes("another salt"), ..open(0, 0) }.write(), "too-many-senders"),
                proved(&open(2, 0)),
            ],
        ),
        steps(
            "what a name proves is counted for all groups together, and apart from what it says to the party",
            Receiver { max_senders_per_source: 1, ..believer() },
            [
                proved(&said()),
                bad(&by(&open(2, 0), A, &voucher), "too-many-senders"),
                proved(&with(|m| m.sequence = 1)),
                good(&honest()),
            ],
        ),
        steps(
            "what is written without a proof leaves room for authors",
            Receiver { max_senders: 4, ..believer() },
            [
                group::good(&open(0, 0)),
                bad(&Message { source: C.into(), ..open(0, 0) }.write(), "too-many-senders"),
                proved(&open(2, 0)),
                bad(
                    &by(&Message { source: C.into(), ..open(2, 0) }, C, &Voucher::of(C).write()),
                    "too-many-senders",
                ),
                good(&honest()),
            ],
        ),
    ]
}
