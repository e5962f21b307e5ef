//! How a KDC is put together.

use std::num::NonZero;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::{ArcSwap, ArcSwapOption};
use tokio::sync::{Mutex, Semaphore};

use super::Kdc;
use super::copies::Found;
use crate::administration::{
    Access, AuthorKeys, Conflicts, Groups, IdentityDesk, JoinTokens, Keys, Ledger, MasterKeyDesk, Parties,
    Policies, Sampler, Tokens, Trusts, Waiting, ZoneSettingsDesk,
};
use crate::audit::{AuditKey, Recorder};
use crate::clock::Clock;
use crate::config::Config;
use crate::directory::Follower;
use crate::enrollment::EnrollmentDesk;
use crate::issuance::Nonces;
use crate::keyring::Keyring;
use crate::lifetimes::Lifetimes;
use crate::limit::Limits;
use crate::metrics::Metrics;
use crate::oidc::Issuers;
use crate::peers::Peers;
use crate::rewrap::Rewrapper;
use crate::store::{Store, ZoneRecord};
use crate::ticket_log::TicketLog;
use crate::tls::Served;
use crate::token::TokenKey;
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
    /// Signs the audit log.
    pub audit_key: Arc<AuditKey>,
    /// The directory, filled.
    pub follower: Follower,
    /// The key of administrators' tokens.
    pub token_key: TokenKey,
    /// Who else makes tokens for administrators.
    pub issuers: Issuers,
    /// The server's certificate.
    pub certificate: Arc<Served>,
}

impl Kdc {
    /// Puts a KDC together. It remembers nonces from now on.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts {
            config,
            zone,
            clock,
            store,
            keyring,
            audit_key,
            follower,
            token_key,
            issuers,
            certificate,
        } = parts;
        let follower = Arc::new(follower);
        let directory = follower.directory();
        let ledger = Arc::new(Ledger::new(
            store.clone(),
            audit_key,
            keyring,
            follower.clone(),
            clock.clone(),
            zone.clone(),
        ));
        let rates = directory.settings().rates(&config);
        let limits = &config.limits;
        let token_key = Arc::new(token_key);
        let metrics = Metrics::new();
        let rewrapper = Arc::new(Rewrapper::new(ledger.clone(), metrics.at_rest.clone()));
        let peers = Arc::new(Peers::new(
            ledger.clone(),
            clock.clone(),
            metrics.peers.clone(),
            config.peers.clone(),
            limits.requests_in_flight,
        ));
        let started_at = clock.now();
        metrics.running.start_time.set(started_at.seconds().0.cast_signed());
        metrics.running.last_reload.set(started_at.seconds().0.cast_signed());
        let skew_ms = u64::from(config.tickets.clock_skew_seconds) * 1000;
        let kdc = Self {
            parties: Parties::new(ledger.clone()),
            keys: Keys::new(ledger.clone(), skew_ms),
            author_keys: AuthorKeys::new(ledger.clone()),
            conflicts: Conflicts::new(ledger.clone(), metrics.conflicts.clone()),
            found: Found::default(),
            identities: IdentityDesk::new(ledger.clone(), metrics.identities.clone()),
            enrollments: EnrollmentDesk::new(
                ledger.clone(),
                Keys::new(ledger.clone(), skew_ms),
                &metrics.enrollment,
            ),
            lifetimes: Lifetimes::default(),
            policies: Policies::new(ledger.clone()),
            groups: Groups::new(ledger.clone()),
            tokens: Tokens::new(ledger.clone(), token_key.clone()),
            join_tokens: JoinTokens::new(ledger.clone()),
            trusts: Trusts::new(ledger.clone(), Keys::new(ledger.clone(), skew_ms)),
            waiting: Waiting::new(ledger.clone()),
            settings: ZoneSettingsDesk::new(ledger.clone()),
            master_key: MasterKeyDesk::new(ledger.clone(), rewrapper.clone()),
            rewrapper,
            peers,
            limits: Limits::new(&rates, limits.remembered),
            nonces: Nonces::new(skew_ms, limits.nonces),
            access: Access::new(token_key, issuers, follower.clone()),
            recorder: Recorder::new(metrics.unrecorded.clone()),
            ticket_log: TicketLog::new(),
            metrics,
            sampler: Sampler::default(),
            heavy: Arc::new(Semaphore::new(std::thread::available_parallelism().map_or(2, NonZero::get))),
            imports: Arc::new(Semaphore::new(1)),
            audits: Arc::new(Semaphore::new(AUDITS)),
            begun: Instant::now(),
            in_step_at: AtomicU64::new(0),
            retention_stopped_at: AtomicU64::new(0),
            disk_free: AtomicU64::new(u64::MAX),
            started_at,
            config: ArcSwap::from_pointee(config),
            origin: OnceLock::new(),
            traces: OnceLock::new(),
            reloading: Mutex::new(()),
            skew_ms,
            zone,
            clock,
            store,
            ledger,
            follower,
            directory,
            certificate,
            roots: ArcSwapOption::empty(),
        };
        kdc.settled();
        kdc
    }
}

/// As many as the database has connections for them.
const AUDITS: usize = 2;
