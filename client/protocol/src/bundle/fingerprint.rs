//! By what people compare a bundle's identities over the telephone (docs/protocol.md §12.4).

use core::fmt;
use core::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::Bundle;
use crate::codec::{from_hex, put_prefixed};
use crate::name::parse_str;

/// What tells a zone's identities from all others: 16 bytes, written as 32 digits in groups of four, joined by `-`.
///
/// ```text
/// first 16 bytes of SHA-256("keycell/1 bundle fingerprint\0" || LP(zone) || for each identity, in order:
///                           LP(name) || Ed25519 public key 32 || X-Wing public key 1216)
/// ```
///
/// URLs, roots and trusted zones are not in it: they change, and who holds the identities says what they are.
#[derive(Clone, Copy)]
pub struct BundleFingerprint([u8; Self::SIZE]);

impl BundleFingerprint {
    /// Its length in bytes: who wanted other keys under the same one would try 2^128 times.
    pub const SIZE: usize = 16;

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl Bundle {
    /// By what its identities are compared.
    #[must_use]
    pub fn fingerprint(&self) -> BundleFingerprint {
        let mut text = FINGERPRINT.to_vec();
        put_prefixed(&mut text, self.zone.as_str().as_bytes());
        for identity in &self.identities {
            put_prefixed(&mut text, identity.name.to_string().as_bytes());
            text.extend_from_slice(identity.signing_key.as_bytes());
            text.extend_from_slice(&identity.encryption_key.0);
        }
        let hash: [u8; 32] = Sha256::digest(text).into();
        let mut fingerprint = [0; BundleFingerprint::SIZE];
        fingerprint.copy_from_slice(hash.split_at(BundleFingerprint::SIZE).0);
        BundleFingerprint(fingerprint)
    }
}

/// Takes the same time whichever byte differs.
impl PartialEq for BundleFingerprint {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for BundleFingerprint {}

impl fmt::Display for BundleFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, byte) in self.0.iter().enumerate() {
            let separator = if at > 0 && at % 2 == 0 { "-" } else { "" };
            write!(f, "{separator}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for BundleFingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// In either case, and with `-`, `:`, spaces or nothing between the digits: it was written down by hand, perhaps.
impl FromStr for BundleFingerprint {
    type Err = BundleFingerprintError;

    fn from_str(text: &str) -> Result<Self, BundleFingerprintError> {
        let is_separator = |c: &char| matches!(c, '-' | ':') || c.is_ascii_whitespace();
        // One more than there can be, so that a long text is not copied.
        let digits = text.chars().filter(|c| !is_separator(c)).take(2 * Self::SIZE + 1);
        let digits: String = digits.map(|c| c.to_ascii_lowercase()).collect();
        from_hex(&digits).map(Self).ok_or(BundleFingerprintError)
    }
}

impl Serialize for BundleFingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for BundleFingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a bundle's fingerprint, 32 digits of 0-9 a-f")
    }
}

/// A text is no fingerprint of a bundle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "a bundle's fingerprint is 32 digits of 0-9 a-f, such as 0123-4567-89ab-cdef-0123-4567-89ab-cdef: copy all of it"
)]
pub struct BundleFingerprintError;

const FINGERPRINT: &[u8] = b"keycell/1 bundle fingerprint\0";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bundle::{IdentityEncryptionKey, IdentityName, KdcIdentity};
    use crate::signer::SignerKey;

    fn bundle() -> Bundle {
        let identity = |name, byte| KdcIdentity {
            name,
            signing_key: SignerKey::new([byte; 32]),
            encryption_key: IdentityEncryptionKey([byte; IdentityEncryptionKey::SIZE]),
        };
        Bundle {
            zone: "z".parse().unwrap(),
            urls: vec!["https://kdc.example".into()],
            tls_roots: String::new(),
            identities: vec![identity(IdentityName::PRIMARY, 1), identity(IdentityName::SECONDARY, 2)],
            trusted: Vec::new(),
        }
    }

    #[test]
    fn all_that_identifies_is_in_it_and_nothing_that_changes() {
        let bundle = bundle();
        let same =
            Bundle { urls: vec!["https://other.example".into()], tls_roots: "r".into(), ..bundle.clone() };
        assert_eq!(same.fingerprint(), bundle.fingerprint());
        let change = |change: fn(&mut Bundle)| {
            let mut other = bundle.clone();
            change(&mut other);
            other.fingerprint()
        };
        for other in [
            change(|other| other.zone = "y".parse().unwrap()),
            change(|other| other.identities[1].name = IdentityName::new(3).unwrap()),
            change(|other| other.identities[1].signing_key = SignerKey::new([3; 32])),
            change(|other| other.identities[1].encryption_key.0[1215] ^= 1),
            change(|other| other.identities.reverse()),
            change(|other| other.identities.truncate(1)),
        ] {
            assert_ne!(other, bundle.fingerprint());
        }
    }

    #[test]
    fn it_is_read_as_people_write_it() {
        let fingerprint = bundle().fingerprint();
        let text = fingerprint.to_string();
        assert_eq!(text.len(), 39);
        assert!(text.split('-').all(|group| group.len() == 4), "{text}");
        for spelt in [
            text.clone(),
            text.to_uppercase(),
            text.replace('-', ""),
            text.replace('-', " "),
            text.replace('-', ":"),
            format!("  {text}\n"),
        ] {
            assert_eq!(spelt.parse(), Ok(fingerprint), "{spelt}");
        }
        for other in [&text[1..], &format!("{text}0"), &text.replace('-', "_"), &text.replace('-', "é"), ""]
        {
            assert_eq!(other.parse::<BundleFingerprint>(), Err(BundleFingerprintError), "{other}");
        }
        let json = serde_json::to_string(&fingerprint).unwrap();
        assert_eq!(json, format!("\"{text}\""));
        assert_eq!(serde_json::from_str::<BundleFingerprint>(&json).unwrap(), fingerprint);
    }
}
