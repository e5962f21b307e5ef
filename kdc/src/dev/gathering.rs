//! The group of all nanoprobes: one message to all of them, what a member that turned can do, and what is left to one
//! that is removed.

use keycell_client::https::{Agent, Config};
use keycell_client::protocol::{Name, ProblemType};
use keycell_client::{AgentConfig, AgentKey};
use serde::Serialize;

use super::attacks::{Attack, Attacker, ONE, THREE, TWO, refused_as};
use super::cell::DevCell;
use super::fleet::facts::Kind;
use super::fleet::wire::{Command, DISCOVER, body};
use super::forger::Forger;
use super::station::Seen;
use super::traitor::Traitor;
use super::{Failure, local};

/// What was said to the group, and tried on it.
#[derive(Debug, Serialize)]
pub(crate) struct Gathering {
    /// The group.
    pub(crate) group: String,
    /// What the CMA said to it.
    pub(crate) said: Said,
    /// What a member tried that holds all its keys.
    pub(crate) by_a_member: Vec<Attack>,
    /// What came of a removed member.
    pub(crate) removed: Vec<Attack>,
}

/// A round of questions to the group, on a wire that is calm.
#[derive(Debug, Serialize)]
pub(crate) struct Said {
    /// Messages sealed for it.
    pub(crate) broadcasts: u64,
    /// Questions that were put again, to one host alone, since it took its time.
    pub(crate) asked_alone: u64,
    /// Answers, the first to each question.
    pub(crate) answers: u64,
    /// How many members there are.
    pub(crate) members: u64,
    /// How often they asked the KDC in all: for the group's keys, and for a ticket to answer under.
    pub(crate) lookups: u64,
    /// Of those, how often because a message came.
    pub(crate) lookups_for_a_message: u64,
}

/// Everything that a group is tried with.
pub(super) struct Trial<'a> {
    pub(super) cell: &'a DevCell,
    pub(super) group: Name,
    pub(super) attacker: Attacker<'a>,
}

impl Trial<'_> {
    /// A member turns.
    ///
    /// # Errors
    /// Something cannot be tried.
    pub(super) async fn betray(&mut self) -> Result<Vec<Attack>, Failure> {
        let cma = self.attacker.cma().name().clone();
        let traitor = self.traitor(TWO).await?;
        let (two, cma_name) = (local(traitor.me()).to_owned(), local(&cma).to_owned());
        // It never reached anybody: who took it off the wire knows all that the CMA said.
        let command = self.said_by(self.attacker.cma()).await?;
        let taken = traitor.open(&command)?.ok_or("a member cannot open what is said to its group")?;
        let keys = traitor.keys();

        let how = format!("{two}, with all {keys} keys of the group, goes on as {cma_name}, without a proof");
        self.try_on_one("usurped", how, &traitor.without_proof(&taken)?, "author-missing").await?;
        let how = format!("{two} puts {cma_name}'s own proof before another command");
        self.try_on_one("usurped", how, &traitor.with_its_proof(&taken)?, "author-forged").await?;
        let how = format!("{two} says {cma_name}'s words again, proof and all, in a message of its own");
        self.try_on_one("usurped", how, &traitor.said_again(&taken)?, "author-forged").await?;
        let mine = traitor.voucher().await?;
        let how = format!("{two} signs as {cma_name} with its own key and the KDC's voucher for that");
        self.try_on_one("usurped", how, &traitor.signed_as(&cma, &mine)?, "author-forged").await?;
        let how = format!("{two} signs as {cma_name} with a voucher of a KDC of its own");
        let false_one = traitor.false_voucher(&cma)?;
        self.try_on_one("usurped", how, &traitor.signed_as(&cma, &false_one)?, "author-unknown").await?;

        let own = traitor.signed_as(traitor.me(), &mine)?;
        let seen = self.attacker.deliver(ONE, &own).await?;
        let how = format!("{two} commands in its own name, with its own proof: authentic, but not the CMA");
        self.attacker.note("presumed", how, ONE, &[seen], |seen| seen == Seen::Disobeyed)?;

        let seen = self.attacker.deliver(ONE, &command).await?;
        let how = "the CMA's command itself, now: nothing of all that is remembered".to_owned();
        self.attacker.note("delayed", how, ONE, &[seen], |seen| seen == Seen::Answered)?;
        let seen = self.attacker.deliver(ONE, &command).await?;
        let how = "the same bytes once more".to_owned();
        self.attacker.note("replayed", how, ONE, &[seen], refused_as(&["replayed"]))?;
        Ok(self.attacker.take())
    }

    /// A member is removed.
    ///
    /// # Errors
    /// Something cannot be tried.
    pub(super) async fn remove(&mut self, cma_key: AgentKey) -> Result<Vec<Attack>, Failure> {
        let ousted = self.traitor(THREE).await?;
        let three = ousted.me().clone();
        self.cell.remove_member(&self.group, &three).await?;

        // Started anew the CMA has no ticket of before; else it would use that for up to a lifetime of the group.
        let config = Config { agent: AgentConfig::default().first_use(), ..Config::default() };
        let after = Agent::connect(cma_key, config)?;
        let command = self.said_by(&after).await?;
        for at in [ONE, TWO] {
            let mut seen = self.attacker.deliver(at, &command).await?;
            let waited = seen == Seen::Waiting;
            if waited {
                seen = self.attacker.next(at).await?;
            }
            let waits = if waited { ", once it had asked the KDC for the new key" } else { "" };
            let how = format!("the CMA's next command to the group: {} stayed{waits}", self.name(at)?);
            self.attacker.note("obeyed", how, at, &[seen], |seen| seen == Seen::Answered)?;
        }
        let mut seen = self.attacker.deliver(THREE, &command).await?;
        if seen == Seen::Waiting {
            seen = self.attacker.next(THREE).await?;
        }
        let how =
            format!("the same message: {} asks the KDC for the new key, too, and gets none", local(&three));
        self.attacker.note("removed", how, THREE, &[seen], refused_as(&["no-key", "not-for-me"]))?;

        let opened = ousted.open(&command)?.is_some();
        let how = format!("who has all {} keys that it ever held tries each of them", ousted.keys());
        let verdict = if opened { "opened" } else { "none fits" };
        self.attacker.note_verdict(local(&three), "removed", how, verdict, !opened);
        let (verdict, held) = match ousted.ask().await? {
            Ok(_) => ("keys", false),
            Err(Some(problem)) => (problem.title(), problem == ProblemType::NotAllowed),
            Err(None) => ("something else", false),
        };
        let how = "and asks the KDC for the new ones".to_owned();
        self.attacker.note_verdict("the KDC", "removed", how, verdict, held);
        Ok(self.attacker.take())
    }

    /// A command to the group.
    async fn said_by(&self, cma: &Agent) -> Result<Vec<u8>, Failure> {
        let command = body(&Command { want: Kind::Os });
        Ok(cma.with_author_proof().seal(&self.group, DISCOVER, &command).await?)
    }

    async fn traitor(&self, at: usize) -> Result<Traitor, Failure> {
        Traitor::join(Forger::steal(self.attacker.key_file(at)?)?, self.group.clone()).await
    }

    async fn try_on_one(
        &mut self,
        name: &'static str,
        how: String,
        bytes: &[u8],
        code: &'static str,
    ) -> Result<(), Failure> {
        let seen = self.attacker.deliver(ONE, bytes).await?;
        self.attacker.note(name, how, ONE, &[seen], refused_as(&[code]))
    }

    fn name(&self, at: usize) -> Result<String, Failure> {
        Ok(local(&self.attacker.name(at)?).to_owned())
    }
}
