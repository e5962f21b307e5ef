//! Who may send to a group, by the rules of the policy.

use std::io::{self, Write};

use keycell_protocol::{Name, UnixMillis};
use serde::Serialize;

use super::super::Outcome;
use super::super::admin::Admin;
use super::super::table::{counted, printable};
use crate::api::{RulePage, RuleView};
use crate::clock::{Clock as _, SystemClock};

/// The rules that are about sending to a group.
#[derive(Debug, Serialize)]
#[serde(transparent)]
pub(super) struct Senders {
    rules: Vec<RuleView>,
}

impl Senders {
    pub(super) async fn of(group: &Name, admin: &Admin) -> Outcome<Self> {
        let mut rules = Vec::new();
        let mut after = None;
        loop {
            let page: RulePage = admin
                .get("/v1/admin/policy/rules")
                .query("destination", Some(group))
                .query("limit", Some(1000))
                .query("after", after.take())
                .read()
                .await?;
            rules.extend(page.rules);
            after = page.next;
            if after.is_none() {
                return Ok(Self { rules });
            }
        }
    }

    /// Says it in sentences, and what to do where nobody may.
    pub(super) fn write(&self, out: &mut dyn Write, group: &Name) -> io::Result<()> {
        let now = SystemClock.now();
        let of = |effect: &str| {
            let wanted = move |rule: &&RuleView| rule.effect == effect && counts(rule, now);
            self.rules.iter().filter(wanted).collect::<Vec<_>>()
        };
        let (allow, deny) = (of("allow"), of("deny"));
        writeln!(out)?;
        if allow.is_empty() {
            writeln!(
                out,
                "No rule lets anybody send to it: keycell policy add --allow SENDERS {}",
                group.local()
            )?;
        } else {
            writeln!(out, "May send to it: {}.", named(&allow))?;
        }
        if !deny.is_empty() {
            writeln!(out, "May not, whatever other rules say: {}.", named(&deny))?;
        }
        Ok(())
    }
}

/// Whether a rule decides anything now.
fn counts(rule: &RuleView, now: UnixMillis) -> bool {
    let monitored_deny = rule.effect == "deny" && rule.mode != "enforce";
    !monitored_deny && rule.expires_at.is_none_or(|end| end > now)
}

fn named(rules: &[&RuleView]) -> String {
    let mut text = rules
        .iter()
        .take(SHOWN)
        .map(|rule| format!("{} (rule {})", rule.source, rule.id))
        .collect::<Vec<_>>()
        .join(", ");
    if let Some(more) = rules.len().checked_sub(SHOWN).filter(|more| *more > 0) {
        text.push_str(&format!(", and by {}", counted(more as u64, "more rule", "more rules")));
    }
    printable(&text)
}

/// More than fit a glance.
const SHOWN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(id: &str, effect: &str, mode: &str, expires_at: Option<u64>) -> RuleView {
        RuleView {
            id: id.to_owned(),
            revision: 1,
            effect: effect.to_owned(),
            mode: mode.to_owned(),
            source: format!("{id}.*@z"),
            destination: "g@z".to_owned(),
            max_lifetime_seconds: None,
            note: String::new(),
            expires_at: expires_at.map(UnixMillis),
            created_at: UnixMillis(0),
            updated_at: UnixMillis(0),
            warning: None,
        }
    }

    fn written(rules: Vec<RuleView>) -> String {
        let mut out = Vec::new();
        Senders { rules }.write(&mut out, &"g@z".parse().unwrap()).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn only_what_counts_is_told() {
        let nobody = "\nNo rule lets anybody send to it: keycell policy add --allow SENDERS g\n";
        assert_eq!(written(Vec::new()), nobody);
        assert_eq!(
            written(vec![rule("a", "allow", "enforce", Some(1)), rule("b", "deny", "monitor", None)]),
            nobody
        );
        let rules = vec![
            rule("a", "allow", "enforce", Some(u64::MAX)),
            rule("b", "allow", "monitor", None),
            rule("c", "deny", "enforce", None),
        ];
        assert_eq!(
            written(rules),
            "\nMay send to it: a.*@z (rule a), b.*@z (rule b).\nMay not, whatever other rules say: c.*@z (rule c).\n"
        );
        let many = written((0..10).map(|n| rule(&format!("r{n}"), "allow", "enforce", None)).collect());
        assert!(many.ends_with("r7.*@z (rule r7), and by 2 more rules.\n"), "{many}");
    }
}
