//! Tables and lists for people.

use std::io::{self, Write};

use comfy_table::{Cell, Table, presets};

/// A table without lines: a header, then a row each.
pub(super) fn table<const N: usize>(
    out: &mut dyn Write,
    header: [&str; N],
    rows: impl IntoIterator<Item = [String; N]>,
) -> io::Result<()> {
    let mut table = Table::new();
    table.load_style(presets::NOTHING).set_header(header.map(Cell::new));
    for row in rows {
        table.add_row(row.map(|text| Cell::new(printable(&text))));
    }
    for column in table.column_iter_mut() {
        column.set_padding((0, 2));
    }
    table.lines().try_for_each(|line| writeln!(out, "{}", line.trim_end()))
}

/// What is known of one thing, a line each: its name, then what it is.
pub(super) fn fields<'a>(
    out: &mut dyn Write,
    fields: impl IntoIterator<Item = (&'a str, String)>,
) -> io::Result<()> {
    let fields: Vec<_> = fields.into_iter().collect();
    let width = fields.iter().map(|(name, _)| name.len()).max().unwrap_or(0) + 2;
    fields.iter().try_for_each(|(name, value)| {
        let line = format!("{name:width$}{}", printable(value));
        writeln!(out, "{}", line.trim_end())
    })
}

/// The text without what a terminal would obey, and with escapes for what would turn the text around or not be seen.
pub(super) fn printable(text: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut out, c| {
        match c {
            c if c.is_control() => out.push('\u{fffd}'),
            c if is_unseen(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
        out
    })
}

/// `-` for what is not there.
pub(super) fn or_dash(value: Option<impl ToString>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// `1 rule`, `2 rules`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {many}") }
}

/// Marks of the direction, joiners, ends of lines and others that have no width.
const fn is_unseen(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{61c}'
            | '\u{180e}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{feff}'
            | '\u{e0000}'..='\u{e007f}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up_and_nothing_trails() {
        let mut out = Vec::new();
        let rows = [["a@z".to_owned(), String::new()], ["long@z".to_owned(), "\x1b[2Jx".to_owned()]];
        table(&mut out, ["NAME", "NOTE"], rows).unwrap();
        assert_eq!(String::from_utf8(out).unwrap(), "NAME    NOTE\na@z\nlong@z  \u{fffd}[2Jx\n");
    }

    #[test]
    fn nothing_hides_and_nothing_turns_around() {
        assert_eq!(printable("a\u{202e}b\u{2066}c\u{200b}\u{feff}"), r"a\u{202e}b\u{2066}c\u{200b}\u{feff}");
        assert_eq!(printable("Zür\u{308}ich, 東京, €"), "Zür\u{308}ich, 東京, €");
    }
}
