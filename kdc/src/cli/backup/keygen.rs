//! `keycell backup keygen`

use std::path::PathBuf;

use age::secrecy::ExposeSecret as _;
use age::x25519::Identity;
use clap::{Args, ValueHint};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::output::Output;
use crate::files;

/// The recipient goes into the configuration of every KDC, as `[backup] recipients`. The identity goes into a safe, and not
/// onto any machine of the cell: it is what opens the backups.
#[derive(Debug, Args)]
pub(in crate::cli) struct Keygen {
    /// The file to write the identity to, mode 0600; it must not exist
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

#[derive(Serialize)]
struct Made {
    recipient: String,
    file: PathBuf,
}

impl Keygen {
    pub(super) fn run(self, output: &Output) -> Outcome {
        let identity = Identity::generate();
        let recipient = identity.to_public().to_string();
        let text = Zeroizing::new(format!(
            "# opens the backups of a Keycell cell that were made for\n# {recipient}\n{}\n",
            identity.to_string().expose_secret()
        ));
        files::write_new(&self.file, text.as_bytes(), 0o600)
            .map_err(|error| format!("cannot write {}: {error}", self.file.display()))?;
        let made = Made { recipient, file: self.file };
        Ok(output.print(&made, |out| {
            writeln!(out, "{}", made.recipient)?;
            writeln!(
                out,
                "The identity is in {}: keep it away from every machine of the cell.",
                made.file.display()
            )
        })?)
    }
}
