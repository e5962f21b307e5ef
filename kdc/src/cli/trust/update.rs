//! `keycell trust update`, `enable` and `disable`

use std::path::PathBuf;

use clap::{ArgGroup, Args, ValueHint};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::limits::{Setting, setting};
use super::super::output::Output;
use super::super::party::Expected;
use super::terms::{given, lifetime};
use super::{Which, bundle, show};
use crate::api::{TrustPatch, TrustView};
use crate::policy::Mode;

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    which: Which,
    /// Who may speak: all patterns, in the place of those before
    #[arg(long = "source", group = "change", value_name = "PATTERN")]
    sources: Vec<String>,
    /// To whom: all patterns, in the place of those before
    #[arg(long = "destination", group = "change", value_name = "PATTERN")]
    destinations: Vec<String>,
    /// How long tickets last at most, 10s to 24h; `default` for as long as the zone's own
    #[arg(long, group = "change", value_name = "SPAN", value_parser = longest)]
    lifetime: Option<Longest>,
    /// For how many tickets it is good, PER_SECOND/BURST; `default` for the usual rate
    #[arg(long, group = "change", value_name = "RATE", value_parser = setting)]
    rate: Option<Setting>,
    /// Whether the lists are in force (`enforce`) or only watched (`monitor`)
    #[arg(long, group = "change", value_name = "MODE")]
    mode: Option<Mode>,
    /// Whether each ticket is a line of the log
    #[arg(long, group = "change", value_name = "BOOL")]
    log_tickets: Option<bool>,
    /// What to remember of it: at most 200 characters
    #[arg(long, group = "change", value_name = "TEXT")]
    note: Option<String>,
    /// The other zone's bundle as it is now: other URLs, roots, or an identity that took over
    #[arg(long, group = "change", value_name = "FILE", value_hint = ValueHint::FilePath)]
    bundle: Option<PathBuf>,
    /// The fingerprint that the other zone's administrator told you by another way: needed where the bundle has identities that
    /// are not known yet
    #[arg(long, requires = "bundle", value_name = "HEX")]
    fingerprint: Option<String>,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Switch {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
}

/// How long tickets last at most, or `None` to leave that to the zone.
#[derive(Debug, Clone, Copy)]
struct Longest(Option<u32>);

impl Update {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let patch = TrustPatch {
            enabled: None,
            mode: self.mode,
            sources: given(self.sources),
            destinations: given(self.destinations),
            lifetime_seconds: self.lifetime.map(|Longest(seconds)| seconds),
            rate: self.rate.map(|setting| setting.0),
            log_tickets: self.log_tickets,
            note: self.note,
            bundle: self.bundle.as_deref().map(bundle).transpose()?,
            fingerprint: self.fingerprint,
        };
        patched(&self.which, &patch, &self.expected, admin, output).await
    }
}

impl Switch {
    pub(super) async fn run(self, enabled: bool, admin: &Admin, output: &Output) -> Outcome {
        let patch = TrustPatch { enabled: Some(enabled), ..TrustPatch::default() };
        patched(&self.which, &patch, &self.expected, admin, output).await
    }
}

async fn patched(
    which: &Which,
    patch: &TrustPatch,
    expected: &Expected,
    admin: &Admin,
    output: &Output,
) -> Outcome {
    let call = admin.patch(which.path()).if_revision(expected.if_revision);
    let view: TrustView = call.json(patch)?.read().await?;
    Ok(output.print(&view, |out| show::write(out, &view))?)
}

fn longest(text: &str) -> Result<Longest, &'static str> {
    if text == "default" { Ok(Longest(None)) } else { lifetime(text).map(|seconds| Longest(Some(seconds))) }
}
