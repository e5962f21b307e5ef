//! What is done to many at once: shown first, and asked.

use std::io::{self, IsTerminal as _, Write};

use super::Outcome;

/// Something that is about to be done to many.
pub(super) struct Bulk<'a> {
    /// How it is asked for: `Delete`.
    pub(super) verb: &'a str,
    /// How it is told of: `deleted`.
    pub(super) done: &'a str,
    /// To how many of what: `7 parties`.
    pub(super) count: String,
    /// Which command shows them where nobody can be asked.
    pub(super) look: &'a str,
}

impl Bulk<'_> {
    /// Shows whom it is about, and asks at the terminal; what is not wanted is an error.
    pub(super) fn ask(&self, show: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Outcome {
        let Self { verb, done, count, look } = self;
        if !io::stdin().is_terminal() {
            return Err(format!("{count} would be {done}: look at `{look}`, then repeat with --yes").into());
        }
        let mut out = io::stderr().lock();
        show(&mut out)?;
        write!(out, "{verb} {count}? Type yes: ")?;
        out.flush()?;
        let mut answer = String::new();
        io::stdin().read_line(&mut answer)?;
        if answer.trim() != "yes" {
            return Err(format!("nothing was {done}").into());
        }
        Ok(())
    }
}
