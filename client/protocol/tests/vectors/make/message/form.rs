//! §8: what is looked at first: form, names, the end of the ticket.

use super::*;

pub(super) fn form() -> Vec<MessageCase> {
    let honest = honest().write();
    let wrong = |case: &str, code: &str, change: fn(&mut Message)| refuses(case, &with(change).write(), code);
    let filled = |case: &str, up_to, code: &str| {
        let step = MessageStep { zeros_up_to: Some(up_to), ..bad(&honest, code) };
        steps(case, receiver(), [step])
    };
    vec![
        accepts("sealed", &with(|_| {})),
        accepts("signed", &with(|m| m.flags = 1)),
        accepts("sealed, with an empty body", &with(|m| m.body.clear())),
        accepts("signed, with an empty body", &with(|m| (m.flags, m.body) = (1, Vec::new()))),
        accepts("no topic", &with(|m| m.topic.clear())),
        accepts("the longest topic", &with(|m| m.topic = vec![b't'; 255])),
        accepts("a topic in another alphabet", &with(|m| m.topic = "температура/°C".into())),
        refuses("empty", b"", "truncated"),
        refuses("three bytes", b"KCL", "truncated"),
        wrong("another version", "magic", |m| m.magic = *b"KCL2"),
        refuses("not a message at all", b"GET / HTTP/1.1\r\n\r\n", "magic"),
        wrong("kind 0", "kind", |m| m.kind = 0),
        wrong("kind 3", "kind", |m| m.kind = 3),
        wrong("the lowest flag that is not known", "flags", |m| m.flags = 8),
        wrong("signed, with a body apart", "flags", |m| m.flags = 5),
        wrong("signed, with author proof and a body apart", "flags", |m| m.flags = 7),
        wrong("the highest flag", "flags", |m| m.flags = 0x80),
        refuses("ends before the names", &honest[..46], "truncated"),
        refuses("ends in the source", &honest[..50], "truncated"),
        refuses("ends in the ticket", &honest[..honest.len() - 30], "truncated"),
        refuses("sealed, and shorter than a tag", &honest[..honest.len() - 14], "truncated"),
        refuses(
            "signed, and shorter than a tag",
            &{
                let message = with(|m| (m.flags, m.body) = (1, Vec::new())).write();
                message[..message.len() - 1].to_vec()
            },
            "truncated",
        ),
        refuses(
            "a length that says more than there is",
            &{
                let mut message = honest.clone();
                message[46] = 255;
                message
            },
            "truncated",
        ),
        wrong("a line break in the topic", "topic", |m| m.topic = b"a\nb".to_vec()),
        wrong("a zero byte in the topic", "topic", |m| m.topic = b"a\0b".to_vec()),
        wrong("DEL in the topic", "topic", |m| m.topic = b"a\x7fb".to_vec()),
        wrong("U+0085, a control character of two bytes, in the topic", "topic", |m| {
            m.topic = "a\u{85}b".into()
        }),
        wrong("the topic is not UTF-8", "topic", |m| m.topic = b"a\xffb".to_vec()),
        refuses("a byte after the end", &[&honest[..], &[0]].concat(), "forged"),
        filled("zeros after the end, up to the longest message there is", 1 << 24, "forged"),
        filled("one byte longer than the longest message", (1 << 24) + 1, "too-long"),
    ]
}

pub(super) fn address() -> Vec<MessageCase> {
    let wrong = |case: &str, code: &str, change: fn(&mut Message)| refuses(case, &with(change).write(), code);
    let longest = format!("{}@{}", "x".repeat(190), "z".repeat(63));
    vec![
        accepts("from one party to another", &with(|_| {})),
        accepts("from the longest name there is", &with(|m| m.source = longest.into())),
        wrong("for another party", "not-for-me", |m| m.destination = C.into()),
        wrong("for the same name in other letters", "not-for-me", |m| {
            m.destination = b"Nanoprobe.web1@cell.example".to_vec()
        }),
        wrong("for the same local name in another zone", "not-for-me", |m| {
            m.destination = b"nanoprobe.web1@other.example".to_vec()
        }),
        wrong("from the receiver itself", "reflected", |m| m.source = B.into()),
        wrong("from another party to itself", "reflected", |m| {
            (m.source, m.destination) = (C.into(), C.into())
        }),
        wrong("the source is no name", "name", |m| m.source = b"cma".to_vec()),
        wrong("the source is empty", "name", |m| m.source.clear()),
        wrong("the source has a zero byte", "name", |m| m.source = b"cma\0@cell.example".to_vec()),
        wrong("the source is not UTF-8", "name", |m| m.source = b"\xff@cell.example".to_vec()),
        wrong("the destination is no name", "name", |m| m.destination = b"nanoprobe.web1".to_vec()),
        wrong("the destination is empty", "name", |m| m.destination.clear()),
    ]
}

pub(super) fn lifetime() -> Vec<MessageCase> {
    let ends = |end: u64| with(|m| m.expiration = end);
    let now = NOW / 1000;
    vec![
        accepts("one second left", &ends(now + 1)),
        refuses("over in this very second", &ends(now).write(), "expired"),
        refuses("over for long", &ends(now - 86_400).write(), "expired"),
        refuses("it never lived", &ends(0).write(), "expired"),
        steps(
            "until the last millisecond",
            receiver(),
            [
                at(END * 1000 - 1, good(&with(|m| m.sent_at = END * 1000 - 1))),
                at(
                    END * 1000,
                    bad(&with(|m| (m.sent_at, m.sequence) = (END * 1000 - 1, 1)).write(), "expired"),
                ),
            ],
        ),
        accepts("as long as any ticket, by a clock that is 5 seconds ahead", &ends(now + 86_405)),
        refuses("a second longer than any ticket", &ends(now + 86_406).write(), "expires-too-late"),
        refuses("for ever", &ends(u64::MAX).write(), "expires-too-late"),
        steps(
            "a receiver that takes short tickets only",
            Receiver { max_lifetime: 894, ..receiver() },
            [bad(&honest().write(), "expires-too-late"), at(NOW + 1000, good(&honest()))],
        ),
        steps(
            "a known sender's ticket ends too",
            receiver(),
            [
                good(&honest()),
                at(END * 1000, bad(&with(|m| (m.sequence, m.sent_at) = (1, END * 1000)).write(), "expired")),
            ],
        ),
    ]
}
