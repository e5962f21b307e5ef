//! The directory by itself.

use super::*;
use crate::policy::{Policy, Profile};
use crate::store::{ChangeNumber, KeyState, PartyRecord};
use keycell_protocol::{Generation, LongTermKey};

/// A party that is enabled and has one active key.
pub(crate) fn party(name: &str) -> Party {
    let record = PartyRecord::new(name.parse().unwrap(), UnixMillis(0));
    let key = LongTermKey::new(Generation(1), Epoch(20_000), [7; 32]);
    Party::new(&record, [(KeyState::Active, key)], Arc::default())
}

/// A directory of such parties, who may all speak to each other.
pub(crate) fn directory(names: &[&str]) -> Directory {
    let zone = "z".parse().unwrap();
    let rules = Profile::Open.rules(&zone, false, UnixMillis(0)).unwrap();
    let rules = Rules { change: ChangeNumber(0), policy: Policy::compile(rules, 900).unwrap() };
    let directory = Directory::new(rules, Settings::default(), TokenRecords::new());
    directory.replace(names.iter().map(|name| party(name)));
    directory
}

#[test]
fn those_of_a_host_are_found_by_how_their_names_begin() {
    let directory = directory(&["a.h::1@z", "a.h::f@z", "a.h:@z", "a.h2::1@z", "a.h@z", "b.h::1@z"]);
    let found = |prefix| {
        let parties = directory.enabled_beginning_with(prefix, 2);
        parties.iter().map(|party| party.name().to_string()).collect::<Vec<_>>()
    };
    assert_eq!(found("a.h::"), ["a.h::1@z", "a.h::f@z"]);
    assert_eq!(found("a.h2::"), ["a.h2::1@z"]);
    assert!(found("a.x::").is_empty());
    assert_eq!(found("a."), ["a.h2::1@z", "a.h::1@z"]);
    // One that is disabled takes no place.
    let mut record = party("a.h2::1@z").record().clone();
    record.enabled = false;
    directory.put(Party::new(&record, [], Arc::default()));
    assert_eq!(found("a."), ["a.h::1@z", "a.h::f@z"]);
}

#[test]
fn those_that_came_in_by_trust_on_first_use_are_counted() {
    let directory = directory(&["a@z", "b@z"]);
    let by = |name, admission| {
        let mut record = party(name).record().clone();
        let mut enrollment = crate::enrollment::record::tests::record("nanoprobe", "h", [1; 32]);
        enrollment.admission = admission;
        record.enrollment = Some(Box::new(enrollment));
        Party::new(&record, [], Arc::default())
    };
    assert_eq!(directory.by_tofu(), 0);
    directory.put(by("c@z", Admission::Tofu));
    directory.put(by("d@z", Admission::Token));
    directory.put(by("e@z", Admission::Tofu));
    assert_eq!(directory.by_tofu(), 2);
    // Changed, it is still one.
    directory.put(by("c@z", Admission::Tofu));
    assert_eq!(directory.by_tofu(), 2);
    directory.put(party("c@z"));
    directory.put(by("b@z", Admission::Tofu));
    assert_eq!(directory.by_tofu(), 2);
    for (name, left) in [("d@z", 2), ("a@z", 2), ("b@z", 1), ("b@z", 1)] {
        directory.remove(&name.parse().unwrap());
        assert_eq!(directory.by_tofu(), left, "{name}");
    }
    directory.replace([by("x@z", Admission::Tofu), by("y@z", Admission::Tofu), party("z@z")].into_iter());
    assert_eq!(directory.by_tofu(), 2);
}

#[test]
fn pages_are_in_order_and_complete() {
    let directory = directory(&[]);
    for name in ["c@z", "a@z", "b@z", "d@z"] {
        directory.put(party(name));
    }
    directory.remove(&"b@z".parse().unwrap());
    let mut seen = Vec::new();
    let mut after = None;
    loop {
        let page = directory.page(after.as_ref(), 2, |_| true);
        let Some(last) = page.last() else { break };
        after = Some(last.name().clone());
        seen.extend(page.iter().map(|party| party.name().to_string()));
    }
    assert_eq!(seen, ["a@z", "c@z", "d@z"]);
    assert!(directory.party("b@z").is_none());
}
