//! How commands print: text for people, JSON for programs, errors in one line.

use std::error::Error;
use std::io::{self, Write as _};
use std::process::ExitCode;

use keycell_protocol::UnixMillis;
use serde::Serialize;

use super::admin::Failed;

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
    let code = error.downcast_ref::<Failed>().and_then(|failed| failed.code);
    match code {
        Some(code) if output.json => {
            eprintln!("{}", serde_json::json!({ "error": text.replace('\n', " "), "type": code }));
        }
        _ => refused(output, &text),
    }
    ExitCode::FAILURE
}

/// Prints on standard error, in one line, what was not done.
pub(super) fn refused(output: &Output, text: &str) {
    let text = text.replace('\n', " ");
    if output.json {
        eprintln!("{}", serde_json::json!({ "error": text }));
    } else {
        eprintln!("keycell: {text}");
    }
}

/// A moment as people and programs read it: RFC 3339, UTC.
pub(super) fn time(at: UnixMillis) -> String {
    let seconds = i64::try_from(at.seconds().0).unwrap_or_default();
    let date =
        ::time::OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(::time::OffsetDateTime::UNIX_EPOCH);
    date.format(&::time::format_description::well_known::Rfc3339).unwrap_or_default()
}
