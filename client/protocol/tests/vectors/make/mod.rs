//! Makes every vector.

mod author;
mod bundle;
mod decoders;
mod derive;
mod enrollment;
mod group;
mod message;
mod name;
mod reply;
mod rotation;
mod trust;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::format::{Expect, File};

/// Every file, by its path below `tests/vectors/`.
pub(crate) fn all() -> BTreeMap<String, String> {
    let mut files = BTreeMap::new();
    let all = [
        name::files(),
        derive::files(),
        rotation::files(),
        decoders::files(),
        group::files(),
        author::files(),
        bundle::files(),
        enrollment::files(),
        trust::files(),
        message::files(),
    ];
    for (path, text) in all.concat() {
        assert!(files.insert(path.clone(), text).is_none(), "{path} twice");
    }
    files
}

/// One file: its path, and what is in it.
fn file<C: Serialize>(path: &str, kind: &str, about: &str, cases: Vec<C>) -> (String, String) {
    let file = File { kind: kind.to_owned(), about: about.to_owned(), cases };
    (path.to_owned(), serde_json::to_string_pretty(&file).unwrap() + "\n")
}

fn rejected<T>(reason: &str) -> Expect<T> {
    Expect::Rejected(reason.to_owned())
}

/// `bytes` with the bits of one byte changed; counted from the end where `at` is negative.
fn flipped(bytes: &[u8], at: isize) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let at = if at < 0 { bytes.len() - at.unsigned_abs() } else { at.unsigned_abs() };
    bytes[at] ^= 0x01;
    bytes
}
