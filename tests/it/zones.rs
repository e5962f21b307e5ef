//! Cells that trust each other, from end to end: real KDCs over TLS, the agents that hosts embed, and the commands of an
//! administrator on each side.

#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "this is a test")]

#[path = "zones/authors.rs"]
mod authors;
#[path = "zones/changes.rs"]
mod changes;
#[path = "zones/outages.rs"]
mod outages;
#[path = "zones/replicas.rs"]
mod replicas;
#[path = "zones/restored.rs"]
mod restored;
#[path = "zones/scene.rs"]
mod scene;
#[path = "zones/table.rs"]
mod table;

use keycell_client::https::Agent;
use keycell_protocol::{Mode, ProblemType};
use keycell_tests::wait::until;
use serde_json::Value;

use scene::{Zone, why};
use table::{Ends, Table};

/// Three zones: a and b trust each other, and c's parties may speak to a's.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_may_speak_to_whom_and_why_not() {
    let zones @ [a, b, c] = &["a.test", "b.test", "c.test"].map(Zone::start);
    b.lets_speak(a);
    a.lets_speak(b);
    a.lets_speak(c);

    let mut ends = Vec::new();
    for zone in zones {
        zone.cell.run(&["group", "create", "crew"]).succeeded();
        let member = zone.member("crew.one", "crew").await;
        ends.push(Ends { sender: zone.agent("sender"), receiver: zone.agent("receiver"), member });
    }
    let mut table = Table::default();
    for from in 0..3 {
        for to in 0..3 {
            let groups = zones[to].name("crew");
            table.fill((&ends[from], zones[from].zone()), (&ends[to], zones[to].zone()), &groups).await;
        }
    }
    println!("{table}");
    let yes = [("a", "a"), ("a", "b"), ("b", "a"), ("b", "b"), ("c", "a"), ("c", "c")];
    let letter = |zone: &str| zone.split('.').next().unwrap().to_owned();
    for row in table.rows() {
        let pair = (letter(&row.from), letter(&row.to));
        let expected = match (yes.contains(&(&*pair.0, &*pair.1)), row.what) {
            (true, _) => "opened",
            // There is no message to answer.
            (false, "reply") => "nothing to answer",
            // That c may speak to a, and a to b, gives c nothing; and a gives nothing back to c.
            (false, _) => "untrusted-zone",
        };
        assert_eq!(row.verdict, expected, "{row:?}\n{table}");
    }
    assert_eq!(table.rows().len(), 27);
    // A message to a group is answered by one of one's own, for which there must be a trust: c hears no member of a.
    let heard = ends[2].sender.seal(&a.name("crew"), "", b"crew?").await.unwrap();
    let opened = ends[0].member.open(&heard).unwrap();
    let answer = ends[0].member.seal(&opened.source, "", b"here").await.unwrap_err();
    assert_eq!(why(&answer), Some(ProblemType::UntrustedZone));
    for zone in zones {
        zone.admin().assert_intact().await;
    }
}

/// The receiver asks nobody, in whatever zone it is; the sender asks its own KDC once.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nobody_notices_the_border() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    b.lets_speak(a);
    let (sender, receiver) = (a.agent("sender"), b.agent("receiver"));
    for round in 0..20_u8 {
        let message = sender.seal(receiver.name(), "topic", &[round]).await.unwrap();
        let opened = receiver.open(&message).unwrap();
        assert_eq!(
            (&opened.source, &opened.body[..], opened.mode),
            (sender.name(), &[round][..], Mode::Sealed)
        );
        let reply = receiver.reply(&opened, &[round + 100]).unwrap();
        let opened = sender.open(&reply).unwrap();
        assert_eq!(
            (&opened.source, &opened.body[..], opened.is_reply()),
            (receiver.name(), &[round + 100][..], true)
        );
    }
    assert_eq!((sender.stats().requests, receiver.stats().requests), (1, 0));
    // One trust is one way.
    let back = receiver.seal(sender.name(), "", b"").await.unwrap_err();
    assert_eq!(why(&back), Some(ProblemType::UntrustedZone));

    // One body for many, in both zones: each its own part, and for whom there is no ticket is told alone.
    let (home, abroad, nobody) = (a.agent("home"), b.agent("abroad"), b.name("nobody"));
    let to = [home.name().clone(), abroad.name().clone(), nobody.clone()];
    let many = sender.seal_many(&to, "all", b"to all").await.unwrap();
    for (agent, (name, part)) in [&home, &abroad].into_iter().zip(&many.parts) {
        assert_eq!(name, agent.name());
        let opened = agent.open_many(part.as_ref().unwrap(), &many.common).unwrap();
        assert_eq!(opened.body, b"to all");
    }
    let (name, part) = &many.parts[2];
    assert!(*name == nobody && part.is_err(), "{part:?}");
    let error = sender.seal(&nobody, "", b"").await.unwrap_err();
    assert_eq!(why(&error), Some(ProblemType::UnknownDestination));
}

/// What one KDC refuses is in the audit log of both, under one correlation; and so are the tickets in what both log of them.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn both_sides_tell_of_a_denial_by_one_name() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    // A zone may be let do more by its own KDC than by the other one: it asks, and is refused.
    b.lets_speak_told(a, &["--source", "cma.*", "--log-tickets", "true"], &["--log-tickets", "true"]);
    let (cma, other) = (a.agent("cma.one"), a.agent("other.one"));
    let receiver = b.agent("receiver");
    cma.seal(receiver.name(), "", b"").await.unwrap();
    let error = other.seal(receiver.name(), "", b"").await.unwrap_err();
    assert_eq!(why(&error), Some(ProblemType::NotAllowed));

    let told = async |zone: &Zone| {
        let admin = zone.admin();
        let denial =
            |record: &Value| record["action"] == "ticket.deny" && record["detail"]["correlation"].is_string();
        admin.recorded("a denial with a correlation", denial).await
    };
    let (asked, gave) = (told(a).await, told(b).await);
    assert_eq!(asked["detail"]["correlation"], gave["detail"]["correlation"], "{asked}\n{gave}");
    assert_eq!(asked["detail"]["correlation"].as_str().unwrap().len(), 32);
    assert_eq!((&asked["detail"]["zone"], &gave["detail"]["zone"]), (&"b.test".into(), &"a.test".into()));
    let correlation = async |zone: &Zone, what: &str| {
        let line = until("the ticket is a line of the log", async || {
            zone.kdc.log().lines().find(|line| line.contains(what)).map(str::to_owned)
        });
        let line = line.await;
        let (_, correlation) = line.split_once("correlation=").unwrap_or_else(|| panic!("{line}"));
        correlation.split_whitespace().next().unwrap().to_owned()
    };
    for what in ["ticket issued", "ticket refused"] {
        assert_eq!(correlation(a, what).await, correlation(b, what).await, "{what}");
    }
    assert_ne!(correlation(a, "ticket issued").await, correlation(a, "ticket refused").await);
    for zone in [a, b] {
        zone.admin().assert_intact().await;
    }
}

/// Talks both ways under one ticket.
fn talk(from: &Agent, to: &Agent, message: &[u8]) {
    let opened = to.open(message).unwrap();
    let reply = to.reply(&opened, b"well").unwrap();
    assert_eq!(from.open(&reply).unwrap().body, b"well");
}
