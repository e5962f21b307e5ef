//! The rows of a file of parties: CSV or NDJSON.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use clap::ValueEnum;
use csv::StringRecord;
use zeroize::Zeroizing;

use super::super::Outcome;
use crate::api::ImportRow;

/// How an input is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Format {
    Csv,
    Ndjson,
}

/// A file of parties, open.
pub(super) struct Input {
    reader: Box<dyn BufRead + Send>,
    format: Format,
    rows: Option<u64>,
}

impl Input {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path, format: Option<Format>) -> Outcome<Self> {
        let shown = path.display();
        let failed = |error: io::Error| format!("cannot read {shown}: {error}");
        let printed = path.as_os_str() == "-";
        let mut reader: Box<dyn BufRead + Send> = if printed {
            Box::new(BufReader::new(io::stdin()))
        } else {
            Box::new(BufReader::with_capacity(1 << 16, File::open(path).map_err(failed)?))
        };
        let ending = path.extension().and_then(|ending| ending.to_str());
        let format = match (format, ending) {
            (Some(format), _) => format,
            (None, Some("csv")) => Format::Csv,
            (None, Some("ndjson" | "jsonl")) => Format::Ndjson,
            (None, _) => match reader.fill_buf().map_err(failed)?.first() {
                Some(b'{') => Format::Ndjson,
                _ => Format::Csv,
            },
        };
        let regular = !printed && path.is_file();
        let rows = if regular { Some(count(path, format).map_err(failed)?) } else { None };
        Ok(Self { reader, format, rows })
    }

    /// About how many rows there are, if that can be told before reading them.
    pub(super) const fn rows(&self) -> Option<u64> {
        self.rows
    }

    /// Hands each row to `each` until that returns `false`: its number from 1, as the KDC's answers count, and what it says or
    /// what is wrong with it.
    ///
    /// # Errors
    /// The input cannot be read, or the first line of CSV does not name the columns.
    pub(super) fn read(self, each: impl FnMut(u64, Result<ImportRow, Wrong>) -> bool) -> io::Result<()> {
        match self.format {
            Format::Csv => read_csv(self.reader, each),
            Format::Ndjson => read_ndjson(self.reader, each),
        }
    }
}

/// A row that says no party.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Wrong {
    /// The name, as far as it could be read.
    pub(super) name: String,
    pub(super) what: String,
}

fn wrong(name: &str, what: impl Into<String>) -> Wrong {
    Wrong { name: name.to_owned(), what: what.into() }
}

fn read_ndjson(
    mut reader: impl BufRead,
    mut each: impl FnMut(u64, Result<ImportRow, Wrong>) -> bool,
) -> io::Result<()> {
    let mut number = 0;
    loop {
        // Keys may stand in it.
        let mut line = Zeroizing::new(Vec::with_capacity(256));
        let read = (&mut reader).take(MAX_ROW + 1).read_until(b'\n', &mut line)?;
        if read == 0 {
            return Ok(());
        }
        if read as u64 > MAX_ROW {
            return Err(invalid(format!("row {} is longer than {MAX_ROW} bytes", number + 1)));
        }
        if line.trim_ascii().is_empty() {
            continue;
        }
        number += 1;
        // An error of serde may quote the key, so only the place is told.
        let row = serde_json::from_slice(&line)
            .map_err(|error| wrong("", format!("it is no row of an import: see column {}", error.column())));
        if !each(number, row) {
            return Ok(());
        }
    }
}

fn read_csv(
    reader: impl Read,
    mut each: impl FnMut(u64, Result<ImportRow, Wrong>) -> bool,
) -> io::Result<()> {
    let mut reader = csv::ReaderBuilder::new().flexible(true).trim(csv::Trim::All).from_reader(reader);
    let columns = Columns::read(reader.headers().map_err(io::Error::from)?)?;
    let mut record = StringRecord::new();
    let mut number = 0;
    loop {
        let row = match reader.read_record(&mut record) {
            Ok(false) => return Ok(()),
            Ok(true) => columns.row(&record),
            Err(error) if error.is_io_error() => return Err(error.into()),
            // Such an error quotes nothing of the row.
            Err(error) => Err(wrong("", error.to_string())),
        };
        number += 1;
        if !each(number, row) {
            return Ok(());
        }
    }
}

/// Which column is which.
struct Columns {
    count: usize,
    name: usize,
    key: Option<usize>,
    note: Option<usize>,
    log_tickets: Option<usize>,
}

impl Columns {
    fn read(header: &StringRecord) -> io::Result<Self> {
        let known = ["name", "key", "note", "log_tickets"];
        // Not quoted: where the names were forgotten, it is a party with its key.
        if let Some(at) = header.iter().position(|column| !known.contains(&column)) {
            return Err(invalid(format!(
                "the first line names the columns: name, and any of key, note, log_tickets; column {} is none of them",
                at + 1
            )));
        }
        let find = |wanted| header.iter().position(|column| column == wanted);
        let name =
            find("name").ok_or_else(|| invalid("the first line names no column \"name\"".to_owned()))?;
        Ok(Self {
            count: header.len(),
            name,
            key: find("key"),
            note: find("note"),
            log_tickets: find("log_tickets"),
        })
    }

    fn row(&self, record: &StringRecord) -> Result<ImportRow, Wrong> {
        let field = |at: Option<usize>| at.and_then(|at| record.get(at)).unwrap_or_default();
        let name = field(Some(self.name));
        if record.len() != self.count {
            let (has, wants) = (record.len(), self.count);
            return Err(wrong(
                name,
                format!("it has {has} fields, and the first line {wants}; quote commas: \"a, b\""),
            ));
        }
        let log_tickets = match field(self.log_tickets) {
            "" | "false" => false,
            "true" => true,
            _ => return Err(wrong(name, "log_tickets is true or false")),
        };
        let key = Some(field(self.key)).filter(|key| !key.is_empty());
        Ok(ImportRow {
            name: name.to_owned(),
            key: key.map(|key| Zeroizing::new(key.to_owned())),
            note: field(self.note).to_owned(),
            log_tickets,
        })
    }
}

fn count(path: &Path, format: Format) -> io::Result<u64> {
    let mut file = BufReader::with_capacity(1 << 16, File::open(path)?);
    let mut lines = 0;
    loop {
        let buffer = file.fill_buf()?;
        if buffer.is_empty() {
            break;
        }
        lines += buffer.iter().filter(|byte| **byte == b'\n').count() as u64;
        let used = buffer.len();
        file.consume(used);
    }
    Ok(if format == Format::Csv { lines.saturating_sub(1) } else { lines })
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

/// The longest row of NDJSON in bytes.
const MAX_ROW: u64 = 16 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mangle::edits;
    use proptest::prelude::*;

    /// A line's number; its name and whether it has a key, or what is wrong.
    type Read = (u64, Result<(String, bool), Wrong>);

    fn rows(format: Format, text: &'static str) -> io::Result<Vec<Read>> {
        let mut rows = Vec::new();
        let input = Input { reader: Box::new(text.as_bytes()), format, rows: None };
        input.read(|number, row| {
            rows.push((
                number,
                row.map(|row| {
                    (format!("{}|{}|{:?}", row.name, row.note, row.key.as_deref()), row.log_tickets)
                }),
            ));
            true
        })?;
        Ok(rows)
    }

    #[test]
    fn csv() {
        let text = "note,name , log_tickets,key\n\"a, b\",x, true,\n,y,,k\n\nc,z\n,w,maybe,\n";
        let rows = rows(Format::Csv, text).unwrap();
        assert_eq!(rows[0], (1, Ok(("x|a, b|None".to_owned(), true))));
        assert_eq!(rows[1], (2, Ok(("y||Some(\"k\")".to_owned(), false))));
        assert_eq!((rows[2].0, &*rows[2].1.as_ref().unwrap_err().name), (3, "z"));
        assert_eq!(rows[3].1, Err(wrong("w", "log_tickets is true or false")));
        assert_eq!(rows.len(), 4);
    }

    #[test]
    fn csv_without_its_columns_is_not_read() {
        for bad in ["", "x,y\n", "name,nöte\nx,y\n", "note\nx\n"] {
            assert!(rows(Format::Csv, bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn ndjson() {
        let text = "{\"name\":\"x\",\"note\":\"n\"}\n\n{\"name\":\"y\",\"kye\":\"secret\"}\n{\"name\":\"z\"}";
        let rows = rows(Format::Ndjson, text).unwrap();
        assert_eq!(rows[0], (1, Ok(("x|n|None".to_owned(), false))));
        let error = &rows[1].1.as_ref().unwrap_err().what;
        assert!(!error.contains("secret") && error.contains("column"), "{error}");
        assert_eq!(rows[2], (3, Ok(("z||None".to_owned(), false))));
    }

    proptest! {
        /// Whatever stands in a file: rows are counted from 1 on, and no error quotes a key.
        #[test]
        fn any_file_is_rows(edits in edits(), csv in any::<bool>()) {
            let (format, sample) = if csv {
                (Format::Csv, format!("name,key,note\nweb.a,{KEY},\"one, two\"\nweb.b,,\n"))
            } else {
                (Format::Ndjson, format!("{{\"name\":\"web.a\",\"key\":\"{KEY}\"}}\n\n{{\"name\":\"web.b\"}}\n"))
            };
            let body = edits.bytes(sample.as_bytes());
            let mut last = 0;
            let mut errors = Vec::new();
            let input = Input { reader: Box::new(io::Cursor::new(body)), format, rows: None };
            let read = input.read(|number, row| {
                assert_eq!(number, last + 1);
                last = number;
                errors.extend(row.err().map(|wrong| wrong.what));
                true
            });
            errors.extend(read.err().map(|error| error.to_string()));
            prop_assert!(!errors.iter().any(|error| error.contains(&KEY[10..20])), "{:?}", errors);
        }
    }

    const KEY: &str = "Q7fJ2mXc9RkT4vLs8ZpW1nBy6HdG3aEu5oKiV0tMxYw";
}
