//! `keycell backup`

mod keygen;
mod verify;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, Subcommand, ValueHint};

use super::output::Output;
use super::recipients::Recipients;
use super::{Global, Outcome};
use crate::backup::{self, Secrets};
use crate::cell::Cell;
use crate::clock::SystemClock;

/// Runs on a machine of the cell, with its folder, while the KDC goes on: the file holds the database as it was at one
/// moment, the configuration and the root certificates, encrypted with age for the recovery recipients. Everything secret in
/// the database stays wrapped under the master key, which is not in the backup: keep that elsewhere.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(super) struct Backup {
    #[command(subcommand)]
    command: Option<Command>,
    /// The file to write; it must not exist
    #[arg(required = true, value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// Who can open it: an age recipient (age1…); repeat it for more [default: those of the configuration]
    #[arg(long = "recipient", value_name = "RECIPIENT")]
    recipients: Vec<String>,
    /// A file of age recipients, one a line
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    recipients_file: Option<PathBuf>,
    /// Put in the master key and the keys of TLS too: whoever opens such a backup has the whole cell
    #[arg(long)]
    with_master_key: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Look through a backup, without putting it back
    Verify(verify::Verify),
    /// Make an identity that opens backups, and print its recipient
    Keygen(keygen::Keygen),
}

impl Backup {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome<ExitCode> {
        match self.command {
            Some(Command::Verify(verify)) => verify.run(output).await,
            Some(Command::Keygen(keygen)) => keygen.run(output).map(|()| ExitCode::SUCCESS),
            None => self.create(global, output).await.map(|()| ExitCode::SUCCESS),
        }
    }

    async fn create(self, global: &Global, output: &Output) -> Outcome {
        let Some(path) = self.file else { return Err("name the file to write".into()) };
        let config = global.config()?;
        let named = if self.recipients.is_empty() && self.recipients_file.is_none() {
            config.backup.recipients.clone()
        } else {
            self.recipients
        };
        let recipients = Recipients::read(&named, self.recipients_file.as_deref())
            .map_err(|error| format!("who is to open the backup? {error}, and [backup] recipients = [\"age1…\"] in the configuration saves naming it each time"))?;
        let encryptor = recipients.encryptor()?;
        let cell = Cell::open(&config).await?;
        let backup = backup::Backup {
            cell: &cell,
            config: &config,
            config_path: global.config_path(),
            path: &path,
            encryptor,
            recipients: recipients.count(),
            secrets: if self.with_master_key { Secrets::In } else { Secrets::Out },
        };
        let created = backup.create(&SystemClock).await;
        cell.store.close().await;
        let created = created?;
        Ok(output.print(&created, |out| {
            let parties = created.rows.get("party").copied().unwrap_or_default();
            writeln!(
                out,
                "The backup of zone {} is in {}: {parties} parties, {} bytes.",
                created.zone,
                created.file.display(),
                created.bytes
            )?;
            if created.master_key {
                writeln!(out, "The master key is in it: whoever opens it has the whole cell.")
            } else {
                writeln!(out, "The master key is not in it: nothing in it opens without that.")
            }
        })?)
    }
}
