//! Runs every published vector in `tests/vectors/published/` through the code that the protocol uses.
//!
//! The counts below are exact: a vector that is dropped, skipped or added without being looked at fails here.

mod ed25519;
mod xwing;

use std::fs;
use std::path::PathBuf;

use chacha20::R20;
use hkdf::Hkdf;
use hmac::{Hmac, KeyInit, Mac};
use serde::Deserialize;
use sha2::Sha256;

use crate::aead::{Backend, Rfc8439, XSubkey};
use crate::{derive, key};

/// What became of the vectors of one file.
#[derive(Debug, Default, PartialEq, Eq)]
struct Counts {
    /// Ours did what the vector says.
    accepted: usize,
    /// The vector is invalid, and ours refused it.
    refused: usize,
    /// Keys, nonces, tags, signatures or outputs of a length that our types do not have: where that is no reason to be
    /// refused, run against the crate beneath them instead.
    not_expressible: usize,
}

/// Takes a file's text through the code under test.
type Runner = fn(&str) -> Counts;

/// Every file, how to run it, and what must come out.
const FILES: [(&str, Runner, Counts); 13] = [
    ("cctv-ed25519.json", ed25519::points, counts(43, 871, 0)),
    ("rfc4231.json", hmac, counts(0, 0, 7)),
    ("rfc5869.json", hkdf, counts(3, 0, 0)),
    ("rfc8032.json", ed25519::sign, counts(4, 0, 0)),
    ("rfc8439.json", aead::<Rfc>, counts(2, 0, 0)),
    ("wycheproof-chacha20-poly1305.json", aead::<Rfc>, counts(256, 60, 9)),
    ("wycheproof-ed25519.json", ed25519::verify, counts(88, 51, 12)),
    ("wycheproof-hkdf-sha256.json", hkdf, counts(83, 0, 3)),
    ("wycheproof-hmac-sha256.json", hmac, counts(27, 54, 93)),
    ("wycheproof-xchacha20-poly1305.json", aead::<X>, counts(246, 60, 9)),
    ("x-wing.json", xwing::exchange, counts(3, 0, 0)),
    ("xchacha-aead.json", aead::<X>, counts(1, 0, 0)),
    ("xchacha-hchacha20.json", hchacha20, counts(1, 0, 0)),
];

const fn counts(accepted: usize, refused: usize, not_expressible: usize) -> Counts {
    Counts { accepted, refused, not_expressible }
}

#[test]
fn every_published_vector_holds() {
    for (file, run, expected) in FILES {
        let text = fs::read_to_string(folder().join(file)).unwrap_or_else(|e| panic!("{file}: {e}"));
        assert_eq!(run(&text), expected, "{file}");
    }
}

#[test]
fn every_file_has_a_runner() {
    let mut found: Vec<String> = fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .filter(|name| name != "README.md")
        .collect();
    found.sort();
    assert_eq!(found, FILES.map(|(file, ..)| file));
}

fn folder() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/vectors/published"))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File<V> {
    #[serde(rename = "source")]
    _source: String,
    #[serde(rename = "kind")]
    _kind: String,
    vectors: Vec<V>,
}

fn vectors<'a, V: Deserialize<'a>>(text: &'a str) -> Vec<V> {
    serde_json::from_str::<File<V>>(text).unwrap().vectors
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AeadVector {
    id: String,
    key: Hex,
    nonce: Hex,
    aad: Hex,
    plaintext: Hex,
    sealed: Hex,
    valid: bool,
}

/// RFC 8439 or its extended-nonce form, through the back end that this build uses.
trait Cipher {
    const NONCE: usize;

    fn seal(v: &AeadVector) -> Vec<u8>;
    fn open(v: &AeadVector, sealed: &[u8]) -> Option<Vec<u8>>;
}

struct Rfc;
struct X;

impl Cipher for Rfc {
    const NONCE: usize = 12;

    fn seal(v: &AeadVector) -> Vec<u8> {
        let mut bytes = v.plaintext.0.clone();
        let tag = Backend::new(&v.key.array()).seal(v.nonce.array(), &v.aad.0, &mut bytes);
        [&bytes[..], &tag].concat()
    }

    fn open(v: &AeadVector, sealed: &[u8]) -> Option<Vec<u8>> {
        let mut bytes = sealed.to_vec();
        let opened = Backend::new(&v.key.array()).open(v.nonce.array(), &v.aad.0, &mut bytes);
        opened.ok().map(|plain| plain.to_vec())
    }
}

impl Cipher for X {
    const NONCE: usize = 24;

    fn seal(v: &AeadVector) -> Vec<u8> {
        let (subkey, tail) = subkey(v);
        let mut bytes = v.plaintext.0.clone();
        let tag = subkey.seal(tail, &v.aad.0, &mut bytes);
        [&bytes[..], &tag].concat()
    }

    fn open(v: &AeadVector, sealed: &[u8]) -> Option<Vec<u8>> {
        let (subkey, tail) = subkey(v);
        let mut bytes = sealed.to_vec();
        subkey.open(tail, &v.aad.0, &mut bytes).ok().map(|plain| plain.to_vec())
    }
}

fn subkey(v: &AeadVector) -> (XSubkey<Backend>, [u8; 8]) {
    let nonce: [u8; 24] = v.nonce.array();
    let (salt, tail) = nonce.split_at(16);
    (XSubkey::new(&v.key.array(), salt.try_into().unwrap()), tail.try_into().unwrap())
}

fn aead<C: Cipher>(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<AeadVector>(text) {
        if v.nonce.0.len() != C::NONCE {
            assert!(!v.valid, "{}", v.id);
            counts.not_expressible += 1;
            continue;
        }
        let opened = C::open(&v, &v.sealed.0);
        if !v.valid {
            assert_eq!(opened, None, "{} must be refused", v.id);
            counts.refused += 1;
            continue;
        }
        assert_eq!(C::seal(&v), v.sealed.0, "{}", v.id);
        assert_eq!(opened.as_ref(), Some(&v.plaintext.0), "{}", v.id);
        for at in 0..v.sealed.0.len() {
            let mut changed = v.sealed.0.clone();
            changed[at] ^= 1;
            assert_eq!(C::open(&v, &changed), None, "{} with byte {at} changed", v.id);
        }
        counts.accepted += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HChaChaVector {
    id: String,
    key: Hex,
    input: Hex,
    subkey: Hex,
}

fn hchacha20(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<HChaChaVector>(text) {
        let (key, input): ([u8; 32], [u8; 16]) = (v.key.array(), v.input.array());
        let subkey = chacha20::hchacha::<R20>(&key.into(), &input.into());
        assert_eq!(subkey.as_slice(), v.subkey.0, "{}", v.id);
        counts.accepted += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HkdfVector {
    id: String,
    ikm: Hex,
    salt: Hex,
    info: Hex,
    prk: Option<Hex>,
    /// How many bytes are asked for, where it is not what `okm` has.
    size: Option<usize>,
    okm: Hex,
    #[serde(default = "yes")]
    valid: bool,
}

const fn yes() -> bool {
    true
}

/// Extract is the crate's, since the protocol never extracts; expand is ours.
fn hkdf(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<HkdfVector>(text) {
        let prk: [u8; 32] = Hkdf::<Sha256>::extract(Some(&v.salt.0), &v.ikm.0).0.into();
        if let Some(published) = &v.prk {
            assert_eq!(prk.as_slice(), published.0, "{}", v.id);
        }
        let mut okm = vec![0; v.size.unwrap_or(v.okm.0.len())];
        if !v.valid {
            let asked = Hkdf::<Sha256>::from_prk(&prk).unwrap().expand(&v.info.0, &mut okm);
            assert!(asked.is_err(), "{} must be refused", v.id);
            counts.not_expressible += 1;
            continue;
        }
        derive::expand(&prk, &[&v.info.0], &mut okm);
        assert_eq!(okm, v.okm.0, "{}", v.id);
        // Two parts are as good as the whole: a SEK's info comes in five (docs/protocol.md §5).
        let (first, last) = v.info.0.split_at(v.info.0.len() / 2);
        derive::expand(&prk, &[first, last], &mut okm);
        assert_eq!(okm, v.okm.0, "{} in two parts", v.id);
        counts.accepted += 1;
    }
    counts
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HmacVector {
    id: String,
    key: Hex,
    message: Hex,
    tag: Hex,
    #[serde(default = "yes")]
    valid: bool,
}

fn hmac(text: &str) -> Counts {
    let mut counts = Counts::default();
    for v in vectors::<HmacVector>(text) {
        let ours: Option<[u8; 32]> = v.key.0.as_slice().try_into().ok();
        let mac = || match &ours {
            Some(key) => key::mac(key, &[&v.message.0]),
            None => {
                let mut mac = Hmac::<Sha256>::new_from_slice(&v.key.0).unwrap();
                mac.update(&v.message.0);
                mac
            }
        };
        *match (ours.is_some() && v.tag.0.len() == 32, v.valid) {
            (true, true) => &mut counts.accepted,
            (true, false) => &mut counts.refused,
            (false, _) => &mut counts.not_expressible,
        } += 1;
        assert_eq!(mac().verify_truncated_left(&v.tag.0).is_ok(), v.valid, "{}", v.id);
        if !v.valid {
            continue;
        }
        for at in 0..v.tag.0.len() {
            let mut changed = v.tag.0.clone();
            changed[at] ^= 1;
            assert!(mac().verify_truncated_left(&changed).is_err(), "{} with byte {at} changed", v.id);
        }
    }
    counts
}

/// Bytes written as hexadecimal digits.
struct Hex(Vec<u8>);

impl Hex {
    /// The bytes as a key, nonce or input of the length that the code under test takes.
    fn array<const N: usize>(&self) -> [u8; N] {
        self.0.as_slice().try_into().unwrap_or_else(|_| panic!("{} bytes, not {N}", self.0.len()))
    }
}

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = <&str>::deserialize(deserializer)?;
        if !digits.len().is_multiple_of(2) || !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(serde::de::Error::custom("not pairs of hexadecimal digits"));
        }
        let bytes =
            (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap());
        Ok(Self(bytes.collect()))
    }
}
