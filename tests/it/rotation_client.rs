//! Hosts that keep their key files up by themselves, against real KDCs: told to rotate, and killed between any two steps.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "this is a test")]

use std::path::{Path, PathBuf};

use keycell_client::https::{Agent as Connected, Config, ConnectError, blocking};
use keycell_client::{Agent, AgentConfig, AgentKey, KeyFileError, KeyStore, system_rng};
use keycell_protocol::{Generation, Name};
use keycell_tests::cell::Cell;
use keycell_tests::http::{Answer, Http};
use keycell_tests::party::now;
use keycell_tests::postgres::Postgres;
use keycell_tests::wait::{until, until_blocking};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::json;

fn name(local: &str) -> Name {
    format!("{local}@{}", Cell::ZONE).parse().unwrap()
}

fn add(cell: &Cell, local: &str) -> PathBuf {
    cell.run(&["party", "add", local]).succeeded();
    cell.folder().join(format!("{local}.key"))
}

fn config() -> Config {
    Config { agent: AgentConfig::default().first_use(), ..Config::default() }
}

fn generation(path: &Path) -> Generation {
    AgentKey::load(path).unwrap().key.generation()
}

async fn want_rotation(admin: &Http, local: &str) {
    let body = json!({ "names": [name(local)] });
    let answer = admin.send(Method::POST, "/v1/admin/keys/rotate", &body).await;
    assert_eq!((answer.status, answer.json()), (200, json!({ "asked": 1 })));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn told_to_rotate_a_host_does_it_by_itself() {
    let cell = Cell::sqlite();
    let kdc = cell.serve();
    let admin = cell.admin(&kdc);
    let (a_key, b_key, c_key) = (add(&cell, "a"), add(&cell, "b"), add(&cell, "c"));
    let a = Connected::connect_file(&a_key, config()).unwrap();
    let [b, c] = [b_key, c_key].map(|path| Connected::connect_file(path, config()).unwrap());
    let on_its_way = b.seal(&name("a"), "", b"before").await.unwrap();
    let more_of_it = b.seal(&name("a"), "", b"before, too").await.unwrap();

    cell.run(&["key", "rotate", "a"]).succeeded();
    // It hears of it with its next ticket.
    a.seal(&name("b"), "", b"").await.unwrap();
    until("it is rotated", async || (generation(&a_key) == Generation(2)).then_some(())).await;
    assert_eq!((a.generation(), a.key_file_failure()), (Generation(2), None));
    let file = AgentKey::load(&a_key).unwrap();
    assert!(file.staged.is_none() && file.retiring.len() == 1);
    for action in ["key.stage", "key.activate"] {
        admin
            .recorded(action, |record| record["action"] == action && record["target"] == "a@test.internal")
            .await;
    }

    // What was on its way opens; so does what comes under the new key, and an answer to either.
    let opened = a.open(&on_its_way).unwrap();
    assert_eq!(b.open(&a.reply(&opened, b"got it").unwrap()).unwrap().body, b"got it");
    let new = c.seal(&name("a"), "", b"after").await.unwrap();
    assert_eq!(a.open(&new).unwrap().body, b"after");
    a.seal(&name("c"), "", b"").await.unwrap();

    // Another process on the same file is refused; the next one has all of it.
    let error = Connected::connect_file(&a_key, config()).unwrap_err();
    assert!(matches!(error, ConnectError::KeyFile(KeyFileError::InUse { .. })), "{error}");
    drop(a);
    let a = Connected::connect_file(&a_key, config()).unwrap();
    assert_eq!(a.open(&more_of_it).unwrap().body, b"before, too");
    a.seal(&name("b"), "", b"").await.unwrap();
    admin.assert_intact().await;
}

#[test]
fn a_program_without_a_runtime_rotates_too() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let (path, _) = (add(&cell, "a"), add(&cell, "b"));
    let agent = blocking::Agent::connect_file(&path, config()).unwrap();
    assert!(agent.inner().rotate());
    until_blocking("it is rotated", || (generation(&path) == Generation(2)).then_some(()));
    agent.seal(&name("b"), "", b"").unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_commands_read_a_file_that_an_agent_keeps_up() {
    let cell = Cell::sqlite();
    let _kdc = cell.serve();
    let (a_key, b_key) = (add(&cell, "a"), add(&cell, "b"));
    let a = Connected::connect_file(&a_key, config()).unwrap();
    cell.run(&["key", "rotate", "a"]).succeeded();
    a.seal(&name("b"), "", b"").await.unwrap();
    until("it is rotated", async || (generation(&a_key) == Generation(2)).then_some(())).await;
    for (from, to) in [("a", "b"), ("b", "a")] {
        let (from, key) = (format!("{from}.key"), if to == "a" { &a_key } else { &b_key });
        let script = format!(
            "echo hello | '{0}' seal --key {from} --to {to} | '{0}' open --key '{1}'",
            keycell_tests::cell::binary().display(),
            key.display()
        );
        let mut command = std::process::Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(cell.folder());
        let ended = keycell_tests::cell::ended(&mut command).succeeded();
        assert_eq!(ended.stdout, "hello\n");
    }
    assert_eq!(generation(&a_key), Generation(2));
}

/// A host whose every step a test decides.
struct Host {
    path: PathBuf,
    store: Option<KeyStore>,
    agent: Agent,
}

impl Host {
    fn start(path: &Path) -> Self {
        let (store, key) = KeyStore::open(path).unwrap();
        let agent = Agent::keeping(key, &AgentConfig::default().first_use(), now(), system_rng());
        Self { path: path.to_owned(), store: Some(store), agent }
    }

    /// As if the process was killed: nothing is written any more, and the lock goes with the process.
    fn kill(&mut self) {
        self.store = None;
        *self = Self::start(&self.path);
    }

    /// Stores what is to be stored, or else makes one request; `false` when there is nothing to do.
    async fn step(&mut self, kdc: &Http, hear: bool) -> bool {
        if let Some(unsaved) = self.agent.unsaved() {
            self.store.as_mut().unwrap().save(&unsaved.key).unwrap();
            self.agent.saved(&unsaved);
            return true;
        }
        let Some(pending) = self.agent.wants(now()) else { return false };
        let request = kdc.request(Method::POST, pending.path()).header(CONTENT_TYPE, "application/json");
        let answer = Answer::of(request.body(pending.body.clone())).await;
        match answer.status {
            _ if !hear => self.agent.give_up(now(), &pending),
            200 => drop(self.agent.take_reply(now(), &pending, &answer.body).unwrap()),
            _ => self.agent.take_problem(now(), &pending, &answer.problem()),
        }
        true
    }

    /// Goes on until it has the key of this generation and a ticket for b.
    async fn is_well(&mut self, kdcs: &[Http], expected: Generation) {
        let mut turn = 0;
        until("the host is well", async || {
            let _ = self.agent.want(now(), &name("b"));
            turn += 1;
            self.step(&kdcs[turn % kdcs.len()], true).await;
            let ticket = self.agent.ticket_expiration(now(), &name("b")).is_some();
            (ticket && generation(&self.path) == expected).then_some(())
        })
        .await;
        let file = AgentKey::load(&self.path).unwrap();
        assert_eq!(file.staged.map(|staged| staged.generation()), None);
    }
}

/// After so many steps of: tickets, stage, store, commit, store.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_between_any_two_steps_both_sides_go_on() {
    let cell = Cell::sqlite();
    let mut kdc = cell.serve();
    add(&cell, "b");
    let token = cell.token("admin");
    for steps in 0..=5_usize {
        for hear in [true, false] {
            for (kill_kdc, kill_host) in [(true, false), (false, true), (true, true)] {
                let local =
                    format!("h{steps}{}{}{}", u8::from(hear), u8::from(kill_kdc), u8::from(kill_host));
                let mut host = Host::start(&add(&cell, &local));
                want_rotation(&kdc.http().with_token(&token), &local).await;
                host.agent.want(now(), &name("b")).unwrap();
                for step in 1..=steps {
                    // The last answer may be lost.
                    host.step(&kdc.http(), hear || step < steps).await;
                }
                if kill_kdc {
                    kdc.kill9();
                    kdc = cell.serve();
                }
                if kill_host {
                    host.kill();
                }
                host.is_well(&[kdc.http()], Generation(2)).await;

                // And what a sender writes to it now opens.
                let sender = Connected::connect_file(add(&cell, &format!("s{local}")), config()).unwrap();
                let message = sender.seal(&name(&local), "", b"now").await.unwrap();
                assert_eq!(host.agent.open(now(), &message).unwrap().body, b"now", "{local}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_step_at_another_kdc_of_the_zone() {
    let cell = Cell::postgres(&Postgres::shared());
    let (one, two) = (cell.serve(), cell.replica());
    let kdcs = [one.http(), two.http()];
    add(&cell, "b");
    let admin = cell.admin(&one);
    for n in 0..4 {
        let local = format!("h{n}");
        let mut host = Host::start(&add(&cell, &local));
        host.agent.want(now(), &name("b")).unwrap();
        // The other KDC hears of a new party a moment later.
        host.step(&kdcs[0], true).await;
        want_rotation(&admin, &local).await;
        assert!(host.agent.rotate());
        // Every request goes to the other one, at once.
        let mut turn = n;
        while host.step(&kdcs[turn % 2], true).await {
            turn += 1;
        }
        host.is_well(&kdcs, Generation(2)).await;
        host.kill();
        host.is_well(&kdcs, Generation(2)).await;
    }
    admin.assert_intact().await;
}
