//! §12

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::enrollment::{Context, Encapsulation, public};
use super::{NOW, base64url, bundle, reply_with, seal, signed_for, sub};
use crate::format::Key;
use crate::format::bundle::Bundle;
use crate::format::trust::{Offered, Pair, PeerRequest};

/// §12.2: what a zone signs.
pub(crate) fn peer_metadata(request: &PeerRequest) -> String {
    let PeerRequest { source, requests, lifetime, correlation, timestamp, nonce, instance } = request;
    let pair = |Pair { source, destination }: &Pair| {
        format!(r#"{{"source":"{source}","destination":"{destination}"}}"#)
    };
    let requests = requests.iter().map(pair).collect::<Vec<_>>().join(",");
    let [correlation, nonce, instance] = [correlation, nonce, instance].map(|bytes| base64url(&bytes.0));
    format!(
        r#"{{"source":"{source}","requests":[{requests}],"lifetime":{lifetime},"correlation":"{correlation}","timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

pub(crate) fn signed_peer(name: &str, key: &Key, metadata: &str) -> String {
    signed_for("peer request", name, key, metadata)
}

/// The metadata of the answer.
pub(crate) fn peer_reply_metadata(request: &PeerRequest, tickets: &[String]) -> String {
    let (source, nonce) = (&request.source, base64url(&request.nonce.0));
    let (tickets, server_time) = (tickets.join(","), NOW + 40);
    format!(r#"{{"source":"{source}","nonce":"{nonce}","server_time":{server_time},"tickets":[{tickets}]}}"#)
}

pub(crate) fn peer_reply(key: &Key, nonce: &[u8; 24], metadata: &str, records: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(&sub(&key.secret.0, "peer reply"), nonce, m.as_bytes(), records);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}

/// §12.4: an offer part by part, so that each can be wrong.
#[derive(Clone)]
pub(crate) struct Offer {
    pub(crate) metadata: String,
    pub(crate) info: Vec<u8>,
    pub(crate) aad: String,
    pub(crate) secret: Vec<u8>,
    pub(crate) identity_seed: [u8; 32],
    pub(crate) signing_seed: [u8; 32],
    pub(crate) eseed: [u8; 64],
}

impl Offer {
    /// When nothing is wrong.
    pub(crate) fn of(
        offered: &Offered,
        identity_seed: [u8; 32],
        signing_seed: [u8; 32],
        eseed: [u8; 64],
    ) -> Self {
        let metadata = base64url(claims(offered));
        Self {
            info: info(&offered.zone, &offered.to, &offered.identity),
            aad: metadata.clone(),
            metadata,
            secret: offered.key.secret.0.clone(),
            identity_seed,
            signing_seed,
            eseed,
        }
    }

    pub(crate) fn encapsulated(&self) -> Vec<u8> {
        self.encapsulation().ciphertext
    }

    pub(crate) fn sealed(&self) -> Vec<u8> {
        let context = Context::new(&self.encapsulation().secret(), &self.info);
        context.seal(0, self.aad.as_bytes(), &self.secret)
    }

    fn encapsulation(&self) -> Encapsulation {
        Encapsulation::new(&public(&self.identity_seed), &self.eseed)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> [u8; 64] {
        SigningKey::from_bytes(&self.signing_seed).sign(message).to_bytes()
    }

    pub(crate) fn signed(&self) -> Vec<u8> {
        [&self.info[..], b"\0", &self.encapsulated(), &self.sealed(), self.metadata.as_bytes()].concat()
    }

    pub(crate) fn json(&self) -> String {
        self.json_with(&self.encapsulated(), &self.sealed(), &self.sign(&self.signed()))
    }

    pub(crate) fn json_with(&self, encapsulated: &[u8], sealed: &[u8], signature: &[u8]) -> String {
        let (m, encapsulated, sealed) = (&self.metadata, base64url(encapsulated), base64url(sealed));
        let signature = base64url(signature);
        format!(
            r#"{{"version":1,"metadata":"{m}","encapsulated":"{encapsulated}","sealed":"{sealed}","signature":"{signature}"}}"#
        )
    }

    pub(crate) fn write(&self) -> String {
        text(&self.json())
    }
}

pub(crate) fn info(zone: &str, to: &str, identity: &str) -> Vec<u8> {
    format!("keycell/1 trust offer\0{zone}\0{to}\0{identity}").into()
}

/// The JSON that an offer is about.
pub(crate) fn claims(offered: &Offered) -> String {
    let Offered { zone, to, identity, bundle, key, ratchet_period, state, made_at, expires_at } = offered;
    let (zone, to, identity, bundle) = (json!(zone), json!(to), json!(identity), bundle::bundle(bundle));
    let Key { generation, epoch, .. } = key;
    format!(
        r#"{{"zone":{zone},"to":{to},"identity":{identity},"bundle":{bundle},"generation":{generation},"epoch":{epoch},"ratchet_period":{ratchet_period},"state":"{state}","made_at":{made_at},"expires_at":{expires_at}}}"#
    )
}

pub(crate) const BEGIN: &str = "-----BEGIN KEYCELL TRUST OFFER-----";
pub(crate) const END: &str = "-----END KEYCELL TRUST OFFER-----";

pub(crate) fn text(json: &str) -> String {
    let base64 = STANDARD.encode(json);
    let lines: Vec<_> = base64.as_bytes().chunks(64).map(|line| str::from_utf8(line).unwrap()).collect();
    format!("{BEGIN}\n{}\n{END}\n", lines.join("\n"))
}

/// The fingerprint of a bundle, without its dashes.
pub(crate) fn digits(bundle: &Bundle) -> String {
    let prefixed = |text: &str| [&[text.len().try_into().unwrap()], text.as_bytes()].concat();
    let mut message = [b"keycell/1 bundle fingerprint\0", &prefixed(&bundle.zone)[..]].concat();
    for identity in &bundle.identities {
        message.extend(prefixed(&identity.name));
        message.extend(&identity.signing_key.0);
        message.extend(&identity.encryption_key.0);
    }
    Sha256::digest(message)[..16].iter().map(|byte| format!("{byte:02x}")).collect()
}

pub(crate) fn fingerprint(bundle: &Bundle) -> String {
    let digits = digits(bundle);
    let groups: Vec<_> = digits.as_bytes().chunks(4).map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join("-")
}
