//! `keycell group create`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::show::Shown;
use super::{GROUPS, lifetime};
use crate::api::{GroupView, NewGroup};

#[derive(Debug, Args)]
pub(in crate::cli) struct Create {
    /// Its name, without a dot; with or without the zone
    name: String,
    /// Who is a member: a pattern on names of this zone, up to 32 of them [default: the group's name and .*]
    #[arg(long, value_name = "PATTERN")]
    members: Vec<String>,
    /// For how long a key seals, 1m to 24h; who is taken out opens nothing at all after it [default: 5m]
    #[arg(long, value_name = "SPAN", value_parser = lifetime)]
    lifetime: Option<u32>,
    /// Let members refuse a message to the group that does not prove its author
    #[arg(long)]
    author_proof: bool,
    /// What to remember of it: at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
}

impl Create {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let new = NewGroup {
            name: admin.name(&self.name).await?,
            members: (!self.members.is_empty()).then_some(self.members),
            lifetime_seconds: self.lifetime,
            author_proof: self.author_proof,
            note: self.note,
        };
        let group: GroupView = admin.post(GROUPS).json(&new)?.create().await?;
        Shown::print(group, None, admin, output).await
    }
}
