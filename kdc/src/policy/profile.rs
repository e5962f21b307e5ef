//! Sets of rules to begin with.

use keycell_protocol::{UnixMillis, Zone};

use super::{Effect, Grant, Mode, Pattern, Rule, RuleError};
use crate::named::named;

named! {
    /// A set of rules to begin with.
    Profile(UnknownProfile, "the profiles are open and assimilation") {
        /// Everyone in the zone may speak to everyone in it.
        Open = "open",
        /// Managers and their agents: what an Assimilation cell needs.
        Assimilation = "assimilation",
    }
}

impl Profile {
    /// What it is for, in a sentence.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Open => "Everyone in the zone may speak to everyone in it.",
            Self::Assimilation => {
                "A cma may speak to everyone and everyone to it; nanoprobes keep to their cma."
            }
        }
    }

    /// Its rules for `zone`, made at `now`. With `heartbeats`, nanoprobes may speak to each other too; it makes no
    /// difference to `open`.
    ///
    /// # Errors
    /// None in practice: every zone's name fits into these patterns.
    pub fn rules(self, zone: &Zone, heartbeats: bool, now: UnixMillis) -> Result<Vec<Rule>, RuleError> {
        let rows = match self {
            Self::Open => OPEN,
            Self::Assimilation => ASSIMILATION,
        };
        let rows = rows.iter().filter(|(id, ..)| heartbeats || *id != HEARTBEATS);
        let rule = |(id, source, destination, note): &Row| -> Result<Rule, RuleError> {
            Ok(Rule {
                id: id.parse()?,
                revision: 1,
                grant: Grant::new(Effect::Allow, None)?,
                mode: Mode::Enforce,
                source: Pattern::in_zone(source, zone)?,
                destination: Pattern::in_zone(destination, zone)?,
                note: note.parse()?,
                expires_at: None,
                created_at: now,
                updated_at: now,
            })
        };
        rows.map(rule).collect()
    }
}

/// Id, source, destination, note.
type Row = (&'static str, &'static str, &'static str, &'static str);

const OPEN: &[Row] = &[("open", "*", "*", "Everyone in the zone may speak to everyone in it.")];

const ASSIMILATION: &[Row] = &[
    ("cma-to-any", "cma.*", "*", "A cma may speak to everyone."),
    ("any-to-cma", "*", "cma.*", "Everyone may speak to a cma."),
    (
        "nanoprobe-to-cma",
        "nanoprobe.*",
        "cma.*",
        "Nanoprobes report to their cma, also when any-to-cma is gone.",
    ),
    (HEARTBEATS, "nanoprobe.*", "nanoprobe.*", "Nanoprobes send each other heartbeats."),
];

const HEARTBEATS: &str = "nanoprobe-to-nanoprobe";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Policy;
    use keycell_protocol::Name;

    #[test]
    fn profiles_allow_what_they_say() {
        let zone: Zone = "z".repeat(Zone::MAX).parse().unwrap();
        let (open, cell, beats) =
            ((Profile::Open, false), (Profile::Assimilation, false), (Profile::Assimilation, true));
        for ((profile, heartbeats), source, destination, allowed) in [
            (open, "a", "b", true),
            (open, "a", "b@elsewhere", false),
            (cell, "cma.a", "web", true),
            (cell, "web", "cma.a", true),
            (cell, "nanoprobe.a", "cma.a", true),
            (cell, "nanoprobe.a", "nanoprobe.b", false),
            (cell, "web", "nanoprobe.b", false),
            (cell, "cma", "nanoprobe.b", false),
            (beats, "nanoprobe.a", "nanoprobe.b", true),
            (beats, "web", "nanoprobe.b", false),
        ] {
            let rules = profile.rules(&zone, heartbeats, UnixMillis(7)).unwrap();
            let policy = Policy::compile(rules, 900).unwrap();
            let name = |text| Name::in_zone(text, &zone).unwrap();
            let decision = policy.decide(&name(source), &name(destination), UnixMillis(7));
            assert_eq!(decision.allows(), allowed, "{profile} {source} {destination}");
        }
    }

    #[test]
    fn names_go_both_ways() {
        for profile in Profile::ALL {
            assert_eq!(profile.as_str().parse(), Ok(*profile));
        }
        assert_eq!("closed".parse::<Profile>(), Err(UnknownProfile));
    }
}
