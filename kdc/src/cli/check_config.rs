//! `keycell check-config`

use serde::Serialize;

use super::Outcome;
use super::output::Output;
use crate::cell::Cell;
use crate::config::Config;
use crate::oidc::Issuers;
use crate::{telemetry, tls};

#[derive(Debug, Serialize)]
struct Checked {
    zone: keycell_protocol::Zone,
    listen: std::net::SocketAddr,
    urls: Vec<String>,
}

pub(super) async fn run(config: &Config, output: &Output) -> Outcome {
    telemetry::check(&config.log)?;
    tls::server(&config.tls)?;
    tls::roots(&config.tls)?;
    Issuers::new(&config.oidc)?;
    let cell = Cell::open(config).await?;
    cell.store.close().await;
    let checked = Checked { zone: cell.zone.zone, listen: config.listen, urls: config.urls.clone() };
    Ok(output.print(&checked, |out| {
        writeln!(out, "The configuration is good: zone {}, listening on {}.", checked.zone, checked.listen)
    })?)
}
