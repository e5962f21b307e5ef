//! `keycell audit trim`

use clap::Args;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{Moment, time};
use super::super::output::Output;
use super::super::table::counted;
use super::AUDIT;
use crate::api::{AuditTrim, AuditTrimmed};

/// What is removed is gone: `keycell audit export` first, if it is to be kept elsewhere.
#[derive(Debug, Args)]
pub(in crate::cli) struct Trim {
    /// Remove records from before then: a time of RFC 3339, or a span ago such as 400d
    #[arg(long, value_name = "WHEN")]
    before: Moment,
    /// Only say what would be removed
    #[arg(long)]
    dry_run: bool,
}

impl Trim {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let trim = AuditTrim { before: self.before.ago(), dry_run: self.dry_run };
        let trimmed: AuditTrimmed = admin.post(format!("{AUDIT}/trim")).json(&trim)?.long().read().await?;
        Ok(output.print(&trimmed, |out| {
            let before = time(trim.before);
            if trimmed.removed == 0 {
                return writeln!(out, "There is no record from before {before} to remove.");
            }
            let records = counted(trimmed.removed, "record", "records");
            let are = if trimmed.dry_run { "would be" } else { "are" };
            writeln!(out, "{records} from before {before} {are} removed, through number {}.", trimmed.through)
        })?)
    }
}
