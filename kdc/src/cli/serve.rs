//! `keycell serve`

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};

use super::Outcome;
use crate::cell::Cell;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::{serve, telemetry, tls};

pub(super) async fn run(config: &Config) -> Outcome {
    telemetry::start(&config.log)?;
    no_core_dumps();
    let tls = tls::server(&config.tls)?;
    let kdc = Cell::open(config).await?.into_kdc(config.clone(), Arc::new(SystemClock)).await?;
    let kdc = Arc::new(kdc);
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

    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let stop = async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    };
    serve::serve(kdc, listener, tls, stop).await;
    tracing::info!("stopped");
    Ok(())
}

/// A core dump would hold every key of the zone.
fn no_core_dumps() {
    let none = rustix::process::Rlimit { current: Some(0), maximum: Some(0) };
    if let Err(error) = rustix::process::setrlimit(rustix::process::Resource::Core, none) {
        tracing::warn!(%error, "core dumps cannot be turned off");
    }
}
