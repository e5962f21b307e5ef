//! A zone for one test: a KDC in a temporary folder, its clock, and agents that ask it by function call.

use std::sync::Arc;

use keycell_client::{Agent, AgentConfig, AgentKey, KdcAddress, PendingRequest, SealError, system_rng};
use keycell_kdc::administration::{Caller, Created, NewEntry, Precondition};
use keycell_kdc::api::PartyPatch;
use keycell_kdc::cell::{Cell, NewCell};
use keycell_kdc::clock::{Clock as _, ManualClock};
use keycell_kdc::config::Config;
use keycell_kdc::issuance::Denied;
use keycell_kdc::kdc::Kdc;
use keycell_kdc::policy::Profile;
use keycell_protocol::{LongTermKey, Name, Problem, RatchetPeriod, SignedRequest, UnixMillis};
use sqlx::{AssertSqlSafe, Connection as _, SqliteConnection};
use tempfile::TempDir;

/// 2026-01-01 12:00 UTC.
pub(crate) const START: UnixMillis = UnixMillis(1_767_268_800_000);
pub(crate) const DAY: u64 = 86_400_000;

pub(crate) struct Zone {
    pub(crate) kdc: Kdc,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) config: Config,
    _folder: TempDir,
}

impl Zone {
    pub(crate) async fn new() -> Self {
        Self::with(RatchetPeriod::DEFAULT, |_| {}).await
    }

    pub(crate) async fn with(ratchet_period: RatchetPeriod, change: impl FnOnce(&mut Config)) -> Self {
        Self::named("cell1.internal", ratchet_period, change).await
    }

    /// One of several zones, each with a clock of its own.
    pub(crate) async fn named(
        zone: &str,
        ratchet_period: RatchetPeriod,
        change: impl FnOnce(&mut Config),
    ) -> Self {
        let folder = TempDir::new().unwrap();
        let clock = Arc::new(ManualClock::new(START));
        let cell = NewCell {
            folder: folder.path().join("cell"),
            zone: zone.parse().unwrap(),
            listen: "127.0.0.1:8443".parse().unwrap(),
            urls: vec!["https://localhost:8443".to_owned()],
            database: None,
            ratchet_period,
            profile: Profile::Open,
        };
        cell.create(&*clock).await.unwrap();
        let mut config = Config::load(&cell.folder.join(Config::FILE), None).unwrap();
        change(&mut config);
        let kdc = open(&config, &clock).await;
        Self { kdc, clock, config, _folder: folder }
    }

    /// Ends the KDC and starts another on the same database.
    pub(crate) async fn restart(&mut self) {
        self.kdc.close().await;
        self.kdc = open(&self.config, &self.clock).await;
    }

    /// Runs SQL as somebody would who can write to the database and is not Keycell.
    pub(crate) async fn sql(&self, sql: &str) {
        let mut connection = SqliteConnection::connect(&self.config.database).await.unwrap();
        sqlx::raw_sql(AssertSqlSafe(sql)).execute(&mut connection).await.unwrap();
        connection.close().await.unwrap();
    }

    /// A number that the database has.
    pub(crate) async fn number(&self, sql: &str) -> i64 {
        let mut connection = SqliteConnection::connect(&self.config.database).await.unwrap();
        let number = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection).await.unwrap();
        connection.close().await.unwrap();
        number
    }

    /// Keeps everybody else from writing to the database until it is rolled back, or dropped.
    pub(crate) async fn hold_database(&self) -> SqliteConnection {
        let mut connection = SqliteConnection::connect(&self.config.database).await.unwrap();
        sqlx::raw_sql("BEGIN IMMEDIATE").execute(&mut connection).await.unwrap();
        connection
    }

    /// A change that somebody made past Keycell, of documents of this kind.
    pub(crate) async fn sql_documents(&self, kind: &str, sql: &str) {
        self.sql(&format!(
            "{sql}; UPDATE change_counter SET last = last + 1;
             UPDATE document_change SET change = (SELECT last FROM change_counter) WHERE kind = '{kind}'"
        ))
        .await;
    }

    pub(crate) async fn cell(&self) -> Cell {
        Cell::open(&self.config).await.unwrap()
    }

    pub(crate) fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    pub(crate) fn name(&self, local: &str) -> Name {
        Name::new(local, self.kdc.zone()).unwrap()
    }

    /// Makes a party and returns its key.
    pub(crate) async fn party(&self, local: &str) -> LongTermKey {
        self.create(&self.name(local)).await.key
    }

    /// Makes a party.
    pub(crate) async fn create(&self, name: &Name) -> Created {
        let entry = NewEntry::named(name.clone());
        self.kdc.parties().create(&Caller::console(), &entry, |_| Ok(None)).await.unwrap()
    }

    pub(crate) async fn set_enabled(&self, local: &str, enabled: bool) {
        let patch = PartyPatch { enabled: Some(enabled), ..PartyPatch::default() };
        let (name, caller) = (self.name(local), Caller::console());
        self.kdc.parties().update(&caller, &name, &patch, &Precondition::NONE).await.unwrap();
    }

    /// Makes a party and its first agent.
    pub(crate) async fn agent(&self, local: &str) -> Agent {
        let key = self.party(local).await;
        self.agent_with(local, key, self.now())
    }

    /// An agent with that key, in a process that starts at `now` by its own clock.
    pub(crate) fn agent_with(&self, local: &str, key: LongTermKey, now: UnixMillis) -> Agent {
        let period = self.kdc.zone_record().ratchet_period;
        let key = AgentKey::new(self.name(local), key, period, KdcAddress::default());
        Agent::new(key, &AgentConfig::default().first_use(), now, system_rng())
    }

    /// Seals, and asks the KDC first if need be.
    pub(crate) fn seal(&self, agent: &mut Agent, to: &str, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.seal_at(agent, self.now(), to, body)
    }

    /// As [`seal`](Self::seal), for an agent whose own clock shows `now`.
    pub(crate) fn seal_at(
        &self,
        agent: &mut Agent,
        now: UnixMillis,
        to: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        let to = self.name(to);
        match agent.seal(now, &to, "", body) {
            Err(SealError::NoTicket { .. }) => {
                self.fetch_at(agent, now);
                agent.seal(now, &to, "", body)
            }
            done => done,
        }
    }

    /// Lets an agent ask for what it wants.
    pub(crate) fn fetch(&self, agent: &mut Agent) {
        self.fetch_at(agent, self.now());
    }

    pub(crate) fn fetch_at(&self, agent: &mut Agent, now: UnixMillis) {
        // A clock that is corrected asks a second time, nothing more often.
        for _ in 0..3 {
            let Some(pending) = agent.wants(now) else { return };
            match self.ask(&pending) {
                Ok(body) => drop(agent.take_reply(now, &pending, &body).unwrap()),
                Err(denied) => {
                    let mut problem = Problem::new(denied.problem());
                    problem.server_time = Some(self.now());
                    agent.take_problem(now, &pending, &problem);
                }
            }
        }
    }

    /// Sends one request to the KDC.
    pub(crate) fn ask(&self, pending: &PendingRequest) -> Result<Vec<u8>, Denied> {
        let signed = SignedRequest::parse(&pending.body).unwrap();
        self.kdc.tickets(&signed, None).map(|issued| issued.body)
    }
}

async fn open(config: &Config, clock: &Arc<ManualClock>) -> Kdc {
    Cell::open(config).await.unwrap().into_kdc(config.clone(), clock.clone()).await.unwrap()
}
