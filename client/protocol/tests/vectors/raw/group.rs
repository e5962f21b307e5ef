//! §11

use super::{NOW, base64url, bytes, json_list, reply_with, seal, signed_for, sub};
use crate::format::Key;
use crate::format::group::{GroupKey, GroupRequest};

pub(crate) const G: &str = "nanoprobe@cell.example";
pub(crate) const H: &str = "scheduler@cell.example";
/// How long each of its keys seals tickets, in seconds.
pub(crate) const LIFETIME: u64 = 300;
/// The generation that seals tickets at [`NOW`], since a hundred seconds.
pub(crate) const GENERATION: u32 = 7;

/// The secret of a group's chain, which begins at generation 5.
pub(crate) fn chain(group: &str, generation: u32) -> [u8; 32] {
    let steps = generation.checked_sub(5).expect("the chain begins at 5");
    (0..steps).fold(bytes(&format!("chain of {group}")), |secret, _| sub(&secret, "group chain"))
}

/// A group's key, as what opens its tickets.
pub(crate) fn key(group: &str, generation: u32) -> Key {
    Key { generation, epoch: 0, secret: sub(&chain(group, generation), "group key").into() }
}

/// The same, as a member is told of it.
pub(crate) fn held(group: &str, generation: u32) -> GroupKey {
    let begins = NOW / 1000 - 100 + u64::from(generation) * LIFETIME - u64::from(GENERATION) * LIFETIME;
    let secret = key(group, generation).secret;
    GroupKey { generation, begins, ends: begins + 2 * LIFETIME, secret }
}

pub(crate) fn signed(name: &str, key: &Key, metadata: &str) -> String {
    signed_for("group request", name, key, metadata)
}

pub(crate) fn request(request: &GroupRequest) -> String {
    let GroupRequest { source, groups, timestamp, nonce, instance } = request;
    let (groups, nonce, instance) = (json_list(groups), base64url(&nonce.0), base64url(&instance.0));
    format!(
        r#"{{"source":"{source}","groups":{groups},"timestamp":{timestamp},"nonce":"{nonce}","instance":"{instance}"}}"#
    )
}

pub(crate) fn reply(request: &GroupRequest, signers: &[[u8; 32]], groups: &[String]) -> String {
    let (source, nonce) = (&request.source, base64url(&request.nonce.0));
    let signers = json_list(&signers.iter().map(base64url).collect::<Vec<_>>());
    format!(
        r#"{{"source":"{source}","nonce":"{nonce}","server_time":{},"signers":{signers},"groups":[{}]}}"#,
        NOW + 40,
        groups.join(",")
    )
}

pub(crate) fn entry(group: &str, author_proof: bool, keys: &[GroupKey]) -> String {
    let key = |GroupKey { generation, begins, ends, .. }: &GroupKey| {
        format!(r#"{{"generation":{generation},"begins":{begins},"ends":{ends}}}"#)
    };
    let keys: Vec<_> = keys.iter().map(key).collect();
    let author_proof = if author_proof { r#""author_proof":true,"# } else { "" };
    format!(
        r#"{{"group":"{group}",{author_proof}"refresh_at":{},"spread":{},"keys":[{}]}}"#,
        refresh_at(),
        SPREAD,
        keys.join(",")
    )
}

pub(crate) fn refresh_at() -> u64 {
    NOW + 200_000 + 123_456
}

pub(crate) const SPREAD: u64 = 100_000;

/// The JSON of the answer, sealed for the holder of `key`.
pub(crate) fn sealed(key: &Key, nonce: &[u8; 24], metadata: &str, records: &[u8]) -> String {
    let m = base64url(metadata);
    let sealed = seal(&sub(&key.secret.0, "group reply"), nonce, m.as_bytes(), records);
    reply_with(&m, &base64url([nonce, &sealed[..]].concat()))
}

/// §6: a ticket for the members.
pub(crate) fn ticket(group: &str, generation: u32, rkey: &[u8; 32]) -> Vec<u8> {
    super::ticket(2, &key(group, generation), &bytes("nonce of a ticket"), rkey)
}
