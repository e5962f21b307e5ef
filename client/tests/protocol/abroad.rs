//! Over the border: parties of the zones `z` and `other`, each with a KDC that vouches for its own names and no others.

mod asking;
mod authors;

use keycell_client::{Agent, AgentConfig, SealError};
use keycell_protocol::{SignerKey, TrustedSigners, ZoneSigners};

use crate::authors::author;
use crate::cell::{Cell, name};

/// Two zones that trust each other.
fn cell() -> Cell {
    let mut cell = Cell::new();
    cell.desk.trusted = trusted("z", &[("other", cell.desk_abroad.signer())]);
    cell.desk_abroad.trusted = trusted("other", &[("z", cell.desk.signer())]);
    cell
}

fn trusted(own: &str, zones: &[(&str, SignerKey)]) -> TrustedSigners {
    let zone =
        |(zone, key): &(&str, SignerKey)| ZoneSigners { zone: zone.parse().unwrap(), signers: vec![*key] };
    TrustedSigners::new(own, zones.iter().map(zone).collect()).unwrap()
}

/// A message from one to the other and its answer.
fn talk(cell: &mut Cell, (from, to): (&mut Agent, &mut Agent)) {
    let message = cell.seal(from, to.name().as_str(), "order", b"reboot");
    let opened = cell.open(to, &message).unwrap();
    assert_eq!(
        (&opened.source, &opened.destination, &opened.body[..]),
        (from.name(), to.name(), &b"reboot"[..])
    );
    let answer = to.reply(cell.now, &opened, b"done").unwrap();
    let answer = cell.open(from, &answer).unwrap();
    assert_eq!((&answer.source, &answer.body[..], answer.is_reply()), (to.name(), &b"done"[..], true));
}

#[test]
fn parties_of_two_zones_talk_both_ways() {
    let mut cell = cell();
    let (mut a, mut b) = (cell.agent("a"), cell.agent("b@other"));
    talk(&mut cell, (&mut a, &mut b));
    talk(&mut cell, (&mut b, &mut a));
    // Who has the same name in another zone is somebody else.
    let mut b_at_home = cell.agent("b");
    talk(&mut cell, (&mut a, &mut b_at_home));
    let message = cell.seal(&mut a, "b@other", "order", b"reboot");
    assert_eq!(cell.refused(&mut b_at_home, &message), keycell_protocol::Cause::NotForMe);
}

#[test]
fn one_body_goes_to_recipients_of_two_zones() {
    let mut cell = cell();
    let mut a = cell.agent("a");
    let to = ["b", "b@other", "c@other"].map(name);
    let mut receivers: Vec<_> = to.iter().map(|to| cell.agent(to.as_str())).collect();
    for to in &to {
        a.want(cell.now, to).unwrap();
    }
    cell.serve(&mut a);
    let many = a.seal_many(cell.now, &to, "news", b"the same for all").unwrap();
    for (receiver, (to, part)) in receivers.iter_mut().zip(&many.parts) {
        let opened = receiver.open_many(cell.now, part.as_ref().unwrap(), &many.common).unwrap();
        assert_eq!((&opened.destination, &opened.body[..]), (to, &b"the same for all"[..]));
    }
}

#[test]
fn a_group_of_another_zone_takes_what_its_author_proves() {
    let mut cell = cell();
    cell.group("probe@other", &["probe.a@other"]);
    cell.group_mut("probe@other").author_proof = true;
    let mut cma = author(&mut cell, "cma");
    let config = AgentConfig::default().first_use().member_of([name("probe@other")]);
    let mut probe = cell.process("probe.a@other", &config, 0);
    cell.serve(&mut probe);
    let group = name("probe@other");
    assert!(matches!(cma.seal(cell.now, &group, "run", b"halt"), Err(SealError::NoTicket { .. })));
    cell.serve(&mut cma);
    assert_eq!((cell.desk.given, cell.desk_abroad.given), (1, 0), "its own KDC vouches for it");
    let message = cma.seal(cell.now, &group, "run", b"halt").unwrap();
    let opened = cell.open(&mut probe, &message).unwrap();
    assert_eq!(opened.author().unwrap().name(), &name("cma"));
    // And kept as evidence it holds for whoever has the bundle.
    let evidence = opened.evidence().unwrap();
    let mut signers = keycell_protocol::Signers::new();
    signers.set(&"z".parse().unwrap(), &[cell.desk.signer()]);
    let said = keycell_protocol::Evidence::verify(evidence.as_bytes(), &signers).unwrap();
    assert_eq!((said.source, said.destination), (name("cma"), group));
}
