//! Who may ask how often: per address before anything is verified, per party after.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::Clock as _;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keycell_protocol::Name;
use serde::{Deserialize, Serialize};

use crate::settings::Rates;

/// Sustained rate and burst of one kind of limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// How many a second, in the long run.
    pub per_second: NonZeroU32,
    /// How many at once, after a pause.
    pub burst: NonZeroU32,
}

impl Rate {
    /// A rate; zeros become ones.
    #[must_use]
    pub const fn new(per_second: u32, burst: u32) -> Self {
        Self { per_second: at_least_one(per_second), burst: at_least_one(burst) }
    }

    const fn quota(self) -> Quota {
        Quota::per_second(self.per_second).allow_burst(self.burst)
    }
}

/// The limits of the KDC.
pub struct Limits {
    addresses: Keyed<Network>,
    failures: Keyed<Network>,
    enrollments: Keyed<Network>,
    parties: Keyed<Name>,
    zones: ZoneRates,
}

impl Limits {
    /// Limits with nothing counted yet. Each remembers about `capacity` keys.
    #[must_use]
    pub fn new(rates: &Rates, capacity: usize) -> Self {
        Self {
            addresses: Keyed::new(rates.per_address, capacity),
            failures: Keyed::new(rates.failures_per_address, capacity),
            enrollments: Keyed::new(rates.enrollments_per_address, capacity),
            parties: Keyed::new(rates.tickets_per_party, capacity),
            zones: ZoneRates::default(),
        }
    }

    /// One request from `address`.
    ///
    /// # Errors
    /// [`TooOften`] when the address is over its rate.
    pub fn request(&self, address: IpAddr) -> Result<(), TooOften> {
        self.addresses.take(&Network::of(address), NonZeroU32::MIN)
    }

    /// One failed authentication from `address`. A failure costs no more than the check of a signature, so who shares
    /// the address and authenticates is not made to pay for it.
    ///
    /// # Errors
    /// [`TooOften`] when the address is over its rate of failures: then that is the answer, not what failed.
    pub fn failure(&self, address: IpAddr) -> Result<(), TooOften> {
        self.failures.take(&Network::of(address), NonZeroU32::MIN)
    }

    /// One request to enroll from `address`. Opening one costs as much as a hundred tickets, so it has a rate of its own.
    ///
    /// # Errors
    /// [`TooOften`] when the address is over its rate.
    pub fn enrollment(&self, address: IpAddr) -> Result<(), TooOften> {
        self.enrollments.take(&Network::of(address), NonZeroU32::MIN)
    }

    /// A request of `party` for `tickets` tickets, which costs as many.
    ///
    /// # Errors
    /// [`TooOften`] when the party is over its rate.
    pub fn tickets(&self, party: &Name, tickets: usize) -> Result<(), TooOften> {
        let cost = u32::try_from(tickets).unwrap_or(u32::MAX);
        self.parties.take(party, NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN))
    }

    /// A request of another zone for `tickets` tickets, which costs as many, at the `rate` of its trust. Where that changed,
    /// what was counted so far is forgotten.
    ///
    /// # Errors
    /// [`TooOften`] when the zone is over its rate.
    pub fn zone(&self, zone: &Name, rate: Rate, tickets: usize) -> Result<(), TooOften> {
        self.zones.take(zone, rate, tickets)
    }

    /// Goes over to other rates. Where a rate changes, what was counted so far is forgotten.
    pub fn set(&self, rates: &Rates) {
        self.addresses.set(rates.per_address);
        self.failures.set(rates.failures_per_address);
        self.enrollments.set(rates.enrollments_per_address);
        self.parties.set(rates.tickets_per_party);
    }

    /// Forgets who has not asked for so long that it makes no difference.
    pub fn prune(&self) {
        self.addresses.prune();
        self.failures.prune();
        self.enrollments.prune();
        self.parties.prune();
        self.zones.prune();
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len()
            + self.failures.len()
            + self.enrollments.len()
            + self.parties.len()
            + self.zones.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// What zones may get of each other, each at the rate of its trust; no more of them than there are trusts.
#[derive(Default)]
pub(crate) struct ZoneRates(Mutex<HashMap<Name, Limiter<Name>>>);

impl ZoneRates {
    /// A request for `tickets` tickets, which costs as many, by the trust that a zone's principal stands for. Where its rate
    /// changed, what was counted so far is forgotten.
    pub(crate) fn take(&self, zone: &Name, rate: Rate, tickets: usize) -> Result<(), TooOften> {
        let cost = u32::try_from(tickets).unwrap_or(u32::MAX);
        let mut zones = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let limiter = zones.entry(zone.clone()).or_insert_with(|| Limiter::new(rate));
        if limiter.rate != rate {
            *limiter = Limiter::new(rate);
        }
        limiter.take(zone, NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN))
    }

    /// Forgets who has not asked for so long that it makes no difference.
    pub(crate) fn prune(&self) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|_, limiter| {
            limiter.counts.retain_recent();
            !limiter.counts.is_empty()
        });
    }

    fn len(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

/// Over the limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TooOften {
    /// When to try again.
    pub retry_after: Duration,
}

/// What counts as one address: an IPv4 address, or the /64 network that one IPv6 host has to itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Network(IpAddr);

impl Network {
    pub(crate) fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }

    /// The address, or the first of the network.
    pub(crate) const fn address(self) -> IpAddr {
        self.0
    }
}

/// A limiter per key, with bounded memory.
struct Keyed<K: Hash + Eq + Clone> {
    limiter: RwLock<Limiter<K>>,
    capacity: usize,
}

struct Limiter<K: Hash + Eq + Clone> {
    counts: DefaultKeyedRateLimiter<K>,
    rate: Rate,
}

impl<K: Hash + Eq + Clone> Limiter<K> {
    fn new(rate: Rate) -> Self {
        Self { counts: RateLimiter::keyed(rate.quota()), rate }
    }

    /// A cost above the burst counts as the burst; otherwise it could never be paid.
    fn take(&self, key: &K, cost: NonZeroU32) -> Result<(), TooOften> {
        match self.counts.check_key_n(key, cost.min(self.rate.burst)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(TooOften { retry_after: until.wait_time_from(self.counts.clock().now()) }),
            Err(_) => Err(TooOften { retry_after: Duration::from_secs(1) }),
        }
    }
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate, capacity: usize) -> Self {
        Self { limiter: RwLock::new(Limiter::new(rate)), capacity }
    }

    fn take(&self, key: &K, cost: NonZeroU32) -> Result<(), TooOften> {
        self.limiter.read().unwrap_or_else(PoisonError::into_inner).take(key, cost)
    }

    fn set(&self, rate: Rate) {
        let same = self.limiter.read().unwrap_or_else(PoisonError::into_inner).rate == rate;
        if !same {
            *self.limiter.write().unwrap_or_else(PoisonError::into_inner) = Limiter::new(rate);
        }
    }

    fn len(&self) -> usize {
        self.limiter.read().unwrap_or_else(PoisonError::into_inner).counts.len()
    }

    fn prune(&self) {
        let (crowded, rate) = {
            let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
            limiter.counts.retain_recent();
            limiter.counts.shrink_to_fit();
            (limiter.counts.len() > self.capacity, limiter.rate)
        };
        if crowded {
            // More keys than there is room for: starting afresh makes the limit milder for a moment, no more.
            *self.limiter.write().unwrap_or_else(PoisonError::into_inner) = Limiter::new(rate);
        }
    }
}

const fn at_least_one(n: u32) -> NonZeroU32 {
    match NonZeroU32::new(n) {
        Some(n) => n,
        None => NonZeroU32::MIN,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rates so low that nothing comes back while the test runs.
    const RATES: Rates = Rates {
        per_address: Rate::new(1, 50),
        failures_per_address: Rate::new(1, 3),
        enrollments_per_address: Rate::new(1, 7),
        tickets_per_party: Rate::new(1, 1000),
    };

    fn limits() -> Limits {
        Limits::new(&RATES, 100)
    }

    #[test]
    fn a_party_pays_for_every_ticket() {
        let limits = limits();
        let (a, b): (Name, Name) = ("a@z".parse().unwrap(), "b@z".parse().unwrap());
        limits.tickets(&a, 990).unwrap();
        assert!(limits.tickets(&a, 900).unwrap_err().retry_after > Duration::from_secs(100));
        limits.tickets(&b, 1000).unwrap();
    }

    #[test]
    fn a_zone_pays_at_the_rate_of_its_trust() {
        let limits = limits();
        let (a, b): (Name, Name) = ("#ZONE#a@z".parse().unwrap(), "#ZONE#b@z".parse().unwrap());
        let rate = Rate::new(1, 100);
        limits.zone(&a, rate, 0).unwrap();
        limits.zone(&a, rate, 90).unwrap();
        assert!(limits.zone(&a, rate, 50).unwrap_err().retry_after > Duration::from_secs(30));
        limits.zone(&b, rate, 100).unwrap();
        // What else changes leaves it, and what is forgotten for its age comes back full.
        limits.set(&Rates { tickets_per_party: Rate::new(7, 7), ..RATES });
        limits.prune();
        assert!(limits.zone(&a, rate, 50).is_err());
        limits.zone(&a, Rate::new(1, 101), 101).unwrap();
        assert_eq!(limits.len(), 2);
    }

    #[test]
    fn an_address_runs_out_and_others_do_not() {
        let limits = limits();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let allowed = (0..100).take_while(|_| limits.request(one).is_ok()).count();
        assert!((50..60).contains(&allowed), "{allowed}");
        limits.request(other).unwrap();
    }

    #[test]
    fn failures_have_a_stricter_rate_of_their_own() {
        let limits = limits();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!((0..10).take_while(|_| limits.failure(one).is_ok()).count(), 3);
        limits.failure(other).unwrap();
        // Others behind that address go on.
        limits.request(one).unwrap();
    }

    #[test]
    fn enrollments_have_a_rate_of_their_own_too() {
        let limits = limits();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        assert_eq!((0..10).take_while(|_| limits.enrollment(one).is_ok()).count(), 7);
        limits.enrollment(other).unwrap();
        limits.request(one).unwrap();
        limits.failure(one).unwrap();
    }

    #[test]
    fn one_ipv6_host_is_its_whole_network() {
        let network = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
    }

    #[test]
    fn another_rate_holds_at_once() {
        let limits = limits();
        let one: IpAddr = "192.0.2.1".parse().unwrap();
        while limits.request(one).is_ok() {}
        limits.set(&RATES);
        assert!(limits.request(one).is_err(), "the same rate changes nothing");
        limits.set(&Rates { per_address: Rate::new(1, 2), ..RATES });
        assert_eq!((0..10).take_while(|_| limits.request(one).is_ok()).count(), 2);
    }

    #[test]
    fn memory_is_bounded() {
        let limits = limits();
        for n in 0..1000_u32 {
            limits.request(Ipv6Addr::new(0x2001, 0xdb8, 0, n as u16, 0, 0, 0, 1).into()).unwrap();
        }
        assert_eq!(limits.len(), 1000);
        limits.prune();
        assert_eq!(limits.len(), 0);
    }
}
