//! `keycell master-key restore`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;

use super::super::output::Output;
use super::super::{Global, Outcome};
use super::input::{Input, Joined};
use crate::cell::{Cell, CellError};
use crate::config::Config;
use crate::files;
use crate::keyring::{KeyringError, MasterKeySource};
use crate::store;

/// Where the database can be reached, the key is held against it before the file is written.
#[derive(Debug, Args)]
pub(in crate::cli) struct Restore {
    #[command(flatten)]
    input: Input,
    /// The file to write, mode 0600; it must not exist [default: the one that the configuration names]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    file: PathBuf,
    versions: Vec<u32>,
    /// Whether it was held against the database.
    checked: bool,
}

impl Restore {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let config = if global.config_path().exists() { Some(global.config()?) } else { None };
        let out = match (self.out, config.as_ref().map(|config| &config.master_key)) {
            (Some(out), _) => out,
            (None, Some(MasterKeySource::File(file))) => file.clone(),
            (None, _) => return Err("name the file to write with --out".into()),
        };
        if out.symlink_metadata().is_ok() {
            return Err(KeyringError::Exists { path: out }.into());
        }
        let joined = self.input.join()?;
        let doubt = match &config {
            Some(config) => holds(config, &joined).await?,
            None => Some(format!("there is no configuration at {}", global.config_path().display())),
        };
        files::write_new(&out, joined.keys.text().as_bytes(), 0o600)
            .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
        let made = Made { file: out, versions: joined.keys.versions(), checked: doubt.is_none() };
        Ok(output.print(&made, |out| {
            writeln!(out, "The master key is in {}.", made.file.display())?;
            match &doubt {
                None => writeln!(out, "It is the one of this database."),
                Some(doubt) => writeln!(out, "It was not held against a database: {doubt}."),
            }
        })?)
    }
}

/// Holds the key against the database. Says why it could not be, if so.
async fn holds(config: &Config, joined: &Joined) -> Outcome<Option<String>> {
    let store = match store::connect(&config.database).await {
        Ok(store) => store,
        Err(error) => return Ok(Some(crate::http::chain(&error).to_string())),
    };
    let opened = Cell::of(store.clone(), joined.keys.clone()).await;
    store.close().await;
    match opened {
        Ok(_) => Ok(None),
        Err(error @ CellError::Keyring(_)) => Err(error.into()),
        Err(error) => Ok(Some(crate::http::chain(&error).to_string())),
    }
}
