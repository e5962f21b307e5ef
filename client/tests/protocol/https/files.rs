//! Agents that keep a key file up.

use std::fs;
use std::path::Path;
use std::sync::Arc;

use keycell_client::https::{Agent, Config, ConnectError, Transport, blocking};
use keycell_client::{AgentKey, KeyFileError};
use keycell_protocol::{Epoch, Generation, LongTermKey};
use tempfile::TempDir;

use super::{HostClock, Mood, Net, config, pass};
use crate::cell::{DAY, PERIOD, START, name};

const ROTATE: &str = "/v1/keys/rotate";

struct Host {
    net: Arc<Net>,
    folder: TempDir,
}

impl Host {
    fn new(net: &Arc<Net>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        net.key("b");
        net.key("a").write_new(folder.path().join("a.key")).unwrap();
        Self { net: Arc::clone(net), folder }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("a.key")
    }

    fn agent(&self) -> Result<Agent, ConnectError> {
        let clock = Arc::new(HostClock { net: Arc::clone(&self.net), off: 0 });
        Agent::with_file(self.path(), config(), Arc::clone(&self.net) as Arc<dyn Transport>, clock)
    }

    fn file(&self) -> AgentKey {
        AgentKey::load(self.path()).unwrap()
    }

    fn want_rotation(&self) {
        self.net.cell.lock().unwrap().want_rotation("a");
    }
}

/// Waits until it is so, an hour of paused time at most.
async fn until(what: &str, holds: impl Fn() -> bool) {
    for _ in 0..3_600 {
        if holds() {
            return;
        }
        pass(1_000).await;
    }
    panic!("{what}");
}

fn day(n: u32) -> Epoch {
    Epoch(PERIOD.epoch(START.seconds()).0 + n)
}

#[tokio::test(start_paused = true)]
async fn the_file_turns_with_the_days() {
    let net = Net::new();
    let host = Host::new(&net);
    let agent = host.agent().unwrap();
    agent.keep(&name("b")).unwrap();
    for n in 1..4 {
        pass(DAY).await;
        until("it is stored", || host.file().key.epoch() == day(n - 1)).await;
    }
    assert_eq!(agent.key_file_failure(), None);
    // Nobody else keeps it up meanwhile, and the next may at once.
    let error = host.agent().unwrap_err();
    assert!(matches!(error, ConnectError::KeyFile(KeyFileError::InUse { .. })), "{error}");
    let clone = agent.clone();
    drop(agent);
    assert!(host.agent().is_err());
    drop(clone);
    host.agent().unwrap().seal(&name("b"), "", b"").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn it_rotates_when_it_is_asked_and_no_ticket_waits() {
    let net = Net::new();
    let host = Host::new(&net);
    let agent = host.agent().unwrap();
    host.want_rotation();
    ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ROTATE, Mood::Hangs));
    agent.seal(&name("b"), "", b"").await.unwrap();
    until("it has asked", || net.asked.lock().unwrap().iter().any(|url| url.ends_with(ROTATE))).await;
    for n in 0..20 {
        let party = format!("probe{n}");
        net.key(&party);
        let before = tokio::time::Instant::now();
        agent.seal(&name(&party), "", b"").await.unwrap();
        assert!(before.elapsed().is_zero(), "no time goes by on this network");
        pass(777).await;
    }
    assert_eq!(agent.generation(), Generation(1));
    ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ROTATE, Mood::Well));
    until("it is rotated", || host.file().key.generation() == Generation(2)).await;
    assert_eq!((agent.generation(), agent.stats().rotations), (Generation(2), 1));
    assert_eq!(host.file().kdc, net.key("a").kdc, "the rest of the file stays");
    agent.keep(&name("b")).unwrap();
    pass(DAY + DAY / 2).await;
    until("the old key is gone", || host.file().retiring.is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn ended_between_two_steps_it_goes_on() {
    for swallowed in [1, 2] {
        let net = Net::new();
        let host = Host::new(&net);
        host.want_rotation();
        let agent = host.agent().unwrap();
        if swallowed == 1 {
            ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ROTATE, Mood::Swallows));
            agent.seal(&name("b"), "", b"").await.unwrap();
            until("it is staged", || net.cell.lock().unwrap().party("a").staged.is_some()).await;
        } else {
            agent.seal(&name("b"), "", b"").await.unwrap();
            until("it is staged here", || {
                let staged = host.file().staged.is_some();
                ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ROTATE, Mood::Swallows));
                staged
            })
            .await;
        }
        drop(agent);
        ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ROTATE, Mood::Well));
        let agent = host.agent().unwrap();
        agent.seal(&name("b"), "", b"").await.unwrap();
        until("it is done", || host.file().key.generation() == Generation(2)).await;
        assert_eq!(net.cell.lock().unwrap().party("a").active.generation(), Generation(2));
    }
}

#[tokio::test(start_paused = true)]
async fn a_file_that_cannot_be_written_is_told_and_stops_nothing() {
    let net = Net::new();
    let host = Host::new(&net);
    let agent = host.agent().unwrap();
    agent.keep(&name("b")).unwrap();
    // Something is where the new file would be written.
    let obstacle = host.folder.path().join(".a.key.keycell-new");
    fs::create_dir(&obstacle).unwrap();
    host.want_rotation();
    pass(2 * DAY).await;
    until("it is told", || agent.key_file_failure().is_some()).await;
    assert!(agent.key_file_failure().unwrap().starts_with("cannot write the key file"));
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert!(agent.stats().key_save_failures > 0);
    assert_eq!(host.file().key.epoch(), day(0));
    assert_eq!(agent.generation(), Generation(1), "what is not stored is not committed");
    fs::remove_dir(&obstacle).unwrap();
    // The one that was staged has ended by now: it gets another.
    until("it is stored", || host.file().key.generation() == Generation(3)).await;
    assert_eq!(agent.key_file_failure(), None);
}

#[tokio::test(start_paused = true)]
async fn a_new_key_that_an_administrator_brought_is_not_overwritten() {
    let net = Net::new();
    let host = Host::new(&net);
    let agent = host.agent().unwrap();
    agent.keep(&name("b")).unwrap();
    fs::remove_file(host.path()).unwrap();
    let mut brought = net.key("a");
    brought.key = LongTermKey::new(Generation(2), day(0), [7; 32]);
    brought.write_new(host.path()).unwrap();
    pass(2 * DAY).await;
    until("it is told", || agent.key_file_failure().is_some()).await;
    assert!(agent.key_file_failure().unwrap().ends_with("start the program again"));
    assert_eq!(host.file().key.expose_secret(), &[7; 32]);
}

#[test]
fn a_program_without_a_runtime_keeps_its_file_to_itself_too() {
    let folder = tempfile::tempdir().unwrap();
    let path: &Path = &folder.path().join("a.key");
    let key = AgentKey::new(
        name("a"),
        LongTermKey::new(Generation::FIRST, day(0), [1; 32]),
        PERIOD,
        keycell_client::KdcAddress::default(),
    );
    key.write_new(path).unwrap();
    let (store, _) = keycell_client::KeyStore::open(path).unwrap();
    let error = blocking::Agent::connect_file(path, Config::default()).unwrap_err();
    assert!(matches!(error, ConnectError::KeyFile(KeyFileError::InUse { .. })), "{error}");
    drop(store);
    let error = blocking::Agent::connect_file(path, Config::default()).unwrap_err();
    assert!(matches!(error, ConnectError::NoRoots), "{error}");
}
