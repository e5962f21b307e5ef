//! What is done for the trusts with other zones without anybody asking: a look whether the zone is there, the rotation of the
//! key that it is asked with, and its turning at rest.
//!
//! A rotation goes as a host's does (docs/protocol.md §4.4): the next key is staged, stored, and only then committed, and what
//! was committed is stored again. After a crash between any two steps the next one is simply taken again, and so it is where
//! two KDCs of this zone do it at once: the other zone gives both the same key, and one of them stores it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use keycell_protocol::{
    Correlation, Nonce, PeerRequest, ProblemType, Rotated, Step, TicketReply, UnixMillis, Zone,
};
use rand_core::Rng as _;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

use super::Peers;
use super::keys::Which;
use super::line::{NoAnswer, lock};
use super::peer::Peer;
use crate::administration::AdminError;
use crate::audit::{Action, Actor, Event};
use crate::store::{Act, Kind, StoreError, Write};
use crate::trust::{Direction, HeldKeys, LIFETIME, secret_name};

impl Peers {
    /// Sees to all trusts, once a minute, and to those that there is news of at once, until told to stop.
    pub async fn run(self: Arc<Self>, stop: CancellationToken) {
        let mut next = Instant::now() + EVERY;
        loop {
            let all = tokio::select! {
                () = stop.cancelled() => return,
                () = self.news.notified() => Instant::now() >= next,
                () = sleep_until(next) => true,
            };
            if all {
                // Spread, so that the KDCs of a zone do not come all at once.
                let spread = crate::random::system().next_u32() % SPREAD_MS;
                next = Instant::now() + EVERY + Duration::from_millis(spread.into());
            }
            let see = async { if all { self.see_to_all().await } else { self.see_to_news().await } };
            tokio::select! {
                () = stop.cancelled() => return,
                () = see => {}
            }
            // Whoever is refused all the time brings news all the time.
            tokio::select! {
                () = stop.cancelled() => return,
                () = sleep(REST) => {}
            }
        }
    }

    /// Sees to all trusts once.
    pub async fn see_to_all(self: &Arc<Self>) {
        lock(&self.told).clear();
        self.rates.prune();
        self.see_to_these(|_| true).await;
    }

    /// Sees to the trusts that there is news of.
    pub async fn see_to_news(self: &Arc<Self>) {
        let told = std::mem::take(&mut *lock(&self.told));
        self.see_to_these(|zone| told.contains(zone)).await;
    }

    /// Each by itself, so that one that hangs keeps no other waiting.
    async fn see_to_these(self: &Arc<Self>, wanted: impl Fn(&Zone) -> bool) {
        self.look().await;
        self.count();
        let these = self.all().into_iter().filter(|peer| peer.trust.enabled && wanted(&peer.trust.zone));
        let seen_to: Vec<_> = these
            .map(|peer| {
                let peers = self.clone();
                tokio::spawn(async move { peers.see_to(peer).await })
            })
            .collect();
        for one in seen_to {
            // One that panicked has said so.
            let _ = one.await;
        }
    }

    async fn see_to(&self, mut peer: Arc<Peer>) {
        // The turning and both steps of a rotation may be due; a step that was stored makes a peer of the next revision.
        for _ in 0..STEPS {
            let done = match self.step(&peer).await {
                Ok(done) => done,
                Err(error) => {
                    let error = crate::http::chain(&error);
                    tracing::warn!(zone = %peer.trust.zone, error, "the key for another zone is not seen to: it is tried again");
                    return;
                }
            };
            if !done {
                return;
            }
            self.look().await;
            match self.known(peer.trust.zone.as_str()) {
                Some(next) if next.trust.enabled && next.trust.revision > peer.trust.revision => peer = next,
                _ => return,
            }
        }
    }

    /// Takes the next step there is, and says whether it changed anything. The keys at rest turn first: whatever becomes of a
    /// rotation, what is past is to be erased.
    async fn step(&self, peer: &Peer) -> Result<bool, AdminError> {
        let is_staged = peer.keys.generation(Which::Staged).is_some();
        match self.probe(peer, Which::Active).await {
            Ok(reply) => {
                if self.turn(peer, reply.server_time).await? {
                    return Ok(true);
                }
            }
            // The next key may be in use there by now.
            Err(NoAnswer::Refused(ProblemType::Unauthenticated) | NoAnswer::NoKey) if is_staged => {}
            Err(_) => return Ok(false),
        }
        if is_staged {
            return self.commit(peer).await;
        }
        let Some(active) = peer.keys.generation(Which::Active) else { return Ok(false) };
        let wanted = peer.trust.peer.as_ref().and_then(|record| record.rotate_from);
        if peer.to_rotate.load(Ordering::Relaxed) || wanted.is_some_and(|from| active <= from) {
            return self.stage(peer).await;
        }
        Ok(false)
    }

    /// Whether the other zone answers to one of the keys.
    async fn probe(&self, peer: &Peer, which: Which) -> Result<TicketReply, NoAnswer> {
        // Without it nothing would be sent, and the breaker would wait for what comes of it.
        peer.keys.generation(which).ok_or(NoAnswer::NoKey)?;
        let random = &mut crate::random::system();
        let template = PeerRequest {
            source: peer.principal.clone(),
            requests: Vec::new(),
            lifetime_seconds: *LIFETIME.start(),
            correlation: Correlation::generate(random),
            timestamp: UnixMillis(0),
            nonce: Nonce::generate(random),
            instance: self.instance,
        };
        let (config, begun) = (self.config.load_full(), Instant::now());
        let answered = peer.tickets(&template, which, &config, &|| self.clock.now()).await;
        self.counted(peer, answered.as_ref().err().copied(), begun);
        if answered.as_ref().is_ok_and(|reply| reply.rotate) {
            peer.to_rotate.store(true, Ordering::Relaxed);
        }
        answered
    }

    /// Gets the next key, and stores it, unless it is the one that is stored already.
    async fn stage(&self, peer: &Peer) -> Result<bool, AdminError> {
        match self.rotated(peer, Step::Stage, Which::Active).await {
            Ok(Rotated::Staged { key, .. }) if !peer.keys.is_staged(&key) => {
                let generation = key.generation();
                let held = HeldKeys { active: peer.keys.copy(Which::Active), staged: Some(key) };
                let event = self.event(peer).with("step", "stage").with("generation", generation.0);
                self.store(peer, &held, Some(event)).await
            }
            Ok(_) | Err(_) => Ok(false),
        }
    }

    /// Has the next key used from now on, and stores that.
    async fn commit(&self, peer: &Peer) -> Result<bool, AdminError> {
        match self.rotated(peer, Step::Commit, Which::Staged).await {
            Ok(Rotated::Committed { generation, .. }) => {
                let held = HeldKeys { active: peer.keys.copy(Which::Staged), staged: None };
                let event = self.event(peer).with("step", "commit").with("generation", generation.0);
                let stored = self.store(peer, &held, Some(event)).await?;
                if stored {
                    tracing::info!(zone = %peer.trust.zone, %generation, "another zone is asked with a new key from now on");
                }
                Ok(stored)
            }
            // It may have been done, and the KDC that refuses not have heard of it; or the key is gone there. A refusal is
            // not sealed: the key stays until a sealed answer puts another in its place.
            Err(
                NoAnswer::Refused(ProblemType::Unauthenticated | ProblemType::Conflict) | NoAnswer::NotYet(_),
            ) => self.stage(peer).await,
            Ok(Rotated::Staged { .. }) | Err(_) => Ok(false),
        }
    }

    /// Turns the keys at rest to the epoch before that of `certain`, a moment of the other zone's clock that its KDC proved:
    /// a clock here that is wrong must not turn them where nobody can follow.
    async fn turn(&self, peer: &Peer, certain: UnixMillis) -> Result<bool, AdminError> {
        // And not by one over there either.
        let certain = UnixMillis(certain.0.min(self.clock.now().0));
        let Some(held) = peer.keys.turned(certain) else { return Ok(false) };
        let stored = self.store(peer, &held, None).await?;
        if stored {
            self.ledger.store().forget_overwritten().await?;
        }
        Ok(stored)
    }

    /// Asks for a step, unless it was refused a moment ago.
    async fn rotated(&self, peer: &Peer, step: Step, which: Which) -> Result<Rotated, NoAnswer> {
        let signer = peer.keys.generation(which).ok_or(NoAnswer::NoKey)?;
        if !peer.line.may(step, signer) {
            return Err(NoAnswer::Breaker);
        }
        let (config, begun) = (self.config.load_full(), Instant::now());
        let answered = peer.rotate(step, which, self.instance, &config).await;
        match answered {
            Err(NoAnswer::NotYet(for_ms)) => peer.line.refused(step, signer, Some(for_ms)),
            Err(NoAnswer::Refused(_)) => peer.line.refused(step, signer, None),
            _ => {}
        }
        self.counted(peer, answered.as_ref().err().copied(), begun);
        answered
    }

    fn event(&self, peer: &Peer) -> Event {
        Event::new(self.clock.now(), Actor::Kdc, Action::TrustRotate, peer.trust.id())
    }

    /// Stores these keys in place of those that `peer` was read with, and says whether they are: where somebody else changed
    /// the trust in between, they are not, and what there is now is looked at again.
    async fn store(&self, peer: &Peer, keys: &HeldKeys, event: Option<Event>) -> Result<bool, AdminError> {
        let zone = &peer.trust.zone;
        let Some(before) = peer.trust.peer.as_ref().and_then(|record| record.held) else { return Ok(false) };
        let version = before.version.saturating_add(1);
        let mut record = (*peer.trust).clone();
        let revision = record.revision;
        record.revision = revision + 1;
        if let Some(peer) = &mut record.peer {
            peer.held = keys.seen(version);
            let active = keys.active.as_ref().map(keycell_protocol::LongTermKey::generation);
            peer.rotate_from = peer.rotate_from.filter(|from| active.is_none_or(|active| active <= *from));
        }
        let document = self.ledger.document(Kind::Trust, &record.id(), revision + 1, &record)?;
        let secret = keys.seal(self.ledger.keyring(), zone, version, &mut crate::random::system());
        let act = Act {
            writes: vec![
                Write::DeleteSecret { name: secret_name(zone), version: before.version },
                Write::AddSecret(secret),
                Write::PutDocument { document, expected: Some(revision) },
            ],
            events: event.into_iter().collect(),
        };
        match self.ledger.commit(&act).await {
            Ok(_) => Ok(true),
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. }
                | StoreError::DocumentMissing { .. }
                | StoreError::Exists { .. },
            )) => {
                self.ledger.catch_up().await;
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Counts the trusts, and where the breakers stand.
    fn count(&self) {
        let trusts = self.ledger.directory().trusts();
        for direction in [Direction::Incoming, Direction::Outgoing] {
            let of = |enabled| {
                let these = |trust: &&Arc<_>| is(trust, direction, enabled);
                i64::try_from(trusts.iter().filter(these).count()).unwrap_or(i64::MAX)
            };
            self.metrics.trusts(direction.as_str(), of(true), of(false));
        }
        for peer in self.all() {
            // One that is disabled is not asked, whether it is there or not.
            let stands = if peer.trust.enabled { peer.line.standing().number() } else { 0 };
            self.metrics.stands(&peer.trust.zone, stands);
        }
    }
}

fn is(trust: &crate::trust::TrustRecord, direction: Direction, enabled: bool) -> bool {
    trust.direction == direction && trust.enabled == enabled
}

const EVERY: Duration = Duration::from_secs(55);
const REST: Duration = Duration::from_secs(1);
const SPREAD_MS: u32 = 10_000;
/// Turn, stage, commit.
const STEPS: usize = 3;
