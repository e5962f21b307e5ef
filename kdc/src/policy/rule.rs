//! One rule, as an administrator writes it.

use std::str::FromStr;
use std::sync::Arc;

use keycell_protocol::UnixMillis;
use rand_core::Rng;
use serde::{Deserialize, Serialize};

use super::{Pattern, PatternError};
use crate::named::{named, textual};

/// A rule: who, to whom, and whether they may.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rule {
    /// Its name.
    pub id: RuleId,
    /// Starts at 1, one more with every change.
    pub revision: u64,
    /// What it says.
    #[serde(flatten)]
    pub grant: Grant,
    /// Whether it is in force, or only watched.
    pub mode: Mode,
    /// Who asks.
    pub source: Pattern,
    /// Who is asked for.
    pub destination: Pattern,
    /// What it is for.
    #[serde(default)]
    pub note: Note,
    /// From when on it does not count any more.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<UnixMillis>,
    /// When it was made.
    pub created_at: UnixMillis,
    /// When it was last changed.
    pub updated_at: UnixMillis,
}

impl Rule {
    /// Whether it counts no more.
    #[must_use]
    pub fn expired(&self, now: UnixMillis) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }
}

/// Why something is no part of a rule.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(transparent)]
pub enum RuleError {
    /// Its id.
    Id(#[from] RuleIdError),
    /// Its effect, or its longest lifetime.
    Grant(#[from] GrantError),
    /// A pattern.
    Pattern(#[from] PatternError),
    /// Its note.
    Note(#[from] NoteError),
}

named! {
    /// What a rule does.
    Effect(UnknownEffect, "the effect of a rule is allow or deny") {
        /// It lets them speak.
        Allow = "allow",
        /// It keeps them apart, whatever other rules allow.
        Deny = "deny",
    }
}

named! {
    /// Whether a rule is in force. A monitored rule is one that is to be changed without an outage: a deny that is to come, an
    /// allow that is to go. It stops nothing yet; what it would stop is reported.
    Mode(UnknownMode, "the mode of a rule is enforce or monitor") {
        /// In force.
        Enforce = "enforce",
        /// Watched: lets through, and reports what it would have stopped.
        Monitor = "monitor",
    }
}

/// A rule's effect with what belongs to it: only an allow can have a longest lifetime.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "GrantFields", into = "GrantFields")]
pub enum Grant {
    /// They may speak, with tickets of at most so many seconds; of the zone's lifetime where it says nothing.
    Allow(Option<MaxLifetime>),
    /// They may not.
    Deny,
}

impl Grant {
    /// An effect, and the longest lifetime of its tickets in seconds.
    ///
    /// # Errors
    /// [`GrantError`] when the lifetime is out of range, or there is one for a deny.
    pub fn new(effect: Effect, max_lifetime_seconds: Option<u32>) -> Result<Self, GrantError> {
        match (effect, max_lifetime_seconds) {
            (Effect::Allow, seconds) => Ok(Self::Allow(seconds.map(MaxLifetime::new).transpose()?)),
            (Effect::Deny, None) => Ok(Self::Deny),
            (Effect::Deny, Some(_)) => Err(GrantError::Deny),
        }
    }

    /// Its effect.
    #[must_use]
    pub const fn effect(self) -> Effect {
        match self {
            Self::Allow(_) => Effect::Allow,
            Self::Deny => Effect::Deny,
        }
    }

    /// The longest lifetime of its tickets, where it has one.
    #[must_use]
    pub fn max_lifetime_seconds(self) -> Option<u32> {
        match self {
            Self::Allow(longest) => longest.map(MaxLifetime::seconds),
            Self::Deny => None,
        }
    }
}

/// The longest life of tickets under a rule: 10 seconds to 24 hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct MaxLifetime(u32);

impl MaxLifetime {
    /// So many seconds.
    ///
    /// # Errors
    /// [`GrantError::Range`] when it is not 10 to 86,400.
    pub fn new(seconds: u32) -> Result<Self, GrantError> {
        if (10..=86_400).contains(&seconds) { Ok(Self(seconds)) } else { Err(GrantError::Range) }
    }

    /// In seconds.
    #[must_use]
    pub const fn seconds(self) -> u32 {
        self.0
    }
}

/// Why an effect and a lifetime do not go together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum GrantError {
    /// Too short or too long.
    #[error("the longest lifetime of a rule is 10 to 86400 seconds")]
    Range,
    /// A deny has one.
    #[error("only an allow has a longest lifetime; leave it out of a deny")]
    Deny,
}

/// A [`Grant`] as it is written.
#[derive(Serialize, Deserialize)]
struct GrantFields {
    effect: Effect,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    max_lifetime_seconds: Option<u32>,
}

impl From<Grant> for GrantFields {
    fn from(grant: Grant) -> Self {
        Self { effect: grant.effect(), max_lifetime_seconds: grant.max_lifetime_seconds() }
    }
}

impl TryFrom<GrantFields> for Grant {
    type Error = GrantError;

    fn try_from(fields: GrantFields) -> Result<Self, GrantError> {
        Self::new(fields.effect, fields.max_lifetime_seconds)
    }
}

/// The name of a rule: 1 to 64 of `a-z 0-9 -`, the first a letter or a digit. A clone shares the text.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RuleId(Arc<str>);

impl RuleId {
    /// The longest id in bytes.
    pub const MAX: usize = 64;

    /// A name for a rule that nobody named: `r-` and 12 hexadecimal digits.
    #[must_use]
    pub fn generate(rng: &mut impl Rng) -> Self {
        Self(format!("r-{:012x}", rng.next_u64() >> 16).into())
    }

    /// The id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for RuleId {
    type Err = RuleIdError;

    fn from_str(text: &str) -> Result<Self, RuleIdError> {
        let letter = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
        let starts = text.bytes().next().is_some_and(letter);
        let holds = text.len() <= Self::MAX && text.bytes().all(|b| letter(b) || b == b'-');
        if starts && holds { Ok(Self(text.into())) } else { Err(RuleIdError) }
    }
}

textual!(RuleId);

/// A text that is no [`RuleId`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id of a rule is 1 to 64 of a-z 0-9 - and starts with a letter or a digit")]
pub struct RuleIdError;

/// What a rule is for: at most 200 characters, none of them a control character.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Note(String);

impl Note {
    /// The longest note in characters.
    pub const MAX: usize = 200;

    /// The note.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        if text.chars().count() > Self::MAX || text.chars().any(char::is_control) {
            return Err(NoteError);
        }
        Ok(Self(text.to_owned()))
    }
}

textual!(Note);

/// A text that is no [`Note`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a note is one line of at most 200 characters")]
pub struct NoteError;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_go_both_ways() {
        for effect in Effect::ALL {
            assert_eq!(effect.as_str().parse(), Ok(*effect));
        }
        for mode in Mode::ALL {
            assert_eq!(mode.as_str().parse(), Ok(*mode));
        }
        assert_eq!("Allow".parse::<Effect>(), Err(UnknownEffect));
        assert_eq!("".parse::<Mode>(), Err(UnknownMode));
    }

    #[test]
    fn ids_are_short_and_plain() {
        for good in ["a", "0", "r-00ff", "cma-to-any", &"x".repeat(RuleId::MAX)] {
            assert_eq!(good.parse::<RuleId>().unwrap().as_str(), good);
        }
        for bad in ["", "-a", "A", "a_b", "a b", "a.b", "ä", "a\n", &"x".repeat(RuleId::MAX + 1)] {
            assert_eq!(bad.parse::<RuleId>(), Err(RuleIdError), "{bad:?}");
        }
        let mut rng = crate::random::system();
        let made = RuleId::generate(&mut rng);
        assert_eq!(made.as_str().len(), 14);
        assert!(made.as_str().starts_with("r-"));
        assert_eq!(made.as_str().parse(), Ok(made.clone()));
        assert_ne!(made, RuleId::generate(&mut rng));
    }

    #[test]
    fn notes_are_one_line() {
        assert_eq!("ä".repeat(Note::MAX).parse::<Note>().unwrap().as_str().chars().count(), Note::MAX);
        for bad in ["a\nb", "a\0", "\u{1b}[31m", "\u{85}", &"x".repeat(Note::MAX + 1)] {
            assert_eq!(bad.parse::<Note>(), Err(NoteError), "{bad:?}");
        }
    }

    #[test]
    fn only_an_allow_has_a_lifetime() {
        assert_eq!(Grant::new(Effect::Allow, Some(9)), Err(GrantError::Range));
        assert_eq!(Grant::new(Effect::Allow, Some(86_401)), Err(GrantError::Range));
        assert_eq!(Grant::new(Effect::Allow, Some(10)).unwrap().max_lifetime_seconds(), Some(10));
        assert_eq!(Grant::new(Effect::Deny, Some(10)), Err(GrantError::Deny));
        assert_eq!(Grant::new(Effect::Deny, None), Ok(Grant::Deny));
    }

    #[test]
    fn a_rule_is_flat_json_and_reads_back() {
        let json = r#"{"id":"web","revision":3,"effect":"allow","max_lifetime_seconds":60,"mode":"monitor","source":"web.*@z","destination":"db.*@z","note":"to go","expires_at":5,"created_at":1,"updated_at":2}"#;
        let rule: Rule = serde_json::from_str(json).unwrap();
        assert_eq!(serde_json::to_string(&rule).unwrap(), json);
        assert!(rule.expired(UnixMillis(5)) && !rule.expired(UnixMillis(4)));
        for (from, to) in [
            (r#""allow""#, r#""deny""#),
            (":60", ":5"),
            ("web.*@z", "web.*"),
            (r#""web","rev"#, r#""Web","rev"#),
            ("to go", "to\\ngo"),
            ("monitor", "watch"),
        ] {
            assert!(serde_json::from_str::<Rule>(&json.replace(from, to)).is_err(), "{from} for {to}");
        }
    }
}
