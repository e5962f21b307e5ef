//! `keycell serve`

use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::OpenOptionsExt as _;
use std::sync::Arc;

use clap::Args;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::{Global, Outcome};
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::config::{Config, Environment};
use crate::kdc::Origin;
use crate::traces::Traces;
use crate::watermark::Kept;
use crate::{process, serve, systemd, telemetry};

#[derive(Debug, Args)]
pub(super) struct Serve {
    /// Start with a database that is older than what this KDC remembers of revocations. `keep` takes again from everybody what
    /// was taken from them; `forget` does not. Either is recorded in the audit log
    #[arg(long, value_name = "HOW", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "keep")]
    accept_rollback: Option<Kept>,
}

impl Serve {
    pub(super) async fn run(self, global: &Global) -> Outcome {
        run(global, self.accept_rollback).await
    }
}

async fn run(global: &Global, accept_rollback: Option<Kept>) -> Outcome {
    let config = global.config()?;
    telemetry::start(&config.log)?;
    process::no_core_dumps();
    // From here on, so that one that comes too early does not end the process.
    let mut hangup = signal(SignalKind::hangup())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let _only = only_one(&config)?;
    let cell = Cell::open(&config).await?;
    let watermark = cell.watermark(&config, accept_rollback, SystemClock.now()).await?;
    let kdc = Arc::new(cell.into_kdc(config.clone(), Arc::new(SystemClock)).await?);
    kdc.reads_again(Origin {
        file: global.config_path().to_owned(),
        environment: Environment::of_process()?,
    });
    if let Some(trouble) = watermark.trouble() {
        tracing::warn!("{trouble}");
    }
    kdc.follower().remember(watermark).await?;
    kdc.note_backup().await?;
    if let Some(on_disk) = kdc.identities().look().await? {
        tracing::warn!("{on_disk}");
    }
    if let Some(traces) = Traces::start(&config.telemetry)? {
        kdc.trace_to(traces);
    }
    let tls = kdc.certificate().server()?;
    let listener = TcpListener::bind(config.listen)
        .await
        .map_err(|error| format!("cannot listen on {}: {error}", config.listen))?;
    kdc.measure();
    tracing::info!(
        zone = %kdc.zone(),
        listen = %listener.local_addr()?,
        parties = kdc.directory().len(),
        "the KDC is up"
    );

    let status = format!("serving {}", kdc.zone());
    let stop = CancellationToken::new();
    let asked = stop.clone();
    let served = kdc.clone();
    let serving = tokio::spawn(async move { serve::serve(served, listener, tls, asked.cancelled()).await });
    systemd::ready(&status);
    tokio::pin!(serving);
    loop {
        tokio::select! {
            ended = &mut serving => {
                ended?;
                break;
            }
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
            _ = hangup.recv() => {
                let (kdc, status) = (kdc.clone(), status.clone());
                tokio::spawn(async move {
                    systemd::reloading();
                    // It has said in the log what came of it.
                    let _ = kdc.reload(None).await;
                    systemd::ready(&status);
                });
                continue;
            }
        }
        if stop.is_cancelled() {
            return Err("stopped at once, at the second signal; requests may have gone unanswered".into());
        }
        systemd::stopping();
        stop.cancel();
    }
    tracing::info!("stopped");
    Ok(())
}

/// A SQLite file is for one KDC: two would each have nonces and limits of their own.
fn only_one(config: &Config) -> Outcome<Option<File>> {
    let Some(path) = config.database.strip_prefix("sqlite:") else { return Ok(None) };
    let path = format!("{path}.lock");
    let lock = OpenOptions::new().create(true).write(true).truncate(false).mode(0o600).open(&path);
    let lock = lock.map_err(|error| format!("cannot open {path}: {error}"))?;
    match lock.try_lock() {
        Ok(()) => Ok(Some(lock)),
        Err(TryLockError::WouldBlock) => Err(format!(
            "another KDC serves this database ({path} is locked); several KDCs of a zone need PostgreSQL"
        )
        .into()),
        Err(TryLockError::Error(error)) => Err(format!("cannot lock {path}: {error}").into()),
    }
}
