//! §8: whole messages, opened by a receiver with keys, a clock and a memory.

mod apart;
mod author;
mod form;
mod group;
mod keys;
mod memory;

use super::{file, flipped, rejected};
use crate::format::{Expect, Granted, MessageCase, MessageStep, Opened, Receiver};
use crate::raw::{self, A, B, C, EPOCH, Message, NOW, bytes, key};

pub(super) fn files() -> Vec<(String, String)> {
    let file =
        |name: &str, about: &str, cases| file(&format!("message/{name}.json"), "message", about, cases);
    vec![
        file("form", "The bytes of a message, before anything is believed.", form::form()),
        file("address", "Who may have written it, and for whom.", form::address()),
        file("lifetime", "The end of the ticket.", form::lifetime()),
        file("ticket", "The ticket and the key that seals it.", keys::ticket()),
        file("tag", "What the tag covers: everything.", keys::tag()),
        file("time", "When it was sent.", memory::time()),
        file("replay", "What was opened before, and what is remembered of it.", memory::replay()),
        file("reply", "Replies, under a ticket of the receiver's own.", memory::reply()),
        file("group", "Messages to a group of the receiver's.", group::groups()),
        file("author", "Messages that prove their author.", author::authors()),
        file("apart", "Messages whose body travels apart.", apart::apart()),
    ]
}

const END: u64 = NOW / 1000 + 900;

/// The receiver of all messages but the replies.
fn receiver() -> Receiver {
    Receiver {
        name: B.to_owned(),
        ratchet_period: 86_400,
        keys: vec![key(B, 1, EPOCH - 1)],
        started: NOW - 60_000,
        restart_guard: "start".to_owned(),
        max_lifetime: 86_400,
        max_ahead_ms: 5_000,
        max_age_ms: None,
        max_senders: 65_536,
        max_senders_per_source: 256,
        granted: Vec::new(),
        groups: Vec::new(),
        signers: Vec::new(),
    }
}

fn rkey() -> [u8; 32] {
    bytes("rkey")
}

fn ticket_for_b() -> Vec<u8> {
    raw::ticket(1, &key(B, 1, EPOCH), &bytes("nonce of a ticket"), &rkey())
}

/// What A sends to B when nothing is wrong.
fn honest() -> Message {
    Message {
        magic: *b"KCL1",
        kind: 1,
        flags: 0,
        expiration: END,
        sent_at: NOW - 20,
        salt: bytes("salt"),
        sequence: 0,
        source: A.into(),
        destination: B.into(),
        topic: b"discover".to_vec(),
        under: ticket_for_b(),
        body: b"what are you?".to_vec(),
        rkey: rkey(),
    }
}

fn with(change: impl FnOnce(&mut Message)) -> Message {
    let mut message = honest();
    change(&mut message);
    message
}

/// What is accepted is what the message's fields say.
fn opened(message: &Message) -> Opened {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    Opened {
        source: text(&message.source),
        topic: text(&message.topic),
        body: (&message.body).into(),
        sent_at: message.sent_at,
        expiration: message.expiration,
        mode: if message.flags & 1 == 0 { "sealed" } else { "signed" }.to_owned(),
        reply: message.kind == 2,
        group: None,
        voucher: None,
    }
}

fn good(message: &Message) -> MessageStep {
    step(&message.write(), Expect::Accepted(opened(message)))
}

fn bad(message: &[u8], code: &str) -> MessageStep {
    step(message, rejected(code))
}

fn step(message: &[u8], expect: Expect<Opened>) -> MessageStep {
    MessageStep { now: NOW, message: message.into(), zeros_up_to: None, common: None, expect }
}

fn at(now: u64, step: MessageStep) -> MessageStep {
    MessageStep { now, ..step }
}

fn steps<const N: usize>(case: &str, receiver: Receiver, steps: [MessageStep; N]) -> MessageCase {
    MessageCase { case: case.to_owned(), receiver, steps: steps.into() }
}

fn accepts(case: &str, message: &Message) -> MessageCase {
    steps(case, receiver(), [good(message)])
}

/// What is refused leaves no trace: the honest message opens after it.
fn refuses(case: &str, message: &[u8], code: &str) -> MessageCase {
    steps(case, receiver(), [bad(message, code), good(&honest())])
}
