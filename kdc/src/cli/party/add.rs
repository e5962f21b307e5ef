//! `keycell party add`

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use clap::{Args, ValueHint};
use keycell_client::{AgentKey, KdcAddress};
use keycell_protocol::{LongTermKey, Name};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::admin::{Admin, Failed};
use super::super::bundle::trusted;
use super::super::output::Output;
use super::PARTIES;
use crate::api::{CreatedParty, NewParty};
use crate::files;

#[derive(Debug, Args)]
pub(in crate::cli) struct Add {
    /// Its name, with or without the zone
    name: String,
    /// The key file to write, mode 0600 [default: the local name and .key]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    out: Option<PathBuf>,
    /// What to remember of it: at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// Make each ticket that it gets a line of the KDC's log
    #[arg(long)]
    log_tickets: bool,
}

#[derive(Debug, Serialize)]
struct Added {
    name: Name,
    key_file: PathBuf,
}

impl Add {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let name = admin.name(&self.name).await?;
        let file = self.out.unwrap_or_else(|| format!("{}.key", name.local()).into());
        if file.exists() {
            return Err(format!("{} exists already; choose another with --out", file.display()).into());
        }
        files::can_make(&file).map_err(|error| format!("cannot write {}: {error}", file.display()))?;
        // The secret is made here: should the answer be lost, asking again with the same one is harmless.
        let mut secret = Zeroizing::new([0; LongTermKey::SIZE]);
        rand_core::Rng::fill_bytes(&mut crate::random::system(), &mut *secret);
        let new = NewParty {
            name: name.clone(),
            key: Some(Zeroizing::new(URL_SAFE_NO_PAD.encode(*secret))),
            note: self.note,
            log_tickets: self.log_tickets,
        };
        let created: CreatedParty =
            admin.post(PARTIES).json(&new)?.create().await.map_err(|error| uncertain(&name, error))?;
        let mut key = AgentKey::new(
            name.clone(),
            LongTermKey::new(created.generation, created.epoch, *secret),
            created.ratchet_period,
            KdcAddress { urls: created.urls, tls_roots: admin.roots().to_owned() },
        )
        .with_signers(created.signers);
        key.trusted = trusted(admin).await;
        key.write_new(&file).map_err(|error| {
            format!("{error}; {name} is made but its key is lost: `keycell party delete {name}`, then add it again")
        })?;
        let added = Added { name, key_file: file };
        Ok(output.print(&added, |out| {
            writeln!(out, "{} is made; its key is in {}.", added.name, added.key_file.display())?;
            writeln!(out, "Bring that file to the party's host, mode 0600, and remove it here.")
        })?)
    }
}

type AnyError = Box<dyn std::error::Error + Send + Sync>;

/// Says what to do when it is not known whether the party is made.
fn uncertain(name: &Name, error: AnyError) -> AnyError {
    if !error.downcast_ref::<Failed>().is_some_and(|failed| failed.uncertain) {
        return error;
    }
    format!(
        "{error}; {name} may or may not be made: if `keycell party show {name}` finds it, `keycell party delete {name}`, \
         then add it again"
    )
    .into()
}
