//! From the bytes of a body, as they arrive, to numbered lines.

use zeroize::Zeroizing;

use crate::api::{ImportRow, Object};

/// How the lines are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// A JSON object a line.
    Ndjson,
    /// Comma-separated values, the names of the columns first. A record is one line: no field of it holds a line break.
    Csv,
}

impl Format {
    /// The format of that media type.
    pub(super) fn of(media_type: &str) -> Option<Self> {
        match media_type.to_ascii_lowercase().as_str() {
            "application/x-ndjson" => Some(Self::Ndjson),
            "text/csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// A line, read or not.
pub(super) struct Line {
    /// Its number, from 1; empty lines count, the names of the columns do not. 0 for those.
    pub(super) number: u64,
    /// What it says, or what is wrong with it.
    pub(super) row: Result<ImportRow, String>,
}

/// Cuts a body into lines and reads them.
pub(super) struct Lines {
    format: Format,
    columns: Option<Vec<Column>>,
    number: u64,
    /// The beginning of a line whose end has not come. It may hold a key.
    rest: Zeroizing<Vec<u8>>,
    /// The line is longer than any can be: the rest of it is passed over.
    overlong: bool,
    /// The columns are not understood: no line is.
    spoiled: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Name,
    Key,
    Note,
    LogTickets,
}

impl Lines {
    pub(super) fn new(format: Format) -> Self {
        Self { format, columns: None, number: 0, rest: Zeroizing::default(), overlong: false, spoiled: false }
    }

    /// Takes in more of the body; gives the lines that it completes.
    pub(super) fn feed(&mut self, data: &[u8]) -> Vec<Line> {
        let mut lines = Vec::new();
        for piece in data.split_inclusive(|byte| *byte == b'\n') {
            if self.rest.len() + piece.len() > MAX_LINE {
                self.overlong = true;
            } else {
                self.rest.extend_from_slice(piece);
            }
            if piece.ends_with(b"\n") {
                lines.extend(self.end_line());
            }
        }
        lines
    }

    /// The body is over: gives the last line, if it had no end.
    pub(super) fn finish(&mut self) -> Option<Line> {
        if self.rest.is_empty() && !self.overlong { None } else { self.end_line() }
    }

    fn end_line(&mut self) -> Option<Line> {
        let overlong = std::mem::take(&mut self.overlong);
        let text = std::mem::take(&mut self.rest);
        if self.spoiled {
            return None;
        }
        if self.format == Format::Csv && self.columns.is_none() {
            return self.read_columns(&text);
        }
        self.number += 1;
        let line = |row| Some(Line { number: self.number, row });
        if overlong {
            return line(Err(format!("the line is longer than {MAX_LINE} bytes")));
        }
        let text = text.trim_ascii();
        if text.is_empty() {
            return None;
        }
        line(match self.format {
            Format::Ndjson => match serde_json::from_slice(text) {
                Ok(Object(row)) => Ok(row),
                Err(error) => Err(told(&error)),
            },
            Format::Csv => self.read_record(text),
        })
    }

    fn read_columns(&mut self, text: &[u8]) -> Option<Line> {
        // Some programs begin a text with a mark of its encoding.
        let text = text.strip_prefix("\u{feff}".as_bytes()).unwrap_or(text);
        let columns = fields(text.trim_ascii()).and_then(|names| {
            // Not quoted: where the names were forgotten, it is a party with its key.
            let column = |(at, name): (usize, &Zeroizing<String>)| match name.trim() {
                "name" => Ok(Column::Name),
                "key" => Ok(Column::Key),
                "note" => Ok(Column::Note),
                "log_tickets" => Ok(Column::LogTickets),
                _ => Err(format!("column {} has another name", at + 1)),
            };
            let columns = names.iter().enumerate().map(column).collect::<Result<Vec<_>, _>>()?;
            match (1..columns.len())
                .find(|at| columns.iter().take(*at).any(|one| columns.get(*at) == Some(one)))
            {
                Some(at) => Err(format!("column {} has the name of one before it", at + 1)),
                None => Ok(columns),
            }
        });
        let wrong = match columns {
            Ok(columns) if columns.contains(&Column::Name) => {
                self.columns = Some(columns);
                return None;
            }
            Ok(_) => "there is no column name".to_owned(),
            Err(error) => error,
        };
        self.spoiled = true;
        let text = format!(
            "{wrong}: the first line names the columns name, key, note, log_tickets; nothing was read"
        );
        Some(Line { number: 0, row: Err(text) })
    }

    fn read_record(&self, text: &[u8]) -> Result<ImportRow, String> {
        let columns = self.columns.as_deref().unwrap_or_default();
        let mut values = fields(text)?;
        if values.len() != columns.len() {
            return Err(format!("{} fields, and there are {} columns", values.len(), columns.len()));
        }
        let mut row = ImportRow { name: String::new(), key: None, note: String::new(), log_tickets: false };
        for (column, value) in columns.iter().zip(&mut values) {
            match column {
                Column::Name => row.name = value.trim().to_owned(),
                Column::Key if value.is_empty() => {}
                Column::Key => row.key = Some(std::mem::take(value)),
                Column::Note => row.note.clone_from(value),
                Column::LogTickets => {
                    row.log_tickets = match value.trim() {
                        "true" => true,
                        "false" | "" => false,
                        _ => return Err("log_tickets: true or false".to_owned()),
                    };
                }
            }
        }
        Ok(row)
    }
}

/// The fields of one line of comma-separated values.
fn fields(text: &[u8]) -> Result<Vec<Zeroizing<String>>, String> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(text);
    let mut record = csv::StringRecord::new();
    match reader.read_record(&mut record) {
        Ok(true) => {}
        Ok(false) => return Err("the line is empty".to_owned()),
        Err(_) => return Err("the line is not UTF-8".to_owned()),
    }
    Ok(record.iter().map(|field| Zeroizing::new(field.to_owned())).collect())
}

/// The longest line in bytes, far more than one needs.
const MAX_LINE: usize = 4096;

/// What is told of a line that is no row: serde would quote what stands there, and that may be a key.
fn told(error: &serde_json::Error) -> String {
    let text = error.to_string();
    // These name a member, and quote no value.
    match ["unknown field", "missing field", "duplicate field"].iter().any(|known| text.starts_with(known)) {
        true => text,
        false => format!("it is no row of an import: see column {}", error.column()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mangle::edits;
    use proptest::prelude::*;

    fn read(format: Format, pieces: &[&[u8]]) -> Vec<(u64, Result<String, String>)> {
        let mut lines = Lines::new(format);
        let mut read: Vec<Line> = pieces.iter().flat_map(|piece| lines.feed(piece)).collect();
        read.extend(lines.finish());
        let brief =
            |row: ImportRow| format!("{}|{}|{}|{}", row.name, row.key.is_some(), row.note, row.log_tickets);
        read.into_iter().map(|line| (line.number, line.row.map(brief))).collect()
    }

    fn names(read: &[(u64, Result<String, String>)]) -> Vec<(u64, &str)> {
        read.iter().map(|(number, row)| (*number, row.as_deref().unwrap_or("!"))).collect()
    }

    #[test]
    fn lines_do_not_depend_on_how_the_body_arrives() {
        let body = b"{\"name\":\"a\"}\n\n{\"name\":\"b\",\"note\":\"x\"}\r\nnonsense\n{\"name\":\"c\",\"key\":\"k\",\"log_tickets\":true}";
        let whole = read(Format::Ndjson, &[body]);
        assert_eq!(
            names(&whole),
            [(1, "a|false||false"), (3, "b|false|x|false"), (4, "!"), (5, "c|true||true")]
        );
        let bytes: Vec<&[u8]> = body.chunks(1).collect();
        assert_eq!(read(Format::Ndjson, &bytes), whole);
    }

    #[test]
    fn csv_has_named_columns_in_any_order() {
        let body = b"note,name,log_tickets\n\"one, two\",a,true\n,b,\nx,c\n,d,perhaps\n";
        let read = read(Format::Csv, &[body]);
        assert_eq!(names(&read), [(1, "a|false|one, two|true"), (2, "b|false||false"), (3, "!"), (4, "!")]);
    }

    #[test]
    fn columns_that_are_not_understood_are_said_once() {
        for body in [&b"host\na\nb\n"[..], b"note\na\nb\n", b"\n a\n", b"name,name2\nx,y\n"] {
            let read = read(Format::Csv, &[body]);
            assert_eq!(read.len(), 1, "{read:?}");
            assert!(
                matches!(&read[0], (0, Err(text)) if text.contains("name, key, note, log_tickets")),
                "{read:?}"
            );
        }
    }

    #[test]
    fn a_line_without_end_is_bounded() {
        let mut lines = Lines::new(Format::Ndjson);
        for _ in 0..100 {
            assert!(lines.feed(&[b'x'; 1000]).is_empty());
            assert!(lines.rest.len() <= MAX_LINE);
        }
        let read = lines.feed(b"\n{\"name\":\"a\"}\n");
        assert!(matches!(read.as_slice(), [Line { number: 1, row: Err(_) }, Line { number: 2, row: Ok(_) }]));
    }

    #[test]
    fn unknown_fields_are_refused() {
        let read = read(Format::Ndjson, &[b"{\"name\":\"a\",\"colour\":1}\n"]);
        assert!(read[0].1.as_ref().unwrap_err().contains("colour"));
    }

    #[test]
    fn no_error_quotes_a_key_in_the_wrong_place() {
        for line in
            [&b"{\"name\":\"a\",\"log_tickets\":\"s3cret\"}\n"[..], b"\"s3cret\"\n", b"[\"s3cret\"]\n"]
        {
            let read = read(Format::Ndjson, &[line]);
            let error = read[0].1.as_ref().unwrap_err();
            assert!(error.contains("column") && !error.contains("s3cret"), "{error}");
        }
    }

    proptest! {
        /// However it arrives: the same lines, in their order, and never more than one of them kept.
        #[test]
        fn any_body_is_lines(
            edits in edits(),
            csv in any::<bool>(),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..6),
        ) {
            let (format, sample) = if csv { (Format::Csv, CSV) } else { (Format::Ndjson, NDJSON) };
            let body = edits.bytes(sample.as_bytes());
            let mut cuts: Vec<_> = cuts.iter().map(|cut| cut.index(body.len() + 1)).collect();
            cuts.extend([0, body.len()]);
            cuts.sort_unstable();
            let pieces: Vec<_> = cuts.windows(2).map(|ends| &body[ends[0]..ends[1]]).collect();
            let whole = read(format, &[&body]);
            prop_assert_eq!(&read(format, &pieces), &whole);
            prop_assert!(whole.windows(2).all(|lines| lines[0].0 < lines[1].0));
            prop_assert!(whole.len() <= body.split(|byte| *byte == b'\n').count());
        }

        /// The names of the columns may have been forgotten: then the first line is a party, with its key.
        #[test]
        fn a_first_line_is_not_quoted(fields in prop::collection::vec("[A-Za-z0-9_-]{12}", 1..5)) {
            let read = read(Format::Csv, &[format!("{}\n", fields.join(",")).as_bytes()]);
            let [(0, Err(said))] = &read[..] else { return Err(TestCaseError::fail(format!("{read:?}"))) };
            prop_assert!(!fields.iter().any(|field| said.contains(field)), "{}", said);
        }
    }

    const CSV: &str = "name,key,note,log_tickets\nweb.a,a2V5,\"one, two\",true\n\nweb.b,,,\n";
    const NDJSON: &str =
        "{\"name\":\"web.a\",\"key\":\"a2V5\",\"note\":\"x\"}\n\n{\"name\":\"web.b\",\"log_tickets\":true}\n";
}
