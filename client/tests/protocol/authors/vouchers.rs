//! Signing keys and vouchers: what a party does to be believed.

use keycell_client::SealError;
use keycell_protocol::{Cause, ProblemType};

use super::{author, prove};
use crate::cell::{Cell, DAY, Host, name, public, signer};

/// Seals with a proof, once; the host's disk and the KDC are asked for nothing.
fn try_prove(cell: &Cell, host: &mut Host) -> Result<Vec<u8>, SealError> {
    let now = host.now(cell);
    host.agent.with_author_proof().seal(now, &name("b"), "run", b"reboot")
}

#[test]
fn a_signing_key_is_in_its_file_before_any_kdc_hears_of_it() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut host = Host::new(&mut cell, "a");
    host.ask(&mut cell, "b");
    assert!(host.file().author.is_none() && host.agent.author_key().is_none());
    host.disk_full = true;
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    let first = host.agent.author_key().unwrap();
    host.serve(&mut cell);
    assert!(cell.desk.registered.is_empty(), "it was registered before it was stored");
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));

    // Killed before it was stored: nobody has heard of it, and another one is made.
    host.crash(&cell);
    host.disk_full = false;
    host.ask(&mut cell, "b");
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    let second = host.agent.author_key().unwrap();
    assert_ne!(first, second);
    // Killed when it was stored and not registered yet, and when it was registered and the answer was lost.
    host.save();
    host.crash(&cell);
    assert_eq!(host.agent.author_key(), Some(second));
    assert!(cell.desk.registered.is_empty());
    host.ask(&mut cell, "b");
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    let lost = host.agent.wants(cell.now).unwrap();
    assert_eq!((lost.path(), lost.destinations), ("/v1/vouchers", 0));
    cell.answer_at(lost.path(), &lost.body).unwrap().unwrap();
    host.crash(&cell);
    host.ask(&mut cell, "b");
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    host.serve(&mut cell);
    assert!(try_prove(&cell, &mut host).is_ok());
    assert_eq!(cell.desk.registered[&name("a")], second);
    assert_eq!(host.file().author.unwrap().public(), second);
}

#[test]
fn another_key_than_the_registered_one_is_refused_until_that_is_forgotten() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut host = Host::new(&mut cell, "a");
    let image = host.disk.clone();
    let _ = host.agent.want_voucher(cell.now);
    host.serve(&mut cell);
    host.ask(&mut cell, "b");
    assert!(try_prove(&cell, &mut host).is_ok());

    // A host that is made anew out of its first image.
    host.disk = image;
    host.crash(&cell);
    host.ask(&mut cell, "b");
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    host.serve(&mut cell);
    let refused = try_prove(&cell, &mut host).unwrap_err();
    let SealError::VoucherRefused { problem: ProblemType::Conflict, retry_at } = refused else {
        panic!("{refused:?}")
    };
    assert!(refused.to_string().contains("keycell party forget-author-key"), "{refused}");
    assert!(host.agent.wants(cell.now).is_none(), "it asks again at once");
    // What needs no proof goes on.
    assert!(host.agent.seal(cell.now, &name("b"), "t", b"").is_ok());
    cell.desk.registered.clear();
    cell.now = retry_at;
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    host.serve(&mut cell);
    assert!(try_prove(&cell, &mut host).is_ok());
}

#[test]
fn a_voucher_is_renewed_and_not_asked_for_without_need() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut host = Host::new(&mut cell, "a");
    host.ask(&mut cell, "b");
    assert_eq!(cell.desk.given, 0);
    let _ = try_prove(&cell, &mut host);
    host.serve(&mut cell);
    let mut waited = 0;
    while cell.desk.given < 3 {
        let wakeup = host.agent.next_wakeup(cell.now).unwrap();
        assert!(wakeup > cell.now, "it turns in place");
        cell.now = wakeup;
        host.serve(&mut cell);
        assert!(host.agent.seal(cell.now, &name("b"), "t", b"").is_ok() || cell.desk.given < 3);
        host.serve(&mut cell);
        waited += 1;
        assert!(waited < 1_000);
    }
    assert_eq!(cell.now, crate::cell::START.plus(DAY), "every half of its life");
    host.ask(&mut cell, "b");
    assert!(try_prove(&cell, &mut host).is_ok());

    // No KDC for a while: on with the one at hand, until its end.
    cell.desk.problem = Some(ProblemType::Unavailable);
    cell.pass(DAY - 120_000);
    host.ask(&mut cell, "b");
    assert!(try_prove(&cell, &mut host).is_ok());
    cell.pass(121_000);
    assert_eq!(try_prove(&cell, &mut host), Err(SealError::NoVoucher));
    cell.desk.problem = None;
    cell.pass(60_000);
    host.serve(&mut cell);
    assert!(try_prove(&cell, &mut host).is_ok());
}

#[test]
fn no_key_and_no_file_for_one() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut a = cell.agent("a");
    cell.seal(&mut a, "b", "t", b"");
    let refused = a.with_author_proof().seal(cell.now, &name("b"), "t", b"");
    assert_eq!(refused, Err(SealError::NoAuthorKey));
    assert_eq!(a.want_voucher(cell.now), Err(SealError::NoAuthorKey));
    assert!(a.wants(cell.now).is_none());
    // A KDC of an earlier release.
    cell.desk.problem = Some(ProblemType::NotFound);
    let mut a = author(&mut cell, "a");
    a.want(cell.now, &name("b")).unwrap();
    a.want_voucher(cell.now).unwrap();
    cell.serve(&mut a);
    let refused = a.with_author_proof().seal(cell.now, &name("b"), "t", b"").unwrap_err();
    assert!(refused.to_string().ends_with("knows no author keys"), "{refused}");
}

#[test]
fn a_wrong_clock_and_a_key_that_was_replaced_are_no_obstacle() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut host = Host::new(&mut cell, "a");
    host.off = 3 * 3_600_000;
    let _ = try_prove(&cell, &mut host);
    host.serve(&mut cell);
    assert!(try_prove(&cell, &mut host).is_ok());
    assert_eq!(host.agent.clock_correction_ms(), -host.off);
    assert_eq!(host.agent.stats().vouchers, 1);

    // Restored from before its last rotation: the key file has the one that counts among those that retire.
    let mut host = Host::new(&mut cell, "c");
    let before = cell.party("c").clone();
    host.agent.rotate();
    host.serve(&mut cell);
    assert_eq!(host.agent.generation().0, 2);
    *cell.party("c") = before;
    let _ = try_prove(&cell, &mut host);
    host.save();
    for _ in 0..20 {
        host.serve(&mut cell);
        cell.pass(60_000);
    }
    host.ask(&mut cell, "b");
    assert!(try_prove(&cell, &mut host).is_ok());
}

#[test]
fn whom_the_kdc_signs_with_is_learned_and_kept() {
    let mut cell = Cell::new();
    cell.key("b");
    let mut host = Host::new(&mut cell, "a");
    let mut file = host.file();
    file.signers.clear();
    host.disk = file.to_json().to_vec();
    host.crash(&cell);
    let mut x = author(&mut cell, "x");
    let message = prove(&mut cell, &mut x, "a", "t", b"");
    assert_eq!(cell.refused(&mut host.agent, &message), Cause::AuthorUnknown);
    host.agent.want_voucher(cell.now).unwrap();
    host.serve(&mut cell);
    assert!(host.opens(&cell, &message), "nothing of it was lost");
    assert_eq!(host.file().signers, [cell.desk.signer()]);
    // The KDC has another from now on: what the one before signed holds no more, in what was opened before either.
    let old = prove(&mut cell, &mut x, "a", "t", b"");
    let zone = "z".parse().unwrap();
    host.agent.trust_signers(&zone, &[public(&signer(3))]);
    assert_eq!(cell.refused(&mut host.agent, &old), Cause::AuthorUnknown);
    host.agent.trust_signers(&zone, &[public(&signer(3)), cell.desk.signer()]);
    assert!(host.opens(&cell, &old));
    cell.desk.key = signer(3);
    cell.pass(DAY / 2);
    host.serve(&mut cell);
    assert_eq!(host.file().signers, [public(&signer(3))]);
    assert!(host.file().author.is_some());
}
