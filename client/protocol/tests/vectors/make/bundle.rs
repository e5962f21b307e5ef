//! §10

use super::{file, rejected};
use crate::format::Expect;
use crate::format::bundle::{Bundle, BundleCase, Trusted};
use crate::raw::base64url;
use crate::raw::bundle::{bundle, identity};

pub(super) fn files() -> Vec<(String, String)> {
    let mut cases = accepted();
    cases.extend(no_json_of_one());
    cases.extend(fields());
    vec![file("bundle/bundle.json", "bundle", "What is published of a zone (§10).", cases)]
}

const ZONE: &str = "cell.example";
const PRIMARY: &str = "#KDC#00001";
const SECONDARY: &str = "#KDC#00002";
const MOST: usize = 1 << 20;

fn plain() -> Bundle {
    Bundle {
        zone: ZONE.to_owned(),
        urls: vec!["https://kdc1.cell.example:7443".to_owned()],
        tls_roots: "-----BEGIN CERTIFICATE-----\n-----END CERTIFICATE-----\n".to_owned(),
        identities: vec![identity(PRIMARY, ZONE)],
        trusted: Vec::new(),
    }
}

fn trusted(zone: &str) -> Trusted {
    Trusted { zone: zone.to_owned(), identities: vec![identity(PRIMARY, zone)] }
}

fn with(change: impl FnOnce(&mut Bundle)) -> Bundle {
    let mut bundle = plain();
    change(&mut bundle);
    bundle
}

fn case(case: &str, json: String, expect: Expect<Bundle>) -> BundleCase {
    BundleCase { case: case.to_owned(), json, spaces_up_to: None, expect }
}

fn good(what: &str, parts: Bundle) -> BundleCase {
    case(what, bundle(&parts), Expect::Accepted(parts))
}

fn bad(what: &str, json: String, reason: &str) -> BundleCase {
    case(what, json, rejected(reason))
}

fn accepted() -> Vec<BundleCase> {
    let plain = plain();
    let urls = |count: usize| (1..=count).map(|n| format!("https://kdc{n}.cell.example")).collect();
    let spaced = bundle(&plain).replace(',', " ,\n\t").replace(':', ": ");
    // What is inside of strings is as it was.
    let spaced = spaced.replace("https: //", "https://").replace("example: ", "example:");
    let members = {
        let json = bundle(&plain);
        let (first, rest) = json[1..json.len() - 1].split_once(',').unwrap();
        format!("{{{rest},{first}}}")
    };
    let escaped = bundle(&plain).replace("cell.example\",\"urls", "cell\\u002eexample\",\"urls");
    vec![
        good("with one identity, and nobody trusted", plain.clone()),
        good("as a KDC publishes it", with(|b| b.identities.push(identity(SECONDARY, ZONE)))),
        good("16 URLs", with(|b| b.urls = urls(16))),
        good("a URL of 1,024 bytes", with(|b| b.urls = vec![long_url(1024)])),
        good("no roots", with(|b| b.tls_roots.clear())),
        good(
            "the last name that an identity can have",
            with(|b| b.identities = vec![identity("#KDC#99999", ZONE)]),
        ),
        good("two zones are trusted", with(|b| b.trusted = ["a", "b.example"].map(trusted).into())),
        good(
            "two zones have one key: each is believed about itself",
            with(|b| {
                let mut other = trusted("other.example");
                other.identities[0].signing_key = b.identities[0].signing_key.clone();
                b.trusted = vec![other];
            }),
        ),
        case("spaces and ends of lines between", spaced, Expect::Accepted(plain.clone())),
        case("members in another order", members, Expect::Accepted(plain.clone())),
        case("an escaped letter", escaped, Expect::Accepted(plain.clone())),
        BundleCase { spaces_up_to: Some(MOST), ..good("1 MiB", plain.clone()) },
        BundleCase { spaces_up_to: Some(MOST + 1), ..bad("a byte more", bundle(&plain), "too-long") },
    ]
}

fn long_url(length: usize) -> String {
    let start = "https://kdc.cell.example/";
    format!("{start}{}", "x".repeat(length - start.len()))
}

fn no_json_of_one() -> Vec<BundleCase> {
    let json = bundle(&plain());
    let malformed = |what: &str, json: String| bad(what, json, "malformed");
    let replaced = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        json.replacen(from, to, 1)
    };
    let mut cases = vec![
        malformed("empty", String::new()),
        malformed("cut off", json[..json.len() - 1].to_owned()),
        malformed("something after it", format!("{json}x")),
        malformed("twice", format!("{json}{json}")),
        malformed("in a list", format!("[{json}]")),
        malformed("after a byte order mark", format!("\u{feff}{json}")),
        malformed("one member more", replaced(r#","zone""#, r#","kdc":"","zone""#)),
        malformed("a member twice", replaced(r#""version":1"#, r#""version":1,"version":1"#)),
        malformed("one member of an identity more", replaced(r#"{"name""#, r#"{"kind":1,"name""#)),
        malformed("one member of a trusted zone more", {
            bundle(&with(|b| b.trusted = vec![trusted("z")]))
                .replace(r#"{"zone":"z""#, r#"{"urls":[],"zone":"z""#)
        }),
    ];
    for (name, after) in [
        ("version", "zone"),
        ("zone", "urls"),
        ("urls", "tls_roots"),
        ("tls_roots", "identities"),
        ("identities", "trusted"),
    ] {
        let (start, end) =
            (json.find(&format!(r#""{name}":"#)).unwrap(), json.find(&format!(r#""{after}":"#)).unwrap());
        cases.push(malformed(&format!("without {name}"), format!("{}{}", &json[..start], &json[end..])));
    }
    cases.push(malformed("without trusted", replaced(r#","trusted":[]"#, "")));
    cases.extend([
        malformed("a version in quotes", replaced(r#""version":1"#, r#""version":"1""#)),
        malformed("a version with a fraction", replaced(r#""version":1"#, r#""version":1.0"#)),
        malformed("null for the roots", {
            bundle(&with(|b| b.tls_roots.clear())).replace(r#""tls_roots":"""#, r#""tls_roots":null"#)
        }),
        bad("of the next version", replaced(r#""version":1"#, r#""version":2"#), "version"),
        bad("of another version, with other members", r#"{"version":0,"cell":"a"}"#.to_owned(), "version"),
    ]);
    cases
}

fn fields() -> Vec<BundleCase> {
    let changed =
        |what: &str, reason: &str, change: fn(&mut Bundle)| bad(what, bundle(&with(change)), reason);
    let mut cases = vec![
        changed("a zone in capital letters", "malformed", |b| b.zone = "Cell.example".to_owned()),
        changed("no zone", "malformed", |b| b.zone.clear()),
        changed("a signing key of 31 bytes", "malformed", |b| b.identities[0].signing_key.0.truncate(31)),
        changed("a signing key of 33 bytes", "malformed", |b| b.identities[0].signing_key.0.push(0)),
        changed("an encryption key of 1,215 bytes", "malformed", |b| {
            b.identities[0].encryption_key.0.truncate(1215)
        }),
        changed("an encryption key of 1,217 bytes", "malformed", |b| {
            b.identities[0].encryption_key.0.push(0)
        }),
    ];
    let key = base64url(&plain().identities[0].signing_key.0);
    let json = bundle(&plain());
    for (what, other) in [
        ("a signing key with padding", format!("{key}=")),
        ("a signing key in hexadecimal", format!("{:?}", plain().identities[0].signing_key)),
        ("a signing key with bits after its end", last_bit(&key)),
    ] {
        cases.push(bad(what, json.replace(&key, &other), "malformed"));
    }
    for name in
        ["#KDC#00000", "#KDC#1", "#KDC#000001", "#KDC#0000a", "#KDC#+0001", "#kdc#00001", "KDC#00001", ""]
    {
        let what = format!("an identity called {name:?}");
        cases.push(bad(&what, bundle(&with(|b| b.identities[0].name = name.to_owned())), "malformed"));
    }
    cases.extend([
        changed("no URL", "urls", |b| b.urls.clear()),
        changed("17 URLs", "urls", |b| b.urls = vec!["https://kdc.cell.example".to_owned(); 17]),
        changed("a URL without TLS", "urls", |b| b.urls.push("http://kdc.cell.example".to_owned())),
        changed("no URL but a host", "urls", |b| b.urls = vec!["kdc.cell.example:7443".to_owned()]),
        changed("a URL of 1,025 bytes", "urls", |b| b.urls = vec![long_url(1025)]),
        changed("no identity", "identities", |b| b.identities.clear()),
        changed("two identities of one name", "identities", |b| {
            b.identities = [ZONE, "other.example"].map(|zone| identity(PRIMARY, zone)).into();
        }),
        changed("two identities with one signing key", "identities", |b| {
            let one = b.identities[0].clone();
            b.identities.push(crate::format::bundle::Identity { name: SECONDARY.to_owned(), ..one });
        }),
        changed("9 identities", "identities", |b| {
            b.identities = (1..=9).map(|n| identity(&format!("#KDC#{n:05}"), ZONE)).collect();
        }),
        changed("a trusted zone without an identity", "identities", |b| {
            b.trusted = vec![Trusted { identities: Vec::new(), ..trusted("other.example") }];
        }),
        changed("its own zone is trusted", "trusted", |b| b.trusted = vec![trusted(ZONE)]),
        changed("a zone is trusted twice", "trusted", |b| {
            b.trusted = ["other.example"; 2].map(trusted).into();
        }),
    ]);
    cases
}

/// Unpadded base64url of 32 bytes, with one of the last letter's two spare bits set: nobody who is strict reads it.
fn last_bit(text: &str) -> String {
    const LETTERS: &str = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let (rest, last) = text.split_at(text.len() - 1);
    let at = LETTERS.find(last).unwrap();
    format!("{rest}{}", &LETTERS[at + 1..at + 2])
}
