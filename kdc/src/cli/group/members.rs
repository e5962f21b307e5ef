//! `keycell group members`

use std::io;

use clap::Args;
use keycell_protocol::Name;

use super::super::Outcome;
use super::super::admin::{Admin, segment};
use super::super::moment::{length, time};
use super::super::output::Output;
use super::super::party::Expected;
use super::super::table::table;
use super::{Which, path, state};
use crate::api::{GroupView, MemberPage, MemberView};
use crate::clock::{Clock as _, SystemClock};

#[derive(Debug, Args)]
pub(in crate::cli) struct Members {
    #[command(flatten)]
    which: Which,
    /// Take this party out, whatever the patterns say, and put an end to all keys that it holds
    #[arg(long, value_name = "PARTY", conflicts_with_all = ["restore", "all", "after", "limit"])]
    remove: Option<String>,
    /// Let a party that was taken out be a member again
    #[arg(long, value_name = "PARTY", conflicts_with_all = ["all", "after", "limit"])]
    restore: Option<String>,
    /// Also those that a pattern is about and that are left out, and why
    #[arg(long)]
    all: bool,
    /// Begin after this name
    #[arg(long, value_name = "NAME")]
    after: Option<String>,
    /// At most so many; all without it
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    #[command(flatten)]
    expected: Expected,
}

impl Members {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let group = admin.name(&self.which.name).await?;
        match (&self.remove, &self.restore) {
            (Some(party), _) => self.remove(&group, &admin.name(party).await?, admin, output).await,
            (None, Some(party)) => self.restore(&group, &admin.name(party).await?, admin, output).await,
            (None, None) if self.expected.if_revision.is_some() => {
                Err("--if-revision goes with --remove or --restore".into())
            }
            (None, None) => self.list(&group, admin, output).await,
        }
    }

    async fn list(&self, group: &Name, admin: &Admin, output: &Output) -> Outcome {
        let (mut members, mut total) = (Vec::new(), None);
        let mut after = match &self.after {
            Some(name) => Some(admin.name(name).await?),
            None => None,
        };
        let wanted = self.limit.map_or(usize::MAX, |limit| limit as usize);
        while members.len() < wanted {
            let page: MemberPage = admin
                .get(format!("{}/members", path(group)))
                .query("left_out", self.all.then_some(true))
                .query("limit", Some((wanted - members.len()).min(MAX_PAGE)))
                .query("after", after.take())
                .read()
                .await?;
            members.extend(page.members);
            total = total.or(page.total);
            after = page.next;
            if after.is_none() {
                break;
            }
        }
        let page = MemberPage { members, total, next: after };
        Ok(output.print(&page, |out| {
            if page.members.is_empty() && self.after.is_none() {
                return writeln!(
                    out,
                    "No party is a member; `keycell group show {}` has the patterns.",
                    group.local()
                );
            }
            write(out, &page.members)?;
            page.next.as_ref().map_or(Ok(()), |next| writeln!(out, "There are more: --after {next}"))
        })?)
    }

    async fn remove(&self, group: &Name, party: &Name, admin: &Admin, output: &Output) -> Outcome {
        let view: GroupView =
            admin.put(excluded(group, party)).if_revision(self.expected.if_revision).read().await?;
        Ok(output.print(&view, |out| {
            writeln!(
                out,
                "{party} is no member of {group}: it opens nothing that is sent under new tickets."
            )?;
            match view.old_keys_until {
                Some(end) => {
                    let left = end.0.saturating_sub(SystemClock.now().0).div_ceil(1000);
                    writeln!(
                        out,
                        "What it can still open, under tickets given before, ends by {}, in {}.",
                        time(end),
                        length(left)
                    )
                }
                None => writeln!(out, "Tickets given before have ended: it opens nothing at all."),
            }
        })?)
    }

    async fn restore(&self, group: &Name, party: &Name, admin: &Admin, output: &Output) -> Outcome {
        let before: GroupView = admin.get(path(group)).read().await?;
        let after =
            admin.delete(excluded(group, party)).if_revision(self.expected.if_revision).revision().await?;
        // A change has another revision; a KDC of an earlier release names none.
        let changed = after != Some(before.revision);
        let restored = serde_json::json!({ "group": group, "restored": changed.then_some(party) });
        Ok(output.print(&restored, |out| match changed {
            true => {
                writeln!(out, "{party} is left out of {group} no more: it is a member while a pattern is about it and it is enabled.")
            }
            false => writeln!(out, "{party} was not taken out of {group}: nothing is changed."),
        })?)
    }
}

fn excluded(group: &Name, party: &Name) -> String {
    format!("{}/excluded/{}", path(group), segment(party.as_str()))
}

fn write(out: &mut dyn io::Write, members: &[MemberView]) -> io::Result<()> {
    let rows = members.iter().map(|member| [member.name.to_string(), state(member.left_out).to_owned()]);
    table(out, ["NAME", "STATE"], rows)
}

/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
