//! `keycell limits`

use std::io::{self, Write};
use std::num::NonZeroU32;

use clap::{ArgGroup, Args, Subcommand};

use super::admin::Admin;
use super::output::Output;
use super::table::table;
use super::{Global, Outcome};
use crate::api::{LimitsPatch, LimitsView, RateView};
use crate::limit::Rate;

#[derive(Debug, Subcommand)]
pub(super) enum Limits {
    /// Show the rates in force
    Show,
    /// Change rates; every KDC of the zone follows within seconds
    Set(Set),
}

/// A rate is PER_SECOND/BURST: so many a second in the long run, and so many at once after a pause. `default` goes back
/// to what each KDC's configuration says.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("setting").required(true).multiple(true))]
pub(super) struct Set {
    /// Requests of one address, for instance 2000/10000
    #[arg(long, group = "setting", value_name = "RATE", value_parser = setting)]
    per_address: Option<Setting>,
    /// Failed authentications of one address
    #[arg(long, group = "setting", value_name = "RATE", value_parser = setting)]
    failures_per_address: Option<Setting>,
    /// Requests of one address to enroll, for instance 100/1000
    #[arg(long, group = "setting", value_name = "RATE", value_parser = setting)]
    enrollments_per_address: Option<Setting>,
    /// Tickets of one party; the burst is at least 1000
    #[arg(long, group = "setting", value_name = "RATE", value_parser = setting)]
    tickets_per_party: Option<Setting>,
    #[command(flatten)]
    expected: super::party::Expected,
}

/// A rate, or `None` to take the setting away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Setting(pub(super) Option<Rate>);

impl Limits {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        let view: LimitsView = match self {
            Self::Show => admin.get(LIMITS).read().await?,
            Self::Set(set) => {
                let patch = LimitsPatch {
                    per_address: set.per_address.map(|setting| setting.0),
                    failures_per_address: set.failures_per_address.map(|setting| setting.0),
                    enrollments_per_address: set.enrollments_per_address.map(|setting| setting.0),
                    tickets_per_party: set.tickets_per_party.map(|setting| setting.0),
                };
                admin.patch(LIMITS).if_revision(set.expected.if_revision).json(&patch)?.read().await?
            }
        };
        Ok(output.print(&view, |out| show(out, &view))?)
    }
}

fn show(out: &mut dyn Write, view: &LimitsView) -> io::Result<()> {
    let row = |what: &str, RateView { rate, is_set }: &RateView| {
        let origin = if *is_set { "the zone" } else { "the configuration" };
        [what.to_owned(), rate.per_second.to_string(), rate.burst.to_string(), origin.to_owned()]
    };
    table(
        out,
        ["LIMIT", "PER SECOND", "BURST", "SET BY"],
        [
            row("requests per address", &view.per_address),
            row("failures per address", &view.failures_per_address),
            row("enrollments per address", &view.enrollments_per_address),
            row("tickets per party", &view.tickets_per_party),
        ],
    )?;
    writeln!(out, "Revision {}.", view.revision)
}

pub(super) fn setting(text: &str) -> Result<Setting, &'static str> {
    if text == "default" {
        return Ok(Setting(None));
    }
    rate(text)
        .map(|rate| Setting(Some(rate)))
        .map_err(|_| "write PER_SECOND/BURST, such as 2000/10000, or default")
}

pub(super) fn rate(text: &str) -> Result<Rate, &'static str> {
    let number = |text: &str| text.parse::<NonZeroU32>().ok();
    text.split_once('/')
        .and_then(|(per_second, burst)| Some(Rate { per_second: number(per_second)?, burst: number(burst)? }))
        .ok_or("write PER_SECOND/BURST, such as 2000/10000")
}

const LIMITS: &str = "/v1/admin/limits";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!(setting("20/100"), Ok(Setting(Some(Rate::new(20, 100)))));
        assert_eq!(setting("default"), Ok(Setting(None)));
        for bad in ["", "20", "0/1", "1/0", "1/2/3", "1.5/2", "20 / 100"] {
            assert!(setting(bad).is_err(), "{bad}");
        }
    }
}
