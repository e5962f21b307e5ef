//! Bodies that travel apart: a part opens the one body that is meant.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{cases, edited, hex, seed};
use keycell_protocol::{Cause, ContentPart};
use libfuzzer_sys::fuzz_target;

/// Parts and the bodies that they open.
static GENUINE: LazyLock<Vec<(Vec<u8>, Vec<u8>)>> = LazyLock::new(|| {
    let all = cases("content");
    let accepted = all.iter().filter(|case| case["expect"].get("accepted").is_some());
    accepted
        .map(|case| (hex(case["part"].as_str().unwrap()), hex(case["common"].as_str().unwrap())))
        .collect()
});

fuzz_target!(
    init: seed(|| GENUINE.iter().map(|(part, common)| [&part[..], common].concat()).chain([vec![0, 1, 0, 40, 1]]).collect()),
    |data: &[u8]| {
        // As it comes: a part and a body behind it.
        let (part, common) = data.split_at(data.len().min(ContentPart::SIZE));
        check(part, common);
        let Some((which, edits)) = data.split_first() else { return };
        let (part, common) = &GENUINE[usize::from(*which) % GENUINE.len()];
        check(part, &edited(common, edits));
        check(&edited(part, edits), common);
        check(part, edits);
    }
);

fn check(part: &[u8], common: &[u8]) {
    let Ok(parsed) = ContentPart::parse(part) else {
        assert_ne!(part.len(), ContentPart::SIZE);
        return;
    };
    assert_eq!(parsed.plaintext()[..], *part);
    match parsed.open(common) {
        Ok(body) => {
            assert_eq!(body.len() + ContentPart::OVERHEAD, common.len());
            let genuine = |(own, body): &(Vec<u8>, Vec<u8>)| own == part && body == common;
            assert!(GENUINE.iter().any(genuine), "a forged body opened");
        }
        Err(cause) => assert_eq!(cause, Cause::Body),
    }
}
