//! Rotating the party's own key (docs/protocol.md §4.4): staged, stored, committed.

use keycell_protocol::{
    Nonce, Problem, ProblemType, Rotated, RotationRequest, SealedRotation, SignedRotation, Step, UnixMillis,
};

use super::Agent;
use crate::pending::{AskedRotation, Kind, PendingRequest, TakeError};

impl Agent {
    /// As [`wants`](Self::wants), for the party's own key only.
    pub(crate) fn wants_rotation(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        let lost = self.kept.as_ref()?.lost_at(self.request_timeout_ms).is_some_and(|at| at <= now);
        let kept = self.kept.as_mut()?;
        if lost && kept.asked.take().is_some() {
            kept.retry.failure(now, None, &mut self.rng);
        }
        if kept.asked.is_some() || !kept.retry.is_due(now) {
            return None;
        }
        let step = kept.step(self.keys.has_staged())?;
        let dated = self.asking.apply(now);
        let keys = match step {
            Step::Stage => self.keys.staging(dated),
            Step::Commit => self.keys.committing(dated),
        };
        let Ok(keys) = keys else {
            // A clock that is centuries ahead.
            kept.retry.failure(now, None, &mut self.rng);
            return None;
        };
        let nonce = Nonce::generate(&mut self.rng);
        let (source, instance) = (self.me.clone(), self.instance);
        let request = RotationRequest { source, step, timestamp: dated, nonce, instance };
        let body = SignedRotation::sign(&request, &keys).to_json();
        kept.asked = Some(AskedRotation { request, keys, at: now });
        Some(PendingRequest { body, destinations: 0, kind: Kind::Rotation, abroad: None, nonce })
    }

    pub(super) fn take_rotation(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
    ) -> Result<(), TakeError> {
        let kept = self.kept.as_mut().ok_or(TakeError::NotPending)?;
        let asked = kept.answered(nonce).ok_or(TakeError::NotPending)?;
        let rotated = SealedRotation::parse(body).and_then(|sealed| sealed.open(&asked.keys, &asked.request));
        let rotated = match rotated {
            Ok(rotated) => rotated,
            Err(error) => {
                kept.retry.failure(now, None, &mut self.rng);
                return Err(error.into());
            }
        };
        kept.retry.success();
        match rotated {
            Rotated::Staged { key, server_time } => {
                kept.staged();
                self.keys.stage(asked.keys.generation(), key);
                self.learn(asked.at, now, server_time);
            }
            Rotated::Committed { generation, server_time } => {
                self.learn(asked.at, now, server_time);
                self.activated(generation, self.correction.apply(now).seconds());
            }
        }
        Ok(())
    }

    pub(super) fn take_rotation_problem(&mut self, now: UnixMillis, nonce: Nonce, problem: &Problem) {
        let Some(asked) = self.kept.as_mut().and_then(|kept| kept.answered(nonce)) else { return };
        let corrected = self.date_requests(asked.at, now, problem);
        let Some(kept) = &mut self.kept else { return };
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && kept.retry.at_once() => {}
            // A KDC of an earlier release.
            ProblemType::NotFound | ProblemType::MethodNotAllowed => kept.retry.hold(now, UNKNOWN_MS),
            _ => {
                if matches!(problem.kind, ProblemType::Unauthenticated | ProblemType::Conflict) {
                    kept.other_step(asked.request.step);
                }
                let wait = problem.retry_after.map(|seconds| seconds.saturating_mul(1000));
                kept.retry.failure(now, wait, &mut self.rng);
            }
        }
    }

    pub(super) fn give_up_rotation(&mut self, now: UnixMillis, nonce: Nonce) {
        if let Some(kept) = &mut self.kept
            && kept.answered(nonce).is_some()
        {
            kept.retry.failure(now, None, &mut self.rng);
        }
    }

    pub(super) fn hurry_commit(&mut self) {
        if let Some(kept) = &mut self.kept
            && self.keys.has_staged()
        {
            kept.hurry_commit();
        }
    }

    /// When to call [`wants_rotation`](Self::wants_rotation) next.
    pub(crate) fn next_key_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        let expiry = self.keys.next_expiry().map(|at| self.correction.undo(at.millis()).max(now));
        let Some(kept) = &self.kept else { return expiry };
        let rotation = match kept.lost_at(self.request_timeout_ms) {
            Some(lost) => Some(lost),
            None => kept.step(self.keys.has_staged()).map(|_| kept.retry.not_before().max(now)),
        };
        [expiry, rotation, self.next_enrollment_wakeup(now)].into_iter().flatten().min()
    }
}

/// An hour.
const UNKNOWN_MS: u64 = 3_600_000;
