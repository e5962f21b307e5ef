//! The attacks of docs/protocol.md §14 that concern whoever seals and opens, each shown failing.

#[cfg(test)]
mod members;
mod replays;
mod room;

use crate::cell::{Cell, DAY, LIFETIME, START, Words, name};
use keycell_protocol::{Cause, Envelope, Epoch, Generation, LongTermKey, Mode, Under, UnixSeconds};

#[test]
fn every_byte_of_a_message_and_a_reply_flipped() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let sealed = cell.seal(&mut a, "b", "topic", b"body");
    let signed = a.sign(cell.now, &name("b"), "topic", b"body").unwrap();
    let first = cell.seal(&mut a, "b", "", b"");
    let first = cell.open(&mut b, &first).unwrap();
    let reply = b.reply_with_topic(cell.now, &first, "topic", b"body").unwrap();
    // Each both to one who knows the sender and to one who does not.
    let mut fresh = cell.agent("b");
    for message in [&sealed, &signed] {
        for at in 0..message.len() {
            for bit in 0..8 {
                let mut changed = message.clone();
                changed[at] ^= 1 << bit;
                assert!(cell.open(&mut b, &changed).is_err(), "bit {bit} of byte {at}");
                assert!(cell.open(&mut fresh, &changed).is_err(), "bit {bit} of byte {at}");
            }
        }
    }
    for at in 0..reply.len() {
        let mut changed = reply.clone();
        changed[at] ^= 1;
        assert!(cell.open(&mut a, &changed).is_err(), "byte {at}");
    }
    // None of it changed what they remember: the true ones still open, once.
    for message in [&sealed, &signed] {
        for agent in [&mut b, &mut fresh] {
            assert!(cell.open(agent, message).is_ok());
            assert_eq!(cell.refused(agent, message), Cause::Replayed);
        }
    }
    assert!(cell.open(&mut a, &reply).is_ok());
    assert_eq!(cell.refused(&mut a, &reply), Cause::Replayed);
    assert_eq!(fresh.stats().streams, 1);
}

#[test]
fn the_parts_of_two_messages_swapped() {
    let mut cell = Cell::new();
    let (mut a, mut x, mut b) = (cell.agent("a"), cell.agent("x"), cell.agent("b"));
    let of_a = cell.seal(&mut a, "b", "t", b"body");
    let next_of_a = cell.seal(&mut a, "b", "t", b"ydob");
    let of_x = cell.seal(&mut x, "b", "t", b"body");
    let mut again = cell.agent("a");
    let of_another_process = cell.seal(&mut again, "b", "t", b"body");
    // Expiration, sent_at, salt, sequence, source, destination, topic, ticket, body, tag.
    let ends = [6, 14, 22, 38, 46, 50, 54, 56, 138, 142, 158];
    assert_eq!(of_a.len(), 158);
    for other in [&next_of_a, &of_x, &of_another_process] {
        for range in ends.windows(2) {
            let mut mixed = of_a.clone();
            mixed[range[0]..range[1]].copy_from_slice(&other[range[0]..range[1]]);
            if mixed != of_a && mixed != **other {
                assert!(cell.open(&mut b, &mixed).is_err(), "bytes {range:?}");
            }
        }
        for end in ends {
            let mixed = [&of_a[..end], &other[end..]].concat();
            if mixed != of_a && mixed != **other {
                assert!(cell.open(&mut b, &mixed).is_err(), "from byte {end}");
            }
        }
    }
    assert!(cell.open(&mut b, &of_a).is_ok());
}

#[test]
fn names_or_expiry_changed_by_the_holder_of_the_ticket() {
    let mut cell = Cell::new();
    let mut b = cell.agent("b");
    cell.key("c");
    let grant = cell.grant("x", "b");
    let honest = || Words::honest(START, "x", &grant);
    let later = grant.expiration.plus(3_600);
    for (words, cause) in [
        (Words { source: name("a"), ..honest() }, Cause::Forged),
        (Words { destination: name("c"), ..honest() }, Cause::NotForMe),
        (Words { expiration: later, ..honest() }, Cause::Forged),
        (Words { expiration: UnixSeconds(grant.expiration.0 - 1), ..honest() }, Cause::Forged),
        (Words { expiration: START.seconds().plus(86_406), ..honest() }, Cause::ExpiresTooLate),
        (Words { expiration: UnixSeconds(u64::MAX), ..honest() }, Cause::ExpiresTooLate),
        (Words { source: name("b"), ..honest() }, Cause::Reflected),
    ] {
        for mode in [Mode::Sealed, Mode::Signed] {
            let message = cell.forge(
                &Words {
                    mode,
                    source: words.source.clone(),
                    destination: words.destination.clone(),
                    ..words
                },
                grant.sek.clone(),
            );
            assert_eq!(cell.refused(&mut b, &message), cause);
        }
    }
    let message = cell.forge(&honest(), grant.sek.clone());
    assert!(cell.open(&mut b, &message).is_ok());
}

#[test]
fn the_ticket_of_x_used_for_a() {
    let mut cell = Cell::new();
    let mut b = cell.agent("b");
    let (of_x, of_a) = (cell.grant("x", "b"), cell.grant("a", "b"));
    for (sek, ticket) in [(&of_x.sek, &of_x.ticket), (&of_x.sek, &of_a.ticket)] {
        let words = Words { under: Under::Ticket(ticket.as_bytes()), ..Words::honest(START, "a", &of_a) };
        let message = cell.forge(&words, sek.clone());
        assert_eq!(cell.refused(&mut b, &message), Cause::Forged);
    }
    // Nor does b open what was meant for c.
    let for_c = cell.grant("a", "c");
    let words = Words { destination: name("b"), ..Words::honest(START, "a", &for_c) };
    let message = cell.forge(&words, for_c.sek.clone());
    assert_eq!(cell.refused(&mut b, &message), Cause::TicketForged);
}

#[test]
fn a_sender_using_its_way_back_key_towards_third_parties() {
    let mut cell = Cell::new();
    let (mut b, mut c) = (cell.agent("b"), cell.agent("c"));
    // a holds SEK(b→a) and the ticket for b: it plays b towards c, and towards b itself.
    let grant = cell.grant("a", "b");
    let back = || grant.reply_sek.clone().unwrap();
    let as_b = Words { source: name("b"), destination: name("c"), ..Words::honest(START, "a", &grant) };
    let message = cell.forge(&as_b, back());
    assert_eq!(cell.refused(&mut c, &message), Cause::TicketForged);
    let as_reply = Words { under: Under::Id(grant.ticket.id()), ..as_b };
    let message = cell.forge(&as_reply, back());
    assert_eq!(cell.refused(&mut c, &message), Cause::UnknownTicket);
    for under in [Under::Ticket(grant.ticket.as_bytes()), Under::Id(grant.ticket.id())] {
        let to_b = Words { under, ..Words::honest(START, "a", &grant) };
        let message = cell.forge(&to_b, back());
        assert!(cell.open(&mut b, &message).is_err());
    }
}

#[test]
fn a_third_party_answering_in_place_of_the_destination() {
    let mut cell = Cell::new();
    let (mut a, mut b, mut x) = (cell.agent("a"), cell.agent("b"), cell.agent("x"));
    let to_b = cell.seal(&mut a, "b", "", b"");
    let to_x = cell.seal(&mut a, "x", "", b"");
    let at_x = cell.open(&mut x, &to_x).unwrap();
    let reply = x.reply(cell.now, &at_x, b"").unwrap();
    // x relabels its answer: as from b, or as under the ticket of b.
    let mut as_b = reply.clone();
    as_b[46..50].copy_from_slice(b"\x03b@z");
    assert_eq!(cell.refused(&mut a, &as_b), Cause::Forged);
    let Under::Ticket(ticket) = Envelope::parse(&to_b).unwrap().under else { unreachable!() };
    let id = keycell_protocol::Ticket::parse(ticket).unwrap().id();
    as_b[55..71].copy_from_slice(id.as_bytes());
    assert_eq!(cell.refused(&mut a, &as_b), Cause::Forged);
    assert!(cell.open(&mut a, &reply).is_ok());
    let at_b = cell.open(&mut b, &to_b).unwrap();
    let reply = b.reply(cell.now, &at_b, b"").unwrap();
    assert!(cell.open(&mut a, &reply).is_ok());
}

#[test]
fn the_destination_answering_in_anothers_name_or_for_longer() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut a = cell.agent("a");
    let to_b = cell.seal(&mut a, "b", "", b"");
    // b has all that there is: the Rkey, and so SEK(b→a).
    let Under::Ticket(ticket) = Envelope::parse(&to_b).unwrap().under else { unreachable!() };
    let ticket = keycell_protocol::Ticket::parse(ticket).unwrap();
    let rkey = ticket.open(&cell.key("b").key.subkeys().ticket).unwrap();
    let expiration = START.seconds().plus(LIFETIME);
    let honest = || Words {
        mode: Mode::Sealed,
        source: name("b"),
        destination: name("a"),
        expiration,
        sent_at: START,
        sequence: 0,
        under: Under::Id(ticket.id()),
    };
    for words in [
        Words { source: name("x"), ..honest() },
        Words { expiration: expiration.plus(1), ..honest() },
        Words { expiration: UnixSeconds(expiration.0 - 1), ..honest() },
    ] {
        // Under the key that a holds, and under the one that goes with the words.
        let held = rkey.sek(&name("b"), &name("a"), expiration);
        let derived = rkey.sek(&words.source, &name("a"), words.expiration);
        for sek in [held, derived] {
            let reply = cell.forge(&words, sek);
            assert_eq!(cell.refused(&mut a, &reply), Cause::Forged);
        }
    }
    let reply = cell.forge(&honest(), rkey.sek(&name("b"), &name("a"), expiration));
    assert!(cell.open(&mut a, &reply).unwrap().is_reply());
}

#[test]
fn reflection_of_messages_and_replies() {
    let mut cell = Cell::new();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "", b"");
    assert_eq!(cell.refused(&mut a, &message), Cause::NotForMe);
    let opened = cell.open(&mut b, &message).unwrap();
    let reply = b.reply(cell.now, &opened, b"").unwrap();
    assert_eq!(cell.refused(&mut b, &reply), Cause::NotForMe);
    // With names of the same length exchanged, the key of the other way does not fit.
    for (mut swapped, agent) in [(message, &mut a), (reply, &mut b)] {
        let (source, destination) = (swapped[46..50].to_vec(), swapped[50..54].to_vec());
        swapped[46..50].copy_from_slice(&destination);
        swapped[50..54].copy_from_slice(&source);
        let cause = cell.refused(agent, &swapped);
        assert!(matches!(cause, Cause::TicketForged | Cause::UnknownTicket), "{cause}");
    }
}

#[test]
fn stale_and_unknown_generations_and_epochs() {
    let mut cell = Cell::new();
    let mut b = cell.agent("b");
    cell.pass(10 * DAY);
    let now = 20_450;
    let expiration = cell.now.seconds().plus(LIFETIME);
    let open =
        |cell: &mut Cell, b: &mut keycell_client::Agent, change: &dyn Fn(LongTermKey) -> LongTermKey| {
            let grant = cell.grant_with("a", "b", expiration, change);
            let words = Words::honest(cell.now, "a", &grant);
            let message = cell.forge(&words, grant.sek.clone());
            cell.open(b, &message).err()
        };
    let no_key =
        |generation, epoch| Some(Cause::NoKey { generation: Generation(generation), epoch: Epoch(epoch) });
    for epoch in [20_440, now - 2, now + 2, now + 60_000] {
        let cause = open(&mut cell, &mut b, &|key| key.advance(Epoch(epoch)).unwrap());
        assert_eq!(cause, no_key(1, epoch));
    }
    for epoch in [0, u32::MAX] {
        let named = |key: LongTermKey| LongTermKey::new(key.generation(), Epoch(epoch), *key.expose_secret());
        assert_eq!(open(&mut cell, &mut b, &named), no_key(1, epoch));
    }
    for generation in [0, 2, u32::MAX] {
        let named =
            |key: LongTermKey| LongTermKey::new(Generation(generation), Epoch(now), *key.expose_secret());
        assert_eq!(open(&mut cell, &mut b, &named), no_key(generation, now));
    }
    // The right number on another key.
    let named = |key: LongTermKey| LongTermKey::new(key.generation(), Epoch(now), *key.expose_secret());
    assert_eq!(open(&mut cell, &mut b, &named), Some(Cause::TicketForged));
    for epoch in [now, now - 1, now + 1] {
        assert_eq!(open(&mut cell, &mut b, &|key| key.advance(Epoch(epoch)).unwrap()), None);
    }
    // A proof of tomorrow's epoch does not take yesterday's away: the KDC's clock may have been wrong.
    assert_eq!(open(&mut cell, &mut b, &|key| key.advance(Epoch(now - 1)).unwrap()), None);
}

#[test]
fn the_same_message_fails_for_the_same_reason_from_a_known_and_an_unknown_sender() {
    let mut cell = Cell::new();
    let (mut a, mut known, mut unknown) = (cell.agent("a"), cell.agent("b"), cell.agent("b"));
    let message = cell.seal(&mut a, "b", "topic", b"body");
    assert!(cell.open(&mut known, &message).is_ok());
    let base = message.len();
    for at in 0..base {
        for bit in [0, 5, 7] {
            let mut changed = message.clone();
            changed[at] ^= 1 << bit;
            assert_eq!(cell.refused(&mut known, &changed), cell.refused(&mut unknown, &changed), "byte {at}");
        }
    }
    cell.pass(LIFETIME * 1000);
    assert_eq!(cell.refused(&mut known, &message), Cause::Expired);
    assert_eq!(cell.refused(&mut unknown, &message), Cause::Expired);
}
