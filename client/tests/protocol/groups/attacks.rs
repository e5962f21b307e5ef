//! What members, those who were some, and strangers try.

use keycell_client::{Agent, AgentConfig};
use keycell_protocol::{
    Cause, Generation, Grant, GroupKey, Mode, TicketKind, Under, UnixMillis, UnixSeconds,
};

use super::{Cell, cell, member, name, pass};
use crate::cell::{TURN, TURN_MS, Words};

fn refused(cell: &mut Cell, agent: &mut Agent, source: &str, grant: &Grant) -> Cause {
    let message = cell.forge(&Words::honest(cell.now, source, grant), grant.sek.clone());
    cell.refused(agent, &message)
}

/// A key that a stranger made up.
fn made_up(generation: u32) -> GroupKey {
    GroupKey::new(Generation(generation), [7; 32])
}

#[test]
fn a_removed_member_opens_nothing_new_with_all_it_ever_held() {
    let mut cell = cell();
    let (mut out, mut a) = (member(&mut cell, "probe.b"), member(&mut cell, "probe.a"));
    // It comes to know the next key too, and remembers.
    pass(&mut cell, &mut [&mut out, &mut a], 3 * TURN_MS + TURN_MS / 2);
    let before = cell.agent("cma");
    let old = cell.seal_first(before);
    cell.remove_member("probe", "probe.b");
    let mut cma = cell.agent("cma");
    for step in 0..40 {
        let message = cell.seal(&mut cma, "probe", "t", &[step]);
        let cause = cell.refused(&mut out, &message).code();
        assert!(["waiting", "not-for-me"].contains(&cause), "{cause}");
        cell.open(&mut a, &message)
            .map(|_| ())
            .or_else(|_| {
                cell.serve(&mut a);
                a.open_waiting(cell.now).pop().unwrap().map(|_| ())
            })
            .unwrap();
        pass(&mut cell, &mut [&mut a], TURN_MS / 10);
    }
    // Nor if it never asks again: by now nothing at all opens, what it heard before included.
    assert_eq!(cell.refused(&mut out, &old), Cause::Expired);
    // Had it asked, it would have been told.
    cell.serve(&mut out);
    let message = cell.seal(&mut cma, "probe", "t", b"x");
    assert_eq!(cell.refused(&mut out, &message), Cause::NotForMe);
    assert!(out.open_waiting(cell.now).iter().all(Result::is_err));
    // Its old "next" key is of a generation that the members do not take.
    let next = cell.key_of_group("probe", 0, 5);
    let end = cell.now.seconds().plus(TURN);
    let grant = cell.grant_group_with("cma", "probe", &next, end);
    assert_eq!(refused(&mut cell, &mut a, "cma", &grant).code(), "no-key");
}

#[test]
fn what_a_removed_member_began_under_a_key_ends_with_the_key() {
    let mut cell = cell();
    let (mut out, mut a) = (member(&mut cell, "probe.b"), member(&mut cell, "probe.a"));
    pass(&mut cell, &mut [&mut out, &mut a], 3 * TURN_MS + TURN_MS / 2);
    // In another's name and under the key that was given for later, while it is a member.
    let next = cell.key_of_group("probe", 0, 5);
    let end = cell.now.seconds().plus(2 * TURN);
    let grant = cell.grant_group_with("cma", "probe", &next, end);
    let first = Words::honest(cell.now, "cma", &grant);
    let later = UnixMillis(cell.now.0 + TURN_MS);
    let more = Words { sequence: 1, ..Words::honest(later, "cma", &grant) };
    let [first, more] = cell.forge_two([&first, &more], &grant.sek);
    assert!(cell.open(&mut a, &first).is_ok());
    cell.remove_member("probe", "probe.b");
    pass(&mut cell, &mut [&mut a], TURN_MS);
    assert_eq!(cell.refused(&mut a, &more).code(), "no-key");
}

#[test]
fn tickets_and_names_must_go_together() {
    let mut cell = cell();
    cell.group("storage", &["probe.a"]);
    let config = AgentConfig::default().first_use().member_of([name("probe"), name("storage")]);
    let mut a = cell.process("probe.a", &config, 0);
    cell.serve(&mut a);
    let now = cell.now;
    let grant = cell.grant_group("cma", "probe");
    let direct = cell.grant("cma", "probe.a");

    // A group says nothing.
    let from_group = cell.grant_group("storage", "probe");
    assert_eq!(refused(&mut cell, &mut a, "storage", &from_group), Cause::GroupSource);
    let from_group = cell.grant("cma", "probe.a");
    assert_eq!(refused(&mut cell, &mut a, "probe", &from_group), Cause::GroupSource);
    // One's own word comes back, and a group's word to itself.
    let own = cell.grant_group("probe.a", "probe");
    assert_eq!(refused(&mut cell, &mut a, "probe.a", &own), Cause::Reflected);
    assert_eq!(refused(&mut cell, &mut a, "probe", &grant), Cause::Reflected);
    // A party's ticket to a group, a group's to a party, one group's to another.
    let words = |to: &str, grant| Words { destination: name(to), ..Words::honest(now, "cma", grant) };
    let message = cell.forge(&words("probe", &direct), direct.sek.clone());
    assert_eq!(cell.refused(&mut a, &message), Cause::TicketKind);
    let message = cell.forge(&words("probe.a", &grant), grant.sek.clone());
    assert_eq!(cell.refused(&mut a, &message), Cause::TicketKind);
    let message = cell.forge(&words("storage", &grant), grant.sek.clone());
    assert_eq!(cell.refused(&mut a, &message), Cause::TicketForged);
    assert_eq!(grant.ticket.kind(), TicketKind::Group);
    // Under a ticket of one's own nobody answers to a group.
    let mine = cell.grant("probe.a", "cma");
    let words = Words { under: Under::Id(mine.ticket.id()), ..words("probe", &mine) };
    let message = cell.forge(&words, mine.reply_sek.clone().unwrap());
    assert_eq!(cell.refused(&mut a, &message), Cause::UnknownTicket);
    // Two tickets, one stream: what came to the party does not pass as having come to the group.
    let salted = |to: &str| Words { destination: name(to), ..Words::honest(now, "cma", &direct) };
    let [first, second] = cell.forge_two([&salted("probe.a"), &salted("probe")], &direct.sek);
    assert!(cell.open(&mut a, &first).is_ok());
    assert_eq!(cell.refused(&mut a, &second), Cause::NotForMe);
}

#[test]
fn nothing_outlives_its_key() {
    let mut cell = cell();
    let mut a = member(&mut cell, "probe.a");
    let key = cell.key_of_group("probe", 0, 1);
    let ends = cell.now.seconds().plus(2 * TURN);
    let good = cell.grant_group_with("cma", "probe", &key, ends);
    let long = cell.grant_group_with("cma", "probe", &key, ends.plus(1));
    assert_eq!(refused(&mut cell, &mut a, "cma", &long), Cause::ExpiresTooLate);
    let message = cell.forge(&Words::honest(cell.now, "cma", &good), good.sek.clone());
    assert!(cell.open(&mut a, &message).is_ok());
    // Another expiry in the header is another SEK.
    let words = Words { expiration: UnixSeconds(ends.0 - 1), ..Words::honest(cell.now, "cma", &good) };
    let message = cell.forge(&words, good.sek.clone());
    assert_eq!(cell.refused(&mut a, &message), Cause::Forged);
}

#[test]
fn a_flood_of_made_up_generations_costs_little() {
    let mut cell = cell();
    let (mut a, mut cma) = (member(&mut cell, "probe.a"), cell.agent("cma"));
    cell.group_requests();
    for second in (0..3_600_u32).step_by(5) {
        pass(&mut cell, &mut [&mut a], 5_000);
        let end = cell.now.seconds().plus(TURN);
        for generation in [u32::MAX, 1_000 + second, 40] {
            let grant = cell.grant_group_with("evil.x", "probe", &made_up(generation), end);
            assert_eq!(refused(&mut cell, &mut a, "evil.x", &grant).code(), "waiting");
        }
        if second % 60 == 0 {
            let message = cell.seal(&mut cma, "probe", "t", &second.to_be_bytes());
            assert!(cell.open(&mut a, &message).is_ok());
        }
    }
    let asked = cell.group_requests().len();
    // One in the time of each key that it asks in anyway, one more for the flood, and a few to begin with.
    assert!((12..=36).contains(&asked), "{asked} requests in an hour");
    assert!(a.stats().waiting <= 64);
    assert_eq!(a.stats().opened, 60);

    // In the middle of it the group is rotated: late, but it is heard.
    cell.rotate_group("probe");
    let message = cell.agent("cma");
    let message = cell.seal_first(message);
    assert_eq!(cell.refused(&mut a, &message).code(), "waiting");
    pass(&mut cell, &mut [&mut a], TURN_MS - 1_000);
    assert!(
        a.open_waiting(cell.now).into_iter().filter_map(Result::ok).any(|opened| opened.body == b"first")
    );
    // It ends, and what waited for nothing is gone.
    pass(&mut cell, &mut [&mut a], 8 * TURN_MS);
    let _ = a.open_waiting(cell.now);
    assert_eq!(a.stats().waiting, 0);
}

#[test]
fn made_up_generations_do_not_discredit_those_that_come() {
    let mut cell = cell();
    let mut a = member(&mut cell, "probe.a");
    for _ in 0..12 {
        pass(&mut cell, &mut [&mut a], 40_000);
        let end = cell.now.seconds().plus(TURN);
        let grant = cell.grant_group_with("evil.x", "probe", &made_up(u32::MAX), end);
        assert_eq!(refused(&mut cell, &mut a, "evil.x", &grant).code(), "waiting");
        cell.rotate_group("probe");
        let sender = cell.agent("cma");
        let message = cell.seal_first(sender);
        assert_eq!(cell.refused(&mut a, &message).code(), "waiting");
        pass(&mut cell, &mut [&mut a], 20_000);
        let opened = a.open_waiting(cell.now).into_iter().filter_map(Result::ok).count();
        assert_eq!(opened, 1, "heard within seconds, however often it was lied to");
    }
}

#[test]
fn one_member_opens_no_message_twice_whoever_repeats_it() {
    let mut cell = cell();
    let (mut a, mut b) = (member(&mut cell, "probe.a"), member(&mut cell, "probe.b"));
    let mut cma = cell.agent("cma");
    let messages: Vec<_> = (0..3).map(|n| cell.seal(&mut cma, "probe", "t", &[n])).collect();
    for agent in [&mut a, &mut b] {
        for message in &messages {
            assert!(cell.open(agent, message).is_ok());
        }
        for message in &messages {
            assert_eq!(cell.refused(agent, message), Cause::Replayed);
        }
    }
    // Also not after the keys were given anew.
    pass(&mut cell, &mut [&mut a, &mut b], TURN_MS - 1_000);
    assert_eq!(cell.refused(&mut a, &messages[1]), Cause::Replayed);
    // Nor a process that was started since.
    let config = AgentConfig::default().member_of([name("probe")]);
    let mut again = cell.process("probe.a", &config, 0);
    cell.serve(&mut again);
    assert_eq!(cell.refused(&mut again, &messages[1]), Cause::BeforeStart);
}

#[test]
fn a_group_s_message_is_signed_or_sealed_alike() {
    let mut cell = cell();
    let (mut a, mut cma) = (member(&mut cell, "probe.a"), cell.agent("cma"));
    cell.seal(&mut cma, "probe", "t", b"x");
    let mut message = cma.sign(cell.now, &name("probe"), "t", b"readable").unwrap();
    let opened = cell.open(&mut a, &message).unwrap();
    assert_eq!((opened.mode, &opened.body[..]), (Mode::Signed, &b"readable"[..]));
    let last = message.len() - 1;
    message[last] ^= 1;
    assert_eq!(cell.refused(&mut a, &message), Cause::Forged);
    let _: UnixMillis = opened.sent_at;
}
