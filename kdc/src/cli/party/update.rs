//! `keycell party update`, `keycell party disable` and `keycell party enable`

use clap::{ArgGroup, Args};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{length, time};
use super::super::output::Output;
use super::{Expected, Which, path, show};
use crate::api::{PartyPatch, PartyView};
use crate::clock::{Clock as _, SystemClock};

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
pub(in crate::cli) struct Disable {
    #[command(flatten)]
    which: Which,
    /// Erase all its keys too: who copied one has nothing, and it needs a new one when it is enabled again. What tickets
    /// it has already it can use until they end
    #[arg(long)]
    now: bool,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Enable {
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

impl Disable {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let erase_keys = self.now.then_some(true);
        let patch = PartyPatch { enabled: Some(false), erase_keys, ..PartyPatch::default() };
        let view = change(&self.which, &self.expected, &patch, admin).await?;
        Ok(output.print(&view, |out| {
            writeln!(out, "{} is disabled.", view.name)?;
            if let Some(end) = view.usable_until {
                let left = end.0.saturating_sub(SystemClock.now().0).div_ceil(1000);
                let left = if left > 0 { format!("in {}", length(left)) } else { "which is over".to_owned() };
                writeln!(out, "Tickets already given, by it and to it, end by {}, {left}.", time(end))?;
            }
            if self.now {
                if view.enrollment.is_some() {
                    writeln!(
                        out,
                        "Its keys are erased. It enrolled by itself, and would do so again if it were enabled, and so would who has a \
                         copy of its folder: if there may be one, `keycell party delete {}`, which denies its key for good, \
                         reinstall the host without the folder, and join anew.",
                        view.name
                    )?;
                } else {
                    writeln!(
                        out,
                        "Its keys are erased: `keycell key rotate {} --key-file FILE` makes a new one.",
                        view.name
                    )?;
                }
            }
            Ok(())
        })?)
    }
}

impl Enable {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let patch = PartyPatch { enabled: Some(true), ..PartyPatch::default() };
        let view = change(&self.which, &self.expected, &patch, admin).await?;
        Ok(output.print(&view, |out| {
            writeln!(out, "{} is enabled.", view.name)?;
            if !view.keys.iter().any(|key| key.state == "active") {
                if view.enrollment.is_some() {
                    writeln!(
                        out,
                        "It has no key: its agent enrolls again by itself. So may who has a copy of its folder: if there may be \
                         one, `keycell party delete {}` instead.",
                        view.name
                    )?;
                } else {
                    writeln!(
                        out,
                        "It has no key: `keycell key rotate {} --key-file FILE` makes one.",
                        view.name
                    )?;
                }
            }
            Ok(())
        })?)
    }
}

async fn change(which: &Which, expected: &Expected, patch: &PartyPatch, admin: &Admin) -> Outcome<PartyView> {
    let name = admin.name(&which.name).await?;
    admin.patch(path(&name)).if_revision(expected.if_revision).json(patch)?.read().await
}
