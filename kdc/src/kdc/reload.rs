//! Taking the configuration in anew, while everything goes on.

use std::path::PathBuf;
use std::sync::Arc;

use tracing_subscriber::EnvFilter;

use super::Kdc;
use crate::administration::{AdminError, Caller};
use crate::api::Reloaded as View;
use crate::audit::{Action, Actor, Event};
use crate::config::{Config, ConfigError, Environment};
use crate::directory::FollowError;
use crate::http::chain;
use crate::metrics::Reloaded;
use crate::oidc::{Issuers, IssuersError};
use crate::store::Act;
use crate::telemetry::{self, LevelError};
use crate::tls::{self, Pair, TlsError};

/// Where a configuration is read again from.
#[derive(Clone)]
pub struct Origin {
    /// The file.
    pub file: PathBuf,
    /// What goes before it.
    pub environment: Environment,
}

impl Kdc {
    /// Says where to read the configuration again from. The first time counts.
    pub fn reads_again(&self, origin: Origin) {
        let _ = self.origin.set(origin);
    }

    /// Reads the configuration again, and goes over to it: all of it that can change in a process that runs, or, where
    /// there is any mistake in it, nothing.
    ///
    /// An administrator's reload is in the audit log before it takes effect, or does not happen. One that the process is
    /// told to make by a signal happens all the same: a certificate must get in also when the database is away.
    ///
    /// # Errors
    /// [`ReloadError`]: then everything is as it was.
    pub async fn reload(&self, caller: Option<&Caller>) -> Result<View, ReloadError> {
        let _one_at_a_time = self.reloading.lock().await;
        let outcome = self.reload_once(caller).await;
        let running = &self.metrics.running;
        match &outcome {
            Ok(View { changed, needs_restart, certificate_changed, .. }) => {
                running.reloads.get_or_create(&Reloaded::DONE).inc();
                running.last_reload.set(self.now().seconds().0.cast_signed());
                tracing::info!(
                    ?changed,
                    ?needs_restart,
                    certificate_changed,
                    "the configuration is read again"
                );
                if !needs_restart.is_empty() {
                    tracing::warn!(?needs_restart, "some settings change only when the KDC is started again");
                }
            }
            Err(error) => {
                running.reloads.get_or_create(&Reloaded::REFUSED).inc();
                tracing::error!(
                    error = chain(error),
                    "the configuration is not taken: everything stays as it was"
                );
            }
        }
        outcome
    }

    async fn reload_once(&self, caller: Option<&Caller>) -> Result<View, ReloadError> {
        let origin = self.origin.get().cloned().ok_or(ReloadError::NoFile)?;
        let issuers = self.access.issuers();
        let read = tokio::task::spawn_blocking(move || Fresh::read(&origin, &issuers));
        let Fresh { mut config, level, pair, issuers } = read.await.map_err(|_| ReloadError::Ended)??;

        let running = self.config();
        let wanted = running.differences(&config);
        config.keep(&running);
        let changed = running.differences(&config);
        let needs_restart: Vec<_> = wanted.into_iter().filter(|name| !changed.contains(name)).collect();

        let now = self.now();
        let event = match caller {
            Some(caller) => caller.event(now, Action::ConfigReload, ""),
            None => Event::new(now, Actor::Kdc, Action::ConfigReload, ""),
        };
        let event = event.with("changed", changed.clone()).with("needs_restart", needs_restart.clone());
        let act = Act { writes: Vec::new(), events: vec![event] };
        if let Err(error) = self.ledger.commit(&act).await {
            if caller.is_some() {
                return Err(error.into());
            }
            tracing::error!(error = chain(&error), "the reload is not recorded in the audit log");
        }

        self.follower.set_tickets(config.tickets.clone()).await?;
        telemetry::set_level(level);
        self.access.set_issuers(issuers);
        let certificate_changed = self.certificate.take(pair);
        self.config.store(Arc::new(config));
        self.settled();
        let certificate_expires_at = self.certificate.ends_at();
        Ok(View { changed, needs_restart, certificate_changed, certificate_expires_at })
    }
}

/// A configuration, and everything that it names, read and found good.
struct Fresh {
    config: Config,
    level: EnvFilter,
    pair: Pair,
    issuers: Issuers,
}

impl Fresh {
    fn read(origin: &Origin, issuers: &Issuers) -> Result<Self, ReloadError> {
        let config = Config::load(&origin.file, Some(&origin.environment))?;
        let level = telemetry::check(&config.log)?;
        let pair = Pair::read(&config.tls)?;
        tls::roots(&config.tls)?;
        let issuers = issuers.again(&config.oidc)?;
        Ok(Self { config, level, pair, issuers })
    }
}

/// Why a configuration was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum ReloadError {
    /// It was put together by a program.
    #[error("this KDC was not started from a configuration that it could read again")]
    NoFile,
    /// The configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The level of the log.
    #[error(transparent)]
    Level(#[from] LevelError),
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The external issuers.
    #[error(transparent)]
    Issuers(#[from] IssuersError),
    /// The policy, under another lifetime of tickets.
    #[error(transparent)]
    Follow(#[from] FollowError),
    /// It could not be recorded.
    #[error(transparent)]
    Record(#[from] AdminError),
    /// The process is ending.
    #[error("the KDC is stopping")]
    Ended,
}

impl From<ReloadError> for AdminError {
    fn from(error: ReloadError) -> Self {
        match error {
            ReloadError::Record(error) => error,
            error => Self::Refused(format!("nothing was changed: {}", chain(&error))),
        }
    }
}
