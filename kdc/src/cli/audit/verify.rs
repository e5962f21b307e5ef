//! `keycell audit verify`

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde_json::Value;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::super::table::{counted, printable};
use super::{AUDIT, seal};
use crate::api::AuditReport;
use crate::audit::{Exported, Link, PublicKey, verify_export};

/// Each thing that is wrong is a line, and the exit status is 1 if there is any. Note a seal down now and then: only with
/// --noted is it seen that the whole database was set back to an older state. The KDC checks its own log; a KDC that was
/// taken over could lie, so check an export elsewhere with --file.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// Check this export here, without a KDC
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    file: Option<PathBuf>,
    /// The zone's audit key, 64 hexadecimal digits, as `seal` prints it [default: what the export says it is]
    #[arg(long, value_name = "HEX", requires = "file")]
    key: Option<PublicKey>,
    /// A record that was noted down before, as `seal` prints it; may be repeated
    #[arg(long, value_name = "SEQ:HASH")]
    noted: Vec<Link>,
}

impl Verify {
    /// Checks a file, if one is named.
    pub(super) fn offline(&self, output: &Output) -> Outcome<Option<ExitCode>> {
        let Some(path) = &self.file else { return Ok(None) };
        let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", path.display());
        let file = BufReader::new(File::open(path).map_err(|error| failed(&error))?);
        let exported = verify_export(file, self.key.as_ref(), &self.noted).map_err(|error| failed(&error))?;
        output.print(&exported.verdict, |out| write_exported(out, &exported))?;
        let sound = exported.verdict.is_sound();
        Ok(Some(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE }))
    }

    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome<ExitCode> {
        let noted: Vec<_> = self.noted.iter().map(ToString::to_string).collect();
        let noted = (!noted.is_empty()).then(|| noted.join(","));
        let report: AuditReport =
            admin.post(format!("{AUDIT}/verify")).query("noted", noted).long().read().await?;
        output.print(&report, |out| write(out, &report))?;
        Ok(if report.intact { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }
}

fn write_exported(out: &mut dyn io::Write, exported: &Exported) -> io::Result<()> {
    let verdict = &exported.verdict;
    for finding in &verdict.findings {
        writeln!(out, "{}", printable(&finding.text))?;
    }
    if verdict.more > 0 {
        writeln!(out, "And {} more.", verdict.more)?;
    }
    let summary = &verdict.summary;
    let records = counted(summary.records, "record", "records");
    let is = if verdict.is_sound() { "is" } else { "is NOT" };
    let (first, last) = (summary.first.unwrap_or_default(), summary.last.unwrap_or_default());
    writeln!(out, "The log of zone {} {is} intact: {records}, {first} to {last}.", exported.zone)?;
    if exported.pinned {
        return Ok(());
    }
    writeln!(
        out,
        "It was held against the key that it names itself, {}: compare that with what `keycell audit seal` once printed, \
         and give it with --key.",
        exported.public
    )
}

fn write(out: &mut dyn io::Write, report: &AuditReport) -> io::Result<()> {
    for finding in &report.findings {
        let text = finding.get("text").and_then(Value::as_str);
        let text = text.map_or_else(|| finding.to_string(), str::to_owned);
        writeln!(out, "{}", printable(&text))?;
    }
    let more = report.findings_total.saturating_sub(report.findings.len() as u64);
    if more > 0 {
        writeln!(out, "And {more} more.")?;
    }
    let records = counted(report.records, "record", "records");
    if report.intact {
        writeln!(out, "The log is intact: {records}, {} to {}.", report.first, report.last)?;
    } else {
        writeln!(out, "The log is NOT intact: {records} checked, {} to {}.", report.first, report.last)?;
    }
    report.head.as_ref().map_or(Ok(()), |head| {
        writeln!(out)?;
        seal::write(out, head)
    })
}
