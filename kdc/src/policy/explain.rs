//! Why the policy says what it says.

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::{Decision, Effect, Grant, Mode, MonitorReason, Pattern, Policy, Rule, RuleId, WouldDeny};

/// A decision, and all that it rests on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Explanation {
    /// Who would ask.
    pub source: Name,
    /// Who would be asked for.
    pub destination: Name,
    /// At which moment.
    pub at: UnixMillis,
    /// Whether they may speak.
    pub decision: Effect,
    /// The rule that decides; absent where no rule allows it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rule: Option<RuleId>,
    /// How long a ticket would last at most, where they may.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifetime_seconds: Option<u32>,
    /// The monitored rule that would have denied it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub would_deny: Option<WouldDeny>,
    /// Every rule that is about the two, the strictest first.
    pub matching: Vec<Match>,
    /// All of it in a sentence.
    pub why: String,
}

/// A rule that is about two names.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// Its id.
    pub id: RuleId,
    /// What it says.
    #[serde(flatten)]
    pub grant: Grant,
    /// Whether it is in force.
    pub mode: Mode,
    /// Who asks.
    pub source: Pattern,
    /// Who is asked for.
    pub destination: Pattern,
    /// Whether it counts no more.
    pub expired: bool,
}

impl Policy {
    /// Why `source` may speak to `destination` at `now`, or may not.
    #[must_use]
    pub fn explain(&self, source: &Name, destination: &Name, now: UnixMillis) -> Explanation {
        let (asking, asked) = (self.classify(source), self.classify(destination));
        let matching: Vec<Match> = self.common(&asking, &asked).map(|rule| Match::new(rule, now)).collect();
        let decision = self.of_classes(&asking, &asked, now);
        let why =
            why(&decision, matching.iter().any(|rule| rule.expired && rule.grant.effect() == Effect::Allow));
        let (effect, rule, lifetime_seconds, would_deny) = match decision {
            Decision::Allow { lifetime_seconds, rule, would_deny } => {
                (Effect::Allow, Some(rule), Some(lifetime_seconds), would_deny)
            }
            Decision::Deny { rule } => (Effect::Deny, rule, None, None),
        };
        Explanation {
            source: source.clone(),
            destination: destination.clone(),
            at: now,
            decision: effect,
            rule: rule.cloned(),
            lifetime_seconds,
            would_deny,
            matching,
            why,
        }
    }
}

impl Match {
    fn new(rule: &Rule, now: UnixMillis) -> Self {
        Self {
            id: rule.id.clone(),
            grant: rule.grant,
            mode: rule.mode,
            source: rule.source.clone(),
            destination: rule.destination.clone(),
            expired: rule.expired(now),
        }
    }
}

fn why(decision: &Decision<'_>, expired: bool) -> String {
    match decision {
        Decision::Deny { rule: Some(rule) } => format!("denied by rule {rule}"),
        Decision::Deny { rule: None } if expired => {
            "denied: the rules that allowed it have expired".to_owned()
        }
        Decision::Deny { rule: None } => "denied: no rule allows it".to_owned(),
        Decision::Allow { lifetime_seconds, rule, would_deny } => {
            let allowed = format!("allowed by rule {rule}, with tickets of at most {lifetime_seconds} s");
            match would_deny {
                None => allowed,
                Some(WouldDeny { rule, reason: MonitorReason::Deny }) => {
                    format!("{allowed}; rule {rule} would deny it, but is in monitor mode")
                }
                Some(WouldDeny { reason: MonitorReason::Allow, .. }) => {
                    format!("{allowed}; but it is in monitor mode, and no rule in force allows it")
                }
            }
        }
    }
}
