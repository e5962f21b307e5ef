//! A host: an agent, and a disk with its key file.

use chacha20::ChaCha20Rng;
use keycell_client::{Agent, AgentConfig, AgentKey, Enrollment, PendingRequest};
use keycell_protocol::{AuthorKey, Bundle, ProblemType, UnixMillis};
use rand_core::{Rng as _, SeedableRng as _};

use super::{Cell, name};

pub(crate) struct Host {
    pub(crate) agent: Agent,
    /// The bytes of its key file.
    pub(crate) disk: Vec<u8>,
    /// Those of its bundle, if it enrolled.
    pub(crate) bundle: Option<Vec<u8>>,
    pub(crate) disk_full: bool,
    /// By how many milliseconds its clock is wrong.
    pub(crate) off: i64,
    processes: u64,
}

impl Host {
    /// The first process of a party.
    pub(crate) fn new(cell: &mut Cell, party: &str) -> Self {
        let key = cell.key(party);
        let disk = key.to_json().to_vec();
        let agent = agent(&disk, None, cell.now, 0);
        Self { agent, disk, bundle: None, disk_full: false, off: 0, processes: 0 }
    }

    /// A host that came aboard by itself.
    pub(crate) fn enrolled(cell: &mut Cell, service: &str, host: &str) -> Self {
        let key = AuthorKey::generate(&mut cell.rng);
        let rng = ChaCha20Rng::seed_from_u64(cell.rng.next_u64());
        let (service, host) = (service.parse().unwrap(), host.parse().unwrap());
        let mut enrollment = Enrollment::new(cell.gate.bundle(), service, host, key, None, rng).unwrap();
        let pending = enrollment.wants(cell.now).unwrap();
        let answer = cell.answer_at(pending.path(), &pending.body).unwrap().unwrap();
        let boarded = enrollment.take_reply(cell.now, &pending, &answer).unwrap().unwrap();
        let disk = boarded.key_file(enrollment.key()).to_json().to_vec();
        let bundle = boarded.bundle.to_json();
        let processes = cell.rng.next_u64() >> 1;
        let agent = agent(&disk, Some(&bundle), cell.now, processes);
        assert!(agent.reenrolls());
        Self { agent, disk, bundle: Some(bundle), disk_full: false, off: 0, processes }
    }

    pub(crate) fn now(&self, cell: &Cell) -> UnixMillis {
        cell.now.shifted(self.off)
    }

    pub(crate) fn file(&self) -> AgentKey {
        AgentKey::from_json(&self.disk).unwrap()
    }

    /// What is to be in the file is written to it.
    pub(crate) fn save(&mut self) {
        let Some(unsaved) = self.agent.unsaved() else { return };
        if self.disk_full {
            self.agent.save_failed();
        } else {
            if let Some(bundle) = &unsaved.bundle {
                self.bundle = Some(bundle.to_json());
            }
            self.disk = unsaved.key.to_json().to_vec();
            self.agent.saved(&unsaved);
            assert!(self.agent.unsaved().is_none());
        }
    }

    /// The process is killed, and another started with what is on the disk.
    pub(crate) fn crash(&mut self, cell: &Cell) {
        self.processes += 1;
        self.agent = agent(&self.disk, self.bundle.as_deref(), self.now(cell), self.processes);
    }

    /// Asks for a ticket.
    pub(crate) fn ask(&mut self, cell: &mut Cell, to: &str) {
        let now = self.now(cell);
        let _ = self.agent.want(now, &name(to));
        self.serve(cell);
    }

    /// Sends what the agent wants and stores what it wants stored, until it wants nothing.
    pub(crate) fn serve(&mut self, cell: &mut Cell) {
        self.save();
        for _ in 0..50 {
            let Some(pending) = self.agent.wants(self.now(cell)) else {
                self.save();
                return;
            };
            self.answer(cell, &pending);
            self.save();
        }
        unreachable!("it asks without end");
    }

    /// One request reaches the KDC, and its answer comes back.
    pub(crate) fn answer(&mut self, cell: &mut Cell, pending: &PendingRequest) -> Option<ProblemType> {
        let now = self.now(cell);
        match cell.answer_at(pending.path(), &pending.body) {
            Some(Ok(reply)) => {
                self.agent.take_reply(now, pending, &reply).unwrap();
                None
            }
            Some(Err(problem)) => {
                self.agent.take_problem(now, pending, &problem);
                Some(problem.kind)
            }
            None => {
                self.agent.give_up(now, pending);
                None
            }
        }
    }

    /// The next request of the agent, which must be one about its own key.
    pub(crate) fn wants_rotation(&mut self, cell: &Cell) -> PendingRequest {
        let pending = self.agent.wants(self.now(cell)).unwrap();
        assert_eq!((pending.path(), pending.destinations), ("/v1/keys/rotate", 0));
        pending
    }

    /// Whether a message for it opens.
    pub(crate) fn opens(&mut self, cell: &Cell, message: &[u8]) -> bool {
        self.agent.open(self.now(cell), message).is_ok()
    }
}

fn agent(disk: &[u8], bundle: Option<&[u8]>, now: UnixMillis, process: u64) -> Agent {
    let mut config = AgentConfig::default().first_use();
    // What a clock is off is not what is looked at here.
    config.opener.max_ahead_ms = 60_000;
    let key = AgentKey::from_json(disk).unwrap();
    let agent = Agent::keeping(key, &config, now, ChaCha20Rng::seed_from_u64(50_000 + process));
    match bundle {
        Some(bundle) => agent.reenrolling(Bundle::from_json(bundle).unwrap()),
        None => agent,
    }
}
