//! Zones on one machine, and trust between them as two administrators make it.

use std::fs;

use keycell_client::AgentConfig;
use keycell_client::SealError;
use keycell_client::https::{Agent, Config, Error};
use keycell_protocol::{Name, ProblemType};
use keycell_tests::cell::Cell;
use keycell_tests::http::Http;
use keycell_tests::kdc::Kdc;
use keycell_tests::wait::until;
use serde_json::Value;

/// A cell, and its KDC.
pub(super) struct Zone {
    pub(super) cell: Cell,
    pub(super) kdc: Kdc,
}

impl Zone {
    /// A new cell of this zone, served.
    pub(super) fn start(zone: &str) -> Self {
        Self::serve(Cell::of_zone(zone))
    }

    /// A cell that soon notices what became of other zones.
    pub(super) fn impatient(zone: &str) -> Self {
        let cell = Cell::of_zone(zone);
        cell.configure(IMPATIENT);
        Self::serve(cell)
    }

    pub(super) fn serve(cell: Cell) -> Self {
        let kdc = cell.serve();
        Self { cell, kdc }
    }

    pub(super) fn zone(&self) -> &str {
        self.cell.zone()
    }

    /// A name in this zone.
    pub(super) fn name(&self, local: &str) -> Name {
        format!("{local}@{}", self.zone()).parse().unwrap()
    }

    /// Makes a party and starts its agent.
    pub(super) fn agent(&self, local: &str) -> Agent {
        self.agent_with(local, config())
    }

    pub(super) fn agent_with(&self, local: &str, agent: AgentConfig) -> Agent {
        self.cell.run(&["party", "add", local]).succeeded();
        let config = Config { agent, ..Config::default() };
        Agent::connect_file(self.cell.folder().join(format!("{local}.key")), config).unwrap()
    }

    /// The same, hearing this group, whose keys it holds when this returns.
    pub(super) async fn member(&self, local: &str, group: &str) -> Agent {
        let member = self.agent_with(local, config().member_of([self.name(group)]));
        joined(&member).await;
        member
    }

    pub(super) fn admin(&self) -> Http {
        self.cell.admin(&self.kdc)
    }

    /// What a command prints in JSON.
    pub(super) fn json(&self, arguments: &[&str]) -> Value {
        let printed = self.cell.run(&[arguments, &["--json"]].concat()).succeeded().stdout;
        serde_json::from_str(&printed).unwrap()
    }

    /// Lets everybody of `other` speak to everybody here.
    pub(super) fn lets_speak(&self, other: &Self) {
        self.lets_speak_told(other, &[], &[]);
    }

    /// The same with more arguments for the two commands.
    pub(super) fn lets_speak_told(&self, other: &Self, offer: &[&str], accept: &[&str]) {
        let fingerprint = self.offer(other, offer);
        other.accept(self, &fingerprint, accept);
    }

    /// Offers a trust to another zone, whose administrator sent its bundle, and gives the fingerprint to tell that one.
    pub(super) fn offer(&self, other: &Self, more: &[&str]) -> String {
        let bundle = other.cell.run(&["bundle"]).succeeded().stdout;
        fs::write(self.cell.folder().join("other.json"), bundle).unwrap();
        let text =
            ["trust", "offer", "--bundle", "other.json", "--output", "offer.txt", "--destination", "*"];
        let sources: &[&str] = if more.contains(&"--source") { &[] } else { &["--source", "*"] };
        let offered = self.json(&[&text[..], sources, more].concat());
        offered["fingerprint"].as_str().unwrap().to_owned()
    }

    /// Accepts what another zone offered, which came by mail.
    pub(super) fn accept(&self, other: &Self, fingerprint: &str, more: &[&str]) {
        let (sent, received) =
            (other.cell.folder().join("offer.txt"), self.cell.folder().join("offer-to-us.txt"));
        fs::rename(sent, received).unwrap();
        let text = ["trust", "accept", "offer-to-us.txt", "--fingerprint", fingerprint];
        let lists = ["--source", "*", "--destination", "*"];
        self.cell.run(&[&text[..], &lists, more].concat()).succeeded();
    }

    /// What the trust looks like to this zone.
    pub(super) fn trust(&self, direction: &str, other: &Self) -> Value {
        self.json(&["trust", "show", direction, other.zone()])
    }
}

/// No earlier process has used the key; and what was refused is soon asked for again, for a test would wait for it.
pub(super) fn config() -> AgentConfig {
    AgentConfig { refusal_ms: 200, ..AgentConfig::default().first_use() }
}

/// Waits until it holds the keys of its group.
pub(super) async fn joined(member: &Agent) {
    until("it holds the group's keys", async || {
        let groups = member.groups();
        let is_member = |state| matches!(state, keycell_client::Membership::Member { .. });
        groups.into_iter().any(|(_, state)| is_member(state)).then_some(())
    })
    .await;
}

/// Why there is no ticket.
pub(super) fn why(error: &Error) -> Option<ProblemType> {
    match error {
        Error::Seal(SealError::Refused { problem, .. }) => *problem,
        other => panic!("another error than a refusal: {other}"),
    }
}

/// Opens a message at once, or when the key of its group is there.
pub(super) async fn opens(agent: &Agent, message: &[u8]) -> Vec<u8> {
    match agent.open(message) {
        Ok(opened) => opened.body,
        Err(error) => {
            assert_eq!(error.cause().code(), "waiting");
            let waited = agent.waited().await;
            waited.into_iter().next().unwrap().unwrap().body
        }
    }
}

/// What goes wrong in a test is to be noticed in its time.
const IMPATIENT: &str = "[peers]\nattempt_timeout_ms = 300\ntimeout_ms = 600\nbreaker_open_seconds = 1\n";
