//! Hosts that come aboard over a network that fails, with a folder on a real disk.

use core::time::Duration;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::sync::Arc;

use keycell_client::https::{Agent, ConnectError, EnrollError, EnrollOptions, Transport, enroll_with};
use keycell_client::{AgentKey, HostStore, HostStoreError, StoredHost};
use keycell_protocol::{Generation, IdentityName, Name, Problem, ProblemType};
use tempfile::TempDir;
use tokio::time::Instant;

use super::{HostClock, Mood, Net, config, pass, problem_answer};
use crate::cell::{Admit, name};

const ENROLL: &str = "/v1/enroll";

struct Place {
    net: Arc<Net>,
    folder: TempDir,
}

impl Place {
    fn new(net: &Arc<Net>) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let place = Self { net: Arc::clone(net), folder };
        place.store().install(net.cell.lock().unwrap().gate.bundle()).unwrap();
        net.key("b");
        place
    }

    fn store(&self) -> HostStore {
        HostStore::open(self.folder.path().join("host")).unwrap()
    }

    fn host(&self) -> StoredHost {
        let (service, host) = ("nanoprobe".parse().unwrap(), "web1.example".parse().unwrap());
        self.store().host(&"z".parse().unwrap(), &service, &host).unwrap()
    }

    fn clock(&self) -> Arc<HostClock> {
        Arc::new(HostClock { net: Arc::clone(&self.net), off: 0 })
    }

    async fn enroll(&self, wait: u64) -> Result<Name, EnrollError> {
        let options = EnrollOptions { wait: Duration::from_secs(wait), ..EnrollOptions::default() };
        enroll_with(&self.host(), &options, &*self.net, &*self.clock()).await
    }

    fn agent(&self) -> Result<Agent, ConnectError> {
        let net = Arc::clone(&self.net) as Arc<dyn Transport>;
        Agent::with_host(self.host(), config(), net, self.clock())
    }

    fn file(&self) -> AgentKey {
        let host = self.store().folder().join("nanoprobe.web1.example@z.key");
        AgentKey::load(host).unwrap()
    }

    fn enrollments(&self) -> usize {
        self.net.cell.lock().unwrap().gate.requests.len()
    }

    /// Everybody at the network's KDCs: what they do with hosts that want aboard.
    fn all(&self, mood: &Mood) {
        ["one", "two"].iter().for_each(|kdc| self.net.mood_of(kdc, ENROLL, mood.clone()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_host_enrolls_and_its_agent_starts() {
    let net = Net::new();
    let place = Place::new(&net);
    let error = place.agent().unwrap_err();
    assert!(matches!(error, ConnectError::Host(HostStoreError::NotEnrolled { .. })), "{error}");
    let me = place.enroll(20).await.unwrap();
    assert_eq!((&me, place.file().name), (&place.host().full_name(), me.clone()));
    assert_eq!(place.file().author.unwrap().public(), place.host().key().public());
    let agent = place.agent().unwrap();
    agent.seal(&name("b"), "", b"").await.unwrap();
    // It is done: whoever calls again asks nobody.
    drop(agent);
    place.net.asked();
    assert_eq!(place.enroll(20).await.unwrap(), me);
    assert_eq!((place.net.asked().len(), place.enrollments()), (0, 1));
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_and_a_dead_kdc_make_no_second_key() {
    let net = Net::new();
    let place = Place::new(&net);
    net.mood_of("one", ENROLL, Mood::Swallows);
    let me = place.enroll(20).await.unwrap();
    assert_eq!(place.enrollments(), 2, "the same twice");
    assert_eq!(net.cell.lock().unwrap().parties[&me].active.generation(), Generation(1));
    assert_eq!(place.file().key.generation(), Generation(1));
    // Nobody answers.
    let place = Place::new(&net);
    place.all(&Mood::Refuses);
    let before = Instant::now();
    let error = place.enroll(20).await.unwrap_err();
    assert!(matches!(error, EnrollError::NoAnswer { .. }), "{error}");
    assert!(error.to_string().ends_with("connection refused"), "{error}");
    assert_eq!(before.elapsed().as_secs(), 20);
    // Those who wait for longer are there when one does.
    let task = {
        let net = Arc::clone(&net);
        async move {
            pass(600_000).await;
            ["one", "two"].iter().for_each(|kdc| net.mood_of(kdc, ENROLL, Mood::Well));
        }
    };
    let (enrolled, ()) = tokio::join!(place.enroll(u64::MAX), task);
    enrolled.unwrap();
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_an_administrator_is_told_so() {
    let net = Net::new();
    let place = Place::new(&net);
    net.cell.lock().unwrap().gate.admit = Admit::Later(60);
    let error = place.enroll(20).await.unwrap_err();
    let fingerprint = place.host().name().fingerprint.to_string();
    assert!(matches!(error, EnrollError::Pending { .. }), "{error}");
    assert!(error.to_string().contains(&format!("`keycell enroll approve {fingerprint}`")), "{error}");
    let task = async {
        pass(3_600_000).await;
        net.cell.lock().unwrap().gate.admit = Admit::Everybody;
    };
    let (enrolled, ()) = tokio::join!(place.enroll(7_200), task);
    enrolled.unwrap();
    assert!(place.enrollments() > 40);
}

#[tokio::test(start_paused = true)]
async fn refusals_are_told_at_once() {
    let net = Net::new();
    let place = Place::new(&net);
    let before = Instant::now();
    let mut other = Problem::new(ProblemType::IdentityUnknown);
    other.identity = IdentityName::new(4);
    for (problem, says) in [
        (Problem::new(ProblemType::EnrollmentRefused), "does not let nanoprobe.web1.example::"),
        (other, "works as #KDC#00004"),
        (Problem::new(ProblemType::IdentityUnknown), "does not have the identity"),
        (Problem::new(ProblemType::Unauthenticated), "does not have the identity"),
        (Problem::new(ProblemType::NotFound), "is it of an earlier release?"),
    ] {
        place.all(&Mood::Answers(problem_answer(&problem)));
        let error = place.enroll(600).await.unwrap_err();
        assert!(error.to_string().contains(says), "{error}");
    }
    assert!(before.elapsed().as_secs() < 20);
    assert!(!place.host().is_enrolled().unwrap());
}

/// The answer came, and the process was killed before the key file was there.
#[tokio::test(start_paused = true)]
async fn a_host_whose_key_file_never_came_to_be_has_one_that_works() {
    let net = Net::new();
    let place = Place::new(&net);
    let me = place.enroll(20).await.unwrap();
    fs::remove_file(place.host().key_path()).unwrap();
    pass(120_000).await;
    assert_eq!(place.enroll(20).await.unwrap(), me);
    assert_eq!(net.cell.lock().unwrap().parties[&me].active.generation(), Generation(2));
    assert_eq!(place.file().key.generation(), Generation(2));
    place.agent().unwrap().seal(&name("b"), "", b"").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn after_a_recovery_the_agent_has_its_host_enrolled_again() {
    let net = Net::new();
    let place = Place::new(&net);
    place.enroll(20).await.unwrap();
    let agent = place.agent().unwrap();
    agent.keep(&name("b")).unwrap();
    agent.seal(&name("b"), "", b"").await.unwrap();
    net.change(|cell| {
        cell.recover();
        cell.key("b");
    });
    pass(1_800_000).await;
    assert_eq!((agent.generation(), agent.stats().reenrollments), (Generation(2), 1));
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!(place.file().key.generation(), Generation(2));
    let bundle = place.store().bundle(&"z".parse().unwrap()).unwrap().unwrap();
    assert_eq!(bundle.identities[0].name, IdentityName::SECONDARY);
    assert_eq!(agent.key_file_failure(), None);
    drop(agent);
    // A bundle of the time before does not undo that.
    let before = Net::new().cell.lock().unwrap().gate.bundle();
    assert_eq!(place.store().install(before).unwrap(), bundle);
    place.agent().unwrap().seal(&name("b"), "", b"").await.unwrap();
}

/// It asks for no ticket that could be refused.
#[tokio::test(start_paused = true)]
async fn an_agent_that_only_answers_comes_back_too() {
    let net = Net::new();
    let place = Place::new(&net);
    place.enroll(20).await.unwrap();
    let agent = place.agent().unwrap();
    net.change(|cell| cell.recover());
    pass(2 * 3_600_000).await;
    assert_eq!((agent.generation(), agent.stats().reenrollments), (Generation(2), 1));
    assert_eq!((agent.stats().requests, place.file().key.generation()), (0, Generation(2)));
}

/// Root writes everywhere, so there it is shown by a folder in the place of the bundle.
#[tokio::test(start_paused = true)]
async fn a_folder_that_is_read_only_stops_nothing_but_what_is_to_be_stored() {
    let net = Net::new();
    let place = Place::new(&net);
    place.enroll(20).await.unwrap();
    let agent = place.agent().unwrap();
    agent.keep(&name("b")).unwrap();
    agent.seal(&name("b"), "", b"").await.unwrap();
    let (bundle, away) = (place.store().folder().join("z.bundle"), place.folder.path().join("away"));
    fs::rename(&bundle, &away).unwrap();
    fs::create_dir(&bundle).unwrap();
    fs::set_permissions(place.store().folder(), Permissions::from_mode(0o500)).unwrap();
    net.change(|cell| {
        cell.recover();
        cell.key("b");
    });
    pass(1_800_000).await;
    agent.seal(&name("b"), "", b"").await.unwrap();
    assert_eq!((agent.generation(), place.file().key.generation()), (Generation(2), Generation(1)));
    let why = agent.key_file_failure().unwrap();
    assert!(why.contains("z.bundle"), "{why}");
    fs::set_permissions(place.store().folder(), Permissions::from_mode(0o700)).unwrap();
    fs::remove_dir(&bundle).unwrap();
    fs::rename(&away, &bundle).unwrap();
    pass(600_000).await;
    assert_eq!((agent.key_file_failure(), place.file().key.generation()), (None, Generation(2)));
}

/// The other one may know the key.
#[tokio::test(start_paused = true)]
async fn one_kdc_that_does_not_know_a_key_is_not_all_while_another_is_busy() {
    let net = Net::new();
    let place = Place::new(&net);
    let me = place.enroll(20).await.unwrap();
    net.change(|cell| cell.erase(&me));
    net.mood("one", Mood::Answers(problem_answer(&Problem::new(ProblemType::Overloaded))));
    let agent = place.agent().unwrap();
    net.asked();
    agent.keep(&name("b")).unwrap();
    pass(10).await;
    assert_eq!((net.asked(), agent.stats().refusals), (vec!["one".to_owned(), "two".to_owned()], 0));
    // Nor is one that is down a refusal, and none keeps another's from counting.
    net.mood("one", Mood::Refuses);
    pass(20_000).await;
    assert!(agent.stats().refusals > 0);
    net.mood("two", Mood::Refuses);
    let before = agent.stats().refusals;
    pass(600_000).await;
    assert_eq!((agent.stats().refusals, agent.stats().reenrollments), (before, 0));
}
