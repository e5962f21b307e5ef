//! Records what happens while requests are answered, without keeping them waiting.
//!
//! What is refused is counted in memory and written soon after, by a task of its own: the same thing again within a minute
//! is the same record with a count (docs/decisions/0011). Memory is bounded: what does not fit by name is counted
//! together as others.

mod burst;
mod tally;

use std::hash::{BuildHasher as _, RandomState};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycell_protocol::{Correlation, Name, ProblemType, UnixMillis, Zone};
use prometheus_client::metrics::counter::Counter;
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio_util::sync::CancellationToken;

use self::burst::Bursts;
use self::tally::{Share, Tallies, Thing};
use super::{Action, Actor, Journal};
use crate::limit::Network;
use crate::store::{Act, StoreError};

/// Counts what is refused, and writes it to the log soon after.
pub struct Recorder {
    /// By who did it: a request takes one lock, whatever it asked for, and waits for no other party's.
    shards: Vec<Mutex<Tallies>>,
    hasher: RandomState,
    bursts: Mutex<Bursts>,
    /// One flush at a time.
    flushing: AsyncMutex<()>,
    crowded: Notify,
    lost: Counter,
}

/// A destination that was refused, or would have been.
#[derive(Debug, Clone, Copy)]
pub struct Denial<'a> {
    /// To whom.
    pub destination: &'a Name,
    /// Why.
    pub problem: ProblemType,
    /// The rule that decided, where one did.
    pub rule: Option<&'a str>,
    /// The border that it was to go over, where it was to go over one.
    pub border: Option<Border<'a>>,
}

/// Where a ticket goes from one zone to another.
#[derive(Debug, Clone, Copy)]
pub struct Border<'a> {
    /// The other zone.
    pub zone: &'a Zone,
    /// Who of the other zone asked, where it is the zone that is named as who did it.
    pub source: Option<&'a Name>,
    /// By which name both KDCs tell of the request. Of the same thing again within a minute the last one is recorded.
    pub correlation: Correlation,
}

impl Recorder {
    /// Nothing counted yet. `lost` counts what was not recorded by name, because there was too much of it.
    #[must_use]
    pub fn new(lost: Counter) -> Self {
        Self {
            shards: (0..SHARDS).map(|_| Mutex::new(Tallies::new(THINGS / SHARDS))).collect(),
            hasher: RandomState::new(),
            bursts: Mutex::new(Bursts::new(NETWORKS)),
            flushing: AsyncMutex::new(()),
            crowded: Notify::new(),
            lost,
        }
    }

    /// Tickets that `party` was refused in one request.
    pub fn denied<'a>(
        &self,
        now: UnixMillis,
        party: &Name,
        address: Option<IpAddr>,
        denials: impl IntoIterator<Item = Denial<'a>>,
    ) {
        self.tickets(Action::TicketDeny, now, party, address, denials);
    }

    /// Tickets that `party` was given in one request, though a monitored rule would have refused them.
    pub fn monitored<'a>(
        &self,
        now: UnixMillis,
        party: &Name,
        address: Option<IpAddr>,
        denials: impl IntoIterator<Item = Denial<'a>>,
    ) {
        self.tickets(Action::TicketMonitor, now, party, address, denials);
    }

    /// An authentication that failed, from `address`, in the name of `claimed` if it named one. Many of them within a minute
    /// become one record; a single one becomes none.
    pub fn failed(&self, now: UnixMillis, address: IpAddr, claimed: Option<&str>) {
        if !lock(&self.bursts).add(now, address, claimed) {
            self.lost.inc();
        }
    }

    /// An administrator's request that was refused: `target` is what it was about, `reason` why. Somebody who did not say
    /// who is counted by network.
    pub fn refused_administrator(
        &self,
        now: UnixMillis,
        actor: &Actor,
        address: Option<IpAddr>,
        target: &str,
        reason: &str,
    ) {
        let actor = match actor {
            Actor::Address(address) => Actor::Address(Network::of(*address).address()),
            actor => actor.clone(),
        };
        let thing = Thing::new(Action::AdministratorDeny, target, reason);
        self.add(&actor, now, address, std::iter::once(thing));
    }

    /// A host that was refused to come aboard: `target` is the party or the join token that it is about, where there is one.
    /// Hosts are counted by network.
    pub fn refused_enrollment(&self, now: UnixMillis, address: IpAddr, target: &str, reason: &str) {
        let actor = Actor::Address(Network::of(address).address());
        let thing = Thing::new(Action::EnrollmentRefuse, target, reason);
        self.add(&actor, now, Some(address), std::iter::once(thing));
    }

    /// Writes what is due, every second and when there is much of it, until told to stop; then everything. What cannot be
    /// written stays counted until it can.
    pub async fn run(&self, journal: Journal, stop: CancellationToken) {
        let mut away = false;
        loop {
            let stopped = tokio::select! {
                () = stop.cancelled() => true,
                () = self.crowded.notified() => false,
                () = tokio::time::sleep(EVERY) => false,
            };
            match self.flush(&journal, stopped).await {
                Ok(_) if away => {
                    away = false;
                    tracing::info!("denials are written to the audit log again");
                }
                Ok(_) => {}
                Err(error) if stopped => {
                    tracing::error!(%error, "the last denials could not be written to the audit log");
                }
                Err(error) => {
                    if !away {
                        tracing::error!(%error, "denials wait in memory until the audit log can be written");
                    }
                    away = true;
                    // A crowd must not make this spin.
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(EVERY) => {}
                    }
                }
            }
            if stopped {
                return;
            }
        }
    }

    /// Writes what is due, or everything, and tells how many records that made. It is one commit, unless there is a great
    /// deal. When the connection breaks at the very commit, the same may be written twice.
    ///
    /// # Errors
    /// [`StoreError`] when the log cannot be written: then everything stays counted.
    pub async fn flush(&self, journal: &Journal, everything: bool) -> Result<usize, StoreError> {
        let _one_at_a_time = self.flushing.lock().await;
        let now = journal.now();
        let mut shares: Vec<Share> =
            self.shards.iter().flat_map(|shard| lock(shard).take(now, everything)).collect();
        shares.extend(lock(&self.bursts).take(now, everything));
        let mut written = 0;
        while !shares.is_empty() {
            let rest = shares.split_off(shares.len().min(BATCH));
            let act = Act { writes: Vec::new(), events: shares.iter().map(Share::event).collect() };
            if let Err(error) = journal.commit(&act).await {
                shares.into_iter().chain(rest).for_each(|share| self.give_back(&share));
                return Err(error);
            }
            written += act.events.len();
            shares = rest;
        }
        Ok(written)
    }

    fn tickets<'a>(
        &self,
        action: Action,
        now: UnixMillis,
        party: &Name,
        address: Option<IpAddr>,
        denials: impl IntoIterator<Item = Denial<'a>>,
    ) {
        let things = denials.into_iter().map(|denial| {
            let (border, thing) =
                (denial.border, Thing::new(action, denial.destination.as_str(), denial.problem.urn()));
            Thing {
                rule: denial.rule.unwrap_or_default(),
                zone: border.map_or("", |border| border.zone.as_str()),
                source: border.and_then(|border| border.source).map_or("", Name::as_str),
                correlation: border.map(|border| border.correlation),
                ..thing
            }
        });
        self.add(&Actor::of(party), now, address, things);
    }

    fn add<'a>(
        &self,
        actor: &Actor,
        now: UnixMillis,
        address: Option<IpAddr>,
        things: impl Iterator<Item = Thing<'a>>,
    ) {
        let mut things = things.peekable();
        if things.peek().is_none() {
            return;
        }
        let Some(shard) = self.shard(actor) else { return };
        let added = lock(shard).add(actor, now, address, things);
        self.lost.inc_by(added.lost);
        if added.crowded {
            self.crowded.notify_one();
        }
    }

    fn give_back(&self, share: &Share) {
        if share.what.action == Action::AuthenticationBurst {
            lock(&self.bursts).give_back(share);
        } else if let Some(shard) = self.shard(&share.actor) {
            lock(shard).give_back(share);
        }
    }

    fn shard(&self, actor: &Actor) -> Option<&Mutex<Tallies>> {
        let place = self.hasher.hash_one(actor) % self.shards.len().max(1) as u64;
        self.shards.get(usize::try_from(place).unwrap_or_default())
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The same thing becomes a record once in this time.
const WINDOW_MS: u64 = 60_000;

/// How often what is new is written.
const EVERY: Duration = Duration::from_secs(1);

/// So many records are written in one commit.
const BATCH: usize = 1000;

const SHARDS: usize = 16;

/// So many different things are told apart, in all shards.
const THINGS: usize = 16_384;

/// So many networks are told apart.
const NETWORKS: usize = 8192;

#[cfg(test)]
mod tests;
