//! `keycell identity export-secondary`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::{IdentityName, KdcIdentity};
use serde::Serialize;

use super::super::output::Output;
use super::super::passphrase::PassphraseFile;
use super::super::{Global, Outcome};
use crate::administration::Caller;
use crate::audit::{Action, hex};
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::identities::{Exported, Identity, secret_name};
use crate::store::{Act, SecretRecord, Write};

/// On the KDC's machine, while it runs or not. The file is encrypted with a passphrase, in the format of age, and is written
/// and read back before anything leaves the database; where that was cut short, do it again with the same file. Move the
/// file to where nobody gets who gets this machine: with it, `keycell identity recover` makes the cell whole again when the
/// primary is lost or stolen.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The file to make, of mode 0600
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
    #[command(flatten)]
    passphrase: PassphraseFile,
}

#[derive(Serialize)]
struct Gone {
    identity: IdentityName,
    file: PathBuf,
    already: bool,
}

impl Export {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if global.profile.is_some() {
            return Err("export-secondary works on the cell of this machine: name its configuration with --config, no --profile".into());
        }
        let config = global.config()?;
        let cell = Cell::open(&config).await?;
        let gone = self.export(&cell, &config).await;
        cell.store.close().await;
        let gone = gone?;
        Ok(output.print(&gone, |out| {
            let Gone { identity, file, already } = &gone;
            let file = file.display();
            if *already {
                return writeln!(out, "{identity} was exported before: {file} holds it.");
            }
            writeln!(out, "{identity} is in {file} and no longer in the database.")?;
            writeln!(
                out,
                "Move the file away from this machine, in two copies, and keep the passphrase apart from it. Backups that were \
                 made before now still hold it: make a new one, and destroy them when they are not needed."
            )
        })?)
    }

    async fn export(self, cell: &Cell, config: &Config) -> Outcome<Gone> {
        let identities = cell.identities().await?;
        let secondary = identities
            .secondary()
            .ok_or("the zone has no identities yet: it gets them when its KDC is next started")?;
        let already = match cell.store.secret(&secret_name(secondary.name)).await? {
            Some(secret) => self.take_out(cell, secondary.name, &secret).await.map(|()| false)?,
            None => self.was_exported(cell, config, secondary).map(|()| true)?,
        };
        Ok(Gone { identity: secondary.name, file: self.file, already })
    }

    async fn take_out(&self, cell: &Cell, name: IdentityName, secret: &SecretRecord) -> Outcome {
        let identity = Identity::from_secret(name, &cell.keyring.open_secret(secret)?)?;
        let signing_key = hex::encode(identity.public()?.signing_key.as_bytes());
        let what = self.file.display().to_string();
        let passphrase =
            if self.file.exists() { self.passphrase.known(&what) } else { self.passphrase.new_one(&what) };
        Exported::new(cell.zone.zone.clone(), identity).write(&self.file, &passphrase?)?;
        let event = Caller::console()
            .event(SystemClock.now(), Action::IdentityExport, name.to_string())
            .with("signing_key", signing_key);
        let write = Write::DeleteSecret { name: secret.name.clone(), version: secret.version };
        cell.store.commit(&Act::new(write, event), &cell.audit_key).await?;
        // Where the disk still has what the row held.
        cell.store.forget_overwritten().await?;
        Ok(())
    }

    /// Sees that it was exported into this very file.
    fn was_exported(&self, cell: &Cell, config: &Config, secondary: &KdcIdentity) -> Outcome {
        if self.file.exists() {
            let exported =
                Exported::read(&self.file, &self.passphrase.known(&self.file.display().to_string())?)?;
            if exported.zone() == &cell.zone.zone && exported.identity().public()? == *secondary {
                return Ok(());
            }
        }
        Err(format!(
            "the private half of {} is not in {}: it was exported before; `keycell audit query --action identity.export` says \
             when and by whom",
            secondary.name, config.database
        )
        .into())
    }
}
