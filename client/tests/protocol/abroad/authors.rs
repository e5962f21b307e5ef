//! Who vouches for whom over the border.

use keycell_client::PendingRequest;
use keycell_protocol::{AuthorKey, Cause};

use super::{cell, trusted};
use crate::authors::{author, forgery, prove};
use crate::cell::{Cell, Host, public, signer, voucher};

/// What the host asks there, and what the KDC says to it now.
fn asked(cell: &mut Cell, host: &mut Host, path: &str) -> (PendingRequest, Vec<u8>) {
    let pending = host.agent.wants(cell.now).unwrap();
    assert_eq!(pending.path(), path);
    let answer = cell.answer_at(path, &pending.body).unwrap().unwrap();
    (pending, answer)
}

#[test]
fn whom_the_other_kdc_vouches_for_is_learned_kept_and_forgotten() {
    let mut cell = cell();
    let theirs = cell.desk_abroad.signer();
    let trust = cell.desk.trusted.clone();
    cell.desk.trusted = Default::default();
    let mut host = Host::new(&mut cell, "a");
    let mut b = author(&mut cell, "b@other");
    let message = prove(&mut cell, &mut b, "a", "t", b"");
    assert_eq!(cell.refused(&mut host.agent, &message), Cause::AuthorUnknown);

    // With the next sealed answer it is believed, and by the next process too.
    cell.desk.trusted = trust;
    host.agent.want_voucher(cell.now).unwrap();
    host.serve(&mut cell);
    assert!(host.opens(&cell, &message), "nothing of it was lost");
    assert_eq!(host.file().trusted.of("other"), [theirs]);
    host.crash(&cell);
    let next = prove(&mut cell, &mut b, "a", "t", b"");
    assert!(host.opens(&cell, &next));

    // And forgotten with the one that does not name the zone, also where it was verified before.
    let last = prove(&mut cell, &mut b, "a", "t", b"");
    cell.desk.trusted = trusted("z", &[("third", theirs)]);
    host.agent.want_voucher(cell.now).unwrap();
    host.serve(&mut cell);
    assert!(host.file().trusted.of("other").is_empty());
    assert_eq!(host.file().trusted.of("third"), [theirs]);
    let again = prove(&mut cell, &mut b, "a", "t", b"");
    assert_eq!(cell.refused(&mut host.agent, &again), Cause::AuthorUnknown);
    assert!(!host.opens(&cell, &last));
    host.crash(&cell);
    assert_eq!(cell.refused(&mut host.agent, &again), Cause::AuthorUnknown);
}

#[test]
fn what_a_group_answer_says_of_other_zones_is_taken_too() {
    let mut cell = cell();
    cell.group("probe", &["a"]);
    let theirs = cell.desk_abroad.signer();
    let trust = core::mem::take(&mut cell.desk.trusted);
    let mut host = Host::new(&mut cell, "a");
    host.agent.join(cell.now, &crate::cell::name("probe"));
    cell.desk.trusted = trust;
    host.serve(&mut cell);
    assert_eq!(host.file().trusted.of("other"), [theirs]);
    let mut b = author(&mut cell, "b@other");
    let message = prove(&mut cell, &mut b, "a", "t", b"");
    assert!(host.opens(&cell, &message));
}

#[test]
fn an_answer_that_was_overtaken_does_not_bring_back_whom_the_zone_trusted() {
    let mut cell = cell();
    cell.group("probe", &["a"]);
    let mut host = Host::new(&mut cell, "a");
    host.agent.want_voucher(cell.now).unwrap();
    host.serve(&mut cell);
    assert_eq!(host.file().trusted.of("other"), [cell.desk_abroad.signer()]);

    // Asked before the trust ended, and answered after what was asked since.
    cell.pass(crate::cell::DAY / 2);
    let (early, first) = asked(&mut cell, &mut host, "/v1/vouchers");
    cell.desk.trusted = Default::default();
    host.agent.join(cell.now, &crate::cell::name("probe"));
    let (late, second) = asked(&mut cell, &mut host, "/v1/group-keys");
    host.agent.take_reply(cell.now, &late, &second).unwrap();
    host.agent.take_reply(cell.now, &early, &first).unwrap();
    host.save();
    assert!(host.file().trusted.of("other").is_empty());
    // What is asked from now on counts again.
    cell.desk.trusted = trusted("z", &[("third", public(&signer(3)))]);
    cell.pass(crate::cell::DAY / 2);
    host.serve(&mut cell);
    assert_eq!(host.file().trusted.of("third"), [public(&signer(3))]);
}

#[test]
fn a_kdc_vouches_for_no_names_but_its_own() {
    let mut cell = cell();
    let mut receiver = cell.agent("b");
    let key = AuthorKey::new(&[5; 32]);
    let valid = (cell.now.seconds(), cell.now.seconds().plus(1000));
    let (ours, theirs, third) = (signer(1), signer(9), signer(7));
    for (kdc, source, holds, what) in [
        (&theirs, "a", false, "the other KDC for a name of ours"),
        (&ours, "a@other", false, "ours for a name of the other zone"),
        (&theirs, "a@third", false, "the other KDC for a third zone"),
        (&third, "a@third", false, "a zone that is not trusted"),
        (&third, "a@other", false, "a zone that is not trusted, for one that is"),
        (&third, "a", false, "a zone that is not trusted, for ours"),
        (&ours, "a", true, "ours for ours"),
        (&theirs, "a@other", true, "theirs for theirs"),
    ] {
        let vouched = voucher(kdc, &crate::cell::name(source), key.public(), valid);
        let grant = cell.grant(source, "b");
        let message = forgery(&cell, source, "b").signed(&mut cell, &grant, &key, &vouched);
        let outcome = cell.open(&mut receiver, &message);
        let expected = if holds { Ok(()) } else { Err(Cause::AuthorUnknown) };
        assert_eq!(outcome.map(drop), expected, "{what}");
    }
}

#[test]
fn what_the_host_says_of_another_zone_is_not_the_kdcs_to_change() {
    let mut cell = cell();
    let mut host = Host::new(&mut cell, "a");
    let mut b = author(&mut cell, "b@other");
    let other = "other".parse().unwrap();
    let file = |host: &Host| host.file().trusted.of("other").to_vec();
    let theirs = cell.desk_abroad.signer();
    // It believes nobody there, though its KDC does.
    host.agent.trust_signers(&other, &[]);
    host.agent.want_voucher(cell.now).unwrap();
    host.serve(&mut cell);
    let message = prove(&mut cell, &mut b, "a", "t", b"");
    assert_eq!(cell.refused(&mut host.agent, &message), Cause::AuthorUnknown);
    // It believes somebody there, though its KDC does not.
    assert_eq!(file(&host), [theirs], "the file says what the KDC said");
    host.agent.trust_signers(&other, &[public(&signer(3)), theirs]);
    cell.desk.trusted = Default::default();
    cell.pass(crate::cell::DAY / 2);
    host.serve(&mut cell);
    let message = prove(&mut cell, &mut b, "a", "t", b"");
    assert!(file(&host).is_empty() && host.opens(&cell, &message));
}
