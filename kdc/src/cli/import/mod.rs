//! `keycell party import`: many parties in one call.
//!
//! The keys are made here, each from a seed in a state file and the party's full name. So a run that was cut off is
//! simply run again: it sends the same keys, the KDC answers `unchanged` for what it has, and all key files come out.

mod answer;
mod archive;
mod input;
mod keys;
pub(in crate::cli) mod progress;
mod report;
mod send;
mod state;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use clap::{ArgGroup, Args, ValueHint};
use keycell_client::KdcAddress;

use super::Outcome;
use super::admin::Admin;
use super::bundle::trusted;
use super::output::Output;
use super::recipients::Recipients;
use answer::Answers;
use input::{Format, Input};
use keys::{KeyFiles, Known};
use progress::Progress;
use report::Report;
use send::Sender;
use state::Seed;

/// A row has a name, with or without the zone, and may have a note, log_tickets (true or false), and a key of 32 bytes in
/// base64url; without one, the key is made here. In CSV the first line names the columns; in NDJSON each line is an
/// object. If the import is cut off or some rows are refused, put right what is wrong and run the same command again:
/// until every row is done, a state file keeps what the keys are made from, so that nothing is made twice.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("output").required(true).multiple(true))]
pub(in crate::cli) struct Import {
    /// The file of parties, .csv or .ndjson; `-` reads standard input
    #[arg(value_hint = ValueHint::FilePath)]
    input: PathBuf,
    /// How the input is written [default: by the file's ending, or by its first character]
    #[arg(long, value_enum)]
    format: Option<Format>,
    /// Write the key files to this folder, each mode 0600; made if it is not there
    #[arg(long, value_name = "DIR", group = "output", value_hint = ValueHint::DirPath)]
    out_dir: Option<PathBuf>,
    /// Write the key files to this tar archive, encrypted with age
    #[arg(long, value_name = "FILE", group = "output", conflicts_with = "out_dir", value_hint = ValueHint::FilePath)]
    archive: Option<PathBuf>,
    /// Who can open the archive: an age recipient (age1…); repeat it for more
    #[arg(long = "recipient", value_name = "RECIPIENT", requires = "archive")]
    recipients: Vec<String>,
    /// A file of age recipients, one a line
    #[arg(long, value_name = "FILE", requires = "archive", value_hint = ValueHint::FilePath)]
    recipients_file: Option<PathBuf>,
    /// Write what became of each row to this file, an object a line, without keys
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    report: Option<PathBuf>,
    /// The state file, mode 0600: whoever has it can make the keys again, and it is removed when every row is done
    /// [default: the input and .keycell-import; for `-` the output and .keycell-import]
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    state: Option<PathBuf>,
    /// Only say what would be done; nothing is made or written but the report
    #[arg(long, group = "output")]
    dry_run: bool,
}

impl Import {
    pub(in crate::cli) async fn run(self, admin: Admin, output: &Output) -> Outcome<ExitCode> {
        let input = Input::open(&self.input, self.format)?;
        let state = self.state_file();
        let keys = match (&self.out_dir, &self.archive) {
            _ if self.dry_run => None,
            (Some(folder), _) => Some(KeyFiles::folder(folder)?),
            (None, Some(archive)) => {
                let recipients = Recipients::read(&self.recipients, self.recipients_file.as_deref())?;
                Some(KeyFiles::archive(archive, &recipients, state.exists())?)
            }
            (None, None) => None,
        };
        let report = self.report.as_deref().map(Report::create).transpose()?;
        let zone = admin.zone().await?;
        let seed = if self.dry_run { Seed::passing(&state)? } else { Seed::open(&state)? };
        let seed = Arc::new(seed);

        let progress = Progress::new(output, "rows", input.rows());
        let (sender, body) = Sender::start(input, zone, seed.clone());
        let call = admin.post("/v1/admin/parties/import");
        let call = call.query("dry_run", self.dry_run.then_some(true));
        let advice = |error| format!("{error}; {}", advice(&state, self.dry_run));
        let response = call.stream(Some(("application/x-ndjson", body))).await.map_err(advice)?;
        let answers = Answers::new(sender, report, progress);
        let mut done = answers.read(response).await.map_err(advice)?;

        let written = match keys {
            Some(keys) => {
                let address =
                    KdcAddress { urls: done.summary.urls.clone(), tls_roots: admin.roots().to_owned() };
                let signers = done.summary.signers.clone();
                let kdc = Known { address, signers, trusted: trusted(&admin).await };
                let (made, period) = (std::mem::take(&mut done.made), done.summary.ratchet_period);
                let progress = Progress::new(output, "key files", Some(made.len() as u64));
                let resumed = seed.resumed();
                let write = move || keys.write(&made, period, &kdc, resumed, progress);
                Some(tokio::task::spawn_blocking(write).await?.map_err(|error| {
                    format!("{error}; the parties are made: put that right and run the same command again")
                })?)
            }
            None => None,
        };
        let all = done.summary.created + done.summary.unchanged == done.summary.lines;
        if all {
            seed.remove()?;
        }
        let rest = (!all && !self.dry_run).then_some(&*state);
        done.print(written.as_deref(), rest, self.dry_run, output)?;
        Ok(if all { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    fn state_file(&self) -> PathBuf {
        if let Some(state) = &self.state {
            return state.clone();
        }
        let beside = if self.input.as_os_str() == "-" {
            self.out_dir.as_deref().or(self.archive.as_deref()).unwrap_or(Path::new("import"))
        } else {
            &self.input
        };
        // `keys/` and `keys` are the same folder.
        let mut name = beside.file_name().unwrap_or_default().to_owned();
        name.push(".keycell-import");
        beside.with_file_name(name)
    }
}

fn advice(state: &Path, dry_run: bool) -> String {
    if dry_run {
        return "nothing was made".to_owned();
    }
    format!(
        "some parties may be made: run the same command again, and nothing is made twice as long as {} is there",
        state.display()
    )
}

/// For opening a file, but not through a link: somebody else's folder could lead elsewhere.
const NO_LINK: i32 = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
