use std::sync::Arc;
use std::sync::atomic::Ordering;

use serde_json::{Value, json};

use super::super::Record;
use super::super::fake::{Fake, Log, key};
use super::*;
use crate::clock::ManualClock;

struct Scene {
    store: Arc<Fake>,
    clock: Arc<ManualClock>,
    journal: Journal,
    recorder: Recorder,
    lost: Counter,
}

impl Scene {
    fn new() -> Self {
        let store = Fake::new(Log::empty());
        let clock = Arc::new(ManualClock::new(UnixMillis(1_000_000)));
        let journal = Journal::new(store.clone(), key(), clock.clone());
        let lost = Counter::default();
        Self { store, clock, journal, recorder: Recorder::new(lost.clone()), lost }
    }

    fn now(&self) -> UnixMillis {
        self.journal.now()
    }

    fn deny(&self, party: &str, destinations: impl IntoIterator<Item = String>) {
        let names: Vec<_> = destinations.into_iter().map(|name| name_of(&name)).collect();
        let denials = names.iter().map(|destination| Denial {
            destination,
            problem: ProblemType::NotAllowed,
            rule: Some("r1"),
            border: None,
        });
        self.recorder.denied(self.now(), &name_of(party), None, denials);
    }

    async fn flush(&self) -> Vec<Record> {
        let before = self.records().len();
        self.recorder.flush(&self.journal, false).await.unwrap();
        self.records().split_off(before)
    }

    fn records(&self) -> Vec<Record> {
        self.store.log.lock().unwrap().records.clone()
    }

    fn away(&self, away: bool) {
        self.store.away.store(away, Ordering::SeqCst);
    }
}

fn name_of(local: &str) -> Name {
    format!("{local}@example").parse().unwrap()
}

fn detail(record: &Record) -> Value {
    serde_json::from_str(&record.detail).unwrap()
}

fn count(records: &[Record]) -> u64 {
    records.iter().map(|record| detail(record)["count"].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn the_same_denial_is_one_record_a_minute_with_its_count() {
    let scene = Scene::new();
    for _ in 0..3 {
        scene.deny("a", ["b".into()]);
        scene.clock.advance(100);
    }
    let records = scene.flush().await;
    assert_eq!(records.len(), 1);
    let record = &records[0];
    assert_eq!((record.actor.as_str(), record.action.as_str()), ("party:a@example", "ticket.deny"));
    assert_eq!(
        (record.target.as_str(), record.outcome.as_str(), record.at),
        ("b@example", "denied", UnixMillis(1_000_200))
    );
    let problem = ProblemType::NotAllowed.urn();
    assert_eq!(
        detail(record),
        json!({"count": 3, "first_at": 1_000_000, "last_at": 1_000_200, "problem": problem, "rule": "r1"})
    );

    scene.deny("a", ["b".into()]);
    assert_eq!(scene.flush().await.len(), 0, "not again within the minute");
    scene.clock.advance(WINDOW_MS - 1);
    assert_eq!(scene.flush().await.len(), 0);
    scene.deny("a", ["b".into()]);
    scene.clock.advance(1);
    assert_eq!(count(&scene.flush().await), 2);
    // After a quiet minute it is forgotten, and the next one is new.
    scene.clock.advance(WINDOW_MS);
    assert_eq!(scene.flush().await.len(), 0);
    scene.deny("a", ["b".into()]);
    assert_eq!(count(&scene.flush().await), 1);
}

#[tokio::test]
async fn different_things_are_different_records_in_one_commit() {
    let scene = Scene::new();
    scene.deny("a", ["b".into(), "c".into(), "b".into()]);
    scene.deny("d", ["b".into()]);
    let (b, now) = (name_of("b"), scene.now());
    let other = |problem, rule| [Denial { destination: &b, problem, rule, border: None }];
    scene.recorder.denied(now, &name_of("a"), None, other(ProblemType::NotAllowed, Some("r2")));
    scene.recorder.denied(now, &name_of("a"), None, other(ProblemType::UnknownDestination, None));
    scene.recorder.monitored(
        now,
        &name_of("a"),
        Some([192, 0, 2, 7].into()),
        other(ProblemType::NotAllowed, Some("r1")),
    );
    scene.recorder.denied(now, &name_of("a"), None, []);
    let records = scene.flush().await;
    assert_eq!((records.len(), count(&records)), (6, 7));
    assert_eq!(scene.store.commits.load(Ordering::SeqCst), 1);
    let monitored = records.iter().find(|record| record.action == "ticket.monitor").unwrap();
    assert_eq!((monitored.outcome.as_str(), monitored.address.as_str()), ("done", "192.0.2.7"));
}

#[tokio::test]
async fn one_party_does_not_take_the_room_of_others() {
    let scene = Scene::new();
    scene.deny("a", (0..1000).map(|n| format!("x{n}")));
    scene.deny("b", ["c".into()]);
    let records = scene.flush().await;
    assert_eq!(count(&records), 1001);
    assert!(records.iter().any(|record| record.actor == "party:b@example" && record.target == "c@example"));
    let others: Vec<_> = records.iter().filter(|record| detail(record)["others"] == true).collect();
    assert_eq!(others.len(), 1);
    assert_eq!((others[0].actor.as_str(), others[0].target.as_str()), ("party:a@example", ""));
    assert_eq!((count(&records) - 1 - 256, scene.lost.get()), (744, 744));
    assert_eq!(detail(others[0])["count"], 744);
}

#[tokio::test]
async fn memory_is_bounded_whoever_comes() {
    let scene = Scene::new();
    for n in 0..40_000 {
        scene.deny(&format!("p{n}"), ["c".into()]);
    }
    let records = scene.flush().await;
    assert_eq!(count(&records), 40_000, "nothing is left out of the count");
    assert!(records.len() <= THINGS + SHARDS, "{}", records.len());
    let others: u64 = records
        .iter()
        .filter(|record| record.actor == "kdc")
        .map(|record| count(std::slice::from_ref(record)))
        .sum();
    assert_eq!(others, scene.lost.get());
    assert!(others >= 40_000 - THINGS as u64);
    // When they have been quiet for a minute, there is room again.
    scene.clock.advance(WINDOW_MS);
    assert_eq!(scene.flush().await.len(), 0);
    scene.deny("late", ["c".into()]);
    assert_eq!(scene.flush().await[0].actor, "party:late@example");
}

#[tokio::test]
async fn what_cannot_be_written_waits_and_nothing_is_lost() {
    let scene = Scene::new();
    scene.away(true);
    scene.deny("a", (0..400).map(|n| format!("x{n}")));
    (0..12).for_each(|_| scene.recorder.failed(scene.now(), [192, 0, 2, 1].into(), Some("a@example")));
    for _ in 0..100 {
        assert!(scene.recorder.flush(&scene.journal, false).await.is_err());
        scene.deny("a", ["x1".into(), "x399".into()]);
        scene.recorder.failed(scene.now(), [192, 0, 2, 1].into(), Some("b@example"));
        scene.clock.advance(1000);
    }
    scene.away(false);
    let records = scene.flush().await;
    let (bursts, denials): (Vec<_>, Vec<_>) =
        records.into_iter().partition(|record| record.action == "authentication.burst");
    assert_eq!((denials.len(), count(&denials)), (257, 600));
    assert_eq!((bursts.len(), count(&bursts)), (1, 112));
    assert_eq!(detail(&bursts[0])["names"], json!(["a@example", "b@example"]));
    assert_eq!(scene.flush().await.len(), 0);
}

#[tokio::test]
async fn only_a_burst_of_failures_is_recorded() {
    let scene = Scene::new();
    let fail =
        |address: &str, name: &str| scene.recorder.failed(scene.now(), address.parse().unwrap(), Some(name));
    // Nine within a minute, again and again.
    for _ in 0..30 {
        fail("192.0.2.1", "a");
        scene.clock.advance(WINDOW_MS / 9 + 1);
        assert_eq!(scene.flush().await.len(), 0);
    }
    scene.clock.advance(WINDOW_MS);
    let begin = scene.now();
    // One network, many addresses; seven names.
    for n in 0..12 {
        fail(&format!("2001:db8::{n}"), &format!("n{}", n % 7));
        scene.clock.advance(10);
    }
    let records = scene.flush().await;
    assert_eq!(records.len(), 1);
    assert_eq!(
        (records[0].actor.as_str(), records[0].action.as_str()),
        ("address:2001:db8::", "authentication.burst")
    );
    assert_eq!(records[0].address, "2001:db8::11");
    assert_eq!(
        detail(&records[0]),
        json!({"count": 12, "first_at": begin.0, "last_at": begin.0 + 110, "names": ["n0", "n1", "n2", "n3", "n4"]})
    );
    // It goes on: once a minute, with what came since.
    for _ in 0..60 {
        scene.clock.advance(1000);
        fail("2001:db8::1", "a");
    }
    assert_eq!(count(&scene.flush().await), 60);
    scene.clock.advance(WINDOW_MS);
    fail("2001:db8::1", "a");
    assert_eq!(scene.flush().await.len(), 0, "a single one again");
}

#[tokio::test]
async fn failures_from_too_many_networks_are_counted_together() {
    let scene = Scene::new();
    let address = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
    for n in 0..(NETWORKS as u32 + 50) {
        scene.recorder.failed(scene.now(), address(n), None);
    }
    let records = scene.flush().await;
    assert_eq!((records.len(), count(&records), scene.lost.get()), (1, 50, 50));
    assert_eq!((records[0].actor.as_str(), &detail(&records[0])["others"]), ("kdc", &json!(true)));
    // Nobody is there any more: there is room again.
    scene.clock.advance(WINDOW_MS);
    scene.flush().await;
    (0..10).for_each(|_| scene.recorder.failed(scene.now(), address(1_000_000), None));
    assert_eq!(scene.flush().await[0].actor, format!("address:{}", address(1_000_000)));
}

#[tokio::test]
async fn refused_administrators_are_recorded_by_who_they_are() {
    let scene = Scene::new();
    let refuse = |actor: &Actor| {
        let address = Some([192, 0, 2, 9].into());
        scene.recorder.refused_administrator(
            scene.now(),
            actor,
            address,
            "DELETE /v1/admin/parties",
            "forbidden",
        );
    };
    refuse(&Actor::Administrator("eve".into()));
    refuse(&Actor::Administrator("eve".into()));
    for n in 0..50_u16 {
        refuse(&Actor::Address([0x2001, 0xdb8, 0, 0, 0, 0, 0, n].into()));
    }
    let mut records = scene.flush().await;
    records.sort_by(|a, b| a.actor.cmp(&b.actor));
    let told: Vec<_> =
        records.iter().map(|record| (record.actor.as_str(), count(std::slice::from_ref(record)))).collect();
    assert_eq!(told, [("address:2001:db8::", 50), ("administrator:eve", 2)]);
    assert_eq!(
        (records[1].action.as_str(), records[1].target.as_str()),
        ("administrator.deny", "DELETE /v1/admin/parties")
    );
    assert_eq!(detail(&records[1])["problem"], "forbidden");
}

#[tokio::test]
async fn what_is_counted_is_written_when_it_stops() {
    let scene = Scene::new();
    scene.deny("a", ["b".into()]);
    scene.flush().await;
    scene.deny("a", ["b".into()]);
    let stop = CancellationToken::new();
    stop.cancel();
    scene.recorder.run(scene.journal.clone(), stop).await;
    assert_eq!(count(&scene.records()), 2);
}

#[tokio::test]
async fn a_crowd_is_written_at_once() {
    let scene = Scene::new();
    scene.deny("a", (0..127).map(|n| format!("x{n}")));
    let crowded = scene.recorder.crowded.notified();
    tokio::pin!(crowded);
    assert!(!crowded.as_mut().enable());
    scene.deny("a", ["y".into()]);
    crowded.await;
}
