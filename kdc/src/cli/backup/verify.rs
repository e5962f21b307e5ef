//! `keycell backup verify`

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, ValueHint};
use serde::Serialize;

use super::super::Outcome;
use super::super::moment::time;
use super::super::output::Output;
use super::super::table::printable;
use crate::backup::{self, Checked, Header, Opened};
use crate::cell::{Cell, MASTER_KEY};
use crate::files;
use crate::keyring::MasterKeySource;
use crate::store::{self, Replaced};
use keycell_protocol::UnixMillis;

/// Decrypts all of it, puts it into a scratch database, and looks through that: the counts, the audit log's chain, and with
/// the master key that every key and document opens. Each thing that is wrong is a line, and the exit status is 1 if there is
/// any. It needs as much room for temporary files as the database is large.
#[derive(Debug, Args)]
pub(in crate::cli) struct Verify {
    /// The backup
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// The file with the recovery identity; not needed for what `age --decrypt` has decrypted
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    identity: Option<PathBuf>,
    /// The file of the master key: what is wrapped must open, too
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    master_key: Option<PathBuf>,
}

#[derive(Serialize)]
struct Verified {
    #[serde(flatten)]
    header: Header,
    #[serde(flatten)]
    checked: Checked,
}

impl Verify {
    pub(super) async fn run(self, output: &Output) -> Outcome<ExitCode> {
        let mut opened = backup::open(&self.file, self.identity.as_deref())?;
        let header = opened.header().clone();
        let scratch = tempfile::Builder::new().prefix("keycell-backup-").tempdir();
        let scratch = scratch.map_err(|error| format!("cannot make a temporary folder: {error}"))?;
        let url = format!("sqlite:{}", scratch.path().join("backup.db").display());
        store::load(&url, header.schema, Replaced::No, &mut opened)
            .await
            .map_err(backup::BackupError::from)?;
        let store = store::connect(&url).await?;
        let cell = match self.master_key(&opened, scratch.path())? {
            Some(source) => Some(Cell::of(store.clone(), source.load()?).await?),
            None => None,
        };
        let checked = backup::check(&store, &header, cell.as_ref()).await;
        store.close().await;
        let verified = Verified { header, checked: checked? };
        output.print(&verified, |out| write(out, &verified))?;
        let sound = verified.checked.findings.is_empty();
        Ok(if sound { ExitCode::SUCCESS } else { ExitCode::FAILURE })
    }

    /// The master key that was named, or the one in the backup.
    fn master_key(&self, opened: &Opened, scratch: &Path) -> Outcome<Option<MasterKeySource>> {
        if let Some(file) = &self.master_key {
            return Ok(Some(MasterKeySource::File(file.clone())));
        }
        let Some(text) = opened.cell_file(MASTER_KEY) else { return Ok(None) };
        let file = scratch.join(MASTER_KEY);
        files::write_new(&file, text.as_bytes(), 0o600)?;
        Ok(Some(MasterKeySource::File(file)))
    }
}

fn write(out: &mut dyn std::io::Write, verified: &Verified) -> std::io::Result<()> {
    let Verified { header, checked } = verified;
    for finding in &checked.findings {
        writeln!(out, "{}", printable(finding))?;
    }
    let is = if checked.findings.is_empty() { "is" } else { "is NOT" };
    writeln!(
        out,
        "The backup of zone {} of {} {is} whole: {} parties, {} rules, settings and tokens, {} records of the audit log.",
        header.zone,
        time(UnixMillis(header.created_at)),
        checked.parties,
        checked.documents,
        checked.records
    )?;
    match checked.keys {
        Some(keys) => writeln!(out, "All that the master key wraps was tried: {keys} keys of parties open."),
        None => writeln!(out, "What the master key wraps was not tried: name its file with --master-key."),
    }
}
