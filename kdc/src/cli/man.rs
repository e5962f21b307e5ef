//! `keycell man`

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};

use super::Outcome;
use super::output::Output;

/// The pages are the same for the same release, wherever and whenever they are written.
#[derive(Debug, Args)]
pub(super) struct Man {
    /// The folder to write them to; made if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    dir: PathBuf,
}

impl Man {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let failed = |error| format!("cannot write {}: {error}", self.dir.display());
        fs::create_dir_all(&self.dir).map_err(failed)?;
        clap_mangen::generate_to(super::command(), &self.dir).map_err(failed)?;
        Ok(output.print(&serde_json::json!({ "folder": self.dir }), |out| {
            writeln!(
                out,
                "The manual is in {0}; `man {0}/keycell.1` shows its first page.",
                self.dir.display()
            )
        })?)
    }
}
