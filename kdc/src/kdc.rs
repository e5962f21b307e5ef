//! One running KDC: what all requests share.

mod certificate;
mod copies;
mod enrollments;
mod groups;
mod house;
mod parts;
mod peers;
mod readiness;
mod reload;
mod rotate;
mod tickets;
mod vouchers;

use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use keycell_protocol::{UnixMillis, Zone};
use tokio::sync::{Mutex, Semaphore};

use crate::administration::{
    Access, AuthorKeys, Conflicts, Groups, IdentityDesk, JoinTokens, Keys, Ledger, MasterKeyDesk, Parties,
    Policies, Sampler, Tokens, Trusts, Waiting, ZoneSettingsDesk,
};
use crate::audit::Recorder;
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::{Directory, Follower};
use crate::enrollment::EnrollmentDesk;
use crate::issuance::{self, Authenticated, Denied, Freshness, Kind, Moment, Nonces};
use crate::lifetimes::Lifetimes;
use crate::limit::{Limits, TooOften};
use crate::metrics::Metrics;
use crate::peers::Peers;
use crate::rewrap::Rewrapper;
use crate::store::{Store, ZoneRecord};
use crate::ticket_log::TicketLog;
use crate::tls::Served;
use crate::traces::Traces;

use copies::Found;
pub use parts::Parts;
pub use readiness::SUPERSEDED;
pub use reload::{Origin, ReloadError};
pub use tickets::{Asked, Journey};

/// The state of one KDC process.
pub struct Kdc {
    config: ArcSwap<Config>,
    /// Where the configuration is read again from.
    origin: OnceLock<Origin>,
    /// Where spans go.
    traces: OnceLock<Traces>,
    reloading: Mutex<()>,
    /// How far a request's timestamp may be off; the nonces were laid out for it.
    skew_ms: u64,
    zone: ZoneRecord,
    clock: Arc<dyn Clock>,
    store: Arc<dyn Store>,
    ledger: Arc<Ledger>,
    follower: Arc<Follower>,
    directory: Arc<Directory>,
    parties: Parties,
    keys: Keys,
    author_keys: AuthorKeys,
    conflicts: Conflicts,
    /// Keys in two places that are to be looked at.
    found: Found,
    identities: IdentityDesk,
    enrollments: EnrollmentDesk,
    policies: Policies,
    groups: Groups,
    tokens: Tokens,
    join_tokens: JoinTokens,
    trusts: Trusts,
    waiting: Waiting,
    settings: ZoneSettingsDesk,
    master_key: MasterKeyDesk,
    rewrapper: Arc<Rewrapper>,
    /// The KDCs of other zones.
    peers: Arc<Peers>,
    limits: Limits,
    nonces: Nonces,
    access: Access,
    recorder: Recorder,
    ticket_log: TicketLog,
    metrics: Metrics,
    sampler: Sampler,
    lifetimes: Lifetimes,
    /// One for each core: long work takes one.
    heavy: Arc<Semaphore>,
    /// For the one import that may run.
    imports: Arc<Semaphore>,
    /// For who looks through the audit log.
    audits: Arc<Semaphore>,
    certificate: Arc<Served>,
    /// The roots that hosts are to trust, and when they were read.
    roots: ArcSwapOption<(Instant, String)>,
    started_at: UnixMillis,
    /// When this process began, by a clock that nobody sets.
    begun: Instant,
    /// When the directory last agreed with the database, in milliseconds since then.
    in_step_at: AtomicU64,
    /// When damage last stopped retention, by the clock; 0 when it did not.
    retention_stopped_at: AtomicU64,
    /// Bytes free where the database is; as many as there can be where that is elsewhere.
    disk_free: AtomicU64,
}

impl Kdc {
    fn moment(&self) -> Moment {
        Moment { now: self.clock.now(), ratchet_period: self.zone.ratchet_period }
    }

    /// Who asks, in whatever kind of request, and from where.
    fn authenticated<K: Kind>(
        &self,
        signed: &K::Signed<'_>,
        moment: Moment,
        address: Option<IpAddr>,
    ) -> Result<Authenticated<K>, Denied> {
        let freshness = Freshness { skew_ms: self.skew_ms, since: self.started_at };
        let asked =
            issuance::authenticate(signed, &self.directory, &self.nonces, &self.limits, moment, freshness)?;
        // The KDCs of a zone share its key.
        if let Some(address) = address
            && !asked.party().name().is_kept_for_zones()
        {
            self.watch(&asked, address, moment.now);
        }
        Ok(asked)
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

    /// The configuration that is in force now.
    #[must_use]
    pub fn config(&self) -> Arc<Config> {
        self.config.load_full()
    }

    /// Sends a span for each request from now on. The first time counts.
    pub fn trace_to(&self, traces: Traces) {
        let _ = self.traces.set(traces);
    }

    /// Where spans go, if anywhere.
    #[must_use]
    pub fn traces(&self) -> Option<&Traces> {
        self.traces.get()
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

    /// The parties' keys.
    #[must_use]
    pub const fn keys(&self) -> &Keys {
        &self.keys
    }

    /// The keys that parties sign with as authors.
    #[must_use]
    pub const fn author_keys(&self) -> &AuthorKeys {
        &self.author_keys
    }

    /// Keys in two places, and hosts with another key.
    #[must_use]
    pub const fn conflicts(&self) -> &Conflicts {
        &self.conflicts
    }

    /// The KDCs of other zones.
    #[must_use]
    pub const fn peers(&self) -> &Arc<Peers> {
        &self.peers
    }

    /// The KDC's identities.
    #[must_use]
    pub const fn identities(&self) -> &IdentityDesk {
        &self.identities
    }

    /// The policy, for administrators.
    #[must_use]
    pub const fn policies(&self) -> &Policies {
        &self.policies
    }

    /// The groups, for administrators.
    #[must_use]
    pub const fn groups(&self) -> &Groups {
        &self.groups
    }

    /// What this zone and others let each other do, for administrators.
    #[must_use]
    pub const fn trusts(&self) -> &Trusts {
        &self.trusts
    }

    /// Who gets in.
    #[must_use]
    pub const fn access(&self) -> &Access {
        &self.access
    }

    /// Administrators' tokens.
    #[must_use]
    pub const fn tokens(&self) -> &Tokens {
        &self.tokens
    }

    /// What lets hosts in that nobody knows yet.
    #[must_use]
    pub const fn join_tokens(&self) -> &JoinTokens {
        &self.join_tokens
    }

    /// Hosts that an administrator decides on.
    #[must_use]
    pub const fn waiting(&self) -> &Waiting {
        &self.waiting
    }

    /// The zone's settings, for administrators.
    #[must_use]
    pub const fn settings(&self) -> &ZoneSettingsDesk {
        &self.settings
    }

    /// The master key and the ratchet, for administrators.
    #[must_use]
    pub const fn master_key(&self) -> &MasterKeyDesk {
        &self.master_key
    }

    /// What keeps keys at rest as they should be.
    #[must_use]
    pub const fn rewrapper(&self) -> &Arc<Rewrapper> {
        &self.rewrapper
    }

    /// Through which everything is changed.
    #[must_use]
    pub const fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// Records what happens on the path of a ticket.
    #[must_use]
    pub const fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    /// The log of tickets.
    #[must_use]
    pub const fn ticket_log(&self) -> &TicketLog {
        &self.ticket_log
    }

    /// The place for an import.
    #[must_use]
    pub fn imports(&self) -> Arc<Semaphore> {
        self.imports.clone()
    }

    /// The places for long looks through the audit log.
    #[must_use]
    pub fn audits(&self) -> Arc<Semaphore> {
        self.audits.clone()
    }

    /// Tickets over time.
    #[must_use]
    pub const fn sampler(&self) -> &Sampler {
        &self.sampler
    }

    /// When this process began.
    #[must_use]
    pub const fn started_at(&self) -> UnixMillis {
        self.started_at
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

    /// Notes that the directory agreed with the database just now, and goes over to the rates in it.
    pub fn in_step(&self) {
        self.in_step_at.store(self.running_ms(), Ordering::Relaxed);
        self.settled();
        self.peers.heed();
    }

    /// Goes over to the rates that are set.
    pub fn settled(&self) {
        let config = self.config.load();
        self.limits.set(&self.directory.settings().rates(&config));
        self.peers.set(&config.peers);
        self.lifetimes.note(self.now(), self.directory.rules().policy.ticket_lifetime_seconds());
    }

    /// Until when a ticket may be out that was given at or before `moment`: the longest lifetime that is, or was, in force.
    #[must_use]
    pub fn tickets_end(&self, moment: UnixMillis) -> UnixMillis {
        self.lifetimes.end(moment)
    }

    /// Closes the database.
    pub async fn close(&self) {
        self.store.close().await;
    }
}
