//! Passphrases as they are given: in a file, or typed. Never as arguments: those are in the list of processes.

use std::fs;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use zeroize::Zeroizing;

use super::Outcome;
use super::terminal::Terminal;
use crate::identities::Passphrase;

#[derive(Debug, Args)]
pub(super) struct PassphraseFile {
    /// The file whose first line is the passphrase; without it you are asked for it at the terminal
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    passphrase_file: Option<PathBuf>,
}

impl PassphraseFile {
    /// One that something is to be encrypted with: long enough, and typed twice.
    pub(super) fn new_one(&self, what: &str) -> Outcome<Passphrase> {
        let text = match self.first_line()? {
            Some(text) => text,
            None => {
                let mut terminal = Terminal::open(NO_TERMINAL)?;
                let text = terminal.ask_silently(&format!("A new passphrase for {what}: "))?;
                if *terminal.ask_silently("The same again: ")? != *text {
                    return Err("these are two passphrases: nothing was changed".into());
                }
                text
            }
        };
        if text.chars().count() < SHORTEST {
            return Err(
                format!("a passphrase has at least {SHORTEST} characters: nothing was changed").into()
            );
        }
        Ok(Passphrase::new(&text))
    }

    /// The one that something was encrypted with.
    pub(super) fn known(&self, what: &str) -> Outcome<Passphrase> {
        let text = match self.first_line()? {
            Some(text) => text,
            None => Terminal::open(NO_TERMINAL)?.ask_silently(&format!("The passphrase of {what}: "))?,
        };
        Ok(Passphrase::new(&text))
    }

    fn first_line(&self) -> Outcome<Option<Zeroizing<String>>> {
        let Some(path) = &self.passphrase_file else { return Ok(None) };
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| format!("cannot read the passphrase {}: {error}", path.display()))?;
        let line = text.lines().next().unwrap_or_default();
        Ok(Some(Zeroizing::new(line.to_owned())))
    }
}

/// Of a passphrase that somebody chooses.
const SHORTEST: usize = 12;
const NO_TERMINAL: &str = "name a file with --passphrase-file, of which only you can read";
