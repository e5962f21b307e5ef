//! `keycell group`

mod create;
mod delete;
mod list;
mod members;
mod of_party;
mod rotate;
mod senders;
mod show;
mod update;

use clap::{Args, Subcommand};
use keycell_protocol::Name;

use super::admin::{Admin, segment};
use super::moment::span;
use super::output::Output;
use super::{Global, Outcome};
use crate::api::LeftOut;
use crate::groups::LIFETIME;

pub(super) use of_party::OfParty;

#[derive(Debug, Subcommand)]
pub(super) enum Group {
    /// Make a group: a name that messages can be sent to, with members by pattern
    Create(create::Create),
    /// List the groups, in the order of their names; or those of a party
    List(list::List),
    /// Show one group, and who may send to it
    Show(Which),
    /// List the members of a group; take one out, or let it back in
    Members(members::Members),
    /// Change a group; what is not named stays
    Update(update::Update),
    /// Put an end to all keys of a group that are out; its members fetch new ones by themselves
    Rotate(rotate::Rotate),
    /// Delete a group and its keys; nobody is given them any more, nor a ticket for it
    Delete(delete::Delete),
}

#[derive(Debug, Args)]
pub(super) struct Which {
    /// Its name, with or without the zone
    name: String,
}

impl Group {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        match self {
            Self::Create(create) => create.run(&admin, output).await,
            Self::List(list) => list.run(&admin, output).await,
            Self::Show(which) => show::group(&which, &admin, output).await,
            Self::Members(members) => members.run(&admin, output).await,
            Self::Update(update) => update.run(&admin, output).await,
            Self::Rotate(rotate) => rotate.run(&admin, output).await,
            Self::Delete(delete) => delete.run(&admin, output).await,
        }
    }
}

/// What a party is in a group.
const fn state(left_out: Option<LeftOut>) -> &'static str {
    match left_out {
        None => "member",
        Some(LeftOut::Disabled) => "left out: disabled",
        Some(LeftOut::Excluded) => "left out: taken out",
    }
}

fn path(name: &Name) -> String {
    format!("{GROUPS}/{}", segment(name.as_str()))
}

/// For how long a key seals, in seconds.
fn lifetime(text: &str) -> Result<u32, &'static str> {
    span(text)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .filter(|seconds| LIFETIME.contains(seconds))
        .ok_or("write a span from 1m to 24h, such as 5m")
}

const GROUPS: &str = "/v1/admin/groups";
