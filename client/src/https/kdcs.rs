//! Which KDC to ask.

use rand_core::Rng;
use tokio::time::{Duration, Instant};

use super::ConnectError;

/// The KDCs of a key file: stays with the one that answers, and leaves those that do not alone for a while.
#[derive(Clone)]
pub(super) struct Kdcs {
    kdcs: Vec<Kdc>,
    /// Where the last answer came from.
    good: usize,
}

#[derive(Clone)]
struct Kdc {
    base: String,
    failures: u32,
    not_before: Instant,
}

impl Kdcs {
    pub(super) fn new(urls: &[String]) -> Result<Self, ConnectError> {
        let now = Instant::now();
        let kdcs: Vec<_> = urls.iter().map(|url| Kdc::new(url, now)).collect::<Result<_, _>>()?;
        if kdcs.is_empty() { Err(ConnectError::NoUrls) } else { Ok(Self { kdcs, good: 0 }) }
    }

    /// Whom to ask, in this order: the good one first, then the others that did not fail just now. If all did, all
    /// of them: how often that happens is not decided here.
    pub(super) fn order(&self, now: Instant) -> Vec<usize> {
        let from_good = (0..self.kdcs.len()).map(|step| (self.good + step) % self.kdcs.len());
        let ready = |at: &usize| self.kdcs.get(*at).is_some_and(|kdc| kdc.not_before <= now);
        let order: Vec<_> = from_good.clone().filter(ready).collect();
        if order.is_empty() { from_good.collect() } else { order }
    }

    pub(super) fn url(&self, at: usize, path: &str) -> String {
        format!("{}{path}", self.kdcs.get(at).map_or("", |kdc| &kdc.base))
    }

    pub(super) fn answered(&mut self, at: usize) {
        self.good = at;
        if let Some(kdc) = self.kdcs.get_mut(at) {
            kdc.failures = 0;
        }
    }

    pub(super) fn failed(&mut self, at: usize, now: Instant, rng: &mut impl Rng) {
        if let Some(kdc) = self.kdcs.get_mut(at) {
            let bound = (BASE_MS << kdc.failures.min(10)).min(MAX_MS);
            kdc.failures += 1;
            kdc.not_before = now + Duration::from_millis(bound / 2 + rng.next_u64() % bound);
        }
    }
}

impl Kdc {
    fn new(url: &str, now: Instant) -> Result<Self, ConnectError> {
        let base = url.trim_end_matches('/');
        match base.strip_prefix("https://") {
            Some(host) if !host.is_empty() && reqwest::Url::parse(base).is_ok() => {
                Ok(Self { base: base.to_owned(), failures: 0, not_before: now })
            }
            _ => Err(ConnectError::Url { url: url.to_owned() }),
        }
    }
}

const BASE_MS: u64 = 1_000;
const MAX_MS: u64 = 60_000;
