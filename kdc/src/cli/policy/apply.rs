//! `keycell policy apply`

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::moment::{exact, time};
use super::super::output::Output;
use super::super::table::{counted, printable};
use super::show::warnings;
use super::{POLICY, document};
use crate::api::{NewRule, PolicyView, Rules};

#[derive(Debug, Args)]
pub(in crate::cli) struct Apply {
    /// The document: .toml or .json
    #[arg(value_hint = ValueHint::FilePath)]
    file: PathBuf,
    /// Only print the difference, rule by rule
    #[arg(long)]
    dry_run: bool,
}

impl Apply {
    pub(super) async fn run(&self, admin: impl FnOnce() -> Outcome<Admin>, output: &Output) -> Outcome {
        let wanted = document::read(&self.file)?;
        apply(wanted, self.dry_run, &admin()?, output).await
    }
}

/// Makes rules the whole policy, if it is still the one that they were compared to, and prints what that changes.
pub(super) async fn apply(wanted: Rules, dry_run: bool, admin: &Admin, output: &Output) -> Outcome {
    let before: PolicyView = admin.get(POLICY).read().await?;
    let revision = before.revision;
    let warned = warnings(&before.rules);
    let there = before.rules.into_iter().map(document::rule).collect();
    let (rules, changes) = compare(there, wanted.rules);
    let mut applied = Applied { revision, dry_run, changes, warnings: warned };
    if !applied.changes.is_empty() {
        // The KDC is asked in any case: it knows which rules it would take.
        let call = admin.put(POLICY).query("dry_run", dry_run.then_some(true)).if_revision(Some(revision));
        let after: PolicyView = call.json(&Rules { rules })?.read().await?;
        applied.warnings = warnings(&after.rules);
        if !dry_run {
            applied.revision = after.revision;
        }
    }
    Ok(output.print(&applied, |out| applied.write(out))?)
}

/// What was changed, or would be.
#[derive(Debug, Serialize)]
struct Applied {
    revision: u64,
    dry_run: bool,
    changes: Vec<Change>,
    /// What the whole policy has of rules that never decide anything.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// One rule that differs.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum Change {
    Add { rule: NewRule },
    Delete { rule: NewRule },
    Update { before: NewRule, after: NewRule },
}

/// The rules to send, and how they differ from those that are there. A rule without an id is the one that says the same,
/// if there is one.
fn compare(there: Vec<NewRule>, wanted: Vec<NewRule>) -> (Vec<NewRule>, Vec<Change>) {
    let mut there: BTreeMap<_, _> = there.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
    let (named, nameless): (Vec<_>, Vec<_>) = wanted.into_iter().partition(|rule| rule.id.is_some());
    let (mut rules, mut changes) = (Vec::new(), Vec::new());
    for rule in named {
        match there.remove(&rule.id) {
            Some(before) if same(&before, &rule) => {}
            Some(before) => changes.push(Change::Update { before, after: rule.clone() }),
            None => changes.push(Change::Add { rule: rule.clone() }),
        }
        rules.push(rule);
    }
    for rule in nameless {
        let same = there.values().find(|before| same(before, &rule)).map(|before| before.id.clone());
        match same.and_then(|id| there.remove(&id)) {
            Some(before) => rules.push(before),
            None => {
                changes.push(Change::Add { rule: rule.clone() });
                rules.push(rule);
            }
        }
    }
    changes.extend(there.into_values().map(|rule| Change::Delete { rule }));
    (rules, changes)
}

/// Whether two rules say the same, whatever they are called. A pattern without a zone is of this one.
fn same(there: &NewRule, wanted: &NewRule) -> bool {
    let mode = |rule: &NewRule| rule.mode.clone().unwrap_or_else(|| "enforce".to_owned());
    let pattern = |there: &str, wanted: &str| {
        there == wanted
            || !wanted.contains('@') && there.rsplit_once('@').is_some_and(|(local, _)| local == wanted)
    };
    there.effect == wanted.effect
        && mode(there) == mode(wanted)
        && pattern(&there.source, &wanted.source)
        && pattern(&there.destination, &wanted.destination)
        && there.max_lifetime_seconds == wanted.max_lifetime_seconds
        && there.note == wanted.note
        && there.expires_at == wanted.expires_at
}

impl Applied {
    fn write(&self, out: &mut dyn io::Write) -> io::Result<()> {
        for change in &self.changes {
            match change {
                Change::Add { rule } => writeln!(out, "+ {}", line(rule))?,
                Change::Delete { rule } => writeln!(out, "- {}", line(rule))?,
                Change::Update { before, after } => {
                    writeln!(out, "- {}\n+ {}", line(before), line(after))?;
                }
            }
        }
        self.warnings.iter().try_for_each(|warning| writeln!(out, "{warning}"))?;
        let count = counted(self.changes.len() as u64, "rule", "rules");
        match (self.changes.is_empty(), self.dry_run) {
            (true, _) => writeln!(out, "Nothing differs; the policy stays at revision {}.", self.revision),
            (_, true) => writeln!(out, "{count} would change; the policy is at revision {}.", self.revision),
            (_, false) => writeln!(out, "{count} changed; the policy is at revision {}.", self.revision),
        }
    }
}

/// A rule in one line.
pub(super) fn line(rule: &NewRule) -> String {
    let id = rule.id.as_deref().unwrap_or("(new)");
    let mut line = format!("{id}: {} {} -> {}", rule.effect, rule.source, rule.destination);
    if let Some(mode) = rule.mode.as_deref().filter(|mode| *mode != "enforce") {
        line.push_str(&format!(", {mode}"));
    }
    if let Some(seconds) = rule.max_lifetime_seconds {
        line.push_str(&format!(", at most {}", exact(seconds.into())));
    }
    if let Some(at) = rule.expires_at {
        line.push_str(&format!(", until {}", time(at)));
    }
    if !rule.note.is_empty() {
        line.push_str(&format!("  # {}", rule.note));
    }
    printable(&line)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: Option<&str>, effect: &str, source: &str) -> NewRule {
        NewRule {
            id: id.map(str::to_owned),
            effect: effect.to_owned(),
            mode: None,
            source: source.to_owned(),
            destination: "*@z".to_owned(),
            max_lifetime_seconds: None,
            note: String::new(),
            expires_at: None,
        }
    }

    #[test]
    fn rules_are_compared_one_by_one() {
        let there = vec![
            rule(Some("a"), "allow", "a@z"),
            rule(Some("b"), "allow", "b@z"),
            rule(Some("c"), "allow", "c@z"),
            rule(Some("d"), "deny", "d@z"),
        ];
        let wanted = vec![
            rule(Some("a"), "allow", "a"),
            rule(Some("b"), "deny", "b@z"),
            rule(None, "allow", "c@z"),
            rule(None, "allow", "e@z"),
        ];
        let (rules, changes) = compare(there.clone(), wanted);
        let ids: Vec<_> = rules.iter().map(|rule| rule.id.as_deref()).collect();
        assert_eq!(ids, [Some("a"), Some("b"), Some("c"), None]);
        assert_eq!(
            changes,
            [
                Change::Update { before: there[1].clone(), after: rule(Some("b"), "deny", "b@z") },
                Change::Add { rule: rule(None, "allow", "e@z") },
                Change::Delete { rule: there[3].clone() },
            ]
        );
        assert_eq!(compare(there.clone(), there).1, []);
    }

    #[test]
    fn a_rule_is_a_line() {
        let mut rule = rule(None, "deny", "a@z");
        assert_eq!(line(&rule), "(new): deny a@z -> *@z");
        rule.mode = Some("monitor".to_owned());
        rule.note = "why\n".to_owned();
        assert_eq!(line(&rule), "(new): deny a@z -> *@z, monitor  # why\u{fffd}");
    }
}
