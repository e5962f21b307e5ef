//! Trust offers, and by what it is known whose they are.

use super::{ASKS, GIVES, flipped, rejected};
use crate::format::bundle::{Bundle, Identity};
use crate::format::trust::{BundleFingerprintCase, By, Offered, Receiver, TrustOfferCase};
use crate::format::{Expect, Hex};
use crate::raw::author::signing;
use crate::raw::bundle::{bundle, identity};
use crate::raw::enrollment::identity_seed;
use crate::raw::trust::{BEGIN, END, Offer, claims, digits, fingerprint, info, text};
use crate::raw::{EPOCH, NOW, base64url, bytes, key};

const PRIMARY: &str = "#KDC#00001";
const SECONDARY: &str = "#KDC#00002";
const DAY: u64 = 86_400;
const MOST: usize = 1 << 20;

fn zone(zone: &str, identities: Vec<Identity>) -> Bundle {
    Bundle {
        zone: zone.to_owned(),
        urls: vec![format!("https://kdc1.{zone}:7443")],
        tls_roots: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        identities,
        trusted: Vec::new(),
    }
}

fn gives() -> Bundle {
    zone(GIVES, vec![identity(PRIMARY, GIVES)])
}

fn offered() -> Offered {
    Offered {
        zone: GIVES.to_owned(),
        to: ASKS.to_owned(),
        identity: PRIMARY.to_owned(),
        bundle: gives(),
        key: key("#ZONE#cell.example@other.example", 1, EPOCH),
        ratchet_period: 86_400,
        state: "active".to_owned(),
        made_at: NOW / 1000,
        expires_at: NOW / 1000 + DAY,
    }
}

fn with(change: impl FnOnce(&mut Offered)) -> Offered {
    let mut offered = offered();
    change(&mut offered);
    offered
}

fn signer(offered: &Offered) -> [u8; 32] {
    let first = offered.bundle.identities.first().map_or(PRIMARY, |first| &first.name);
    signing(&format!("{first}@{}", offered.bundle.zone)).to_bytes()
}

fn of(offered: &Offered) -> Offer {
    let both: [[u8; 32]; 2] = [bytes("message of ML-KEM"), bytes("ephemeral key of X25519")];
    let seed = identity_seed(&offered.identity, &offered.to);
    Offer::of(offered, seed, signer(offered), both.concat().try_into().unwrap())
}

fn receiver() -> Receiver {
    Receiver {
        zone: ASKS.to_owned(),
        identity: PRIMARY.to_owned(),
        identity_seed: identity_seed(PRIMARY, ASKS).into(),
        now: NOW / 1000,
    }
}

/// Taken by the zone that it is for, with the fingerprint of the bundle in it.
fn case(case: &str, made: &Offer, offered: &Offered, text: String) -> TrustOfferCase {
    TrustOfferCase {
        case: case.to_owned(),
        receiver: receiver(),
        by: By::Fingerprint(fingerprint(&offered.bundle)),
        signing_seed: made.signing_seed.into(),
        eseed: Hex(made.eseed.to_vec()),
        text,
        spaces_up_to: None,
        expect: Expect::Accepted(offered.clone()),
    }
}

fn good(what: &str, offered: &Offered) -> TrustOfferCase {
    let made = of(offered);
    case(what, &made, offered, made.write())
}

fn bad(what: &str, text: String, reason: &str) -> TrustOfferCase {
    TrustOfferCase { expect: rejected(reason), ..case(what, &of(&offered()), &offered(), text) }
}

pub(super) fn accepted() -> Vec<TrustOfferCase> {
    let usual = offered();
    let written = of(&usual).write();
    let spelt = |what: &str, text: String| case(what, &of(&usual), &usual, text);
    let known = |what: &str, known: &Bundle, offered: &Offered| TrustOfferCase {
        by: By::Known(bundle(known)),
        ..good(what, offered)
    };
    let at = |what: &str, now: u64| {
        let mut case = good(what, &usual);
        case.receiver.now = now;
        case
    };
    let mut to_secondary = good("to the secondary", &with(|o| o.identity = SECONDARY.to_owned()));
    to_secondary.receiver.identity = SECONDARY.to_owned();
    to_secondary.receiver.identity_seed = identity_seed(SECONDARY, ASKS).into();
    let spoken = By::Fingerprint(digits(&usual.bundle).to_uppercase());
    vec![
        good("the first key", &usual),
        good("another key", &with(|o| o.state = "staged".to_owned())),
        good("a key of the second generation", &with(|o| o.key = key("z", 2, EPOCH + 1))),
        good("good for 7 days", &with(|o| o.expires_at = o.made_at + 7 * DAY)),
        good("good for a second", &with(|o| o.expires_at = o.made_at + 1)),
        good("a period of a second", &with(|o| o.ratchet_period = 1)),
        good("as a KDC publishes it", &with(|o| o.bundle.identities.push(identity(SECONDARY, GIVES)))),
        to_secondary,
        TrustOfferCase { by: spoken, ..good("the fingerprint without dashes, in capitals", &usual) },
        at("by a clock that is 5 minutes behind", usual.made_at - 300),
        at("in the last second", usual.expires_at - 1),
        known("the bundle is known", &usual.bundle, &usual),
        known(
            "by an identity that took over",
            &{ zone(GIVES, vec![identity(PRIMARY, GIVES), identity(SECONDARY, GIVES)]) },
            &with(|o| o.bundle.identities = vec![identity(SECONDARY, GIVES), identity("#KDC#00003", GIVES)]),
        ),
        spelt("ends of lines as in mails", written.replace('\n', "\r\n")),
        spelt("indented", written.replace('\n', "\n    ")),
        spelt("empty lines, tabs and form feeds", written.replace('\n', "\n\n\t\u{c}")),
        spelt("in one line", written.replace('\n', "")),
        spelt("in a mail", format!("\u{feff}Here it is, as I said:\r\n\r\n{written}-- \r\nYours\r\n")),
        spelt("members in another order", {
            let json = of(&usual).json();
            let (first, rest) = json[1..json.len() - 1].split_once(',').unwrap();
            text(&format!("{{{rest},{first}}}"))
        }),
        TrustOfferCase { spaces_up_to: Some(MOST), ..good("1 MiB", &usual) },
    ]
}

pub(super) fn malformed() -> Vec<TrustOfferCase> {
    let made = of(&offered());
    let (json, written) = (made.json(), made.write());
    let malformed = |what: &str, text: String| bad(what, text, "malformed");
    let body = &written[BEGIN.len()..written.len() - END.len() - 1];
    let mut cases = vec![
        malformed("empty", String::new()),
        malformed("without its marks", body.to_owned()),
        malformed("without the first line", format!("{body}{END}\n")),
        malformed("cut off", format!("{BEGIN}{body}")),
        malformed("the last line first", format!("{END}{body}{BEGIN}\n")),
        malformed("nothing between", format!("{BEGIN}\n{END}\n")),
        malformed("another label", written.replace("TRUST OFFER", "BUNDLE")),
        malformed("in base64url", written.replacen(['+', '/'], "-", 1).replacen("ey", "e_", 1)),
        malformed("quoted", written.replace('\n', "\n> ")),
        malformed("a character is missing", written.replacen("ey", "e", 1)),
        bad("twice", written.repeat(2), "several"),
        TrustOfferCase {
            spaces_up_to: Some(MOST + 1),
            ..bad("1 MiB and a byte", written.clone(), "too-long")
        },
        malformed("not JSON", text("keycell")),
        malformed("in a list", text(&format!("[{json}]"))),
        malformed("something after it", text(&format!("{json}x"))),
        malformed("one member more", text(&json.replacen('{', r#"{"extra":1,"#, 1))),
        bad("of the next version", text(&json.replacen(":1", ":2", 1)), "version"),
        bad("of another version, with other members", text(r#"{"version":0,"offer":""}"#), "version"),
        malformed("a version in quotes", text(&json.replacen(":1", r#":"1""#, 1))),
    ];
    for member in ["version", "metadata", "encapsulated", "sealed", "signature"] {
        let mut less: serde_json::Value = serde_json::from_str(&json).unwrap();
        less.as_object_mut().unwrap().remove(member).unwrap();
        cases.push(malformed(&format!("without {member}"), text(&less.to_string())));
    }
    let (encapsulated, sealed, signature) = (made.encapsulated(), made.sealed(), made.sign(&made.signed()));
    for (what, json) in [
        ("an encapsulation of 1,119 bytes", made.json_with(&encapsulated[1..], &sealed, &signature)),
        ("sealed, 47 bytes", made.json_with(&encapsulated, &sealed[1..], &signature)),
        ("sealed, 49 bytes", made.json_with(&encapsulated, &[&sealed[..], &[0]].concat(), &signature)),
        ("a signature of 63 bytes", made.json_with(&encapsulated, &sealed, &signature[1..])),
    ] {
        cases.push(malformed(what, text(&json)));
    }
    // What its zone signs, and is no offer.
    let claimed = |what: &str, change: &dyn Fn(&str) -> String| {
        let mut made = made.clone();
        let before = claims(&offered());
        let after = change(&before);
        assert_ne!(after, before, "{what}");
        made.metadata = base64url(after);
        made.aad = made.metadata.clone();
        malformed(what, made.write())
    };
    cases.push(claimed("signed, and not JSON", &|_| "keycell".to_owned()));
    cases.push(claimed("signed, with a member more", &|json| json.replacen('{', r#"{"extra":1,"#, 1)));
    cases.push(claimed("signed, another state", &|json| json.replace("active", "retired")));
    cases.push(claimed("signed, a period of 0", &|json| {
        json.replace(r#""ratchet_period":86400"#, r#""ratchet_period":0"#)
    }));
    cases.push(claimed("signed, a zone in capitals", &|json| json.replace(ASKS, "Cell.example")));
    cases.push(claimed("signed, a bundle without TLS", &|json| json.replace("https:", "http:")));
    for member in ["to", "identity", "bundle", "generation", "state", "made_at", "expires_at"] {
        let what = format!("signed, without {member}");
        cases.push(claimed(&what, &|json| {
            let mut less: serde_json::Value = serde_json::from_str(json).unwrap();
            less.as_object_mut().unwrap().remove(member).unwrap();
            less.to_string()
        }));
    }
    let inconsistent =
        |what: &str, change: fn(&mut Offered)| bad(what, of(&with(change)).write(), "inconsistent");
    cases.extend([
        inconsistent("good for a second more than 7 days", |o| o.expires_at = o.made_at + 7 * DAY + 1),
        inconsistent("good for no time", |o| o.expires_at = o.made_at),
        inconsistent("expired before it was made", |o| o.expires_at = o.made_at - 1),
        inconsistent("of a generation that no key has", |o| o.key.generation = 0),
        inconsistent("by another zone than its bundle's", |o| o.zone = "third.example".to_owned()),
        inconsistent("to the zone itself", |o| o.to = GIVES.to_owned()),
    ]);
    cases
}

pub(super) fn refused() -> Vec<TrustOfferCase> {
    let usual = offered();
    let made = of(&usual);
    let to = |what: &str, reason: &str, change: &dyn Fn(&mut Receiver)| {
        let mut case = bad(what, made.write(), reason);
        change(&mut case.receiver);
        case
    };
    let changed = |what: &str, reason: &str, change: &dyn Fn(&mut Offer)| {
        let mut made = made.clone();
        change(&mut made);
        bad(what, made.write(), reason)
    };
    let signed = |what: &str, message: Vec<u8>| {
        let json = made.json_with(&made.encapsulated(), &made.sealed(), &made.sign(&message));
        bad(what, text(&json), "forged")
    };
    let spoilt = |what: &str, part: usize, at: isize| {
        let mut parts = [made.encapsulated(), made.sealed(), made.sign(&made.signed()).to_vec()];
        parts[part] = flipped(&parts[part], at);
        bad(what, text(&made.json_with(&parts[0], &parts[1], &parts[2])), "forged")
    };
    let by = |what: &str, reason: &str, by: By| TrustOfferCase { by, ..bad(what, made.write(), reason) };
    let known = |identities: &[(&str, &str)]| {
        let identities = identities.iter().map(|(name, whose)| identity(name, whose)).collect();
        By::Known(bundle(&zone(GIVES, identities)))
    };
    let third = zone("third.example", vec![identity(PRIMARY, "third.example")]);
    let seed = |who: &str| signing(who).to_bytes();
    let claiming = |offered: Offered| {
        let mut stolen = made.clone();
        stolen.metadata = base64url(claims(&offered));
        stolen.signing_seed = signer(&offered);
        stolen
    };
    vec![
        to("taken by another zone", "zone", &|r| r.zone = "third.example".to_owned()),
        to("taken by another identity", "identity", &|r| r.identity = SECONDARY.to_owned()),
        to("taken with another secret", "another-key", &|r| {
            r.identity_seed = identity_seed(SECONDARY, ASKS).into();
        }),
        to("a second too early", "early", &|r| r.now = NOW / 1000 - 301),
        to("just expired", "expired", &|r| r.now = NOW / 1000 + DAY),
        to("long expired", "expired", &|r| r.now = u64::MAX),
        spoilt("a changed encapsulation", 0, 0),
        spoilt("the end of the encapsulation changed", 0, -1),
        spoilt("a changed key", 1, 0),
        spoilt("a changed tag", 1, -1),
        spoilt("a changed signature", 2, 0),
        spoilt("the end of the signature changed", 2, -1),
        signed("signed without the label", made.signed()[22..].to_vec()),
        signed("signed without the zones", {
            let head = b"keycell/1 trust offer\0";
            [&head[..], &made.encapsulated(), &made.sealed(), made.metadata.as_bytes()].concat()
        }),
        signed("signed without the key", {
            [&made.info[..], b"\0", &made.encapsulated(), made.metadata.as_bytes()].concat()
        }),
        signed("signed before base64url", {
            let claims = claims(&usual);
            [&made.info[..], b"\0", &made.encapsulated(), &made.sealed(), claims.as_bytes()].concat()
        }),
        changed("signed by another zone", "forged", &|o| {
            o.signing_seed = seed("#KDC#00001@third.example");
        }),
        {
            let two = with(|o| o.bundle.identities.push(identity(SECONDARY, GIVES)));
            let mut made = of(&two);
            made.signing_seed = seed("#KDC#00002@other.example");
            let by = By::Fingerprint(fingerprint(&two.bundle));
            TrustOfferCase { by, ..bad("signed by the second identity", made.write(), "forged") }
        },
        by("another fingerprint", "fingerprint", By::Fingerprint(fingerprint(&third))),
        by("the fingerprint of more identities", "fingerprint", {
            let both = vec![identity(PRIMARY, GIVES), identity(SECONDARY, GIVES)];
            By::Fingerprint(fingerprint(&zone(GIVES, both)))
        }),
        by("another zone is known", "zone", By::Known(bundle(&third))),
        by("other keys are known", "other-keys", known(&[(PRIMARY, "third.example")])),
        by("a later identity is known", "earlier", known(&[(SECONDARY, GIVES)])),
        by("one more is known", "missing", known(&[(PRIMARY, GIVES), (SECONDARY, GIVES)])),
        {
            let more = with(|o| o.bundle.identities.push(identity(SECONDARY, GIVES)));
            let case = bad("one less is known", of(&more).write(), "stranger");
            TrustOfferCase { by: known(&[(PRIMARY, GIVES)]), ..case }
        },
        {
            let later = with(|o| o.bundle.identities = vec![identity("#KDC#00003", GIVES)]);
            let case = bad("nobody who is known signed it", of(&later).write(), "unknown-signer");
            TrustOfferCase { by: known(&[(PRIMARY, GIVES), (SECONDARY, GIVES)]), ..case }
        },
        // All of these are signed by whose they say they are.
        {
            let theirs = with(|o| (o.zone, o.bundle) = ("third.example".to_owned(), third.clone()));
            let mut stolen = claiming(theirs.clone());
            stolen.aad = stolen.metadata.clone();
            // Sealed for the zones of before, signed for those of now.
            let (encapsulated, sealed) = (stolen.encapsulated(), stolen.sealed());
            stolen.info = info("third.example", ASKS, PRIMARY);
            let message =
                [&stolen.info[..], b"\0", &encapsulated, &sealed, stolen.metadata.as_bytes()].concat();
            let json = stolen.json_with(&encapsulated, &sealed, &stolen.sign(&message));
            let by = By::Fingerprint(fingerprint(&third));
            TrustOfferCase { by, ..bad("a key out of another zone's offer", text(&json), "another-key") }
        },
        bad(
            "something else is said of the key",
            claiming(with(|o| o.key.generation = 2)).write(),
            "another-key",
        ),
        changed("sealed with no associated data", "another-key", &|o| o.aad.clear()),
        changed("sealed to associated data before base64url", "another-key", &|o| o.aad = claims(&usual)),
        changed("sealed and signed for another zone", "forged", &|o| {
            o.info = info(GIVES, "third.example", PRIMARY);
        }),
    ]
}

pub(super) fn fingerprints() -> Vec<BundleFingerprintCase> {
    let (one, two) = (gives(), zone(GIVES, vec![identity(PRIMARY, GIVES), identity(SECONDARY, GIVES)]));
    let case = |case: &str, of: &Bundle, said: String, expect| BundleFingerprintCase {
        case: case.to_owned(),
        bundle: bundle(of),
        said,
        expect,
    };
    let good =
        |what: &str, of: &Bundle, said: String| case(what, of, said, Expect::Accepted(fingerprint(of)));
    let bad = |what: &str, said: String, reason: &str| case(what, &one, said, rejected(reason));
    let mut moved = one.clone();
    (moved.urls, moved.tls_roots) = (vec!["https://kdc9.other.example".to_owned()], String::new());
    let usual = fingerprint(&one);
    vec![
        good("as it is written", &one, usual.clone()),
        good("of two identities", &two, fingerprint(&two)),
        good("URLs and roots are not in it", &moved, usual.clone()),
        good("without dashes", &one, digits(&one)),
        good("in capitals", &one, usual.to_uppercase()),
        good("with spaces", &one, usual.replace('-', " ")),
        good("with colons, and an end of line", &one, format!("{}\n", usual.replace('-', ":"))),
        bad("of another bundle", fingerprint(&two), "forged"),
        bad("one digit is another", flip_digit(&usual), "forged"),
        bad("empty", String::new(), "fingerprint"),
        bad("a digit is missing", usual[1..].to_owned(), "fingerprint"),
        bad("a digit too many", format!("{usual}0"), "fingerprint"),
        bad("with underscores", usual.replace('-', "_"), "fingerprint"),
        bad("a letter that is no digit", format!("g{}", &usual[1..]), "fingerprint"),
    ]
}

fn flip_digit(fingerprint: &str) -> String {
    let (rest, last) = fingerprint.split_at(fingerprint.len() - 1);
    format!("{rest}{}", if last == "0" { "1" } else { "0" })
}
