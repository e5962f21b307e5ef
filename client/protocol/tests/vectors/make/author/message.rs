//! §9.1 and §9.3

use super::super::{flipped, rejected};
use super::{for_everything, parts, respelt, signer, signers};
use crate::format::author::{AuthorCase, Authored, EvidenceCase, Said, Signer};
use crate::format::{Expect, Key};
use crate::raw::author::{self, KDC, Voucher, authored, block, common, evidence as kept, part, public, sign};
use crate::raw::group::{G, GENERATION, LIFETIME, key as group_key, ticket};
use crate::raw::{self, A, B, C, EPOCH, Message, NOW, bytes, key};

/// What A says to the group when nothing is wrong; its body is still without a proof.
pub(crate) fn said() -> Message {
    let rkey = bytes("rkey");
    Message {
        magic: *b"KCL1",
        kind: 1,
        flags: 2,
        expiration: NOW / 1000 + LIFETIME,
        sent_at: NOW - 20,
        salt: bytes("salt"),
        sequence: 0,
        source: A.into(),
        destination: G.into(),
        topic: b"command".to_vec(),
        under: ticket(G, GENERATION, &rkey),
        body: b"reboot".to_vec(),
        rkey,
    }
}

fn with(change: impl FnOnce(&mut Message)) -> Message {
    let mut message = said();
    change(&mut message);
    message
}

/// The message as it travels, with a proof by its source.
fn proved(message: &Message) -> Vec<u8> {
    let source = String::from_utf8(message.source.clone()).unwrap();
    by(message, &source, &Voucher::of(&source).write())
}

/// As above, by somebody and with a voucher.
fn by(message: &Message, who: &str, voucher: &[u8]) -> Vec<u8> {
    sealed(message, &authored(message, who, voucher))
}

fn sealed(message: &Message, plaintext: &[u8]) -> Vec<u8> {
    Message { body: plaintext.to_vec(), ..message.clone() }.write()
}

fn unflagged(message: &[u8]) -> Vec<u8> {
    [&message[..5], &[0], &message[6..]].concat()
}

pub(super) fn messages() -> Vec<AuthorCase> {
    let own = group_key(G, GENERATION);
    let case = |case: &str, key: &Key, signers: Vec<Signer>, message: &[u8], expect| AuthorCase {
        case: case.to_owned(),
        key: key.clone(),
        signers,
        message: message.into(),
        expect,
    };
    let opened = |message: &Message, voucher: &Voucher| {
        Expect::Accepted(Authored {
            source: String::from_utf8(message.source.clone()).unwrap(),
            body: (&message.body).into(),
            voucher: parts(voucher),
        })
    };
    let good = |what: &str, message: &Message| {
        case(what, &own, signers(), &proved(message), opened(message, &Voucher::of(A)))
    };
    let bad =
        |what: &str, message: &[u8], reason: &str| case(what, &own, signers(), message, rejected(reason));
    let forged = |what: &str, message: &[u8]| bad(what, message, "author-forged");
    let vouched =
        |what: &str, voucher: &Voucher, reason: &str| bad(what, &by(&said(), A, &voucher.write()), reason);
    // Signed for one message, sealed as another: what each member of the group can do.
    let moved = |what: &str, change: fn(&mut Message)| {
        forged(what, &sealed(&with(change), &authored(&said(), A, &Voucher::of(A).write())))
    };
    let plain = |what: &str, plaintext: &[u8]| forged(what, &sealed(&said(), plaintext));
    let voucher = Voucher::of(A).write();
    let signed_as = |context: &str, message: &[u8]| block(&voucher, &sign(A, context, message));
    let (head, body) = (said().header(), said().body);
    let party = with(|m| {
        (m.destination, m.under) =
            (B.into(), raw::ticket(1, &key(B, 1, EPOCH), &bytes("nonce of a ticket"), &m.rkey));
    });
    let honest = authored(&said(), A, &voucher);
    let (small, all) = for_everything();
    let weak = Voucher { public_key: small, ..Voucher::of(A) };
    let ends = |at: u64, to: u64| Voucher { not_before: at, not_after: to, ..Voucher::of(A) };
    let sent = said().sent_at / 1000;
    let knowing =
        |what: &str, signers| case(what, &own, signers, &proved(&said()), rejected("author-unknown"));
    vec![
        good("sealed", &said()),
        good("signed", &with(|m| m.flags = 3)),
        good("an empty body", &with(|m| m.body.clear())),
        good("without a topic", &with(|m| m.topic.clear())),
        case("to a party", &key(B, 1, EPOCH), signers(), &proved(&party), opened(&party, &Voucher::of(A))),
        case(
            "sent in the first second of the voucher",
            &own,
            signers(),
            &by(&said(), A, &ends(sent, sent + 9).write()),
            opened(&said(), &ends(sent, sent + 9)),
        ),
        case(
            "sent in the last second of the voucher",
            &own,
            signers(),
            &by(&said(), A, &ends(sent - 9, sent).write()),
            opened(&said(), &ends(sent - 9, sent)),
        ),
        vouched("sent before the voucher", &ends(sent + 1, sent + 9), "author-expired"),
        vouched("sent after the voucher", &ends(sent - 9, sent - 1), "author-expired"),
        knowing("no signer is known", Vec::new()),
        knowing("the signer is known for another zone", vec![signer("other.example", KDC)]),
        bad(
            "another zone's KDC vouches for a name of this one",
            &{
                let who = "#KDC#00001@other.example";
                let voucher = Voucher { signer: author::signer_id(&public(who)), ..Voucher::of(A) };
                by(&said(), A, &voucher.write_by(who))
            },
            "author-unknown",
        ),
        forged("another member, under its own voucher", &by(&said(), C, &Voucher::of(C).write())),
        forged("another member, under the source's voucher", &by(&said(), C, &voucher)),
        forged("another member, under a voucher of its own making", &{
            by(&said(), C, &Voucher { public_key: public(C), ..Voucher::of(A) }.write_by(C))
        }),
        forged("the source's own words in another member's name", &{
            sealed(&with(|m| m.source = C.into()), &honest)
        }),
        forged("a voucher whose signature does not hold", &by(&said(), A, &flipped(&voucher, -1))),
        forged("a key of small order, which signs everything", &{
            sealed(&said(), &[&block(&weak.write(), &all)[..], &body].concat())
        }),
        forged("a signature in another spelling", &{
            let signature = respelt(&honest[honest.len() - body.len() - 64..honest.len() - body.len()]);
            sealed(&said(), &[&block(&voucher, signature.as_slice().try_into().unwrap())[..], &body].concat())
        }),
        plain("another body", &[&honest[..honest.len() - body.len()], b"reboat"].concat()),
        forged("the body lengthened", &sealed(&said(), &[&honest[..], b"!"].concat())),
        forged("the body cut", &sealed(&said(), &honest[..honest.len() - 1])),
        moved("said about another topic", |m| m.topic = b"Command".to_vec()),
        moved("said at another time", |m| m.sent_at += 1),
        moved("said under another number", |m| m.sequence = 1),
        moved("said under another salt", |m| m.salt[0] ^= 1),
        moved("said with another end", |m| m.expiration -= 1),
        moved("said signed instead of sealed", |m| m.flags = 3),
        moved("said under another ticket", |m| {
            m.rkey = bytes("second rkey");
            m.under = ticket(G, GENERATION, &m.rkey);
        }),
        case(
            "said to somebody else",
            &key(B, 1, EPOCH),
            signers(),
            &sealed(&party, &honest),
            rejected("author-forged"),
        ),
        plain(
            "signed without its purpose",
            &[&signed_as("keycell/1", &[&head[..], &body].concat())[..], &body].concat(),
        ),
        plain("signed as a voucher is", &{
            [&signed_as("keycell/1 voucher", &[&head[..], &body].concat())[..], &body].concat()
        }),
        plain("only the body is signed", &[&signed_as("keycell/1 author", &body)[..], &body].concat()),
        plain("only the head is signed", &[&signed_as("keycell/1 author", &head)[..], &body].concat()),
        plain("the block is signed with it", &{
            let signed = [&head[..], &voucher, &body].concat();
            [&signed_as("keycell/1 author", &signed)[..], &body].concat()
        }),
        plain("no block", b"reboot"),
        plain("nothing at all", b""),
        plain("a block that is cut", &honest[..100]),
        plain("a voucher longer than the message", &[&[0x01, 0x7c][..], &honest[2..]].concat()),
        plain("a voucher longer than any", &block(&[0; 381], &[0; 64])),
        plain(
            "no voucher",
            &[&block(b"", &sign(A, "keycell/1 author", &[&head[..], &body].concat()))[..], &body].concat(),
        ),
        plain("a voucher and a byte", &{
            let voucher = [&voucher[..], &[0]].concat();
            [&block(&voucher, &sign(A, "keycell/1 author", &[&head[..], &body].concat()))[..], &body].concat()
        }),
        bad("the flag taken off on the way", &unflagged(&proved(&said())), "forged"),
        bad("a changed byte", &flipped(&proved(&said()), -1), "forged"),
        bad("no proof, and none is told", &with(|m| m.flags = 0).write(), "author-missing"),
    ]
}

pub(super) fn evidence() -> Vec<EvidenceCase> {
    let case = |case: &str, signers: Vec<Signer>, evidence: &[u8], expect| EvidenceCase {
        case: case.to_owned(),
        signers,
        evidence: evidence.into(),
        expect,
    };
    let voucher = Voucher::of(A).write();
    let proof = |message: &Message, who: &str, voucher: &[u8]| {
        let plaintext = authored(message, who, voucher);
        plaintext[..plaintext.len() - message.body.len()].to_vec()
    };
    let written = |message: &Message, common: &[u8]| {
        kept(&message.header(), &proof(message, A, &voucher), &message.body, common)
    };
    let shows = |message: &Message, body: &[u8]| {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        Expect::Accepted(Said {
            source: text(&message.source),
            destination: text(&message.destination),
            topic: text(&message.topic),
            sent_at: message.sent_at,
            expiration: message.expiration,
            sequence: message.sequence,
            body: body.into(),
            voucher: parts(&Voucher::of(A)),
        })
    };
    let good = |what: &str, message: &Message| {
        case(what, signers(), &written(message, b""), shows(message, &message.body))
    };
    let bad = |what: &str, evidence: &[u8], reason: &str| case(what, signers(), evidence, rejected(reason));
    let honest = written(&said(), b"");
    let by = |message: &Message, who: &str, voucher: &[u8]| {
        kept(&message.header(), &proof(message, who, voucher), &message.body, b"")
    };
    let content: [u8; 32] = bytes("content key");
    let body = common(&content, b"for all of you");
    let apart = with(|m| (m.flags, m.body) = (6, part(&content, &body)));
    let answer = with(|m| (m.kind, m.destination, m.under) = (2, B.into(), raw::ticket_id(&m.under).0));
    let ends = |from, to| Voucher { not_before: from, not_after: to, ..Voucher::of(A) };
    let sent = said().sent_at / 1000;
    let head = said().header();
    let cut = |at: usize| bad(&format!("cut after {at} bytes"), &honest[..at], "malformed");
    let patched = |at: usize, bytes: &[u8]| [&honest[..at], bytes, &honest[at + bytes.len()..]].concat();
    // As a member could write it: everything but the signature.
    let moved = |what: &str, change: fn(&mut Message)| {
        let changed = with(change);
        bad(what, &kept(&changed.header(), &proof(&said(), A, &voucher), &changed.body, b""), "forged")
    };
    vec![
        good("sealed, to a group", &said()),
        good("signed, to a group", &with(|m| m.flags = 3)),
        good("an answer, to a party", &answer),
        good("an empty body", &with(|m| m.body.clear())),
        case(
            "a body that travelled apart",
            signers(),
            &written(&apart, &body),
            shows(&apart, b"for all of you"),
        ),
        case("no signer is known", Vec::new(), &honest, rejected("unknown-signer")),
        case(
            "the signer is of another zone",
            vec![signer("other.example", KDC)],
            &honest,
            rejected("unknown-signer"),
        ),
        bad("sent before the voucher", &by(&said(), A, &ends(sent + 1, sent + 9).write()), "expired"),
        bad("sent after the voucher", &by(&said(), A, &ends(sent - 9, sent - 1).write()), "expired"),
        bad("signed by another", &by(&said(), C, &voucher), "forged"),
        bad("another's voucher", &by(&said(), C, &Voucher::of(C).write()), "forged"),
        bad("a voucher that its signer did not sign", &by(&said(), A, &Voucher::of(A).write_by(A)), "forged"),
        bad("a voucher that is none", &by(&said(), A, b"voucher"), "forged"),
        moved("another source", |m| m.source = C.into()),
        moved("another destination", |m| m.destination = B.into()),
        moved("another topic", |m| m.topic = b"Command".to_vec()),
        moved("another time", |m| m.sent_at += 1),
        moved("another end", |m| m.expiration += 1),
        moved("another number", |m| m.sequence += 1),
        moved("another salt", |m| m.salt[0] ^= 1),
        moved("another ticket", |m| m.under[40] ^= 1),
        moved("another body", |m| m.body = b"reboat".to_vec()),
        moved("sealed told as signed", |m| m.flags = 3),
        bad("a message without a proof", &written(&with(|m| m.flags = 0), b""), "malformed"),
        bad("a detached body of a signed message", &written(&with(|m| m.flags = 7), b""), "malformed"),
        bad("a flag that is not known", &written(&with(|m| m.flags = 0x82), b""), "malformed"),
        bad("a source that is no name", &by(&with(|m| m.source = b"cma".to_vec()), A, &voucher), "malformed"),
        bad("a head of another version", &by(&with(|m| m.magic = *b"KCL2"), A, &voucher), "malformed"),
        bad(
            "a head that goes on",
            &kept(&[&head[..], &[0]].concat(), &proof(&said(), A, &voucher), b"reboot", b""),
            "malformed",
        ),
        bad(
            "a head that is cut",
            &kept(&head[..head.len() - 1], &proof(&said(), A, &voucher), b"reboot", b""),
            "malformed",
        ),
        bad("another version", &patched(0, b"KCE2"), "malformed"),
        bad("empty", b"", "malformed"),
        cut(4),
        cut(8),
        cut(8 + head.len()),
        cut(8 + head.len() + 2 + voucher.len()),
        cut(honest.len() - 1),
        bad("a byte too many", &[&honest[..], &[0]].concat(), "malformed"),
        bad("a head of 4 GiB", &patched(4, &[0xff; 4]), "malformed"),
        bad("a body of 4 GiB", &patched(honest.len() - 10, &[0xff; 4]), "malformed"),
        bad("a voucher longer than any", &patched(8 + head.len(), &[0xff; 2]), "malformed"),
        bad("the body that travelled apart is not there", &written(&apart, b""), "body"),
        bad("another body", &written(&apart, &common(&content, b"for none of you")), "body"),
        bad("a changed body", &written(&apart, &flipped(&body, -1)), "body"),
        bad("a body and a byte", &written(&apart, &[&body[..], &[0]].concat()), "body"),
        bad(
            "a part of 63 bytes",
            &{
                let message = with(|m| (m.flags, m.body) = (6, part(&content, &body)[1..].to_vec()));
                written(&message, &body)
            },
            "malformed",
        ),
        bad("told to be whole, with a body apart", &written(&said(), &body), "malformed"),
    ]
}
