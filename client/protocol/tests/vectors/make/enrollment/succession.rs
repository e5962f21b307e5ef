//! Which bundle takes the place of another.

use super::{PRIMARY, SECONDARY, ZONE, rejected};
use crate::format::Expect;
use crate::format::bundle::{Bundle, Identity, SuccessionCase, Trusted};
use crate::raw::bundle::{bundle, identity};

pub(super) fn cases() -> Vec<SuccessionCase> {
    [taken(), by_a_thief(), not_this_kdc()].into_iter().flatten().collect()
}

const THIRD: &str = "#KDC#00003";
const FOURTH: &str = "#KDC#00004";
const LAST: &str = "#KDC#99999";

/// Of these identities of the zone.
fn of(names: &[&str]) -> Bundle {
    Bundle {
        zone: ZONE.to_owned(),
        urls: vec!["https://kdc1.cell.example:7443".to_owned()],
        tls_roots: String::new(),
        identities: names.iter().map(|name| identity(name, ZONE)).collect(),
        trusted: Vec::new(),
    }
}

/// As [`of`], where the identity of this name has something that is another's.
fn with_changed(names: &[&str], name: &str, change: fn(&mut Identity, Identity)) -> Bundle {
    let mut bundle = of(names);
    let changed = bundle.identities.iter_mut().find(|identity| identity.name == name).unwrap();
    change(changed, identity(name, "thief.example"));
    bundle
}

fn case(what: &str, known: &Bundle, later: &Bundle, expect: Expect<()>) -> SuccessionCase {
    SuccessionCase { case: what.to_owned(), known: bundle(known), later: bundle(later), expect }
}

fn taken() -> Vec<SuccessionCase> {
    let known = of(&[PRIMARY, SECONDARY]);
    let good = |what, later: &Bundle| case(what, &known, later, Expect::Accepted(()));
    let mut elsewhere = known.clone();
    elsewhere.urls = vec!["https://kdc2.cell.example".to_owned()];
    elsewhere.tls_roots = "PEM".to_owned();
    let zone = "other.example".to_owned();
    elsewhere.trusted = vec![Trusted { identities: vec![identity(PRIMARY, &zone)], zone }];
    let three = of(&[PRIMARY, SECONDARY, THIRD]);
    vec![
        good("the same", &known),
        good("another address, other roots, and a zone that is trusted", &elsewhere),
        good("the second took over, and brings the third", &of(&[SECONDARY, THIRD])),
        good("the second took over, and brings none", &of(&[SECONDARY])),
        good("two took over since, and an administrator brings it", &of(&[THIRD, FOURTH])),
        case(
            "the third took over: the second is not missed",
            &three,
            &of(&[THIRD, FOURTH]),
            Expect::Accepted(()),
        ),
        case("a bundle with one identity", &of(&[PRIMARY]), &of(&[SECONDARY, THIRD]), Expect::Accepted(())),
    ]
}

/// Of the first identity, which is still the one that the KDC works with.
fn by_a_thief() -> Vec<SuccessionCase> {
    let known = of(&[PRIMARY, SECONDARY]);
    let both = [PRIMARY, SECONDARY];
    let signing = |to: &mut Identity, from: Identity| to.signing_key = from.signing_key;
    let encryption = |to: &mut Identity, from: Identity| to.encryption_key = from.encryption_key;
    let bad = |what, later: &Bundle, reason| case(what, &known, later, rejected(reason));
    vec![
        bad("without the second", &of(&[PRIMARY]), "missing"),
        bad("the last number in place of the second", &of(&[PRIMARY, LAST]), "missing"),
        bad("another signing key of the second", &with_changed(&both, SECONDARY, signing), "other-keys"),
        bad(
            "another encryption key of the second",
            &with_changed(&both, SECONDARY, encryption),
            "other-keys",
        ),
        bad("a third", &of(&[PRIMARY, SECONDARY, THIRD]), "stranger"),
        bad("the last number beside the second", &of(&[PRIMARY, SECONDARY, LAST]), "stranger"),
        case(
            "a bundle with one identity is given no second",
            &of(&[PRIMARY]),
            &of(&[PRIMARY, SECONDARY]),
            rejected("stranger"),
        ),
        case(
            "the second took over, and leaves out a third that was known",
            &of(&[PRIMARY, SECONDARY, THIRD]),
            &of(&[SECONDARY, FOURTH]),
            rejected("missing"),
        ),
    ]
}

fn not_this_kdc() -> Vec<SuccessionCase> {
    let known = of(&[SECONDARY, THIRD]);
    let signing = |to: &mut Identity, from: Identity| to.signing_key = from.signing_key;
    let bad = |what, later: &Bundle, reason| case(what, &known, later, rejected(reason));
    let mut elsewhere = known.clone();
    elsewhere.zone = "other.example".to_owned();
    vec![
        bad("of another zone", &elsewhere, "zone"),
        bad("of the identity before", &of(&[PRIMARY, SECONDARY]), "earlier"),
        bad("of the identity before alone", &of(&[PRIMARY]), "earlier"),
        bad("of the identity before, with all that is known", &of(&[PRIMARY, SECONDARY, THIRD]), "earlier"),
        bad(
            "of the identity before, which knows another second",
            &with_changed(&[PRIMARY, SECONDARY], SECONDARY, signing),
            "other-keys",
        ),
        bad("another key of the first", &with_changed(&[SECONDARY, THIRD], SECONDARY, signing), "other-keys"),
        bad("the third took over, and adds the first", &of(&[THIRD, PRIMARY, FOURTH]), "stranger"),
    ]
}
