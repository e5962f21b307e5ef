//! A zone with two KDCs on PostgreSQL that asks another zone.

use std::path::Path;

use keycell_client::AgentKey;
use keycell_client::https::{Agent, Config};
use keycell_protocol::ProblemType;
use keycell_tests::cell::Cell;
use keycell_tests::kdc::Kdc;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::until;

use super::scene::{Zone, config, why};
use super::talk;

/// Both ask with the one key of the trust, whoever of them was given it and whoever turns it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_kdcs_of_a_zone_share_a_trust() {
    let a = Zone::serve(Cell::postgres_of_zone(&Postgres::shared(), "a.test"));
    let second = a.cell.replica();
    let b = Zone::start("b.test");
    b.lets_speak_told(&a, &["--lifetime", "10s"], &[]);
    let receiver = b.agent("receiver");
    let (one, two) = (at(&a, "sender.one", &a.kdc), at(&a, "sender.two", &second));
    for sender in [&one, &two] {
        // The other KDC hears of the trust within a second.
        let sealed = until("both know the trust", async || sender.seal(receiver.name(), "", b"1").await.ok());
        talk(sender, &receiver, &sealed.await);
    }

    // Told once, one of them rotates; the other one goes on with the new key.
    a.cell.run(&["trust", "rotate", "outgoing", b.zone()]).succeeded();
    until("the key is another", async || {
        for sender in [&one, &two] {
            let message = sender.seal(receiver.name(), "", b"on and on").await.unwrap();
            talk(sender, &receiver, &message);
        }
        (a.trust("outgoing", &b)["generation"] == 2).then_some(())
    })
    .await;
    for sender in [&one, &two] {
        let before = sender.stats().tickets;
        until("each is given tickets under it", async || {
            let message = sender.seal(receiver.name(), "", b"on and on").await.unwrap();
            talk(sender, &receiver, &message);
            (sender.stats().tickets > before).then_some(())
        })
        .await;
        assert_eq!(sender.stats().refusals, 0);
    }
    // What one of them is told holds at the other within a second.
    a.cell.run(&["trust", "disable", "outgoing", b.zone()]).succeeded();
    for (number, kdc) in [&a.kdc, &second].into_iter().enumerate() {
        let mut tries = 0;
        until("it is refused at both", async || {
            tries += 1;
            let fresh = at(&a, &format!("fresh.{number}.{tries}"), kdc);
            let sealed = fresh.seal(receiver.name(), "", b"").await;
            sealed.err().filter(|error| why(error) == Some(ProblemType::UntrustedZone))
        })
        .await;
    }
    a.admin().assert_intact().await;
}

/// An agent that asks this KDC and no other.
fn at(zone: &Zone, local: &str, kdc: &Kdc) -> Agent {
    zone.cell.run(&["party", "add", local]).succeeded();
    let key = zone.cell.folder().join(format!("{local}.key"));
    let mut file = AgentKey::load(&key).unwrap();
    file.kdc.urls = vec![kdc.url()];
    let asks: &Path = &key.with_extension("asks");
    file.write_new(asks).unwrap();
    let config = Config { agent: config(), ..Config::default() };
    Agent::connect_file(asks, config).unwrap()
}
