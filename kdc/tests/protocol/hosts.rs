//! Hosts that keep their key files up, through days, restarts, rotations and wrong clocks.

use std::fs;
use std::path::PathBuf;

use keycell_client::{
    Agent, AgentConfig, AgentKey, KdcAddress, KeyStore, PendingRequest, RestartGuard, system_rng,
};
use keycell_kdc::administration::{Asker, Caller, PartyError, Selection};
use keycell_protocol::{
    Cause, Epoch, Generation, Problem, ProblemType, RatchetPeriod, SignedRotation, UnixMillis,
};
use tempfile::TempDir;

use crate::zone::{DAY, Zone};

const HOUR: u64 = 3_600_000;
const PERIOD: RatchetPeriod = RatchetPeriod::DEFAULT;

/// A host with a disk.
struct Host {
    local: &'static str,
    folder: TempDir,
    running: Option<(KeyStore, Agent)>,
    /// By how many milliseconds its clock is wrong.
    off: i64,
    /// Its newest key, and the epoch in which that was made.
    newest: (Generation, Epoch),
}

impl Host {
    async fn new(zone: &Zone, local: &'static str) -> Self {
        let folder = TempDir::new().unwrap();
        let key = AgentKey::new(zone.name(local), zone.party(local).await, PERIOD, KdcAddress::default());
        key.write_new(folder.path().join("a.key")).unwrap();
        let newest = (key.key.generation(), key.key.epoch());
        let mut host = Self { local, folder, running: None, off: 0, newest };
        host.start(zone);
        host
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("a.key")
    }

    /// Kills the process, if there is one, and starts another.
    fn start(&mut self, zone: &Zone) {
        self.running = None;
        let (store, key) = KeyStore::open(self.path()).unwrap();
        let mut config = AgentConfig::default();
        config.opener.restart_guard = RestartGuard::Off;
        let agent = Agent::keeping(key, &config, self.now(zone), system_rng());
        self.running = Some((store, agent));
    }

    fn now(&self, zone: &Zone) -> UnixMillis {
        zone.now().shifted(self.off)
    }

    fn agent(&mut self) -> &mut Agent {
        &mut self.running.as_mut().unwrap().1
    }

    fn save(&mut self) {
        let (store, agent) = self.running.as_mut().unwrap();
        if let Some(unsaved) = agent.unsaved() {
            store.save(&unsaved.key).unwrap();
            agent.saved(&unsaved);
        }
    }

    /// Asks for a ticket, and for whatever else it wants. Whether it has the ticket.
    async fn asks(&mut self, zone: &Zone, to: &str) -> bool {
        let (now, to) = (self.now(zone), zone.name(to));
        let _ = self.agent().want(now, &to);
        for _ in 0..10 {
            self.save();
            let Some(pending) = self.agent().wants(now) else { break };
            match answer(zone, &pending).await {
                Ok(body) => drop(self.agent().take_reply(now, &pending, &body).unwrap()),
                Err(problem) => self.agent().take_problem(now, &pending, &problem),
            }
        }
        self.save();
        self.agent().ticket_expiration(now, &to).is_some()
    }

    /// Whether it opens a message.
    fn opens(&mut self, zone: &Zone, message: &[u8]) -> Result<(), Cause> {
        let now = self.now(zone);
        let opened = self.agent().open(now, message).map(drop).map_err(|error| error.cause());
        self.save();
        opened
    }

    /// Asks, is written to, and has turned its key to yesterday, unless that was made today.
    async fn is_well(&mut self, zone: &Zone, sender: &mut Agent, what: &str) {
        assert!(self.asks(zone, "sender").await, "{what}");
        let message = zone.seal(sender, self.local, what.as_bytes()).unwrap();
        assert_eq!(self.opens(zone, &message), Ok(()), "{what}");
        let file = AgentKey::load(self.path()).unwrap();
        if file.key.generation() != self.newest.0 {
            self.newest = (file.key.generation(), PERIOD.epoch(zone.now().seconds()));
        }
        assert_eq!(file.key.epoch(), yesterday(zone).max(self.newest.1), "{what}");
    }
}

/// What the KDC answers.
async fn answer(zone: &Zone, pending: &PendingRequest) -> Result<Vec<u8>, Problem> {
    let denied = |kind| {
        let mut problem = Problem::new(kind);
        problem.server_time = Some(zone.now());
        problem
    };
    if pending.path() == "/v1/tickets" {
        return zone.ask(pending).map_err(|refused| denied(refused.problem()));
    }
    let signed = SignedRotation::parse(&pending.body).unwrap();
    zone.kdc.rotate(&signed, &Asker::default()).await.map_err(|error| match error {
        PartyError::Denied(refused) => denied(refused.problem()),
        PartyError::Admin(_) => Problem::new(ProblemType::Conflict),
    })
}

fn yesterday(zone: &Zone) -> Epoch {
    Epoch(PERIOD.epoch(zone.now().seconds()).0 - 1)
}

async fn want_rotation(zone: &Zone, local: &str) {
    // Keys that are made at this moment are new enough.
    zone.clock.advance(1);
    let named = Selection::Named(vec![zone.name(local)]);
    let selected = zone.kdc.keys().select(&named, None).unwrap();
    assert_eq!(selected.parties.len(), 1);
    zone.kdc.keys().ask(&Caller::console(), &selected).await.unwrap();
}

#[tokio::test]
async fn two_months_of_days_restarts_and_rotations() {
    let mut zone = Zone::new().await;
    let mut sender = zone.agent("sender").await;
    let mut host = Host::new(&zone, "host").await;
    for day in 1..=60 {
        // Not always at the same hour.
        zone.clock.advance(DAY - 2 * HOUR + day % 5 * HOUR);
        if day % 9 == 0 {
            want_rotation(&zone, "host").await;
        }
        if day % 5 == 0 {
            zone.restart().await;
            zone.clock.advance(120_000);
        }
        if day % 4 == 0 {
            host.start(&zone);
        }
        host.is_well(&zone, &mut sender, &format!("day {day}")).await;
    }
    assert_eq!(host.agent().generation(), Generation(1 + 60 / 9));
    assert_eq!(host.agent().stats().failures, 0);
}

#[tokio::test]
async fn a_year_asleep_and_a_file_of_last_year() {
    let mut zone = Zone::new().await;
    let mut sender = zone.agent("sender").await;
    let mut host = Host::new(&zone, "host").await;
    let made = fs::read(host.path()).unwrap();
    for (restart, old_file) in [(false, false), (true, false), (false, true), (true, true)] {
        zone.clock.advance(365 * DAY);
        if restart {
            zone.restart().await;
            zone.clock.advance(120_000);
        }
        if old_file {
            host.running = None;
            fs::write(host.path(), &made).unwrap();
            host.start(&zone);
        }
        host.is_well(&zone, &mut sender, "after a year").await;
    }
}

#[tokio::test]
async fn wrong_clocks_on_either_side_of_midnight() {
    let zone = Zone::new().await;
    let mut sender = zone.agent("sender").await;
    let mut host = Host::new(&zone, "host").await;
    let day = DAY as i64;
    for off in [0, -day, day, -5 * day, 5 * day, -30_000, 30_000, 200 * day] {
        zone.clock.advance(2 * DAY);
        // Ten seconds to midnight, and past it.
        let to_midnight = DAY - zone.now().0 % DAY;
        zone.clock.advance(to_midnight - 10_000);
        host.off = off;
        host.start(&zone);
        host.is_well(&zone, &mut sender, &format!("before midnight, {off}")).await;
        zone.clock.advance(20_000);
        let message = zone.seal(&mut sender, "host", b"").unwrap();
        assert_eq!(host.opens(&zone, &message), Ok(()), "{off}");
        zone.clock.advance(HOUR);
        host.is_well(&zone, &mut sender, &format!("after midnight, {off}")).await;
    }
}

#[tokio::test]
async fn a_file_from_before_a_rotation_is_good_until_the_old_key_ends() {
    let zone = Zone::new().await;
    let mut sender = zone.agent("sender").await;
    let mut host = Host::new(&zone, "host").await;
    let made = fs::read(host.path()).unwrap();
    want_rotation(&zone, "host").await;
    assert!(host.asks(&zone, "sender").await);
    assert_eq!(host.agent().generation(), Generation(2));
    let restored = |host: &mut Host, zone: &Zone| {
        host.running = None;
        fs::write(host.path(), &made).unwrap();
        host.start(zone);
    };
    restored(&mut host, &zone);
    zone.clock.advance(60_000);
    assert!(host.asks(&zone, "sender").await);
    let message = zone.seal(&mut sender, "host", b"").unwrap();
    let no_key = host.opens(&zone, &message).unwrap_err();
    assert!(matches!(no_key, Cause::NoKey { generation: Generation(2), .. }), "{no_key}");
    zone.clock.advance(HOUR);
    assert!(!host.asks(&zone, "sender").await);
}
