//! `keycell party delete`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::{Expected, Which, path, show};
use crate::api::PartyView;

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
    /// Let the host come aboard again with the key that it has: without this, the key of a party that came aboard by itself
    /// is denied from now on
    #[arg(long)]
    forget: bool,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

impl Delete {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let name = admin.name(&self.which.name).await?;
        if self.dry_run {
            let view: PartyView = admin.get(path(&name)).read().await?;
            return Ok(output.print(&view, |out| {
                writeln!(out, "This would be deleted:\n")?;
                show::write(out, &view)
            })?);
        }
        let forget = self.forget.then_some(true);
        admin
            .delete(path(&name))
            .query("forget", forget)
            .if_revision(self.expected.if_revision)
            .done()
            .await?;
        Ok(output
            .print(&serde_json::json!({ "deleted": name }), |out| writeln!(out, "{name} is deleted."))?)
    }
}
