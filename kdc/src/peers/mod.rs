//! The KDCs of other zones, which are asked for tickets to their parties (docs/protocol.md §12).
//!
//! A request waits for them in a task of its own: with no lock, no place for heavy work, and no longer than it may. One that
//! wants nothing abroad never comes here.

mod breaker;
mod budget;
mod connect;
mod errand;
mod keeping;
mod keys;
mod last;
mod line;
mod negative;
mod parts;
mod peer;
mod places;
mod steps;
mod view;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use arc_swap::ArcSwap;
use futures_util::future::join_all;
use keycell_protocol::{Instance, Name, PeerPair, ProblemType, Zone};
use tokio::sync::Notify;
use tokio::time::{Instant, timeout};

use crate::administration::Ledger;
use crate::clock::Clock;
use crate::config::PeersConfig;
use crate::limit::ZoneRates;
use crate::metrics::PeerMetrics;
use crate::trust::{Direction, HeldKeys, PeerRecord, TrustRecord, Trusts, secret_name};

use keys::Keys;
use line::{Line, NoAnswer};
use parts::parts;
use peer::{Outcomes, Peer};
use places::Place;

pub use connect::{Connect, OverHttps};
pub use errand::{Errand, Fetched};
pub use last::Last;
pub use view::PeerState;

/// All zones that this one asks.
pub struct Peers {
    ledger: Arc<Ledger>,
    clock: Arc<dyn Clock>,
    metrics: PeerMetrics,
    config: ArcSwap<PeersConfig>,
    connect: RwLock<Arc<dyn Connect>>,
    /// As they were when they were last looked at.
    known: RwLock<BTreeMap<Zone, Arc<Peer>>>,
    /// The trusts that were heard of last.
    heard: Mutex<Arc<Trusts>>,
    looking: tokio::sync::Mutex<()>,
    /// Who takes care of the keys has something to do, with these zones.
    news: Notify,
    told: Mutex<BTreeSet<Zone>>,
    /// So many requests wait for other zones, and so many may.
    waiting: AtomicUsize,
    most_waiting: usize,
    /// How much of the rate of each trust is used.
    rates: ZoneRates,
    /// This process.
    instance: Instance,
}

impl Peers {
    /// Nobody is known yet.
    pub(crate) fn new(
        ledger: Arc<Ledger>,
        clock: Arc<dyn Clock>,
        metrics: PeerMetrics,
        config: PeersConfig,
        requests_in_flight: usize,
    ) -> Self {
        Self {
            ledger,
            clock,
            metrics,
            config: ArcSwap::from_pointee(config),
            connect: RwLock::new(Arc::new(OverHttps)),
            known: RwLock::default(),
            heard: Mutex::default(),
            looking: tokio::sync::Mutex::default(),
            news: Notify::new(),
            told: Mutex::default(),
            waiting: AtomicUsize::new(0),
            // The others are for those who want nothing abroad.
            most_waiting: (requests_in_flight / 2).max(1),
            rates: ZoneRates::default(),
            instance: Instance::generate(&mut crate::random::system()),
        }
    }

    /// Goes over to these settings.
    pub(crate) fn set(&self, config: &PeersConfig) {
        if **self.config.load() != *config {
            self.config.store(Arc::new(config.clone()));
        }
    }

    /// Reaches other zones in this way from now on.
    pub fn connect_by(&self, connect: Arc<dyn Connect>) {
        *self.connect.write().unwrap_or_else(PoisonError::into_inner) = connect;
        self.known.write().unwrap_or_else(PoisonError::into_inner).clear();
        *line::lock(&self.heard) = Arc::default();
        self.heed();
    }

    /// Has the keys of trusts seen to that changed since this was last called.
    pub(crate) fn heed(&self) {
        let trusts = self.ledger.directory().trusts();
        let mut heard = line::lock(&self.heard);
        if !Arc::ptr_eq(&heard, &trusts) {
            let before = std::mem::replace(&mut *heard, trusts.clone());
            let revision = |trusts: &Trusts, zone: &str| {
                trusts.get(Direction::Outgoing, zone).map(|trust| trust.revision)
            };
            let changed = trusts
                .iter()
                .map(|trust| &trust.zone)
                .filter(|zone| revision(&trusts, zone.as_str()) != revision(&before, zone.as_str()));
            line::lock(&self.told).extend(changed.cloned());
            // Also of none: one that ended is not counted any more.
            self.news.notify_one();
        }
    }

    /// Has the key for that zone seen to.
    fn tell_of(&self, zone: &Zone) {
        line::lock(&self.told).insert(zone.clone());
        self.news.notify_one();
    }

    /// Goes on all errands at once, and comes back from each within the time that it may take.
    pub async fn fetch(self: &Arc<Self>, errands: Vec<Errand>) -> Fetched {
        let gone: Vec<_> = errands
            .into_iter()
            .map(|errand| {
                let peers = self.clone();
                // It ends well also when nobody waits for it any more: how it ends counts for those who come later.
                tokio::spawn(async move {
                    let outcomes = peers.get(&errand).await;
                    (errand, outcomes)
                })
            })
            .collect();
        let mut fetched = Fetched::nothing();
        for one in gone {
            if let Ok((errand, outcomes)) = one.await {
                fetched.add(&errand, outcomes);
            }
        }
        fetched
    }

    async fn get(&self, errand: &Errand) -> Outcomes {
        let peer = match self.peer(&errand.trust).await {
            Ok(peer) => peer,
            Err(problem) => return none(problem, errand.destinations.clone()),
        };
        let (mut outcomes, pairs) = peer.known(errand, self.clock.now());
        if pairs.is_empty() {
            return outcomes;
        }
        match self.place(&peer, &errand.source, pairs.len()) {
            Some(_place) => {
                let parts = parts(&pairs).into_iter().map(|part| self.ask(&peer, errand, part));
                outcomes.extend(join_all(parts).await.into_iter().flatten());
            }
            None => {
                self.metrics.count(&errand.trust.zone, NoAnswer::Crowded.outcome());
                outcomes.extend(none(NoAnswer::Crowded.problem(), destinations(&pairs)));
            }
        }
        outcomes
    }

    async fn ask(&self, peer: &Peer, errand: &Errand, pairs: &[PeerPair]) -> Outcomes {
        let (config, begun) = (self.config.load_full(), Instant::now());
        let answered = peer.ask(errand, pairs, self.instance, &config, || self.clock.now()).await;
        self.counted(peer, answered.as_ref().err().copied(), begun);
        if peer.has_news(&answered) {
            self.tell_of(&peer.trust.zone);
        }
        answered.unwrap_or_else(|failure| none(failure.problem(), destinations(pairs)))
    }

    /// The zone of a trust as it is now. Who has to look into the database for it waits for that no longer than for the other
    /// zone, and with no more others.
    async fn peer(&self, trust: &TrustRecord) -> Result<Arc<Peer>, ProblemType> {
        let known = || self.known(trust.zone.as_str()).filter(|peer| peer.trust.revision >= trust.revision);
        if let Some(peer) = known() {
            return Ok(peer);
        }
        let _waits = self.waits().ok_or(ProblemType::Overloaded)?;
        let most = Duration::from_millis(self.config.load().timeout_ms.into());
        timeout(most, self.look()).await.ok().and_then(|()| known()).ok_or(ProblemType::Unavailable)
    }

    fn known(&self, zone: &str) -> Option<Arc<Peer>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).get(zone).cloned()
    }

    fn all(&self) -> Vec<Arc<Peer>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).values().cloned().collect()
    }

    /// Takes in what changed of the outgoing trusts: a trust is looked at once for each change of it.
    pub(crate) async fn look(&self) {
        let _one_at_a_time = self.looking.lock().await;
        let trusts = self.ledger.directory().trusts();
        let mut peers = BTreeMap::new();
        for trust in trusts.iter().filter(|trust| trust.direction == Direction::Outgoing) {
            let known = self.known(trust.zone.as_str());
            let peer = match known {
                Some(known) if known.trust.revision == trust.revision && !known.incomplete => Some(known),
                known => self.look_at(trust, known.as_deref()).await,
            };
            peers.extend(peer.map(|peer| (trust.zone.clone(), peer)));
        }
        let gone: Vec<Zone> = {
            let mut known = self.known.write().unwrap_or_else(PoisonError::into_inner);
            let before = std::mem::replace(&mut *known, peers);
            before.into_keys().filter(|zone| !known.contains_key(zone.as_str())).collect()
        };
        gone.iter().for_each(|zone| self.metrics.forget(zone));
    }

    async fn look_at(&self, trust: &Arc<TrustRecord>, known: Option<&Peer>) -> Option<Arc<Peer>> {
        let record = trust.peer.as_ref()?;
        let same_place = |known: &&Peer| {
            let before = known.trust.peer.as_ref();
            before.is_some_and(|before| before.urls == record.urls && before.tls_roots == record.tls_roots)
        };
        let line = match known.filter(same_place) {
            Some(known) => known.line.clone(),
            None => Arc::new(self.line(trust, record)?),
        };
        let loaded = self.keys(trust, record).await;
        let incomplete = loaded.is_none();
        let keys = loaded.unwrap_or_else(|| Arc::new(Keys::none(record.ratchet_period)));
        let principal = Name::of_zone(&self.ledger.zone().zone, &trust.zone);
        Some(Arc::new(Peer {
            trust: trust.clone(),
            principal,
            line,
            keys,
            negative: Mutex::default(),
            to_rotate: AtomicBool::new(false),
            told: AtomicBool::new(false),
            incomplete,
        }))
    }

    fn line(&self, trust: &TrustRecord, record: &PeerRecord) -> Option<Line> {
        let connect = self.connect.read().unwrap_or_else(PoisonError::into_inner).clone();
        match connect.connect(&record.tls_roots) {
            Ok(transport) => {
                let (clock, config, roots) =
                    (self.clock.clone(), self.config.load(), record.tls_roots.clone());
                let fresh = Box::new(move || connect.connect(&roots).ok());
                Some(Line::new(trust.zone.as_str(), record.urls.clone(), transport, fresh, clock, &config))
            }
            Err(error) => {
                tracing::error!(zone = %trust.zone, %error, "another zone cannot be reached: give its bundle anew with `keycell trust update`");
                None
            }
        }
    }

    /// The keys of a trust; `None` where they cannot be read at the moment.
    async fn keys(&self, trust: &TrustRecord, record: &PeerRecord) -> Option<Arc<Keys>> {
        let period = record.ratchet_period;
        let Some(held) = record.held else { return Some(Arc::new(Keys::none(period))) };
        let found = match self.ledger.store().secret(&secret_name(&trust.zone)).await {
            Ok(found) => found?,
            Err(error) => {
                let error = crate::http::chain(&error);
                tracing::error!(zone = %trust.zone, error, "the key for another zone cannot be read yet");
                return None;
            }
        };
        // A later version is of a change that is not taken in here yet: its keys are good already.
        if found.version < held.version {
            return None;
        }
        match HeldKeys::open(self.ledger.keyring(), &found) {
            Ok(keys) => Some(Arc::new(Keys::new(keys, period))),
            Err(error) => {
                tracing::error!(zone = %trust.zone, %error, "the key for another zone does not unwrap: accept a new offer of it");
                None
            }
        }
    }

    /// A place for that party to wait for so many tickets of that zone, if there is one, and the rate of the trust has them.
    fn place<'a>(
        &'a self,
        peer: &'a Peer,
        party: &'a Name,
        tickets: usize,
    ) -> Option<(Place<'a>, Waits<'a>)> {
        let place = (peer.line.places().take(party)?, self.waits()?);
        // Last: who finds no place uses nothing up.
        self.rates.take(&peer.principal, peer.trust.rate, tickets).ok().map(|()| place)
    }

    /// Leave to wait, if not too many do already.
    fn waits(&self) -> Option<Waits<'_>> {
        let before = self.waiting.fetch_add(1, Ordering::Relaxed);
        // Taken back where it is dropped.
        let waits = Waits(&self.waiting);
        (before < self.most_waiting).then_some(waits)
    }

    /// Counts a request that was made, or was to be made.
    fn counted(&self, peer: &Peer, failure: Option<NoAnswer>, begun: Instant) {
        let zone = &peer.trust.zone;
        self.metrics.count(zone, failure.map_or("ok", NoAnswer::outcome));
        self.metrics.stands(zone, peer.line.standing().number());
        peer.line.last.note(self.clock.now(), failure);
        match failure {
            Some(NoAnswer::Breaker | NoAnswer::NoKey | NoAnswer::Crowded) => {}
            _ => self.metrics.took(zone, begun.elapsed()),
        }
    }
}

/// No ticket for any of them.
fn none(problem: ProblemType, of: Vec<Name>) -> Outcomes {
    of.into_iter().map(|destination| (destination, Err(problem))).collect()
}

fn destinations(pairs: &[PeerPair]) -> Vec<Name> {
    pairs.iter().map(|pair| pair.destination.clone()).collect()
}

/// Somebody who waits for another zone.
struct Waits<'a>(&'a AtomicUsize);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
