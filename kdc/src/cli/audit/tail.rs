//! `keycell audit tail`

use std::time::Duration;

use clap::Args;
use tokio::signal::unix::{SignalKind, signal};

use super::super::Outcome;
use super::super::admin::{Admin, Failed};
use super::super::output::{Output, refused};
use super::{AUDIT, MAX_PAGE, line};
use crate::api::{AuditPage, AuditRecord};

#[derive(Debug, Args)]
pub(in crate::cli) struct Tail {
    /// Stay, and print records as they come, until Ctrl-C
    #[arg(short, long)]
    follow: bool,
    /// How many records to begin with
    #[arg(short, value_name = "N", default_value_t = 20, value_parser = clap::value_parser!(u32).range(0..=1000))]
    number: u32,
}

impl Tail {
    /// With `--json` an object a line: a log has no end that a document could have.
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let newest = admin.get(AUDIT).query("limit", Some(self.number.max(1)));
        let mut page: AuditPage = newest.read().await?;
        let mut last = page.records.first().map_or(0, |record| record.seq);
        page.records.truncate(self.number as usize);
        page.records.reverse();
        print(&page.records, output)?;
        if !self.follow {
            return Ok(());
        }
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut terminate = signal(SignalKind::terminate())?;
        loop {
            tokio::select! {
                () = tokio::time::sleep(PAUSE) => {}
                _ = interrupt.recv() => return Ok(()),
                _ = terminate.recv() => return Ok(()),
            }
            match after(last, admin).await {
                Ok(records) => {
                    last = records.last().map_or(last, |record| record.seq);
                    print(&records, output)?;
                }
                // A KDC that is away comes back, and nothing is missed: the records are counted.
                Err(error)
                    if error.downcast_ref::<Failed>().is_some_and(|f| f.code.is_none() || f.uncertain) =>
                {
                    refused(output, &format!("{error}; trying again"));
                    tokio::time::sleep(LONG_PAUSE).await;
                }
                Err(error) => return Err(error),
            }
        }
    }
}

async fn after(seq: u64, admin: &Admin) -> Outcome<Vec<AuditRecord>> {
    let call = admin.get(AUDIT).query("after", Some(seq)).query("order", Some("oldest"));
    Ok(call.query("limit", Some(MAX_PAGE)).read::<AuditPage>().await?.records)
}

fn print(records: &[AuditRecord], output: &Output) -> Outcome {
    for record in records {
        output.print(record, |out| writeln!(out, "{}", line(record)))?;
    }
    Ok(())
}

/// Between two looks.
const PAUSE: Duration = Duration::from_secs(1);
/// After one that failed.
const LONG_PAUSE: Duration = Duration::from_secs(4);
