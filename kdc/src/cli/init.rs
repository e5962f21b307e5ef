//! `keycell init`

use std::net::SocketAddr;
use std::path::PathBuf;

use clap::Args;
use keycell_protocol::{RatchetPeriod, Zone};
use serde::Serialize;

use super::output::Output;
use super::{DEFAULT_CONFIG, Global, Outcome};
use crate::cell::NewCell;
use crate::clock::SystemClock;
use crate::config::Config;
use crate::policy::Profile;

#[derive(Debug, Args)]
pub(super) struct Init {
    /// The folder to make; it must not exist, or be empty [default: the folder of --config]
    #[arg(long)]
    folder: Option<PathBuf>,
    /// The zone's name: a lower-case DNS name that will never change
    #[arg(long, default_value = "cell1.internal")]
    zone: Zone,
    /// The address and port to listen on
    #[arg(long, default_value = "127.0.0.1:8443")]
    listen: SocketAddr,
    /// A URL under which hosts reach the KDC; may be repeated [default: https://localhost and the port]
    #[arg(long = "url")]
    urls: Vec<String>,
    /// The length of a key epoch in seconds
    #[arg(long, default_value = "86400", value_parser = ratchet_period)]
    ratchet_period: RatchetPeriod,
    /// The rules to begin with: who may speak to whom
    #[arg(long, value_enum, default_value_t = Profile::Assimilation)]
    profile: Profile,
    /// Use the PostgreSQL database of KEYCELL_DATABASE instead of a SQLite file
    #[arg(long)]
    postgres: bool,
}

#[derive(Debug, Serialize)]
struct Made {
    zone: Zone,
    config: PathBuf,
    urls: Vec<String>,
}

impl Init {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let folder = match self.folder {
            Some(folder) => folder,
            None if global.config_path().file_name().is_some_and(|name| name == Config::FILE) => {
                global.config_path().parent().map(PathBuf::from).unwrap_or_default()
            }
            None => {
                return Err(format!(
                    "a cell's configuration is called {}; name its folder with --folder",
                    Config::FILE
                )
                .into());
            }
        };
        let folder = if folder.as_os_str().is_empty() { PathBuf::from(".") } else { folder };
        let urls = if self.urls.is_empty() {
            vec![format!("https://localhost:{}", self.listen.port())]
        } else {
            self.urls
        };
        let database = if self.postgres {
            let url = std::env::var("KEYCELL_DATABASE");
            Some(url.map_err(|_| "set KEYCELL_DATABASE to the URL, postgres://USER@HOST/DATABASE")?)
        } else {
            None
        };
        let cell = NewCell {
            folder,
            zone: self.zone,
            listen: self.listen,
            urls,
            database,
            ratchet_period: self.ratchet_period,
            profile: self.profile,
        };
        cell.create(&SystemClock).await?;
        let made = Made { zone: cell.zone, config: cell.folder.join(Config::FILE), urls: cell.urls };
        Ok(output.print(&made, |out| {
            writeln!(out, "Zone {} is made; its configuration is {}.", made.zone, made.config.display())?;
            writeln!(
                out,
                "Keep a copy of master.key away from this machine: without it the database is lost."
            )?;
            let config = match made.config.to_str() {
                Some(DEFAULT_CONFIG) => String::new(),
                _ => format!(" --config {}", made.config.display()),
            };
            writeln!(out, "A token for its administrator is beside it, in admin.token, good for a day.")?;
            writeln!(out, "Next: keycell{config} serve, then keycell{config} status")
        })?)
    }
}

fn ratchet_period(text: &str) -> Result<RatchetPeriod, String> {
    let seconds: u32 = text.parse().map_err(|_| "a number of seconds".to_owned())?;
    RatchetPeriod::from_seconds(seconds)
        .filter(|period| period.seconds() >= 60)
        .ok_or_else(|| "at least 60 seconds".to_owned())
}
