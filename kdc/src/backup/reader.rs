//! Reads the lines of a backup, and believes none of it before the last line fits.

use std::collections::BTreeMap;
use std::io::{self, BufRead, Read as _};

use aws_lc_rs::digest::{Context, SHA256};
use serde::de::DeserializeOwned;
use serde_json::Value;
use zeroize::Zeroizing;

use super::{BackupError, CellFile, End, FORMAT, Header, MAX_LINE};
use crate::audit::hex;
use crate::store::dump::{CopyError, Item, Source, Table};

/// Reads a backup: its beginning at once, its tables as a [`Source`].
pub struct Reader<R> {
    input: R,
    digest: Context,
    /// How many lines were read.
    line: u64,
    header: Header,
    files: Vec<CellFile>,
    /// The first line after the files.
    next: Option<Zeroizing<Vec<u8>>>,
    counts: BTreeMap<String, u64>,
    table: Option<String>,
    ended: bool,
}

impl<R: BufRead> Reader<R> {
    /// Reads what it is of, and the cell's files.
    ///
    /// # Errors
    /// `Ok(None)` when it is no backup at all; [`BackupError::Format`], [`BackupError::Damaged`], [`BackupError::CutOff`].
    pub fn new(mut input: R) -> Result<Option<Self>, BackupError> {
        let mut digest = Context::new(&SHA256);
        let mut line = 0;
        let Some(first) = read(&mut input, &mut line)? else { return Ok(None) };
        let Ok(value) = serde_json::from_slice::<Value>(&first) else { return Ok(None) };
        let Some(found) = value.get("keycell_backup").and_then(Value::as_u64) else { return Ok(None) };
        if found != u64::from(FORMAT) {
            let release = value.get("release").and_then(Value::as_str).unwrap_or("of another release");
            return Err(BackupError::Format { found, release: release.to_owned(), known: FORMAT });
        }
        let header = parse(&first, line)?;
        digest.update(&first);
        let mut reader = Self {
            input,
            digest,
            line,
            header,
            files: Vec::new(),
            next: None,
            counts: BTreeMap::new(),
            table: None,
            ended: false,
        };
        loop {
            let Some(line) = read(&mut reader.input, &mut reader.line)? else {
                return Err(BackupError::CutOff { line: reader.line });
            };
            if !line.starts_with(b"{\"file\"") {
                reader.next = Some(line);
                return Ok(Some(reader));
            }
            reader.digest.update(&line);
            reader.files.push(parse(&line, reader.line)?);
        }
    }

    /// What it is of.
    #[must_use]
    pub const fn header(&self) -> &Header {
        &self.header
    }

    /// A file of the cell, if it is in there.
    #[must_use]
    pub fn cell_file(&self, name: &str) -> Option<&str> {
        self.files.iter().find(|file| file.file == name).map(|file| file.text.as_str())
    }

    /// How many rows each table has.
    #[must_use]
    pub const fn counts(&self) -> &BTreeMap<String, u64> {
        &self.counts
    }

    fn item(&mut self) -> Result<Option<Item>, BackupError> {
        if self.ended {
            return Ok(None);
        }
        let line = match self.next.take() {
            Some(line) => line,
            None => match read(&mut self.input, &mut self.line)? {
                Some(line) => line,
                None => return Err(BackupError::CutOff { line: self.line }),
            },
        };
        if line.starts_with(b"[") {
            self.digest.update(&line);
            let damaged = || self.damaged("a row comes before its table");
            let table = self.table.as_ref().ok_or_else(damaged)?;
            if let Some(count) = self.counts.get_mut(table) {
                *count = count.saturating_add(1);
            }
            return parse(&line, self.line).map(Item::Row).map(Some);
        }
        if line.starts_with(b"{\"end\"") {
            self.end(&parse(&line, self.line)?)?;
            return Ok(None);
        }
        self.digest.update(&line);
        let table: Table = parse(&line, self.line)?;
        if self.counts.insert(table.name.clone(), 0).is_some() {
            return Err(self.damaged("a table comes twice"));
        }
        self.table = Some(table.name.clone());
        Ok(Some(Item::Table(table)))
    }

    fn end(&mut self, end: &End) -> Result<(), BackupError> {
        if hex::encode(self.digest.clone().finish().as_ref()) != end.sha256 {
            return Err(self.damaged("the hash at the end is not that of what is before"));
        }
        if end.end != self.counts {
            return Err(self.damaged("there are more or fewer rows than the end says"));
        }
        if read(&mut self.input, &mut self.line)?.is_some() {
            return Err(self.damaged("something comes after the end"));
        }
        self.ended = true;
        Ok(())
    }

    fn damaged(&self, what: &str) -> BackupError {
        BackupError::Damaged { line: self.line, what: what.to_owned() }
    }
}

impl<R: BufRead + Send> Source for Reader<R> {
    fn next(&mut self) -> Result<Option<Item>, CopyError> {
        Ok(self.item()?)
    }
}

/// The next line with its end; `None` at the end of the file.
fn read(input: &mut impl BufRead, line: &mut u64) -> Result<Option<Zeroizing<Vec<u8>>>, BackupError> {
    let mut bytes = Zeroizing::new(Vec::new());
    let result = input.by_ref().take(MAX_LINE).read_until(b'\n', &mut bytes);
    match result {
        Ok(0) => return Ok(None),
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            return Err(BackupError::CutOff { line: *line });
        }
        // age found that a piece is not what was encrypted.
        Err(error) => {
            return Err(BackupError::Damaged { line: line.saturating_add(1), what: error.to_string() });
        }
    }
    if bytes.last() != Some(&b'\n') {
        return Err(BackupError::CutOff { line: *line });
    }
    *line = line.saturating_add(1);
    Ok(Some(bytes))
}

fn parse<T: DeserializeOwned>(text: &[u8], line: u64) -> Result<T, BackupError> {
    // Not serde's own text: it may quote what stands there.
    serde_json::from_slice(text).map_err(|_| BackupError::Damaged {
        line,
        what: "it is not what stands there in a backup".to_owned(),
    })
}
