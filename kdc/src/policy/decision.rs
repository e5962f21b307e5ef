//! What the policy says of two names.

use std::borrow::Cow;

use keycell_protocol::{Name, UnixMillis};
use serde::{Deserialize, Serialize};

use super::class::{Class, ClassSlot};
use super::{Effect, Mode, Policy, Rule, RuleId};
use crate::named::named;

/// What the policy says of two names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision<'p> {
    /// They may speak.
    Allow {
        /// With tickets of at most so many seconds.
        lifetime_seconds: u32,
        /// The rule that allows it.
        rule: &'p RuleId,
        /// The monitored rule that would have denied it.
        would_deny: Option<WouldDeny>,
    },
    /// They may not.
    Deny {
        /// The rule that denies it; without one, no rule allows it.
        rule: Option<&'p RuleId>,
    },
}

impl Decision<'_> {
    /// Whether they may speak.
    #[must_use]
    pub const fn allows(&self) -> bool {
        matches!(self, Self::Allow { .. })
    }
}

/// What a rule in monitor mode would have denied, were it in force.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WouldDeny {
    /// The rule.
    pub rule: RuleId,
    /// In which way.
    pub reason: MonitorReason,
}

named! {
    /// How a monitored rule would deny.
    MonitorReason(UnknownMonitorReason, "the reason is monitored_deny or monitored_allow") {
        /// The rule is a deny: put in force, it would deny.
        Deny = "monitored_deny",
        /// The rule is the allow that decides, and no rule in force allows it: without the monitored ones it is denied.
        Allow = "monitored_allow",
    }
}

impl Policy {
    /// Whether `source` may speak to `destination` at `now`.
    #[must_use]
    pub fn decide(&self, source: &Name, destination: &Name, now: UnixMillis) -> Decision<'_> {
        self.of_classes(&self.classify(source), &self.classify(destination), now)
    }

    /// The deny that keeps two names apart, or would if it were in force: of several the strictest. No rule has to allow a
    /// name of another zone, for the lists of the trust with it do; a deny is about every name that its pattern matches.
    #[must_use]
    pub fn denial(&self, source: &Name, destination: &Name, now: UnixMillis) -> Option<&Rule> {
        self.denial_of_classes(&self.classify(source), &self.classify(destination), now)
    }

    fn denial_of_classes(&self, asking: &Class, asked: &Class, now: UnixMillis) -> Option<&Rule> {
        // Every deny stands before every allow, and one in force before one that is watched.
        let first = asking
            .as_source
            .common(&asked.as_destination)
            .find_map(|place| self.rules.get(usize::from(place)).filter(|rule| !rule.expired(now)));
        first.filter(|rule| rule.grant.effect() == Effect::Deny)
    }

    /// Somebody who asks, to decide on many destinations. The party's slot remembers its class.
    #[must_use]
    pub fn source(&self, name: &Name, slot: &ClassSlot) -> Source<'_> {
        let class = match self.classes.remembered(slot) {
            Some(class) => Cow::Borrowed(class),
            None => {
                let class = self.classify(name);
                self.classes.remember(class.clone(), slot);
                Cow::Owned(class)
            }
        };
        Source { policy: self, class }
    }

    /// The rules that both classes have in common, the strictest first.
    pub(super) fn common<'a>(
        &'a self,
        source: &'a Class,
        destination: &'a Class,
    ) -> impl Iterator<Item = &'a Rule> {
        let places = source.as_source.common(&destination.as_destination);
        places.filter_map(|place| self.rules.get(usize::from(place)))
    }

    pub(super) fn of_classes(&self, source: &Class, destination: &Class, now: UnixMillis) -> Decision<'_> {
        let (mut monitored, mut allowed, mut in_force) = (None, None, false);
        for place in source.as_source.common(&destination.as_destination) {
            let Some(rule) = self.rules.get(usize::from(place)).filter(|rule| !rule.expired(now)) else {
                continue;
            };
            match (rule.grant.effect(), rule.mode) {
                (Effect::Deny, Mode::Enforce) => return Decision::Deny { rule: Some(&rule.id) },
                (Effect::Deny, Mode::Monitor) => _ = monitored.get_or_insert(rule),
                (Effect::Allow, mode) => {
                    allowed.get_or_insert(rule);
                    if mode == Mode::Enforce {
                        in_force = true;
                        break;
                    }
                }
            }
        }
        let Some(allow) = allowed else { return Decision::Deny { rule: None } };
        let would_deny = match monitored {
            Some(deny) => Some(WouldDeny { rule: deny.id.clone(), reason: MonitorReason::Deny }),
            None if in_force => None,
            None => Some(WouldDeny { rule: allow.id.clone(), reason: MonitorReason::Allow }),
        };
        let lifetime_seconds = lifetime(allow, self.ticket_lifetime_seconds);
        Decision::Allow { lifetime_seconds, rule: &allow.id, would_deny }
    }
}

/// Somebody who asks.
#[derive(Debug)]
pub struct Source<'p> {
    policy: &'p Policy,
    class: Cow<'p, Class>,
}

impl<'p> Source<'p> {
    /// The [deny](Policy::denial) between it and a name of another zone.
    #[must_use]
    pub fn denial(&self, destination: &Name, now: UnixMillis) -> Option<&'p Rule> {
        self.policy.denial_of_classes(&self.class, &self.policy.classify(destination), now)
    }

    /// Whether it may speak to `destination` at `now`; a party of that name has a slot.
    ///
    /// What is denied costs the same whether there is such a party or not: a class is only remembered for those who
    /// may be asked for, and whoever is denied by a remembered one pays for finding it anew.
    #[must_use]
    pub fn decide(&self, destination: &Name, slot: Option<&ClassSlot>, now: UnixMillis) -> Decision<'p> {
        let classes = &self.policy.classes;
        if let Some(class) = slot.and_then(|slot| classes.remembered(slot)) {
            let decision = self.policy.of_classes(&self.class, class, now);
            if decision.allows() {
                return decision;
            }
        }
        let class = self.policy.classify(destination);
        let decision = self.policy.of_classes(&self.class, &class, now);
        if let (true, Some(slot)) = (decision.allows(), slot) {
            classes.remember(class, slot);
        }
        decision
    }
}

/// The order of rules, the strictest first: what denies, what would deny, what allows; of what allows, the shorter
/// lifetime, and of equal ones the rule in force.
pub(super) fn strictness(rule: &Rule, ticket_lifetime_seconds: u32) -> impl Ord + use<> {
    let monitored = rule.mode == Mode::Monitor;
    let allows = rule.grant.effect() == Effect::Allow;
    (allows, if allows { lifetime(rule, ticket_lifetime_seconds) } else { 0 }, monitored, rule.id.clone())
}

/// How long tickets under a rule last.
fn lifetime(rule: &Rule, ticket_lifetime_seconds: u32) -> u32 {
    rule.grant
        .max_lifetime_seconds()
        .map_or(ticket_lifetime_seconds, |most| most.min(ticket_lifetime_seconds))
}
