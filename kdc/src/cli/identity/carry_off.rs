//! `keycell identity carry-off`

use std::path::PathBuf;

use clap::{Args, ValueHint};
use keycell_protocol::IdentityName;
use serde::Serialize;

use super::super::output::Output;
use super::super::{Global, Outcome};
use crate::administration::Caller;
use crate::audit::{Action, hex};
use crate::cell::Cell;
use crate::clock::{Clock as _, SystemClock};
use crate::config::Config;
use crate::identities::{Carried, Identity, secret_name};
use crate::store::{Act, Write};

/// On the KDC's machine, while it runs or not. The file is written and read back before anything leaves the database; where
/// that was cut short, do it again with the same file. Move the file to where nobody gets who gets this machine: it is what
/// a later release makes the cell whole again with when the primary is lost or stolen.
#[derive(Debug, Args)]
pub(in crate::cli) struct CarryOff {
    /// The file to make, of mode 0600
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

#[derive(Serialize)]
struct Gone {
    identity: IdentityName,
    file: PathBuf,
    already: bool,
}

impl CarryOff {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        if global.profile.is_some() {
            return Err("carry-off works on the cell of this machine: name its configuration with --config, no --profile".into());
        }
        let config = global.config()?;
        let cell = Cell::open(&config).await?;
        let carried = self.carry(&cell, &config).await;
        cell.store.close().await;
        let gone = Gone { identity: SECONDARY, file: self.file, already: carried? };
        Ok(output.print(&gone, |out| {
            let file = gone.file.display();
            if gone.already {
                return writeln!(out, "{SECONDARY} was carried off before: {file} holds it.");
            }
            writeln!(out, "{SECONDARY} is in {file} and no longer in the database.")?;
            writeln!(
                out,
                "Move the file away from this machine, in two copies. Backups that were made before now still hold it: make a \
                 new one, and destroy them when they are not needed."
            )
        })?)
    }

    /// Says whether it was carried off into this file before.
    async fn carry(&self, cell: &Cell, config: &Config) -> Outcome<bool> {
        let name = secret_name(SECONDARY);
        let Some(secret) = cell.store.secret(&name).await? else {
            return self.gone(cell, config).await;
        };
        let identity = Identity::from_secret(SECONDARY, &cell.keyring.open_secret(&secret)?)?;
        let signing_key = hex::encode(identity.public()?.signing_key.as_bytes());
        Carried::new(cell.zone.zone.clone(), identity).write(&self.file)?;
        let event = Caller::console()
            .event(SystemClock.now(), Action::IdentityCarryOff, SECONDARY.to_string())
            .with("signing_key", signing_key);
        let write = Write::DeleteSecret { name, version: secret.version };
        cell.store.commit(&Act::new(write, event), &cell.audit_key).await?;
        // Where the disk still has what the row held.
        cell.store.forget_overwritten().await?;
        Ok(false)
    }

    async fn gone(&self, cell: &Cell, config: &Config) -> Outcome<bool> {
        if !cell.has_identities() {
            return Err("the zone has no identities yet: it gets them when its KDC is next started".into());
        }
        if self.file.exists()
            && let Ok(carried) = Carried::read(&self.file)
            && carried.zone() == &cell.zone.zone
            && cell.identities().await?.contains(&carried.identity().public()?)
        {
            return Ok(true);
        }
        Err(format!(
            "the private half of {SECONDARY} is not in {}: it was carried off before; `keycell audit query --action \
             identity.carry_off` says when and by whom",
            config.database
        )
        .into())
    }
}

const SECONDARY: IdentityName = IdentityName::SECONDARY;
