//! One zone whose KDCs are asked: by which trust, with which keys, over which line.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use keycell_protocol::{
    Grant, Instance, KeysFor, Name, Nonce, Outcome, PeerPair, PeerRequest, Peers as PeerKeys, ProblemType,
    ReplyError, Rotated, Rotation, RotationRequest, SealedReply, SealedRotation, SignedPeerRequest,
    SignedRotation, Step, TicketReply, UnixMillis,
};
use rand_core::Rng as _;

use super::errand::Errand;
use super::keys::{Keys, Which};
use super::line::{Line, NoAnswer, Signed, lock};
use super::negative::Negative;
use crate::config::PeersConfig;
use crate::issuance::renewal;
use crate::trust::TrustRecord;

/// As one revision of its trust has it.
pub(super) struct Peer {
    pub(super) trust: Arc<TrustRecord>,
    /// What this zone is there.
    pub(super) principal: Name,
    pub(super) line: Arc<Line>,
    pub(super) keys: Arc<Keys>,
    pub(super) negative: Mutex<Negative>,
    /// The other zone wants another key to be used.
    pub(super) to_rotate: AtomicBool,
    /// Who takes care of the keys was told of that.
    pub(super) told: AtomicBool,
    /// The keys could not be read: it is to be tried again.
    pub(super) incomplete: bool,
}

/// What became of each destination.
pub(super) type Outcomes = Vec<(Name, Result<Box<Grant>, ProblemType>)>;

impl Peer {
    /// What was refused a moment ago, and what is left to be asked.
    pub(super) fn known(&self, errand: &Errand, now: UnixMillis) -> (Outcomes, Vec<PeerPair>) {
        let negative = lock(&self.negative);
        let (mut refused, mut left) = (Vec::new(), Vec::new());
        for destination in &errand.destinations {
            let pair = PeerPair { source: errand.source.clone(), destination: destination.clone() };
            match negative.find(&pair, now) {
                Some(problem) => refused.push((pair.destination, Err(problem))),
                None => left.push(pair),
            }
        }
        (refused, left)
    }

    /// Asks for tickets.
    pub(super) async fn ask(
        &self,
        errand: &Errand,
        pairs: &[PeerPair],
        instance: Instance,
        config: &PeersConfig,
        now: impl Fn() -> UnixMillis,
    ) -> Result<Outcomes, NoAnswer> {
        let reply = self.request(pairs, errand, instance, config, &now).await?;
        let mut negative = lock(&self.negative);
        let outcomes = pairs.iter().zip(reply.outcomes).map(|(pair, outcome)| {
            let outcome = match outcome {
                Outcome::Granted(mut grant) => {
                    // When is this zone's to say: its parties come back to it.
                    grant.renew_after =
                        renewal(now().seconds(), grant.expiration, crate::random::system().next_u32());
                    Ok(grant)
                }
                Outcome::Refused { problem, .. } => Err(passed_on(problem)),
            };
            if let Err(problem) = outcome {
                negative.note(pair, problem, now());
            }
            (pair.destination.clone(), outcome)
        });
        Ok(outcomes.collect())
    }

    /// Whether there is something to do for the keys after this answer: the other zone wants another one for the first time,
    /// or knows none of ours, and one may be committed.
    pub(super) fn has_news<T>(&self, answered: &Result<T, NoAnswer>) -> bool {
        let refused = matches!(answered, Err(NoAnswer::Refused(ProblemType::Unauthenticated)));
        let staged = self.keys.generation(Which::Staged).filter(|_| refused);
        staged.is_some_and(|staged| self.line.may(Step::Commit, staged))
            || self.to_rotate.load(Ordering::Relaxed) && !self.told.swap(true, Ordering::Relaxed)
    }

    async fn request(
        &self,
        pairs: &[PeerPair],
        errand: &Errand,
        instance: Instance,
        config: &PeersConfig,
        now: &impl Fn() -> UnixMillis,
    ) -> Result<TicketReply, NoAnswer> {
        let which = self.keys.first().ok_or(NoAnswer::NoKey)?;
        let template = PeerRequest {
            source: self.principal.clone(),
            requests: pairs.to_vec(),
            lifetime_seconds: errand.lifetime_seconds,
            correlation: errand.correlation,
            timestamp: UnixMillis(0),
            nonce: Nonce([0; 16]),
            instance,
        };
        let mut outcome = self.tickets(&template, which, config, now).await;
        if matches!(outcome, Err(NoAnswer::Refused(ProblemType::Unauthenticated)))
            && which == Which::Active
            && self.keys.generation(Which::Staged).is_some()
        {
            // It may be in use there already: the answer to its commit was lost, or is not yet stored here.
            outcome = self.tickets(&template, Which::Staged, config, now).await;
        }
        let reply = outcome?;
        if reply.rotate {
            self.to_rotate.store(true, Ordering::Relaxed);
        }
        Ok(reply)
    }

    /// Asks with one of the keys, whatever it is good for there.
    pub(super) async fn tickets(
        &self,
        template: &PeerRequest,
        which: Which,
        config: &PeersConfig,
        now: &impl Fn() -> UnixMillis,
    ) -> Result<TicketReply, NoAnswer> {
        let sign = |theirs: UnixMillis| {
            let keys: KeysFor<PeerKeys> = self.keys.of(which, theirs)?;
            let nonce = Nonce::generate(&mut crate::random::system());
            let request = PeerRequest { timestamp: theirs, nonce, ..template.clone() };
            let json = SignedPeerRequest::sign(&request, &keys).ok()?.to_json();
            let now = now();
            let open = move |json: &[u8]| {
                let reply = SealedReply::parse(json)?.open_for_zone(&keys, &request)?;
                plausible(&reply, now, request.lifetime_seconds)?;
                let server_time = reply.server_time;
                Ok((reply, server_time))
            };
            Some(Signed { json, open: Box::new(open) })
        };
        self.line.ask("/v1/peer/tickets", config, sign).await
    }

    /// Takes a step of a rotation with one of the keys.
    pub(super) async fn rotate(
        &self,
        step: Step,
        which: Which,
        instance: Instance,
        config: &PeersConfig,
    ) -> Result<Rotated, NoAnswer> {
        let sign = |theirs: UnixMillis| {
            let keys: KeysFor<Rotation> = self.keys.of(which, theirs)?;
            let nonce = Nonce::generate(&mut crate::random::system());
            let source = self.principal.clone();
            let request = RotationRequest { source, step, timestamp: theirs, nonce, instance };
            let json = SignedRotation::sign(&request, &keys).to_json();
            let open = move |json: &[u8]| {
                let rotated = SealedRotation::parse(json)?.open(&keys, &request)?;
                let (Rotated::Staged { server_time, .. } | Rotated::Committed { server_time, .. }) = rotated;
                Ok((rotated, server_time))
            };
            Some(Signed { json, open: Box::new(open) })
        };
        self.line.ask("/v1/keys/rotate", config, sign).await
    }
}

/// What a party is told of a refusal: of the reasons for one ticket, those that there are.
fn passed_on(problem: Option<ProblemType>) -> ProblemType {
    match problem {
        Some(
            problem @ (ProblemType::NotAllowed
            | ProblemType::UntrustedZone
            | ProblemType::UnknownDestination
            | ProblemType::DestinationDisabled
            | ProblemType::Overloaded
            | ProblemType::Unavailable),
        ) => problem,
        _ => ProblemType::NotAllowed,
    }
}

/// A ticket that has ended, or lasts much longer than was asked for, spoils the whole answer.
fn plausible(reply: &TicketReply, now: UnixMillis, lifetime_seconds: u32) -> Result<(), ReplyError> {
    // Made by the other zone's clock, which may be ahead of this one: as far as clocks may be off at all.
    let ahead = reply.server_time.0.saturating_sub(now.0).min(CLOCKS_MS);
    let latest = now.plus(ahead).seconds().plus(u64::from(lifetime_seconds) + SLACK_SECONDS);
    let holds = |outcome: &Outcome| match outcome {
        Outcome::Granted(grant) => grant.expiration > now.seconds() && grant.expiration <= latest,
        Outcome::Refused { .. } => true,
    };
    if reply.outcomes.iter().all(holds) { Ok(()) } else { Err(ReplyError::Malformed) }
}

const SLACK_SECONDS: u64 = 60;
const CLOCKS_MS: u64 = 600_000;
