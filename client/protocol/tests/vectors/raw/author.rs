//! §8.4 and §9

use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _};
use ed25519_dalek::{Signer as _, SigningKey};
use sha2::{Digest as _, Sha256};

use super::{A, Message, NOW, base64url, bytes, reply_with, seal, signed_for, sub};
use crate::format::Key;
use crate::format::author::{VoucherRequest, ZoneSigners};

/// The signing key of somebody: a party's, or a KDC identity's.
pub(crate) fn signing(who: &str) -> SigningKey {
    SigningKey::from_bytes(&bytes(&format!("signing key of {who}")))
}

pub(crate) fn public(who: &str) -> [u8; 32] {
    signing(who).verifying_key().to_bytes()
}

/// The identity of the zone's KDC that vouches.
pub(crate) const KDC: &str = "#KDC#00001@cell.example";

pub(crate) fn sign(who: &str, context: &str, message: &[u8]) -> [u8; 64] {
    signing(who).sign(&[context.as_bytes(), b"\0", message].concat()).to_bytes()
}

fn prefixed(bytes: &[u8]) -> Vec<u8> {
    [&[bytes.len().try_into().unwrap()], bytes].concat()
}

/// A voucher field by field, so that each can be wrong.
#[derive(Clone)]
pub(crate) struct Voucher {
    pub(crate) magic: [u8; 4],
    pub(crate) signer: [u8; 8],
    pub(crate) not_before: u64,
    pub(crate) not_after: u64,
    pub(crate) name: Vec<u8>,
    pub(crate) public_key: [u8; 32],
}

impl Voucher {
    /// For `name` and its signing key, when nothing is wrong.
    pub(crate) fn of(name: &str) -> Self {
        Self {
            magic: *b"KCV1",
            signer: signer_id(&public(KDC)),
            not_before: NOW / 1000 - 3_600,
            not_after: NOW / 1000 + 82_800,
            name: name.into(),
            public_key: public(name),
        }
    }

    pub(crate) fn unsigned(&self) -> Vec<u8> {
        let mut out = [&self.magic[..], &self.signer].concat();
        out.extend(self.not_before.to_be_bytes());
        out.extend(self.not_after.to_be_bytes());
        out.extend(prefixed(&self.name));
        out.extend(self.public_key);
        out
    }

    pub(crate) fn write(&self) -> Vec<u8> {
        self.write_by(KDC)
    }

    pub(crate) fn write_by(&self, who: &str) -> Vec<u8> {
        let unsigned = self.unsigned();
        [&unsigned[..], &sign(who, "keycell/1 voucher", &unsigned)].concat()
    }
}

/// The first 8 bytes of the key's SHA-256.
pub(crate) fn signer_id(public: &[u8; 32]) -> [u8; 8] {
    *Sha256::digest(public).first_chunk().unwrap()
}

/// §9.1: what stands before the body.
pub(crate) fn block(voucher: &[u8], signature: &[u8; 64]) -> Vec<u8> {
    let length: u16 = voucher.len().try_into().unwrap();
    [&length.to_be_bytes()[..], voucher, signature].concat()
}

/// The plaintext of `message` with a proof that `who` wrote it.
pub(crate) fn authored(message: &Message, who: &str, voucher: &[u8]) -> Vec<u8> {
    let signature = sign(who, "keycell/1 author", &[&message.header()[..], &message.body].concat());
    [&block(voucher, &signature)[..], &message.body].concat()
}

/// §9.2
pub(crate) fn possession(who: &str, name: &str, nonce: &[u8], public_key: &[u8; 32]) -> [u8; 64] {
    sign(who, "keycell/1 author key", &[&prefixed(name.as_bytes())[..], nonce, public_key].concat())
}

pub(crate) fn signed(name: &str, key: &Key, metadata: &str) -> String {
    signed_for("voucher request", name, key, metadata)
}

pub(crate) fn asked() -> VoucherRequest {
    let nonce = bytes::<16>("nonce of a voucher");
    VoucherRequest {
        source: A.to_owned(),
        public_key: public(A).into(),
        proof: possession(A, A, &nonce, &public(A)).into(),
        timestamp: NOW,
        nonce: nonce.into(),
        instance: bytes::<16>("instance").into(),
    }
}

pub(crate) fn request(request: &VoucherRequest) -> String {
    let VoucherRequest { source, public_key, proof, timestamp, nonce, instance } = request;
    let [public_key, proof, nonce, instance] =
        [public_key, proof, nonce, instance].map(|bytes| base64url(&bytes.0));
    format!(
        r#"{{"source":"{source}","public_key":"{public_key}","proof":"{proof}","timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

pub(crate) fn reply(request: &VoucherRequest, renew_after: u64, signers: &[[u8; 32]]) -> String {
    let (source, nonce) = (&request.source, base64url(&request.nonce.0));
    let signers = super::json_list(&signers.iter().map(base64url).collect::<Vec<_>>());
    format!(
        r#"{{"source":"{source}","nonce":"{nonce}","server_time":{},"renew_after":{renew_after},"signers":{signers}}}"#,
        NOW + 40
    )
}

/// An answer's metadata, with the signing keys of other zones' KDCs put behind `signers`.
pub(crate) fn trusting(metadata: &str, trusted: &[ZoneSigners]) -> String {
    let zone = |ZoneSigners { zone, signers }: &ZoneSigners| {
        let signers: Vec<_> = signers.iter().map(|key| base64url(&key.0)).collect();
        format!(r#"{{"zone":"{zone}","signers":{}}}"#, super::json_list(&signers))
    };
    let zones: Vec<_> = trusted.iter().map(zone).collect();
    let (head, tail) = metadata.split_once(r#""signers":["#).unwrap();
    let (signers, tail) = tail.split_once(']').unwrap();
    format!(r#"{head}"signers":[{signers}],"trusted":[{}]{tail}"#, zones.join(","))
}

/// A zone with so many signing keys.
pub(crate) fn zone_signers(zone: &str, count: usize) -> ZoneSigners {
    let who = (0..count).map(|at| format!("#KDC#{:05}@{zone}", at + 1));
    ZoneSigners { zone: zone.to_owned(), signers: who.map(|who| public(&who).into()).collect() }
}

/// What an answer must not say of the zones that are trusted, and why.
pub(crate) fn not_trusted() -> Vec<(&'static str, Vec<ZoneSigners>)> {
    let one = |zone: &str| zone_signers(zone, 1);
    vec![
        (
            "signers of its own zone among those that are trusted",
            vec![one("other.example"), one("cell.example")],
        ),
        ("a zone that is trusted twice", vec![one("other.example"), zone_signers("other.example", 2)]),
        ("a zone that is trusted, without signers", vec![zone_signers("other.example", 0)]),
        ("a zone that is trusted, with nine signers", vec![zone_signers("other.example", 9)]),
        ("257 zones that are trusted", (0..257).map(|at| one(&format!("z{at}.example"))).collect()),
        ("a trusted zone whose name is none", vec![one("Other.example")]),
    ]
}

/// The JSON of the answer, sealed for the holder of `key`.
pub(crate) fn sealed(key: &Key, nonce: &[u8; 24], metadata: &str, voucher: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(&sub(&key.secret.0, "voucher reply"), nonce, m.as_bytes(), voucher);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}

/// §9.3
pub(crate) fn evidence(header: &[u8], block: &[u8], body: &[u8], common: &[u8]) -> Vec<u8> {
    let long = |bytes: &[u8]| [&u32::try_from(bytes.len()).unwrap().to_be_bytes()[..], bytes].concat();
    [b"KCE1", &long(header)[..], block, &long(body), common].concat()
}

/// §8.4: the common body under a content key.
pub(crate) fn common(key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    common_as(*b"KCB1", &sub(key, "content commitment"), &sub(key, "content key"), body)
}

pub(crate) fn common_as(magic: [u8; 4], commitment: &[u8; 32], key: &[u8; 32], body: &[u8]) -> Vec<u8> {
    let head = [&magic[..], commitment].concat();
    let payload = Payload { msg: body, aad: &head };
    let text = ChaCha20Poly1305::new(key.into()).encrypt(&[0; 12].into(), payload).unwrap();
    [head, text].concat()
}

/// §8.4: what each recipient is sent beside it.
pub(crate) fn part(key: &[u8; 32], common: &[u8]) -> Vec<u8> {
    [key, &Sha256::digest(common)[..]].concat()
}
