//! `keycell policy test`

use std::io;

use clap::Args;
use keycell_protocol::Zone;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{Moment, exact};
use super::super::output::Output;
use super::super::table::{or_dash, printable, table};
use super::POLICY;
use crate::api::PolicyTest;
use crate::policy::Explanation;

#[derive(Debug, Args)]
pub(in crate::cli) struct Test {
    /// Who would ask, with or without the zone; need not be a party
    source: String,
    /// Who would be asked for
    destination: String,
    /// At which moment: a time of RFC 3339, or a span from now such as 30d [default: now]
    #[arg(long, value_name = "WHEN")]
    at: Option<Moment>,
}

impl Test {
    pub(super) async fn run(self, admin: &Admin, output: &Output) -> Outcome {
        let test =
            PolicyTest { source: self.source, destination: self.destination, at: self.at.map(Moment::ahead) };
        let told: Explanation = admin.post(format!("{POLICY}/test")).json(&test)?.read().await?;
        let zone = admin.zone().await?;
        Ok(output.print(&told, |out| write(out, &told, &zone))?)
    }
}

fn write(out: &mut dyn io::Write, told: &Explanation, zone: &Zone) -> io::Result<()> {
    writeln!(out, "{} -> {}: {}", told.source, told.destination, printable(&told.why))?;
    if let Some(beyond) = beyond(told, zone) {
        writeln!(out, "{beyond}")?;
    }
    if told.matching.is_empty() {
        return Ok(());
    }
    writeln!(out)?;
    let rows = told.matching.iter().map(|rule| {
        let mark = if told.rule.as_ref() == Some(&rule.id) { "decides" } else { "" };
        let mark = if rule.expired { "expired" } else { mark };
        [
            rule.id.to_string(),
            rule.grant.effect().to_string(),
            rule.mode.to_string(),
            rule.source.to_string(),
            rule.destination.to_string(),
            or_dash(rule.grant.max_lifetime_seconds().map(|seconds| exact(seconds.into()))),
            mark.to_owned(),
        ]
    });
    table(out, ["MATCHING RULE", "EFFECT", "MODE", "SOURCE", "DESTINATION", "LIFETIME", ""], rows)
}

/// Why it does not come to the policy at all.
fn beyond(told: &Explanation, zone: &Zone) -> Option<String> {
    let (source, destination) = (&told.source, &told.destination);
    if [source, destination].iter().any(|name| name.zone() != zone.as_str()) {
        return Some(format!(
            "But the KDC refuses other zones than {zone} before it asks the policy: no rule lets them speak."
        ));
    }
    (source == destination).then(|| {
        "But a party never needs a ticket to itself: the KDC refuses it before it asks the policy.".to_owned()
    })
}
