//! `keycell audit`

mod export;
mod query;
mod seal;
mod tail;
mod trim;
mod verify;

use std::io;
use std::process::ExitCode;

use clap::Subcommand;
use serde_json::Value;

use super::admin::Admin;
use super::moment::time;
use super::output::Output;
use super::table::printable;
use super::{Global, Outcome};
use crate::api::AuditRecord;

#[derive(Debug, Subcommand)]
pub(super) enum Audit {
    /// Print the last records, the newest at the end
    Tail(tail::Tail),
    /// Look for records
    Query(query::Query),
    /// Write the whole log, a record a line, for keeping elsewhere
    Export(export::Export),
    /// Check that nothing in the log was changed, removed, inserted or put in another order
    Verify(verify::Verify),
    /// Print a signed statement on the log as it is now, to note down elsewhere
    Seal,
    /// Remove old records; a seal keeps the rest verifiable
    Trim(trim::Trim),
}

impl Audit {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome<ExitCode> {
        if let Self::Verify(verify) = &self
            && let Some(code) = verify.offline(output)?
        {
            return Ok(code);
        }
        let admin = Admin::new(global)?;
        match self {
            Self::Tail(tail) => tail.run(&admin, output).await?,
            Self::Query(query) => query.run(&admin, output).await?,
            Self::Export(export) => export.run(&admin, output).await?,
            Self::Verify(verify) => return verify.run(&admin, output).await,
            Self::Seal => seal::run(&admin, output).await?,
            Self::Trim(trim) => trim.run(&admin, output).await?,
        }
        Ok(ExitCode::SUCCESS)
    }
}

/// A record in one line.
fn line(record: &AuditRecord) -> String {
    let mut line = format!("{} {} {}", record.seq, time(record.at), record.actor);
    for part in [&record.action, &record.target] {
        if !part.is_empty() {
            line.push(' ');
            line.push_str(part);
        }
    }
    line.push_str(&format!(": {}", record.outcome));
    if !record.address.is_empty() {
        line.push_str(&format!(" from {}", record.address));
    }
    if !matches!(&record.detail, Value::Null) && record.detail != Value::Object(serde_json::Map::new()) {
        line.push_str(&format!(" {}", record.detail));
    }
    printable(&line)
}

fn write(out: &mut dyn io::Write, records: &[AuditRecord]) -> io::Result<()> {
    records.iter().try_for_each(|record| writeln!(out, "{}", line(record)))
}

const AUDIT: &str = "/v1/admin/audit";
/// The largest page that the KDC gives.
const MAX_PAGE: usize = 1000;
