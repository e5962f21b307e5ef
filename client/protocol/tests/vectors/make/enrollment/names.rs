//! Names of hosts, join tokens, and keys that can be written to.

use super::{PRIMARY, ZONE, file, host_seed, rejected};
use crate::format::enrollment::{
    EncryptionKeyCase, EnrolledNameCase, EnrolledParts, FingerprintCase, HostCase, JoinTokenCase,
    OwnHostCase, ServiceCase,
};
use crate::format::{Expect, Hex};
use crate::raw::enrollment::{fingerprint, identity_seed, key, public, token, verifier};
use crate::raw::{author, bytes};

pub(super) fn files() -> Vec<(String, String)> {
    vec![
        file("enrollment/service.json", "service", "What a host runs (§10.2).", services()),
        file("enrollment/host.json", "host", "What a host is called (§10.2).", hosts()),
        file(
            "enrollment/own-host.json",
            "own-host",
            "A host's name, from its own system (§10.2).",
            own_hosts(),
        ),
        file("enrollment/fingerprint.json", "fingerprint", "Fingerprints of keys (§10.2).", fingerprints()),
        file("enrollment/name.json", "enrolled-name", "Names of hosts that enrolled (§10.2).", names()),
        file(
            "enrollment/token.json",
            "join-token",
            "Join tokens, and what is kept of them (§10.3).",
            tokens(),
        ),
        file(
            "enrollment/encryption-key.json",
            "encryption-key",
            "Whether an identity's key can be written to (§10.2).",
            encryption_keys(),
        ),
    ]
}

fn expected<T>(reason: Option<&str>, accepted: T) -> Expect<T> {
    reason.map_or(Expect::Accepted(accepted), rejected)
}

fn services() -> Vec<ServiceCase> {
    let case = |case: &str, service: &str, reason| ServiceCase {
        case: case.to_owned(),
        service: service.to_owned(),
        expect: expected(reason, ()),
    };
    let good = |what: &str, service: &str| case(what, service, None);
    let bad = |what: &str, service: &str| case(what, service, Some("service"));
    vec![
        good("a service", "nanoprobe"),
        good("one letter", "a"),
        good("every other byte there is", "z09_-"),
        good("ends with a minus", "web-"),
        good("32 bytes", &"s".repeat(32)),
        bad("empty", ""),
        bad("33 bytes", &"s".repeat(33)),
        bad("a capital letter", "Web"),
        bad("a capital letter inside", "wEb"),
        bad("starts with a digit", "7zip"),
        bad("starts with a minus", "-web"),
        bad("starts with an underscore", "_web"),
        bad("a dot, which ends a service", "web.host1"),
        bad("a colon", "web:host1"),
        bad("a number sign, which only administrators give", "#web"),
        bad("a space", "web "),
        bad("a zero byte", "web\0"),
        bad("an end of line", "web\n"),
        bad("a letter of another alphabet", "w\u{e9}b"),
        bad("a letter that looks like another", "\u{440}robe"),
    ]
}

fn hosts() -> Vec<HostCase> {
    let case = |case: &str, host: &str, reason| HostCase {
        case: case.to_owned(),
        host: host.to_owned(),
        expect: expected(reason, ()),
    };
    let good = |what: &str, host: &str| case(what, host, None);
    let bad = |what: &str, host: &str| case(what, host, Some("host"));
    let h63 = "h".repeat(63);
    vec![
        good("a host", "web1.example.com"),
        good("without a domain", "web1"),
        good("one byte", "1"),
        good("an address", "192.0.2.7"),
        good("minus inside of labels", "a--b.xn--p1ai"),
        good("a label of 63 bytes", &h63),
        good("120 bytes", &format!("{h63}.{}", "h".repeat(56))),
        bad("121 bytes", &format!("{h63}.{}", "h".repeat(57))),
        bad("a label of 64 bytes", &format!("{h63}h")),
        bad("a last label of 64 bytes", &format!("a.{h63}h")),
        bad("empty", ""),
        bad("a dot alone", "."),
        bad("an empty label at the start", ".example.com"),
        bad("an empty label", "web1..com"),
        bad("a final dot", "web1.example.com."),
        bad("a capital letter", "Web1.example.com"),
        bad("a capital letter at the end", "web1.example.coM"),
        bad("a label starts with a minus", "web1.-example"),
        bad("a label ends with a minus", "web1-.example"),
        bad("a minus alone", "-"),
        bad("an underscore", "web_1"),
        bad("a star", "*.example.com"),
        bad("colons, which stand before a fingerprint", "web1::0123"),
        bad("an address of IPv6", "2001:db8::1"),
        bad("a number sign", "#KDC#00001"),
        bad("an @", "web1@cell.example"),
        bad("a space", "web1 "),
        bad("a zero byte", "web1\0"),
        bad("a slash", "../web1"),
        bad("a letter of another alphabet", "w\u{e9}b1"),
        bad("a digit of another alphabet", "web\u{661}"),
    ]
}

fn own_hosts() -> Vec<OwnHostCase> {
    let case =
        |case: &str, said: &str, expect| OwnHostCase { case: case.to_owned(), said: said.to_owned(), expect };
    let good = |what: &str, said: &str, host: &str| case(what, said, Expect::Accepted(host.to_owned()));
    let bad = |what: &str, said: &str| case(what, said, rejected("host"));
    let h119 = format!("{}.{}", "h".repeat(63), "h".repeat(56));
    vec![
        good("as it has to be", "web1.example.com", "web1.example.com"),
        good("capital letters", "WEB1.Example.COM", "web1.example.com"),
        good("a final dot", "web1.example.com.", "web1.example.com"),
        good("120 bytes and a final dot", &format!("{h119}."), &h119),
        bad("two final dots", "web1.example.com.."),
        bad("a dot alone", "."),
        bad("empty", ""),
        bad("spaces around it", " web1 "),
        bad("an underscore", "my_laptop"),
        bad("a capital letter of another alphabet", "W\u{c9}B1"),
        bad("a sign whose small letter is a k", "\u{212a}dc"),
    ]
}

fn fingerprints() -> Vec<FingerprintCase> {
    let public_key = key(&host_seed());
    let right = fingerprint(&public_key);
    let case = |case: &str, fingerprint: &str, public_key: &[u8; 32], reason| FingerprintCase {
        case: case.to_owned(),
        fingerprint: fingerprint.to_owned(),
        public_key: public_key.into(),
        expect: expected(reason, ()),
    };
    let bad = |what: &str, text: &str| case(what, text, &public_key, Some("fingerprint"));
    let whole: String =
        <sha2::Sha256 as sha2::Digest>::digest(public_key).iter().map(|byte| format!("{byte:02x}")).collect();
    vec![
        case("of a key", &right, &public_key, None),
        case("of another key", &fingerprint(&[0; 32]), &[0; 32], None),
        case("that of another key", &right, &[0; 32], Some("forged")),
        case("the last half of the hash", &whole[32..], &public_key, Some("forged")),
        bad("the whole hash", &whole),
        bad("empty", ""),
        bad("31 digits", &right[1..]),
        bad("33 digits", &format!("{right}0")),
        bad("capital letters", &right.to_uppercase()),
        bad("a letter that is no digit", &format!("g{}", &right[1..])),
        bad("colons between the bytes", &format!("{}:{}", &right[..16], &right[17..])),
        bad("a sign", &format!("+{}", &right[1..])),
        bad("two digits of another alphabet", &format!("\u{e9}{}", &right[2..])),
    ]
}

fn names() -> Vec<EnrolledNameCase> {
    let print = fingerprint(&key(&host_seed()));
    let case = |case: &str, name: String, expect| EnrolledNameCase { case: case.to_owned(), name, expect };
    let good = |what: &str, service: &str, host: &str| {
        let parts =
            EnrolledParts { service: service.to_owned(), host: host.to_owned(), fingerprint: print.clone() };
        case(what, format!("{service}.{host}::{print}@{ZONE}"), Expect::Accepted(parts))
    };
    let bad = |what: &str, local: &str| case(what, format!("{local}@{ZONE}"), rejected("not-enrolled"));
    let h119 = format!("{}.{}", "h".repeat(63), "h".repeat(56));
    vec![
        good("of a host", "nanoprobe", "web1.example.com"),
        good("of a host without a domain", "nanoprobe", "web1"),
        good("the longest", &"s".repeat(32), &h119),
        bad("of a host that was added by hand", "nanoprobe.web1"),
        bad("with a short fingerprint", "nanoprobe.web1::0123456789abcdef"),
        bad("with a long fingerprint", &format!("nanoprobe.web1::{print}0")),
        bad("with a fingerprint in capital letters", &format!("nanoprobe.web1::{}", print.to_uppercase())),
        bad("with one colon", &format!("nanoprobe.web1:{print}")),
        bad("with three colons", &format!("nanoprobe.web1:::{print}")),
        bad("with two fingerprints", &format!("nanoprobe.web1::{print}::{print}")),
        bad("without a service", &format!("web1::{print}")),
        bad("without a host", &format!("nanoprobe.::{print}")),
        bad("with a capital letter in the service", &format!("Nanoprobe.web1::{print}")),
        bad("with a capital letter in the host", &format!("nanoprobe.WEB1::{print}")),
        bad("with a final dot", &format!("nanoprobe.web1.::{print}")),
        bad("of a group", "nanoprobe"),
        bad("of an identity", PRIMARY),
        bad("of an identity, with a fingerprint", &format!("#KDC#00001.web1::{print}")),
    ]
}

fn tokens() -> Vec<JoinTokenCase> {
    let (id, secret): ([u8; 8], [u8; 32]) = (bytes("id of a join token"), bytes("secret of a join token"));
    let text = token(&id, &secret);
    let own = verifier(&id, &secret);
    let case = |case: &str, token: &str, verifier: [u8; 32], expect| JoinTokenCase {
        case: case.to_owned(),
        token: token.to_owned(),
        verifier: verifier.into(),
        expect,
    };
    let good = |what: &str, id: [u8; 8], secret: [u8; 32]| {
        let text = token(&id, &secret);
        case(what, &text, verifier(&id, &secret), Expect::Accepted(text[4..20].to_owned()))
    };
    let bad = |what: &str, token: &str| {
        assert_ne!(token, text);
        case(what, token, own, rejected("token"))
    };
    let other = |what: &str, verifier: [u8; 32]| case(what, &text, verifier, rejected("forged"));
    let hash = |parts: &[&[u8]]| <sha2::Sha256 as sha2::Digest>::digest(parts.concat()).into();
    let mut changed = own;
    changed[31] ^= 1;
    vec![
        good("a token", id, secret),
        good("zeros", [0; 8], [0; 32]),
        good("ones", [0xff; 8], [0xff; 32]),
        other("a changed verifier", changed),
        other("the verifier of another secret", verifier(&id, &bytes("secret of another join token"))),
        other("the verifier of another id", verifier(&[0; 8], &secret)),
        other("the verifier without a label", hash(&[&id, &secret])),
        other("the verifier without the id", hash(&[b"keycell/1 join token\0", &secret])),
        other("the verifier of the text", hash(&[b"keycell/1 join token\0", text.as_bytes()])),
        other("the secret itself", secret),
        bad("empty", ""),
        bad("its beginning alone", "kcj_"),
        bad("without its beginning", &text[4..]),
        bad("its beginning in capital letters", &text.replacen("kcj", "KCJ", 1)),
        bad("its id alone", &text[4..20]),
        bad("its id without the secret", &text[..21]),
        bad("a letter missing", &text[..text.len() - 1]),
        bad("a letter more", &format!("{text}A")),
        bad("padding", &format!("{text}=")),
        bad("a capital digit in the id", &format!("kcj_{}{}", text[4..20].to_uppercase(), &text[20..])),
        bad("no line between id and secret", &text.replacen('_', "-", 2)),
        bad("a space before it", &format!(" {text}")),
        bad("an end of line after it", &format!("{text}\n")),
        bad("31 secret bytes", &token(&id, &secret[1..])),
        bad("33 secret bytes", &token(&id, &[&secret[..], &[0]].concat())),
        bad("a bit past the last byte", &format!("{}B", &token(&[0; 8], &[0; 32])[..63])),
        bad("a letter of two bytes where the id ends", &format!("{}\u{e9}{}", &text[..19], &text[21..])),
    ]
}

fn encryption_keys() -> Vec<EncryptionKeyCase> {
    let right = public(&identity_seed(PRIMARY, ZONE));
    let case = |case: &str, key: &[u8], reason| EncryptionKeyCase {
        case: case.to_owned(),
        encryption_key: Hex(key.to_vec()),
        expect: expected(reason, ()),
    };
    // Three bytes hold two numbers of twelve bits, each to be below 3,329.
    let with = |at: usize, bytes: &[u8]| {
        let mut key = right.clone();
        key[at..at + bytes.len()].copy_from_slice(bytes);
        key
    };
    let refused = |what: &str, at: usize, bytes: [u8; 3]| case(what, &with(at, &bytes), Some("identity"));
    vec![
        case("an identity's", &right, None),
        case("of the seed of zeros", &public(&[0; 32]), None),
        case("two numbers of 3,328, the largest", &with(0, &[0x00, 0x0d, 0xd0]), None),
        refused("a first number of 3,329", 0, [0x01, 0x0d, 0x00]),
        refused("a second number of 3,329", 0, [0x00, 0x10, 0xd0]),
        refused("a first number of 4,095", 0, [0xff, 0x0f, 0x00]),
        refused("a last number of 3,329", 1149, [0x00, 0x10, 0xd0]),
        refused("a last number of 4,095", 1149, [0x00, 0xf0, 0xff]),
        case("all bits set", &[0xff; 1216], Some("identity")),
        case(
            "bytes that are no key",
            &(0..38).flat_map(|n| author::public(&format!("{n}"))).collect::<Vec<_>>(),
            Some("identity"),
        ),
        case("another seed of ML-KEM's matrix: nobody opens it", &with(1152, &[0xff; 32]), None),
        case("X25519: the neutral point, of which ML-KEM takes no notice", &with(1184, &[0; 32]), None),
        case("X25519: a number past the field", &with(1184, &[0xff; 32]), None),
    ]
}
