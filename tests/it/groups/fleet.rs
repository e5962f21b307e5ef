//! A CMA and the members of a group.

use keycell_client::https::{Agent, Config};
use keycell_client::{AgentConfig, Membership};
use keycell_protocol::Name;
use keycell_tests::cell::Cell;
use keycell_tests::wait::until;

/// The group of all nanoprobes.
pub(super) const GROUP: &str = "nanoprobe";

/// A CMA, and members that hold the group's keys.
pub(super) struct Fleet {
    pub(super) cma: Agent,
    pub(super) members: Vec<Agent>,
}

impl Fleet {
    /// Makes the parties and starts their agents; the group is there already.
    pub(super) async fn start(cell: &Cell, members: &[&str]) -> Self {
        let cma = agent(cell, "cma.main", config().agent);
        let member = |local: &&str| agent(cell, local, config().agent.member_of([name(GROUP)]));
        let members: Vec<_> = members.iter().map(member).collect();
        for member in &members {
            joined(member).await;
        }
        Self { cma, members }
    }
}

/// Makes a party and starts its agent.
pub(super) fn agent(cell: &Cell, local: &str, agent: AgentConfig) -> Agent {
    cell.run(&["party", "add", local]).succeeded();
    let config = Config { agent, ..Config::default() };
    Agent::connect_file(cell.folder().join(format!("{local}.key")), config).unwrap()
}

/// Waits until it holds the group's keys.
pub(super) async fn joined(member: &Agent) {
    until("it holds the group's keys", async || {
        let groups = member.groups();
        groups.iter().any(|(_, state)| matches!(state, Membership::Member { .. })).then_some(())
    })
    .await;
}

/// Waits until the KDC has refused it the group's keys.
pub(super) async fn refused(stranger: &Agent) {
    until("it is refused the group's keys", async || {
        let groups = stranger.groups();
        groups.iter().any(|(_, state)| matches!(state, Membership::Refused { .. })).then_some(())
    })
    .await;
}

/// Opens a message, at once or when the key is there that it waits for.
pub(super) async fn opens(member: &Agent, message: &[u8]) -> Vec<u8> {
    match member.open(message) {
        Ok(opened) => opened.body,
        Err(error) => {
            assert_eq!(error.cause().code(), "waiting");
            let waited = member.waited().await;
            assert_eq!(waited.len(), 1);
            waited.into_iter().next().unwrap().unwrap().body
        }
    }
}

/// No earlier process has used these keys.
pub(super) fn config() -> Config {
    Config { agent: AgentConfig::default().first_use(), ..Config::default() }
}

pub(super) fn name(local: &str) -> Name {
    format!("{local}@{}", Cell::ZONE).parse().unwrap()
}
