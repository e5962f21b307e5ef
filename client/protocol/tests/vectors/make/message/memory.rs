//! §8: what is looked at last: when it was sent, and what was seen before.

use super::*;

pub(super) fn time() -> Vec<MessageCase> {
    let sent = |at: u64| with(|m| m.sent_at = at);
    let start = receiver().started;
    let guard = |guard: &str, age: Option<u64>| Receiver {
        restart_guard: guard.to_owned(),
        max_age_ms: age,
        ..receiver()
    };
    let until = format!("until {}", NOW - 30_000);
    vec![
        accepts("5 seconds ahead", &sent(NOW + 5_000)),
        refuses("more than 5 seconds ahead", &sent(NOW + 5_001).write(), "from-the-future"),
        refuses("from the end of time", &sent(u64::MAX).write(), "from-the-future"),
        steps(
            "what was too early may come again",
            receiver(),
            [
                bad(&sent(NOW + 5_001).write(), "from-the-future"),
                at(NOW + 1, good(&sent(NOW + 5_001))),
                at(NOW + 2, bad(&sent(NOW + 5_001).write(), "replayed")),
            ],
        ),
        steps(
            "a stricter receiver",
            Receiver { max_ahead_ms: 0, ..receiver() },
            [bad(&sent(NOW + 1).write(), "from-the-future"), good(&sent(NOW))],
        ),
        accepts("sent 5,001 ms after the receiver started", &sent(start + 5_001)),
        refuses("sent 5,000 ms after the receiver started", &sent(start + 5_000).write(), "before-start"),
        refuses("sent before the receiver started", &sent(start - 1).write(), "before-start"),
        refuses("sent in 1970", &sent(0).write(), "before-start"),
        steps("the first process that uses the key", guard("first-use", None), [good(&sent(start - 1))]),
        steps("a reader of stored messages", guard("off", None), [good(&sent(0))]),
        steps(
            "5,001 ms after the end of the process before",
            guard(&until, None),
            [good(&sent(NOW - 24_999))],
        ),
        steps(
            "5,000 ms after the end of the process before",
            guard(&until, None),
            [bad(&sent(NOW - 25_000).write(), "before-start")],
        ),
        steps(
            "as old as its ticket allows",
            guard("first-use", None),
            [at(END * 1000 - 1, good(&sent(NOW)))],
        ),
        steps(
            "as old as the receiver accepts",
            guard("first-use", Some(10_000)),
            [good(&sent(NOW - 10_000))],
        ),
        steps(
            "older than the receiver accepts",
            guard("first-use", Some(10_000)),
            [bad(&sent(NOW - 10_001).write(), "too-old"), good(&honest())],
        ),
    ]
}

pub(super) fn replay() -> Vec<MessageCase> {
    let number = |n: u64| with(|m| m.sequence = n);
    let salted = |name: &str, n: u64| with(|m| (m.salt, m.sequence) = (bytes(name), n));
    let replayed = |message: &Message| bad(&message.write(), "replayed");
    let two = |source: &str| {
        let source = source.as_bytes().to_vec();
        with(|m| (m.salt, m.source) = (bytes("another salt"), source))
    };
    let later = |message: Message| Message {
        expiration: END + 900,
        sent_at: END * 1000,
        salt: bytes("a third salt"),
        ..message
    };
    vec![
        steps(
            "twice",
            receiver(),
            [good(&number(0)), replayed(&number(0)), good(&number(1)), replayed(&number(0))],
        ),
        steps(
            "in any order",
            receiver(),
            [good(&number(2)), good(&number(0)), good(&number(1)), replayed(&number(2))],
        ),
        steps(
            "the same number in another message",
            receiver(),
            [
                good(&number(0)),
                bad(&with(|m| m.body = b"something else".to_vec()).write(), "replayed"),
                bad(&with(|m| m.flags = 1).write(), "replayed"),
            ],
        ),
        steps(
            "the edge of the window",
            receiver(),
            [
                good(&number(1_024)),
                bad(&number(0).write(), "out-of-window"),
                good(&number(1)),
                replayed(&number(1)),
            ],
        ),
        steps(
            "a forged number moves nothing",
            receiver(),
            [good(&number(0)), bad(&flipped(&number(1 << 40).write(), -1), "forged"), good(&number(1))],
        ),
        steps(
            "the last number is never used",
            receiver(),
            [bad(&number(u64::MAX).write(), "out-of-window"), good(&number(u64::MAX - 1))],
        ),
        steps(
            "each sealer has its own numbers",
            receiver(),
            [
                good(&number(0)),
                good(&salted("another salt", 0)),
                replayed(&number(0)),
                replayed(&salted("another salt", 0)),
            ],
        ),
        steps(
            "no room for another sender",
            Receiver { max_senders: 3, ..receiver() },
            [
                good(&number(0)),
                good(&salted("a fourth salt", 0)),
                good(&salted("a fifth salt", 0)),
                bad(&two(A).write(), "too-many-senders"),
                good(&number(1)),
                replayed(&number(0)),
                at(END * 1000, good(&later(two(A)))),
            ],
        ),
        steps(
            "no room for another sender of that name",
            Receiver { max_senders_per_source: 1, ..receiver() },
            [good(&number(0)), bad(&two(A).write(), "too-many-senders"), good(&two(C)), replayed(&number(0))],
        ),
        steps(
            "a clock set back opens nothing again",
            receiver(),
            [
                good(&number(0)),
                at(
                    (END + 60) * 1000,
                    good(&Message { sent_at: (END + 60) * 1000, expiration: END + 900, ..number(0) }),
                ),
                bad(&number(0).write(), "expired"),
                bad(&number(1).write(), "expired"),
            ],
        ),
    ]
}

pub(super) fn reply() -> Vec<MessageCase> {
    let granted: Granted = raw::grant(A, B, &rkey(), END);
    let id = raw::ticket_id(&ticket_for_b()).0;
    let receiver = || Receiver {
        name: A.to_owned(),
        keys: vec![key(A, 1, EPOCH - 1)],
        granted: vec![granted.clone()],
        ..receiver()
    };
    let answer = |change: fn(&mut Message)| {
        let mut answer = with(|m| {
            (m.kind, m.source, m.destination) = (2, B.into(), A.into());
            (m.under, m.body) = (id.clone(), b"a web server".to_vec());
        });
        change(&mut answer);
        answer
    };
    let accepts = |case: &str, message: &Message| steps(case, receiver(), [good(message)]);
    let refuses = |case: &str, message: &[u8], code: &str| {
        steps(case, receiver(), [bad(message, code), good(&answer(|_| {}))])
    };
    let wrong =
        |case: &str, code: &str, change: fn(&mut Message)| refuses(case, &answer(change).write(), code);
    vec![
        accepts("sealed", &answer(|_| {})),
        accepts("signed", &answer(|m| m.flags = 1)),
        accepts(
            "sent as the receiver started, under a ticket of its own",
            &answer(|m| m.sent_at = NOW - 60_000),
        ),
        steps("twice", receiver(), [good(&answer(|_| {})), bad(&answer(|_| {}).write(), "replayed")]),
        wrong("under a ticket that is not held", "unknown-ticket", |m| {
            m.under = bytes::<16>("a ticket").to_vec()
        }),
        steps(
            "nothing was ever asked",
            Receiver { granted: Vec::new(), ..receiver() },
            [bad(&answer(|_| {}).write(), "unknown-ticket")],
        ),
        wrong("from another party than the ticket is for", "forged", |m| m.source = C.into()),
        wrong("with another end than the ticket's", "forged", |m| m.expiration += 1),
        refuses("the message itself, sent back", &honest().write(), "not-for-me"),
        refuses(
            "the way there passed off as the way back",
            &{ answer(|_| {}).write_under(&raw::sek(&rkey(), A.as_bytes(), B.as_bytes(), END)) },
            "forged",
        ),
        refuses("a changed byte", &flipped(&answer(|_| {}).write(), -1), "forged"),
        wrong("over", "expired", |m| m.expiration = NOW / 1000),
        wrong("for another party", "not-for-me", |m| m.destination = C.into()),
        wrong("from the receiver itself", "reflected", |m| m.source = A.into()),
        wrong("ahead of time", "from-the-future", |m| m.sent_at = NOW + 5_001),
        refuses(
            "ends in the ticket's id",
            &answer(|_| {}).header()[..answer(|_| {}).header().len() - 1],
            "truncated",
        ),
    ]
}
