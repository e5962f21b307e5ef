//! §10.2–10.4, and HPKE (RFC 9180) with X-Wing beneath it

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use ed25519_dalek::{Signer as _, SigningKey};
use hkdf::Hkdf;
use ml_kem::{B32, EncapsulateDeterministic as _, Encoded, EncodedSizeUser as _, KemCore as _, MlKem768};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use sha3::Sha3_256;
use sha3::digest::{Digest as _, ExtendableOutput as _, Update as _, XofReader as _};

use super::{base64url, bundle, bytes, expand, reply_with, seal};
use crate::format::enrollment::{Answer, Asked, Enrolled, Enrolling};

/// The seed of an identity's encryption key.
pub(crate) fn identity_seed(identity: &str, zone: &str) -> [u8; 32] {
    bytes(&format!("encryption seed of {identity}@{zone}"))
}

/// The public half of an X-Wing key: ML-KEM's and X25519's.
pub(crate) fn public(seed: &[u8; 32]) -> Vec<u8> {
    let mut expanded = [0; 96];
    let mut hash = sha3::Shake256::default();
    hash.update(seed);
    hash.finalize_xof().read(&mut expanded);
    let (d, z) = (B32::try_from(&expanded[..32]).unwrap(), B32::try_from(&expanded[32..64]).unwrap());
    let (_, ml_kem) = MlKem768::generate_deterministic(&d, &z);
    let x25519 = x25519(expanded[64..].try_into().unwrap(), BASE);
    [&ml_kem.as_bytes()[..], &x25519].concat()
}

/// What X-Wing makes out of 64 bytes of randomness.
pub(crate) struct Encapsulation {
    pub(crate) ciphertext: Vec<u8>,
    pub(crate) ml_kem: [u8; 32],
    pub(crate) x25519: [u8; 32],
    pub(crate) to: [u8; 32],
}

impl Encapsulation {
    pub(crate) fn new(public: &[u8], eseed: &[u8; 64]) -> Self {
        let (ml_kem, to) = public.split_at(1184);
        let (message, ephemeral) = eseed.split_first_chunk::<32>().unwrap();
        let key = Encoded::<<MlKem768 as ml_kem::KemCore>::EncapsulationKey>::try_from(ml_kem).unwrap();
        let key = <MlKem768 as ml_kem::KemCore>::EncapsulationKey::from_bytes(&key);
        let (sent, shared) = key.encapsulate_deterministic(&(*message).into()).unwrap();
        let (ephemeral, to) = (ephemeral.try_into().unwrap(), to.try_into().unwrap());
        Self {
            ciphertext: [&sent[..], &x25519(ephemeral, BASE)].concat(),
            ml_kem: shared[..].try_into().unwrap(),
            x25519: x25519(ephemeral, to),
            to,
        }
    }

    /// `SHA3-256(ss_M ‖ ss_X ‖ ct_X ‖ pk_X ‖ label)`
    pub(crate) fn secret(&self) -> [u8; 32] {
        let Self { ciphertext, ml_kem, x25519, to } = self;
        Self::hashed(&[ml_kem, x25519, &ciphertext[1088..], to, LABEL])
    }

    pub(crate) fn hashed(parts: &[&[u8]]) -> [u8; 32] {
        Sha3_256::digest(parts.concat()).into()
    }
}

pub(crate) const LABEL: &[u8] = br"\.//^\";
const BASE: [u8; 32] = x25519_dalek::X25519_BASEPOINT_BYTES;

fn x25519(scalar: [u8; 32], point: [u8; 32]) -> [u8; 32] {
    x25519_dalek::x25519(scalar, point)
}

/// What both ends of HPKE know.
pub(crate) struct Context {
    key: [u8; 32],
    nonce: [u8; 12],
    exporter: [u8; 32],
}

impl Context {
    /// RFC 9180 §5.1, base mode.
    pub(crate) fn new(shared: &[u8; 32], info: &[u8]) -> Self {
        let context =
            [&[0][..], &extract(b"", "psk_id_hash", b""), &extract(b"", "info_hash", info)].concat();
        let secret = extract(shared, "secret", b"");
        Self {
            key: labeled(&secret, "key", &context),
            nonce: labeled(&secret, "base_nonce", &context),
            exporter: labeled(&secret, "exp", &context),
        }
    }

    /// The message of this number; only the first one is ever sent.
    pub(crate) fn seal(&self, number: u8, aad: &[u8], msg: &[u8]) -> Vec<u8> {
        let mut nonce = self.nonce;
        nonce[11] ^= number;
        ChaCha20Poly1305::new(&self.key.into()).encrypt(&nonce.into(), Payload { msg, aad }).unwrap()
    }

    pub(crate) fn export(&self, context: &str) -> [u8; 32] {
        labeled(&self.exporter, "sec", context.as_bytes())
    }
}

/// X-Wing, HKDF-SHA256, ChaCha20Poly1305
const SUITE: &[u8] = b"HPKE\x64\x7a\x00\x01\x00\x03";

fn extract(salt: &[u8], label: &str, input: &[u8]) -> [u8; 32] {
    let input = [&b"HPKE-v1"[..], SUITE, label.as_bytes(), input].concat();
    Hkdf::<Sha256>::extract(Some(salt), &input).0.into()
}

fn labeled<const N: usize>(secret: &[u8; 32], label: &str, info: &[u8]) -> [u8; N] {
    let length = u16::try_from(N).unwrap().to_be_bytes();
    expand(secret, &[&length[..], b"HPKE-v1", SUITE, label.as_bytes(), info].concat())
}

/// A request part by part, so that each can be wrong.
#[derive(Clone)]
pub(crate) struct Enrollment {
    pub(crate) zone: String,
    pub(crate) identity: String,
    pub(crate) identity_seed: [u8; 32],
    pub(crate) host_seed: [u8; 32],
    pub(crate) eseed: [u8; 64],
    pub(crate) info: Vec<u8>,
    pub(crate) json: Vec<u8>,
}

impl Enrollment {
    /// When nothing is wrong.
    pub(crate) fn of(request: &Asked, host_seed: [u8; 32], eseed: [u8; 64]) -> Self {
        let Asked { zone, identity, .. } = request;
        Self {
            zone: zone.clone(),
            identity: identity.clone(),
            identity_seed: identity_seed(identity, zone),
            host_seed,
            eseed,
            info: info(zone, identity),
            json: content(request, &key(&host_seed)).into(),
        }
    }

    pub(crate) fn encapsulation(&self) -> Encapsulation {
        Encapsulation::new(&public(&self.identity_seed), &self.eseed)
    }

    pub(crate) fn context(&self) -> Context {
        Context::new(&self.encapsulation().secret(), &self.info)
    }

    /// What the host signs.
    pub(crate) fn signed(&self) -> Vec<u8> {
        let Self { zone, identity, json, .. } = self;
        [&info(zone, identity), &b"\0"[..], &self.encapsulation().ciphertext, json].concat()
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.host_seed).sign(message).to_bytes()
    }

    pub(crate) fn plaintext(&self) -> Vec<u8> {
        [&self.sign(&self.signed())[..], &self.json].concat()
    }

    pub(crate) fn write(&self) -> String {
        self.write_with(&self.plaintext())
    }

    pub(crate) fn write_with(&self, plaintext: &[u8]) -> String {
        self.form(&self.encapsulation().ciphertext, &self.context().seal(0, b"", plaintext))
    }

    pub(crate) fn form(&self, encapsulated: &[u8], sealed: &[u8]) -> String {
        let (encapsulated, sealed) = (base64url(encapsulated), base64url(sealed));
        let (zone, identity) = (json!(self.zone), json!(self.identity));
        format!(
            r#"{{"zone":{zone},"identity":{identity},"encapsulated":"{encapsulated}","sealed":"{sealed}"}}"#
        )
    }

    /// What comes out of it where it was written as `body`.
    pub(crate) fn enrolling(&self, request: &Asked, body: &[u8]) -> Enrolling {
        let (context, public_key) = (self.context(), key(&self.host_seed));
        Enrolling {
            request: request.clone(),
            name: name(request, &public_key),
            public_key: public_key.into(),
            digest: Sha256::digest(body)[..].into(),
            shared_secret: self.encapsulation().secret().into(),
            long_term_key: context.export("keycell/1 enrollment key").into(),
            reply_key: context.export("keycell/1 enrollment reply").into(),
        }
    }

    pub(crate) fn reply_key(&self) -> [u8; 32] {
        self.context().export("keycell/1 enrollment reply")
    }
}

/// The public half of a host's key.
pub(crate) fn key(seed: &[u8; 32]) -> [u8; 32] {
    SigningKey::from_bytes(seed).verifying_key().to_bytes()
}

pub(crate) fn info(zone: &str, identity: &str) -> Vec<u8> {
    format!("keycell/1 enrollment\0{zone}\0{identity}").into()
}

pub(crate) fn fingerprint(public_key: &[u8; 32]) -> String {
    Sha256::digest(public_key)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn name(request: &Asked, public_key: &[u8; 32]) -> String {
    let Asked { zone, service, host, .. } = request;
    format!("{service}.{host}::{}@{zone}", fingerprint(public_key))
}

/// The JSON that a host signs.
pub(crate) fn content(request: &Asked, public_key: &[u8; 32]) -> String {
    let Asked { service, host, token, timestamp, nonce, instance, .. } = request;
    let token = token.as_ref().map(|token| format!(r#""token":"{token}","#)).unwrap_or_default();
    let (public_key, nonce, instance) = (base64url(public_key), base64url(&nonce.0), base64url(&instance.0));
    format!(
        r#"{{"service":"{service}","host":"{host}","public_key":"{public_key}",{token}"timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

/// §10.3
pub(crate) fn token(id: &[u8; 8], secret: &[u8]) -> String {
    let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("kcj_{id}_{}", base64url(secret))
}

pub(crate) fn verifier(id: &[u8; 8], secret: &[u8; 32]) -> [u8; 32] {
    Sha256::digest([b"keycell/1 join token\0", &id[..], secret].concat()).into()
}

/// §10.4: what is sealed for the host.
pub(crate) fn reply_metadata(nonce: &[u8], answer: &Answer) -> String {
    let nonce = base64url(nonce);
    match answer {
        Answer::Pending { server_time, retry_after } => format!(
            r#"{{"nonce":"{nonce}","server_time":{server_time},"status":"pending","retry_after":{retry_after}}}"#
        ),
        Answer::Enrolled(enrolled) => {
            let Enrolled { server_time, name, generation, epoch, state, ratchet_period, bundle } = enrolled;
            let bundle = bundle::bundle(bundle);
            format!(
                r#"{{"nonce":"{nonce}","server_time":{server_time},"status":"enrolled","name":"{name}","generation":{generation},"epoch":{epoch},"state":"{state}","ratchet_period":{ratchet_period},"bundle":{bundle}}}"#
            )
        }
    }
}

pub(crate) fn sealed_reply(key: &[u8; 32], nonce: &[u8; 24], metadata: &str, secret: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(key, nonce, m.as_bytes(), secret);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}
