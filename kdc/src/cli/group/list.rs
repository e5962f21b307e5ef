//! `keycell group list`

use std::io;

use clap::Args;
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::exact;
use super::super::output::Output;
use super::super::table::table;
use super::GROUPS;
use crate::api::{GroupPage, GroupView};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Begin after this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl List {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let mut groups = Vec::new();
        let mut after: Option<Name> = match &self.after {
            Some(name) => Some(admin.name(name).await?),
            None => None,
        };
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        while groups.len() < wanted {
            let page: GroupPage = admin
                .get(GROUPS)
                .query("limit", Some((wanted - groups.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .read()
                .await?;
            groups.extend(page.groups);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let page = GroupPage { groups, next: after };
        Ok(output.print(&page, |out| {
            if page.groups.is_empty() && self.after.is_none() {
                return writeln!(out, "There is no group; `keycell group create NAME` makes one.");
            }
            write(out, &page.groups)?;
            page.next.as_ref().map_or(Ok(()), |next| writeln!(out, "There are more: --after {next}"))
        })?)
    }
}

fn write(out: &mut dyn io::Write, groups: &[GroupView]) -> io::Result<()> {
    let rows = groups.iter().map(|group| {
        [
            group.name.to_string(),
            group.members.join(", "),
            group.excluded.to_string(),
            exact(group.lifetime_seconds.into()),
            if group.author_proof { "required" } else { "-" }.to_owned(),
            group.note.clone(),
        ]
    });
    table(out, ["NAME", "MEMBERS", "TAKEN OUT", "LIFETIME", "AUTHOR PROOF", "NOTE"], rows)
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
