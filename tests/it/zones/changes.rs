//! Trusts that change while agents talk.

use std::fs;

use keycell_client::https::Agent;
use keycell_protocol::ProblemType;
use keycell_tests::party::Party;
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
        assert_eq!(why(&error), Some(ProblemType::UntrustedZone), "{direction}");
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

/// Its key changes from either end, and nobody who talks notices.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trust_that_is_rotated_or_renewed_loses_no_message() {
    let [a, b, c] = &["a.test", "b.test", "c.test"].map(Zone::start);
    let mut all = Vec::new();
    for (asks, gives) in [(a, b), (b, c), (c, a)] {
        gives.lets_speak_told(asks, &["--lifetime", "10s"], &[]);
        let talkers = Talkers::of(asks, gives);
        talkers.say(b"first").await;
        all.push(talkers);
    }
    let generation =
        |asks: &Zone, gives: &Zone| asks.trust("outgoing", gives)["generation"].as_u64().unwrap();

    a.cell.run(&["trust", "rotate", "outgoing", b.zone()]).succeeded();
    all[0].until_renewed(1, || generation(a, b) == 2).await;
    // The one who gives asks for another key in its next answer.
    c.cell.run(&["trust", "rotate", "incoming", b.zone()]).succeeded();
    all[1].until_renewed(1, || generation(b, c) == 2).await;
    // A second offer is another key beside the one in use, until it is first used.
    let fingerprint = a.offer(c, &[]);
    all[2].until_renewed(1, || generation(c, a) == 1).await;
    c.accept(a, &fingerprint, &[]);
    all[2].until_renewed(1, || generation(c, a) == 2).await;

    for Talkers { sender, receiver } in &all {
        let stats = (sender.stats(), receiver.stats());
        assert!(stats.0.refused.is_empty() && stats.1.refused.is_empty(), "{stats:?}");
        assert_eq!((stats.0.failures, stats.0.refusals), (0, 0), "{:?}", stats.0);
    }
    for zone in [a, b, c] {
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
    a.cell.run(&["party", "add", "fresh"]).succeeded();
    let fresh = Party::load(&a.cell.folder().join("fresh.key"));
    let refusal = fresh.refusal(&a.kdc.http(), talkers.receiver.name().as_str()).await;
    assert_eq!(refusal, Some(ProblemType::Unavailable), "b knows a no more, and a does not know why");
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

/// What a recovery cannot reach, the other zone has to end, and who recovers is told so: also where something is left to do.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_recovers_is_told_whom_to_call() {
    for nowhere_to_put_the_token in [false, true] {
        let [mut a, b] = ["a.test", "b.test"].map(Zone::start);
        b.lets_speak(&a);
        fs::write(a.cell.folder().join("passphrase"), "lorem ipsum dolor sit amet consectetur\n").unwrap();
        let file = ["secondary.age", "--passphrase-file", "passphrase"];
        a.cell.run(&[&["identity", "export-secondary"], &file[..]].concat()).succeeded();
        assert_eq!(a.kdc.terminate(), Some(0));
        let recover = || a.cell.run(&[&["identity", "recover", "--yes"], &file[..]].concat());
        let says = "administrators of b.test to run `keycell trust disable incoming a.test` now";
        if nowhere_to_put_the_token {
            let token = a.cell.file("admin.token");
            fs::remove_file(&token).unwrap();
            fs::create_dir(&token).unwrap();
            let told = recover().failed();
            assert!(told.contains("this is left to do: cannot write") && told.contains(says), "{told}");
            fs::remove_dir(&token).unwrap();
            let told = recover().succeeded().stdout;
            assert!(told.contains("what was left to do is done") && !told.contains(says), "{told}");
        } else {
            let told = recover().succeeded().stdout;
            assert!(told.contains(says), "{told}");
        }
    }
}
