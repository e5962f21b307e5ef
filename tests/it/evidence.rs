//! Author proofs from end to end: a host that proves what it says, a receiver that keeps it, and somebody who checks it with
//! the bundle and nothing else.

#![expect(clippy::unwrap_used, reason = "this is a test")]

use std::fs;
use std::path::{Path, PathBuf};

use keycell_client::https::{Agent, Config, Error};
use keycell_client::{AgentConfig, AgentKey, SealError};
use keycell_protocol::{Name, ProblemType};
use keycell_tests::cell::{Cell, Ended};
use keycell_tests::kdc::Kdc;
use keycell_tests::wait::until;
use serde_json::Value;

fn name(local: &str) -> Name {
    format!("{local}@{}", Cell::ZONE).parse().unwrap()
}

fn add(cell: &Cell, local: &str) -> PathBuf {
    cell.run(&["party", "add", local]).succeeded();
    cell.folder().join(format!("{local}.key"))
}

fn connect(path: &Path) -> Agent {
    let mut config = Config { agent: AgentConfig::default().first_use(), ..Config::default() };
    config.agent.opener.require_author_proof = true;
    Agent::connect_file(path, config).unwrap()
}

async fn bundle(cell: &Cell, kdc: &Kdc) -> PathBuf {
    let path = cell.folder().join("bundle.json");
    fs::write(&path, kdc.http().get("/v1/bundle").await.body).unwrap();
    path
}

fn check(cell: &Cell, evidence: &[u8], arguments: &[&str]) -> Ended {
    let path = cell.folder().join("evidence");
    fs::write(&path, evidence).unwrap();
    cell.run(&[&["evidence", "verify", "evidence", "--bundle", "bundle.json"], arguments].concat())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_proved_is_kept_and_checked_without_a_kdc() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    let (a_key, b_key) = (add(&cell, "a"), add(&cell, "b"));
    // Whom to believe is in the file that was handed out; a signing key is not.
    let file = AgentKey::load(&a_key).unwrap();
    assert!(file.author.is_none() && file.signers.len() == 2);
    let (a, b) = (connect(&a_key), connect(&b_key));
    let message = a.with_author_proof().seal(&name("b"), "patch", "install 4.2\x1b[2J".as_bytes()).await;
    let opened = b.open(&message.unwrap()).unwrap();
    let author = AgentKey::load(&a_key).unwrap().author.unwrap().public();
    assert_eq!(opened.author().map(|voucher| voucher.public_key()), Some(author));
    let signed = a.with_author_proof().try_sign(&name("b"), "", &[0xFF, 0, 1]).unwrap();
    let signed = b.open(&signed).unwrap();
    let many = a.with_author_proof().seal_many(&[name("b")], "all", b"reboot").await.unwrap();
    let part = b.open_many(many.parts[0].1.as_ref().unwrap(), &many.common).unwrap();
    let reply = b.with_author_proof().reply(&opened, b"done");
    assert_eq!(reply, Err(SealError::NoVoucher), "it has never needed one");
    b.prefetch_voucher().await.unwrap();
    let reply = a.open(&b.with_author_proof().reply(&opened, b"done").unwrap()).unwrap();
    assert!(reply.is_reply() && reply.author().is_some());

    bundle(&cell, &kdc).await;
    kdc.terminate();
    let evidence = opened.evidence().unwrap();
    let told = check(&cell, evidence.as_bytes(), &[]).succeeded().stdout;
    assert!(told.starts_with("a@test.internal said this to b@test.internal.\nsent at    20"), "{told}");
    assert!(told.contains("topic      patch\n"), "{told}");
    assert!(told.ends_with("body       15 bytes: \"install 4.2\\u{1b}[2J\"\n"), "{told:?}");
    for (opened, to, body) in [(&signed, "b", "/wAB"), (&part, "b", "cmVib290"), (&reply, "a", "ZG9uZQ==")] {
        let told = check(&cell, opened.evidence().unwrap().as_bytes(), &["--json"]).succeeded().stdout;
        let told: Value = serde_json::from_str(&told).unwrap();
        assert_eq!((&told["verified"], &told["body"]), (&true.into(), &body.into()));
        assert_eq!(told["destination"], name(to).as_str());
        assert_eq!(told["voucher"]["name"], told["source"]);
    }
    check(&cell, part.evidence().unwrap().as_bytes(), &["--body", "body"]).succeeded();
    assert_eq!(fs::read(cell.folder().join("body")).unwrap(), b"reboot");
    let again = check(&cell, evidence.as_bytes(), &["--body", "body"]);
    assert_eq!((again.code, &*again.stderr), (Some(1), "keycell: body exists already; choose another\n"));

    // What was changed, what is none, and a bundle of others.
    let mut changed = evidence.as_bytes().to_vec();
    *changed.last_mut().unwrap() ^= 1;
    let refused = check(&cell, &changed, &[]);
    assert_eq!((refused.code, &*refused.stdout), (Some(1), ""));
    assert_eq!(refused.stderr, "keycell: evidence: a signature does not hold: the source did not say this\n");
    let claimed = cell.run(&["evidence", "show", "evidence"]).succeeded().stdout;
    assert!(claimed.starts_with("NOT CHECKED: this claims that a@test.internal said it"), "{claimed}");
    let none = check(&cell, b"nothing", &[]);
    assert_eq!(none.stderr, "keycell: evidence: this is no evidence, or a damaged copy\n");
    let other = Cell::sqlite();
    let other_kdc = other.serve();
    fs::copy(bundle(&other, &other_kdc).await, cell.folder().join("bundle.json")).unwrap();
    let unknown = check(&cell, evidence.as_bytes(), &[]);
    assert_eq!(
        unknown.stderr,
        "keycell: evidence: the author is vouched for by a KDC that is not in this bundle\n"
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_host_made_anew_is_not_the_author_until_an_administrator_says_so() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let (a_key, b_key) = (add(&cell, "a"), add(&cell, "b"));
    let image = fs::read(&a_key).unwrap();
    let (a, b) = (connect(&a_key), connect(&b_key));
    let first = a.with_author_proof().seal(&name("b"), "", b"1").await.unwrap();
    let first = b.open(&first).unwrap();
    drop(a);
    fs::write(&a_key, image).unwrap();
    let a = connect(&a_key);
    let refused = a.with_author_proof().seal(&name("b"), "", b"2").await.unwrap_err();
    assert!(
        matches!(refused, Error::Seal(SealError::VoucherRefused { problem: ProblemType::Conflict, .. })),
        "{refused}"
    );
    // It stays itself in all that needs no proof.
    assert!(a.seal(&name("b"), "", b"3").await.is_ok());
    let admin = cell.admin(&kdc);
    let path = "/v1/admin/parties/a@test.internal/author-key";
    let forgotten = admin.request(reqwest::Method::DELETE, path).send().await.unwrap();
    assert!(forgotten.status().is_success(), "{forgotten:?}");
    drop(a);
    let a = connect(&a_key);
    let second =
        until("it is the author", async || a.with_author_proof().seal(&name("b"), "", b"4").await.ok());
    let second = b.open(&second.await).unwrap();
    let key = |opened: &keycell_client::Opened| opened.author().unwrap().public_key();
    assert_ne!(key(&first), key(&second));
}
