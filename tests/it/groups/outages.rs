//! Groups while KDCs and databases go away.

use std::path::Path;

use keycell_client::https::Agent;
use keycell_client::{AgentKey, Membership};
use keycell_tests::cell::Cell;
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;

use super::fleet::{self, Fleet, GROUP, config, name, opens};

/// Members hear each other without the KDC, and the same keys come of what it finds again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kdc_that_is_killed_goes_on_with_the_same_keys() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    let fleet = Fleet::start(&cell, &["nanoprobe.one", "nanoprobe.two"]).await;
    let say = async |text: &[u8]| fleet.cma.with_author_proof().seal(&name(GROUP), "", text).await.unwrap();
    let first = say(b"first").await;
    kdc.kill9();
    let second = say(b"second").await;
    for member in &fleet.members {
        for (message, text) in [(&first, "first"), (&second, "second")] {
            assert_eq!(member.open(message).unwrap().body, text.as_bytes());
        }
    }

    // Killed in the middle of changes: each is there whole, or not at all, and nobody is locked out.
    for round in 0..3 {
        kdc = cell.serve();
        let mut rotate = cell.command();
        rotate.args(["group", "rotate", GROUP]);
        let rotating = tokio::task::spawn_blocking(move || keycell_tests::cell::ended(&mut rotate));
        if round > 0 {
            // As far as it comes by now.
            tokio::task::yield_now().await;
            kdc.kill9();
        }
        let _ = rotating.await.unwrap();
        kdc.kill9();
        kdc = cell.serve();
        let fresh = fleet::agent(&cell, &format!("cma.r{round}"), config().agent);
        let message = fresh.with_author_proof().seal(&name(GROUP), "", &[round]).await.unwrap();
        let old = say(&[50 + round]).await;
        for member in &fleet.members {
            assert_eq!(opens(member, &message).await, [round]);
            assert_eq!(opens(member, &old).await, [50 + round]);
        }
        kdc.kill9();
    }
    let kdc = cell.serve();
    cell.admin(&kdc).assert_intact().await;
}

/// Who asks one KDC understands who asked another, and a removal at one holds at the other.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kdcs_of_a_zone_give_the_same_keys() {
    let cell = Cell::postgres(&Postgres::shared());
    let (one, two) = (cell.serve(), cell.replica());
    cell.run(&["group", "create", GROUP, "--author-proof"]).succeeded();
    for local in ["cma.one", "cma.two", "nanoprobe.one", "nanoprobe.two"] {
        cell.run(&["party", "add", local]).succeeded();
    }
    let at = |local: &str, kdc: &Kdc| at(&cell.folder().join(format!("{local}.key")), kdc);
    let (cma_one, cma_two) = (at("cma.one", &one), at("cma.two", &two));
    let (hears_one, hears_two) = (at("nanoprobe.one", &one), at("nanoprobe.two", &two));
    for member in [&hears_one, &hears_two] {
        member.join(&name(GROUP));
        fleet::joined(member).await;
    }
    for (cma, text) in [(&cma_one, b"one"), (&cma_two, b"two")] {
        let message = cma.with_author_proof().seal(&name(GROUP), "", text).await.unwrap();
        for member in [&hears_one, &hears_two] {
            // A voucher of either: both sign with the zone's one identity.
            let opened = member.open(&message).unwrap();
            assert_eq!(opened.body, text);
            assert_eq!(opened.author().unwrap().name(), cma.name());
        }
    }

    cell.run(&["group", "members", GROUP, "--remove", "nanoprobe.two"]).succeeded();
    // The other KDC hears of it within a second; until then it gives the old keys.
    until("the other KDC knows", async || {
        let groups = hears_two.groups();
        if groups.iter().any(|(_, state)| matches!(state, Membership::Member { .. })) {
            hears_two.leave(&name(GROUP));
            hears_two.join(&name(GROUP));
        }
        groups.iter().any(|(_, state)| matches!(state, Membership::Refused { .. })).then_some(())
    })
    .await;
    cell.run(&["party", "add", "cma.three"]).succeeded();
    let fresh = at("cma.three", &two);
    let message = fresh.with_author_proof().seal(&name(GROUP), "", b"three").await.unwrap();
    assert_eq!(opens(&hears_one, &message).await, b"three");
    assert_eq!(hears_two.open(&message).unwrap_err().cause().code(), "not-for-me");
    cell.admin(&two).assert_intact().await;
}

/// An agent that asks this KDC and no other.
fn at(key: &Path, kdc: &Kdc) -> Agent {
    let mut file = AgentKey::load(key).unwrap();
    file.kdc.urls = vec![kdc.url()];
    let asks = key.with_extension("asks");
    file.write_new(&asks).unwrap();
    Agent::connect_file(asks, config()).unwrap()
}
