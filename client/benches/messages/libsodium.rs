//! What such fleets use today: `crypto_box_easy`, and `crypto_box_easy_afternm` with the shared key computed before.

use std::hint::black_box;

use criterion::Criterion;
use libsodium_rs::crypto_box::{KeyPair, Nonce, beforenm, open, open_afternm, seal, seal_afternm};

pub(crate) fn bench(criterion: &mut Criterion, size: usize) {
    let (ours, theirs) = (KeyPair::generate(), KeyPair::generate());
    let shared = beforenm(&theirs.public_key, &ours.secret_key).expect("a good key");
    let body = vec![7; size];
    let mut count = 0_u64;
    // As ours does: a counter, no random nonce to draw.
    let mut nonce = move || {
        count += 1;
        let mut bytes = [0; 24];
        bytes[16..].copy_from_slice(&count.to_be_bytes());
        Nonce::try_from(&bytes[..]).expect("24 bytes")
    };
    criterion.bench_function(&format!("seal {size}/crypto_box_easy_afternm"), |bencher| {
        bencher.iter(|| seal_afternm(black_box(&body), &nonce(), &shared).expect("short"));
    });
    criterion.bench_function(&format!("seal {size}/crypto_box_easy"), |bencher| {
        bencher
            .iter(|| seal(black_box(&body), &nonce(), &theirs.public_key, &ours.secret_key).expect("short"));
    });
    let last = nonce();
    let sealed = seal_afternm(&body, &last, &shared).expect("short");
    criterion.bench_function(&format!("open {size}/crypto_box_easy_afternm"), |bencher| {
        bencher.iter(|| open_afternm(black_box(&sealed), &last, &shared).expect("it opens"));
    });
    criterion.bench_function(&format!("open {size}/crypto_box_easy"), |bencher| {
        bencher.iter(|| {
            open(black_box(&sealed), &last, &ours.public_key, &theirs.secret_key).expect("it opens")
        });
    });
}
