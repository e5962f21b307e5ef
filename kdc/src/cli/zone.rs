//! `keycell zone`

use std::io::{self, Write};

use clap::{ArgGroup, Args, Subcommand};

use super::admin::Admin;
use super::moment::{DAY, exact, length, span};
use super::output::Output;
use super::table::fields;
use super::{Global, Outcome};
use crate::api::{ZonePatch, ZoneSettings};

#[derive(Debug, Subcommand)]
pub(super) enum Zone {
    /// Show the settings
    Show,
    /// Change settings; every KDC of the zone follows within seconds
    Set(Set),
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("setting").required(true).multiple(true))]
pub(super) struct Set {
    /// How long a ticket lasts: 10s to 24h, or `default` for what each KDC's configuration says
    #[arg(long, group = "setting", value_name = "SPAN", value_parser = lifetime)]
    ticket_lifetime: Option<Setting>,
    /// For how long the audit log is kept: 1d to 36500d, or `forever`
    #[arg(long, group = "setting", value_name = "DAYS", value_parser = retention)]
    audit_retention: Option<Setting>,
    /// How old a key may be before its party is told to rotate it: 1d to 3650d, or `never`
    #[arg(long, group = "setting", value_name = "DAYS", value_parser = rotation)]
    rotate_keys_after: Option<Setting>,
    #[command(flatten)]
    expected: super::party::Expected,
}

/// A value, or `None` to take the setting away.
#[derive(Debug, Clone, Copy)]
struct Setting(Option<u32>);

impl Zone {
    pub(super) async fn run(self, global: &Global, output: &Output) -> Outcome {
        let admin = Admin::new(global)?;
        let view: ZoneSettings = match self {
            Self::Show => admin.get(ZONE).read().await?,
            Self::Set(set) => {
                let patch = ZonePatch {
                    ticket_lifetime_seconds: set.ticket_lifetime.map(|setting| setting.0),
                    audit_retention_days: set.audit_retention.map(|setting| setting.0),
                    rotate_keys_after_days: set.rotate_keys_after.map(|setting| setting.0),
                };
                admin.patch(ZONE).if_revision(set.expected.if_revision).json(&patch)?.read().await?
            }
        };
        Ok(output.print(&view, |out| show(out, &view))?)
    }
}

fn show(out: &mut dyn Write, view: &ZoneSettings) -> io::Result<()> {
    let origin = if view.ticket_lifetime_is_set { "set for the zone" } else { "by the configuration" };
    let retention = view.audit_retention_days.map_or_else(|| "forever".to_owned(), |days| format!("{days}d"));
    let rotation = view.rotate_keys_after_days.map_or_else(|| "never".to_owned(), |days| format!("{days}d"));
    fields(
        out,
        [
            ("zone", view.zone.clone()),
            ("ticket lifetime", format!("{}, {origin}", exact(view.ticket_lifetime_seconds.into()))),
            ("audit retention", retention),
            ("keys rotate after", rotation),
            ("key epoch", length(view.ratchet_period_seconds.into())),
            ("revision", view.revision.to_string()),
        ],
    )
}

fn lifetime(text: &str) -> Result<Setting, &'static str> {
    if text == "default" {
        return Ok(Setting(None));
    }
    ticket_lifetime(text).map(|seconds| Setting(Some(seconds)))
}

/// A ticket's lifetime in seconds.
pub(super) fn ticket_lifetime(text: &str) -> Result<u32, &'static str> {
    span(text)
        .filter(|seconds| (10..=DAY).contains(seconds))
        .and_then(|seconds| u32::try_from(seconds).ok())
        .ok_or("write a span from 10s to 24h, such as 15m")
}

fn retention(text: &str) -> Result<Setting, &'static str> {
    days(text, "forever").ok_or("write whole days, such as 400d, or forever")
}

fn rotation(text: &str) -> Result<Setting, &'static str> {
    days(text, "never").ok_or("write whole days, such as 90d, or never")
}

fn days(text: &str, none: &str) -> Option<Setting> {
    if text == none {
        return Some(Setting(None));
    }
    let seconds = span(text).filter(|seconds| seconds.is_multiple_of(DAY))?;
    u32::try_from(seconds / DAY).ok().map(|days| Setting(Some(days)))
}

const ZONE: &str = "/v1/admin/zone";
