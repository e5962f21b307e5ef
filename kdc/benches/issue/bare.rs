//! The cryptography of one ticket and its reply, and nothing else.

use std::hint::black_box;

use aws_lc_rs::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use chacha20::R20;
use criterion::Criterion;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand_core::Rng as _;
use sha2::Sha256;

/// The metadata of a request, that of its reply, and one record.
const REQUEST: usize = 310;
const REPLY: usize = 330;
const RECORD: usize = 211;

pub(crate) fn bench(criterion: &mut Criterion) {
    criterion.bench_function("tickets 1/bare", |bencher| bencher.iter(ticket));
}

fn ticket() {
    let mut mac = Hmac::<Sha256>::new_from_slice(black_box(&[1; 32])).expect("any length");
    mac.update(black_box(&[2; REQUEST]));
    black_box(mac.verify(&[3; 32].into()).is_ok());

    let mut random = [0; 32 + 24 + 4 + 24];
    keycell_kdc::random::system().fill_bytes(&mut random);
    let (rkey, nonces) = random.split_at(32);

    let mut record = [0; RECORD];
    for sek in [1..65, 65..129] {
        let hkdf = Hkdf::<Sha256>::from_prk(rkey).expect("32 bytes");
        hkdf.expand(black_box(&[4; 70]), &mut record[sek]).expect("64 bytes");
    }
    seal(&nonces[..24], &[5; 10], &mut record[163..195]);
    seal(&nonces[28..52], &[6; REPLY], &mut record);
    black_box(record);
}

/// XChaCha20-Poly1305, on the back end that the KDC uses.
fn seal(nonce: &[u8], aad: &[u8], in_out: &mut [u8]) {
    let (salt, tail) = nonce.split_first_chunk::<16>().expect("24 bytes");
    let subkey = chacha20::hchacha::<R20>(black_box(&[7; 32]).into(), salt.into());
    let key = LessSafeKey::new(UnboundKey::new(&CHACHA20_POLY1305, &subkey).expect("32 bytes"));
    let mut nonce = [0; 12];
    nonce[4..].copy_from_slice(tail);
    let nonce = Nonce::assume_unique_for_key(nonce);
    let _ = black_box(key.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out).expect("short"));
}
