//! What `keycell dev` found, for people and for programs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::io::{self, Write};

use keycell_client::Stats;
use keycell_client::protocol::Name;
use serde::Serialize;

use super::arrivals::Arrivals;
use super::attacks::Attack;
use super::border::Crossing;
use super::cell::DevCell;
use super::fleet::cma::{Cma, Host};
use super::fleet::details::details;
use super::fleet::facts::{Facts, Kind};
use super::gathering::{Gathering, Said};
use super::local;
use super::wire::Counts;
use crate::enrollment::Admission;

/// Everything that was seen.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    zone: String,
    url: String,
    hosts: Vec<HostView>,
    parties: Vec<Party>,
    commands: u64,
    tickets_issued: u64,
    wire: Counts,
    attacks: Vec<Attack>,
    #[serde(skip_serializing_if = "Option::is_none")]
    group: Option<Gathering>,
    #[serde(skip_serializing_if = "Option::is_none")]
    arrivals: Option<Arrivals>,
    #[serde(skip_serializing_if = "Option::is_none")]
    border: Option<Crossing>,
    checks: Vec<Check>,
}

#[derive(Debug, Serialize)]
struct HostView {
    name: String,
    heard_at: Option<u64>,
    facts: Vec<Facts>,
    #[serde(skip)]
    details: Vec<String>,
}

/// The counters of one party's agent.
#[derive(Debug, Serialize)]
pub(crate) struct Party {
    name: String,
    sealed: u64,
    answered: u64,
    opened: u64,
    refused: BTreeMap<&'static str, u64>,
    kdc_lookups: u64,
    tickets: u64,
}

/// Something that must be so.
#[derive(Debug, Serialize)]
struct Check {
    what: String,
    held: bool,
}

impl Report {
    pub(super) fn new(
        cell: &DevCell,
        cma: &Cma,
        parties: Vec<Party>,
        wire: Counts,
        attacks: Vec<Attack>,
    ) -> Self {
        Self {
            zone: cell.kdc().zone().to_string(),
            url: cell.url().to_owned(),
            hosts: cma.hosts().iter().map(|(name, host)| HostView::new(name, host)).collect(),
            parties,
            commands: cma.commands(),
            tickets_issued: cell.kdc().metrics().tickets.get(),
            wire,
            checks: attacks.iter().map(attacked).collect(),
            attacks,
            group: None,
            arrivals: None,
            border: None,
        }
    }

    /// Adds what came of the group.
    pub(super) fn gathered(&mut self, group: Gathering) {
        let Gathering { group: name, said, by_a_member, removed } = &group;
        let expected = [Kind::ALL.len() as u64, said.members * Kind::ALL.len() as u64];
        let what = format!(
            "{} messages to the group {name} brought {} answers, expected {expected:?}",
            said.broadcasts, said.answers
        );
        self.check(what, [said.broadcasts, said.answers] == expected);
        let what = format!("no member of {name} asked the KDC because a message came");
        self.check(what, said.lookups_for_a_message == 0);
        self.checks.extend(by_a_member.iter().chain(removed).map(attacked));
        self.group = Some(group);
    }

    /// Adds who came aboard, and who did not.
    pub(super) fn arrived(&mut self, arrivals: Arrivals) {
        for arrived in &arrivals.fleet {
            let what = format!("{} came aboard by a join token", arrived.name);
            self.check(what, arrived.by == Some(Admission::Token));
        }
        self.checks.extend(arrivals.tried.iter().map(attacked));
        self.arrivals = Some(arrivals);
    }

    /// Adds what came of the second zone.
    pub(super) fn crossed(&mut self, border: Crossing) {
        for (what, held) in border.checks() {
            self.check(what, held);
        }
        self.border = Some(border);
    }

    /// Notes whether something that must be so is so.
    pub(super) fn check(&mut self, what: impl Into<String>, held: bool) {
        self.checks.push(Check { what: what.into(), held });
    }

    /// Holds the counters against what they must be.
    pub(super) fn check_counters(&mut self) {
        let mut checks = Vec::new();
        let mut tickets = FORGERS_TICKETS;
        for (at, party) in self.parties.iter().enumerate() {
            let expected = u64::from(at == 0);
            let what =
                format!("{} asked the KDC {} times, expected {expected}", party.name, party.kdc_lookups);
            checks.push((what, party.kdc_lookups == expected));
            checks.push((format!("{} opened messages", party.name), party.opened > 0));
            tickets += party.tickets;
        }
        let what = format!("the KDC counts {} tickets, expected {tickets}", self.tickets_issued);
        checks.push((what, self.tickets_issued == tickets));
        let hosts = self.hosts.iter();
        checks.extend(hosts.map(|host| (format!("{} told facts", host.name), !host.facts.is_empty())));
        for (what, held) in checks {
            self.check(what, held);
        }
    }

    /// The first thing that must be so and is not.
    pub(crate) fn broken(&self) -> Option<&str> {
        self.checks.iter().find(|check| !check.held).map(|check| check.what.as_str())
    }

    /// Writes it for people.
    pub(crate) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(out, "Cell {}, KDC at {}\n", self.zone, self.url)?;
        writeln!(out, "Hosts, as their nanoprobes told cma.main in sealed answers")?;
        for host in &self.hosts {
            writeln!(out, "  {}", host.name)?;
            host.details.iter().try_for_each(|line| writeln!(out, "    {line}"))?;
        }

        writeln!(out, "\nMessages         sealed  answered  opened  refused  KDC lookups")?;
        for party in &self.parties {
            let Party { name, sealed, answered, opened, refused, kdc_lookups, tickets } = party;
            let refused: u64 = refused.values().sum();
            write!(out, "  {name:<15}{sealed:>6}{answered:>10}{opened:>8}{refused:>9}{kdc_lookups:>13}")?;
            match tickets {
                0 => writeln!(out)?,
                _ => writeln!(out, "  ({tickets} tickets)")?,
            }
        }
        let Counts { taken, lost, doubled, overtaken } = self.wire;
        writeln!(
            out,
            "  The wire took {taken} datagrams: {lost} lost, {doubled} doubled, {overtaken} overtaken by later ones. \
             Each lost one\n  was asked for again: {} commands for {} answers. Doubles are refused as replays.",
            self.commands,
            self.hosts.len() * Kind::ALL.len() * ROUNDS,
        )?;

        writeln!(
            out,
            "\nAn attacker on the wire, with commands it took off it and the key of nanoprobe.two"
        )?;
        self.attacks.iter().try_for_each(|attack| write_attack(out, attack))?;
        if let Some(group) = &self.group {
            write_group(out, group)?;
        }
        if let Some(arrivals) = &self.arrivals {
            write_arrivals(out, arrivals)?;
        }
        if let Some(border) = &self.border {
            border.write(out)?;
        }

        match self.broken() {
            None => writeln!(
                out,
                "\nAll {} checks held. With KEYCELL_LOG=info each receiver logs what it refused, and why.",
                self.checks.len()
            ),
            Some(_) => {
                writeln!(out, "\nDid not hold:")?;
                let broken = self.checks.iter().filter(|check| !check.held);
                broken.into_iter().try_for_each(|check| writeln!(out, "  {}", check.what))
            }
        }
    }
}

impl HostView {
    fn new(name: &Name, host: &Host) -> Self {
        Self {
            name: local(name).to_owned(),
            heard_at: host.heard_at.map(|at| at.0),
            facts: Kind::ALL.iter().filter_map(|kind| host.facts(*kind)).cloned().collect(),
            details: details(host),
        }
    }
}

impl Party {
    pub(super) fn new(name: &Name, stats: Stats) -> Self {
        Self {
            name: local(name).to_owned(),
            sealed: stats.sealed,
            answered: stats.replied,
            opened: stats.opened,
            refused: stats.refused,
            kdc_lookups: stats.requests,
            tickets: stats.tickets,
        }
    }
}

fn write_group(out: &mut dyn Write, group: &Gathering) -> io::Result<()> {
    let Gathering { group, said, by_a_member, removed } = group;
    let Said { broadcasts, asked_alone, answers, members, lookups, lookups_for_a_message } = said;
    writeln!(
        out,
        "\nThe group {group}, which takes only what proves its author\n  cma.main asked its {members} members by \
         {broadcasts} messages, each sealed and signed once: {answers} answers,\n  {asked_alone} questions put again to \
         one alone. For the group's keys, and for tickets to answer under, the members\n  asked the KDC {lookups} times \
         in all, {lookups_for_a_message} of them because a message came."
    )?;
    writeln!(
        out,
        "\nA member of the group that turned: who has the key of nanoprobe.two has all the group's keys"
    )?;
    by_a_member.iter().try_for_each(|attack| write_attack(out, attack))?;
    writeln!(out, "\nA member that is removed: nanoprobe.three")?;
    removed.iter().try_for_each(|attack| write_attack(out, attack))
}

fn write_arrivals(out: &mut dyn Write, arrivals: &Arrivals) -> io::Result<()> {
    let Arrivals { fleet, tried } = arrivals;
    writeln!(
        out,
        "\nEverybody came aboard over TLS, by a join token, under a name with the fingerprint of its own key"
    )?;
    fleet.iter().try_for_each(|arrived| writeln!(out, "  {}", arrived.name.local()))?;
    writeln!(out, "\nHosts that come, and strangers that do not; a key in two places is found")?;
    tried.iter().try_for_each(|attack| write_attack(out, attack))
}

pub(super) fn write_attack(out: &mut dyn Write, attack: &Attack) -> io::Result<()> {
    let Attack { name, how, receiver, seen, reason, held } = attack;
    writeln!(out, "  {name:<11}{how}")?;
    let verdict = match *name {
        _ if !held => "NOT AS IT MUST BE",
        "delayed" | "presumed" | "obeyed" => "opened",
        "token" | "tofu" => "aboard",
        "copied" => "sees",
        "own" | "at home" | "reopened" => "gives",
        _ => "refused",
    };
    let reason = if reason.is_empty() { String::new() } else { format!(" ({reason})") };
    writeln!(out, "             {receiver}: {verdict}: {}{reason}", counted(seen))
}

fn attacked(attack: &Attack) -> Check {
    Check { what: format!("{}: {}", attack.name, attack.how), held: attack.held }
}

/// What was seen, the most frequent first, and the rest as a number.
fn counted(seen: &BTreeMap<&'static str, u64>) -> String {
    let mut seen: Vec<_> = seen.iter().collect();
    seen.sort_by_key(|(_, count)| Reverse(**count));
    let (shown, rest) = seen.split_at(seen.len().min(3));
    let mut words: Vec<_> = match shown {
        [(code, 1)] => vec![(**code).to_owned()],
        _ => shown.iter().map(|(code, count)| format!("{count} {code}")).collect(),
    };
    if !rest.is_empty() {
        let more: u64 = rest.iter().map(|(_, count)| **count).sum();
        words.push(format!("{more} for {} other reasons", rest.len()));
    }
    words.join(", ")
}

/// The forger asked for one, with nanoprobe.two's key.
const FORGERS_TICKETS: u64 = 1;
/// Before the attacks and after them.
const ROUNDS: usize = 2;
