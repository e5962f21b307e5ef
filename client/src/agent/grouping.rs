//! Asking for the keys of groups (docs/protocol.md §11), and the messages that wait for them.

use keycell_protocol::{
    CannotOpen, Cause, Generation, GroupKey, GroupKeysRequest, GroupOutcome, Name, Nonce, Problem,
    ProblemType, SealedGroupKeys, SignedGroupRequest, UnixMillis,
};

use super::Agent;
use crate::groups::{Membership, below, waits_for};
use crate::opened::Opened;
use crate::pending::{AskedGroups, Kind, PendingRequest, TakeError, Taken};

impl Agent {
    /// Listens to a group from now on: its keys are asked for at once. After a refusal that asks once more.
    pub fn join(&mut self, now: UnixMillis, group: &Name) {
        self.groups.join(self.correction.apply(now), group);
        if self.groups.refusal(group).is_none() && self.groups.names().any(|joined| joined == group) {
            self.opener.join(group.clone());
        }
    }

    /// Listens to a group no longer, and forgets its keys.
    pub fn leave(&mut self, group: &Name) {
        self.groups.leave(group);
        self.opener.leave(group);
    }

    /// The groups that this party listens to, and how it stands with each.
    #[must_use]
    pub fn groups(&self, now: UnixMillis) -> Vec<(Name, Membership)> {
        let now = self.correction.apply(now);
        let membership = |group: &Name| match self.groups.refusal(group) {
            Some(problem) => Membership::Refused { problem },
            None => match self.opener.groups().until(group) {
                Some(until) if until.millis() > now => Membership::Member { until },
                _ => Membership::Asked,
            },
        };
        let mut groups: Vec<_> =
            self.groups.names().map(|group| (group.clone(), membership(group))).collect();
        groups.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
        groups
    }

    /// Opens the messages to groups that [`open`](Self::open) refused as [`Cause::Waiting`], if their keys are here by now.
    /// Look after each call of [`take_reply`](Self::take_reply). Each is given once, in the order in which they came.
    pub fn open_waiting(&mut self, now: UnixMillis) -> Vec<Result<Opened, CannotOpen>> {
        if self.waiting.len() == 0 {
            return Vec::new();
        }
        let ready = self.waiting.take(self.correction.apply(now), self.opener.groups());
        ready.iter().map(|message| self.open(now, message)).collect()
    }

    /// As [`open`](Self::open); a message that waits for a key of its group is not kept.
    #[cfg(feature = "https")]
    pub(crate) fn open_or_look_for_key(
        &mut self,
        now: UnixMillis,
        bytes: &[u8],
    ) -> Result<Opened, CannotOpen> {
        let opened = self.opener.open(&mut self.keys, self.correction.apply(now), bytes);
        if let Err(Cause::Waiting { generation }) = opened {
            return Err(self.look_for(now, bytes, generation).into());
        }
        self.opened(now, opened)
    }

    /// Whether a KDC is being asked for keys of groups, or will be by `end`.
    #[cfg(feature = "https")]
    pub(crate) fn asks_for_groups_by(&self, now: UnixMillis, end: UnixMillis) -> bool {
        self.groups.asked.is_some() || self.next_group_wakeup(now).is_some_and(|at| at <= end)
    }

    /// Of which groups keys are being asked for; none named means all.
    #[cfg(feature = "https")]
    pub(crate) fn asked_groups(&self) -> Vec<Name> {
        self.groups.asked.as_ref().map(|asked| asked.request.groups.clone()).unwrap_or_default()
    }

    /// A message came under a key of its group that is not here: it is kept, and the key asked for.
    pub(super) fn wait(&mut self, now: UnixMillis, bytes: &[u8], generation: Generation) -> Cause {
        let no_key = Cause::NoKey { generation, epoch: GroupKey::EPOCH };
        let Some((group, generation, expiration)) = waits_for(bytes, generation) else { return no_key };
        self.stats.waited += 1;
        self.stats.waited_in_vain +=
            self.waiting.keep(group.clone(), generation, expiration, bytes, &mut self.rng);
        self.groups.missed(self.correction.apply(now), &group, generation, &mut self.rng);
        Cause::Waiting { generation }
    }

    /// As [`wait`](Self::wait), for what is not kept.
    pub(super) fn look_for(&mut self, now: UnixMillis, bytes: &[u8], generation: Generation) -> Cause {
        let no_key = Cause::NoKey { generation, epoch: GroupKey::EPOCH };
        let Some((group, generation, _)) = waits_for(bytes, generation) else { return no_key };
        self.groups.missed(self.correction.apply(now), &group, generation, &mut self.rng);
        Cause::Waiting { generation }
    }

    /// As [`wants`](Self::wants), for the keys of groups only.
    pub(crate) fn wants_groups(&mut self, now: UnixMillis) -> Option<PendingRequest> {
        self.tick(now);
        let lost = self.groups.lost_at(self.request_timeout_ms).is_some_and(|at| at <= now);
        if lost && self.groups.asked.take().is_some() {
            self.groups_failed(now, None);
        }
        if !self.groups.retry.is_due(now) {
            return None;
        }
        let due = self.groups.due(self.correction.apply(now))?;
        let dated = self.asking.apply(now);
        let Ok(keys) = self.keys.asking(dated) else {
            // A clock that is centuries ahead.
            self.groups_failed(now, None);
            return None;
        };
        let nonce = Nonce::generate(&mut self.rng);
        let (source, instance) = (self.me.clone(), self.instance);
        let request = GroupKeysRequest { source, groups: due.groups, timestamp: dated, nonce, instance };
        let body = SignedGroupRequest::sign(&request, &keys).ok()?.to_json();
        self.stats.group_requests += 1;
        self.stats.group_refetches += u64::from(due.by_message);
        self.groups.asked = Some(AskedGroups { request, keys, at: now, place: self.order.next() });
        self.asks(now);
        Some(PendingRequest { body, destinations: 0, kind: Kind::Groups, abroad: None, nonce })
    }

    pub(super) fn take_groups(
        &mut self,
        now: UnixMillis,
        nonce: Nonce,
        body: &[u8],
    ) -> Result<Taken, TakeError> {
        let asked = self.groups.answered(nonce).ok_or(TakeError::NotPending)?;
        let reply = SealedGroupKeys::parse(body).and_then(|sealed| sealed.open(&asked.keys, &asked.request));
        let reply = match reply {
            Ok(reply) => reply,
            Err(error) => {
                self.groups_failed(now, None);
                return Err(error.into());
            }
        };
        self.learn(asked.at, now, reply.server_time);
        self.groups.retry.success();
        self.accepted(now, asked.keys.generation(), reply.rotate);
        if !reply.signers.is_empty() {
            self.learn_signers(asked.place, &reply.signers, reply.trusted);
        }
        let now = self.correction.apply(now);
        let mut taken = Taken::NOTHING;
        let mut told = Vec::with_capacity(reply.groups.len());
        for outcome in reply.groups {
            match outcome {
                GroupOutcome::Granted(given) => {
                    told.push(given.group.clone());
                    if !self.groups.listens(&given.group) {
                        continue;
                    }
                    if let Some(last) = given.keys.last() {
                        let newest = last.key.generation();
                        self.stats.waited_in_vain += self.waiting.missed(&given.group, newest);
                    }
                    let waiting = self.waiting.newest(&given.group);
                    self.groups.granted(now, &given, waiting, &mut self.rng);
                    self.opener.hold(given);
                    taken.granted += 1;
                }
                GroupOutcome::Refused { group, problem } => {
                    told.push(group.clone());
                    if self.groups.refused(now, &group, problem, &mut self.rng) {
                        self.opener.leave(&group);
                    }
                    taken.refused.push((group, problem));
                }
            }
        }
        if asked.request.groups.is_empty() {
            for group in self.groups.only(now, &told, &mut self.rng) {
                self.opener.leave(&group);
            }
        }
        self.stats.refusals += taken.refused.len() as u64;
        Ok(taken)
    }

    /// A problem is not sealed, so nothing that is held is given up for it.
    pub(super) fn take_groups_problem(&mut self, now: UnixMillis, nonce: Nonce, problem: &Problem) {
        let Some(asked) = self.groups.answered(nonce) else { return };
        let corrected = self.date_requests(asked.at, now, problem);
        match problem.kind {
            kind if (corrected || kind == ProblemType::ClockSkew || kind == ProblemType::Replayed)
                && self.groups.retry.at_once() => {}
            // Another key may be the one that the KDC knows.
            ProblemType::Unauthenticated if self.keys.refused(asked.keys.generation()) => self.hurry_commit(),
            ProblemType::ClockSkew
            | ProblemType::Replayed
            | ProblemType::RateLimited
            | ProblemType::TooLarge
            | ProblemType::Overloaded
            | ProblemType::Unavailable
            | ProblemType::Timeout
            | ProblemType::Internal => self.groups_failed(now, problem.retry_after),
            // A KDC of an earlier release, or one that will have none of this party.
            kind => {
                if kind == ProblemType::Unauthenticated && self.unknown_to_kdcs(now, problem) {
                    let jitter = below(&mut self.rng, AGAIN_MS);
                    return self.groups.retry.hold(now, AGAIN_MS / 2 + jitter);
                }
                let jitter = below(&mut self.rng, HOLD_MS);
                self.groups.retry.hold(now, HOLD_MS / 2 + jitter);
            }
        }
    }

    pub(super) fn give_up_groups(&mut self, now: UnixMillis, nonce: Nonce) {
        if self.groups.answered(nonce).is_some() {
            self.groups_failed(now, None);
        }
    }

    /// When to call [`wants_groups`](Self::wants_groups) next.
    pub(crate) fn next_group_wakeup(&self, now: UnixMillis) -> Option<UnixMillis> {
        if let Some(lost) = self.groups.lost_at(self.request_timeout_ms) {
            return Some(lost);
        }
        let due = self.correction.undo(self.groups.next_timer()?);
        Some(due.max(self.groups.retry.not_before()).max(now))
    }

    /// Whether there is something to ask for now.
    #[cfg(feature = "https")]
    pub(crate) fn may_request_groups(&self, now: UnixMillis) -> bool {
        self.groups.retry.is_due(now) && self.groups.due(self.correction.apply(now)).is_some()
    }

    fn groups_failed(&mut self, now: UnixMillis, retry_after: Option<u64>) {
        self.stats.failures += 1;
        let wait = retry_after.map(|seconds| seconds.saturating_mul(1000));
        self.groups.retry.failure(now, wait, &mut self.rng);
    }
}

/// Five minutes.
const HOLD_MS: u64 = 300_000;
/// For who enrolls again if that is meant.
pub(super) const AGAIN_MS: u64 = 20_000;
