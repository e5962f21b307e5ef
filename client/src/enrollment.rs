//! Coming aboard a zone, without sockets, threads or clocks (docs/protocol.md §10).

pub(crate) mod asking;

use core::fmt;

use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, EnrollmentState, HostName, IdentityName, Instance, JoinToken,
    LongTermKey, Name, Nonce, Problem, ProblemType, RatchetPeriod, RatchetedKey, Rotated, RotationKeys,
    RotationRequest, SealedRotation, ServiceName, SignedRotation, Step, UnixMillis,
};
use rand_core::CryptoRng;

use crate::keyfile::{AgentKey, KdcAddress};
use crate::pending::{Kind, PendingRequest, TakeError};
use crate::retry::Retry;
use asking::Asking;

/// A host that wants to be enrolled: says what to send to a KDC and when, and takes the answers.
///
/// Whoever drives it posts what [`wants`](Self::wants) gives to its [`path`](PendingRequest::path), hands back what comes,
/// and calls again at [`next_wakeup`](Self::next_wakeup). Retries send the same bytes for as long as a KDC takes them, so
/// that a lost answer makes no second key. It begins with the first identity of its bundle, and leaves it only for a later
/// one of the same bundle.
pub struct Enrollment {
    asking: Asking,
    commit: Option<Commit>,
    instance: Instance,
    rng: Box<dyn CryptoRng + Send>,
}

impl Enrollment {
    /// A host that enrolls with its own key in the zone of the bundle. For `rng` take [`system_rng`](crate::system_rng).
    ///
    /// `None` for a bundle without identities, which [`Bundle::from_json`] never gives.
    #[must_use]
    pub fn new(
        bundle: Bundle,
        service: ServiceName,
        host: HostName,
        key: AuthorKey,
        token: Option<JoinToken>,
        rng: impl CryptoRng + Send + 'static,
    ) -> Option<Self> {
        let mut rng: Box<dyn CryptoRng + Send> = Box::new(rng);
        let name =
            EnrolledName { service, host, fingerprint: keycell_protocol::Fingerprint::of(&key.public()) };
        let instance = Instance::generate(&mut rng);
        let asking = Asking::new(bundle, name, key, token, instance)?;
        Some(Self { asking, commit: None, instance, rng })
    }

    /// Who it will be.
    #[must_use]
    pub fn name(&self) -> Name {
        self.asking.name().name(&self.asking.bundle().zone)
    }

    /// Its own key, which it signs with as an author too.
    #[must_use]
    pub const fn key(&self) -> &AuthorKey {
        self.asking.key()
    }

    /// To which identity of the KDC it writes.
    #[must_use]
    pub const fn identity(&self) -> IdentityName {
        self.asking.identity()
    }

    /// The bundle: the one that it was made with, until the KDC sends another in a sealed answer.
    #[must_use]
    pub const fn bundle(&self) -> &Bundle {
        self.asking.bundle()
    }

    /// How it stands.
    #[must_use]
    pub const fn standing(&self) -> Standing {
        match &self.commit {
            Some(commit) if commit.done => Standing::Enrolled,
            _ => self.asking.standing(),
        }
    }

    /// The next request to send, or `None` while one is on its way, it is too early, or there is nothing left to do.
    pub fn wants(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        match (self.asking.standing(), &mut self.commit) {
            (Standing::Enrolled, _) | (Standing::Staged, None) => None,
            (Standing::Staged, Some(commit)) => {
                commit.wants(now, self.asking.dated(now), self.instance, &mut self.rng)
            }
            _ => self.asking.wants(now, &mut self.rng),
        }
    }

    /// Takes the body of a KDC's answer.
    ///
    /// # Errors
    /// [`TakeError`]; then the request is to be made again, after a wait.
    pub fn take_reply(
        &mut self,
        now: UnixMillis,
        pending: &PendingRequest,
        body: &[u8],
    ) -> Result<Option<Boarded>, TakeError> {
        match (pending.kind, &mut self.commit) {
            (Kind::Rotation, Some(commit)) => commit.take_reply(now, pending.nonce, body, &mut self.rng),
            (Kind::Enrollment, _) => self.asking.take_reply(now, pending.nonce, body, &mut self.rng),
            _ => Err(TakeError::NotPending),
        }
    }

    /// Takes a problem document that a KDC answered with, over a channel that proves the KDC.
    pub fn take_problem(&mut self, now: UnixMillis, pending: &PendingRequest, problem: &Problem) {
        match (pending.kind, &mut self.commit) {
            (Kind::Rotation, Some(commit)) => commit.failed(now, pending.nonce, Some(problem), &mut self.rng),
            (Kind::Enrollment, _) => self.asking.take_problem(now, pending.nonce, problem, &mut self.rng),
            _ => {}
        }
    }

    /// No KDC answered: the request is to be made again, after a wait that grows.
    pub fn give_up(&mut self, now: UnixMillis, pending: &PendingRequest) {
        match (pending.kind, &mut self.commit) {
            (Kind::Rotation, Some(commit)) => commit.failed(now, pending.nonce, None, &mut self.rng),
            (Kind::Enrollment, _) => self.asking.give_up(now, pending.nonce, &mut self.rng),
            _ => {}
        }
    }

    /// When to call [`wants`](Self::wants) next; `None` when there is nothing left to do, or what was given is to be
    /// [stored](Self::stored) first.
    #[must_use]
    pub fn next_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        match (self.asking.standing(), &self.commit) {
            (Standing::Enrolled, _) | (Standing::Staged, None) => None,
            (Standing::Staged, Some(commit)) => commit.next_wakeup(now),
            _ => Some(self.asking.next_wakeup(now)),
        }
    }

    /// The key that was given is in its file, and will be there after a crash.
    ///
    /// Of one that is [staged](EnrollmentState::Staged) the KDC is told so then: it seals nothing under it before. That is
    /// for a host whose key file is gone, and for no other: who still has its keys commits as in a rotation.
    pub fn stored(&mut self, boarded: &Boarded) {
        if boarded.state == EnrollmentState::Staged {
            self.commit = Some(Commit {
                name: boarded.name.clone(),
                key: RatchetedKey::new(boarded.key.clone()),
                period: boarded.ratchet_period,
                asked: None,
                retry: Retry::new(COMMIT_BACKOFF_MS, COMMIT_MAX_BACKOFF_MS),
                done: false,
            });
        }
    }
}

impl fmt::Debug for Enrollment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Enrollment")
            .field("name", &self.name())
            .field("identity", &self.identity())
            .field("standing", &self.standing())
            .finish_non_exhaustive()
    }
}

/// How it stands with a host that wants to be enrolled.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Standing {
    /// It asks, or waits to ask again because nobody answered.
    Asking,
    /// An administrator decides.
    Pending {
        /// When it asks again, by the host's clock.
        ask_at: UnixMillis,
    },
    /// No mode, no list and no token lets it in, or it was denied. It asks again, seldom.
    Refused,
    /// The KDC works with an identity that the bundle does not have, or that is older than one that it had: another bundle
    /// is needed.
    IdentityUnknown {
        /// The one that the KDC named.
        named: Option<IdentityName>,
    },
    /// The identity's key in the bundle is not the KDC's, or is none: another bundle is needed.
    Unreadable,
    /// The KDC does not take such requests.
    NotTaken(ProblemType),
    /// It has a key, which is to be stored and then committed.
    Staged,
    /// It is enrolled.
    Enrolled,
}

/// What a host is given when it is enrolled.
///
/// Not `Clone`: each copy of a key in memory is one more to lose.
#[derive(Debug)]
#[non_exhaustive]
pub struct Boarded {
    /// Its name.
    pub name: Name,
    /// Its long-term key.
    pub key: LongTermKey,
    /// What the KDC takes the key for.
    pub state: EnrollmentState,
    /// How long an epoch lasts.
    pub ratchet_period: RatchetPeriod,
    /// What the KDC wants known of itself.
    pub bundle: Bundle,
}

impl Boarded {
    /// The key file of a host that has none yet, with its own key as that of the author.
    #[must_use]
    pub fn key_file(&self, author: &AuthorKey) -> AgentKey {
        let Bundle { zone: _, urls, tls_roots, identities, trusted: _ } = &self.bundle;
        let kdc = KdcAddress { urls: urls.clone(), tls_roots: tls_roots.clone() };
        let file = AgentKey::new(self.name.clone(), self.key.clone(), self.ratchet_period, kdc);
        let signers = identities.iter().map(|identity| identity.signing_key).collect();
        let trusted = self.bundle.trusted_signers();
        AgentKey { author: Some(author.clone()), trusted, ..file.with_signers(signers) }
    }
}

/// Telling the KDC that a staged key is stored.
struct Commit {
    name: Name,
    key: RatchetedKey,
    period: RatchetPeriod,
    asked: Option<(RotationRequest, RotationKeys, UnixMillis)>,
    retry: Retry,
    done: bool,
}

impl Commit {
    fn wants(
        &mut self,
        now: UnixMillis,
        dated: UnixMillis,
        instance: Instance,
        rng: &mut impl CryptoRng,
    ) -> Option<PendingRequest> {
        if let Some(lost) = self.lost_at()
            && lost <= now
        {
            self.asked = None;
            self.retry.failure(now, None, rng);
        }
        if self.done || self.asked.is_some() || !self.retry.is_due(now) {
            return None;
        }
        let clock = self.period.epoch(dated.seconds());
        let keys: RotationKeys = self.key.keys_for(clock.max(self.key.epoch()), clock).ok()?;
        let nonce = Nonce::generate(rng);
        let request = RotationRequest {
            source: self.name.clone(),
            step: Step::Commit,
            timestamp: dated,
            nonce,
            instance,
        };
        let body = SignedRotation::sign(&request, &keys).to_json();
        self.asked = Some((request, keys, now));
        Some(PendingRequest { body, destinations: 0, kind: Kind::Rotation, abroad: None, nonce })
    }

    fn take_reply(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Boarded>, TakeError> {
        let asked = self.asked.take_if(|(request, ..)| request.nonce == nonce);
        let Some((request, keys, _)) = asked else { return Err(TakeError::NotPending) };
        match SealedRotation::parse(body).and_then(|sealed| sealed.open(&keys, &request)) {
            Ok(Rotated::Committed { .. }) => {
                self.done = true;
                Ok(None)
            }
            Ok(Rotated::Staged { .. }) => Err(TakeError::NotPending),
            Err(error) => {
                self.retry.failure(now, None, rng);
                Err(error.into())
            }
        }
    }

    fn failed(&mut self, now: UnixMillis, nonce: Nonce, problem: Option<&Problem>, rng: &mut impl CryptoRng) {
        if self.asked.take_if(|(request, ..)| request.nonce == nonce).is_some() {
            let wait = problem.and_then(|problem| problem.retry_after);
            self.retry.failure(now, wait.map(|seconds| seconds.saturating_mul(1000)), rng);
        }
    }

    fn lost_at(&self) -> Option<UnixMillis> {
        self.asked.as_ref().map(|(.., sent_at)| sent_at.plus(COMMIT_TIMEOUT_MS))
    }

    fn next_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        (!self.done).then(|| self.lost_at().unwrap_or_else(|| self.retry.not_before().max(now)))
    }
}

const COMMIT_BACKOFF_MS: u64 = 1_000;
const COMMIT_MAX_BACKOFF_MS: u64 = 60_000;
const COMMIT_TIMEOUT_MS: u64 = 60_000;

#[cfg(test)]
mod tests;
