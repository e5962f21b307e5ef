//! Issuers on a fake clock, with a table in place of the network.

mod keys;
mod mangled;
mod rotation;
mod tokens;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
    RSA_PKCS1_SHA512, RSA_PSS_SHA256, RsaKeyPair,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::UnixMillis;
use reqwest::Url;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

use super::fetch::{Document, Fetch};
use super::{FetchError, Identity, IssuerConfig, Issuers, OidcError};
use crate::token::Role;

const NOW: UnixMillis = UnixMillis(1_766_000_000_000);
const ISSUER: &str = "https://id.example.com/realms/a";

/// An issuer's private key.
enum Signer {
    Rsa(Box<RsaKeyPair>),
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    fn rsa() -> Self {
        Self::Rsa(Box::new(RsaKeyPair::generate(aws_lc_rs::rsa::KeySize::Rsa2048).unwrap()))
    }

    fn p256() -> Self {
        Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    fn ed25519() -> Self {
        Self::Ed25519(Ed25519KeyPair::generate().unwrap())
    }

    /// The public key as an attacker has it, to be used as a secret.
    fn public(&self) -> Vec<u8> {
        match self {
            Self::Rsa(pair) => pair.public_key().as_ref().to_vec(),
            Self::P256(pair) => pair.public_key().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.public_key().as_ref().to_vec(),
        }
    }

    fn jwk(&self, kid: &str) -> Value {
        let public = self.public();
        let mut key = match self {
            // RFC 8017 A.1.1: a sequence of the modulus, here of 2048 bits behind a zero, and the exponent 65537.
            Self::Rsa(_) => json!({ "kty": "RSA", "n": encode(&public[9..265]), "e": "AQAB" }),
            Self::P256(_) => {
                json!({ "kty": "EC", "crv": "P-256", "x": encode(&public[1..33]), "y": encode(&public[33..]) })
            }
            Self::Ed25519(_) => json!({ "kty": "OKP", "crv": "Ed25519", "x": encode(&public) }),
        };
        key["kid"] = json!(kid);
        key
    }

    /// A token, signed as its header says if this key can, and otherwise as it can.
    fn token(&self, header: &Value, claims: &Value) -> String {
        let message = message(header, claims);
        let (random, bytes) = (SystemRandom::new(), message.as_bytes());
        let signature = match self {
            Self::Rsa(pair) => {
                let mut signature = vec![0; 256];
                let algorithm: &'static dyn aws_lc_rs::signature::RsaEncoding = match header["alg"].as_str() {
                    Some("PS256") => &RSA_PSS_SHA256,
                    Some("RS512") => &RSA_PKCS1_SHA512,
                    _ => &RSA_PKCS1_SHA256,
                };
                pair.sign(algorithm, &random, bytes, &mut signature).unwrap();
                signature
            }
            Self::P256(pair) => pair.sign(&random, bytes).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(bytes).as_ref().to_vec(),
        };
        format!("{message}.{}", encode(&signature))
    }
}

fn message(header: &Value, claims: &Value) -> String {
    format!("{}.{}", encode(header.to_string()), encode(claims.to_string()))
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn header(alg: &str, kid: &str) -> Value {
    json!({ "typ": "JWT", "alg": alg, "kid": kid })
}

fn claims() -> Value {
    let now = NOW.seconds().0;
    json!({
        "iss": ISSUER, "aud": "keycell", "sub": "alice", "groups": ["keycell-admins", "staff"],
        "iat": now, "nbf": now, "exp": now + 600, "jti": "t1",
    })
}

fn with(name: &str, value: Value) -> Value {
    let mut claims = claims();
    claims[name] = value;
    claims
}

fn without(name: &str) -> Value {
    let mut claims = claims();
    claims.as_object_mut().unwrap().remove(name);
    claims
}

fn config() -> IssuerConfig {
    IssuerConfig {
        issuer: ISSUER.to_owned(),
        audience: "keycell".to_owned(),
        authorized_parties: vec!["keycell-cli".to_owned()],
        subject_claim: "sub".parse().unwrap(),
        role_claim: "groups".parse().unwrap(),
        roles: BTreeMap::from([
            ("keycell-admins".to_owned(), Role::Admin),
            ("keycell-auditors".to_owned(), Role::Auditor),
        ]),
        roots: None,
        algorithms: super::Algorithm::all(),
        clock_leeway_seconds: 30,
    }
}

/// What an issuer publishes, and how often it was asked.
struct Site {
    discovery: Mutex<Value>,
    keys: Mutex<Value>,
    keep: Mutex<Option<u64>>,
    /// Taken while an answer is given: with none of them the issuer does not answer.
    answers: Semaphore,
    away: Mutex<bool>,
    asked: AtomicUsize,
}

impl Site {
    fn new(keys: &[Value]) -> Arc<Self> {
        Arc::new(Self {
            discovery: Mutex::new(json!({ "issuer": ISSUER, "jwks_uri": format!("{ISSUER}/keys") })),
            keys: Mutex::new(json!({ "keys": keys })),
            keep: Mutex::new(None),
            answers: Semaphore::new(1),
            away: Mutex::new(false),
            asked: AtomicUsize::new(0),
        })
    }

    fn publish(&self, keys: &[Value]) {
        *self.keys.lock().unwrap() = json!({ "keys": keys });
    }

    fn go_away(&self, away: bool) {
        *self.away.lock().unwrap() = away;
    }

    /// How often its keys, or itself, were asked for.
    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn issuers(self: &Arc<Self>, config: IssuerConfig) -> Issuers {
        self.patient(config, Duration::from_secs(60))
    }

    fn patient(self: &Arc<Self>, config: IssuerConfig, patience: Duration) -> Issuers {
        Issuers::over(&[config], patience, |_| Ok(Box::new(Wire(self.clone())))).unwrap()
    }

    fn answer(&self, url: &Url) -> Result<Document, FetchError> {
        if *self.away.lock().unwrap() {
            return Err(FetchError::Status { url: url.to_string(), status: 502 });
        }
        let keep = self.keep.lock().unwrap().map(Duration::from_secs);
        let body = if url.path().ends_with("/.well-known/openid-configuration") {
            self.discovery.lock().unwrap().to_string()
        } else {
            self.keys.lock().unwrap().to_string()
        };
        Ok(Document { body: body.into_bytes(), keep })
    }
}

struct Wire(Arc<Site>);

#[async_trait]
impl Fetch for Wire {
    async fn get(&self, url: &Url) -> Result<Document, FetchError> {
        if url.path().ends_with("/.well-known/openid-configuration") {
            self.0.asked.fetch_add(1, Ordering::SeqCst);
        }
        let _answer = self.0.answers.acquire().await.unwrap();
        self.0.answer(url)
    }
}

/// Checks one token with an issuer of its own that has these keys.
async fn check(keys: &[Value], config: IssuerConfig, token: &str) -> Result<Identity, OidcError> {
    Site::new(keys).issuers(config).check(token, NOW).await
}
