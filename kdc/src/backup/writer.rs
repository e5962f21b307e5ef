//! Writes the lines of a backup.

use std::collections::BTreeMap;
use std::io::Write;

use aws_lc_rs::digest::{Context, SHA256};
use serde::Serialize;
use serde_json::Value;

use super::{CellFile, End, FORMAT, Header};
use crate::audit::hex;
use crate::store::dump::{CopyError, Moment, Sink, Table};

/// Writes a database as the lines of a backup.
pub struct Writer<W: Write> {
    out: W,
    digest: Context,
    created_at: u64,
    audit_key: String,
    files: Vec<CellFile>,
    header: Option<Header>,
    counts: BTreeMap<String, u64>,
    table: String,
}

/// A backup that was written to its end.
pub struct Finished<W> {
    /// What it was written to.
    pub out: W,
    /// What the first line said.
    pub header: Option<Header>,
    /// How many rows each table has.
    pub counts: BTreeMap<String, u64>,
}

impl<W: Write> Writer<W> {
    /// Writes to `out`, with these files of the cell before the tables. `audit_key` is the public half.
    pub fn new(out: W, created_at: u64, audit_key: &[u8], files: Vec<CellFile>) -> Self {
        Self {
            out,
            digest: Context::new(&SHA256),
            created_at,
            audit_key: hex::encode(audit_key),
            files,
            header: None,
            counts: BTreeMap::new(),
            table: String::new(),
        }
    }

    /// Writes the last line.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn finish(mut self) -> Result<Finished<W>, CopyError> {
        let sha256 = hex::encode(self.digest.clone().finish().as_ref());
        let end = End { end: std::mem::take(&mut self.counts), sha256 };
        self.line(&end)?;
        Ok(Finished { out: self.out, header: self.header, counts: end.end })
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), CopyError> {
        let mut bytes = zeroize::Zeroizing::new(serde_json::to_vec(line)?);
        bytes.push(b'\n');
        self.digest.update(&bytes);
        Ok(self.out.write_all(&bytes)?)
    }
}

impl<W: Write + Send> Sink for Writer<W> {
    fn begin(&mut self, moment: &Moment) -> Result<(), CopyError> {
        let header = Header {
            keycell_backup: FORMAT,
            release: env!("CARGO_PKG_VERSION").to_owned(),
            zone: moment.zone.zone.to_string(),
            schema: moment.schema,
            created_at: self.created_at,
            audit_head: moment.head.as_ref().map(|head| head.link.to_string()),
            audit_key: self.audit_key.clone(),
        };
        self.line(&header)?;
        self.header = Some(header);
        for file in std::mem::take(&mut self.files) {
            self.line(&file)?;
        }
        Ok(())
    }

    fn table(&mut self, table: &Table) -> Result<(), CopyError> {
        self.table.clone_from(&table.name);
        self.counts.insert(table.name.clone(), 0);
        self.line(table)
    }

    fn row(&mut self, row: Vec<Value>) -> Result<(), CopyError> {
        if let Some(count) = self.counts.get_mut(&self.table) {
            *count = count.saturating_add(1);
        }
        self.line(&row)
    }
}
