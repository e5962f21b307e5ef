//! `keycell group delete`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::Expected;
use super::{Which, path, show};
use crate::api::GroupView;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let name = admin.name(&self.which.name).await?;
        if self.dry_run {
            let view: GroupView = admin.get(path(&name)).read().await?;
            return Ok(output.print(&view, |out| {
                writeln!(out, "This would be deleted:\n")?;
                show::write(out, &view)
            })?);
        }
        admin.delete(path(&name)).if_revision(self.expected.if_revision).done().await?;
        Ok(output
            .print(&serde_json::json!({ "deleted": name }), |out| writeln!(out, "{name} is deleted."))?)
    }
}
