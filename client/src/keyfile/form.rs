//! The JSON of a key file.

use core::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use keycell_protocol::{
    AuthorKey, Epoch, Generation, LongTermKey, Name, RatchetPeriod, SignerKey, TrustedSigners, UnixSeconds,
    Zone, ZoneSigners,
};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::{AgentKey, KdcAddress, RetiringKey};

impl AgentKey {
    /// Reads the JSON of a key file.
    ///
    /// # Errors
    /// What is wrong with it, in words that never repeat a key.
    pub fn from_json(json: &[u8]) -> Result<Self, String> {
        // An error of serde may quote what it did not expect, so only the place is told.
        let form: Form<'_> = serde_json::from_slice(json)
            .map_err(|error| format!("line {}, column {}", error.line(), error.column()))?;
        if form.keycell != VERSION {
            return Err(format!(
                "it is of version {}, and this program reads version {VERSION}",
                form.keycell
            ));
        }
        let name: Name = form.name.parse().map_err(|error| format!("\"name\": {error}"))?;
        let key = decode(form.generation, form.epoch, form.key).ok_or_else(|| wrong("key"))?;
        let staged = match &form.staged {
            Some(staged) => Some(staged.read().ok_or_else(|| wrong("staged.key"))?),
            None => None,
        };
        let retiring = form.retiring.iter().map(Retiring::read).collect::<Option<Vec<_>>>();
        let retiring = retiring.ok_or_else(|| wrong("retiring[].key"))?;
        let ratchet_period =
            RatchetPeriod::from_seconds(form.ratchet_period).ok_or("\"ratchet_period\" is zero")?;
        if staged.as_ref().is_some_and(|staged| staged.generation() <= key.generation()) {
            return Err("\"staged\" is not of a later generation than the key".into());
        }
        let mut generations: Vec<_> = retiring.iter().map(|old| old.key.generation()).collect();
        generations.push(key.generation());
        generations.sort_unstable();
        generations.dedup();
        if generations.len() <= retiring.len() || generations.last() != Some(&key.generation()) {
            return Err("\"retiring\" is not of earlier generations than the key, each once".into());
        }
        let kdc = KdcAddress { urls: form.urls, tls_roots: form.tls_roots };
        let author = match form.author_key {
            Some(key) => Some(AuthorKey::new(&*secret(key).ok_or_else(|| wrong("author_key"))?)),
            None => None,
        };
        let trusted = form.trusted.into_iter().map(|Trusted { zone, signers }| ZoneSigners { zone, signers });
        let trusted = TrustedSigners::new(name.zone(), trusted.collect())
            .map_err(|error| format!("\"trusted\": {error}"))?;
        let signers = form.signers;
        Ok(Self { name, key, ratchet_period, kdc, staged, retiring, author, signers, trusted })
    }

    /// The JSON of its key file, with the keys in it.
    #[must_use]
    pub fn to_json(&self) -> Zeroizing<Vec<u8>> {
        self.to_json_with(&self.kdc)
    }

    /// The same with other addresses of the KDCs.
    pub(crate) fn to_json_with(&self, kdc: &KdcAddress) -> Zeroizing<Vec<u8>> {
        let of = |key: &LongTermKey| Encoded::of(key.expose_secret());
        let (key, staged) = (of(&self.key), self.staged.as_ref().map(of));
        let author = self.author.as_ref().map(|key| Encoded::of(key.expose_secret()));
        let retiring: Vec<_> = self.retiring.iter().map(|old| of(&old.key)).collect();
        let form = Form {
            keycell: VERSION,
            name: self.name.as_str(),
            generation: self.key.generation().0,
            epoch: self.key.epoch().0,
            key: key.as_str(),
            ratchet_period: self.ratchet_period.seconds(),
            urls: kdc.urls.clone(),
            tls_roots: kdc.tls_roots.clone(),
            staged: self.staged.as_ref().zip(staged.as_ref()).map(|(staged, encoded)| Staged {
                generation: staged.generation().0,
                epoch: staged.epoch().0,
                key: encoded.as_str(),
            }),
            retiring: self
                .retiring
                .iter()
                .zip(&retiring)
                .map(|(old, encoded)| Retiring {
                    generation: old.key.generation().0,
                    epoch: old.key.epoch().0,
                    key: encoded.as_str(),
                    until: old.until.0,
                    erased: old.erased,
                })
                .collect(),
            author_key: author.as_ref().map(Encoded::as_str),
            signers: self.signers.clone(),
            trusted: self.trusted.iter().cloned().map(Trusted::from).collect(),
        };
        // Never grown while keys are in it; a PEM's line ends take two bytes each.
        let urls: usize = kdc.urls.iter().map(|url| 2 * url.len() + 16).sum();
        let trusted = self.trusted.iter().map(|known| 128 + Zone::MAX + 64 * known.signers.len());
        let keys = 256 * (retiring.len() + 1) + 64 * self.signers.len() + trusted.sum::<usize>();
        let mut json = Zeroizing::new(Vec::with_capacity(1024 + keys + urls + 2 * kdc.tls_roots.len()));
        // Strings and numbers only: there is nothing that JSON could not say.
        let _ = serde_json::to_writer_pretty(&mut *json, &form);
        json.push(b'\n');
        json
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form<'a> {
    keycell: u32,
    name: &'a str,
    generation: u32,
    epoch: u32,
    // Borrowed, so that parsing makes no second copy of it.
    key: &'a str,
    ratchet_period: u32,
    urls: Vec<String>,
    tls_roots: String,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    staged: Option<Staged<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Vec::is_empty")]
    retiring: Vec<Retiring<'a>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    author_key: Option<&'a str>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    signers: Vec<SignerKey>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    trusted: Vec<Trusted>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trusted {
    zone: Zone,
    signers: Vec<SignerKey>,
}

impl From<ZoneSigners> for Trusted {
    fn from(ZoneSigners { zone, signers }: ZoneSigners) -> Self {
        Self { zone, signers }
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Staged<'a> {
    generation: u32,
    epoch: u32,
    key: &'a str,
}

impl Staged<'_> {
    fn read(&self) -> Option<LongTermKey> {
        decode(self.generation, self.epoch, self.key)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Retiring<'a> {
    generation: u32,
    epoch: u32,
    key: &'a str,
    until: u64,
    #[serde(default, skip_serializing_if = "core::ops::Not::not")]
    erased: bool,
}

impl Retiring<'_> {
    fn read(&self) -> Option<RetiringKey> {
        let key = decode(self.generation, self.epoch, self.key)?;
        Some(RetiringKey { key, until: UnixSeconds(self.until), erased: self.erased })
    }
}

// The keys are in it.
impl fmt::Debug for Form<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Form").field("name", &self.name).finish_non_exhaustive()
    }
}

/// 32 bytes in base64url.
struct Encoded(Zeroizing<[u8; 43]>);

impl Encoded {
    fn of(key: &[u8; 32]) -> Self {
        let mut out = Zeroizing::new([0; 43]);
        // 32 bytes are 43 of base64url.
        let _ = URL_SAFE_NO_PAD.encode_slice(key, &mut *out);
        Self(out)
    }

    fn as_str(&self) -> &str {
        core::str::from_utf8(&*self.0).unwrap_or_default()
    }
}

fn decode(generation: u32, epoch: u32, key: &str) -> Option<LongTermKey> {
    Some(LongTermKey::new(Generation(generation), Epoch(epoch), *secret(key)?))
}

fn secret(key: &str) -> Option<Zeroizing<[u8; 32]>> {
    let mut secret = Zeroizing::new([0; 32]);
    match URL_SAFE_NO_PAD.decode_slice(key, &mut *secret) {
        Ok(32) => Some(secret),
        _ => None,
    }
}

fn wrong(field: &str) -> String {
    format!("\"{field}\" is not 32 bytes in base64url")
}

const VERSION: u32 = 1;
