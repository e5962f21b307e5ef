//! Evidence: as it comes, and genuine ones changed.
#![no_main]

use std::sync::LazyLock;

use keycell_fuzz::{edited, of_kind, seed, seeds, signers};
use keycell_protocol::{Evidence, Signers};
use libfuzzer_sys::fuzz_target;

static GENUINE: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| seeds(&of_kind("author", "evidence"), "evidence"));
static SIGNERS: LazyLock<Signers> = LazyLock::new(|| signers(&of_kind("author", "evidence")[0]["signers"]));

fuzz_target!(
    init: seed(|| GENUINE.iter().cloned().chain([vec![0, 1, 0, 40, 1], vec![1, 4, 0, 9, 0]]).collect()),
    |data: &[u8]| {
        check(data);
        if let Some((which, edits)) = data.split_first() {
            check(&edited(&GENUINE[usize::from(*which) % GENUINE.len()], edits));
        }
    }
);

fn check(bytes: &[u8]) {
    assert!(Evidence::verify(bytes, &Signers::new()).is_err());
    if Evidence::verify(bytes, &SIGNERS).is_ok() {
        assert!(GENUINE.iter().any(|genuine| genuine == bytes), "forged evidence holds");
    }
}
