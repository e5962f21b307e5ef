//! How far a long command is: a bar on a terminal, else a line every few seconds, and nothing for programs.

use std::io::{self, IsTerminal as _};
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::super::output::Output;

/// Counts and shows.
pub(in crate::cli) struct Progress {
    what: &'static str,
    done: u64,
    total: Option<u64>,
    shown: Shown,
}

enum Shown {
    Bar(ProgressBar),
    Lines(Instant),
    Not,
}

impl Progress {
    pub(in crate::cli) fn new(output: &Output, what: &'static str, total: Option<u64>) -> Self {
        let shown = if output.json {
            Shown::Not
        } else if io::stderr().is_terminal() {
            let bar = ProgressBar::with_draw_target(total, ProgressDrawTarget::stderr_with_hz(5));
            let template = match total {
                Some(_) => "{bar:30} {human_pos} of {human_len} {msg}, {per_sec}, {eta} left",
                None => "{spinner} {human_pos} {msg}, {per_sec}",
            };
            // The template is a constant; without it the library's own does.
            if let Ok(style) = ProgressStyle::with_template(template) {
                bar.set_style(style);
            }
            Shown::Bar(bar.with_message(what))
        } else {
            Shown::Lines(Instant::now())
        };
        Self { what, done: 0, total, shown }
    }

    /// One more is done.
    pub(super) fn one(&mut self) {
        self.done += 1;
        match &mut self.shown {
            // Drawing asks the clock: not for each of 100,000.
            Shown::Bar(bar) if self.done.is_multiple_of(64) => bar.set_position(self.done),
            Shown::Lines(last) if self.done.is_multiple_of(64) && last.elapsed() >= PAUSE => {
                *last = Instant::now();
                let total = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
                eprintln!("{}{total} {}", self.done, self.what);
            }
            _ => {}
        }
    }

    /// So many are done.
    pub(in crate::cli) fn at(&mut self, done: u64) {
        self.done = done;
        match &mut self.shown {
            Shown::Bar(bar) => bar.set_position(done),
            Shown::Lines(last) if last.elapsed() >= PAUSE => {
                *last = Instant::now();
                let total = self.total.map(|total| format!(" of {total}")).unwrap_or_default();
                eprintln!("{done}{total} {}", self.what);
            }
            _ => {}
        }
    }

    /// All is done.
    pub(in crate::cli) fn finish(self) {
        if let Shown::Bar(bar) = self.shown {
            bar.finish_and_clear();
        }
    }
}

/// Between two lines.
const PAUSE: Duration = Duration::from_secs(5);
