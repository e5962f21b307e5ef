//! Shares as they are given: in files, or line by line. Never as arguments: those are in the list of processes.

use std::fs;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use zeroize::Zeroizing;

use super::super::Outcome;
use crate::keyring::MasterKeys;
use crate::keyring::shares::{self, PREFIX, Share, ShareError};

#[derive(Debug, Args)]
pub(super) struct Input {
    /// Files with shares, as `split` wrote them; without any, lines are read from the standard input
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    files: Vec<PathBuf>,
}

/// A master key that shares made.
pub(super) struct Joined {
    pub(super) keys: MasterKeys,
    pub(super) set: String,
    pub(super) indexes: Vec<u8>,
}

impl Input {
    pub(super) fn join(&self) -> Outcome<Joined> {
        let shares = if self.files.is_empty() { typed()? } else { self.read()? };
        let keys = shares::join(&shares)?;
        let set = shares.first().map(Share::set_name).unwrap_or_default();
        Ok(Joined { keys, set, indexes: shares.iter().map(Share::index).collect() })
    }

    fn read(&self) -> Outcome<Vec<Share>> {
        let mut all = Vec::new();
        for file in &self.files {
            let text = fs::read_to_string(file).map(Zeroizing::new);
            let text = text.map_err(|error| format!("cannot read {}: {error}", file.display()))?;
            let mut lines = text.lines().filter(|line| begins(line)).peekable();
            if lines.peek().is_none() {
                return Err(format!("{}: {}", file.display(), ShareError::Form).into());
            }
            for line in lines {
                all.push(line.parse().map_err(|error| format!("{}: {error}", file.display()))?);
            }
        }
        Ok(all)
    }
}

/// Reads lines until there are as many shares as the first says are needed. At a terminal, a mistyped one is asked for
/// again.
fn typed() -> Outcome<Vec<Share>> {
    let asks = io::stdin().is_terminal();
    let mut all: Vec<Share> = Vec::new();
    let mut line = Zeroizing::new(String::with_capacity(4096));
    loop {
        let need = all.first().map(Share::threshold);
        if need.is_some_and(|need| all.len() >= need.into()) {
            return Ok(all);
        }
        if asks {
            let of = need.map_or_else(String::new, |need| format!(" of {need}"));
            eprint!("Share {}{of}: ", all.len() + 1);
        }
        line.clear();
        if io::stdin().lock().read_line(&mut line)? == 0 {
            return Ok(all);
        }
        if line.trim().is_empty() || (!asks && !begins(&line)) {
            continue;
        }
        match line.parse() {
            Ok(share) => all.push(share),
            Err(error) if asks => eprintln!("{error}"),
            Err(error) => return Err(format!("share {}: {error}", all.len() + 1).into()),
        }
    }
}

fn begins(line: &str) -> bool {
    line.trim().get(..PREFIX.len()).is_some_and(|start| start.eq_ignore_ascii_case(PREFIX))
}
