//! docs/protocol.md once more, with plain primitives and without the crate under test.

pub(crate) mod author;
pub(crate) mod bundle;
pub(crate) mod enrollment;
pub(crate) mod group;
pub(crate) mod trust;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use chacha20poly1305::aead::{Aead as _, Payload};
use chacha20poly1305::{KeyInit as _, XChaCha20Poly1305};
use hkdf::Hkdf;
use hmac::{Hmac, Mac as _};
use sha2::{Digest as _, Sha256};

use crate::format::{Granted, Hex, Key, Request, Rotation};

/// Bytes that look random and are the same in every run: SHA-256 of what they are for.
pub(crate) fn bytes<const N: usize>(what: &str) -> [u8; N] {
    let hash = Sha256::digest(format!("keycell vectors: {what}"));
    hash[..N].try_into().unwrap()
}

pub(crate) fn base64url(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn expand<const N: usize>(key: &[u8], info: &[u8]) -> [u8; N] {
    let mut out = [0; N];
    Hkdf::<Sha256>::from_prk(key).unwrap().expand(info, &mut out).unwrap();
    out
}

pub(crate) fn hmac(key: &[u8], message: &[u8]) -> [u8; 32] {
    Hmac::<Sha256>::new_from_slice(key).unwrap().chain_update(message).finalize().into_bytes().into()
}

pub(crate) fn seal(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], msg: &[u8]) -> Vec<u8> {
    XChaCha20Poly1305::new(key.into()).encrypt(nonce.into(), Payload { msg, aad }).unwrap()
}

/// Also used by the runner, to look at what the crate sealed.
pub(crate) fn open(key: &[u8; 32], nonce: &[u8; 24], aad: &[u8], msg: &[u8]) -> Option<Vec<u8>> {
    XChaCha20Poly1305::new(key.into()).decrypt(nonce.into(), Payload { msg, aad }).ok()
}

/// §4.1
pub(crate) fn key(party: &str, generation: u32, epoch: u32) -> Key {
    let secret: [u8; 32] = bytes(&format!("key {generation} of {party}"));
    let steps = epoch.checked_sub(EPOCH - 1).expect("keys are made the day before");
    Key { generation, epoch, secret: (0..steps).fold(secret, |secret, _| sub(&secret, "ratchet")).into() }
}

/// The epoch of [`NOW`], with periods of a day.
pub(crate) const EPOCH: u32 = 20_440;
/// Noon of that day, in milliseconds.
pub(crate) const NOW: u64 = (EPOCH as u64 * 86_400 + 43_200) * 1000;
pub(crate) const A: &str = "cma@cell.example";
pub(crate) const B: &str = "nanoprobe.web1@cell.example";
pub(crate) const C: &str = "nanoprobe.web2@cell.example";

/// §4.2
pub(crate) fn sub(key: &[u8], label: &str) -> [u8; 32] {
    expand(key, format!("keycell/1 {label}").as_bytes())
}

/// §4.4: the JSON of a signed request to rotate.
pub(crate) fn signed_rotation(name: &str, key: &Key, metadata: &str) -> String {
    signed_for("rotate request", name, key, metadata)
}

pub(crate) fn rotation(request: &Rotation) -> String {
    let Rotation { source, step, timestamp, nonce, instance } = request;
    let (nonce, instance) = (base64url(&nonce.0), base64url(&instance.0));
    format!(
        r#"{{"source":"{source}","step":"{step}","timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

/// §4.4: the JSON of the answer, sealed for the holder of `key`.
pub(crate) fn sealed_rotation(key: &Key, nonce: &[u8; 24], metadata: &str, secret: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(&sub(&key.secret.0, "rotate reply"), nonce, m.as_bytes(), secret);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}

pub(crate) fn rotation_reply(request: &Rotation, generation: u32, epoch: u32) -> String {
    let Rotation { source, step, nonce, .. } = request;
    let (nonce, server_time) = (base64url(&nonce.0), NOW + 40);
    format!(
        r#"{{"source":"{source}","nonce":"{nonce}","server_time":{server_time},"step":"{step}","generation":{generation},"epoch":{epoch}}}"#
    )
}

/// §5
pub(crate) fn sek(rkey: &[u8; 32], from: &[u8], to: &[u8], expiration: u64) -> [u8; 64] {
    let info = [from, b"\0", to, b"\0", expiration.to_string().as_bytes()].concat();
    expand(rkey, &info)
}

/// §6
pub(crate) fn ticket(kind: u8, key: &Key, nonce: &[u8; 24], rkey: &[u8]) -> Vec<u8> {
    let mut out = vec![1, kind];
    out.extend(key.generation.to_be_bytes());
    out.extend(key.epoch.to_be_bytes());
    let sealed = seal(&sub(&key.secret.0, "ticket"), nonce, &out, rkey);
    [&out[..], nonce, &sealed].concat()
}

/// §7: the JSON of a signed request. `metadata` is the JSON that is signed, `name` and the key's numbers go beside.
pub(crate) fn signed(name: &str, key: &Key, metadata: &str) -> String {
    signed_for("request", name, key, metadata)
}

fn signed_for(label: &str, name: &str, key: &Key, metadata: &str) -> String {
    let m = base64url(metadata);
    let signature = base64url(hmac(&sub(&key.secret.0, label), m.as_bytes()));
    signed_with(name, key, &m, &signature)
}

pub(crate) fn signed_with(name: &str, key: &Key, m: &str, signature: &str) -> String {
    let Key { generation, epoch, .. } = key;
    format!(
        r#"{{"key":{{"name":"{name}","generation":{generation},"epoch":{epoch}}},"metadata":"{m}","signature":"{signature}"}}"#
    )
}

pub(crate) fn metadata(request: &Request) -> String {
    let Request { source, destinations, timestamp, nonce, instance } = request;
    let (destinations, nonce, instance) =
        (json_list(destinations), base64url(&nonce.0), base64url(&instance.0));
    format!(
        r#"{{"source":"{source}","destinations":{destinations},"timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

fn json_list(names: &[String]) -> String {
    format!("[{}]", names.iter().map(|name| format!("{name:?}")).collect::<Vec<_>>().join(","))
}

/// §7: the JSON of a reply, sealed for the holder of `key`.
pub(crate) fn reply(key: &Key, nonce: &[u8; 24], metadata: &str, records: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(&sub(&key.secret.0, "reply"), nonce, m.as_bytes(), records);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}

pub(crate) fn reply_with(m: &str, sealed: &str) -> String {
    format!(r#"{{"metadata":"{m}","sealed":"{sealed}"}}"#)
}

pub(crate) fn reply_metadata(request: &Request, tickets: &[String]) -> String {
    let (source, nonce) = (&request.source, base64url(&request.nonce.0));
    format!(
        r#"{{"source":"{source}","nonce":"{nonce}","server_time":{},"tickets":[{}]}}"#,
        NOW + 40,
        tickets.join(",")
    )
}

pub(crate) fn entry(destination: &str, expiration: u64, renew_after: u64) -> String {
    format!(r#"{{"destination":"{destination}","expiration":{expiration},"renew_after":{renew_after}}}"#)
}

/// §7: one record of a party.
pub(crate) fn record(rkey: &[u8; 32], from: &str, to: &str, expiration: u64, ticket: &[u8]) -> Vec<u8> {
    let (from, to) = (from.as_bytes(), to.as_bytes());
    [&[1][..], &sek(rkey, from, to, expiration), &sek(rkey, to, from, expiration), ticket].concat()
}

/// A request of `source` for a ticket to `destination`, and its answer.
pub(crate) fn grant(source: &str, destination: &str, rkey: &[u8; 32], expiration: u64) -> Granted {
    let request = Request {
        source: source.to_owned(),
        destinations: vec![destination.to_owned()],
        timestamp: NOW,
        nonce: bytes::<16>("nonce of a request").into(),
        instance: bytes::<16>("instance").into(),
    };
    let ticket = ticket(1, &key(destination, 1, EPOCH), &bytes("nonce of a ticket"), rkey);
    let metadata = reply_metadata(&request, &[entry(destination, expiration, expiration - 300)]);
    let records = record(rkey, source, destination, expiration, &ticket);
    let reply = reply(&key(source, 1, EPOCH), &bytes("nonce of a reply"), &metadata, &records);
    Granted { request, reply }
}

/// §8: a message field by field, so that each can be wrong.
#[derive(Clone)]
pub(crate) struct Message {
    pub(crate) magic: [u8; 4],
    pub(crate) kind: u8,
    pub(crate) flags: u8,
    pub(crate) expiration: u64,
    pub(crate) sent_at: u64,
    pub(crate) salt: [u8; 16],
    pub(crate) sequence: u64,
    pub(crate) source: Vec<u8>,
    pub(crate) destination: Vec<u8>,
    pub(crate) topic: Vec<u8>,
    pub(crate) under: Vec<u8>,
    pub(crate) body: Vec<u8>,
    pub(crate) rkey: [u8; 32],
}

impl Message {
    /// What the key is derived from is what the header says.
    pub(crate) fn write(&self) -> Vec<u8> {
        self.write_under(&sek(&self.rkey, &self.source, &self.destination, self.expiration))
    }

    pub(crate) fn write_under(&self, sek: &[u8; 64]) -> Vec<u8> {
        let mut out = self.header();
        let (ke, ks) = sek.split_first_chunk::<32>().unwrap();
        if self.flags & 1 == 0 {
            let nonce = [&self.salt[..], &self.sequence.to_be_bytes()].concat();
            out.extend(seal(ke, nonce.first_chunk().unwrap(), &out, &self.body));
        } else {
            out.extend(&self.body);
            out.extend(hmac(ks, &out));
        }
        out
    }

    /// Everything before the payload.
    pub(crate) fn header(&self) -> Vec<u8> {
        let mut out = [&self.magic[..], &[self.kind, self.flags]].concat();
        out.extend(self.expiration.to_be_bytes());
        out.extend(self.sent_at.to_be_bytes());
        out.extend(self.salt);
        out.extend(self.sequence.to_be_bytes());
        for part in [&self.source, &self.destination, &self.topic] {
            out.push(part.len().try_into().unwrap());
            out.extend(part);
        }
        out.extend(&self.under);
        out
    }
}

pub(crate) fn ticket_id(ticket: &[u8]) -> Hex {
    Sha256::digest(ticket)[..16].into()
}
