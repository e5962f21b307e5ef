//! `keycell party forget-author-key`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::{Expected, Which, path};

#[derive(Debug, Args)]
pub(in crate::cli) struct ForgetAuthorKey {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
}

impl ForgetAuthorKey {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let name = admin.name(&self.which.name).await?;
        let path = format!("{}/author-key", path(&name));
        admin.delete(path).if_revision(self.expected.if_revision).done().await?;
        Ok(output.print(&serde_json::json!({ "forgotten": name }), |out| {
            writeln!(out, "{name} has no signing key: the next one that it asks a voucher for is its own.")
        })?)
    }
}
