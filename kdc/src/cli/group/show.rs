//! `keycell group show`

use std::io;

use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{exact, time};
use super::super::output::Output;
use super::super::table::{counted, fields};
use super::senders::Senders;
use super::{Which, path};
use crate::api::{GroupView, MemberPage};

/// A group with who may send to it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    group: GroupView,
    #[serde(skip_serializing_if = "Option::is_none")]
    member_count: Option<u64>,
    senders: Senders,
}

pub(super) async fn group(which: &Which, admin: &Admin, output: &Output) -> Outcome {
    let path = path(&admin.name(&which.name).await?);
    let group: GroupView = admin.get(&*path).read().await?;
    let page: MemberPage = admin.get(format!("{path}/members")).query("limit", Some(1)).read().await?;
    Shown::print(group, page.total, admin, output).await
}

impl Shown {
    /// Prints a group, and who may send to it.
    pub(super) async fn print(
        group: GroupView,
        member_count: Option<u64>,
        admin: &Admin,
        output: &Output,
    ) -> Outcome {
        let senders = Senders::of(&group.name, admin).await?;
        let shown = Self { group, member_count, senders };
        Ok(output.print(&shown, |out| {
            write(out, &shown.group)?;
            if let Some(total) = shown.member_count {
                writeln!(out, "\n{} now.", counted(total, "member", "members"))?;
            }
            shown.senders.write(out, &shown.group.name)
        })?)
    }
}

/// Everything that is known of a group.
pub(super) fn write(out: &mut dyn io::Write, view: &GroupView) -> io::Result<()> {
    let mut keys =
        format!("generation {}, of the chain that began {}", view.generation, time(view.chain_began_at));
    if let Some(end) = view.old_keys_until {
        keys.push_str(&format!("; what was sealed before ends by {}", time(end)));
    }
    fields(
        out,
        [
            ("name", view.name.to_string()),
            ("members", view.members.join(", ")),
            ("taken out", counted(view.excluded, "party", "parties")),
            ("lifetime", exact(view.lifetime_seconds.into())),
            ("author proof", if view.author_proof { "required" } else { "not required" }.to_owned()),
            ("keys", keys),
            ("created", time(view.created_at)),
            ("changed", time(view.updated_at)),
            ("revision", view.revision.to_string()),
            ("note", view.note.clone()),
        ],
    )
}
