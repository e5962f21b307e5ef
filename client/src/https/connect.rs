//! Starting an agent: with which keys, and over what.

use std::path::Path;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};

use keycell_protocol::Bundle;
use tokio::sync::{Notify, watch};

use super::keeper::{self, Files};
use super::shared::{Shared, Tasks};
use super::{Agent, Config, ConnectError, Https, Transport, abroad, driver, kdcs};
use crate::{AgentKey, Clock, HostStoreError, KeyStore, StoredHost, SystemClock, system_rng};

impl Agent {
    /// Starts an agent for the party of a key file, and keeps the file up. Nothing is sent before the first ticket is
    /// needed.
    ///
    /// # Errors
    /// [`ConnectError`] when another process uses the file or it cannot be read, when it names no KDC or no certificate
    /// to trust, and outside a tokio runtime.
    pub fn connect_file(path: impl AsRef<Path>, config: Config) -> Result<Self, ConnectError> {
        let (keys, key) = KeyStore::open(path)?;
        let transport = Https::new(&key.kdc.tls_roots, config.attempt_timeout)?;
        let files = Files { keys, host: None };
        Self::start((key, None), Some(files), config, Arc::new(transport), Arc::new(SystemClock))
    }

    /// Starts an agent for a host that is [enrolled](super::enroll), and keeps its key file and its bundle up. When no KDC of its
    /// zone knows its keys any more it enrolls again by itself ([`reenrolling`](crate::Agent::reenrolling)).
    ///
    /// # Errors
    /// [`ConnectError`], also when the host is not enrolled.
    pub fn connect_host(host: StoredHost, config: Config) -> Result<Self, ConnectError> {
        let (loaded, files) = load(host)?;
        let transport = Https::new(&loaded.0.kdc.tls_roots, config.attempt_timeout)?;
        Self::start(loaded, Some(files), config, Arc::new(transport), Arc::new(SystemClock))
    }

    /// As [`connect_host`](Self::connect_host), over another transport and by another clock.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn with_host(
        host: StoredHost,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let (loaded, files) = load(host)?;
        Self::start(loaded, Some(files), config, transport, clock)
    }

    /// As [`connect_file`](Self::connect_file), over another transport and by another clock.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn with_file(
        path: impl AsRef<Path>,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let (keys, key) = KeyStore::open(path)?;
        Self::start((key, None), Some(Files { keys, host: None }), config, transport, clock)
    }

    /// Starts an agent with a key that stays what it is. Nothing is sent before the first ticket is needed.
    ///
    /// # Errors
    /// [`ConnectError`] when the key file names no KDC or no certificate to trust, and outside a tokio runtime.
    pub fn connect(key: AgentKey, config: Config) -> Result<Self, ConnectError> {
        let transport = Https::new(&key.kdc.tls_roots, config.attempt_timeout)?;
        Self::with(key, config, Arc::new(transport), Arc::new(SystemClock))
    }

    /// As [`connect`](Self::connect), over another transport and by another clock.
    ///
    /// # Errors
    /// [`ConnectError`].
    pub fn with(
        key: AgentKey,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        Self::start((key, None), None, config, transport, clock)
    }

    fn start(
        (key, bundle): (AgentKey, Option<Bundle>),
        files: Option<Files>,
        config: Config,
        transport: Arc<dyn Transport>,
        clock: Arc<dyn Clock>,
    ) -> Result<Self, ConnectError> {
        let runtime = tokio::runtime::Handle::try_current().map_err(|_| ConnectError::NoRuntime)?;
        let kdcs = kdcs::Kdcs::new(&key.kdc.urls)?;
        let keepers = kdcs::Kdcs::new(&key.kdc.urls)?;
        let (now, rng) = (clock.now(), system_rng());
        let agent = match (&files, bundle) {
            (Some(_), Some(bundle)) => {
                crate::Agent::keeping(key, &config.agent, now, rng).reenrolling(bundle)
            }
            (Some(_), None) => crate::Agent::keeping(key, &config.agent, now, rng),
            (None, _) => crate::Agent::new(key, &config.agent, now, rng),
        };
        let shared = Arc::new(Shared {
            name: agent.name().clone(),
            agent: Mutex::new(agent),
            clock,
            config,
            wake: Notify::new(),
            wake_abroad: Notify::new(),
            keep: Notify::new(),
            told: AtomicU64::new(0),
            changed: watch::Sender::new(()),
            last_failures: Mutex::default(),
            group_failures: Mutex::default(),
            key_failure: Mutex::new(None),
        });
        let away = abroad::run(Arc::clone(&shared), kdcs.clone(), Arc::clone(&transport));
        let home = driver::run(Arc::clone(&shared), kdcs, Arc::clone(&transport));
        let drivers = [runtime.spawn(home).abort_handle(), runtime.spawn(away).abort_handle()];
        let keeper = files.map(|files| {
            let files = Arc::new(Mutex::new(Some(files)));
            let task = keeper::run(Arc::clone(&shared), keepers, transport, Arc::clone(&files));
            (runtime.spawn(task).abort_handle(), files)
        });
        Ok(Self { shared, _tasks: Arc::new(Tasks { drivers, keeper }) })
    }
}

/// What a host is enrolled with, and what of that is kept up.
fn load(host: StoredHost) -> Result<((AgentKey, Option<Bundle>), Files), ConnectError> {
    if !host.is_enrolled()? {
        return Err(HostStoreError::NotEnrolled { path: host.key_path().to_owned() }.into());
    }
    let bundle = host.bundle()?;
    let (keys, key) = KeyStore::open(host.key_path())?;
    Ok(((key, Some(bundle)), Files { keys, host: Some(host) }))
}
