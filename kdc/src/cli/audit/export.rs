//! `keycell audit export`

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::output::Output;
use super::AUDIT;
use crate::files;

/// `keycell audit verify --file` checks what is written.
#[derive(Debug, Args)]
pub(in crate::cli) struct Export {
    /// The file to write, which must not exist; `-` prints it
    #[arg(default_value = "-", value_hint = ValueHint::FilePath)]
    file: PathBuf,
}

impl Export {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        if self.file.as_os_str() == "-" {
            return match copy(admin, &mut io::stdout().lock()).await {
                Err(error) if is_broken_pipe(&*error) => Ok(()),
                other => other.map(drop),
            };
        }
        let shown = self.file.display();
        if self.file.exists() {
            return Err(format!("{shown} exists already; name another file").into());
        }
        // Under its own name only when it is whole.
        let mut name = self.file.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{}", std::process::id()));
        let new = self.file.with_file_name(name);
        let lines = write(admin, &new, &self.file).await.inspect_err(|_| drop(fs::remove_file(&new)))?;
        let done = serde_json::json!({ "file": self.file, "lines": lines });
        Ok(output.print(&done, |out| writeln!(out, "The log is in {shown}: {lines} lines."))?)
    }
}

async fn write(admin: &Admin, new: &Path, file: &Path) -> Outcome<u64> {
    let failed = |error: io::Error| format!("cannot write {}: {error}", file.display());
    let mut out: File =
        OpenOptions::new().write(true).create_new(true).mode(0o600).open(new).map_err(failed)?;
    let lines = copy(admin, &mut out).await?;
    out.sync_all().and_then(|()| fs::hard_link(new, file)).map_err(failed)?;
    fs::remove_file(new).and_then(|()| files::sync_folder(file)).map_err(failed)?;
    Ok(lines)
}

/// Copies the log as it comes, and counts its lines.
async fn copy(admin: &Admin, out: &mut impl Write) -> Outcome<u64> {
    let mut response = admin.get(format!("{AUDIT}/export")).stream(None).await?;
    let mut lines = 0;
    while let Some(chunk) =
        response.chunk().await.map_err(|_| "the KDC's answer was cut off; run this again")?
    {
        lines += chunk.iter().filter(|byte| **byte == b'\n').count() as u64;
        out.write_all(&chunk)?;
    }
    out.flush()?;
    Ok(lines)
}

fn is_broken_pipe(error: &(dyn std::error::Error + 'static)) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}
