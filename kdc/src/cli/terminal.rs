//! Questions to who sits at the terminal.

use std::fs::{File, OpenOptions};
use std::io::{self, BufRead as _, BufReader, Write as _};

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use zeroize::Zeroizing;

use super::Outcome;

/// The terminal that the command was started at, wherever its input and output go.
pub(super) struct Terminal {
    device: File,
    lines: BufReader<File>,
}

impl Terminal {
    /// Where there is none, `instead` says what to do.
    pub(super) fn open(instead: &str) -> Outcome<Self> {
        let device = OpenOptions::new().read(true).write(true).open("/dev/tty");
        let device = device.map_err(|_| format!("there is no terminal to ask at: {instead}"))?;
        let lines = BufReader::new(device.try_clone()?);
        Ok(Self { device, lines })
    }

    /// Asks for a line.
    pub(super) fn ask(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        write!(self.device, "{question}")?;
        let mut line = Zeroizing::new(String::with_capacity(1024));
        self.lines.read_line(&mut line)?;
        Ok(Zeroizing::new(line.trim_end_matches(['\r', '\n']).to_owned()))
    }

    /// The same for what nobody is to see.
    pub(super) fn ask_silently(&mut self, question: &str) -> Outcome<Zeroizing<String>> {
        let device = self.device.try_clone()?;
        let silent = Silent::on(&device)?;
        let line = self.ask(question);
        drop(silent);
        // The end of the line that was typed was not shown either.
        writeln!(self.device)?;
        line
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
