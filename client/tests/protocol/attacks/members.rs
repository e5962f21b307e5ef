//! A member of a group that requires no proof of the author goes at what the others remember of a sender. It holds every key
//! of the group, so it opens the sender's own tickets and writes under them, with the sender's salt and in its name.

use keycell_client::{Agent, AgentConfig, system_rng};
use keycell_protocol::{
    Cause, Envelope, Extras, Header, Mode, Name, Salt, StreamKey, Ticket, Topic, Under, UnixSeconds,
};

use crate::authors::{author, prove};
use crate::cell::{Cell, TURN_MS, name};

const GROUP: &str = "probe";

fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.group(GROUP, &["probe.a", "probe.m"]);
    cell
}

fn member(cell: &mut Cell, config: AgentConfig) -> Agent {
    let mut member = cell.process("probe.a", &config.first_use().member_of([name(GROUP)]), 0);
    cell.serve(&mut member);
    member
}

/// What the member knows after it has seen one message, and how it goes on in that one's stream.
struct Seen<'a> {
    cell: &'a Cell,
    under: Envelope<'a>,
    source: Name,
}

impl<'a> Seen<'a> {
    fn new(cell: &'a Cell, message: &'a [u8]) -> Self {
        let under = Envelope::parse(message).unwrap();
        Self { cell, source: under.source.try_into().unwrap(), under }
    }

    /// Another message of that stream, without a proof of the author.
    fn forge(&self, sequence: u64) -> Vec<u8> {
        self.forge_with(&self.source, Salt::of(&self.under), self.under.expiration, sequence)
    }

    fn forge_with(&self, source: &Name, salt: Salt, expiration: UnixSeconds, sequence: u64) -> Vec<u8> {
        let group = name(GROUP);
        let Under::Ticket(ticket) = self.under.under else { unreachable!() };
        let held = self.cell.group_key(&group).unwrap().0;
        let rkey = Ticket::parse(ticket).unwrap().open(&held.key.ticket_key()).unwrap();
        let header = Header {
            mode: Mode::Sealed,
            extras: Extras::NONE,
            expiration,
            sent_at: self.cell.now,
            sequence,
            source,
            destination: &group,
            topic: Topic::try_from("run").unwrap(),
            under: self.under.under,
        };
        StreamKey::new(rkey.sek(source, &group, expiration), salt).write(&header, b"reboot")
    }
}

/// The highest number there is: nothing that the sender can write comes after it.
const LAST: u64 = u64::MAX - 1;

#[test]
fn who_signs_is_not_muted_by_numbers_far_ahead() {
    let mut cell = cell();
    let mut cma = author(&mut cell, "cma");
    let mut says = |cell: &mut Cell| prove(cell, &mut cma, GROUP, "run", b"halt");
    let (first, second, third) = (says(&mut cell), says(&mut cell), says(&mut cell));
    // To one who has heard the author, to one who hears the forger first, and to one who hears it under another end.
    let [mut known, mut unknown, mut other] = [(); 3].map(|()| member(&mut cell, AgentConfig::default()));
    assert!(cell.open(&mut known, &first).unwrap().author().is_some());
    let seen = Seen::new(&cell, &first);
    let ends = UnixSeconds(seen.under.expiration.0 - 1);
    let elsewhere = seen.forge_with(&seen.source, Salt::of(&seen.under), ends, LAST);
    for (agent, forged) in
        [(&mut known, seen.forge(LAST)), (&mut unknown, seen.forge(LAST)), (&mut other, elsewhere)]
    {
        let opened = cell.open(agent, &forged).unwrap();
        assert!(opened.source == name("cma") && opened.author().is_none(), "whom it is by is not proved");
    }
    for agent in [&mut known, &mut unknown, &mut other] {
        for message in [&third, &second] {
            assert!(cell.open(agent, message).unwrap().author().is_some());
            assert_eq!(cell.refused(agent, message), Cause::Replayed);
        }
    }
    assert_eq!(cell.refused(&mut known, &first), Cause::Replayed);
}

#[test]
fn the_same_words_without_the_proof_do_not_take_the_place_of_the_proved_ones() {
    let mut cell = cell();
    let (mut cma, mut a) = (author(&mut cell, "cma"), member(&mut cell, AgentConfig::default()));
    let proved = prove(&mut cell, &mut cma, GROUP, "run", b"reboot");
    let seen = Seen::new(&cell, &proved);
    let bare = seen.forge(seen.under.sequence);
    assert!(cell.open(&mut a, &bare).unwrap().author().is_none());
    assert!(cell.open(&mut a, &proved).unwrap().author().is_some());
    for message in [&bare, &proved] {
        assert_eq!(cell.refused(&mut a, message), Cause::Replayed);
    }
}

#[test]
fn who_signs_finds_room_whatever_others_write_without_a_proof() {
    let mut cell = cell();
    let mut config = AgentConfig::default();
    (config.opener.max_streams, config.opener.max_streams_per_source) = (64, 8);
    let mut cma = author(&mut cell, "cma");
    let first = prove(&mut cell, &mut cma, GROUP, "run", b"halt");
    // In the author's own name, and under names that are made up.
    let (mut of_one, mut of_many) = (member(&mut cell, config.clone()), member(&mut cell, config));
    let seen = Seen::new(&cell, &first);
    let fill = |agent: &mut Agent, source: &dyn Fn(usize) -> Name| {
        let forged = (0..100).map(|at| {
            let salt = Salt::generate(&mut system_rng());
            seen.forge_with(&source(at), salt, seen.under.expiration, 0)
        });
        forged.filter(|forged| cell.open(agent, forged).is_ok()).count()
    };
    assert_eq!(fill(&mut of_one, &|_| name("cma")), 8);
    assert_eq!(fill(&mut of_many, &|at| name(&format!("made.up{at}"))), 16);
    for agent in [&mut of_one, &mut of_many] {
        assert!(cell.open(agent, &first).unwrap().author().is_some());
    }
}

#[test]
fn who_signs_finds_room_however_many_groups_another_signs_to() {
    let mut cell = cell();
    let shared: Vec<_> = (0..40).map(|at| format!("shared{at}")).collect();
    shared.iter().for_each(|group| cell.group(group, &["probe.a", "probe.m"]));
    let mut config = AgentConfig::default();
    (config.opener.max_streams, config.opener.max_streams_per_source) = (64, 8);
    let groups = shared.iter().map(|group| name(group)).chain([name(GROUP)]);
    let mut a = cell.process("probe.a", &config.first_use().member_of(groups), 0);
    cell.serve(&mut a);
    let (mut cma, mut m) = (author(&mut cell, "cma"), author(&mut cell, "probe.m"));
    for (at, group) in shared.iter().enumerate() {
        let message = prove(&mut cell, &mut m, group, "run", b"x");
        let cause = cell.open(&mut a, &message).err();
        assert_eq!(cause, (at >= 8).then_some(Cause::TooManySenders), "{at}");
    }
    // Nor can it by this and by what it writes without a proof.
    let message = prove(&mut cell, &mut cma, GROUP, "run", b"halt");
    let seen = Seen::new(&cell, &message);
    let made_up = (0..100).filter(|at| {
        let salt = Salt::generate(&mut system_rng());
        let forged = seen.forge_with(&name(&format!("made.up{at}")), salt, seen.under.expiration, 0);
        cell.open(&mut a, &forged).is_ok()
    });
    assert_eq!(made_up.count(), 16);
    assert!(cell.open(&mut a, &message).unwrap().author().is_some());
}

#[test]
fn in_the_smallest_room_each_kind_of_sender_has_its_place() {
    let mut cell = cell();
    let mut config = AgentConfig::default();
    config.opener.max_streams = 0;
    let mut a = member(&mut cell, config);
    let (mut cma, mut plain) = (author(&mut cell, "cma"), cell.agent("plain"));
    let [bare, more] = ["plain", "other"].map(|sender| {
        let mut sender = cell.agent(sender);
        cell.seal(&mut sender, GROUP, "run", b"x")
    });
    assert!(cell.open(&mut a, &bare).is_ok());
    assert_eq!(cell.refused(&mut a, &more), Cause::TooManySenders);
    let proved = prove(&mut cell, &mut cma, GROUP, "run", b"x");
    assert!(cell.open(&mut a, &proved).unwrap().author().is_some());
    let alone = cell.seal(&mut plain, "probe.a", "run", b"x");
    assert!(cell.open(&mut a, &alone).is_ok());
}

/// What is left: without a proof of the author nobody can tell the two apart.
#[test]
fn who_does_not_sign_is_heard_again_under_its_next_ticket() {
    let mut cell = cell();
    let (mut cma, mut a) = (cell.agent("cma"), member(&mut cell, AgentConfig::default()));
    let first = cell.seal(&mut cma, GROUP, "run", b"halt");
    let forged = Seen::new(&cell, &first).forge(LAST);
    assert!(cell.open(&mut a, &forged).is_ok());
    assert_eq!(cell.refused(&mut a, &first), Cause::OutOfWindow);
    let second = cell.seal(&mut cma, GROUP, "run", b"halt");
    assert_eq!(cell.refused(&mut a, &second), Cause::OutOfWindow);
    // Nobody else is touched, and neither is what the same sender says to the party alone.
    let mut other = cell.agent("other");
    for (sender, to) in [(&mut other, GROUP), (&mut cma, "probe.a")] {
        let message = cell.seal(sender, to, "run", b"halt");
        assert!(cell.open(&mut a, &message).is_ok());
    }
    cell.pass(TURN_MS);
    cell.serve(&mut a);
    let next = cell.seal(&mut cma, GROUP, "run", b"halt");
    assert!(cell.open(&mut a, &next).is_ok());
}
