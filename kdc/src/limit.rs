//! Who may ask how often: per address before anything is verified, per party after.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::{IpAddr, Ipv6Addr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError, RwLock};
use std::time::Duration;

use governor::clock::{Clock as _, DefaultClock, QuantaInstant, Reference as _};
use governor::nanos::Nanos;
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use keycell_protocol::Name;
use serde::{Deserialize, Serialize};

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

/// The three limits of the KDC.
pub struct Limits {
    addresses: Keyed<Network>,
    failures: Keyed<Network>,
    parties: Keyed<Name>,
    blocked: Blocked,
}

impl Limits {
    /// Limits with nothing counted yet. Each remembers about `capacity` keys.
    #[must_use]
    pub fn new(address: Rate, failure: Rate, party: Rate, capacity: usize) -> Self {
        Self {
            addresses: Keyed::new(address, capacity),
            failures: Keyed::new(failure, capacity),
            parties: Keyed::new(party, capacity),
            blocked: Blocked::default(),
        }
    }

    /// One request from `address`.
    ///
    /// # Errors
    /// [`TooOften`] when the address is over its rate, or has failed to authenticate too often.
    pub fn request(&self, address: IpAddr) -> Result<(), TooOften> {
        let network = Network::of(address);
        self.blocked.check(network)?;
        self.addresses.take(&network, NonZeroU32::MIN)
    }

    /// One failed authentication from `address`. Past the rate of failures, its next requests are refused unread.
    pub fn failure(&self, address: IpAddr) {
        let network = Network::of(address);
        if let Err(TooOften { retry_after }) = self.failures.take(&network, NonZeroU32::MIN) {
            self.blocked.block(network, retry_after);
        }
    }

    /// A request of `party` for `tickets` tickets, which costs as many.
    ///
    /// # Errors
    /// [`TooOften`] when the party is over its rate.
    pub fn tickets(&self, party: &Name, tickets: usize) -> Result<(), TooOften> {
        let cost = u32::try_from(tickets).unwrap_or(u32::MAX);
        self.parties.take(party, NonZeroU32::new(cost).unwrap_or(NonZeroU32::MIN))
    }

    /// Forgets who has not asked for so long that it makes no difference.
    pub fn prune(&self) {
        self.addresses.prune();
        self.failures.prune();
        self.parties.prune();
        self.blocked.prune();
    }

    /// How many keys are remembered.
    #[must_use]
    pub fn len(&self) -> usize {
        self.addresses.len() + self.failures.len() + self.parties.len()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
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
struct Network(IpAddr);

impl Network {
    fn of(address: IpAddr) -> Self {
        match address.to_canonical() {
            IpAddr::V4(address) => Self(address.into()),
            IpAddr::V6(address) => {
                let [a, b, c, d, ..] = address.segments();
                Self(Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into())
            }
        }
    }
}

/// A limiter per key, with bounded memory.
struct Keyed<K: Hash + Eq + Clone> {
    limiter: RwLock<DefaultKeyedRateLimiter<K>>,
    clock: DefaultClock,
    rate: Rate,
    capacity: usize,
}

impl<K: Hash + Eq + Clone> Keyed<K> {
    fn new(rate: Rate, capacity: usize) -> Self {
        let limiter = RwLock::new(RateLimiter::keyed(rate.quota()));
        Self { limiter, clock: DefaultClock::default(), rate, capacity }
    }

    /// A cost above the burst counts as the burst; otherwise it could never be paid.
    fn take(&self, key: &K, cost: NonZeroU32) -> Result<(), TooOften> {
        let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
        match limiter.check_key_n(key, cost.min(self.rate.burst)) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(until)) => Err(TooOften { retry_after: until.wait_time_from(self.clock.now()) }),
            Err(_) => Err(TooOften { retry_after: Duration::from_secs(1) }),
        }
    }

    fn len(&self) -> usize {
        self.limiter.read().unwrap_or_else(PoisonError::into_inner).len()
    }

    fn prune(&self) {
        let crowded = {
            let limiter = self.limiter.read().unwrap_or_else(PoisonError::into_inner);
            limiter.retain_recent();
            limiter.shrink_to_fit();
            limiter.len() > self.capacity
        };
        if crowded {
            // More keys than there is room for: starting afresh makes the limit milder for a moment, no more.
            *self.limiter.write().unwrap_or_else(PoisonError::into_inner) =
                RateLimiter::keyed(self.rate.quota());
        }
    }
}

/// The networks that have failed too often, and until when each is refused.
#[derive(Default)]
struct Blocked {
    clock: DefaultClock,
    any: AtomicBool,
    until: Mutex<HashMap<Network, QuantaInstant>>,
}

impl Blocked {
    fn check(&self, network: Network) -> Result<(), TooOften> {
        if !self.any.load(Ordering::Relaxed) {
            return Ok(());
        }
        let now = self.clock.now();
        let until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        match until.get(&network) {
            Some(until) if *until > now => Err(TooOften { retry_after: until.duration_since(now).into() }),
            _ => Ok(()),
        }
    }

    fn block(&self, network: Network, wait: Duration) {
        let end = self.clock.now() + Nanos::from(wait);
        self.until.lock().unwrap_or_else(PoisonError::into_inner).insert(network, end);
        self.any.store(true, Ordering::Relaxed);
    }

    fn prune(&self) {
        let now = self.clock.now();
        let mut until = self.until.lock().unwrap_or_else(PoisonError::into_inner);
        until.retain(|_, until| *until > now);
        self.any.store(!until.is_empty(), Ordering::Relaxed);
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

    fn limits() -> Limits {
        // Rates so low that nothing comes back while the test runs.
        Limits::new(Rate::new(1, 50), Rate::new(1, 3), Rate::new(1, 1000), 100)
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
    fn an_address_runs_out_and_others_do_not() {
        let limits = limits();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        let allowed = (0..100).take_while(|_| limits.request(one).is_ok()).count();
        assert!((50..60).contains(&allowed), "{allowed}");
        limits.request(other).unwrap();
    }

    #[test]
    fn failures_shut_an_address_out_sooner() {
        let limits = limits();
        let (one, other) = ("192.0.2.1".parse().unwrap(), "192.0.2.2".parse().unwrap());
        for _ in 0..3 {
            limits.failure(one);
            limits.request(one).unwrap();
        }
        limits.failure(one);
        assert!(limits.request(one).is_err());
        limits.request(other).unwrap();
    }

    #[test]
    fn one_ipv6_host_is_its_whole_network() {
        let network = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
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
