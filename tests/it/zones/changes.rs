//! Trusts that change while agents talk.

use keycell_client::https::Agent;
use keycell_protocol::ProblemType;
use keycell_tests::wait::until;

use super::scene::{Zone, why};
use super::talk;

/// Agents that talk over the border under tickets of seconds, so that each change meets tickets that are asked for.
struct Talkers {
    sender: Agent,
    receiver: Agent,
}

impl Talkers {
    fn of(a: &Zone, b: &Zone) -> Self {
        Self { sender: a.agent("sender"), receiver: b.agent("receiver") }
    }

    /// One message there and back; a ticket for it is asked for anew where the last one is over.
    async fn say(&self, text: &[u8]) {
        let message = self.sender.seal(self.receiver.name(), "", text).await.unwrap();
        talk(&self.sender, &self.receiver, &message);
    }

    /// Talks without a pause until its ticket has been renewed so often, and `done` besides.
    async fn until_renewed(&self, times: u64, mut done: impl FnMut() -> bool) {
        let before = self.sender.stats().tickets;
        until("tickets come again and again", async || {
            self.say(b"on and on").await;
            (self.sender.stats().tickets >= before + times && done()).then_some(())
        })
        .await;
    }
}

/// Disabled at one end or the other, it gives nothing; enabled again, it does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_is_disabled_gives_no_ticket_and_takes_none_back() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    b.lets_speak(a);
    let talkers = Talkers::of(a, b);
    talkers.say(b"first").await;
    let home = a.agent("home");
    for (zone, direction, other) in [(b, "incoming", a), (a, "outgoing", b)] {
        zone.cell.run(&["trust", "disable", direction, other.zone()]).succeeded();
        // Under the ticket that it has, the sender goes on: nothing that was given is taken back.
        talkers.say(b"under the ticket").await;
        // Who has none gets none.
        let fresh = a.agent(&format!("fresh.{direction}"));
        let error = fresh.seal(talkers.receiver.name(), "", b"").await.unwrap_err();
        let expected =
            if direction == "incoming" { ProblemType::PartyDisabled } else { ProblemType::UntrustedZone };
        let problem = why(&error).unwrap();
        assert!(problem == expected || problem == ProblemType::UntrustedZone, "{problem:?}");
        drop(fresh.seal(home.name(), "", b"at home").await.unwrap());
        zone.cell.run(&["trust", "enable", direction, other.zone()]).succeeded();
        let again = a.agent(&format!("again.{direction}"));
        until("it gives tickets again", async || again.seal(talkers.receiver.name(), "", b"").await.ok())
            .await;
    }
    for (zone, actions) in [(a, ["trust.accept", "trust.disable"]), (b, ["trust.offer", "trust.enable"])] {
        for action in actions {
            zone.admin().recorded(action, |record| record["action"] == action).await;
        }
    }
}

/// Its keys change from either end, and nobody who talks notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_is_rotated_or_renewed_loses_no_message() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    b.lets_speak_told(a, &["--lifetime", "10s"], &[]);
    let talkers = Talkers::of(a, b);
    talkers.say(b"first").await;
    let generation = || a.trust("outgoing", b)["generation"].as_u64().unwrap();
    assert_eq!(generation(), 1);

    a.cell.run(&["trust", "rotate", "outgoing", b.zone()]).succeeded();
    talkers.until_renewed(1, || generation() == 2).await;
    // The one who gives asks for another key in its next answer.
    b.cell.run(&["trust", "rotate", "incoming", a.zone()]).succeeded();
    talkers.until_renewed(1, || generation() == 3).await;
    // A second offer is another key beside the one in use, until it is first used.
    let fingerprint = b.offer(a, &[]);
    talkers.until_renewed(1, || true).await;
    a.accept(b, &fingerprint, &[]);
    talkers.until_renewed(1, || generation() == 4).await;

    let stats = (talkers.sender.stats(), talkers.receiver.stats());
    assert!(stats.0.refused.is_empty() && stats.1.refused.is_empty(), "{stats:?}");
    assert_eq!((stats.0.failures, stats.0.refusals), (0, 0), "{:?}", stats.0);
    for zone in [a, b] {
        zone.admin().assert_intact().await;
    }
}

/// Who deletes a trust, or offers it once more to begin anew, locks nobody out for good.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_is_deleted_begins_anew() {
    let [a, b] = &["a.test", "b.test"].map(Zone::start);
    b.lets_speak(a);
    let talkers = Talkers::of(a, b);
    talkers.say(b"first").await;
    b.cell.run(&["trust", "delete", "incoming", a.zone()]).succeeded();
    let fresh = a.agent("fresh");
    let error = fresh.seal(talkers.receiver.name(), "", b"").await.unwrap_err();
    println!("after the trust was deleted at b, a's party is told: {error}");
    a.cell.run(&["trust", "delete", "outgoing", b.zone()]).succeeded();
    let error = a.agent("later").seal(talkers.receiver.name(), "", b"").await.unwrap_err();
    assert_eq!(why(&error), Some(ProblemType::UntrustedZone));

    b.lets_speak(a);
    let again = a.agent("again");
    let message = again.seal(talkers.receiver.name(), "", b"again").await.unwrap();
    talk(&again, &talkers.receiver, &message);
    // By the key of before nothing is to be had: it is of a generation that is gone.
    assert!(a.trust("outgoing", b)["generation"].as_u64().unwrap() > 1);
}
