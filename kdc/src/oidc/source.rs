//! An issuer's keys: where they come from, and how long they are kept.
//!
//! Nothing is fetched before somebody needs a key. One fetch is under way at a time, and one is begun in ten seconds at
//! most, whatever tokens come; it goes on when the request that began it ends.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use keycell_protocol::UnixMillis;
use reqwest::Url;
use serde::Deserialize;
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;

use super::config::Algorithm;
use super::error::{FetchError, OidcError};
use super::fetch::Fetch;
use super::keys::{Key, KeySet};
use crate::http::chain;

/// The keys of one issuer.
pub(super) struct Source {
    issuer: String,
    discovery: Url,
    fetch: Box<dyn Fetch>,
    /// How long a fetch may take.
    patience: Duration,
    state: Mutex<State>,
    /// How many fetches have ended.
    ended: watch::Sender<u64>,
    /// One for each request that may wait for a fetch: strangers must not fill the KDC with waiting.
    places: Semaphore,
}

#[derive(Default)]
struct State {
    held: Option<Held>,
    asked_at: Option<UnixMillis>,
    asking: bool,
    /// Whether the last fetch failed: then it is already in the log.
    away: bool,
}

struct Held {
    keys: KeySet,
    fetched_at: UnixMillis,
    fresh_ms: u64,
}

/// What is known of a key.
enum Found {
    /// It is there; `fresh` is whether the set may be as old as it is.
    Key { key: Arc<Key>, fresh: bool },
    /// The set does not have it.
    NotInSet,
    /// There is no set, or none that still counts.
    NoSet,
}

impl Source {
    pub(super) fn new(issuer: &str, discovery: Url, fetch: Box<dyn Fetch>, patience: Duration) -> Self {
        Self {
            issuer: issuer.to_owned(),
            discovery,
            fetch,
            patience,
            state: Mutex::default(),
            ended: watch::Sender::new(0),
            places: Semaphore::new(WAITING),
        }
    }

    /// The key of this name for this algorithm. A set that is due for another look still counts while that happens;
    /// a key that is not in it is looked for at once.
    pub(super) async fn key(
        self: &Arc<Self>,
        kid: &str,
        algorithm: Algorithm,
        now: UnixMillis,
    ) -> Result<Arc<Key>, OidcError> {
        if let Found::Key { key, fresh } = self.find(kid, algorithm, now) {
            if !fresh {
                self.ask(now);
            }
            return Ok(key);
        }
        self.asked(now).await;
        match self.find(kid, algorithm, now) {
            Found::Key { key, .. } => Ok(key),
            Found::NotInSet => Err(OidcError::UnknownKey),
            Found::NoSet => Err(OidcError::Away),
        }
    }

    fn find(&self, kid: &str, algorithm: Algorithm, now: UnixMillis) -> Found {
        let state = self.state();
        let held = state.held.as_ref().map(|held| (held, now.distance(held.fetched_at)));
        let Some((held, age)) = held.filter(|(_, age)| *age < USABLE_MS) else { return Found::NoSet };
        match held.keys.find(kid, algorithm) {
            Some(key) => Found::Key { key, fresh: age < held.fresh_ms },
            None => Found::NotInSet,
        }
    }

    /// Waits for a fetch, if one is under way or may be begun.
    async fn asked(self: &Arc<Self>, now: UnixMillis) {
        let Ok(_place) = self.places.try_acquire() else { return };
        let mut ended = self.ended.subscribe();
        if self.ask(now) {
            // An error is that the source is gone; it is not.
            let _ = ended.changed().await;
        }
    }

    /// Begins a fetch, unless one is under way or was begun just now. Says whether one is under way.
    fn ask(self: &Arc<Self>, now: UnixMillis) -> bool {
        let mut state = self.state();
        if state.asking {
            return true;
        }
        // The distance, not the difference: a clock that was set back must not stop this.
        if state.asked_at.is_some_and(|at| now.distance(at) < PAUSE_MS) {
            return false;
        }
        state.asked_at = Some(now);
        state.asking = true;
        drop(state);
        let asking = Asking(self.clone());
        // It ends by itself in good time, and with the runtime when the KDC stops.
        tokio::spawn(async move {
            let source = &asking.0;
            let loaded = timeout(source.patience, source.load()).await;
            source.take(loaded.unwrap_or(Err(FetchError::Late)), now);
        });
        true
    }

    async fn load(&self) -> Result<(KeySet, u64), FetchError> {
        let document = self.fetch.get(&self.discovery).await?;
        let found: Discovery = serde_json::from_slice(&document.body).map_err(|_| FetchError::Discovery)?;
        // OpenID Connect Discovery 1.0 §4.3.
        if found.issuer != self.issuer {
            return Err(FetchError::OtherIssuer);
        }
        let url = Url::parse(&found.jwks_uri).ok().filter(|url| url.scheme() == "https");
        let set = self.fetch.get(&url.ok_or(FetchError::KeysUrl)?).await?;
        let keep = set.keep.map_or(FRESH_MS, |keep| u64::try_from(keep.as_millis()).unwrap_or(u64::MAX));
        Ok((KeySet::parse(&set.body)?, keep.clamp(MIN_FRESH_MS, USABLE_MS)))
    }

    /// Takes what was fetched for what is held; a failure leaves what there is.
    fn take(&self, loaded: Result<(KeySet, u64), FetchError>, now: UnixMillis) {
        let mut state = self.state();
        let (issuer, was_away) = (&self.issuer, state.away);
        state.away = loaded.is_err();
        match loaded {
            Ok((keys, fresh_ms)) => {
                let count = keys.len();
                if was_away {
                    tracing::warn!(issuer, "the OIDC issuer answers again");
                }
                if count == 0 {
                    tracing::warn!(issuer, "the OIDC issuer has no key that Keycell can use");
                }
                tracing::debug!(issuer, keys = count, "fetched the OIDC issuer's keys");
                state.held = Some(Held { keys, fetched_at: now, fresh_ms });
            }
            Err(error) if !was_away => {
                let error = chain(&error);
                tracing::warn!(
                    issuer,
                    error,
                    "cannot fetch the OIDC issuer's keys; known ones count for 24 hours"
                );
            }
            Err(_) => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A fetch that is under way. However it ends, those who wait go on.
struct Asking(Arc<Source>);

impl Drop for Asking {
    fn drop(&mut self) {
        self.0.state().asking = false;
        self.0.ended.send_modify(|count| *count += 1);
    }
}

#[derive(Deserialize)]
struct Discovery {
    issuer: String,
    jwks_uri: String,
}

/// For how long keys are taken as they are, if the issuer does not say.
const FRESH_MS: u64 = 3600 * 1000;
const MIN_FRESH_MS: u64 = 5 * 60 * 1000;
/// For how long keys count when the issuer is away.
const USABLE_MS: u64 = 24 * 3600 * 1000;
/// Between two fetches.
const PAUSE_MS: u64 = 10 * 1000;
/// How many requests may wait for one fetch.
const WAITING: usize = 32;
