//! `keycell restore`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::UnixMillis;

use super::Outcome;
use super::moment::time;
use super::output::Output;
use crate::backup::{self, Restored};
use crate::clock::SystemClock;
use crate::config::Environment;
use crate::store::Replaced;
use crate::watermark::{Kept, What};

/// Stop the KDCs of the zone first. The whole backup is looked through before anything is replaced; a crash at any moment
/// leaves the old database or the new one. Whoever was disabled, deleted or revoked since the backup stays so, as far as
/// this folder remembers it, and keys that were erased since stay erased.
#[derive(Debug, Args)]
pub(super) struct Restore {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The file with the recovery identity; not needed for what `age --decrypt` has decrypted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    identity: Option<PathBuf>,
    /// The cell's folder; one that is not there is made, with the configuration from the backup
    #[arg(long, value_hint = ValueHint::DirPath)]
    folder: PathBuf,
    /// The database to put it into [default: the configuration's]
    #[arg(long, value_name = "URL", env = "KEYCELL_DATABASE", hide_env_values = true)]
    database: Option<String>,
    /// Replace the zone that a PostgreSQL database holds; a SQLite file is always replaced, and kept beside
    #[arg(long)]
    replace: bool,
    /// The file of the master key [default: what the configuration says, or the one in the backup]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    master_key: Option<PathBuf>,
    /// For a new folder: where server.pem, server.key, roots.pem and, if there is one, roots.key are [default: those in the
    /// backup, or new ones, which no host trusts yet]
    #[arg(long, value_name = "FOLDER", value_hint = ValueHint::DirPath)]
    tls: Option<PathBuf>,
    /// For a new folder: the file `revocations` of the lost machine, or of another KDC of the zone
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    revocations: Option<PathBuf>,
    /// Let everybody back in who was disabled, deleted or revoked since the backup
    #[arg(long)]
    forget_revocations: bool,
    /// Put back what is whole of a backup with damaged rows
    #[arg(long)]
    accept_damage: bool,
}

impl Restore {
    pub(super) async fn run(self, output: &Output) -> Outcome {
        let restore = backup::Restore {
            file: self.file,
            identities: self.identity,
            folder: self.folder,
            database: self.database,
            environment: Environment::of_process()?,
            replaced: if self.replace { Replaced::Yes } else { Replaced::No },
            master_key: self.master_key,
            tls: self.tls,
            revocations: self.revocations,
            kept: if self.forget_revocations { Kept::Forget } else { Kept::Keep },
            accept_damage: self.accept_damage,
        };
        let restored = restore.run(&SystemClock).await?;
        Ok(output.print(&restored, |out| write(out, &restored))?)
    }
}

fn write(out: &mut dyn std::io::Write, restored: &Restored) -> std::io::Result<()> {
    writeln!(
        out,
        "Zone {} is as it was on {}: {} parties.",
        restored.zone,
        time(UnixMillis(restored.created_at)),
        restored.checked.parties
    )?;
    for finding in &restored.checked.findings {
        writeln!(out, "Damaged: {finding}")?;
    }
    if let Some(before) = &restored.before {
        writeln!(out, "The database that was there is in {}.", before.display())?;
    }
    if !restored.remembered {
        writeln!(
            out,
            "This folder remembers no revocations: whoever was disabled or revoked after the backup is not any more. Look \
             through what you know of them before you start the KDC."
        )?;
    }
    if !restored.undone.is_empty() {
        let done = if restored.kept { "stay revoked" } else { "are back" };
        writeln!(out, "{} that were revoked since the backup {done}:", restored.undone.len())?;
        for undone in restored.undone.iter().take(NAMED) {
            let more =
                if undone.what == What::OlderKey && restored.kept { ": it needs a new key" } else { "" };
            writeln!(out, "  {undone}{more}")?;
        }
        if restored.undone.len() > NAMED {
            writeln!(out, "  and {} more; --json names all", restored.undone.len() - NAMED)?;
        }
    }
    if restored.new_certificates {
        writeln!(
            out,
            "The server has a new certificate, of a new root: hosts trust the old one, so give them the new tls/roots.pem."
        )?;
    }
    writeln!(out, "Next: keycell check-config, keycell serve, and keycell token create for an administrator")
}

const NAMED: usize = 20;
