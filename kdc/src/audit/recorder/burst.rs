//! Failed authentications: many from one network within a minute are a burst, and only that is recorded.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;

use keycell_protocol::UnixMillis;

use super::WINDOW_MS;
use super::tally::{Share, Tally, What};
use crate::audit::{Action, Actor};
use crate::limit::Network;

/// Failed authentications by network.
#[derive(Debug)]
pub(super) struct Bursts {
    networks: HashMap<Network, Burst>,
    /// From networks for which there was no room.
    others: Burst,
    most: usize,
}

impl Bursts {
    pub(super) fn new(most: usize) -> Self {
        Self { networks: HashMap::new(), others: Burst::default(), most }
    }

    /// Counts a failure; false when there was no room to tell its network apart.
    pub(super) fn add(&mut self, now: UnixMillis, address: IpAddr, claimed: Option<&str>) -> bool {
        let network = Network::of(address);
        let room = self.networks.len() < self.most;
        let burst = match self.networks.get_mut(&network) {
            None if room => self.networks.entry(network).or_default(),
            Some(burst) => burst,
            None => {
                self.others.add(now, None, None);
                return false;
            }
        };
        burst.add(now, Some(address), claimed);
        true
    }

    /// The bursts that are due, and all if everything is wanted; forgets networks that have been quiet.
    pub(super) fn take(&mut self, now: UnixMillis, everything: bool) -> Vec<Share> {
        let mut shares = Vec::new();
        self.networks.retain(|network, burst| {
            shares.extend(burst.take(Actor::Address(network.address()), false, now, everything));
            burst.tally.is_some() || burst.recent.back().is_some_and(|last| last.distance(now) < WINDOW_MS)
        });
        shares.extend(self.others.take(Actor::Kdc, true, now, everything));
        shares
    }

    /// Counts again what could not be written.
    pub(super) fn give_back(&mut self, share: &Share) {
        let burst = match share.actor {
            Actor::Address(address) if !share.what.others => {
                // It was there a moment ago.
                self.networks.entry(Network::of(address)).or_default()
            }
            _ => &mut self.others,
        };
        burst.count(share.tally);
        burst.written_at = None;
        share.names.iter().for_each(|name| burst.name(name));
    }
}

/// Failed authentications from one network.
#[derive(Debug, Default)]
struct Burst {
    /// The latest ones, within a minute; as many as make a burst.
    recent: VecDeque<UnixMillis>,
    /// Whether these are counted.
    counted: bool,
    tally: Option<Tally>,
    names: Vec<String>,
    written_at: Option<UnixMillis>,
}

impl Burst {
    fn add(&mut self, now: UnixMillis, address: Option<IpAddr>, claimed: Option<&str>) {
        self.recent.retain(|at| at.distance(now) < WINDOW_MS);
        if self.recent.is_empty() && self.tally.is_none() {
            self.names.clear();
        }
        claimed.into_iter().for_each(|name| self.name(name));
        if self.recent.len() == BURST {
            self.recent.pop_front();
        }
        self.recent.push_back(now);
        let once = Tally::once(now, address);
        if self.recent.len() < BURST {
            self.counted = false;
        } else if self.counted {
            self.count(once);
        } else {
            self.counted = true;
            let first_at = self.recent.front().copied().unwrap_or(now);
            self.count(Tally { count: BURST as u64, first_at, ..once });
        }
    }

    fn count(&mut self, tally: Tally) {
        match &mut self.tally {
            Some(known) => known.add(&tally),
            None => self.tally = Some(tally),
        }
    }

    fn name(&mut self, name: &str) {
        let name: String = name.chars().take(MAX_NAME).collect();
        if self.names.len() < MAX_NAMES && !self.names.contains(&name) {
            self.names.push(name);
        }
    }

    fn take(&mut self, actor: Actor, others: bool, now: UnixMillis, everything: bool) -> Option<Share> {
        let due = self.written_at.is_none_or(|written| written.distance(now) >= WINDOW_MS);
        if !due && !everything {
            return None;
        }
        let tally = self.tally.take()?;
        self.written_at = Some(now);
        let what = What { others, ..What::others(Action::AuthenticationBurst) };
        Some(Share { actor, what, tally, names: std::mem::take(&mut self.names) })
    }
}

/// So many failures within a minute are a burst.
const BURST: usize = 10;

/// So many of the names that were claimed are recorded.
const MAX_NAMES: usize = 5;

/// So much of each.
const MAX_NAME: usize = 255;
