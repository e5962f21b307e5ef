//! `keycell check-config`

use serde::Serialize;

use super::Outcome;
use super::output::Output;
use super::table::table;
use crate::cell::Cell;
use crate::config::{Config, Effective, Setting};
use crate::oidc::Issuers;
use crate::traces::Traces;
use crate::watermark;
use crate::{telemetry, tls};

#[derive(Debug, Serialize)]
struct Checked {
    zone: keycell_protocol::Zone,
    listen: std::net::SocketAddr,
    urls: Vec<String>,
    settings: Vec<Setting>,
}

pub(super) async fn run(effective: Effective, output: &Output) -> Outcome {
    let Effective { config, settings } = effective;
    telemetry::check(&config.log)?;
    tls::server(&config.tls)?;
    tls::roots(&config.tls)?;
    Issuers::new(&config.oidc)?;
    drop(Traces::start(&config.telemetry)?);
    let cell = Cell::open(&config).await?;
    let remembered = remembers(&config, &cell, output).await;
    cell.store.close().await;
    remembered?;
    let checked = Checked { zone: cell.zone.zone, listen: config.listen, urls: config.urls, settings };
    Ok(output.print(&checked, |out| {
        let rows = checked.settings.iter().map(|setting| {
            let Setting { name, value, from } = setting.clone();
            [name, value, from.to_string()]
        });
        table(out, ["SETTING", "VALUE", "FROM"], rows)?;
        writeln!(out)?;
        writeln!(out, "The configuration is good: zone {}, listening on {}.", checked.zone, checked.listen)
    })?)
}

/// Holds the database against what this KDC remembers of revocations.
async fn remembers(config: &Config, cell: &Cell, output: &Output) -> Outcome {
    let known = cell.remembered(&config.revocations).await?.known();
    let verdict = watermark::check(&*cell.store, &known, &cell.audit_key).await?;
    if verdict.holds() {
        return Ok(());
    }
    if output.json {
        output.print(&serde_json::json!({ "undone": verdict.undone }), |_| Ok(()))?;
    }
    Err(verdict.refusal(&known).into())
}
