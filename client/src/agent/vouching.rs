//! Proving who wrote a message: the party's signing key and the KDC's voucher for it (docs/protocol.md §9).

use keycell_protocol::{
    AuthorKey, Mode, Name, Nonce, Problem, ProblemType, SealedVoucher, SignedVoucherRequest, UnixMillis,
    VoucherRequest, Vouchers,
};

use super::grouping::AGAIN_MS;
use super::{Agent, Proof};
use crate::author::AskedVoucher;
use crate::groups::below;
use crate::many::Many;
use crate::opened::Opened;
use crate::pending::{Kind, PendingRequest, TakeError};
use crate::{AuthorPublicKey, SealError};

impl Agent {
    /// Writes what comes next with a proof that this party is its author, which no member of a group can make in its name
    /// and which it cannot deny later: `agent.with_author_proof().seal(now, &to, topic, body)`.
    ///
    /// Without this a proof is added by itself to what is for a group that requires it. It costs a signature, about 25 µs,
    /// and 200 bytes and the name in each message; whoever opens it can keep it as evidence
    /// ([`Opened::evidence`](crate::Opened::evidence)).
    pub const fn with_author_proof(&mut self) -> WithAuthorProof<'_> {
        WithAuthorProof(self)
    }

    /// Wants a voucher for this party's signing key before it is needed.
    ///
    /// # Errors
    /// [`SealError::NoAuthorKey`] and [`SealError::VoucherRefused`].
    pub fn want_voucher(&mut self, now: UnixMillis) -> Result<(), SealError> {
        match self.ready(self.correction.apply(now)) {
            Err(SealError::NoVoucher) => Ok(()),
            other => other,
        }
    }

    /// Whether a proof can be written; if not, it is wanted from now on.
    #[cfg(feature = "https")]
    pub(crate) fn voucher_ready(&mut self, now: UnixMillis) -> Result<(), SealError> {
        self.ready(self.correction.apply(now))
    }

    /// What others know this party by as an author, if it has a signing key.
    #[must_use]
    pub fn author_key(&self) -> Option<AuthorPublicKey> {
        self.author.key().map(AuthorKey::public)
    }

    /// Whether a proof can be written at `now`, by the corrected clock; if not, it is wanted from now on.
    ///
    /// An agent that keeps its key file up makes a signing key when it first needs one. Any other has the one of its key
    /// file, or none: a key that is registered and then lost locks the party out as an author.
    pub(super) fn ready(&mut self, now: UnixMillis) -> Result<(), SealError> {
        if self.author.key().is_none()
            && let Some(kept) = &mut self.kept
        {
            let key = AuthorKey::generate(&mut self.rng);
            self.author.set(key, kept.changed_to());
        }
        self.author.ready(now).map(|_| ())
    }

    /// As [`wants`](Self::wants), for a voucher only.
    pub(crate) fn wants_voucher(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        let lost = self.author.lost_at(self.request_timeout_ms).is_some_and(|at| at <= now);
        if lost && self.author.asked.take().is_some() {
            self.author.retry.failure(now, None, &mut self.rng);
        }
        self.look_in(now);
        if !self.may_ask_for_voucher(now) {
            return None;
        }
        let dated = self.asking.apply(now);
        let Ok(keys) = self.keys.asking::<Vouchers>(dated) else {
            // A clock that is centuries ahead.
            self.author.retry.failure(now, None, &mut self.rng);
            return None;
        };
        let nonce = Nonce::generate(&mut self.rng);
        let key = self.author.key()?;
        let request = VoucherRequest::new(self.me.clone(), key, dated, nonce, self.instance);
        let body = SignedVoucherRequest::sign(&request, &keys).to_json();
        self.author.asked = Some(AskedVoucher { request, keys, at: now, place: self.order.next() });
        self.asks(now);
        Some(PendingRequest { body, destinations: 0, kind: Kind::Voucher, abroad: None, nonce })
    }

    /// Whether [`wants_voucher`](Self::wants_voucher) has something to say now.
    pub(super) fn may_ask_for_voucher(&self, now: UnixMillis) -> bool {
        self.author.is_wanting(self.correction.apply(now))
            && self.author.retry.is_due(now)
            // Registered and then lost it would lock this party out as an author.
            && self.kept.as_ref().is_none_or(|kept| kept.has_saved(self.author.made))
    }

    pub(super) fn take_voucher(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
    ) -> Result<(), TakeError> {
        let asked = self.author.answered(nonce).ok_or(TakeError::NotPending)?;
        let given = SealedVoucher::parse(body).and_then(|sealed| sealed.open(&asked.keys, &asked.request));
        let mut given = match given {
            Ok(given) => given,
            Err(error) => {
                self.author.retry.failure(now, None, &mut self.rng);
                return Err(error.into());
            }
        };
        self.author.retry.success();
        self.learn(asked.at, now, given.server_time);
        let trusted = core::mem::take(&mut given.trusted);
        self.learn_signers(asked.place, &given.signers, trusted);
        // The answer does not say whether to rotate: what was said before counts.
        let rotate = self.kept.as_ref().is_some_and(|kept| kept.kdc_wants);
        self.accepted(now, asked.keys.generation(), rotate);
        self.author.given(given);
        self.stats.vouchers += 1;
        Ok(())
    }

    pub(super) fn take_voucher_problem(&mut self, now: UnixMillis, nonce: Nonce, problem: &Problem) {
        let Some(asked) = self.author.answered(nonce) else { return };
        let corrected = self.date_requests(asked.at, now, problem);
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && self.author.retry.at_once() => {}
            // Another key may be the one that the KDC knows.
            ProblemType::Unauthenticated if self.keys.refused(asked.keys.generation()) => {
                self.hurry_commit();
            }
            ProblemType::ClockSkew
            | ProblemType::Replayed
            | ProblemType::RateLimited
            | ProblemType::Overloaded
            | ProblemType::Unavailable
            | ProblemType::Timeout
            | ProblemType::Internal => {
                let wait = problem.retry_after.map(|seconds| seconds.saturating_mul(1000));
                self.author.retry.failure(now, wait, &mut self.rng);
            }
            kind => {
                if kind == ProblemType::Unauthenticated && self.unknown_to_kdcs(now, problem) {
                    let jitter = below(&mut self.rng, AGAIN_MS);
                    return self.author.retry.hold(now, AGAIN_MS / 2 + jitter);
                }
                self.author.refused(self.correction.apply(now), kind);
            }
        }
    }

    pub(super) fn give_up_voucher(&mut self, now: UnixMillis, nonce: Nonce) {
        if self.author.answered(nonce).is_some() {
            self.author.retry.failure(now, None, &mut self.rng);
        }
    }

    /// When to call [`wants_voucher`](Self::wants_voucher) next.
    pub(crate) fn next_voucher_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        if let Some(lost) = self.author.lost_at(self.request_timeout_ms) {
            return Some(lost);
        }
        if !self.author.is_wanting(self.correction.apply(now)) {
            let renewal = self.author.next_timer().map(|due| self.correction.undo(due).max(now));
            return [renewal, self.next_look(now)].into_iter().flatten().min();
        }
        // Until the key is in its file there is nothing to ask.
        let stored = self.kept.as_ref().is_none_or(|kept| kept.has_saved(self.author.made));
        stored.then(|| self.author.retry.not_before().max(now))
    }
}

/// An [`Agent`] that proves with each message that it is the author.
#[derive(Debug)]
pub struct WithAuthorProof<'a>(&'a mut Agent);

impl WithAuthorProof<'_> {
    /// As [`Agent::seal`].
    ///
    /// # Errors
    /// As [`Agent::seal`]; [`SealError::NoAuthorKey`], [`SealError::NoVoucher`] and [`SealError::VoucherRefused`].
    pub fn seal(
        &mut self,
        now: UnixMillis,
        to: &Name,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.0.write(now, to, (Mode::Sealed, Proof::Always), topic, body)
    }

    /// As [`Agent::sign`].
    ///
    /// # Errors
    /// As [`seal`](Self::seal).
    pub fn sign(
        &mut self,
        now: UnixMillis,
        to: &Name,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.0.write(now, to, (Mode::Signed, Proof::Always), topic, body)
    }

    /// As [`Agent::seal_many`]: each part proves the author of the body, too.
    ///
    /// # Errors
    /// As [`Agent::seal_many`].
    pub fn seal_many(
        &mut self,
        now: UnixMillis,
        to: &[Name],
        topic: &str,
        body: &[u8],
    ) -> Result<Many, SealError> {
        self.0.spread(now, to, Proof::Always, topic, body)
    }

    /// As [`Agent::reply`].
    ///
    /// # Errors
    /// As [`Agent::reply`] and [`seal`](Self::seal).
    pub fn reply(&mut self, now: UnixMillis, to: &Opened, body: &[u8]) -> Result<Vec<u8>, SealError> {
        self.0.answer(now, to, Proof::Always, &to.topic, body)
    }

    /// As [`Agent::reply_with_topic`].
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn reply_with_topic(
        &mut self,
        now: UnixMillis,
        to: &Opened,
        topic: &str,
        body: &[u8],
    ) -> Result<Vec<u8>, SealError> {
        self.0.answer(now, to, Proof::Always, topic, body)
    }
}
