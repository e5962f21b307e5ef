//! How a request travels.

use super::{PRIMARY, SECONDARY, ZONE, asked, bad, case, of, rejected, with};
use crate::format::Expect;
use crate::format::enrollment::{Asked, EnrollmentCase};
use crate::raw::base64url;

const MOST: usize = 8 << 10;

pub(super) fn accepted() -> Vec<EnrollmentCase> {
    let usual = asked();
    let good = |what: &str, request: Asked| {
        let made = of(&request);
        let json = made.write();
        let enrolling = made.enrolling(&request, json.as_bytes());
        case(what, &made, json, Expect::Accepted(enrolling))
    };
    // The same request in another spelling of what travels: nothing of it changes but the digest.
    let spelt = |what: &str, change: &dyn Fn(&str) -> String| {
        let made = of(&usual);
        let json = change(&made.write());
        let enrolling = made.enrolling(&usual, json.as_bytes());
        case(what, &made, json, Expect::Accepted(enrolling))
    };
    // Another spelling of what is signed.
    let signed = |what: &str, change: &dyn Fn(&str) -> String| {
        let mut made = of(&usual);
        let before = String::from_utf8(made.json.clone()).unwrap();
        made.json = change(&before).into();
        assert_ne!(made.json, before.as_bytes());
        let json = made.write();
        let enrolling = of(&usual).enrolling(&usual, json.as_bytes());
        case(what, &made, json, Expect::Accepted(enrolling))
    };
    let lengthened = |size: usize, expect: &dyn Fn(&[u8]) -> Expect<_>, what: &str| {
        let made = of(&usual);
        let json = made.write();
        let body = format!("{json}{}", " ".repeat(size - json.len()));
        let expect = expect(body.as_bytes());
        EnrollmentCase { spaces_up_to: Some(size), ..case(what, &made, json, expect) }
    };
    let members = |json: &str| {
        let (first, rest) = json[1..json.len() - 1].split_once(',').unwrap();
        format!("{{{rest},{first}}}")
    };
    vec![
        good("with a join token", usual.clone()),
        good("without a join token", with(|r| r.token = None)),
        good("another service", with(|r| r.service = "cma".to_owned())),
        good("another host", with(|r| r.host = "db7.example.com".to_owned())),
        good("to the secondary", with(|r| r.identity = SECONDARY.to_owned())),
        good("to the last identity that there can be", with(|r| r.identity = "#KDC#99999".to_owned())),
        good("to another zone", with(|r| r.zone = "other.example".to_owned())),
        good(
            "one byte of each",
            with(|r| {
                (r.zone, r.service, r.host) = ("z".to_owned(), "a".to_owned(), "1".to_owned());
            }),
        ),
        good(
            "as long as it can be",
            with(|r| {
                r.zone = "z".repeat(63);
                r.service = "s".repeat(32);
                r.host = format!("{}.{}", "h".repeat(63), "h".repeat(56));
                r.timestamp = u64::MAX;
            }),
        ),
        good(
            "every other byte there is",
            with(|r| {
                r.service = "z09_-".to_owned();
                r.host = "0a--z.9.xn--p1ai".to_owned();
            }),
        ),
        good("an address for a host", with(|r| r.host = "192.0.2.7".to_owned())),
        good(
            "numbers that look like others",
            with(|r| {
                (r.timestamp, r.nonce, r.instance) = (0, [0; 16].into(), [0xff; 16].into());
            }),
        ),
        spelt("members in another order", &members),
        spelt("spaces and ends of lines between", &|json| {
            format!("\n{}\r\n", json.replace("\",\"", "\" ,\t\"").replace("\":\"", "\" : \""))
        }),
        spelt("an escaped letter", &|json| json.replacen("cell.example", "cell\\u002eexample", 1)),
        signed("signed, members in another order", &members),
        signed("signed, spaces and ends of lines between", &|json| {
            format!(" {}\n", json.replace("\",\"", "\" ,\n\""))
        }),
        signed("signed, escaped letters", &|json| {
            json.replacen("web1.example", "web1\\u002eexample", 1).replacen("kcj_", "\\u006bcj_", 1)
        }),
        lengthened(MOST, &|body| Expect::Accepted(of(&usual).enrolling(&usual, body)), "8 KiB"),
        lengthened(MOST + 1, &|_| rejected("malformed"), "a byte more"),
    ]
}

pub(super) fn malformed() -> Vec<EnrollmentCase> {
    let made = of(&asked());
    let json = made.write();
    let malformed = |what: &str, json: String| bad(what, json, "malformed");
    let replaced = |from: &str, to: &str| {
        assert!(json.contains(from), "{from}");
        json.replacen(from, to, 1)
    };
    let (ciphertext, sealed) =
        (made.encapsulation().ciphertext, made.context().seal(0, b"", &made.plaintext()));
    let mut cases = vec![
        malformed("empty", String::new()),
        malformed("not JSON", "keycell".to_owned()),
        malformed("cut off", json[..json.len() - 1].to_owned()),
        malformed("something after it", format!("{json}x")),
        malformed("twice", format!("{json}{json}")),
        malformed("after a byte order mark", format!("\u{feff}{json}")),
        malformed("in a list", format!("[{json}]")),
        malformed("a list of its values", {
            let (encapsulated, sealed) = (base64url(&ciphertext), base64url(&sealed));
            format!(r#"["{ZONE}","{PRIMARY}","{encapsulated}","{sealed}"]"#)
        }),
        malformed("one member more", replaced("{", r#"{"extra":1,"#)),
        malformed("a member twice", replaced("{", &format!(r#"{{"zone":"{ZONE}","#))),
        malformed("a zone with a capital letter", replaced(ZONE, "Cell.example")),
        malformed("a zone with a zero byte", replaced(ZONE, "cell\\u0000example")),
        malformed("a zone with a final dot", replaced(ZONE, "cell.example.")),
    ];
    for name in
        ["", "KDC#00001", "#KDC#00000", "#KDC#1", "#KDC#000001", "#KDC#+0001", "#kdc#00001", " #KDC#00001"]
    {
        cases.push(malformed(&format!("the identity {name:?}"), replaced(PRIMARY, name)));
    }
    cases.push(malformed("an identity by its number", replaced(&format!("\"{PRIMARY}\""), "1")));
    let form = |encapsulated: &str, sealed: &str| {
        format!(
            r#"{{"zone":"{ZONE}","identity":"{PRIMARY}","encapsulated":"{encapsulated}","sealed":"{sealed}"}}"#
        )
    };
    let (ours, theirs) = (base64url(&ciphertext), base64url(&sealed));
    for (what, encapsulated) in [
        ("an encapsulation of no bytes", String::new()),
        ("an encapsulation of 1,119 bytes", base64url(&ciphertext[1..])),
        ("an encapsulation of 1,121 bytes", base64url([&ciphertext[..], &[0]].concat())),
        ("an encapsulation of ML-KEM alone", base64url(&ciphertext[..1088])),
        ("an encapsulation of X25519 alone", base64url(&ciphertext[1088..])),
        ("an encapsulation in base64 with padding", format!("{ours}=")),
        ("an encapsulation with a space", format!(" {ours}")),
        ("an encapsulation in the alphabet of base64", ours.replacen(['-', '_'], "+", 1)),
    ] {
        assert_ne!(encapsulated, ours);
        cases.push(malformed(what, form(&encapsulated, &theirs)));
    }
    for (what, sealed) in [
        ("sealed in base64 with padding", format!("{theirs}=")),
        ("sealed in the alphabet of base64", theirs.replacen(['-', '_'], "+", 1)),
        ("sealed, a letter too many", "A".repeat(401)),
        ("sealed, with a bit past the last byte", format!("{}B", &base64url([0; 80])[..106])),
    ] {
        assert_ne!(sealed, theirs);
        cases.push(malformed(what, form(&ours, &sealed)));
    }
    for name in ["zone", "identity", "encapsulated", "sealed"] {
        let mut less: serde_json::Value = serde_json::from_str(&json).unwrap();
        less[name] = serde_json::Value::Null;
        cases.push(malformed(&format!("{name} is null"), less.to_string()));
        less.as_object_mut().unwrap().remove(name).unwrap();
        cases.push(malformed(&format!("{name} is left out"), less.to_string()));
    }
    cases
}
