//! `keycell group rotate`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::time;
use super::super::output::Output;
use super::super::party::Expected;
use super::{Which, path};
use crate::api::GroupView;

#[derive(Debug, Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
}

impl Rotate {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let call = admin.post(format!("{}/rotate", path(&admin.name(&self.which.name).await?)));
        let view: GroupView = call.if_revision(self.expected.if_revision).create().await?;
        Ok(output.print(&view, |out| {
            writeln!(out, "{} seals with generation {} of a new chain.", view.name, view.generation)?;
            view.old_keys_until.map_or(Ok(()), |end| {
                writeln!(
                    out,
                    "What is on its way opens as before; tickets given before end by {}.",
                    time(end)
                )
            })
        })?)
    }
}
