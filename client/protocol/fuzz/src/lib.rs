//! What the targets share: the accepted vectors as seeds, and the keys of their parties.

use std::convert::Infallible;
use std::env;
use std::fs;
use std::path::Path;

use keycell_protocol::{
    Epoch, Generation, Instance, LongTermKey, Nonce, RatchetPeriod, SignerKey, Signers, TicketRequest,
    UnixMillis,
};
use rand_core::{TryCryptoRng, TryRng};
use serde_json::Value;

/// The clock of the vectors.
pub const NOW: UnixMillis = UnixMillis(1_766_059_200_000);
/// The length of an epoch in the vectors.
pub const PERIOD: RatchetPeriod = RatchetPeriod::DEFAULT;

/// Writes seeds into the folder that `KEYCELL_FUZZ_SEEDS` names: a target does so when it starts, before libFuzzer
/// reads its corpus.
pub fn seed(seeds: impl FnOnce() -> Vec<Vec<u8>>) {
    let Some(folder) = env::var_os("KEYCELL_FUZZ_SEEDS") else { return };
    let seeds = seeds();
    assert!(!seeds.is_empty());
    for (number, seed) in seeds.iter().enumerate() {
        fs::write(Path::new(&folder).join(format!("seed-{number:03}")), seed).unwrap();
    }
}

/// The member `field` of all accepted cases below `tests/vectors/<folder>/`.
pub fn accepted(folder: &str, field: &str) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for case in cases(folder) {
        let steps = case.get("steps").and_then(Value::as_array).cloned().unwrap_or_else(|| vec![case]);
        for step in steps.iter().filter(|step| step["expect"].get("accepted").is_some()) {
            let text = step[field].as_str().unwrap();
            found.push(if field == "json" { text.as_bytes().to_vec() } else { hex(text) });
        }
    }
    found
}

/// All cases of a folder, the files in the order of their names.
pub fn cases(folder: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/vectors").join(folder);
    let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    let cases = |path: &_| {
        let file: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
        file["cases"].as_array().unwrap().clone()
    };
    paths.iter().flat_map(cases).collect()
}

/// The key of a case.
pub fn key(value: &Value) -> LongTermKey {
    let number = |field: &str| u32::try_from(value[field].as_u64().unwrap()).unwrap();
    let secret = hex(value["secret"].as_str().unwrap()).try_into().unwrap();
    LongTermKey::new(Generation(number("generation")), Epoch(number("epoch")), secret)
}

/// The request of a case.
pub fn request(value: &Value) -> TicketRequest {
    let array = |field: &str| hex(value[field].as_str().unwrap()).try_into().unwrap();
    TicketRequest {
        source: value["source"].as_str().unwrap().parse().unwrap(),
        destinations: value["destinations"]
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().parse().unwrap())
            .collect(),
        timestamp: UnixMillis(value["timestamp"].as_u64().unwrap()),
        nonce: Nonce(array("nonce")),
        instance: Instance(array("instance")),
    }
}

/// The signers of a case.
pub fn signers(value: &Value) -> Signers {
    let mut signers = Signers::new();
    for signer in value.as_array().unwrap() {
        let key = SignerKey::new(hex(signer["key"].as_str().unwrap()).try_into().unwrap());
        signers.set(&signer["zone"].as_str().unwrap().parse().unwrap(), &[key]);
    }
    signers
}

/// The cases of one kind: those that have this member.
pub fn of_kind(folder: &str, member: &str) -> Vec<Value> {
    cases(folder).into_iter().filter(|case| case.get(member).is_some()).collect()
}

/// The member `field` of those of them that are accepted.
pub fn seeds(cases: &[Value], field: &str) -> Vec<Vec<u8>> {
    let accepted = cases.iter().filter(|case| case["expect"].get("accepted").is_some());
    accepted
        .map(|case| {
            let text = case[field].as_str().unwrap();
            if field == "json" { text.as_bytes().to_vec() } else { hex(text) }
        })
        .collect()
}

/// `genuine`, changed by a list of edits of four bytes each.
pub fn edited(genuine: &[u8], edits: &[u8]) -> Vec<u8> {
    let mut bytes = genuine.to_vec();
    for edit in edits.chunks_exact(4) {
        let [what, high, low, value] = *edit else { break };
        let at = usize::from(u16::from_be_bytes([high, low])) % (bytes.len() + 1);
        match what % 5 {
            0 => bytes.truncate(at),
            1 => bytes.get_mut(at).into_iter().for_each(|byte| *byte ^= value),
            2 => bytes.get_mut(at).into_iter().for_each(|byte| *byte = value),
            3 => bytes.insert(at, value),
            _ => drop((at < bytes.len()).then(|| bytes.remove(at))),
        }
    }
    bytes
}

/// The first request to enroll that holds.
pub fn enrollment() -> Value {
    of_kind("enrollment", "eseed").into_iter().find(|case| case["expect"].get("accepted").is_some()).unwrap()
}

/// Bytes written in base64url.
pub fn from_base64url(text: &str) -> Vec<u8> {
    use base64::Engine as _;
    base64::engine::general_purpose::URL_SAFE_NO_PAD.decode(text).unwrap()
}

/// The 32 bytes in this member of a case.
pub fn array(case: &Value, field: &str) -> [u8; 32] {
    hex(case[field].as_str().unwrap()).try_into().unwrap()
}

/// The 16 bytes in this member of a case.
pub fn array16(case: &Value, field: &str) -> [u8; 16] {
    hex(case[field].as_str().unwrap()).try_into().unwrap()
}

/// Randomness that is no surprise: these bytes, and no more.
pub struct Known(pub Vec<u8>);

impl TryRng for Known {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        unreachable!("only bytes are drawn")
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), Infallible> {
        let rest = self.0.split_off(out.len());
        out.copy_from_slice(&self.0);
        self.0 = rest;
        Ok(())
    }
}

impl TryCryptoRng for Known {}

/// Bytes written in hexadecimal.
pub fn hex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|at| u8::from_str_radix(&text[2 * at..2 * at + 2], 16).unwrap()).collect()
}

/// The plain primitives, to sign and seal what the fuzzer thinks of.
pub mod plain {
    use base64::Engine as _;
    use chacha20poly1305::aead::{Aead as _, Payload};
    use chacha20poly1305::{ChaCha20Poly1305, KeyInit as _, XChaCha20Poly1305};
    use hkdf::Hkdf;
    use hmac::{Hmac, Mac as _};
    use keycell_protocol::LongTermKey;
    use sha2::Sha256;

    /// base64url without padding.
    pub fn base64url(bytes: &[u8]) -> String {
        base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(bytes)
    }

    fn sub(key: &LongTermKey, label: &str) -> [u8; 32] {
        let mut out = [0; 32];
        let info = format!("keycell/1 {label}");
        Hkdf::<Sha256>::from_prk(key.expose_secret()).unwrap().expand(info.as_bytes(), &mut out).unwrap();
        out
    }

    /// HPKE, base mode (RFC 9180 §5.1): seals one text under a secret of X-Wing that is known beforehand.
    pub fn hpke_seal(shared: &[u8; 32], info: &[u8], plaintext: &[u8]) -> Vec<u8> {
        const SUITE: &[u8] = b"HPKE-v1HPKE\x64\x7a\x00\x01\x00\x03";
        let extract = |salt: &[u8], parts: &[&[u8]]| -> [u8; 32] {
            Hkdf::<Sha256>::extract(Some(salt), &[SUITE, &parts.concat()].concat()).0.into()
        };
        let context =
            [&[0][..], &extract(b"", &[b"psk_id_hash"]), &extract(b"", &[b"info_hash", info])].concat();
        let secret = Hkdf::<Sha256>::from_prk(&extract(shared, &[b"secret"])).unwrap();
        let expand = |label: &[u8], out: &mut [u8]| {
            let length = u16::try_from(out.len()).unwrap().to_be_bytes();
            secret.expand(&[&length[..], SUITE, label, &context].concat(), out).unwrap();
        };
        let (mut key, mut nonce) = ([0; 32], [0; 12]);
        expand(b"key", &mut key);
        expand(b"base_nonce", &mut nonce);
        ChaCha20Poly1305::new(&key.into()).encrypt(&nonce.into(), plaintext).unwrap()
    }

    /// A request whose signature holds, whatever its metadata is.
    pub fn signed(name: &str, key: &LongTermKey, metadata: &[u8]) -> String {
        signed_for(name, key, "request", metadata)
    }

    /// As [`signed`], with another subkey.
    pub fn signed_for(name: &str, key: &LongTermKey, label: &str, metadata: &[u8]) -> String {
        let m = base64url(metadata);
        let mac = Hmac::<Sha256>::new_from_slice(&sub(key, label)).unwrap().chain_update(&m).finalize();
        let (generation, epoch, signature) = (key.generation(), key.epoch(), base64url(&mac.into_bytes()));
        format!(
            r#"{{"key":{{"name":"{name}","generation":{generation},"epoch":{epoch}}},"metadata":"{m}","signature":"{signature}"}}"#
        )
    }

    /// A reply that opens, whatever is in it.
    pub fn reply(key: &LongTermKey, metadata: &[u8], records: &[u8]) -> String {
        sealed_for(key, "reply", metadata, records)
    }

    /// As [`reply`], with another subkey.
    pub fn sealed_for(key: &LongTermKey, label: &str, metadata: &[u8], records: &[u8]) -> String {
        sealed_under(&sub(key, label), metadata, records)
    }

    /// As [`sealed_for`], under a key that is no party's.
    pub fn sealed_under(key: &[u8; 32], metadata: &[u8], records: &[u8]) -> String {
        let m = base64url(metadata);
        let cipher = XChaCha20Poly1305::new(key.into());
        let sealed = cipher.encrypt(&[7; 24].into(), Payload { msg: records, aad: m.as_bytes() }).unwrap();
        let sealed = base64url(&[&[7; 24], &sealed[..]].concat());
        format!(r#"{{"metadata":"{m}","sealed":"{sealed}"}}"#)
    }
}
