//! `keycell group list`

use std::io;

use clap::Args;
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::exact;
use super::super::output::Output;
use super::super::table::table;
use super::{GROUPS, state};
use crate::api::{GroupPage, GroupView};

#[derive(Debug, Args)]
pub(in crate::cli) struct List {
    /// Only those that this party is a member of
    #[arg(long, value_name = "PARTY")]
    member: Option<String>,
    /// Also those that it is left out of, and why
    #[arg(long, requires = "member")]
    all: bool,
    /// Begin after this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
}

impl List {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let full = async |name: &Option<String>| -> Outcome<Option<Name>> {
            Ok(match name {
                Some(name) => Some(admin.name(name).await?),
                None => None,
            })
        };
        let (member, after) = (full(&self.member).await?, full(&self.after).await?);
        let which = Wanted { member: member.as_ref(), left_out: self.all };
        let page = which.read(after, self.limit.map_or(usize::MAX, |limit| limit as usize), admin).await?;
        Ok(output.print(&page, |out| {
            match &member {
                None if page.groups.is_empty() && self.after.is_none() => {
                    return writeln!(out, "There is no group; `keycell group create NAME` makes one.");
                }
                Some(party) if page.groups.is_empty() && self.after.is_none() => {
                    return writeln!(out, "{party} is a member of no group.");
                }
                None => write(out, &page.groups)?,
                Some(_) => write_states(out, &page.groups)?,
            }
            page.next.as_ref().map_or(Ok(()), |next| writeln!(out, "There are more: --after {next}"))
        })?)
    }
}

/// Which groups are wanted: all, or those of a party.
#[derive(Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) member: Option<&'a Name>,
    /// Also those that it is left out of.
    pub(super) left_out: bool,
}

impl Wanted<'_> {
    /// At most `limit` of them, page by page.
    pub(super) async fn read(
        self,
        mut after: Option<Name>,
        limit: usize,
        admin: &Admin,
    ) -> Outcome<GroupPage> {
        let mut groups = Vec::new();
        while groups.len() < limit {
            let page: GroupPage = admin
                .get(GROUPS)
                .query("limit", Some((limit - groups.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .query("member", self.member)
                .query("left_out", self.left_out.then_some(true))
                .read()
                .await?;
            groups.extend(page.groups);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        Ok(GroupPage { groups, next: after })
    }
}

/// The groups of a party.
fn write_states(out: &mut dyn io::Write, groups: &[GroupView]) -> io::Result<()> {
    let rows = groups.iter().map(|group| {
        [
            group.name.to_string(),
            state(group.left_out).to_owned(),
            exact(group.lifetime_seconds.into()),
            if group.author_proof { "required" } else { "-" }.to_owned(),
            group.note.clone(),
        ]
    });
    table(out, ["NAME", "STATE", "LIFETIME", "AUTHOR PROOF", "NOTE"], rows)
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
