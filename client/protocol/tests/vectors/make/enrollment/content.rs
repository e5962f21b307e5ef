//! What is signed and sealed as it has to be, and is no request.

use super::{asked, bad, host_seed, of};
use crate::format::enrollment::EnrollmentCase;
use crate::raw::enrollment::{Enrollment, content, key, token};
use crate::raw::{NOW, base64url, bytes};

pub(super) fn cases() -> Vec<EnrollmentCase> {
    let usual = asked();
    let text = content(&usual, &key(&host_seed()));
    let malformed = |what: &str, json: &str| {
        assert_ne!(json, text, "{what}");
        let json = Enrollment { json: json.into(), ..of(&usual) }.write();
        bad(what, json, "malformed")
    };
    let changed = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}");
        text.replacen(from, to, 1)
    };
    let mut cases = vec![
        malformed("one member more", &changed("{", r#"{"extra":1,"#)),
        malformed("a member of what travels", &changed("{", r#"{"zone":"cell.example","#)),
        malformed("the service twice", &changed("{", r#"{"service":"nanoprobe","#)),
    ];
    for name in ["service", "host", "timestamp", "nonce", "instance"] {
        cases.push(malformed(&format!("no {name}"), &changed(&format!("\"{name}\""), "\"extra\"")));
        let mut null: serde_json::Value = serde_json::from_str(&text).unwrap();
        null[name] = serde_json::Value::Null;
        cases.push(malformed(&format!("{name} is null"), &null.to_string()));
    }
    for service in [
        "",
        "Nanoprobe",
        "7zip",
        "_x",
        "-x",
        "nano.probe",
        "nano probe",
        "nano/probe",
        "#KDC#00001",
        "#nanoprobe",
        "nanoprobe@cell.example",
        "nanoprobe\\u0000",
        "nanopr\u{f6}be",
        &"s".repeat(33),
    ] {
        cases.push(malformed(&format!("the service {service:?}"), &changed("nanoprobe", service)));
    }
    for host in [
        "",
        ".",
        "WEB1.example.com",
        "web1.example.com.",
        ".example.com",
        "web1..com",
        "-web1",
        "web1-",
        "web1.-a.com",
        "web_1",
        "web 1",
        "*.example.com",
        "#KDC#00001",
        "web1::0123456789abcdef0123456789abcdef",
        "web1@cell.example",
        "web1/..",
        "web1\\u0000",
        "w\u{e9}b1",
        &"h".repeat(64),
        &format!("{}.{}", "h".repeat(63), "h".repeat(57)),
    ] {
        cases.push(malformed(&format!("the host {host:?}"), &changed("web1.example.com", host)));
    }
    let (id, secret): ([u8; 8], [u8; 32]) = (bytes("id of a join token"), bytes("secret of a join token"));
    let ours = usual.token.clone().unwrap();
    let tokens = [
        ("an empty token", String::new()),
        ("the id of a token", ours[..20].to_owned()),
        ("a token in capital letters", ours.to_uppercase()),
        (
            "a token with a capital digit in its id",
            format!("kcj_{}{}", ours[4..20].to_uppercase(), &ours[20..]),
        ),
        ("a token with another beginning", ours.replacen("kcj", "kcm", 1)),
        ("a token of 31 secret bytes", token(&id, &secret[1..])),
        ("a token of 33 secret bytes", token(&id, &[&secret[..], &[0]].concat())),
        ("a token with padding", format!("{ours}=")),
        ("a token and an end of line", format!("{ours}\\n")),
    ];
    for (what, other) in tokens {
        cases.push(malformed(what, &changed(&ours, &other)));
    }
    cases.push(malformed("a token that is null", &changed(&format!("\"{ours}\""), "null")));
    let now = NOW.to_string();
    for (what, time) in [
        ("a time before there was one", "-1".to_owned()),
        ("a time with a fraction", format!("{now}.5")),
        ("a time with an exponent", "1e12".to_owned()),
        ("a time in a text", format!("\"{now}\"")),
        ("a time of 65 bits", "18446744073709551616".to_owned()),
    ] {
        cases.push(malformed(what, &changed(&now, &time)));
    }
    for (name, bytes) in [("nonce", &usual.nonce.0), ("instance", &usual.instance.0)] {
        let ours = base64url(bytes);
        let wrong = [
            ("of 15 bytes", base64url(&bytes[1..])),
            ("of 17 bytes", base64url([&bytes[..], &[0]].concat())),
            ("with padding", format!("{ours}==")),
            ("of no bytes", String::new()),
        ];
        for (what, other) in wrong {
            cases.push(malformed(&format!("{name} {what}"), &changed(&ours, &other)));
        }
    }
    cases
}
