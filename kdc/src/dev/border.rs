//! A second zone, with `keycell dev --zones 2`: the CMA of the first has nanoprobes in it, and neither notices the border.

mod turned;
mod view;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use keycell_client::https::Agent;
use keycell_client::protocol::{AuthorKey, Name, Outcome, ProblemType, Voucher};
use keycell_client::system_rng;
use tokio::net::UdpSocket;
use tokio::time::{Instant, sleep};

use super::attacks::{Attack, Attacker, ONE, TWO, refused_as};
use super::cell::{DevCell, Site};
use super::fleet::cma::{Cma, Event};
use super::forger::Forger;
use super::station::Station;
use super::traitor::Traitor;
use super::trust::Speakers;
use super::wire::Wire;
use super::{CMA, Failure, GROUP, NANOPROBE, NANOPROBES, local, log};
use crate::clock::{Clock as _, SystemClock};

pub(crate) use view::Crossing;

use turned::{Told, Turned};
use view::{Row, Said};

/// The cell beyond the border, with its fleet.
pub(super) struct Border {
    cell: DevCell,
    cma: Cma,
    stations: Vec<Station>,
    wire: Wire,
}

/// Who of the first zone takes part: their key files, for whoever broke into their hosts.
#[derive(Clone, Copy)]
pub(super) struct Near<'a> {
    pub(super) cell: &'a DevCell,
    pub(super) cma_key: &'a Path,
    pub(super) nanoprobe_key: &'a Path,
}

impl Border {
    /// Makes or opens the other cell, lets the two trust each other, and lets its nanoprobes come aboard anew. They obey the
    /// CMA of the first zone.
    ///
    /// # Errors
    /// Why it does not start.
    pub(super) async fn open(near: &DevCell, cma: &Agent) -> Result<Self, Failure> {
        let cell = DevCell::start(&near.folder().join(FOLDER), &Site::FAR).await?;
        let (to_hosts, to_cma) = (["nanoprobe", "nanoprobe.*"], ["cma.*"]);
        cell.lets_speak(near, Speakers { sources: &to_cma, destinations: &to_hosts }).await?;
        near.lets_speak(&cell, Speakers { sources: &to_hosts, destinations: &to_cma }).await?;

        cell.wants_tokens().await?;
        let token = cell.join_token(NANOPROBE, &NANOPROBES).await?;
        let mut stations = Vec::new();
        for host in NANOPROBES {
            let host = cell.aboard(NANOPROBE, host, &token).await?;
            stations.push(Station::start(host.key_path().to_owned(), cma.name().clone())?);
        }
        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let addresses: Vec<_> = stations.iter().map(Station::address).collect();
        let wire = Wire::lay(socket.local_addr()?, &addresses).await?;
        let hosts: Vec<_> =
            stations.iter().map(|station| station.name().clone()).zip(wire.fronts()?).collect();
        // Another handle to the same agent: one CMA, in two places.
        Ok(Self { cell, cma: Cma::new(cma.clone(), socket, hosts), stations, wire })
    }

    /// Shows what goes over the border, and what does not.
    ///
    /// # Errors
    /// Something could not even be tried.
    pub(super) async fn cross(&mut self, near: Near<'_>) -> Result<Crossing, Failure> {
        let group = self.cell.group(GROUP).await?;
        let said = self.talk(&group).await?;
        let table = self.table(near, &group).await?;
        let mut tried = self.turn(near).await?;
        tried.extend(self.vouch(&group).await?);
        self.wire.roughen();
        let closed = self.close(near).await?;
        let (zone, url) = (self.cell.kdc().zone().to_string(), self.cell.url());
        Ok(Crossing { zone, url, said, table, tried, closed })
    }

    /// The other cell.
    pub(super) const fn cell(&self) -> &DevCell {
        &self.cell
    }

    /// Stops everything, the KDC last.
    pub(super) async fn stop(self) {
        let Self { cell, cma, stations, wire } = self;
        drop((cma, stations, wire));
        cell.stop().await;
    }

    /// Asks every host alone, over the wire that loses, then all of them at once.
    async fn talk(&mut self, group: &Name) -> Result<Said, Failure> {
        let requests = self.cma.agent().stats().requests;
        self.prepare().await?;
        let asked = self.cma.agent().stats().requests - requests;
        let (complete, answers) = self.ask().await?;
        let lookups = self.stations.iter().map(|station| station.stats().requests).sum();
        let commands = self.cma.commands();

        self.wire.calm().await;
        for station in &self.stations {
            station.join(group)?;
        }
        self.cma.ask_group(group.clone());
        self.prepare().await?;
        for station in &self.stations {
            // It has a ticket for the CMA then, which its own KDC asked the other one for.
            station.joined().await?;
        }
        let (_, group_answers) = self.ask().await?;
        let broadcasts = self.cma.broadcasts();
        Ok(Said { complete, commands, answers, asked, lookups, broadcasts, group_answers })
    }

    async fn prepare(&self) -> Result<(), Failure> {
        match self.cma.prepare().await.first() {
            Some((name, error)) => Err(format!("no ticket for {name}: {error}").into()),
            None => Ok(()),
        }
    }

    /// Whether all answered, and how many answers came.
    async fn ask(&mut self) -> Result<(bool, u64), Failure> {
        let mut answers = 0;
        let round = self.cma.discover(|_, event| {
            answers += u64::from(matches!(event, Event::Answered(..)));
            log(event);
        });
        let complete = tokio::time::timeout(super::PATIENCE, round).await.unwrap_or(Ok(false))?;
        Ok((complete, answers))
    }

    /// Asks for tickets in the name of each, with its own key.
    async fn table(&self, near: Near<'_>, group: &Name) -> Result<Vec<Row>, Failure> {
        let cma = Forger::steal(near.cma_key)?;
        let near_one = Forger::steal(near.nanoprobe_key)?;
        let far_one = Forger::steal(self.station(ONE)?.key_file())?;
        let absent = Name::in_zone("nanoprobe.absent", self.cell.kdc().zone())?;
        let third: Name = format!("{}@{THIRD}", CMA.0).parse()?;
        let mut rows = Vec::new();
        for (from, to, expected) in [
            (&cma, far_one.me(), Told::Given),
            (&cma, group, Told::Given),
            (&far_one, cma.me(), Told::Given),
            (&near_one, far_one.me(), Told::Refused(ProblemType::NotAllowed)),
            (&far_one, near_one.me(), Told::Refused(ProblemType::NotAllowed)),
            (&cma, &absent, Told::Refused(ProblemType::UnknownDestination)),
            (&cma, &third, Told::Refused(ProblemType::UntrustedZone)),
            (&far_one, &third, Told::Refused(ProblemType::UntrustedZone)),
        ] {
            let verdict = told(&from.outcome(to).await?).word();
            let (from, to) = (in_short(from.me()), in_short(to));
            rows.push(Row { from, to, verdict, expected: expected.word() });
        }
        Ok(rows)
    }

    /// The KDC of the first zone turns.
    async fn turn(&self, near: Near<'_>) -> Result<Vec<Attack>, Failure> {
        let turned = Turned::of(near.cell, &self.cell).await?;
        let cma = self.cma.agent().name();
        let (one, two) = (self.station(ONE)?.name(), self.station(TWO)?.name());
        let third: Name = format!("{}@{THIRD}", CMA.0).parse()?;
        let (far, own) = (self.cell.kdc().zone(), near.cell.kdc().zone());
        let mut tried = Vec::new();
        let mut note = |name, receiver: &str, how, told: Told, expected| {
            let seen = BTreeMap::from([(told.word(), 1)]);
            let reason = match told {
                Told::Refused(problem) => problem.title().to_owned(),
                _ => String::new(),
            };
            let receiver = format!("the KDC of {receiver}");
            tried.push(Attack { name, how, receiver, seen, reason, held: told == expected });
        };
        let untrusted = Told::Refused(ProblemType::UntrustedZone);
        let how = format!("the KDC of {own} asks in the name of {}", in_short(two));
        note("usurped", far.as_str(), how, turned.ask(two, one).await?, untrusted);
        let how = format!("the KDC of {own} asks in the name of {third}, a third zone's");
        note("usurped", far.as_str(), how, turned.ask(&third, one).await?, untrusted);
        let how = format!("the KDC of {own} asks for a ticket to {third}, through {far}");
        note("transit", far.as_str(), how, turned.ask(cma, &third).await?, untrusted);
        let how = format!("the KDC of {own} says the same once more, byte by byte");
        let replayed = Told::Refused(ProblemType::Replayed);
        note("replayed", far.as_str(), how, turned.say_again(cma, one).await?, replayed);
        let stranger = Told::Refused(ProblemType::Unauthenticated);
        let how = format!("what the KDC of {own} asks is sent back to itself");
        note("reflected", own.as_str(), how, turned.reflect(cma, one).await?, stranger);
        let how = format!("the KDC of {THIRD}, which nobody trusts, asks for its own {third}");
        note("stranger", far.as_str(), how, turned.ask_as_third(&third, one).await?, stranger);
        let how = format!(
            "the KDC of {own} asks for its own {}, which did not: that is what it is trusted with",
            in_short(cma)
        );
        note("own", far.as_str(), how, turned.ask(cma, one).await?, Told::Given);
        Ok(tried)
    }

    /// The KDC of the other zone turns: it has every key of its group, and vouches for an author who is not of its zone.
    async fn vouch(&mut self, group: &Name) -> Result<Vec<Attack>, Failure> {
        let cma = self.cma.agent().name().clone();
        let (far, key_file) = (self.cell.kdc().zone(), self.station(TWO)?.key_file());
        let traitor = Traitor::join(Forger::steal(key_file)?, group.clone()).await?;
        let author = AuthorKey::generate(&mut system_rng());
        let identity = self.cell.kdc().ledger().journal().key();
        let now = SystemClock.now();
        let good = (now.minus(60_000).seconds(), now.plus(3_600_000).seconds());
        let sign = |bytes: &[u8]| identity.sign(bytes);
        let voucher = Voucher::issue(&cma, author.public(), good, &identity.signer(), sign);
        let forged = traitor.signed_as(&cma, &(author, voucher))?;
        let how = format!(
            "the KDC of {far} writes to its group {} as {}, and vouches for that",
            local(group),
            in_short(&cma)
        );
        let mut attacker = Attacker::new(&mut self.cma, &mut self.stations, &self.wire);
        attacker.catch_up_all().await?;
        let seen = attacker.deliver(ONE, &forged).await?;
        attacker.note("vouched", how, ONE, &[seen], refused_as(&["author-unknown"]))?;
        Ok(attacker.take())
    }

    /// The other zone's administrator ends the trust for a while.
    async fn close(&self, near: Near<'_>) -> Result<Vec<Attack>, Failure> {
        let cma = Forger::steal(near.cma_key)?;
        let home = Forger::steal(near.nanoprobe_key)?;
        let one = self.station(ONE)?.name();
        let mut closed = Vec::new();
        let mut note = |name, how: &str, told: Told, held| {
            let seen = BTreeMap::from([(told.word(), 1)]);
            let (how, reason) = (how.to_owned(), String::new());
            closed.push(Attack { name, how, receiver: "the KDC".to_owned(), seen, reason, held });
        };
        self.cell.set_trust(near.cell.kdc().zone(), false).await?;
        let refused = told(&cma.outcome(one).await?);
        let held = matches!(refused, Told::Refused(_));
        note("closed", "cma.main asks for another ticket over the border", refused, held);
        let at_home = told(&cma.outcome(home.me()).await?);
        note("at home", "and for one in its own zone", at_home, at_home == Told::Given);
        self.cell.set_trust(near.cell.kdc().zone(), true).await?;
        // Its KDC remembers for some seconds what it was told.
        let end = Instant::now() + REMEMBERED;
        let mut again = told(&cma.outcome(one).await?);
        while again != Told::Given && Instant::now() < end {
            sleep(BEFORE_THE_NEXT_TRY).await;
            again = told(&cma.outcome(one).await?);
        }
        note("reopened", "cma.main asks once more when the trust is enabled", again, again == Told::Given);
        Ok(closed)
    }

    fn station(&self, at: usize) -> Result<&Station, Failure> {
        self.stations.get(at).ok_or_else(|| "there are fewer nanoprobes than this needs".into())
    }
}

fn told(outcome: &Outcome) -> Told {
    match outcome {
        Outcome::Granted(_) => Told::Given,
        Outcome::Refused { problem: Some(problem), .. } => Told::Refused(*problem),
        Outcome::Refused { problem: None, .. } => Told::Unclear,
    }
}

/// With its zone, and without its fingerprint.
fn in_short(name: &Name) -> String {
    format!("{}@{}", local(name), name.zone())
}

/// The other cell, in the folder of the first one.
const FOLDER: &str = "zone2";
/// A zone that nobody trusts, and that there is not.
const THIRD: &str = "dev3.internal";
/// For longer than a KDC remembers what another one refused.
const REMEMBERED: Duration = Duration::from_secs(30);
const BEFORE_THE_NEXT_TRY: Duration = Duration::from_millis(100);
