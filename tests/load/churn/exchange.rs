//! What is exchanged under the agents: everything that an operator exchanges in the life of a cell.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::wait::until;
use rustix::process::{Signal, kill_process};
use serde_json::Value;

use super::fleet::SERVICE;

/// Does one thing after the other, with the commands that an operator would use.
pub(crate) struct Exchange<'a> {
    cell: &'a Cell,
    kdc: &'a Kdc,
    admin: Http,
    recipient: String,
    rounds: u64,
    /// How often each thing was done, and how long it took in all.
    done: BTreeMap<&'static str, (u64, Duration)>,
}

impl<'a> Exchange<'a> {
    /// Makes what it needs.
    pub(crate) async fn new(cell: &'a Cell, kdc: &'a Kdc) -> Self {
        let made = cell.run(&["backup", "keygen", "recovery.key", "--json"]).succeeded();
        let made: Value = serde_json::from_str(&made.stdout).expect("it is JSON");
        let recipient = made.get("recipient").and_then(Value::as_str).expect("a recipient").to_owned();
        let admin = cell.admin(kdc);
        admin.add(&format!("spare@{}", Cell::ZONE)).await;
        Self { cell, kdc, admin, recipient, rounds: 0, done: BTreeMap::new() }
    }

    /// How often everything was done.
    pub(crate) const fn rounds(&self) -> u64 {
        self.rounds
    }

    /// Everything once.
    pub(crate) async fn round(&mut self) {
        self.rounds += 1;
        let number = self.rounds;
        let version = number + 1;
        self.command("host keys told to rotate", &["key", "rotate", "--service", SERVICE]).await;
        self.command("master key rotated", &["master-key", "rotate"]).await;
        let old = (version - 1).to_string();
        self.command("old master key retired", &["master-key", "retire", &old]).await;
        self.command("certificate renewed", &["certificate", "renew"]).await;
        let file = format!("backup-{number}.age");
        let recipient = self.recipient.clone();
        self.command("backed up", &["backup", &file, "--recipient", &recipient]).await;
        let verify = ["backup", "verify", &file, "--identity", "recovery.key"];
        self.command("backup verified", &verify).await;
        self.reload().await;
        let spare = format!("spare@{}", Cell::ZONE);
        self.command("party disabled", &["party", "disable", &spare]).await;
        self.command("party enabled", &["party", "enable", &spare]).await;
        let rule = ["policy", "add", "--deny", "--id", "soak", "spare", "cma.*"];
        self.command("rule added", &rule).await;
        self.command("rule removed", &["policy", "delete", "soak"]).await;
        self.command("group rotated", &["group", "rotate", SERVICE]).await;
    }

    /// Waits until every agent has the key that it was told to make.
    pub(crate) async fn settle(&mut self) {
        let since = Instant::now();
        let admin = &self.admin;
        let path = format!("/v1/admin/parties?service={SERVICE}&limit=1000");
        let least = until("every agent has rotated its key", async || {
            let page = admin.get(&path).await.json();
            let parties = page.get("parties")?.as_array()?.clone();
            let generations = parties.iter().filter_map(|party| {
                let keys = party.get("keys")?.as_array()?;
                let active = keys.iter().find(|key| key.get("state") == Some(&"active".into()))?;
                active.get("generation")?.as_u64()
            });
            generations.min().filter(|least| *least > 1)
        })
        .await;
        self.note("generation that every agent has reached at least", least, since.elapsed());
        self.admin.assert_intact().await;
    }

    /// For people.
    pub(crate) async fn report(&self, kdc: &Kdc, seconds: u64) -> String {
        let metrics = kdc.http().get("/metrics").await.text();
        let metric = |name: &str| {
            let of = metrics.lines().filter(|line| line.starts_with(name));
            of.map(|line| format!("  {line}\n")).collect::<String>()
        };
        let mut report = format!("{seconds} s and what was begun by then, {} rounds:\n", self.rounds);
        for (what, (times, took)) in &self.done {
            report.push_str(&format!("  {what}: {times} ({:.1} s)\n", took.as_secs_f64()));
        }
        report + &metric("keycell_key_rotations") + &metric("keycell_rewrapped") + &metric("keycell_ratchet")
    }

    async fn reload(&mut self) {
        let since = Instant::now();
        let before = self.kdc.log().matches(RELOADED).count();
        kill_process(self.kdc.pid(), Signal::HUP).expect("it runs");
        until("the KDC has reloaded", async || {
            (self.kdc.log().matches(RELOADED).count() > before).then_some(())
        })
        .await;
        self.note("configuration reloaded", 1, since.elapsed());
    }

    async fn command(&mut self, what: &'static str, arguments: &[&str]) {
        let since = Instant::now();
        let mut command = self.cell.command();
        command.args(arguments);
        let ended = tokio::task::spawn_blocking(move || keycell_tests::cell::ended(&mut command)).await;
        let ended = ended.expect("it does not panic");
        assert_eq!(ended.code, Some(0), "{arguments:?}: {}{}", ended.stdout, ended.stderr);
        self.note(what, 1, since.elapsed());
    }

    fn note(&mut self, what: &'static str, times: u64, took: Duration) {
        let (all, time) = self.done.entry(what).or_default();
        *all += times;
        *time += took;
    }
}

const RELOADED: &str = "the configuration is read again";
