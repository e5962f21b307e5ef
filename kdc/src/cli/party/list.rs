//! `keycell party list`

use std::io;

use clap::Args;
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{Moment, time};
use super::super::output::Output;
use super::super::table::{or_dash, table};
use super::PARTIES;
use crate::api::{PartyPage, PartyState, PartyView};
use crate::enrollment::HostPattern;

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only of this service: the name up to its first dot
    #[arg(long, value_name = "NAME")]
    service: Option<String>,
    /// Only names that match this pattern, in this zone without an @, such as web.*
    #[arg(long, value_name = "PATTERN")]
    r#match: Option<String>,
    /// Only those that may speak, or may not
    #[arg(long, value_enum)]
    state: Option<PartyState>,
    /// Only those that asked for tickets since then: a time of RFC 3339, or a span ago such as 7d
    #[arg(long, value_name = "WHEN")]
    seen_since: Option<Moment>,
    /// Only those that did not ask for tickets since then, or never
    #[arg(long, value_name = "WHEN")]
    seen_before: Option<Moment>,
    /// Only those that are told to rotate their key when they next ask for tickets
    #[arg(long)]
    rotation_due: bool,
    /// Only those whose keys were erased, and that have no new one yet
    #[arg(long)]
    keyless: bool,
    /// Only those whose host, as it said when it came aboard, matches this pattern, such as 'web*.example.com'
    #[arg(long, value_name = "PATTERN")]
    host: Option<HostPattern>,
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
        let mut parties = Vec::new();
        let mut after = match &self.after {
            Some(name) => Some(admin.name(name).await?),
            None => None,
        };
        let (since, before) = (self.seen_since.map(Moment::ago), self.seen_before.map(Moment::ago));
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        while parties.len() < wanted {
            let page: PartyPage = admin
                .get(PARTIES)
                .query("limit", Some((wanted - parties.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .query("service", self.service.as_deref())
                .query("match", self.r#match.as_deref())
                .query("state", self.state.map(word))
                .query("seen_since", since.map(|at| at.0))
                .query("seen_before", before.map(|at| at.0))
                .query("rotation_due", self.rotation_due.then_some(true))
                .query("keyless", self.keyless.then_some(true))
                .query("host", self.host.as_ref())
                .query("enrolled", self.enrolled)
                .read()
                .await?;
            parties.extend(page.parties);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let page = PartyPage { parties, next: after };
        Ok(output.print(&page, |out| {
            write(out, &page.parties)?;
            more(out, page.next.as_ref())
        })?)
    }
}

fn write(out: &mut dyn io::Write, parties: &[PartyView]) -> io::Result<()> {
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

const fn word(wanted: PartyState) -> &'static str {
    state(matches!(wanted, PartyState::Enabled))
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
