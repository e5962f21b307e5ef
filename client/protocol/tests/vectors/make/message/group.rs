//! §8 and §11: messages to groups.

use super::*;
use crate::format::{Key, Member};
use crate::raw::group::{G, GENERATION, H, held, key as group_key, ticket};

/// A member of two groups, of one of which it knows little.
pub(super) fn member() -> Receiver {
    let of = |group: &str, author_proof, generations: &[u32]| Member {
        group: group.to_owned(),
        author_proof,
        keys: generations.iter().map(|generation| held(group, *generation)).collect(),
    };
    let groups =
        vec![of(G, false, &[GENERATION - 1, GENERATION, GENERATION + 1]), of(H, true, &[GENERATION])];
    Receiver { groups, ..receiver() }
}

/// What A sends to the group when nothing is wrong.
pub(super) fn to_group() -> Message {
    with(|m| {
        (m.destination, m.under) = (G.into(), ticket(G, GENERATION, &m.rkey));
        m.expiration = NOW / 1000 + 300;
    })
}

pub(super) fn good(message: &Message) -> MessageStep {
    let group = String::from_utf8(message.destination.clone()).unwrap();
    step(&message.write(), Expect::Accepted(Opened { group: Some(group), ..opened(message) }))
}

pub(super) fn groups() -> Vec<MessageCase> {
    let with = |change: fn(&mut Message)| {
        let mut message = to_group();
        change(&mut message);
        message
    };
    let accepts = |case: &str, message: &Message| steps(case, member(), [good(message)]);
    let refuses = |case: &str, message: &[u8], code: &str| {
        steps(case, member(), [bad(message, code), good(&to_group())])
    };
    let wrong = |case: &str, code: &str, change: fn(&mut Message)| refuses(case, &with(change).write(), code);
    let under = |generation: u32, to_end: u64| {
        let mut message = to_group();
        message.under = ticket(G, generation, &message.rkey);
        message.expiration = held(G, generation).ends - to_end;
        message
    };
    let epoch = {
        let key = Key { epoch: 1, ..group_key(G, GENERATION) };
        let mut message = to_group();
        message.under = raw::ticket(2, &key, &bytes("nonce of a ticket"), &message.rkey);
        message
    };
    let twice = |first: &[u8], second: &[u8]| {
        let [first, second] = [first, second].map(|source| {
            let mut message = to_group();
            message.source = source.to_vec();
            message
        });
        [good(&first), good(&second), bad(&first.write(), "replayed"), bad(&second.write(), "replayed")]
    };
    let mut moved = receiver();
    moved.groups = member().groups.into_iter().filter(|member| member.group != G).collect();
    vec![
        accepts("sealed", &to_group()),
        accepts("signed", &with(|m| m.flags = 1)),
        accepts("from another member", &with(|m| m.source = C.into())),
        accepts("under the key before, to its end", &under(GENERATION - 1, 0)),
        accepts("under the key in use, to its end", &under(GENERATION, 0)),
        accepts("under the next key, by a clock that is ahead", &under(GENERATION + 1, 0)),
        steps(
            "a message to the party itself, in between",
            member(),
            [good(&to_group()), super::good(&honest()), good(&with(|m| m.sequence = 1))],
        ),
        refuses(
            "a second longer than its key",
            &{
                let mut message = under(GENERATION, 0);
                message.expiration += 1;
                message.write()
            },
            "expires-too-late",
        ),
        refuses(
            "a second longer than the key before",
            &{
                let mut message = under(GENERATION - 1, 0);
                message.expiration += 1;
                message.write()
            },
            "expires-too-late",
        ),
        wrong("over", "expired", |m| m.expiration = NOW / 1000),
        refuses(
            "under a key that is over",
            &{
                let mut message = under(GENERATION - 2, 0);
                message.expiration = NOW / 1000 + 1;
                message.write()
            },
            "no-key",
        ),
        refuses("under an epoch of the key", &epoch.write(), "no-key"),
        refuses("under a key that is not known yet", &under(GENERATION + 2, 500).write(), "waiting"),
        steps(
            "to a group that it is no member of",
            moved,
            [bad(&to_group().write(), "not-for-me"), super::good(&honest())],
        ),
        wrong("to a group of that name in another zone", "not-for-me", |m| {
            m.destination = b"nanoprobe@other.example".to_vec()
        }),
        wrong("the receiver's own message, come back", "reflected", |m| m.source = B.into()),
        wrong("from the group to itself", "reflected", |m| m.source = G.into()),
        wrong("from another group of the receiver's", "group-source", |m| m.source = H.into()),
        refuses("from a group to the party", &super::with(|m| m.source = G.into()).write(), "group-source"),
        wrong("under a ticket for a party", "ticket-kind", |m| m.under = ticket_for_b()),
        // All that a member has to know for this, it knows.
        wrong("a group's ticket used to reach the party alone", "ticket-kind", |m| m.destination = B.into()),
        wrong("under a ticket of another group", "ticket-forged", |m| {
            m.under = ticket(H, GENERATION, &m.rkey)
        }),
        refuses(
            "under a ticket of the next key, labelled as of this one",
            &{
                let mut message = under(GENERATION + 1, 500);
                message.under[5] = GENERATION as u8;
                message.write()
            },
            "ticket-forged",
        ),
        refuses(
            "a changed ticket",
            &{
                let mut message = to_group();
                message.under = flipped(&message.under, -1);
                message.write()
            },
            "ticket-forged",
        ),
        wrong("an answer to a group", "unknown-ticket", |m| {
            (m.kind, m.under) = (2, raw::ticket_id(&m.under).0)
        }),
        refuses(
            "written for another group under this one's ticket",
            &to_group().write_under(&raw::sek(&rkey(), A.as_bytes(), H.as_bytes(), NOW / 1000 + 300)),
            "forged",
        ),
        refuses(
            "written in another's name with one's own key",
            &with(|m| m.source = C.into()).write_under(&raw::sek(
                &rkey(),
                A.as_bytes(),
                G.as_bytes(),
                NOW / 1000 + 300,
            )),
            "forged",
        ),
        refuses("a changed byte", &flipped(&to_group().write(), -1), "forged"),
        wrong("ahead of time", "from-the-future", |m| m.sent_at = NOW + 5_001),
        steps("twice", member(), [good(&to_group()), bad(&to_group().write(), "replayed")]),
        steps("another member under the same ticket and salt", member(), twice(A.as_bytes(), C.as_bytes())),
        steps(
            "another member under the same ticket and salt, and first",
            member(),
            twice(C.as_bytes(), A.as_bytes()),
        ),
        steps(
            "what is written to groups leaves room for what is for the party alone",
            Receiver { max_senders: 3, ..member() },
            [
                good(&to_group()),
                bad(&with(|m| m.source = C.into()).write(), "too-many-senders"),
                super::good(&honest()),
                good(&with(|m| m.sequence = 1)),
            ],
        ),
        steps(
            "what is written to a group in a name leaves room for what it writes to the party",
            Receiver { max_senders_per_source: 1, ..member() },
            [
                good(&to_group()),
                bad(&with(|m| m.salt[0] ^= 1).write(), "too-many-senders"),
                super::good(&honest()),
            ],
        ),
        refuses(
            "without a proof, to a group that requires one",
            &{
                let mut message = to_group();
                (message.destination, message.under) = (H.into(), ticket(H, GENERATION, &message.rkey));
                message.write()
            },
            "author-missing",
        ),
    ]
}
