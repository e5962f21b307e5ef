//! What a trust lets through, as the commands that make one take it.

use clap::Args;

use super::super::limits::rate;
use super::super::moment::span;
use crate::limit::Rate;
use crate::policy::Mode;
use crate::trust::LIFETIME;

#[derive(Debug, Args)]
pub(super) struct Terms {
    /// Who may speak: a pattern on names of the zone whose parties speak; again for more. Needed the first time
    #[arg(long = "source", value_name = "PATTERN")]
    pub(super) sources: Vec<String>,
    /// To whom: a pattern on names of the zone that is spoken to; again for more. Needed the first time
    #[arg(long = "destination", value_name = "PATTERN")]
    pub(super) destinations: Vec<String>,
    /// How long tickets last at most, 10s to 24h [default: as long as the zone's own]
    #[arg(long, value_name = "SPAN", value_parser = lifetime)]
    pub(super) lifetime: Option<u32>,
    /// For how many tickets it is good: so many a second in the long run, and at once [default: 500/10000]
    #[arg(long, value_name = "PER_SECOND/BURST", value_parser = rate)]
    pub(super) rate: Option<Rate>,
    /// Whether the lists are in force (`enforce`) or only watched (`monitor`) [default: enforce]
    #[arg(long, value_name = "MODE")]
    pub(super) mode: Option<Mode>,
    /// Whether each ticket is a line of the log [default: false]
    #[arg(long, value_name = "BOOL")]
    pub(super) log_tickets: Option<bool>,
    /// What to remember of it: at most 200 characters
    #[arg(long, value_name = "TEXT")]
    pub(super) note: Option<String>,
}

/// All that was said of a list, if anything was.
pub(super) fn given(patterns: Vec<String>) -> Option<Vec<String>> {
    (!patterns.is_empty()).then_some(patterns)
}

/// How long tickets last at most, in seconds.
pub(super) fn lifetime(text: &str) -> Result<u32, &'static str> {
    span(text)
        .and_then(|seconds| u32::try_from(seconds).ok())
        .filter(|seconds| LIFETIME.contains(seconds))
        .ok_or("write a span from 10s to 24h, such as 15m")
}
