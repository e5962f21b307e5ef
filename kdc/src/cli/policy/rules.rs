//! `keycell policy add`, `keycell policy update` and `keycell policy delete`

use clap::{ArgGroup, Args};

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::Moment;
use super::super::output::Output;
use super::super::party::Expected;
use super::super::zone::ticket_lifetime;
use super::{RULES, Which, rule, show};
use crate::api::{NewRule, RulePatch, RuleView};

/// A pattern is a glob on full names, of this zone without an `@`: `cma.*`, `*`, `web.host?@example.com`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("effect").required(true))]
pub(in crate::cli) struct Add {
    /// Let them
    #[arg(long, group = "effect")]
    allow: bool,
    /// Do not let them, whatever other rules say
    #[arg(long, group = "effect")]
    deny: bool,
    /// Who asks: a pattern
    source: String,
    /// Who is asked for: a pattern
    destination: String,
    /// Only count and log what the rule would deny, and let it through; `update --enforce` makes it count
    #[arg(long)]
    monitor: bool,
    /// The longest life of a ticket under this rule, 10s to 24h, with --allow [default: the zone's]
    #[arg(long, value_name = "SPAN", value_parser = ticket_lifetime)]
    max_lifetime: Option<u32>,
    /// What it is for: at most 200 characters
    #[arg(long, value_name = "TEXT", default_value = "")]
    note: String,
    /// From when on it does not count any more: a time of RFC 3339, or a span from now such as 30d
    #[arg(long, value_name = "WHEN")]
    expires: Option<Moment>,
    /// Its name: 1 to 64 of a-z 0-9 - [default: the KDC makes one up]
    #[arg(long)]
    id: Option<String>,
}

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("change").required(true).multiple(true))]
pub(in crate::cli) struct Update {
    #[command(flatten)]
    which: Which,
    /// Make it count
    #[arg(long, group = "change")]
    enforce: bool,
    /// Only count and log what it would deny, and let it through
    #[arg(long, group = "change", conflicts_with = "enforce")]
    monitor: bool,
    /// Make it allow
    #[arg(long, group = "change")]
    allow: bool,
    /// Make it deny
    #[arg(long, group = "change", conflicts_with = "allow")]
    deny: bool,
    /// Who asks: a pattern
    #[arg(long, group = "change", value_name = "PATTERN")]
    source: Option<String>,
    /// Who is asked for: a pattern
    #[arg(long, group = "change", value_name = "PATTERN")]
    destination: Option<String>,
    /// The longest life of a ticket under this rule, 10s to 24h, or `default` for the zone's
    #[arg(long, group = "change", value_name = "SPAN", value_parser = lifetime)]
    max_lifetime: Option<Lifetime>,
    /// What it is for: at most 200 characters
    #[arg(long, group = "change", value_name = "TEXT")]
    note: Option<String>,
    /// From when on it does not count any more: a time of RFC 3339, a span from now such as 30d, or `never`
    #[arg(long, group = "change", value_name = "WHEN", value_parser = expiry)]
    expires: Option<Expiry>,
    #[command(flatten)]
    expected: Expected,
}

#[derive(Debug, Args)]
pub(in crate::cli) struct Delete {
    #[command(flatten)]
    which: Which,
    #[command(flatten)]
    expected: Expected,
    /// Only show what would be deleted
    #[arg(long)]
    dry_run: bool,
}

/// A lifetime, or `None` for the zone's.
#[derive(Debug, Clone, Copy)]
struct Lifetime(Option<u32>);

/// An end, or `None` for never.
#[derive(Debug, Clone, Copy)]
struct Expiry(Option<Moment>);

impl Add {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let new = NewRule {
            id: self.id,
            effect: effect(self.allow).to_owned(),
            mode: self.monitor.then(|| MONITOR.to_owned()),
            source: self.source,
            destination: self.destination,
            max_lifetime_seconds: self.max_lifetime,
            note: self.note,
            expires_at: self.expires.map(Moment::ahead),
        };
        let view: RuleView = admin.post(RULES).json(&new)?.create().await?;
        Ok(output.print(&view, |out| show::write(out, &view))?)
    }
}

impl Update {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let patch = RulePatch {
            effect: (self.allow || self.deny).then(|| effect(self.allow).to_owned()),
            mode: (self.enforce || self.monitor)
                .then(|| if self.monitor { MONITOR } else { ENFORCE }.to_owned()),
            source: self.source,
            destination: self.destination,
            max_lifetime_seconds: self.max_lifetime.map(|lifetime| lifetime.0),
            note: self.note,
            expires_at: self.expires.map(|expiry| expiry.0.map(Moment::ahead)),
        };
        let call = admin.patch(rule(&self.which.id)).if_revision(self.expected.if_revision);
        let view: RuleView = call.json(&patch)?.read().await?;
        Ok(output.print(&view, |out| show::write(out, &view))?)
    }
}

impl Delete {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let id = self.which.id;
        if self.dry_run {
            let view: RuleView = admin.get(rule(&id)).read().await?;
            return Ok(output.print(&view, |out| {
                writeln!(out, "This would be deleted:\n")?;
                show::write(out, &view)
            })?);
        }
        admin.delete(rule(&id)).if_revision(self.expected.if_revision).done().await?;
        Ok(output
            .print(&serde_json::json!({ "deleted": id }), |out| writeln!(out, "Rule {id} is deleted."))?)
    }
}

const fn effect(allow: bool) -> &'static str {
    if allow { "allow" } else { "deny" }
}

fn lifetime(text: &str) -> Result<Lifetime, &'static str> {
    if text == "default" { Ok(Lifetime(None)) } else { ticket_lifetime(text).map(|s| Lifetime(Some(s))) }
}

fn expiry(text: &str) -> Result<Expiry, &'static str> {
    if text == "never" { Ok(Expiry(None)) } else { text.parse().map(|at| Expiry(Some(at))) }
}

const ENFORCE: &str = "enforce";
const MONITOR: &str = "monitor";
