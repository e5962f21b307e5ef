//! The line to another zone's KDCs: which of them is asked, how often, and for how long.

use std::sync::atomic::{AtomicI64, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::Duration;

use keycell_client::https::{Answer, Transport};
use keycell_protocol::{Generation, Problem, ProblemType, ReplyError, Step, UnixMillis};
use rand_core::Rng as _;
use tokio::time::{Instant, timeout};

use super::breaker::{Breaker, Patience, Standing};
use super::budget::Budget;
use super::last::LastOutcome;
use super::places::Places;
use super::steps::Steps;
use crate::clock::Clock;
use crate::config::PeersConfig;

/// One for each place that is asked: it outlives changes of the trust that leave the place alone.
pub(super) struct Line {
    zone: String,
    urls: Vec<String>,
    transport: RwLock<Arc<dyn Transport>>,
    /// Makes new connections.
    fresh: Fresh,
    /// Which of the URLs answered last.
    good: AtomicUsize,
    breaker: Mutex<Breaker>,
    budget: Mutex<Budget>,
    places: Places,
    /// Since when, and for how many milliseconds, the other KDC wants to be left alone.
    pause: Mutex<Option<(UnixMillis, u64)>>,
    steps: Mutex<Steps>,
    /// By how much the other zone's clock is ahead, as far as its KDC proved, and is believed.
    ahead_ms: AtomicI64,
    /// When it last answered, in Unix milliseconds of this clock; 0 before the first time.
    answered_at: AtomicU64,
    /// What came of the last request.
    pub(super) last: LastOutcome,
    clock: Arc<dyn Clock>,
}

/// Makes new connections to the same place, if that can be done.
pub(super) type Fresh = Box<dyn Fn() -> Option<Arc<dyn Transport>> + Send + Sync>;

/// A request, signed for a moment.
pub(super) struct Signed<T> {
    pub(super) json: Vec<u8>,
    /// Opens its answer: what it says, and the other KDC's clock.
    pub(super) open: Open<T>,
}

/// Opens an answer.
pub(super) type Open<T> = Box<dyn FnOnce(&[u8]) -> Result<(T, UnixMillis), ReplyError> + Send>;

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    /// It took too long.
    Timeout,
    /// No connection, or one that broke.
    Unreachable,
    /// Something else than an answer to what was asked.
    Garbage,
    /// The other KDC refuses the request as a whole.
    Refused(ProblemType),
    /// It will be the turn of that in so many milliseconds.
    NotYet(u64),
    /// The line is left alone for a while.
    Breaker,
    /// Too many wait for this zone already, or ask by this trust.
    Crowded,
    /// There is no key to ask with.
    NoKey,
}

impl NoAnswer {
    /// What it is among the metrics.
    pub(super) const fn outcome(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Unreachable => "unreachable",
            Self::Garbage => "garbage",
            // It asks for less at once, and ends nothing.
            Self::Crowded | Self::Refused(ProblemType::RateLimited | ProblemType::Overloaded) => "overloaded",
            Self::Refused(_) | Self::NotYet(_) => "refused",
            Self::Breaker => "breaker",
            Self::NoKey => "no_key",
        }
    }

    /// What a party is told who waits for a ticket.
    pub(super) const fn problem(self) -> ProblemType {
        match self {
            // The other zone ended or suspended the trust.
            Self::Refused(ProblemType::PartyDisabled) => ProblemType::UntrustedZone,
            Self::Crowded | Self::Refused(ProblemType::RateLimited | ProblemType::Overloaded) => {
                ProblemType::Overloaded
            }
            _ => ProblemType::Unavailable,
        }
    }

    const fn is_failure(self) -> bool {
        matches!(self, Self::Timeout | Self::Unreachable | Self::Garbage)
    }
}

impl Line {
    pub(super) fn new(
        zone: &str,
        urls: Vec<String>,
        transport: Arc<dyn Transport>,
        fresh: Fresh,
        clock: Arc<dyn Clock>,
        config: &PeersConfig,
    ) -> Self {
        Self {
            zone: zone.to_owned(),
            urls,
            transport: RwLock::new(transport),
            fresh,
            good: AtomicUsize::new(0),
            breaker: Mutex::default(),
            budget: Mutex::new(Budget::new(clock.now())),
            places: Places::new(config.concurrency),
            pause: Mutex::default(),
            steps: Mutex::default(),
            ahead_ms: AtomicI64::new(0),
            answered_at: AtomicU64::new(0),
            last: LastOutcome::default(),
            clock,
        }
    }

    /// When the other zone last answered.
    pub(super) fn answered_at(&self) -> Option<UnixMillis> {
        Some(UnixMillis(self.answered_at.load(Ordering::Relaxed))).filter(|at| at.0 > 0)
    }

    /// Where the breaker stands.
    pub(super) fn standing(&self) -> Standing {
        lock(&self.breaker).standing(self.clock.now())
    }

    /// Places for those who wait.
    pub(super) const fn places(&self) -> &Places {
        &self.places
    }

    /// Whether the other zone may be asked for a step of a rotation with the key of that generation.
    pub(super) fn may(&self, step: Step, signer: Generation) -> bool {
        lock(&self.steps).may(step, signer, self.clock.now())
    }

    /// The other zone refused that step, for so many milliseconds if it said so.
    pub(super) fn refused(&self, step: Step, signer: Generation, for_ms: Option<u64>) {
        lock(&self.steps).refused(step, signer, self.clock.now(), for_ms);
    }

    /// Asks, if the breaker lets it through. Each try is signed anew by `sign`, for the other zone's time.
    pub(super) async fn ask<T>(
        &self,
        path: &str,
        config: &PeersConfig,
        mut sign: impl FnMut(UnixMillis) -> Option<Signed<T>>,
    ) -> Result<T, NoAnswer> {
        if lock(&self.pause).is_some_and(|(since, for_ms)| self.clock.now().distance(since) < for_ms) {
            return Err(NoAnswer::Crowded);
        }
        if !lock(&self.breaker).admit(self.clock.now()) {
            return Err(NoAnswer::Breaker);
        }
        lock(&self.budget).called(self.clock.now());
        let outcome = self.tried(path, config, &mut sign).await;
        match &outcome {
            Err(failure) if failure.is_failure() => {
                let patience = Patience {
                    failures: config.breaker_failures,
                    longest_ms: u64::from(config.breaker_open_seconds) * 1000,
                };
                let random = crate::random::system().next_u32();
                if lock(&self.breaker).failed(self.clock.now(), patience, random) {
                    self.reconnect();
                    tracing::warn!(zone = %self.zone, failure = failure.outcome(), "the KDCs of another zone do not answer: they are left alone for a while");
                }
            }
            Err(NoAnswer::NoKey) => {}
            _ => lock(&self.breaker).answered(),
        }
        outcome
    }

    /// Goes over to new connections: what is kept may lead to a machine that is gone.
    fn reconnect(&self) {
        if let Some(fresh) = (self.fresh)() {
            *self.transport.write().unwrap_or_else(PoisonError::into_inner) = fresh;
        }
    }

    async fn tried<T>(
        &self,
        path: &str,
        config: &PeersConfig,
        sign: &mut impl FnMut(UnixMillis) -> Option<Signed<T>>,
    ) -> Result<T, NoAnswer> {
        let whole = Duration::from_millis(config.timeout_ms.into());
        let attempt = Duration::from_millis(config.attempt_timeout_ms.into());
        let begun = Instant::now();
        let mut at = self.good.load(Ordering::Relaxed);
        let mut corrected = None;
        // Each of them once, and one of them twice: its connection may have ended unnoticed.
        let most = self.urls.len().max(2);
        let mut tries = 0;
        loop {
            let left = whole.saturating_sub(begun.elapsed());
            if left.is_zero() {
                return Err(NoAnswer::Timeout);
            }
            let now = self.clock.now();
            let ahead = corrected.unwrap_or_else(|| self.ahead_ms.load(Ordering::Relaxed));
            let Signed { json, open } = sign(now.shifted(ahead)).ok_or(NoAnswer::NoKey)?;
            let failure = match self.post(at, path, json, attempt.min(left)).await {
                Err(failure) => failure,
                Ok(answer) if answer.status == 200 => match open(&answer.body) {
                    Ok((said, server_time)) => {
                        self.good.store(at, Ordering::Relaxed);
                        self.heard(server_time, ahead);
                        return Ok(said);
                    }
                    Err(error) => {
                        tracing::warn!(zone = %self.zone, %error, "the answer of another zone's KDC does not hold");
                        NoAnswer::Garbage
                    }
                },
                Ok(answer) => match problem(&answer) {
                    // Its own clock may be off by so much that it does not know the epoch; where it names the clock, a
                    // second may be too much: it has just started, or wants them close.
                    Some(Problem { kind, server_time: Some(theirs), .. })
                        if corrected.is_none()
                            && theirs.distance(now) <= FAR_MS
                            && (kind == ProblemType::ClockSkew
                                || kind == ProblemType::Unauthenticated
                                    && theirs.distance(now.shifted(ahead)) > SKEW_MS) =>
                    {
                        corrected = Some(difference(theirs, now));
                        continue;
                    }
                    // What a client did wrong, or must not: the KDC is there.
                    Some(problem) if matches!(answer.status, 400..=499) => {
                        tracing::warn!(zone = %self.zone, problem = problem.kind.urn(), "another zone's KDC refuses to be asked");
                        if answer.status == 429 {
                            let for_ms = answer.retry_after.unwrap_or(1).saturating_mul(1000).min(PAUSE_MS);
                            *lock(&self.pause) = Some((self.clock.now(), for_ms));
                        }
                        let wait = answer.retry_after.filter(|_| problem.kind == ProblemType::Conflict);
                        return Err(wait.map_or(NoAnswer::Refused(problem.kind), |seconds| {
                            NoAnswer::NotYet(seconds.saturating_mul(1000))
                        }));
                    }
                    Some(_) => NoAnswer::Unreachable,
                    None => NoAnswer::Garbage,
                },
            };
            tries += 1;
            if tries >= most || !lock(&self.budget).spend(self.clock.now()) {
                return Err(failure);
            }
            let next = (at + 1) % self.urls.len().max(1);
            if next == at && failure == NoAnswer::Timeout {
                self.reconnect();
            }
            at = next;
        }
    }

    async fn post(&self, at: usize, path: &str, json: Vec<u8>, most: Duration) -> Result<Answer, NoAnswer> {
        let Some(base) = self.urls.get(at).or_else(|| self.urls.first()) else {
            return Err(NoAnswer::Unreachable);
        };
        let url = format!("{}{path}", base.trim_end_matches('/'));
        let transport = self.transport.read().unwrap_or_else(PoisonError::into_inner).clone();
        match timeout(most, transport.post(&url, json, MOST_BYTES)).await {
            Err(_) => {
                tracing::debug!(zone = %self.zone, url, "another zone's KDC took too long");
                Err(NoAnswer::Timeout)
            }
            Ok(Err(error)) => {
                tracing::debug!(zone = %self.zone, url, %error, "another zone's KDC is not reached");
                Err(NoAnswer::Unreachable)
            }
            Ok(Ok(answer)) => Ok(answer),
        }
    }

    /// The other KDC proved what time it has, and took a request of a clock that was put forward by `used`.
    fn heard(&self, server_time: UnixMillis, used: i64) {
        let now = self.clock.now();
        let ahead = difference(server_time, now);
        // What an answer takes to come is no difference of clocks: what was good stays.
        let moved = server_time.distance(now) <= FAR_MS && ahead.abs_diff(used) > SKEW_MS;
        self.ahead_ms.store(if moved { ahead } else { used }, Ordering::Relaxed);
        self.answered_at.store(now.0, Ordering::Relaxed);
    }
}

/// By how many milliseconds `theirs` is ahead of `ours`.
const fn difference(theirs: UnixMillis, ours: UnixMillis) -> i64 {
    theirs.0.cast_signed().wrapping_sub(ours.0.cast_signed())
}

fn problem(answer: &Answer) -> Option<Problem> {
    let problem: Problem = serde_json::from_slice(&answer.body).ok()?;
    (problem.status == answer.status).then_some(problem)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The longest answer that is read.
const MOST_BYTES: usize = 1 << 20;
/// A request for fewer tickets may fit before one for many does.
const PAUSE_MS: u64 = 5_000;
/// Clocks that differ by less are taken for the same.
const SKEW_MS: u64 = 5_000;
/// A clock over there that differs by more is not believed: each request would turn the key as often as it says.
const FAR_MS: u64 = 86_400_000;
