//! `keycell trust rotate`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::party::Expected;
use super::Which;
use crate::api::TrustView;
use crate::trust::Direction;

#[derive(Debug, Args)]
pub(in crate::cli) struct Rotate {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
}

impl Rotate {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let call = admin.post(format!("{}/rotate", self.which.path()));
        let view: TrustView = call.if_revision(self.expected.if_revision).create().await?;
        Ok(output.print(&view, |out| match view.direction {
            Direction::Incoming => {
                writeln!(out, "{} is told to fetch another key when it next asks for tickets.", view.zone)
            }
            Direction::Outgoing => {
                writeln!(out, "This zone's KDC fetches another key from {} within a minute.", view.zone)
            }
        })?)
    }
}
