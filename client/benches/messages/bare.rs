//! The limit: ChaCha20-Poly1305 of aws-lc-rs over the body where it lies.

use std::hint::black_box;
use std::time::{Duration, Instant};

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use criterion::Criterion;

pub(crate) fn bench(criterion: &mut Criterion, size: usize) {
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &[7; 32]).expect("32 bytes"));
    let nonce = |number: u64| {
        let mut nonce = [0; 12];
        nonce[4..].copy_from_slice(&number.to_be_bytes());
        Nonce::assume_unique_for_key(nonce)
    };
    let mut body = vec![7; size];
    let mut number = 0;
    criterion.bench_function(&format!("seal {size}/bare"), |bencher| {
        bencher.iter(|| {
            number += 1;
            key.seal_in_place_separate_tag(nonce(number), Aad::empty(), black_box(&mut body)).expect("short")
        });
    });

    criterion.bench_function(&format!("open {size}/bare"), |bencher| {
        bencher.iter_custom(|iterations| {
            let mut spent = Duration::ZERO;
            let mut left = iterations;
            while left > 0 {
                let count = left.min(super::BATCH);
                let seal = |number| {
                    let mut sealed = vec![7; size];
                    key.seal_in_place_append_tag(nonce(number), Aad::empty(), &mut sealed).expect("short");
                    sealed
                };
                let mut sealed: Vec<_> = (0..count).map(seal).collect();
                let start = Instant::now();
                for (number, sealed) in (0..).zip(&mut sealed) {
                    let opened = key.open_in_place(nonce(number), Aad::empty(), black_box(sealed));
                    assert!(black_box(opened).is_ok(), "it opens");
                }
                spent += start.elapsed();
                left -= count;
            }
            spent
        });
    });
}
