//! `keycell dev`: a whole cell in one process, to look at and to try things on.
//!
//! Nothing in it is a stand-in: a KDC over HTTPS on its own SQLite database, a CMA and three nanoprobes over UDP that
//! came aboard by themselves, and a wire between them that loses, doubles and reorders, and on which an attacker sits.

mod aboard;
mod arrivals;
mod attacks;
mod auditor;
mod border;
mod cell;
mod forger;
mod gathering;
mod report;
mod station;
mod traitor;
mod trust;
mod wire;

/// The example programs' own parts, not a copy of them: what runs here is what `client/examples/` shows.
#[path = "../../../client/examples/fleet"]
mod fleet {
    pub(crate) mod cma;
    pub(crate) mod courier;
    pub(crate) mod details;
    pub(crate) mod discover;
    pub(crate) mod facts;
    pub(crate) mod probe;
    pub(crate) mod wire;
}

use std::path::{Path, PathBuf};
use std::time::Duration;

use keycell_client::https::{Agent, Config};
use keycell_client::{AgentConfig, AgentKey};
use keycell_protocol::Name;
use tokio::net::UdpSocket;

pub(crate) use cell::DevCell;
pub(crate) use report::Report;

use arrivals::Gate;
use attacks::Attacker;
use border::{Border, Near};
use cell::Site;
use fleet::cma::{Cma, Event};
use gathering::{Gathering, Said, Trial};
use report::Party;
use station::Station;
use wire::Wire;

/// What can go wrong here, in one line for whoever runs it.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A running cell with its fleet.
pub(crate) struct Dev {
    cell: DevCell,
    cma: Cma,
    cma_key: PathBuf,
    stations: Vec<Station>,
    wire: Wire,
    border: Option<Border>,
}

impl Dev {
    /// Makes or opens the cell in `folder`, lets its parties come aboard anew, and starts everything; with a second zone beside
    /// it, if there are to be `zones` 2.
    ///
    /// # Errors
    /// Why it does not start.
    pub(crate) async fn start(folder: &Path, zones: u8) -> Result<Self, Failure> {
        let cell = DevCell::start(folder, &Site::NEAR).await?;
        cell.wants_tokens().await?;
        let token = cell.join_token(CMA.0, &[CMA.1]).await?;
        let cma = cell.aboard(CMA.0, CMA.1, &token).await?;
        let (cma_key, cma_name) = (cma.key_path().to_owned(), cma.full_name());
        // One for all of them: what would be written into the image that they are installed from.
        let token = cell.join_token(NANOPROBE, &NANOPROBES).await?;
        let mut stations = Vec::new();
        for host in NANOPROBES {
            let host = cell.aboard(NANOPROBE, host, &token).await?;
            stations.push(Station::start(host.key_path().to_owned(), cma_name.clone())?);
        }

        let socket = UdpSocket::bind(("127.0.0.1", 0)).await?;
        let addresses: Vec<_> = stations.iter().map(Station::address).collect();
        let wire = Wire::lay(socket.local_addr()?, &addresses).await?;
        // The CMA knows each nanoprobe by the near end of its wire.
        let hosts: Vec<_> =
            stations.iter().map(|station| station.name().clone()).zip(wire.fronts()?).collect();
        let config = Config { agent: AgentConfig::default().first_use(), ..Config::default() };
        let agent = Agent::connect_host(cma, config)?;
        let border = match zones {
            2.. => Some(Border::open(&cell, &agent).await?),
            _ => None,
        };
        Ok(Self { cell, cma: Cma::new(agent, socket, hosts), cma_key, stations, wire, border })
    }

    /// Shows what the cell can do, and what an attacker cannot.
    ///
    /// # Errors
    /// Something could not even be tried. What was tried and did not hold is in the report.
    pub(crate) async fn show(&mut self) -> Result<Report, Failure> {
        let unprepared = self.cma.prepare().await;
        if let Some((name, error)) = unprepared.first() {
            return Err(format!("no ticket for {name}: {error}").into());
        }
        let complete = self.discover().await?;
        let first = self.wire.counts();
        self.wire.calm().await;
        let attacker = Attacker::new(&mut self.cma, &mut self.stations, &self.wire);
        let attacks = attacker.try_everything().await?;
        self.wire.roughen();
        let still_complete = self.discover().await?;

        let mut parties = vec![Party::new(self.cma.agent().name(), self.cma.agent().stats())];
        parties.extend(self.stations.iter().map(|station| Party::new(station.name(), station.stats())));
        let mut report = Report::new(&self.cell, &self.cma, parties, self.wire.counts(), attacks);
        report.check("every host answered every question", complete);
        report.check("every host answered again after the attacks", still_complete);
        report.check(
            "the wire lost, doubled and reordered datagrams",
            first.lost > 0 && first.doubled > 0 && first.overtaken > 0,
        );
        report.check_counters();
        report.gathered(self.gather().await?);
        let mut fleet = vec![self.cma.agent().name().clone()];
        fleet.extend(self.stations.iter().map(|station| station.name().clone()));
        let removed = fleet.last().ok_or("there is no nanoprobe")?;
        report.arrived(Gate::new(&self.cell).await?.try_everything(&fleet, removed).await?);
        if let Some(border) = &mut self.border {
            let robbed = self.stations.first().ok_or("there is no nanoprobe")?;
            let near = Near { cell: &self.cell, cma_key: &self.cma_key, nanoprobe_key: robbed.key_file() };
            report.crossed(border.cross(near).await?);
        }
        Ok(report)
    }

    /// Makes the nanoprobes a group, and shows what that can do, and what its members cannot.
    async fn gather(&mut self) -> Result<Gathering, Failure> {
        self.wire.calm().await;
        let group = self.cell.group(GROUP).await?;
        for station in &self.stations {
            station.join(&group)?;
        }
        self.cma.ask_group(group.clone());
        if let Some((name, error)) = self.cma.prepare().await.first() {
            return Err(format!("no ticket for {name}: {error}").into());
        }
        for station in &self.stations {
            station.joined().await?;
        }
        let before = (self.cma.broadcasts(), self.cma.commands());
        let mut answers = 0;
        let round = self.cma.discover(|_, event| {
            answers += u64::from(matches!(event, Event::Answered(..)));
            log(event);
        });
        // Who did not answer is missing in the count.
        let _ = tokio::time::timeout(PATIENCE, round).await.unwrap_or(Ok(false))?;
        let stats: Vec<_> = self.stations.iter().map(Station::stats).collect();
        let said = Said {
            broadcasts: self.cma.broadcasts() - before.0,
            asked_alone: self.cma.commands() - before.1,
            answers,
            members: stats.len() as u64,
            lookups: stats.iter().map(|stats| stats.requests + stats.group_requests).sum(),
            lookups_for_a_message: stats.iter().map(|stats| stats.group_refetches).sum(),
        };

        let attacker = Attacker::new(&mut self.cma, &mut self.stations, &self.wire);
        let mut trial = Trial { cell: &self.cell, group: group.clone(), attacker };
        trial.attacker.catch_up_all().await?;
        let by_a_member = trial.betray().await?;
        let removed = trial.remove(AgentKey::load(&self.cma_key)?).await?;
        self.wire.roughen();
        Ok(Gathering { group: local(&group).to_owned(), said, by_a_member, removed })
    }

    /// Keeps the fleet going, until something breaks.
    ///
    /// # Errors
    /// What broke.
    pub(crate) async fn watch(&mut self) -> Result<(), Failure> {
        Ok(self.cma.watch(EVERY, |_, event| log(event)).await?)
    }

    /// A nanoprobe, and its key file.
    pub(crate) fn nanoprobe(&self) -> Option<(&Name, &Path)> {
        self.stations.first().map(|station| (station.name(), station.key_file()))
    }

    /// The cell.
    pub(crate) const fn cell(&self) -> &DevCell {
        &self.cell
    }

    /// The cell of the other zone, if there is one.
    pub(crate) fn other_cell(&self) -> Option<&DevCell> {
        self.border.as_ref().map(Border::cell)
    }

    /// Stops everything, the KDCs last.
    pub(crate) async fn stop(self) {
        let Self { cell, cma, cma_key: _, stations, wire, border } = self;
        drop((cma, stations, wire));
        if let Some(border) = border {
            border.stop().await;
        }
        cell.stop().await;
    }

    async fn discover(&mut self) -> Result<bool, Failure> {
        let round = self.cma.discover(|_, event| log(event));
        Ok(tokio::time::timeout(PATIENCE, round).await.unwrap_or(Ok(false))?)
    }
}

fn log(event: &Event) {
    match event {
        Event::Answered(name, kind) => tracing::debug!(%name, ?kind, "an answer"),
        Event::AnsweredAgain => tracing::debug!("an answer to a question that was answered"),
        Event::Heartbeat(name) => tracing::debug!(%name, "a heartbeat"),
        Event::Strange(name) => tracing::warn!(%name, "authentic, and not understood"),
        Event::Refused(error) => {
            tracing::info!(by = CMA.0, reason = error.cause().code(), "refused: {}", error.cause());
        }
        Event::Silent(name, kind) => tracing::warn!(%name, ?kind, "no answer"),
        Event::Unsealed(name, error) => tracing::warn!(%name, %error, "not asked"),
    }
}

/// A name without its zone, for here everybody is of one, and without its fingerprint, for people.
fn local(name: &Name) -> &str {
    name.local().split("::").next().unwrap_or_default()
}

const CMA: (&str, &str) = ("cma", "main");
const NANOPROBE: &str = "nanoprobe";
const NANOPROBES: [&str; 3] = ["one", "two", "three"];
/// Its members are those whose names begin with it and a dot: all nanoprobes that come aboard.
const GROUP: &str = NANOPROBE;
/// How long a round of questions may take; usually a second.
const PATIENCE: Duration = Duration::from_secs(20);
/// How often the CMA asks while nobody looks.
const EVERY: Duration = Duration::from_secs(30);
