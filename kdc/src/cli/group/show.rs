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
use crate::api::GroupView;

/// A group with who may send to it.
#[derive(Debug, Serialize)]
pub(super) struct Shown {
    #[serde(flatten)]
    group: GroupView,
    senders: Senders,
}

pub(super) async fn group(which: &Which, admin: &Admin, output: &Output) -> Outcome {
    let group: GroupView = admin.get(path(&admin.name(&which.name).await?)).read().await?;
    Shown::print(group, admin, output).await
}

impl Shown {
    /// Prints a group, and who may send to it.
    pub(super) async fn print(group: GroupView, admin: &Admin, output: &Output) -> Outcome {
        let senders = Senders::of(&group.name, admin).await?;
        let shown = Self { group, senders };
        Ok(output.print(&shown, |out| {
            write(out, &shown.group)?;
            shown.senders.write(out, &shown.group.name)
        })?)
    }
}

/// Everything that is known of a group.
pub(super) fn write(out: &mut dyn io::Write, view: &GroupView) -> io::Result<()> {
    let members = match view.member_count {
        Some(count) => format!("{}; now {}", view.members.join(", "), counted(count, "party", "parties")),
        None => view.members.join(", "),
    };
    let mut keys =
        format!("generation {}, of the chain that began {}", view.generation, time(view.chain_began_at));
    if let Some(end) = view.old_keys_until {
        keys.push_str(&format!("; what was sealed before ends by {}", time(end)));
    }
    fields(
        out,
        [
            ("name", view.name.to_string()),
            ("members", members),
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
