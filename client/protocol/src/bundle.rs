//! The bundle: what everybody may know of a zone's KDC, and what a host needs before it knows anybody
//! (docs/protocol.md §10).

mod fingerprint;
mod identity_name;
mod succession;

use core::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::codec::b64;
use crate::name::Zone;
use crate::signer::{SignerKey, Signers, TrustedSigners, ZoneSigners};

pub use fingerprint::{BundleFingerprint, BundleFingerprintError};
pub use identity_name::IdentityName;
pub use succession::SuccessionError;

/// Where a zone's KDCs are and by which keys they are known: one public file in JSON, installed with a host's software.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bundle {
    /// The zone.
    pub zone: Zone,
    /// Under which URLs its KDCs are reached, in the order in which to try them.
    pub urls: Vec<String>,
    /// The certificates that a KDC's own must go back to, in PEM.
    pub tls_roots: String,
    /// The identities of the zone's KDC.
    pub identities: Vec<KdcIdentity>,
    /// Those of the zones that it trusts.
    pub trusted: Vec<TrustedZone>,
}

/// A zone that is trusted, and by which keys its KDC is known.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrustedZone {
    /// The zone.
    pub zone: Zone,
    /// The identities of its KDC.
    pub identities: Vec<KdcIdentity>,
}

/// The public halves of one of a KDC's identities.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KdcIdentity {
    /// Which one.
    pub name: IdentityName,
    /// What it signs with.
    pub signing_key: SignerKey,
    /// What it is written to with.
    pub encryption_key: IdentityEncryptionKey,
}

/// The public half of the key that an identity is written to with (X-Wing).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct IdentityEncryptionKey(#[serde(with = "b64")] pub [u8; Self::SIZE]);

impl IdentityEncryptionKey {
    /// Its length in bytes.
    pub const SIZE: usize = 1216;
}

/// The first bytes tell one from another.
impl fmt::Debug for IdentityEncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self([a, b, c, d, ..]) = self;
        write!(f, "IdentityEncryptionKey({a:02x}{b:02x}{c:02x}{d:02x}..)")
    }
}

impl Bundle {
    /// The longest bundle in bytes.
    pub const MAX: usize = 1 << 20;
    /// The most URLs.
    pub const MAX_URLS: usize = 16;

    /// Reads a bundle. Nothing is left out and nothing is added: what is not known is refused.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_json(json: &[u8]) -> Result<Self, BundleError> {
        if json.len() > Self::MAX {
            return Err(BundleError::TooLong);
        }
        let place =
            |error: serde_json::Error| BundleError::Json { line: error.line(), column: error.column() };
        // First of all: another version may have other fields.
        let Version { version } = serde_json::from_slice(json).map_err(place)?;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        serde_json::from_slice::<Form>(json).map_err(place)?.try_into()
    }

    /// Whose vouchers hold: of the zone, and of each that it trusts.
    #[must_use]
    pub fn signers(&self) -> Signers {
        let mut signers = Signers::new();
        let keys = |identities: &[KdcIdentity]| -> Vec<_> {
            identities.iter().map(|identity| identity.signing_key).collect()
        };
        signers.set(&self.zone, &keys(&self.identities));
        self.trusted.iter().for_each(|trusted| signers.set(&trusted.zone, &keys(&trusted.identities)));
        signers
    }

    /// The same of the zones that it trusts only.
    #[must_use]
    pub fn trusted_signers(&self) -> TrustedSigners {
        let zones = self.trusted.iter().map(|trusted| ZoneSigners {
            zone: trusted.zone.clone(),
            signers: trusted.identities.iter().map(|identity| identity.signing_key).collect(),
        });
        // A bundle that was read keeps to the same bounds.
        TrustedSigners::new(self.zone.as_str(), zones.collect()).unwrap_or_default()
    }

    /// As a file has it.
    #[must_use]
    pub fn to_json(&self) -> Vec<u8> {
        // Strings and numbers only: there is nothing that JSON could not say.
        let mut json = serde_json::to_vec_pretty(self).unwrap_or_default();
        json.push(b'\n');
        json
    }

    fn check(&self) -> Result<(), BundleError> {
        let Self { zone, urls, tls_roots: _, identities, trusted } = self;
        let https = |url: &String| url.starts_with("https://") && url.len() <= MAX_URL;
        if urls.is_empty() || urls.len() > Self::MAX_URLS || !urls.iter().all(https) {
            return Err(BundleError::Urls);
        }
        let mut sets = trusted.iter().map(|trusted| &trusted.identities).chain([identities]);
        if !sets.all(|identities| are_told_apart(identities)) {
            return Err(BundleError::Identities);
        }
        let mut zones: Vec<_> =
            trusted.iter().map(|trusted| trusted.zone.as_str()).chain([zone.as_str()]).collect();
        zones.sort_unstable();
        zones.dedup();
        if trusted.len() > MAX_TRUSTED || zones.len() <= trusted.len() {
            return Err(BundleError::Trusted);
        }
        Ok(())
    }
}

fn are_told_apart(identities: &[KdcIdentity]) -> bool {
    let differ = |one: &KdcIdentity, other: &KdcIdentity| {
        one.name != other.name && one.signing_key != other.signing_key
    };
    let mut rest = identities;
    while let Some((one, others)) = rest.split_first() {
        if others.len() >= MAX_IDENTITIES || !others.iter().all(|other| differ(one, other)) {
            return false;
        }
        rest = others;
    }
    !identities.is_empty()
}

impl Serialize for Bundle {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { zone, urls, tls_roots, identities, trusted } = self.clone();
        Form { version: VERSION, zone, urls, tls_roots, identities, trusted }.serialize(serializer)
    }
}

/// As part of another document; by itself it is read by [`from_json`](Bundle::from_json).
impl<'de> Deserialize<'de> for Bundle {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Form::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

impl TryFrom<Form> for Bundle {
    type Error = BundleError;

    fn try_from(form: Form) -> Result<Self, BundleError> {
        let Form { version, zone, urls, tls_roots, identities, trusted } = form;
        if version != VERSION {
            return Err(BundleError::Version(version));
        }
        let bundle = Self { zone, urls, tls_roots, identities, trusted };
        bundle.check()?;
        Ok(bundle)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Form {
    version: u32,
    zone: Zone,
    urls: Vec<String>,
    tls_roots: String,
    identities: Vec<KdcIdentity>,
    trusted: Vec<TrustedZone>,
}

#[derive(Deserialize)]
struct Version {
    version: u32,
}

/// Why something is no bundle.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// It is longer than [`Bundle::MAX`].
    #[error("a bundle has at most 1 MiB")]
    TooLong,
    /// It is not the JSON of a bundle.
    #[error("it is no bundle: see line {line}, column {column}")]
    Json {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// It is of another version.
    #[error("the bundle is of version {0}, and this program reads version 1")]
    Version(u32),
    /// Its URLs are not ones that a host can use.
    #[error("\"urls\" are 1 to 16 https:// URLs of at most 1,024 bytes")]
    Urls,
    /// The identities of a zone cannot be told apart, or are none, or too many.
    #[error("\"identities\" are 1 to 8, each of another name and with another signing key")]
    Identities,
    /// The zones that are trusted cannot be told apart, or are too many.
    #[error("\"trusted\" are at most 256 other zones, each once")]
    Trusted,
    /// A text is not the name of an identity.
    #[error("an identity's name is #KDC# and five digits")]
    IdentityName,
}

const VERSION: u32 = 1;
const MAX_URL: usize = 1024;
const MAX_IDENTITIES: usize = 8;
const MAX_TRUSTED: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn identity(name: &str, byte: u8) -> Value {
        let key = |len: usize| crate::codec::base64url(&vec![byte; len]);
        json!({ "name": name, "signing_key": key(32), "encryption_key": key(1216) })
    }

    fn bundle() -> Value {
        json!({
            "version": 1,
            "zone": "site1.example",
            "urls": ["https://kdc.site1.example:7600"],
            "tls_roots": "-----BEGIN CERTIFICATE-----\n",
            "identities": [identity("#KDC#00001", 1), identity("#KDC#00002", 2)],
            "trusted": [{ "zone": "site2.example", "identities": [identity("#KDC#00001", 3)] }],
        })
    }

    fn read(bundle: &Value) -> Result<Bundle, BundleError> {
        Bundle::from_json(bundle.to_string().as_bytes())
    }

    #[test]
    fn a_bundle_goes_both_ways() {
        let read = read(&bundle()).unwrap();
        assert_eq!(read.identities[0].name, IdentityName::PRIMARY);
        assert_eq!(read.identities[1].name, IdentityName::SECONDARY);
        assert_eq!(read.identities[1].signing_key, SignerKey::new([2; 32]));
        assert_eq!(read.trusted[0].zone.as_str(), "site2.example");
        assert_eq!(serde_json::from_slice::<Value>(&read.to_json()).unwrap(), bundle());
        assert_eq!(Bundle::from_json(&read.to_json()).unwrap(), read);
        assert_eq!(format!("{:?}", read.identities[0].encryption_key), "IdentityEncryptionKey(01010101..)");
    }

    #[test]
    fn identities_are_counted() {
        assert_eq!(IdentityName::PRIMARY.next(), Some(IdentityName::SECONDARY));
        let last = IdentityName::new(99_999).unwrap();
        assert_eq!(last.to_string(), "#KDC#99999");
        assert_eq!(last.to_string().parse(), Ok(last));
        assert_eq!((last.number(), last.next()), (99_999, None));
        assert_eq!((IdentityName::new(0), IdentityName::new(100_000)), (None, None));
    }

    #[test]
    fn nothing_else_is_one() {
        let json = |error| matches!(error, Err(BundleError::Json { .. }));
        let with = |path: &str, value: Value| {
            let mut changed = bundle();
            *changed.pointer_mut(path).unwrap() = value;
            read(&changed)
        };
        assert_eq!(with("/version", json!(2)), Err(BundleError::Version(2)));
        assert!(json(with("/zone", json!("Site1"))));
        assert!(json(with("/identities/0/signing_key", json!("AQ"))));
        assert!(json(with("/identities/0/encryption_key", json!(crate::codec::base64url(&[1; 1215])))));
        for name in ["#KDC#1", "#KDC#000001", "#KDC#00000", "#KDC#0000x", "#KDC#+0001", "KDC#00001", ""] {
            assert!(json(with("/identities/0/name", json!(name))), "{name}");
        }
        assert_eq!(with("/urls", json!([])), Err(BundleError::Urls));
        assert_eq!(with("/urls", json!(["http://kdc"])), Err(BundleError::Urls));
        assert_eq!(with("/urls", json!(vec!["https://kdc"; 17])), Err(BundleError::Urls));
        assert_eq!(with("/identities", json!([])), Err(BundleError::Identities));
        assert_eq!(
            with("/identities", json!([identity("#KDC#00001", 1), identity("#KDC#00001", 2)])),
            Err(BundleError::Identities)
        );
        assert_eq!(
            with("/identities", json!([identity("#KDC#00001", 1), identity("#KDC#00002", 1)])),
            Err(BundleError::Identities)
        );
        let many: Vec<_> = (1..=9).map(|n| identity(&format!("#KDC#{n:05}"), n)).collect();
        assert!(with("/identities", json!(many[..8])).is_ok());
        assert_eq!(with("/identities", json!(many)), Err(BundleError::Identities));
        assert_eq!(with("/trusted/0/identities", json!([])), Err(BundleError::Identities));
        assert_eq!(with("/trusted/0/zone", json!("site1.example")), Err(BundleError::Trusted));
        let zones = |count: u32| {
            let zone = |n| json!({ "zone": format!("z{n}"), "identities": [identity("#KDC#00001", 3)] });
            with("/trusted", (0..count).map(zone).collect())
        };
        assert_eq!(zones(256).unwrap().trusted.len(), 256);
        assert_eq!(zones(257), Err(BundleError::Trusted));

        let mut more = bundle();
        more["more"] = json!(1);
        assert!(json(read(&more)));
        for name in ["zone", "urls", "tls_roots", "identities", "trusted", "version"] {
            let mut less = bundle();
            less.as_object_mut().unwrap().remove(name);
            assert!(json(read(&less)), "{name}");
        }
        let text = bundle().to_string();
        assert!(json(Bundle::from_json(format!("{text}x").as_bytes())));
        assert_eq!(Bundle::from_json(&vec![b' '; Bundle::MAX + 1]), Err(BundleError::TooLong));
    }
}
