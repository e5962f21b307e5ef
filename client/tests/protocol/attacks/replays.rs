//! What was said before, said again: with clocks that are wrong, and after a restart.

use keycell_client::{AgentConfig, RestartGuard};
use keycell_protocol::{Cause, UnixMillis};

use crate::cell::{Cell, LIFETIME, START, Words};

#[test]
fn denning_sacco_an_old_ticket_and_its_key_replayed() {
    let mut cell = Cell::new();
    let (mut b, mut started_later) = (cell.agent("b"), cell.agent("b"));
    // A thief has everything that the sender had: ticket and both keys.
    let stolen = cell.grant("a", "b");
    cell.pass(LIFETIME * 1000);
    let words = Words::honest(cell.now, "a", &stolen);
    let message = cell.forge(&words, stolen.sek.clone());
    assert_eq!(cell.refused(&mut b, &message), Cause::Expired);
    let renewed = Words { expiration: cell.now.seconds().plus(LIFETIME), ..words };
    let message = cell.forge(&renewed, stolen.sek.clone());
    assert_eq!(cell.refused(&mut b, &message), Cause::Forged);
    assert_eq!(cell.refused(&mut started_later, &message), Cause::Forged);
}

#[test]
fn clocks_off_both_ways() {
    let mut cell = Cell::new();
    let mut b = cell.agent("b");
    let grant = cell.grant("a", "b");
    let sent = |ms: u64| Words { sent_at: UnixMillis(ms), ..Words::honest(START, "a", &grant) };
    for (sent_at, cause) in [
        (START.0 + 5_001, Some(Cause::FromTheFuture { ahead_ms: 5_001 })),
        (u64::MAX, Some(Cause::FromTheFuture { ahead_ms: u64::MAX - START.0 })),
        (START.0 + 5_000, None),
        (START.0 - 60_000, None),
        (0, None),
    ] {
        let message = cell.forge(&sent(sent_at), grant.sek.clone());
        assert_eq!(cell.open(&mut b, &message).err(), cause);
    }
    let mut strict = AgentConfig::default();
    strict.opener.restart_guard = RestartGuard::FirstUse;
    strict.opener.max_age_ms = Some(1_000);
    let mut strict = cell.process("b", &strict, 0);
    let message = cell.forge(&sent(START.0 - 1_000), grant.sek.clone());
    assert!(cell.open(&mut strict, &message).is_ok());
    let message = cell.forge(&sent(START.0 - 1_001), grant.sek.clone());
    assert_eq!(cell.refused(&mut strict, &message), Cause::TooOld { age_ms: 1_001 });
}

#[test]
fn replay_across_a_restart_of_the_receiver() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    let mut before = cell.agent("b");
    // The worst there is: the sender's clock is as far ahead as the receiver bears.
    let grant = cell.grant("x", "b");
    let ahead = Words { sent_at: cell.now.plus(5_000), ..Words::honest(START, "x", &grant) };
    let recorded = [cell.seal(&mut a, "b", "", b"pay"), cell.forge(&ahead, grant.sek.clone())];
    for message in &recorded {
        assert!(cell.open(&mut before, message).is_ok());
    }
    drop(before);
    let mut after = cell.process("b", &AgentConfig::default(), 0);
    for _ in 0..100 {
        for message in &recorded {
            assert!(matches!(cell.refused(&mut after, message), Cause::BeforeStart));
        }
        cell.pass(100);
    }
    // What is sent later opens, and the wait is not longer than promised.
    assert_eq!(cell.now, START.plus(10_000));
    let message = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut after, &message).is_ok());
    let mut config = AgentConfig::default();
    config.opener.restart_guard = RestartGuard::Until(START);
    let mut informed = cell.process("b", &config, 0);
    let message = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut informed, &message).is_ok(), "who knows the end of the last process is not deaf");
    assert_eq!(cell.refused(&mut informed, &recorded[1]), Cause::BeforeStart);
}

#[test]
fn a_reply_replayed_to_a_restarted_asker() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "", b"");
    let opened = cell.open(&mut b, &message).unwrap();
    let reply = b.reply(cell.now, &opened, b"").unwrap();
    assert!(cell.open(&mut a, &reply).is_ok());
    let mut after = cell.agent("a");
    cell.seal(&mut after, "b", "", b"");
    assert_eq!(cell.refused(&mut after, &reply), Cause::UnknownTicket);
}

#[test]
fn no_nonce_is_used_twice_by_a_restarted_sender_or_replier() {
    let mut cell = Cell::new();
    let mut a = cell.agent("a");
    cell.key("b");
    let mut nonces = std::collections::HashSet::new();
    let asked = cell.seal(&mut a, "b", "", b"");
    for _ in 0..20 {
        let (mut sender, mut replier) = (cell.agent("a"), cell.agent("b"));
        let opened = cell.open(&mut replier, &asked).unwrap();
        for _ in 0..20 {
            let message = cell.seal(&mut sender, "b", "", b"");
            let reply = replier.reply(cell.now, &opened, b"").unwrap();
            for bytes in [&message, &reply] {
                assert!(nonces.insert(<[u8; 24]>::try_from(&bytes[22..46]).unwrap()));
            }
        }
    }
    assert_eq!(nonces.len(), 800);
}

#[test]
fn a_clock_set_back_opens_nothing_twice() {
    let mut cell = Cell::new();
    let (mut a, mut x, mut b) = (cell.agent("a"), cell.agent("x"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "", b"");
    assert!(cell.open(&mut b, &message).is_ok());
    // The stream is over and swept; then the clock is set back to when it was not.
    cell.pass(2 * LIFETIME * 1000);
    assert!(b.wants(cell.now).is_none());
    assert_eq!(b.stats().streams, 0);
    cell.now = START;
    assert_eq!(cell.refused(&mut b, &message), Cause::Expired);
    // Tickets that end later are not touched by that.
    cell.pass(1_000);
    let message = cell.seal(&mut x, "b", "", b"");
    assert!(cell.open(&mut b, &message).is_ok());
}
