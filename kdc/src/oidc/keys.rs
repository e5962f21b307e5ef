//! An issuer's public keys, as its JSON Web Key Set (RFC 7517) has them.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::DecodingKey;
use serde::Deserialize;
use serde_json::Value;

use super::config::{Algorithm, Named};
use super::error::FetchError;

/// The keys of a set that can check a signature. What cannot is left out.
#[derive(Debug)]
pub(super) struct KeySet(Vec<Arc<Key>>);

impl KeySet {
    /// Reads a set; one key that cannot be used does not spoil the others.
    pub(super) fn parse(json: &[u8]) -> Result<Self, FetchError> {
        let set: Set = serde_json::from_slice(json).map_err(|_| FetchError::Keys)?;
        let keys = set.keys.into_iter().filter_map(|key| serde_json::from_value(key).ok());
        Ok(Self(keys.filter_map(|key: Jwk| key.usable()).map(Arc::new).collect()))
    }

    /// The key of this name, if it is one for this algorithm.
    pub(super) fn find(&self, kid: &str, algorithm: Algorithm) -> Option<Arc<Key>> {
        self.0.iter().find(|key| key.kid == kid && key.fits(algorithm)).cloned()
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

/// A public key that checks signatures.
#[derive(Debug)]
pub(super) struct Key {
    kid: String,
    kind: Kind,
    /// The only algorithm that it is for, if the set says so.
    algorithm: Option<Algorithm>,
    public: DecodingKey,
}

impl Key {
    /// Whether the signature of `message` in base64url is this key's.
    pub(super) fn signed(&self, algorithm: Algorithm, message: &str, signature: &str) -> bool {
        self.fits(algorithm)
            && jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.public, algorithm.jwt())
                .unwrap_or(false)
    }

    fn fits(&self, algorithm: Algorithm) -> bool {
        Kind::of(algorithm) == self.kind && self.algorithm.is_none_or(|only| only == algorithm)
    }
}

/// What an algorithm needs of a key. There is none for shared secrets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Rsa,
    P256,
    P384,
    Ed25519,
}

impl Kind {
    const fn of(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::RS256
            | Algorithm::RS384
            | Algorithm::RS512
            | Algorithm::PS256
            | Algorithm::PS384
            | Algorithm::PS512 => Self::Rsa,
            Algorithm::ES256 => Self::P256,
            Algorithm::ES384 => Self::P384,
            Algorithm::EdDSA => Self::Ed25519,
        }
    }
}

#[derive(Deserialize)]
struct Set {
    keys: Vec<Value>,
}

/// One key as it is written.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    kid: Option<String>,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<Named>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

impl Jwk {
    fn usable(self) -> Option<Key> {
        let checks = self.usage.as_ref().is_none_or(|usage| usage == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"));
        let (kind, public) = checks.then(|| self.public()).flatten()?;
        let kid = self.kid.filter(|kid| !kid.is_empty())?;
        // A key for an algorithm that is none of ours is for no other.
        let algorithm = match self.alg {
            Some(named) => Some(named.known()?),
            None => None,
        };
        Some(Key { kid, kind, algorithm, public })
    }

    fn public(&self) -> Option<(Kind, DecodingKey)> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", None) => {
                let (n, e) = (bytes(self.n.as_ref())?, bytes(self.e.as_ref())?);
                RSA_BITS
                    .contains(&bits(&n))
                    .then(|| (Kind::Rsa, DecodingKey::from_rsa_raw_components(&n, &e)))
            }
            ("EC", Some("P-256")) => Some((Kind::P256, self.point(32)?)),
            ("EC", Some("P-384")) => Some((Kind::P384, self.point(48)?)),
            ("OKP", Some("Ed25519")) => {
                let x = bytes(self.x.as_ref()).filter(|x| x.len() == 32)?;
                Some((Kind::Ed25519, DecodingKey::from_ed_der(&x)))
            }
            _ => None,
        }
    }

    /// The point, uncompressed (SEC 1 §2.3.3): `04 || x || y`.
    fn point(&self, length: usize) -> Option<DecodingKey> {
        let coordinate = |text| bytes(text).filter(|bytes: &Vec<u8>| bytes.len() == length);
        let (x, y) = (coordinate(self.x.as_ref())?, coordinate(self.y.as_ref())?);
        Some(DecodingKey::from_ec_der(&[&[4][..], &x, &y].concat()))
    }
}

fn bytes(text: Option<&String>) -> Option<Vec<u8>> {
    URL_SAFE_NO_PAD.decode(text?).ok()
}

/// The length of a number, in bits.
fn bits(number: &[u8]) -> usize {
    let digits = number.iter().skip_while(|byte| **byte == 0);
    let first = digits.clone().next().map_or(0, |byte| byte.leading_zeros() as usize);
    digits.count() * 8 - first
}

/// Below, a key can be broken; above, checking costs too much.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;
