//! `keycell party`

mod add;
mod author;
mod conflicts;
mod delete;
mod filters;
mod list;
pub(super) mod show;
mod update;

use std::process::ExitCode;

use clap::{Args, Subcommand};
use keycell_protocol::Name;

use super::admin::{Admin, segment};
use super::import::Import;
use super::output::Output;
use super::{Global, Outcome};

#[derive(Debug, Subcommand)]
pub(super) enum Party {
    /// Make a party and write its key file
    Add(add::Add),
    /// Make many parties from a CSV or NDJSON file, and write their key files or an encrypted archive of them
    Import(Import),
    /// List the parties, in the order of their names
    List(list::List),
    /// Show one party
    Show(Which),
    /// Show the keys of a party, without the keys
    Keys(Which),
    /// Change what is noted of a party
    Update(update::Update),
    /// Give a party no more tickets, and nobody tickets for it; what is out ends with its lifetime
    Disable(update::Disable),
    /// Let a disabled party speak again
    Enable(update::Enable),
    /// Remove the key that a party signs with as an author, so that it can register another
    ForgetAuthorKey(author::ForgetAuthorKey),
    /// Show whose key is used in two places, and which hosts came with another key; or clear that
    Conflicts(conflicts::Conflicts),
    /// Delete a party and its keys, or many that came aboard by themselves; tickets that are out end with their lifetime
    Delete(delete::Delete),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Its name, with or without the zone
    pub(super) name: String,
}

/// What the caller takes for granted.
#[derive(Debug, Args)]
pub(super) struct Expected {
    /// Only if it still has this revision, which `show` tells
    #[arg(long, value_name = "N")]
    pub(super) if_revision: Option<u64>,
}

impl Party {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome<ExitCode> {
        let admin = Admin::new(global)?;
        match self {
            Self::Add(add) => add.run(&admin, output).await?,
            Self::Import(import) => return import.run(admin, output).await,
            Self::List(list) => list.run(&admin, output).await?,
            Self::Show(which) => show::party(&admin.name(&which.name).await?, &admin, output).await?,
            Self::Keys(which) => show::keys(&admin.name(&which.name).await?, &admin, output).await?,
            Self::Update(update) => update.run(&admin, output).await?,
            Self::Disable(disable) => disable.run(&admin, output).await?,
            Self::Enable(enable) => enable.run(&admin, output).await?,
            Self::ForgetAuthorKey(forget) => forget.run(&admin, output).await?,
            Self::Conflicts(conflicts) => conflicts.run(&admin, output).await?,
            Self::Delete(delete) => delete.run(&admin, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

pub(super) fn path(name: &Name) -> String {
    format!("{PARTIES}/{}", segment(name.as_str()))
}

pub(super) const PARTIES: &str = "/v1/admin/parties";
