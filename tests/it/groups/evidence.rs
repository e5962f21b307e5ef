//! Author proof: who in a group said it, shown to members and to strangers.

use std::fs;

use keycell_client::https::Error;
use keycell_client::{AgentConfig, SealError};
use keycell_protocol::{Bundle, Evidence, Signers};
use keycell_tests::cell::Cell;
use keycell_tests::wait::until;

use super::fleet::{self, Fleet, GROUP, config, name};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_said_is_shown_to_strangers_with_the_bundle_alone() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one", "nanoprobe.two"]).await;
    cell.run(&["bundle", "--out", "zone.bundle"]).succeeded();

    let message = fleet.cma.with_author_proof().seal(&name(GROUP), "reboot", b"at midnight").await.unwrap();
    let opened = fleet.members[0].open(&message).unwrap();
    let voucher = opened.author().unwrap();
    assert_eq!((voucher.name(), &opened.body[..]), (&name("cma.main"), &b"at midnight"[..]));
    let evidence = opened.evidence().unwrap();
    fs::write(cell.folder().join("said.evidence"), evidence.as_bytes()).unwrap();

    // Nobody is asked any more.
    kdc.terminate();
    let verify = ["evidence", "verify", "said.evidence", "--bundle", "zone.bundle"];
    let shown = cell.run(&verify).succeeded().stdout;
    for expected in ["cma.main@test.internal", "nanoprobe@test.internal", "reboot", "at midnight"] {
        assert!(shown.contains(expected), "{expected}: {shown}");
    }
    // Any other byte is another word, which nobody said.
    for at in 0..evidence.as_bytes().len() {
        let mut changed = evidence.as_bytes().to_vec();
        changed[at] ^= 1;
        assert!(Evidence::verify(&changed, &signers(&cell)).is_err(), "byte {at}");
    }
    let mut changed = evidence.as_bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    fs::write(cell.folder().join("said.evidence"), changed).unwrap();
    assert_eq!(cell.run(&verify).code, Some(1));

    // Another zone's KDC knows nothing of it.
    let other = Cell::sqlite();
    let _other_kdc = other.serve();
    other.run(&["bundle", "--out", "other.bundle"]).succeeded();
    fs::write(cell.folder().join("said.evidence"), evidence.as_bytes()).unwrap();
    let bundle = other.folder().join("other.bundle").display().to_string();
    let wrong = cell.run(&["evidence", "verify", "said.evidence", "--bundle", &bundle]);
    assert_eq!(wrong.code, Some(1), "{}", wrong.stdout);
}

/// A group may begin to require proofs while everybody is at work.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_group_that_requires_proof_gets_it_by_itself() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one"]).await;
    // Nothing of it was asked for.
    let message = fleet.cma.seal(&name(GROUP), "", b"as it must be").await.unwrap();
    let opened = fleet.members[0].open(&message).unwrap();
    assert_eq!(opened.author().unwrap().name(), &name("cma.main"));
    // To a party alone there is none unless it is asked for.
    let alone = fleet.cma.seal(&name("nanoprobe.one"), "", b"you alone").await.unwrap();
    assert!(fleet.members[0].open(&alone).unwrap().author().is_none());
    let alone = fleet.cma.with_author_proof().seal(&name("nanoprobe.one"), "", b"in writing").await.unwrap();
    assert!(fleet.members[0].open(&alone).unwrap().evidence().is_some());
    let metrics = kdc.http().get("/metrics").await.text();
    assert!(metrics.contains("keycell_vouchers_total 1\n"), "{metrics}");
}

/// The first signing key of a party is the one: who copied its long-term key is no author by that.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_copied_a_key_without_its_signing_key_is_no_author() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    let key = cell.folder().join("cma.main.key");
    cell.run(&["party", "add", "cma.main"]).succeeded();
    fs::copy(&key, cell.folder().join("stolen.key")).unwrap();
    let cma = keycell_client::https::Agent::connect_file(&key, config()).unwrap();
    cma.with_author_proof().seal(&name(GROUP), "", b"").await.unwrap();

    let thief =
        keycell_client::https::Agent::connect_file(cell.folder().join("stolen.key"), config()).unwrap();
    let error = thief.with_author_proof().seal(&name(GROUP), "", b"").await.unwrap_err();
    assert!(matches!(error, Error::Seal(SealError::VoucherRefused { .. })), "{error}");
    let told = error.to_string();
    assert!(told.contains("keycell party forget-author-key"), "{told}");

    // An administrator may think otherwise; then the next one that asks has it.
    cell.run(&["party", "forget-author-key", "cma.main"]).succeeded();
    let admin = cell.admin(&kdc);
    for action in ["party.author_key.register", "party.author_key.remove"] {
        admin.recorded(action, |record| record["action"] == action).await;
    }
    let member =
        fleet::agent(&cell, "nanoprobe.one", AgentConfig::default().first_use().member_of([name(GROUP)]));
    fleet::joined(&member).await;
    let again = keycell_client::https::Agent::connect_file(
        {
            drop(thief);
            cell.folder().join("stolen.key")
        },
        config(),
    )
    .unwrap();
    let message = until("it has a voucher", async || {
        again.with_author_proof().seal(&name(GROUP), "", b"mine now").await.ok()
    })
    .await;
    assert_eq!(member.open(&message).unwrap().body, b"mine now");
    admin.assert_intact().await;
}

fn signers(cell: &Cell) -> Signers {
    let json = fs::read(cell.folder().join("zone.bundle")).unwrap();
    let bundle = Bundle::from_json(&json).unwrap();
    let keys: Vec<_> = bundle.identities.iter().map(|identity| identity.signing_key).collect();
    let mut signers = Signers::new();
    signers.set(&bundle.zone, &keys);
    signers
}
