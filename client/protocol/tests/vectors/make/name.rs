//! §3

use super::{file, rejected};
use crate::format::{Expect, NameCase, NameParts};

pub(super) fn files() -> Vec<(String, String)> {
    let accepted = |case: &str, local: &str, zone: &str, administrative: bool, may_be_group: bool| {
        let full = format!("{local}@{zone}");
        let service = local.split('.').next().unwrap().to_owned();
        let (local, zone) = (local.to_owned(), zone.to_owned());
        NameCase {
            case: case.to_owned(),
            name: full.as_bytes().into(),
            expect: Expect::Accepted(NameParts { full, local, zone, service, administrative, may_be_group }),
        }
    };
    let refused = |case: &str, name: &[u8], reason: &str| NameCase {
        case: case.to_owned(),
        name: name.into(),
        expect: rejected(reason),
    };
    let (x190, z63) = ("x".repeat(190), "z".repeat(63));
    let full = vec![
        accepted("a service and its host", "web.host1", "cell.example", false, false),
        accepted(
            "a host with a fingerprint",
            "nanoprobe.web1::0123456789abcdef",
            "cell.example",
            false,
            false,
        ),
        accepted("no dot: may be a group", "scheduler", "cell.example", false, true),
        accepted("administrative", "#KDC#00001", "cell.example", true, true),
        accepted("every other byte there is", "Zz09._-+#:", "a-1.b", false, false),
        accepted("one byte each", "a", "z", false, true),
        accepted("the longest of both", &x190, &z63, false, true),
        refused("empty", b"", "no-zone"),
        refused("no @", b"web.host1", "no-zone"),
        refused("empty local part", b"@cell.example", "local-length"),
        refused("local part of 191 bytes", format!("{x190}x@z").as_bytes(), "local-length"),
        refused("starts with a dot", b".a@z", "local-start"),
        refused("starts with a minus", b"-a@z", "local-start"),
        refused("starts with a letter of another alphabet", "\u{e9}a@z".as_bytes(), "local-start"),
        refused("a space", b"a b@z", "local-byte"),
        refused("a zero byte, which separates names in the SEK", b"a\0b@z", "local-byte"),
        refused("a slash", b"a/b@z", "local-byte"),
        refused("a letter of another alphabet", "a\u{e9}@z".as_bytes(), "local-byte"),
        refused("not UTF-8", b"a\xff@z", "local-byte"),
        refused("empty zone", b"a@", "zone-length"),
        refused("zone of 64 bytes", format!("a@{z63}z").as_bytes(), "zone-length"),
        refused("capital letters in the zone", b"a@Cell.example", "zone-form"),
        refused("a second @", b"a@b@c", "zone-form"),
        refused("an empty label at the start", b"a@.z", "zone-form"),
        refused("a final dot", b"a@z.", "zone-form"),
        refused("an empty label", b"a@y..z", "zone-form"),
        refused("a label starts with a minus", b"a@-z", "zone-form"),
        refused("a label ends with a minus", b"a@y-.z", "zone-form"),
        refused("an underscore", b"a@y_z", "zone-form"),
    ];
    vec![file("name/full.json", "name", "Full names, as the bytes on the wire (§3).", full)]
}
