//! `keycell policy list` and `keycell policy show`

use std::io;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{exact, time};
use super::super::output::Output;
use super::super::table::{fields, or_dash, printable, table};
use super::{POLICY, rule as rule_path};
use crate::api::{PolicyView, RuleView};

pub(super) async fn list(admin: &Admin, output: &Output) -> Outcome {
    let view: PolicyView = admin.get(POLICY).read().await?;
    Ok(output.print(&view, |out| {
        if view.rules.is_empty() {
            return writeln!(
                out,
                "There is no rule: everything is denied. `keycell policy profiles` shows where to begin."
            );
        }
        let rows = view.rules.iter().map(|rule| {
            [
                rule.id.clone(),
                rule.effect.clone(),
                rule.mode.clone(),
                rule.source.clone(),
                rule.destination.clone(),
                or_dash(rule.max_lifetime_seconds.map(|seconds| exact(seconds.into()))),
                or_dash(rule.expires_at.map(time)),
                rule.note.clone(),
            ]
        });
        table(out, ["ID", "EFFECT", "MODE", "SOURCE", "DESTINATION", "LIFETIME", "EXPIRES", "NOTE"], rows)?;
        warnings(&view.rules).iter().try_for_each(|warning| writeln!(out, "{warning}"))?;
        writeln!(out, "Revision {} of the policy.", view.revision)
    })?)
}

pub(super) async fn rule(id: &str, admin: &Admin, output: &Output) -> Outcome {
    let view: RuleView = admin.get(rule_path(id)).read().await?;
    Ok(output.print(&view, |out| write(out, &view))?)
}

/// Everything that is known of a rule.
pub(super) fn write(out: &mut dyn io::Write, view: &RuleView) -> io::Result<()> {
    let lifetime = view.max_lifetime_seconds.map_or_else(|| "the zone's".to_owned(), |s| exact(s.into()));
    fields(
        out,
        [
            ("id", view.id.clone()),
            ("effect", view.effect.clone()),
            ("mode", view.mode.clone()),
            ("source", view.source.clone()),
            ("destination", view.destination.clone()),
            ("longest lifetime", lifetime),
            ("expires", view.expires_at.map_or_else(|| "never".to_owned(), time)),
            ("created", time(view.created_at)),
            ("changed", time(view.updated_at)),
            ("revision", view.revision.to_string()),
            ("note", view.note.clone()),
        ],
    )?;
    warnings(std::slice::from_ref(view)).iter().try_for_each(|warning| writeln!(out, "\n{warning}"))
}

/// A line for each rule that never decides anything.
pub(super) fn warnings(rules: &[RuleView]) -> Vec<String> {
    let line = |rule: &RuleView| {
        let warning = rule.warning.as_ref()?;
        Some(format!("Rule {} never decides anything: {}.", rule.id, printable(warning)))
    };
    rules.iter().filter_map(line).collect()
}
