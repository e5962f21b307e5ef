//! §8: the ticket, the key that it gives, and what the tag covers.

use super::*;

pub(super) fn ticket() -> Vec<MessageCase> {
    let under = |key: &crate::format::Key| {
        let ticket = raw::ticket(1, key, &bytes("nonce of a ticket"), &rkey());
        with(|m| m.under = ticket)
    };
    let old = Receiver { keys: vec![key(B, 1, EPOCH - 1), key(B, 2, EPOCH - 1)], ..receiver() };
    let asleep = Receiver { keys: vec![key(B, 1, EPOCH - 1)], ..receiver() };
    let later = NOW + 1000 * 86_400_000;
    let wrong = |case: &str, code: &str, at: usize, byte: u8| {
        let mut ticket = ticket_for_b();
        ticket[at] = byte;
        refuses(case, &with(|m| m.under = ticket).write(), code)
    };
    vec![
        accepts("the epoch of now", &under(&key(B, 1, EPOCH))),
        accepts("the epoch before", &under(&key(B, 1, EPOCH - 1))),
        accepts("the epoch after", &under(&key(B, 1, EPOCH + 1))),
        refuses("two epochs ahead", &under(&key(B, 1, EPOCH + 2)).write(), "no-key"),
        steps(
            "two epochs behind",
            Receiver { started: NOW + 86_400_000 - 60_000, ..receiver() },
            [at(
                NOW + 86_400_000,
                bad(
                    &{
                        let end = END + 86_400;
                        let ticket =
                            raw::ticket(1, &key(B, 1, EPOCH - 1), &bytes("nonce of a ticket"), &rkey());
                        with(|m| (m.expiration, m.sent_at, m.under) = (end, NOW + 86_400_000, ticket)).write()
                    },
                    "no-key",
                ),
            )],
        ),
        steps(
            "a receiver that slept for a thousand epochs",
            Receiver { started: later - 60_000, ..asleep },
            [at(
                later,
                good(&{
                    let ticket =
                        raw::ticket(1, &key(B, 1, EPOCH + 1000), &bytes("nonce of a ticket"), &rkey());
                    with(|m| (m.expiration, m.sent_at, m.under) = (later / 1000 + 900, later, ticket))
                }),
            )],
        ),
        steps(
            "the epoch before, although the one after was seen",
            receiver(),
            [good(&under(&key(B, 1, EPOCH + 1))), {
                let ticket = raw::ticket(1, &key(B, 1, EPOCH - 1), &bytes("nonce of ticket 1"), &rkey());
                good(&with(|m| m.under = ticket))
            }],
        ),
        steps(
            "the epoch before that of the receiver's key",
            Receiver { keys: vec![key(B, 1, EPOCH)], ..receiver() },
            [bad(&under(&key(B, 1, EPOCH - 1)).write(), "no-key"), good(&honest())],
        ),
        steps("an older generation that is still held", old.clone(), [good(&under(&key(B, 1, EPOCH)))]),
        steps("a newer generation", old, [good(&under(&key(B, 2, EPOCH)))]),
        refuses("a generation that is not held", &under(&key(B, 2, EPOCH)).write(), "no-key"),
        wrong("another version", "ticket", 0, 2),
        wrong("a ticket of no kind", "ticket", 1, 3),
        wrong("a group's ticket for a party", "ticket-kind", 1, 2),
        refuses("sealed for another party", &under(&key(C, 1, EPOCH)).write(), "ticket-forged"),
        refuses("a changed byte", &with(|m| m.under = flipped(&ticket_for_b(), -1)).write(), "ticket-forged"),
        refuses(
            "of one epoch and labelled as of another",
            &{
                let mut ticket = ticket_for_b();
                ticket[2..10]
                    .copy_from_slice(&raw::ticket(1, &key(B, 1, EPOCH + 1), &[0; 24], &rkey())[2..10]);
                with(|m| m.under = ticket).write()
            },
            "ticket-forged",
        ),
    ]
}

pub(super) fn tag() -> Vec<MessageCase> {
    let sealed = honest().write();
    let signed = with(|m| m.flags = 1).write();
    let sek = |from: &str, to: &str| raw::sek(&rkey(), from.as_bytes(), to.as_bytes(), END);
    // Sealed as one message, sent with another one's header.
    let headed = |change: fn(&mut Message)| {
        let header = with(change).header();
        [&header[..], &sealed[honest().header().len()..]].concat()
    };
    let other = |case: &str, change: fn(&mut Message)| refuses(case, &headed(change), "forged");
    let another_ticket =
        raw::ticket(1, &key(B, 1, EPOCH), &bytes("nonce of ticket 1"), &bytes::<32>("second rkey"));
    let swapped = {
        let header = with(|m| m.under = another_ticket.clone()).header();
        [&header[..], &sealed[header.len()..]].concat()
    };
    let exchanged = |from: &[u8]| {
        let mut sek = [0; 64];
        sek.copy_from_slice(from);
        sek.rotate_left(32);
        sek
    };
    vec![
        accepts("sealed", &honest()),
        accepts("signed", &with(|m| m.flags = 1)),
        refuses(
            "sealed: the first byte of the body",
            &flipped(&sealed, honest().header().len() as isize),
            "forged",
        ),
        refuses("sealed: the last byte of the tag", &flipped(&sealed, -1), "forged"),
        refuses("signed: the last byte of the body", &flipped(&signed, -33), "forged"),
        refuses("signed: the last byte of the tag", &flipped(&signed, -1), "forged"),
        refuses(
            "sealed, passed off as signed",
            &headed(|m| (m.flags, m.body) = (1, vec![0; 40])),
            "truncated",
        ),
        refuses("signed, passed off as sealed", &flipped(&signed, 5), "forged"),
        other("another source", |m| m.source = C.into()),
        other("another end", |m| m.expiration += 1),
        other("another time of sending", |m| m.sent_at += 1),
        other("another salt", |m| m.salt[0] ^= 1),
        other("another number", |m| m.sequence = 1),
        other("another topic", |m| m.topic = b"Discover".to_vec()),
        refuses(
            "a byte moved from the topic to the source's end",
            &{
                let mut message = sealed.clone();
                message[46] += 1;
                message
            },
            "truncated",
        ),
        refuses("under another ticket of the same receiver", &swapped, "forged"),
        refuses("written with the key of the way back", &honest().write_under(&sek(B, A)), "forged"),
        refuses(
            "written in another's name with one's own key",
            &with(|m| m.source = C.into()).write_under(&sek(A, B)),
            "forged",
        ),
        refuses("sealed with the signing key", &honest().write_under(&exchanged(&sek(A, B))), "forged"),
        refuses(
            "the end bound is not the end told",
            &{ honest().write_under(&raw::sek(&rkey(), A.as_bytes(), B.as_bytes(), END + 900)) },
            "forged",
        ),
        steps(
            "another end, of a known sender",
            receiver(),
            [good(&honest()), bad(&headed(|m| m.expiration += 1), "forged")],
        ),
        steps(
            "another source, of a known sender",
            receiver(),
            [good(&honest()), bad(&headed(|m| m.source = C.into()), "forged")],
        ),
    ]
}
