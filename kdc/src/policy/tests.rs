//! The compiled policy against one that tries every rule, and the cases that matter by name.

use std::collections::BTreeSet;
use std::sync::Arc;

use keycell_protocol::{Name, UnixMillis};
use proptest::prelude::*;

use super::*;

mod mangled;

const LIFETIME: u32 = 900;
const NOW: UnixMillis = UnixMillis(1000);

fn rule(id: &str, effect: Effect, mode: Mode, from_to: (&str, &str)) -> Rule {
    Rule {
        id: id.parse().unwrap(),
        revision: 1,
        grant: Grant::new(effect, None).unwrap(),
        mode,
        source: from_to.0.parse().unwrap(),
        destination: from_to.1.parse().unwrap(),
        note: Note::default(),
        expires_at: None,
        created_at: UnixMillis(0),
        updated_at: UnixMillis(0),
    }
}

fn lasting(mut rule: Rule, seconds: u32) -> Rule {
    rule.grant = Grant::new(Effect::Allow, Some(seconds)).unwrap();
    rule
}

fn until(mut rule: Rule, end: u64) -> Rule {
    rule.expires_at = Some(UnixMillis(end));
    rule
}

fn name(text: &str) -> Name {
    text.parse().unwrap()
}

/// What the policy of these rules says of `web.a@z` and `db.a@z`: the rule, the lifetime, and who would deny.
fn decide(rules: &[Rule]) -> (Option<String>, Option<u32>, Option<(String, MonitorReason)>) {
    let policy = Policy::compile(rules.to_vec(), LIFETIME).unwrap();
    match policy.decide(&name("web.a@z"), &name("db.a@z"), NOW) {
        Decision::Allow { lifetime_seconds, rule, would_deny } => (
            Some(rule.to_string()),
            Some(lifetime_seconds),
            would_deny.map(|would| (would.rule.to_string(), would.reason)),
        ),
        Decision::Deny { rule } => (rule.map(RuleId::to_string), None, None),
    }
}

const WEB_TO_DB: (&str, &str) = ("web.*@z", "db.*@z");
const ALL: (&str, &str) = ("*@z", "*@z");

#[test]
fn what_no_rule_allows_is_denied() {
    use Effect::*;
    use Mode::*;
    assert_eq!(decide(&[]), (None, None, None));
    assert_eq!(decide(&[rule("back", Allow, Enforce, ("db.*@z", "web.*@z"))]), (None, None, None));
    assert_eq!(decide(&[rule("deny", Deny, Monitor, ALL)]), (None, None, None));
}

#[test]
fn a_deny_wins_whatever_its_place_and_breadth() {
    use Effect::*;
    use Mode::*;
    let (allow, deny) = (rule("a", Allow, Enforce, WEB_TO_DB), rule("d", Deny, Enforce, ALL));
    for rules in [[allow.clone(), deny.clone()], [deny.clone(), allow.clone()]] {
        assert_eq!(decide(&rules), (Some("d".into()), None, None));
    }
    assert_eq!(decide(&[allow.clone(), rule("d", Deny, Enforce, ("*@z", "cma.*@z"))]).1, Some(LIFETIME));
    assert_eq!(decide(&[allow, until(deny, NOW.0)]).1, Some(LIFETIME), "an expired deny does not count");
}

#[test]
fn the_shortest_lifetime_wins_and_none_is_longer_than_the_zones() {
    use Effect::*;
    use Mode::*;
    let allow = |id, seconds| lasting(rule(id, Allow, Enforce, WEB_TO_DB), seconds);
    assert_eq!(decide(&[allow("a", 60), allow("b", 30), rule("c", Allow, Enforce, ALL)]).1, Some(30));
    assert_eq!(decide(&[allow("a", 86_400)]).1, Some(LIFETIME));
    assert_eq!(
        decide(&[allow("a", 60), until(allow("b", 30), NOW.0)]).1,
        Some(60),
        "an expired rule does not count"
    );
    assert_eq!(decide(&[allow("a", 60), until(allow("b", 30), NOW.0 + 1)]).1, Some(30));
}

#[test]
fn a_monitored_deny_lets_through_and_says_so() {
    use Effect::*;
    use Mode::*;
    let allow = rule("a", Allow, Enforce, WEB_TO_DB);
    let watch = rule("w", Deny, Monitor, ALL);
    let says = |rules: &[Rule]| decide(rules).2;
    assert_eq!(says(&[allow.clone(), watch.clone()]), Some(("w".into(), MonitorReason::Deny)));
    assert_eq!(says(&[allow.clone(), until(watch.clone(), NOW.0)]), None);
    assert_eq!(decide(&[allow, watch, rule("d", Deny, Enforce, ALL)]), (Some("d".into()), None, None));
}

#[test]
fn a_monitored_allow_allows_and_says_where_it_alone_does() {
    use Effect::*;
    use Mode::*;
    let broad = rule("open", Allow, Monitor, ALL);
    let narrow = rule("narrow", Allow, Enforce, WEB_TO_DB);
    let alone = Some(("open".into(), MonitorReason::Allow));
    assert_eq!(decide(std::slice::from_ref(&broad)), (Some("open".into()), Some(LIFETIME), alone.clone()));
    assert_eq!(decide(&[broad.clone(), narrow.clone()]), (Some("narrow".into()), Some(LIFETIME), None));
    assert_eq!(decide(&[broad.clone(), until(narrow.clone(), NOW.0)]).2, alone);
    // The shorter lifetime wins, monitored or not; that another rule in force allows it is seen all the same.
    assert_eq!(decide(&[lasting(broad, 60), narrow]), (Some("open".into()), Some(60), None));
}

#[test]
fn an_expiry_is_seen_when_it_comes_and_when_the_clock_is_set_back() {
    let allow = until(rule("a", Effect::Allow, Mode::Enforce, ALL), 2000);
    let policy = Policy::compile(vec![allow], LIFETIME).unwrap();
    let (source, destination) = (ClassSlot::default(), ClassSlot::default());
    for (now, allowed) in [(1999, true), (2000, false), (3000, false), (1999, true)] {
        let asking = policy.source(&name("web.a@z"), &source);
        let decision = asking.decide(&name("db.a@z"), Some(&destination), UnixMillis(now));
        assert_eq!(decision.allows(), allowed, "{now}");
    }
}

#[test]
fn a_slot_of_another_policy_decides_nothing() {
    let compile =
        |from_to| Policy::compile(vec![rule("a", Effect::Allow, Mode::Enforce, from_to)], LIFETIME).unwrap();
    let slots: [ClassSlot; 4] = Default::default();
    let asks = |policy: &Policy, source: usize, destination: usize| {
        let names = ["web.a@z", "db.a@z", "x@z", "y@z"].map(name);
        let asking = policy.source(&names[source], &slots[source]);
        asking.decide(&names[destination], Some(&slots[destination]), NOW).allows()
    };
    let (one, other) = (compile(WEB_TO_DB), compile(("x@z", "y@z")));
    assert!(asks(&one, 0, 1) && asks(&other, 2, 3));
    assert!(!asks(&other, 0, 1) && !asks(&one, 2, 3));
    assert!(asks(&one, 0, 1) && asks(&other, 2, 3));
}

#[test]
fn who_is_denied_leaves_no_class_behind() {
    let rules = vec![rule("a", Effect::Allow, Mode::Enforce, ("cma.*@z", "*@z"))];
    let policy = Policy::compile(rules, LIFETIME).unwrap();
    let (web, cma, db) = (ClassSlot::default(), ClassSlot::default(), ClassSlot::default());
    let denied = policy.source(&name("web.a@z"), &web);
    assert!(!denied.decide(&name("db.a@z"), Some(&db), NOW).allows());
    assert!(policy.classes.remembered(&db).is_none());
    assert!(policy.source(&name("cma.a@z"), &cma).decide(&name("db.a@z"), Some(&db), NOW).allows());
    assert!(policy.classes.remembered(&db).is_some());
    assert!(!denied.decide(&name("db.a@z"), Some(&db), NOW).allows());
}

#[test]
fn too_many_rules_and_two_of_an_id_are_no_policy() {
    let many = |count: usize| -> Vec<Rule> {
        let first = rule("r", Effect::Allow, Mode::Enforce, ALL);
        (0..count).map(|n| Rule { id: format!("r{n}").parse().unwrap(), ..first.clone() }).collect()
    };
    assert_eq!(Policy::compile(many(MAX_RULES), LIFETIME).unwrap().rules().len(), MAX_RULES);
    let error = Policy::compile(many(MAX_RULES + 1), LIFETIME).unwrap_err();
    assert_eq!(error, PolicyError::TooMany { rules: MAX_RULES + 1 });
    assert!(error.to_string().contains(&format!("at most {MAX_RULES}")));
    assert_eq!(Policy::load(many(MAX_RULES + 1), LIFETIME).unwrap().rules().len(), MAX_RULES + 1);
    let twice = [many(3), many(1)].concat();
    assert_eq!(
        Policy::compile(twice, LIFETIME).unwrap_err(),
        PolicyError::Twice { id: "r0".parse().unwrap() }
    );
}

#[test]
fn explanations_say_why() {
    use Effect::*;
    use Mode::*;
    let allow = rule("a", Allow, Enforce, WEB_TO_DB);
    let why = |rules: &[Rule]| {
        let policy = Policy::compile(rules.to_vec(), LIFETIME).unwrap();
        policy.explain(&name("web.a@z"), &name("db.a@z"), NOW).why
    };
    assert_eq!(why(&[]), "denied: no rule allows it");
    assert_eq!(why(&[until(allow.clone(), 5)]), "denied: the rules that allowed it have expired");
    assert_eq!(why(&[rule("d", Deny, Enforce, ALL), allow.clone()]), "denied by rule d");
    assert_eq!(why(std::slice::from_ref(&allow)), "allowed by rule a, with tickets of at most 900 s");
    assert!(
        why(&[allow, rule("w", Deny, Monitor, ALL)])
            .ends_with("; rule w would deny it, but is in monitor mode")
    );
    assert!(
        why(&[rule("m", Allow, Monitor, ALL)]).ends_with("in monitor mode, and no rule in force allows it")
    );
}

/// The policy as it is written down: every rule is looked at.
fn reference<'r>(rules: &'r [Rule], source: &Name, destination: &Name, now: UnixMillis) -> Decision<'r> {
    let live = |effect, mode| {
        let mut found: Vec<&Rule> = rules
            .iter()
            .filter(|rule| rule.source.matches(source) && rule.destination.matches(destination))
            .filter(|rule| rule.expires_at.is_none_or(|end| end > now))
            .filter(|rule| rule.grant.effect() == effect && rule.mode == mode)
            .collect();
        found.sort_by_key(|rule| &rule.id);
        found
    };
    if let Some(deny) = live(Effect::Deny, Mode::Enforce).first() {
        return Decision::Deny { rule: Some(&deny.id) };
    }
    let (enforced, monitored) = (live(Effect::Allow, Mode::Enforce), live(Effect::Allow, Mode::Monitor));
    let seconds = |rule: &Rule| rule.grant.max_lifetime_seconds().unwrap_or(u32::MAX).min(LIFETIME);
    // The first of the shortest; the enforced ones come first.
    let Some(allow) = enforced.iter().chain(&monitored).min_by_key(|rule| seconds(rule)) else {
        return Decision::Deny { rule: None };
    };
    let would_deny = if let Some(deny) = live(Effect::Deny, Mode::Monitor).first() {
        Some(WouldDeny { rule: deny.id.clone(), reason: MonitorReason::Deny })
    } else if enforced.is_empty() {
        Some(WouldDeny { rule: allow.id.clone(), reason: MonitorReason::Allow })
    } else {
        None
    };
    Decision::Allow { lifetime_seconds: seconds(allow), rule: &allow.id, would_deny }
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let pattern = || {
        prop_oneof![
            Just("*@z"),
            Just("a*@z"),
            Just("*b@z"),
            Just("ab@z"),
            Just("{a,b}*@z"),
            Just("?b*@*"),
            Just("[ab]@y"),
            Just("a*b@{y,z}"),
            Just("bab@z"),
            Just("*ab*@z"),
            Just("aa*@z"),
            Just("*@y"),
            Just("*ba@z"),
            Just("b*@z"),
        ]
    };
    let lifetime = proptest::option::of(prop_oneof![Just(10_u32), Just(60), Just(900), Just(86_400)]);
    let end = proptest::option::of(prop_oneof![Just(999_u64), Just(1000), Just(1001)]);
    (0..4, pattern(), pattern(), lifetime, end).prop_map(|(kind, source, destination, seconds, end)| {
        let effect = if kind < 3 { Effect::Allow } else { Effect::Deny };
        let mut rule = rule("r", effect, Mode::Enforce, (source, destination));
        if effect == Effect::Allow {
            rule.grant = Grant::new(effect, seconds).unwrap();
        }
        rule.expires_at = end.map(UnixMillis);
        rule
    })
}

fn any_rules() -> impl Strategy<Value = Vec<Rule>> {
    let few = proptest::collection::vec((any_rule(), any::<bool>()), 0..8);
    let many = proptest::collection::vec((any_rule(), any::<bool>()), 60..150);
    prop_oneof![4 => few, 1 => many].prop_map(|rules| {
        let numbered = rules.into_iter().enumerate();
        numbered
            .map(|(number, (rule, monitored))| Rule {
                // Not in the order in which they come.
                id: format!("r{}", (number * 7919) % 1009).parse().unwrap(),
                mode: if monitored { Mode::Monitor } else { Mode::Enforce },
                ..rule
            })
            .collect()
    })
}

fn any_name() -> impl Strategy<Value = Name> {
    "[ab]{1,4}@[yz]".prop_map(|text| text.parse().unwrap())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_way_to_decide_agrees_with_the_reference(
        rules in any_rules(),
        pairs in proptest::collection::vec((any_name(), any_name()), 1..8),
    ) {
        let policy = Policy::compile(rules.clone(), LIFETIME).unwrap();
        let slots: HashMap<Name, Arc<ClassSlot>> = pairs
            .iter()
            .flat_map(|(source, destination)| [source, destination])
            .map(|name| (name.clone(), Arc::default()))
            .collect();
        // Twice: first no class is remembered, then those of the allowed are.
        for (source, destination) in pairs.iter().chain(&pairs) {
            let expected = reference(&rules, source, destination, NOW);
            prop_assert_eq!(&policy.decide(source, destination, NOW), &expected);
            let asking = policy.source(source, &slots[source]);
            prop_assert_eq!(&asking.decide(destination, Some(&slots[destination]), NOW), &expected);
            prop_assert_eq!(&asking.decide(destination, None, NOW), &expected);

            let explained = policy.explain(source, destination, NOW);
            let about: BTreeSet<_> = rules
                .iter()
                .filter(|rule| rule.source.matches(source) && rule.destination.matches(destination))
                .map(|rule| (&rule.id, rule.expired(NOW)))
                .collect();
            prop_assert_eq!(explained.matching.iter().map(|rule| (&rule.id, rule.expired)).collect::<BTreeSet<_>>(), about);
            let json = serde_json::to_string(&explained).unwrap();
            prop_assert_eq!(&serde_json::from_str::<Explanation>(&json).unwrap(), &explained);
            let said = match (explained.decision, &explained.rule, explained.lifetime_seconds) {
                (Effect::Allow, Some(rule), Some(lifetime_seconds)) => {
                    Decision::Allow { lifetime_seconds, rule, would_deny: explained.would_deny.clone() }
                }
                (_, rule, _) => Decision::Deny { rule: rule.as_ref() },
            };
            prop_assert_eq!(said, expected);
        }
    }
}
