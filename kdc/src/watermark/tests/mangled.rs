//! Files of revocations that somebody changed, or that another release wrote.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::mangle::{edits, json_edits};

/// A file with a few lines.
static SAMPLE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    let watermark = watermark(&path);
    append(&watermark);
    for (name, revision) in [("a", 2), ("b", 3), ("a", 4)] {
        watermark.saw_party(&party(name, revision, false, u32::try_from(revision).unwrap(), ONE));
        append(&watermark);
    }
    fs::read(path).unwrap()
});

/// A file with these lines, and good codes.
fn signed(entries: &[Value]) -> String {
    let mut text = "keycell-revocations-1\n".to_owned();
    let mut code = String::new();
    for entry in entries {
        let entry = entry.to_string();
        let covered = crate::fields::fields(&[b"keycell revocation 1", code.as_bytes(), entry.as_bytes()]);
        code = URL_SAFE_NO_PAD.encode(hmac::sign(&key(), &covered).as_ref());
        text += &format!("{entry} {code}\n");
    }
    text
}

fn entries() -> Vec<Value> {
    let mark = |revision: u64| json!({"revision": revision, "epoch": 1, "state": "disabled", "floor": 1, "last": 1, "made": 10});
    let chain = json!({"version": 1, "first": 0, "begins_at": 100, "lifetime_seconds": 300});
    let group = json!({
        "revision": 2, "deleted": false, "members": ["g.*@z"], "excluded": ["g.a@z"], "chain": chain, "made": 10,
    });
    vec![
        json!({"party": ["a@z", mark(2)]}),
        json!({"party": ["a@z", mark(5)]}),
        json!({"token": ["t1", {"revoked_at": 10, "expires_at": 20}]}),
        json!({"group": ["g@z", group]}),
        json!({"denial": ["0".repeat(32), 10]}),
        json!({"denial": ["1".repeat(32), 10]}),
        json!({"let_off": ["0".repeat(32), 10]}),
        json!({"forgotten": {"revision": 1, "made": 1}}),
        json!({"identities": {"primary": "#KDC#00002", "last": "#KDC#00003", "since": 5}}),
        json!({"head": [format!("17:{}", "ab".repeat(32)), null]}),
    ]
}

proptest! {
    /// What is believed is what was written, from its beginning on: lines that are missing at the end are found by the
    /// audit log.
    #[test]
    fn a_changed_file_is_refused(edits in edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revocations");
        let changed = edits.bytes(&SAMPLE);
        fs::write(&path, &changed).unwrap();
        let complete = changed.iter().rposition(|byte| *byte == b'\n').map_or(&[][..], |end| &changed[..=end]);
        match file::read(&path, &key()) {
            // A first line alone says nothing of anybody.
            Ok(_) => prop_assert!(
                (SAMPLE.starts_with(complete) && !complete.is_empty()) || complete == b"keycell-revocations-2\n"
            ),
            Err(WatermarkError::Altered { .. } | WatermarkError::Newer { .. }) => {
                prop_assert!(!SAMPLE.starts_with(complete) || complete.is_empty());
            }
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }

    /// Another release that holds the key may write other lines: they are refused as a whole, or written again as they were.
    #[test]
    fn other_lines_are_understood_or_refused(edits in json_edits()) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("revocations");
        let lines = edits.of(&Value::Array(entries()));
        let Value::Array(lines) = lines else { return Ok(()) };
        fs::write(&path, signed(&lines)).unwrap();
        match file::read(&path, &key()) {
            Ok(Some((known, _))) => {
                let written: Vec<_> = known.entries().map(|entry| serde_json::to_value(entry).unwrap()).collect();
                prop_assert!(written.len() <= lines.len());
                fs::write(&path, signed(&written)).unwrap();
                let (again, _) = file::read(&path, &key()).unwrap().unwrap();
prop_assert_eq!(again, Known { head: None, accepted: None, ..known });
            }
            Ok(None) => return Err(TestCaseError::fail("the file is there")),
            Err(WatermarkError::Altered { .. }) => {}
            Err(other) => return Err(TestCaseError::fail(other.to_string())),
        }
    }
}

#[test]
fn the_lines_of_these_tests_are_the_ones_that_are_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("revocations");
    fs::write(&path, signed(&entries())).unwrap();
    let (known, _) = file::read(&path, &key()).unwrap().unwrap();
    assert_eq!(known.len(), 4);
    assert!(known.head.is_some());
}
