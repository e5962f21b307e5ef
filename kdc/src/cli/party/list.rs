//! `keycell party list`

use std::io;

use clap::Args;
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::{or_dash, table};
use super::filters::Filters;
use crate::api::PartyView;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    #[command(flatten)]
    filters: Filters,
    /// Only those that came aboard by themselves, or (false) that an administrator made
    #[arg(long, value_name = "BOOL", num_args = 0..=1, default_missing_value = "true")]
    enrolled: Option<bool>,
    /// Begin after this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl List {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let after = match &self.after {
            Some(name) => Some(admin.name(name).await?),
            None => None,
        };
        let limit = self.limit.map_or(usize::MAX, |limit| limit as usize);
        let page = self.filters.read(self.enrolled, after, limit, admin).await?;
        Ok(output.print(&page, |out| {
            write(out, &page.parties)?;
            more(out, page.next.as_ref())
        })?)
    }
}

pub(super) fn write(out: &mut dyn io::Write, parties: &[PartyView]) -> io::Result<()> {
    let rows = parties.iter().map(|party| {
        let keys: Vec<_> = party.keys.iter().map(|key| format!("{} {}", key.generation, key.state)).collect();
        [
            party.name.to_string(),
            state(party.enabled).to_owned(),
            keys.join(", "),
            or_dash(party.last_seen.map(time)),
            time(party.created_at),
            party.note.clone(),
        ]
    });
    table(out, ["NAME", "STATE", "KEY", "LAST SEEN", "CREATED", "NOTE"], rows)
}

fn more(out: &mut dyn io::Write, next: Option<&Name>) -> io::Result<()> {
    next.map_or(Ok(()), |next| writeln!(out, "There are more: --after {next}"))
}

pub(super) const fn state(enabled: bool) -> &'static str {
    if enabled { "enabled" } else { "disabled" }
}
