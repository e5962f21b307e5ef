//! What is remembered of senders: its room, and whose it is.

use keycell_client::{AgentConfig, RestartGuard};
use keycell_protocol::{Cause, Envelope, Mode, Under};

use crate::cell::{Cell, LIFETIME, START, Words, name};

#[test]
fn a_full_table_refuses_new_senders_and_forgets_no_old_one() {
    let mut cell = Cell::new();
    let mut config = AgentConfig::default();
    config.opener.restart_guard = RestartGuard::FirstUse;
    config.opener.max_streams = 3;
    let mut b = cell.process("b", &config, 0);
    let messages: Vec<_> = ["a1", "a2", "a3", "a4"]
        .map(|sender| {
            let mut sender = cell.agent(sender);
            cell.seal(&mut sender, "b", "", b"")
        })
        .into();
    for message in &messages[..3] {
        assert!(cell.open(&mut b, message).is_ok());
    }
    assert_eq!(cell.refused(&mut b, &messages[3]), Cause::TooManySenders);
    for message in &messages[..3] {
        assert_eq!(cell.refused(&mut b, message), Cause::Replayed);
    }
    assert_eq!(b.stats().refused["too-many-senders"], 1);
    cell.pass(LIFETIME * 1000);
    let mut late = cell.agent("a5");
    let message = cell.seal(&mut late, "b", "", b"");
    assert!(cell.open(&mut b, &message).is_ok(), "what is over makes room");
    assert_eq!(b.stats().streams, 1);
}

#[test]
fn one_sender_does_not_take_all_the_room() {
    let mut cell = Cell::new();
    let mut config = AgentConfig::default();
    config.opener.restart_guard = RestartGuard::FirstUse;
    config.opener.max_streams_per_source = 4;
    let (mut a, mut b) = (cell.agent("a"), cell.process("b", &config, 0));
    let grant = cell.grant("x", "b");
    for salt in 0..100 {
        let message = cell.forge(&Words::honest(START, "x", &grant), grant.sek.clone());
        let cause = cell.open(&mut b, &message).err();
        assert_eq!(cause, (salt >= 4).then_some(Cause::TooManySenders));
    }
    let message = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut b, &message).is_ok());
}

#[test]
fn a_sender_copying_the_salt_of_another() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let first = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut b, &first).is_ok());
    // x writes under its own ticket and a's salt, with numbers far ahead: a's window must not move.
    let grant = cell.grant("x", "b");
    let envelope = Envelope::parse(&first).unwrap();
    let key = keycell_protocol::StreamKey::new(grant.sek.clone(), keycell_protocol::Salt::of(&envelope));
    let topic = keycell_protocol::Topic::try_from("").unwrap();
    let source = name("x");
    let header = keycell_protocol::Header {
        mode: Mode::Sealed,
        extras: keycell_protocol::Extras::NONE,
        expiration: grant.expiration,
        sent_at: START,
        sequence: 1 << 40,
        source: &source,
        destination: &grant.destination,
        topic,
        under: Under::Ticket(grant.ticket.as_bytes()),
    };
    let copied = key.write(&header, b"");
    assert!(cell.open(&mut b, &copied).is_ok());
    assert_eq!(cell.refused(&mut b, &copied), Cause::Replayed);
    assert_eq!(cell.refused(&mut b, &first), Cause::Replayed);
    let second = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut b, &second).is_ok());
}
