//! The KDC's answer: what became of each row.

use std::io;
use std::path::Path;

use keycell_protocol::{Epoch, Generation, LongTermKey, Name};
use serde::Serialize;
use zeroize::Zeroizing;

use super::super::Outcome;
use super::super::output::Output;
use super::super::table::{counted, printable};
use super::progress::Progress;
use super::report::Report;
use super::send::Sender;
use crate::api::{ImportLine, ImportOutcome, ImportSummary, Imported};

/// Reads an answer.
pub(super) struct Answers {
    sender: Sender,
    report: Option<Report>,
    progress: Progress,
    made: Vec<Made>,
    refused: Vec<Imported>,
    summary: Option<ImportSummary>,
}

/// A party that is there with the key that was sent.
pub(super) struct Made {
    pub(super) name: Name,
    pub(super) secret: Zeroizing<[u8; LongTermKey::SIZE]>,
    pub(super) generation: Generation,
    pub(super) epoch: Epoch,
}

/// What a whole import did.
pub(super) struct Done {
    pub(super) made: Vec<Made>,
    pub(super) summary: ImportSummary,
    refused: Vec<Imported>,
}

impl Answers {
    pub(super) const fn new(sender: Sender, report: Option<Report>, progress: Progress) -> Self {
        Self { sender, report, progress, made: Vec::new(), refused: Vec::new(), summary: None }
    }

    /// Reads all of it.
    pub(super) async fn read(mut self, mut response: reqwest::Response) -> Outcome<Done> {
        let mut rest = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|_| CUT_OFF)? {
            rest.extend_from_slice(&chunk);
            let Some(end) = rest.iter().rposition(|byte| *byte == b'\n') else { continue };
            let after = rest.split_off(end + 1);
            for line in rest.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                self.line(line)?;
            }
            rest = after;
        }
        let mut summary = self.summary.take().ok_or(CUT_OFF)?;
        let (rows, wrong) = self.sender.finish();
        for (row, wrong) in wrong {
            summary.invalid += 1;
            self.note(Imported {
                line: row,
                name: wrong.name,
                outcome: ImportOutcome::Invalid,
                generation: None,
                epoch: None,
                key: None,
                error: Some(wrong.what),
            })?;
        }
        summary.lines = rows;
        if let Some(report) = self.report {
            report.finish()?;
        }
        self.progress.finish();
        self.refused.sort_by_key(|row| row.line);
        Ok(Done { made: self.made, summary, refused: self.refused })
    }

    fn line(&mut self, line: &[u8]) -> Outcome {
        let mut row = match serde_json::from_slice(line).map_err(|_| NOT_UNDERSTOOD)? {
            ImportLine::Summary { summary } => {
                self.summary = Some(summary);
                return Ok(());
            }
            ImportLine::Row(row) => row,
        };
        let sent = self.sender.take(row.line).ok_or(NOT_UNDERSTOOD)?;
        row.line = sent.row;
        row.name = sent.name.to_string();
        // The key is here already, and has no place in a report.
        row.key = None;
        if matches!(row.outcome, ImportOutcome::Created | ImportOutcome::Unchanged) {
            // Of a run that only asks, a row that would be made has neither yet.
            if let (Some(generation), Some(epoch)) = (row.generation, row.epoch) {
                self.made.push(Made { name: sent.name, secret: sent.secret, generation, epoch });
            }
        }
        self.note(row)
    }

    fn note(&mut self, row: Imported) -> Outcome {
        self.progress.one();
        if let Some(report) = &mut self.report {
            report.add(&row)?;
        }
        if !matches!(row.outcome, ImportOutcome::Created | ImportOutcome::Unchanged) {
            self.refused.push(row);
        }
        Ok(())
    }
}

/// The result as programs read it.
#[derive(Serialize)]
struct View<'a> {
    summary: &'a ImportSummary,
    dry_run: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    written: Option<&'a Path>,
    /// The first rows that are not done; a report has all of them.
    refused: &'a [Imported],
}

impl Done {
    /// Prints it: where the keys are, and what is left in the state file, if anything is.
    pub(super) fn print(
        &self,
        written: Option<&Path>,
        state: Option<&Path>,
        dry_run: bool,
        output: &Output,
    ) -> Outcome {
        let summary = &self.summary;
        let refused = self.refused.get(..SHOWN).unwrap_or(&self.refused);
        let view = View { summary, dry_run, written, refused };
        Ok(output.print(&view, |out| {
            for row in refused {
                writeln!(out, "{}", line(row))?;
            }
            let more = self.refused.len() - refused.len();
            if more > 0 {
                writeln!(out, "And {more} more; --report FILE has all of them.")?;
            }
            count(out, summary, dry_run)?;
            if let Some(written) = written {
                writeln!(out, "The key files are in {}.", written.display())?;
            }
            match state {
                Some(state) => writeln!(
                    out,
                    "Put these rows right and run the same command again; or leave them, and remove {}.",
                    state.display()
                ),
                None => Ok(()),
            }
        })?)
    }
}

fn count(out: &mut dyn io::Write, summary: &ImportSummary, dry_run: bool) -> io::Result<()> {
    let rows = counted(summary.lines, "row", "rows");
    let made = if dry_run { "would be made" } else { "made" };
    writeln!(out, "{rows}: {} {made}, {} there already with this key.", summary.created, summary.unchanged)?;
    let refused = summary.exists + summary.invalid + summary.failed;
    if refused == 0 {
        return Ok(());
    }
    writeln!(
        out,
        "Not done: {} there already with another key, {} invalid, {} to try again.",
        summary.exists, summary.invalid, summary.failed
    )
}

fn line(row: &Imported) -> String {
    let what = match (row.outcome, row.error.as_deref()) {
        (_, Some(error)) => error,
        (ImportOutcome::Exists, None) => "there is a party of that name with another key",
        (ImportOutcome::Failed, None) => "the KDC could not do it",
        (_, None) => "it cannot be used",
    };
    printable(&format!("row {} {}: {what}", row.line, row.name))
}

const CUT_OFF: &str = "the KDC's answer was cut off";
const NOT_UNDERSTOOD: &str = "the KDC's answer is not understood; is it another version?";
/// How many refused rows are printed.
const SHOWN: usize = 20;
