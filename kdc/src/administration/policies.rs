//! The policy: its rules one by one, and all of them at once.

use std::collections::{HashMap, HashSet};
use std::str::FromStr;
use std::sync::Arc;

use keycell_protocol::{UnixMillis, Zone};

use super::{AdminError, Caller, Ledger, Precondition};
use crate::api::{NewRule, RulePatch};
use crate::audit::{Action, Event};
use crate::directory::Rules;
use crate::policy::{Effect, Grant, MAX_RULES, Mode, Pattern, Policy, Rule, RuleId};
use crate::store::{Act, Kind, StoreError, Write};

/// The policy of a zone.
pub struct Policies {
    ledger: Arc<Ledger>,
}

impl Policies {
    pub(crate) const fn new(ledger: Arc<Ledger>) -> Self {
        Self { ledger }
    }

    /// The policy in force.
    #[must_use]
    pub fn rules(&self) -> Arc<Rules> {
        self.ledger.directory().rules()
    }

    /// The rule of that id.
    ///
    /// # Errors
    /// [`AdminError::Missing`].
    pub fn show(&self, id: &str) -> Result<Rule, AdminError> {
        self.rules().rule(id).cloned().ok_or_else(|| missing(id))
    }

    /// Makes a rule. `keep` may add the write that keeps the answer.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Exists`].
    pub async fn create(
        &self,
        caller: &Caller,
        new: &NewRule,
        keep: impl Fn(&Rule) -> Result<Option<Write>, AdminError>,
    ) -> Result<Rule, AdminError> {
        self.ledger.catch_up().await;
        let now = self.ledger.now();
        let mut rule = rule(new, &self.ledger.zone().zone, now, "")?;
        // Whether there is room is known of one state of the policy; somebody else may change it in between.
        for _ in 0..ATTEMPTS {
            let before = self.rules();
            if before.policy.rules().len() >= MAX_RULES {
                return Err(AdminError::invalid(
                    "rules",
                    format!("the policy has {MAX_RULES} rules, which is the most"),
                ));
            }
            rule.revision = first_revision(&before);
            let event = described(caller.event(now, Action::RuleCreate, rule.id.as_str()), &rule);
            let mut act = Act::new(Write::Expect { kind: Kind::Rule, change: before.change }, event);
            act.writes.push(self.write(&rule, None)?);
            act.writes.extend(keep(&rule)?);
            match self.ledger.commit(&act).await {
                Ok(_) => return Ok(rule),
                Err(AdminError::Store(StoreError::DocumentChanged { .. })) => self.ledger.catch_up().await,
                Err(AdminError::Store(StoreError::DocumentExists { .. })) => {
                    return Err(AdminError::Exists(format!("rule {}", rule.id)));
                }
                Err(error) => return Err(error),
            }
        }
        Err(AdminError::Busy)
    }

    /// Changes a rule.
    ///
    /// # Errors
    /// [`AdminError::Invalid`], [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn update(
        &self,
        caller: &Caller,
        id: &str,
        patch: &RulePatch,
        precondition: &Precondition,
    ) -> Result<Rule, AdminError> {
        self.ledger.catch_up().await;
        let before = self.show(id)?;
        precondition.check(before.revision)?;
        let now = self.ledger.now();
        let mut after = patched(&before, patch, &self.ledger.zone().zone)?;
        if after == before {
            return Ok(before);
        }
        after.revision = before.revision.saturating_add(1);
        after.updated_at = now;
        let event = described(caller.event(now, Action::RuleUpdate, id), &after);
        let write = self.write(&after, Some(before.revision))?;
        self.changed(self.ledger.commit(&Act::new(write, event)).await, id, precondition)?;
        Ok(after)
    }

    /// Deletes a rule.
    ///
    /// # Errors
    /// [`AdminError::Missing`], [`AdminError::Precondition`].
    pub async fn delete(
        &self,
        caller: &Caller,
        id: &str,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        self.ledger.catch_up().await;
        let before = self.show(id)?;
        precondition.check(before.revision)?;
        let event = described(caller.event(self.ledger.now(), Action::RuleDelete, id), &before);
        let expected = Some(before.revision);
        let write = Write::DeleteDocument { kind: Kind::Rule, id: id.to_owned(), expected };
        self.changed(self.ledger.commit(&Act::new(write, event)).await, id, precondition)
    }

    /// Makes these the whole policy, in one step: rules of the same id are changed where they differ, others go. With
    /// `dry_run` it says what the policy would be, and changes nothing.
    ///
    /// # Errors
    /// [`AdminError::Invalid`] naming the rule at fault, [`AdminError::Precondition`].
    pub async fn replace(
        &self,
        caller: &Caller,
        new: &[NewRule],
        precondition: &Precondition,
        dry_run: bool,
    ) -> Result<Arc<Rules>, AdminError> {
        self.ledger.catch_up().await;
        let before = self.rules();
        precondition.check(before.change.0)?;
        let now = self.ledger.now();
        let zone = &self.ledger.zone().zone;
        let mut wanted = Vec::with_capacity(new.len().min(MAX_RULES));
        let mut ids = HashSet::with_capacity(wanted.capacity());
        for (number, new) in new.iter().enumerate() {
            let rule = rule(new, zone, now, &format!("rules[{number}]."))?;
            if !ids.insert(rule.id.clone()) {
                let text = format!("a rule before it has the id {}; give one of them another", rule.id);
                return Err(AdminError::invalid(format!("rules[{number}].id"), text));
            }
            wanted.push(rule);
        }
        let lifetime = before.policy.ticket_lifetime_seconds();
        let there: HashMap<&RuleId, &Rule> =
            before.policy.rules().iter().map(|rule| (&rule.id, rule)).collect();
        let mut act = Act::default();
        let (mut made, mut changed) = (0_u64, 0_u64);
        for rule in &mut wanted {
            match there.get(&rule.id) {
                None => {
                    made += 1;
                    rule.revision = first_revision(&before);
                    act.events.push(described(caller.event(now, Action::RuleCreate, rule.id.as_str()), rule));
                    act.writes.push(self.write(rule, None)?);
                }
                Some(old) => {
                    rule.created_at = old.created_at;
                    rule.updated_at = old.updated_at;
                    rule.revision = old.revision;
                    if rule != *old {
                        changed += 1;
                        rule.revision = old.revision.saturating_add(1);
                        rule.updated_at = now;
                        let event = caller.event(now, Action::RuleUpdate, rule.id.as_str());
                        act.events.push(described(event, rule));
                        act.writes.push(self.write(rule, Some(old.revision))?);
                    }
                }
            }
        }
        let gone: Vec<&Rule> = there.values().filter(|rule| !ids.contains(&rule.id)).copied().collect();
        for rule in &gone {
            act.events.push(described(caller.event(now, Action::RuleDelete, rule.id.as_str()), rule));
            let (id, expected) = (rule.id.to_string(), Some(rule.revision));
            act.writes.push(Write::DeleteDocument { kind: Kind::Rule, id, expected });
        }
        let gone = gone.len() as u64;
        let policy = Policy::compile(wanted, lifetime)
            .map_err(|error| AdminError::invalid("rules", error.to_string()))?;
        if dry_run {
            return Ok(Arc::new(Rules { change: before.change, policy }));
        }
        if act.writes.is_empty() {
            return Ok(before);
        }
        act.writes.insert(0, Write::Expect { kind: Kind::Rule, change: before.change });
        let event = caller.event(now, Action::PolicyReplace, "");
        act.events.push(event.with("made", made).with("changed", changed).with("deleted", gone));
        self.changed(self.ledger.commit(&act).await, "*", precondition)?;
        Ok(self.rules())
    }

    fn write(&self, rule: &Rule, expected: Option<u64>) -> Result<Write, AdminError> {
        let document = self.ledger.document(Kind::Rule, rule.id.as_str(), rule.revision, rule)?;
        Ok(Write::PutDocument { document, expected })
    }

    /// How a change ended that somebody else may have been quicker with.
    fn changed<T>(
        &self,
        outcome: Result<T, AdminError>,
        id: &str,
        precondition: &Precondition,
    ) -> Result<(), AdminError> {
        match outcome {
            Ok(_) => Ok(()),
            Err(AdminError::Store(StoreError::DocumentMissing { .. })) => Err(missing(id)),
            Err(AdminError::Store(
                StoreError::DocumentChanged { .. } | StoreError::DocumentExists { .. },
            )) => Err(match precondition.is_given() {
                true => AdminError::Precondition { found: None },
                false => AdminError::Busy,
            }),
            Err(error) => Err(error),
        }
    }
}

/// Where a new rule begins to count: beyond every revision that a rule of its id can have had before it was deleted, for
/// each of those took a change of the policy.
fn first_revision(rules: &Rules) -> u64 {
    rules.change.0.saturating_add(1)
}

/// Reads a rule; `place` goes before the name of a field that is wrong.
fn rule(new: &NewRule, zone: &Zone, now: UnixMillis, place: &str) -> Result<Rule, AdminError> {
    let field = |name: &str| format!("{place}{name}");
    let effect: Effect = parsed(&new.effect, field("effect"))?;
    let grant = Grant::new(effect, new.max_lifetime_seconds)
        .map_err(|error| AdminError::invalid(field("max_lifetime_seconds"), error.to_string()))?;
    let pattern = |text: &str, name: &str| {
        Pattern::in_zone(text, zone).map_err(|error| AdminError::invalid(field(name), error.to_string()))
    };
    Ok(Rule {
        id: match &new.id {
            Some(id) => parsed(id, field("id"))?,
            None => RuleId::generate(&mut crate::random::system()),
        },
        revision: 1,
        grant,
        mode: new.mode.as_deref().map_or(Ok(Mode::Enforce), |mode| parsed(mode, field("mode")))?,
        source: pattern(&new.source, "source")?,
        destination: pattern(&new.destination, "destination")?,
        note: parsed(&new.note, field("note"))?,
        expires_at: new.expires_at,
        created_at: now,
        updated_at: now,
    })
}

fn patched(before: &Rule, patch: &RulePatch, zone: &Zone) -> Result<Rule, AdminError> {
    let effect = patch.effect.clone().unwrap_or_else(|| before.grant.effect().to_string());
    // An allow that becomes a deny loses its lifetime, unless one is asked for.
    let lifetime = match patch.max_lifetime_seconds {
        Some(given) => given,
        None if effect == before.grant.effect().as_str() => before.grant.max_lifetime_seconds(),
        None => None,
    };
    let new = NewRule {
        id: Some(before.id.to_string()),
        effect,
        mode: Some(patch.mode.clone().unwrap_or_else(|| before.mode.to_string())),
        source: patch.source.clone().unwrap_or_else(|| before.source.to_string()),
        destination: patch.destination.clone().unwrap_or_else(|| before.destination.to_string()),
        max_lifetime_seconds: lifetime,
        note: patch.note.clone().unwrap_or_else(|| before.note.to_string()),
        expires_at: patch.expires_at.unwrap_or(before.expires_at),
    };
    let mut after = rule(&new, zone, before.created_at, "")?;
    after.revision = before.revision;
    after.updated_at = before.updated_at;
    Ok(after)
}

fn parsed<T: FromStr<Err: ToString>>(text: &str, field: String) -> Result<T, AdminError> {
    text.parse().map_err(|error: T::Err| AdminError::invalid(field, error.to_string()))
}

/// The rule in the record, whole: what was in force can be told from the log alone.
fn described(event: Event, rule: &Rule) -> Event {
    let event = event
        .with("effect", rule.grant.effect().as_str())
        .with("mode", rule.mode.as_str())
        .with("source", rule.source.as_str())
        .with("destination", rule.destination.as_str())
        .with("note", rule.note.to_string());
    let event = match rule.grant.max_lifetime_seconds() {
        Some(seconds) => event.with("max_lifetime_seconds", seconds),
        None => event,
    };
    match rule.expires_at {
        Some(at) => event.with("expires_at", at.0),
        None => event,
    }
}

fn missing(id: &str) -> AdminError {
    AdminError::Missing(format!("rule {id}"))
}

/// Each loser of a race looks again; one of those that began together wins each time.
const ATTEMPTS: usize = 20;
