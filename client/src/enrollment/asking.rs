//! Asking to be enrolled: what to send, when, and what an answer means.

use keycell_protocol::{
    AuthorKey, Bundle, EnrolledName, EnrollmentKeys, EnrollmentOutcome, EnrollmentRequest, EnrollmentState,
    IdentityName, Instance, JoinToken, KdcIdentity, Nonce, Problem, ProblemType, SealedEnrollmentReply,
    UnixMillis,
};
use rand_core::CryptoRng;

use super::{Boarded, Standing};
use crate::correction::Correction;
use crate::pending::{Kind, PendingRequest, TakeError};
use crate::retry::Retry;

/// One host that wants to be enrolled, or enrolled again. Whoever holds it has the generator.
pub(crate) struct Asking {
    name: EnrolledName,
    key: AuthorKey,
    token: Option<JoinToken>,
    instance: Instance,
    bundle: Bundle,
    /// To whom it writes: an identity of the bundle.
    to: KdcIdentity,
    /// The last one that answered, and until one has the first of the bundle. Nothing before it is ever written to again.
    least: KdcIdentity,
    /// What a KDC told of the time: only says how to date a request.
    dating: Correction,
    asked: Option<Asked>,
    retry: Retry,
    /// How often it was refused since a KDC last said anything else.
    refusals: u32,
    standing: Standing,
    timeout_ms: u64,
}

/// A request that was sent, and may be sent again.
struct Asked {
    request: EnrollmentRequest,
    keys: EnrollmentKeys,
    to: KdcIdentity,
    body: Vec<u8>,
    made_at: UnixMillis,
    /// While an answer may come.
    sent_at: Option<UnixMillis>,
}

impl Asked {
    /// The KDC answers the very same bytes as before, so a lost answer costs nothing; but not once they are old.
    fn is_fresh(&self, now: UnixMillis) -> bool {
        now >= self.made_at && now.distance(self.made_at) <= FRESH_MS
    }
}

impl Asking {
    pub(crate) fn new(
        bundle: Bundle,
        name: EnrolledName,
        key: AuthorKey,
        token: Option<JoinToken>,
        instance: Instance,
    ) -> Option<Self> {
        let to = bundle.identities.first()?.clone();
        let least = to.clone();
        Some(Self {
            name,
            key,
            token,
            instance,
            bundle,
            to,
            least,
            dating: Correction::default(),
            asked: None,
            retry: Retry::new(BACKOFF_MS, MAX_BACKOFF_MS),
            refusals: 0,
            standing: Standing::Asking,
            timeout_ms: TIMEOUT_MS,
        })
    }

    pub(crate) const fn name(&self) -> &EnrolledName {
        &self.name
    }

    pub(crate) const fn bundle(&self) -> &Bundle {
        &self.bundle
    }

    pub(crate) const fn key(&self) -> &AuthorKey {
        &self.key
    }

    pub(crate) const fn identity(&self) -> IdentityName {
        self.to.name
    }

    pub(crate) const fn standing(&self) -> Standing {
        self.standing
    }

    pub(crate) fn wants(&mut self, now: UnixMillis, rng: &mut impl CryptoRng) -> Option<PendingRequest> {
        if self.lost_at().is_some_and(|lost| lost <= now) {
            self.unanswered(now, None, rng);
        }
        if self.lost_at().is_some() || !self.retry.is_due(now) {
            return None;
        }
        if self.asked.as_ref().is_none_or(|asked| !asked.is_fresh(now)) {
            let asked = self.make(now, rng);
            if asked.is_none() {
                // Nothing can be written to this identity: only another bundle mends that.
                self.standing = Standing::Unreadable;
                self.hold(now, LONG_MS, rng);
            }
            self.asked = asked;
        }
        let asked = self.asked.as_mut()?;
        asked.sent_at = Some(now);
        let (body, nonce) = (asked.body.clone(), asked.request.nonce);
        Some(PendingRequest { body, destinations: 0, kind: Kind::Enrollment, abroad: None, nonce })
    }

    /// What a request that is made now says that it is made at.
    pub(crate) const fn dated(&self, now: UnixMillis) -> UnixMillis {
        self.dating.apply(now)
    }

    fn make(&self, now: UnixMillis, rng: &mut impl CryptoRng) -> Option<Asked> {
        let dated = self.dated(now);
        let request = EnrollmentRequest {
            service: self.name.service.clone(),
            host: self.name.host.clone(),
            public_key: self.key.public(),
            token: self.token.clone(),
            timestamp: dated,
            nonce: Nonce::generate(rng),
            instance: self.instance,
        };
        let (body, keys) = request.seal(&self.bundle.zone, &self.to, &self.key, rng).ok()?;
        Some(Asked { request, keys, to: self.to.clone(), body, made_at: now, sent_at: None })
    }

    /// The key that the answer brings; `None` when it says to wait.
    pub(crate) fn take_reply(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
        rng: &mut impl CryptoRng,
    ) -> Result<Option<Boarded>, TakeError> {
        let Some((asked, sent_at)) = self.sent(nonce) else { return Err(TakeError::NotPending) };
        let answer = SealedEnrollmentReply::parse(body)
            .and_then(|sealed| sealed.open(&asked.keys, &asked.request, &self.bundle.zone, &asked.to));
        // Whoever stole the identity that answers must not take from this host the one that will replace it.
        let answer = answer.map_err(TakeError::from).and_then(|answer| match &answer.outcome {
            EnrollmentOutcome::Enrolled(enrolled) => {
                Ok(self.bundle.accepts(&enrolled.bundle).map(|()| answer)?)
            }
            EnrollmentOutcome::Pending { .. } => Ok(answer),
        });
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => {
                self.unanswered(now, None, rng);
                return Err(error);
            }
        };
        let asked = self.asked.take();
        if let Some(asked) = &asked {
            self.least = asked.to.clone();
        }
        self.retry.success();
        self.refusals = 0;
        self.dating.learn(sent_at, now, answer.server_time);
        match (answer.outcome, asked) {
            (EnrollmentOutcome::Enrolled(enrolled), Some(asked)) => {
                let key = asked.keys.long_term_key(enrolled.generation, enrolled.epoch);
                // What answered is the first of it.
                self.bundle.clone_from(&enrolled.bundle);
                self.to = asked.to;
                self.standing = match enrolled.state {
                    EnrollmentState::Active => Standing::Enrolled,
                    EnrollmentState::Staged => Standing::Staged,
                };
                Ok(Some(Boarded {
                    name: enrolled.name,
                    key,
                    state: enrolled.state,
                    ratchet_period: enrolled.ratchet_period,
                    bundle: enrolled.bundle,
                }))
            }
            (EnrollmentOutcome::Pending { retry_after }, _) => {
                let wait = u64::from(retry_after) * 1000;
                // All that wait for one administrator do not come back at once.
                let at = now.plus(wait).plus(rng.next_u64() % (wait / 10).max(1));
                self.retry.hold(now, at.0 - now.0);
                self.standing = Standing::Pending { ask_at: at };
                Ok(None)
            }
            (EnrollmentOutcome::Enrolled(_), None) => Err(TakeError::NotPending),
        }
    }

    pub(crate) fn take_problem(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        problem: &Problem,
        rng: &mut impl CryptoRng,
    ) {
        let Some((_, sent_at)) = self.sent(nonce) else { return };
        if let Some(server_time) = problem.server_time {
            self.dating.learn(sent_at, now, server_time);
        }
        match problem.kind {
            // To be dated anew.
            ProblemType::ClockSkew | ProblemType::Replayed => {
                self.asked = None;
                if !self.retry.at_once() {
                    self.unanswered(now, problem.retry_after, rng);
                }
            }
            ProblemType::IdentityUnknown => {
                self.asked = None;
                self.go_up(now, problem.identity, rng);
            }
            ProblemType::EnrollmentRefused => {
                self.asked = None;
                self.standing = Standing::Refused;
                let longest = (REFUSED_MS << self.refusals.min(10)).min(LONG_MS);
                self.refusals = self.refusals.saturating_add(1);
                self.hold(now, longest, rng);
            }
            ProblemType::RateLimited
            | ProblemType::Overloaded
            | ProblemType::Unavailable
            | ProblemType::Timeout
            | ProblemType::Internal => self.unanswered(now, problem.retry_after, rng),
            // The identity has the name that the bundle says, and another key.
            ProblemType::Unauthenticated => {
                self.asked = None;
                self.standing = Standing::Unreadable;
                self.hold(now, LONG_MS, rng);
            }
            // A KDC of an earlier release, or one that does not understand this one.
            _ => {
                self.asked = None;
                self.standing = Standing::NotTaken(problem.kind);
                self.hold(now, LONG_MS, rng);
            }
        }
    }

    pub(crate) fn give_up(&mut self, now: UnixMillis, nonce: Nonce, rng: &mut impl CryptoRng) {
        if self.sent(nonce).is_some() {
            self.unanswered(now, None, rng);
        }
    }

    /// When to call [`wants`](Self::wants) next.
    pub(crate) fn next_wakeup(&self, now: UnixMillis) -> UnixMillis {
        self.lost_at().unwrap_or_else(|| self.retry.not_before().max(now))
    }

    /// Begins anew, at `at`.
    pub(crate) fn begin_at(&mut self, now: UnixMillis, at: UnixMillis) {
        self.asked = None;
        self.to = self.least.clone();
        self.standing = Standing::Asking;
        self.retry.success();
        self.retry.hold(now, at.0.saturating_sub(now.0));
    }

    /// The KDC works with another identity. Only one that the bundle has and that came later is gone over to: the word is
    /// not sealed, and whoever has stolen an identity must not call hosts back to it.
    fn go_up(&mut self, now: UnixMillis, named: Option<IdentityName>, rng: &mut impl CryptoRng) {
        let known = self.bundle.identities.iter().find(|identity| Some(identity.name) == named);
        match known.filter(|identity| identity.name > self.to.name) {
            Some(identity) => {
                self.to = identity.clone();
                if !self.retry.at_once() {
                    self.unanswered(now, None, rng);
                }
            }
            // What made it go up may have been a forgery: it tries anew from where it was.
            None => {
                self.to = self.least.clone();
                self.standing = Standing::IdentityUnknown { named };
                self.hold(now, LONG_MS, rng);
            }
        }
    }

    /// What was sent with this nonce and is not answered, and when it was sent.
    fn sent(&self, nonce: Nonce) -> Option<(&Asked, UnixMillis)> {
        let asked = self.asked.as_ref().filter(|asked| asked.request.nonce == nonce)?;
        Some((asked, asked.sent_at?))
    }

    fn lost_at(&self) -> Option<UnixMillis> {
        Some(self.asked.as_ref()?.sent_at?.plus(self.timeout_ms))
    }

    /// Nobody answered, or not with what was asked for: the same is sent again, after a wait.
    fn unanswered(&mut self, now: UnixMillis, retry_after: Option<u64>, rng: &mut impl CryptoRng) {
        if let Some(asked) = &mut self.asked {
            asked.sent_at = None;
        }
        self.standing = Standing::Asking;
        self.retry.failure(now, retry_after.map(|seconds| seconds.saturating_mul(1000)), rng);
    }

    /// Waits for a random time between the half of `longest` and all of it.
    fn hold(&mut self, now: UnixMillis, longest: u64, rng: &mut impl CryptoRng) {
        let half = (longest / 2).max(1);
        self.retry.hold(now, half + rng.next_u64() % half);
    }
}

/// For how long a request is sent again as it is: half of what the KDC allows the clocks to differ.
const FRESH_MS: u64 = 30_000;
const TIMEOUT_MS: u64 = 60_000;
const BACKOFF_MS: u64 = 1_000;
const MAX_BACKOFF_MS: u64 = 300_000;
/// After a first refusal.
const REFUSED_MS: u64 = 300_000;
/// For what only a person mends.
const LONG_MS: u64 = 3_600_000;
