//! One running KDC: what all requests share.

use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use keycell_protocol::{SignedRequest, UnixMillis, Zone};

use tokio::sync::Semaphore;

use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{Directory, Follower};
use crate::issuance::{self, Denied, Freshness, Issued, Moment, Nonces};
use crate::keyring::Keyring;
use crate::limit::{Limits, TooOften};
use crate::metrics::Metrics;
use crate::parties::Parties;
use crate::policy::Policy;
use crate::store::{Store, ZoneRecord};
use crate::token::TokenKey;

/// The state of one KDC process.
pub struct Kdc {
    config: Config,
    zone: ZoneRecord,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    follower: Arc<Follower>,
    directory: Arc<Directory>,
    parties: Parties,
    policy: Policy,
    limits: Limits,
    nonces: Nonces,
    tokens: TokenKey,
    metrics: Metrics,
    /// One for each core: long work takes one.
    heavy: Arc<Semaphore>,
    started_at: UnixMillis,
    /// When this process began, by a clock that nobody sets.
    begun: Instant,
    /// When the directory last agreed with the database, in milliseconds since then.
    in_step_at: AtomicU64,
}

/// What a KDC is made of.
pub struct Parts {
    /// The configuration.
    pub config: Config,
    /// The zone, as the database has it.
    pub zone: ZoneRecord,
    /// The clock.
    pub clock: Arc<dyn Clock>,
    /// The database.
    pub store: Arc<dyn Store>,
    /// Wraps and unwraps the keys in it.
    pub keyring: Arc<Keyring>,
    /// The directory, filled.
    pub follower: Follower,
    /// The key of administrators' tokens.
    pub tokens: TokenKey,
}

impl Kdc {
    /// Puts a KDC together. It remembers nonces from now on.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { config, zone, clock, store, keyring, follower, tokens } = parts;
        let follower = Arc::new(follower);
        let directory = follower.directory();
        let limits = &config.limits;
        let started_at = clock.now();
        Self {
            parties: Parties::new(store.clone(), keyring, follower.clone(), clock.clone(), zone.clone()),
            policy: Policy::open(config.tickets.lifetime_seconds),
            limits: Limits::new(
                limits.per_address,
                limits.failures_per_address,
                limits.tickets_per_party,
                limits.remembered,
            ),
            nonces: Nonces::new(u64::from(config.tickets.clock_skew_seconds) * 1000, limits.nonces),
            metrics: Metrics::new(),
            heavy: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, NonZero::get))),
            begun: Instant::now(),
            in_step_at: AtomicU64::new(0),
            config,
            zone,
            clock,
            store,
            follower,
            directory,
            tokens,
            started_at,
        }
    }

    /// Answers a request for tickets: the whole path from its bytes to the sealed reply.
    ///
    /// # Errors
    /// [`Denied`] for the whole request; a destination that is refused is part of the reply.
    pub fn tickets(&self, signed: &SignedRequest<'_>) -> Result<Issued, Denied> {
        let moment = Moment { now: self.clock.now(), ratchet_period: self.zone.ratchet_period };
        let freshness = Freshness {
            skew_ms: u64::from(self.config.tickets.clock_skew_seconds) * 1000,
            since: self.started_at,
        };
        let request =
            issuance::authenticate(signed, &self.directory, &self.nonces, &self.limits, moment, freshness)?;
        let authorized = issuance::authorize(request, &self.directory, &self.policy);
        let issued = issuance::issue(&authorized, moment);
        self.metrics.tickets.inc_by(issued.granted.into());
        issued.refused.iter().for_each(|problem| self.metrics.refuse(*problem));
        Ok(issued)
    }

    /// Counts a request against the address that it came from, before anything of it is looked at.
    ///
    /// # Errors
    /// [`TooOften`].
    pub fn admit(&self, address: IpAddr) -> Result<(), TooOften> {
        self.limits.request(address)
    }

    /// Counts a failed authentication against the address that it came from.
    ///
    /// # Errors
    /// [`TooOften`] when there were too many: then that is the answer to this one.
    pub fn failed(&self, address: IpAddr) -> Result<(), TooOften> {
        self.limits.failure(address)
    }

    /// The places for work that takes milliseconds.
    #[must_use]
    pub fn heavy(&self) -> Arc<Semaphore> {
        self.heavy.clone()
    }

    /// The configuration.
    #[must_use]
    pub const fn config(&self) -> &Config {
        &self.config
    }

    /// The zone's name.
    #[must_use]
    pub const fn zone(&self) -> &Zone {
        &self.zone.zone
    }

    /// The zone's settings.
    #[must_use]
    pub const fn zone_record(&self) -> &ZoneRecord {
        &self.zone
    }

    /// The clock.
    #[must_use]
    pub fn now(&self) -> UnixMillis {
        self.clock.now()
    }

    /// The parties in memory.
    #[must_use]
    pub fn directory(&self) -> &Directory {
        &self.directory
    }

    /// The parties, for administrators.
    #[must_use]
    pub const fn parties(&self) -> &Parties {
        &self.parties
    }

    /// The key of administrators' tokens.
    #[must_use]
    pub const fn tokens(&self) -> &TokenKey {
        &self.tokens
    }

    /// The counters.
    #[must_use]
    pub const fn metrics(&self) -> &Metrics {
        &self.metrics
    }

    /// What keeps the directory in step with the database.
    #[must_use]
    pub const fn follower(&self) -> &Arc<Follower> {
        &self.follower
    }

    /// Notes that the directory agreed with the database just now.
    pub fn in_step(&self) {
        self.in_step_at.store(self.running_ms(), Ordering::Relaxed);
    }

    /// For how long the directory may have missed changes, in milliseconds.
    #[must_use]
    pub fn staleness_ms(&self) -> u64 {
        self.running_ms().saturating_sub(self.in_step_at.load(Ordering::Relaxed))
    }

    fn running_ms(&self) -> u64 {
        u64::try_from(self.begun.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    /// Forgets what need not be remembered, and measures what is.
    pub fn tidy(&self) {
        self.limits.prune();
        self.nonces.prune(self.clock.now());
        self.measure();
    }

    /// Brings the gauges up to date.
    pub fn measure(&self) {
        let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
        self.metrics.parties.set(count(self.directory.len()));
        self.metrics.nonces.set(count(self.nonces.len()));
        self.metrics.limited.set(count(self.limits.len()));
        self.metrics.staleness.set(self.staleness_ms() as f64 / 1000.0);
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
