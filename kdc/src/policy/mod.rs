//! Who may speak to whom, and for how long: a pure function of two full names and the time.
//!
//! The rules have no order. What no rule allows is denied, and of the rules that match, the strictest wins: a deny
//! before every allow, and among allows the shortest lifetime. Nothing that is added can loosen what another rule holds
//! tight, so a rule can be read by itself.
//!
//! A rule in monitor mode is one that is to be changed without an outage. A monitored deny stops nothing, and reports
//! what it would have stopped. A monitored allow allows, and reports where it alone does. To tighten `open`: add the
//! narrow allows, put the broad one into monitor mode, watch what it reports, delete it.
//!
//! A policy is compiled once. It finds the rules of a name once (`index`), keeps them as the name's class with the
//! party (`class`), and puts the rules in the order of their strictness: then a decision is the first rule that two
//! classes have in common (`rules`), whatever their number.

mod class;
mod decision;
mod explain;
mod glob;
mod index;
mod pattern;
mod profile;
mod rule;
mod rules;
#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};

use keycell_protocol::Name;

pub use class::ClassSlot;
pub use decision::{Decision, MonitorReason, Source, UnknownMonitorReason, WouldDeny};
pub use explain::{Explanation, Match};
pub use pattern::{Pattern, PatternError};
pub use profile::{Profile, UnknownProfile};
pub use rule::{
    Effect, Grant, GrantError, MaxLifetime, Mode, Note, NoteError, Rule, RuleError, RuleId, RuleIdError,
    UnknownEffect, UnknownMode,
};

use class::{Class, Classes};
pub(crate) use index::Index;
use rules::{Builder, RuleSet};

/// The most rules of a zone.
pub const MAX_RULES: usize = 10_000;

/// The rules of a zone, compiled.
#[derive(Debug)]
pub struct Policy {
    /// The strictest first.
    rules: Vec<Rule>,
    ticket_lifetime_seconds: u32,
    /// The different patterns, and for each of them the rules that it is the source and the destination of.
    index: Index,
    uses: Vec<Class>,
    classes: Classes,
}

impl Policy {
    /// Compiles rules, for a zone whose tickets last `ticket_lifetime_seconds` at most.
    ///
    /// # Errors
    /// [`PolicyError`] when there are too many rules, or two of one id.
    pub fn compile(rules: Vec<Rule>, ticket_lifetime_seconds: u32) -> Result<Self, PolicyError> {
        if rules.len() > MAX_RULES {
            return Err(PolicyError::TooMany { rules: rules.len() });
        }
        Self::load(rules, ticket_lifetime_seconds)
    }

    /// Compiles rules that are in force already: more than [`MAX_RULES`] stop no KDC, as long as they can be numbered.
    ///
    /// # Errors
    /// As [`compile`](Self::compile).
    pub fn load(mut rules: Vec<Rule>, ticket_lifetime_seconds: u32) -> Result<Self, PolicyError> {
        if rules.len() > usize::from(u16::MAX) {
            return Err(PolicyError::TooMany { rules: rules.len() });
        }
        let mut ids = HashSet::new();
        if let Some(twice) = rules.iter().find(|rule| !ids.insert(&rule.id)) {
            return Err(PolicyError::Twice { id: twice.id.clone() });
        }
        rules.sort_by_cached_key(|rule| decision::strictness(rule, ticket_lifetime_seconds));

        let mut numbers: HashMap<&Pattern, usize> = HashMap::new();
        let mut patterns: Vec<&Pattern> = Vec::new();
        let mut uses: Vec<(Vec<u16>, Vec<u16>)> = Vec::new();
        let mut number = |pattern| {
            *numbers.entry(pattern).or_insert_with(|| {
                patterns.push(pattern);
                patterns.len() - 1
            })
        };
        for (place, rule) in (0..).zip(&rules) {
            let (source, destination) = (number(&rule.source), number(&rule.destination));
            uses.resize_with(uses.len().max(source.max(destination) + 1), Default::default);
            if let Some((as_source, _)) = uses.get_mut(source) {
                as_source.push(place);
            }
            if let Some((_, as_destination)) = uses.get_mut(destination) {
                as_destination.push(place);
            }
        }
        let class = |(as_source, as_destination): (Vec<u16>, Vec<u16>)| Class {
            as_source: RuleSet::new(as_source, rules.len()),
            as_destination: RuleSet::new(as_destination, rules.len()),
        };
        let uses: Vec<Class> = uses.into_iter().map(class).collect();
        let classes = Classes::new(uses.len());
        let index = Index::new(patterns.into_iter().cloned().collect());
        Ok(Self { rules, ticket_lifetime_seconds, index, uses, classes })
    }

    /// The rules, the strictest first.
    #[must_use]
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// How long the zone's tickets last at most.
    #[must_use]
    pub const fn ticket_lifetime_seconds(&self) -> u32 {
        self.ticket_lifetime_seconds
    }

    /// The class of a name, found anew.
    fn classify(&self, name: &Name) -> Class {
        let (mut as_source, mut as_destination) =
            (Builder::new(self.rules.len()), Builder::new(self.rules.len()));
        for uses in self.index.matching(name).into_iter().filter_map(|number| self.uses.get(number)) {
            as_source.insert_all(&uses.as_source);
            as_destination.insert_all(&uses.as_destination);
        }
        Class { as_source: as_source.finish(), as_destination: as_destination.finish() }
    }
}

/// Why rules are no policy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// There are too many.
    #[error("{rules} rules are too many: a policy has at most 10000; patterns can stand for many names")]
    TooMany {
        /// How many there are.
        rules: usize,
    },
    /// An id is given to two rules.
    #[error("there are two rules of the id {id}; give one of them another")]
    Twice {
        /// The id.
        id: RuleId,
    },
}
