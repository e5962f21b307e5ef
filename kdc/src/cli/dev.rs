//! `keycell dev`

use std::path::PathBuf;

use clap::Args;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::Outcome;
use super::output::Output;
use crate::cell::TOKEN_FILE;
use crate::config::{Config, Log};
use crate::dev::Dev as Running;
use crate::{process, telemetry};

#[derive(Debug, Args)]
pub(super) struct Dev {
    /// The folder of the cell; made if it is not there, used again if it is
    #[arg(long, default_value = "keycell-dev")]
    folder: PathBuf,
    /// End after the report, with 1 if anything did not hold
    #[arg(long)]
    once: bool,
    /// How many zones: with 2, another cell beside it, and trust between the two
    #[arg(long, value_name = "1|2", default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=2))]
    zones: u8,
}

impl Dev {
    pub(super) async fn run(self, output: &Output) -> Outcome {
        let level = std::env::var("KEYCELL_LOG").unwrap_or_else(|_| LEVEL.to_owned());
        telemetry::start(&Log { level, ..Log::default() })?;
        process::no_core_dumps();
        let mut running = Running::start(&self.folder, self.zones).await?;
        let report = running.show().await?;
        output.print(&report, |out| report.write(out))?;
        if let Some(broken) = report.broken() {
            running.stop().await;
            return Err(format!("this did not hold: {broken}").into());
        }
        if self.once {
            running.stop().await;
            return Ok(());
        }

        let token = self.folder.join(TOKEN_FILE);
        running.cell().token(&token).await?;
        let mut stop = [signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?];
        let program = std::env::args().next().unwrap_or_else(|| "keycell".to_owned());
        if !output.json {
            output.print(&(), |out| next(out, &running, &token, &program))?;
        }
        let watched = tokio::select! {
            watched = running.watch() => watched,
            () = any(&mut stop) => Ok(()),
        };
        running.stop().await;
        watched
    }
}

/// What to try, ready to be copied.
fn next(
    out: &mut dyn std::io::Write,
    running: &Running,
    token: &std::path::Path,
    program: &str,
) -> std::io::Result<()> {
    let cell = running.cell();
    let folder = cell.folder().display();
    let url = cell.url();
    let keycell = format!("{program} --config {folder}/{}", Config::FILE);
    writeln!(out, "\nThe cell stays up until Ctrl-C. URL {url}, administrator's token {}.", token.display())?;
    writeln!(out, "In another terminal:")?;
    writeln!(out, "  {keycell} party list")?;
    writeln!(out, "  {keycell} party add web.host1 --out {folder}/web.key")?;
    if let Some((name, key)) = running.nanoprobe() {
        let (name, key) = (name.local(), key.display());
        writeln!(
            out,
            "  echo hello | {program} seal --key {folder}/web.key --to {name} | {program} open --key {key}"
        )?;
        writeln!(out, "  {keycell} party disable {name}   # and seal again: refused")?;
    }
    writeln!(out, "  {keycell} party conflicts")?;
    if let Some(other) = running.other_cell() {
        let file = other.folder().join(Config::FILE);
        writeln!(out, "  {program} --config {} trust list   # the other zone", file.display())?;
    }
    writeln!(out, "  curl --cacert {folder}/tls/roots.pem {url}/v1/zone")
}

async fn any([interrupt, terminate]: &mut [Signal; 2]) {
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
}

/// Warnings, but for those that the report is about: keys in two places, and a zone that ends its trust.
const LEVEL: &str = "warn,keycell_kdc::administration::conflicts=off,keycell_kdc::peers=error";
