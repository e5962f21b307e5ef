//! `keycell trust delete`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::Expected;
use super::{Which, show};
use crate::api::TrustView;

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
        let Which { direction, zone } = &self.which;
        if self.dry_run {
            let view: TrustView = admin.get(self.which.path()).read().await?;
            return Ok(output.print(&view, |out| {
                writeln!(out, "This would be deleted:\n")?;
                show::write(out, &view)
            })?);
        }
        admin.delete(self.which.path()).if_revision(self.expected.if_revision).done().await?;
        let told = serde_json::json!({ "deleted": { "direction": direction, "zone": zone } });
        Ok(output.print(&told, |out| writeln!(out, "The {direction} trust with {zone} is deleted."))?)
    }
}
