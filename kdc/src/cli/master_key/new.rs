//! `keycell master-key new`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::output::Output;
use super::super::{Global, Outcome};
use crate::keyring::MasterKey;

/// Makes a line and puts it nowhere: add it to the source of every KDC of the zone, beside the lines that are there, then
/// run `keycell master-key rotate`.
#[derive(Debug, Args)]
pub(in crate::cli) struct New {
    /// Its version, above all that the zone has had [default: the next one of the cell in this folder]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    version: Option<u32>,
    /// The file to write it to, mode 0600; it must not exist [default: print it]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
}

#[derive(Serialize)]
struct Made {
    version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    file: Option<PathBuf>,
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<Zeroizing<String>>,
}

impl New {
    pub(super) fn run(self, global: &Global, output: &Output) -> Outcome {
        let version = match self.version {
            Some(version) => version,
            None => next(global).map_err(|error| format!("{error}; or say which version with --version"))?,
        };
        let key = MasterKey::generate(version, &mut crate::random::system());
        let made = match self.out {
            Some(file) => {
                key.write_new(&file)?;
                Made { version, file: Some(file), line: None }
            }
            None => {
                let line = Zeroizing::new(key.text().trim_end().to_owned());
                Made { version, file: None, line: Some(line) }
            }
        };
        Ok(output.print(&made, |out| match (&made.file, &made.line) {
            (Some(file), _) => {
                writeln!(out, "Version {version} of the master key is in {}.", file.display())
            }
            (_, line) => writeln!(out, "{}", line.as_ref().map(|line| line.as_str()).unwrap_or_default()),
        })?)
    }
}

fn next(global: &Global) -> Outcome<u32> {
    let highest = global.config()?.master_key.load()?.highest();
    Ok(highest.checked_add(1).ok_or("there is no version above 4294967295")?)
}
