//! Two zones, of which one hangs, and parties of the other that ask.

use std::collections::BTreeMap;
use std::fs;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use keycell_client::https::{Https, Transport as _};
use keycell_protocol::{Outcome, ProblemType, SealedReply, SignedRequest};
use keycell_tests::cell::Cell;
use keycell_tests::kdc::Kdc;
use keycell_tests::party::Party;
use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::hanging::Hanging;

/// A zone whose KDC answers, and the place of one that does not.
pub(crate) struct Scene {
    https: Https,
    url: String,
    /// They are timed.
    timed: Vec<Arc<Party>>,
    /// They are the load besides.
    others: Vec<Arc<Party>>,
    hanging: Hanging,
    faults: Mutex<BTreeMap<String, u64>>,
    abroad: Mutex<BTreeMap<&'static str, u64>>,
    // As long as the load runs.
    _kdc: Kdc,
    _cells: (Cell, Cell),
}

/// Where the load besides goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Whither {
    /// To a party of the zone itself.
    Home,
    /// To one of the zone that hangs.
    Abroad,
}

impl Scene {
    /// Makes both zones and the trust between them, and lets one hang.
    pub(crate) fn build() -> Self {
        let (a, b) = (Cell::of_zone("a.test"), Cell::of_zone("b.test"));
        let (kdc, mut other) = (a.serve(), b.serve());
        trust(&a, &b);
        drop((a.add("home"), b.add("abroad")));
        let parties = |kind: &str, many: u32| -> Vec<_> {
            (0..many).map(|number| Arc::new(a.add(&format!("{kind}{number}")))).collect()
        };
        let (timed, others) = (parties("timed", TIMED), parties("other", OTHERS));
        let address = other.address();
        other.terminate();
        Self {
            https: Https::new(kdc.roots(), PATIENCE).expect("the cell's own roots"),
            url: format!("{}/v1/tickets", kdc.url()),
            timed,
            others,
            hanging: Hanging::at(address),
            faults: Mutex::default(),
            abroad: Mutex::default(),
            _kdc: kdc,
            _cells: (a, b),
        }
    }

    /// Everybody asks for a while; gives how long each of those waited that are timed. It ends when all were answered.
    pub(crate) async fn turn(self: &Arc<Self>, whither: Whither, long: Duration) -> Vec<Duration> {
        let end = Instant::now() + long;
        let mut besides = JoinSet::new();
        for party in &self.others {
            besides.spawn(self.clone().load(party.clone(), whither, end));
        }
        let mut asking = JoinSet::new();
        for party in &self.timed {
            asking.spawn(self.clone().time(party.clone(), end));
        }
        let times = asking.join_all().await.concat();
        besides.join_all().await;
        times
    }

    /// How many connections the one that hangs took, and what became of those who asked for what is there.
    pub(crate) fn abroad(&self) -> (u64, BTreeMap<&'static str, u64>) {
        (self.hanging.taken(), lock(&self.abroad).clone())
    }

    /// What was not as it must be.
    pub(crate) fn faults(&self) -> Vec<String> {
        let faults = lock(&self.faults);
        faults.iter().map(|(what, times)| format!("{times} times: {what}")).collect()
    }

    async fn time(self: Arc<Self>, party: Arc<Party>, end: Instant) -> Vec<Duration> {
        let mut times = Vec::new();
        let mut pace = interval(TIMED_PACE);
        pace.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while Instant::now() < end {
            pace.tick().await;
            let (outcome, took) = self.ask(&party, Whither::Home).await;
            self.note(Whither::Home, outcome);
            times.push(took);
        }
        times
    }

    /// Asks at its pace, whether or not the last one was answered.
    async fn load(self: Arc<Self>, party: Arc<Party>, whither: Whither, end: Instant) {
        let mut asking = JoinSet::new();
        let mut pace = interval(LOAD_PACE);
        while Instant::now() < end {
            pace.tick().await;
            let (scene, party) = (self.clone(), party.clone());
            asking.spawn(async move {
                let (outcome, _) = scene.ask(&party, whither).await;
                scene.note(whither, outcome);
            });
        }
        asking.join_all().await;
    }

    /// One request for one ticket, and how long the answer took.
    async fn ask(&self, party: &Party, whither: Whither) -> (Result<(), &'static str>, Duration) {
        let request = party.request(&[whither.destination()]);
        let keys = party.subkeys();
        let body = SignedRequest::sign(&request, &keys).expect("one destination").to_json();
        let since = Instant::now();
        let answer = tokio::time::timeout(PATIENCE, self.https.post(&self.url, body, MAX_ANSWER)).await;
        let took = since.elapsed();
        let answer = match answer {
            Ok(Ok(answer)) if answer.status == 200 => answer,
            Ok(Ok(_)) => return (Err("the whole request was refused"), took),
            Ok(Err(_)) => return (Err("there was no answer"), took),
            Err(_) => return (Err("there was no answer in time"), took),
        };
        let reply = SealedReply::parse(&answer.body).and_then(|sealed| sealed.open(&keys.reply, &request));
        let outcome = reply.expect("the reply opens").outcomes.into_iter().next();
        let outcome = match outcome.expect("one outcome for one destination") {
            Outcome::Granted(_) => Ok(()),
            Outcome::Refused { problem, .. } => Err(problem.map_or("unknown", ProblemType::title)),
        };
        (outcome, took)
    }

    fn note(&self, whither: Whither, outcome: Result<(), &'static str>) {
        let fault = match (whither, outcome) {
            (Whither::Home, Ok(())) => return,
            (Whither::Abroad, Err(why)) => {
                *lock(&self.abroad).entry(why).or_default() += 1;
                return;
            }
            (Whither::Home, Err(why)) => format!("no ticket at home: {why}"),
            (Whither::Abroad, Ok(())) => "a ticket from a KDC that hangs".to_owned(),
        };
        *lock(&self.faults).entry(fault).or_default() += 1;
    }
}

fn lock<K, V>(counts: &Mutex<BTreeMap<K, V>>) -> MutexGuard<'_, BTreeMap<K, V>> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Lets the parties of `a` speak to those of `b`.
fn trust(a: &Cell, b: &Cell) {
    let bundle = a.run(&["bundle"]).succeeded().stdout;
    fs::write(b.folder().join("a.json"), bundle).expect("the folder is ours");
    let terms = ["--source", "*", "--destination", "*", "--rate", "100000/100000"];
    let offer = ["trust", "offer", "--bundle", "a.json", "--output", "offer"];
    b.run(&[&offer[..], &terms].concat()).succeeded();
    let fingerprint = b.run(&["bundle", "--fingerprint"]).succeeded().stdout;
    fs::copy(b.folder().join("offer"), a.folder().join("offer")).expect("the folder is ours");
    let accept = ["trust", "accept", "offer", "--fingerprint", fingerprint.trim()];
    a.run(&[&accept[..], &terms].concat()).succeeded();
}

impl Whither {
    const fn destination(self) -> &'static str {
        match self {
            Self::Home => "home@a.test",
            Self::Abroad => "abroad@b.test",
        }
    }
}

const TIMED: u32 = 10;
const TIMED_PACE: Duration = Duration::from_millis(50);
const OTHERS: u32 = 20;
const LOAD_PACE: Duration = Duration::from_millis(100);
const PATIENCE: Duration = Duration::from_secs(10);
const MAX_ANSWER: usize = 1 << 20;
