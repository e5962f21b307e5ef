//! `keycell group update`

use clap::{ArgGroup, Args};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::Expected;
use super::{Which, lifetime, path, show};
use crate::api::{GroupPatch, GroupView};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    which: Which,
    /// Who is a member: all patterns, in the place of those before. Without one of those, all keys that are out end
    #[arg(long, group = "change", value_name = "PATTERN")]
    members: Vec<String>,
    /// For how long a key seals, 1m to 24h; another one puts an end to all keys that are out
    #[arg(long, group = "change", value_name = "SPAN", value_parser = lifetime)]
    lifetime: Option<u32>,
    /// Whether members refuse a message to the group that does not prove its author
    #[arg(long, group = "change", value_name = "BOOL")]
    author_proof: Option<bool>,
    /// What to remember of it: at most 200 characters
    #[arg(long, group = "change", value_name = "TEXT")]
    note: Option<String>,
    #[command(flatten)]
    expected: Expected,
}

impl Update {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let patch = GroupPatch {
            members: (!self.members.is_empty()).then_some(self.members),
            lifetime_seconds: self.lifetime,
            author_proof: self.author_proof,
            note: self.note,
        };
        let call = admin.patch(path(&admin.name(&self.which.name).await?));
        let view: GroupView = call.if_revision(self.expected.if_revision).json(&patch)?.read().await?;
        Ok(output.print(&view, |out| show::write(out, &view))?)
    }
}
