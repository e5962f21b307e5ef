//! Passphrases as they are given: in a file, or typed. Never as arguments: those are in the list of processes.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};
use std::path::PathBuf;

use clap::{Args, ValueHint};
use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Outcome;
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
        let text = match self.from_file()? {
            Some(text) => text,
            None => {
                let mut terminal = Terminal::open()?;
                let text = terminal.ask(&format!("A new passphrase for {what}: "))?;
                if *terminal.ask("The same again: ")? != *text {
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
        let text = match self.from_file()? {
            Some(text) => text,
            None => Terminal::open()?.ask(&format!("The passphrase of {what}: "))?,
        };
        Ok(Passphrase::new(&text))
    }

    fn from_file(&self) -> Outcome<Option<Zeroizing<String>>> {
        let Some(path) = &self.passphrase_file else { return Ok(None) };
        let text = fs::read_to_string(path).map(Zeroizing::new);
        let text = text.map_err(|error| format!("cannot read the passphrase {}: {error}", path.display()))?;
        let line = text.lines().next().unwrap_or_default();
        Ok(Some(Zeroizing::new(line.to_owned())))
    }
}

/// The terminal that the command was started at, wherever its input and output go.
struct Terminal {
    device: File,
    lines: BufReader<File>,
}

impl Terminal {
    fn open() -> Outcome<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let device = device
            .map_err(|_| "there is no terminal to ask at: name a file with --passphrase-file, of which only you can read")?;
        let lines = BufReader::new(device.try_clone()?);
        Ok(Self { device, lines })
    }

    fn ask(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        write!(self.device, "{question}")?;
        let mut line = Zeroizing::new(String::with_capacity(1024));
        {
            let _silent = Silent::on(&self.device)?;
            self.lines.read_line(&mut line)?;
        }
        // The end of the line that was typed was not shown either.
        writeln!(self.device)?;
        Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
    }
}

/// What is typed at this terminal is not shown until this is dropped.
struct Silent<'a> {
    device: &'a File,
    before: Termios,
}

impl<'a> Silent<'a> {
    fn on(device: &'a File) -> io::Result<Self> {
        let before = tcgetattr(device)?;
        let mut silent = before.clone();
        silent.local_modes.remove(LocalModes::ECHO);
        tcsetattr(device, OptionalActions::Flush, &silent)?;
        Ok(Self { device, before })
    }
}

impl Drop for Silent<'_> {
    fn drop(&mut self) {
        let _ = tcsetattr(self.device, OptionalActions::Flush, &self.before);
    }
}

/// Of a passphrase that somebody chooses.
const SHORTEST: usize = 12;
