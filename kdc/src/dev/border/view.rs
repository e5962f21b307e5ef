//! What came of the second zone, for people and for programs.

use std::io::{self, Write};

use serde::Serialize;

use super::super::attacks::Attack;
use super::super::report::write_attack;

/// Everything that was seen at the border.
#[derive(Debug, Serialize)]
pub(crate) struct Crossing {
    /// The other zone.
    pub(crate) zone: String,
    /// Its KDC.
    pub(crate) url: String,
    /// What the CMA said to the hosts of the other zone.
    pub(crate) said: Said,
    /// Who may speak to whom, as their KDCs say.
    pub(crate) table: Vec<Row>,
    /// What a KDC tried that turned.
    pub(crate) tried: Vec<Attack>,
    /// What came of it when the other zone's administrator ended the trust for a while.
    pub(crate) closed: Vec<Attack>,
}

/// Questions over the border, and answers.
#[derive(Debug, Serialize)]
pub(crate) struct Said {
    /// Whether every host answered every question, over the wire that loses datagrams.
    pub(crate) complete: bool,
    /// Questions to one host each, all tries counted.
    pub(crate) commands: u64,
    /// Different answers.
    pub(crate) answers: u64,
    /// How often the CMA asked its own KDC for that.
    pub(crate) asked: u64,
    /// How often the hosts of the other zone asked theirs.
    pub(crate) lookups: u64,
    /// Messages to the group of the other zone.
    pub(crate) broadcasts: u64,
    /// Answers to those.
    pub(crate) group_answers: u64,
}

/// One who wants to speak to another.
#[derive(Debug, Serialize)]
pub(crate) struct Row {
    /// Who.
    pub(crate) from: String,
    /// To whom.
    pub(crate) to: String,
    /// What the KDC says.
    pub(crate) verdict: &'static str,
    /// What it must say.
    pub(crate) expected: &'static str,
}

impl Crossing {
    /// What must be so, and whether it is.
    pub(crate) fn checks(&self) -> Vec<(String, bool)> {
        let Self { zone, url: _, said, table, tried, closed } = self;
        let mut checks = vec![
            (format!("every host of {zone} answered every question over the border"), said.complete),
            (format!("the CMA asked its KDC once for {zone}, counted {}", said.asked), said.asked == 1),
            (format!("no host of {zone} asked a KDC to answer, counted {}", said.lookups), said.lookups == 0),
            (
                format!("{} answers came to what the group in {zone} was asked", said.group_answers),
                said.broadcasts > 0 && said.group_answers == said.answers,
            ),
        ];
        checks.extend(table.iter().map(|Row { from, to, verdict, expected }| {
            (format!("{from} to {to}: {verdict}, expected {expected}"), verdict == expected)
        }));
        let attacks = tried.iter().chain(closed);
        checks.extend(attacks.map(|attack| (format!("{}: {}", attack.name, attack.how), attack.held)));
        checks
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let Self { zone, url, said, table, tried, closed } = self;
        let Said { commands, answers, asked, lookups, broadcasts, group_answers, .. } = said;
        writeln!(
            out,
            "\nThe zone {zone}, KDC at {url}: each of the two KDCs offered the other a trust, which that accepted\n  \
             cma.main asked the hosts there as its own: {commands} commands for {answers} answers, over a wire that loses. It \
             asked its KDC {asked} time,\n  and they asked theirs {lookups} times to answer. To their group, with a proof of the \
             author: {broadcasts} messages, {group_answers} answers."
        )?;
        writeln!(out, "\nWho may speak to whom over the border, and what a KDC says to who may not")?;
        for Row { from, to, verdict, expected } in table {
            let wrong = if verdict == expected { "" } else { "  NOT AS IT MUST BE" };
            writeln!(out, "  {from:<30} {to:<30} {verdict}{wrong}")?;
        }
        writeln!(
            out,
            "\nA KDC that turned: with the key of the trust it speaks for its own parties, and for nobody else"
        )?;
        tried.iter().try_for_each(|attack| write_attack(out, attack))?;
        writeln!(out, "\nThe trust is disabled in {zone}, and enabled again")?;
        closed.iter().try_for_each(|attack| write_attack(out, attack))
    }
}
