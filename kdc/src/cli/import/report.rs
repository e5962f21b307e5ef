//! What became of each row, in a file.

use std::fs::{File, OpenOptions};
use std::io::{self, BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use super::super::Outcome;
use crate::api::Imported;

/// A file of NDJSON.
pub(super) struct Report {
    out: BufWriter<File>,
    path: PathBuf,
}

impl Report {
    /// Begins one, in the place of the one that may be there.
    pub(super) fn create(path: &Path) -> Outcome<Self> {
        let file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
        let file = file.map_err(|error| failed(path, &error))?;
        Ok(Self { out: BufWriter::new(file), path: path.to_owned() })
    }

    pub(super) fn add(&mut self, row: &Imported) -> Outcome {
        serde_json::to_writer(&mut self.out, row)
            .map_err(io::Error::from)
            .and_then(|()| self.out.write_all(b"\n"))
            .map_err(|error| failed(&self.path, &error).into())
    }

    pub(super) fn finish(mut self) -> Outcome {
        self.out.flush().map_err(|error| failed(&self.path, &error).into())
    }
}

fn failed(path: &Path, error: &io::Error) -> String {
    format!("cannot write the report {}: {error}", path.display())
}
