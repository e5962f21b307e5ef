//! How commands print: text for people, JSON for programs, errors in one line.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use serde::Serialize;

use super::admin::Failed;
use super::table::printable;

/// How to print.
#[derive(Debug, Clone, Copy)]
pub(super) struct Output {
    pub(super) json: bool,
}

impl Output {
    /// Prints a result: as one line of JSON, or as `text` writes it. A reader that went away is no error.
    pub(super) fn print(
        &self,
        value: &impl Serialize,
        text: impl FnOnce(&mut dyn io::Write) -> io::Result<()>,
    ) -> io::Result<()> {
        let mut out = io::stdout().lock();
        let printed = if self.json {
            serde_json::to_writer(&mut out, value).map_err(io::Error::from).and_then(|()| writeln!(out))
        } else {
            text(&mut out)
        };
        match printed.and_then(|()| out.flush()) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }
}

/// Prints an error with its causes in one line.
pub(super) fn print_error(output: &Output, error: &(dyn Error + 'static)) -> ExitCode {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let more = error.to_string();
        // Some errors repeat their cause in their own text.
        if !text.contains(&more) {
            text.push_str(": ");
            text.push_str(&more);
        }
        cause = error.source();
    }
    match error.downcast_ref::<Failed>().filter(|failed| output.json && failed.code.is_some()) {
        Some(failed) => {
            let mut told = serde_json::json!({ "error": text.replace('\n', " "), "type": failed.code });
            if let (Some(field), Some(told)) = (&failed.field, told.as_object_mut()) {
                told.insert("field".to_owned(), field.as_str().into());
            }
            eprintln!("{told}");
        }
        None => refused(output, &text),
    }
    ExitCode::FAILURE
}

/// Prints on standard error, in one line, what was not done.
pub(super) fn refused(output: &Output, text: &str) {
    let text = printable(&text.replace('\n', " "));
    if output.json {
        eprintln!("{}", serde_json::json!({ "error": text }));
    } else {
        eprintln!("keycell: {text}");
    }
}
