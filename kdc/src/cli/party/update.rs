//! `keycell party update`, `keycell party disable` and `keycell party enable`

use clap::{ArgGroup, Args};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::{Expected, Which, path, show};
use crate::api::{PartyPatch, PartyView};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    which: Which,
    /// What to remember of it: at most 200 characters
    #[arg(long, group = "change", value_name = "TEXT")]
    note: Option<String>,
    /// Whether each ticket that it gets is to be a line of the KDC's log
    #[arg(long, group = "change", value_name = "BOOL")]
    log_tickets: Option<bool>,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
}

impl Update {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let patch = PartyPatch { note: self.note, log_tickets: self.log_tickets, ..PartyPatch::default() };
        let view = change(&self.which, &self.expected, &patch, admin).await?;
        Ok(output.print(&view, |out| show::write(out, &view))?)
    }
}

impl Switch {
    pub(super) async fn run(self, enabled: bool, admin: &Admin, output: &Output) -> Outcome {
        let patch = PartyPatch { enabled: Some(enabled), ..PartyPatch::default() };
        let view = change(&self.which, &self.expected, &patch, admin).await?;
        let now = super::list::state(view.enabled);
        Ok(output.print(&view, |out| writeln!(out, "{} is {now}.", view.name))?)
    }
}

async fn change(which: &Which, expected: &Expected, patch: &PartyPatch, admin: &Admin) -> Outcome<PartyView> {
    let name = admin.name(&which.name).await?;
    admin.patch(path(&name)).if_revision(expected.if_revision).json(patch)?.read().await
}
