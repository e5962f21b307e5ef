//! Author proofs over a border.

use std::fs;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use keycell_client::system_rng;
use keycell_protocol::{
    AuthorKey, Extras, Grant, Header, Mode, Name, Outcome, Salt, SignerKey, StreamKey, Topic, Under, Voucher,
};
use keycell_tests::party::{Party, now};

use super::scene::{Zone, config, joined, opens};

/// A message to a group of another zone says who wrote it, and the zone's members believe that zone's KDC.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_author_is_believed_over_the_border_and_a_forged_one_is_not() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    b.cell.run(&["group", "create", "crew", "--author-proof"]).succeeded();
    // One that was there before the trust, and learns of it from its KDC.
    let before = b.member("crew.before", "crew").await;
    b.lets_speak(a);
    let after = b.member("crew.after", "crew").await;
    let mut strict = config();
    strict.opener.require_author_proof = true;
    let strict = b.agent_with("strict", strict);

    let cma = a.agent("cma.main");
    let message = cma.seal(&b.name("crew"), "order", b"all of you").await.unwrap();
    assert_eq!(after.open(&message).unwrap().author().unwrap().name(), cma.name());
    before.leave(&b.name("crew"));
    before.join(&b.name("crew"));
    joined(&before).await;
    assert_eq!(opens(&before, &message).await, b"all of you");

    let proved = cma.with_author_proof().seal(strict.name(), "order", b"you").await.unwrap();
    let opened = strict.open(&proved).unwrap();
    assert_eq!(opened.author().unwrap().name(), cma.name());
    let silent = cma.seal(strict.name(), "order", b"you").await.unwrap();
    assert_eq!(strict.open(&silent).unwrap_err().cause().code(), "author-missing");

    // What was said is evidence in the zone where it was heard.
    let bundle = b.cell.run(&["bundle"]).succeeded().stdout;
    fs::write(b.cell.folder().join("bundle.json"), bundle).unwrap();
    fs::write(b.cell.folder().join("evidence"), opened.evidence().unwrap().as_bytes()).unwrap();
    let verify = ["evidence", "verify", "evidence", "--bundle", "bundle.json"];
    let told = b.cell.run(&verify).succeeded().stdout;
    assert!(told.starts_with("cma.main@a.test said this to strict@b.test."), "{told}");

    // Who has a ticket, and not the word of the author's KDC: a KDC that nobody knows, or its own KDC's for its own name.
    let party = Party::load(&a.cell.folder().join("cma.main.key"));
    let (crew, alone) = (b.name("crew"), strict.name().clone());
    let outcomes = party.ask(&a.kdc.http(), &[crew.as_str(), alone.as_str()]).await.unwrap();
    let mallory = b.admin().add(b.name("mallory").as_str()).await;
    let author = AuthorKey::generate(&mut system_rng());
    let own = mallory.voucher(&b.kdc.http(), &author).await.unwrap().voucher;
    let unknown = unknown_word(&party.name, &author);
    for (outcome, receiver) in outcomes.iter().zip([&after, &strict]) {
        let Outcome::Granted(grant) = outcome else { panic!("{outcome:?}") };
        for (voucher, code) in [(&unknown, "author-unknown"), (&own, "author-forged")] {
            let forged = forge(&party.name, grant, (&author, voucher));
            assert_eq!(receiver.open(&forged).unwrap_err().cause().code(), code);
        }
    }
}

/// A voucher for `name` by a KDC of nobody's.
fn unknown_word(name: &Name, author: &AuthorKey) -> Voucher {
    let kdc = Ed25519KeyPair::generate().unwrap();
    let signer = SignerKey::new(kdc.public_key().as_ref().try_into().unwrap());
    let good = (now().minus(60_000).seconds(), now().plus(3_600_000).seconds());
    let sign = |bytes: &[u8]| kdc.sign(bytes).as_ref().try_into().unwrap();
    Voucher::issue(name, author.public(), good, &signer, sign)
}

/// A message with a genuine ticket, and with such a proof.
fn forge(source: &Name, grant: &Grant, (author, voucher): (&AuthorKey, &Voucher)) -> Vec<u8> {
    let header = Header {
        mode: Mode::Sealed,
        extras: Extras { author_proof: true, detached: false },
        expiration: grant.expiration,
        sent_at: now(),
        sequence: 0,
        source,
        destination: &grant.destination,
        topic: Topic::try_from("order").unwrap(),
        under: Under::Ticket(grant.ticket.as_bytes()),
    };
    let key = StreamKey::new(grant.sek.clone(), Salt::generate(&mut system_rng()));
    key.write_authored(&header, (author, voucher), b"forged")
}
