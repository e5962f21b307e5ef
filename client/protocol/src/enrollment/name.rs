//! What a host that enrolls is called: `service.host::fingerprint`.

use core::fmt;
use core::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest as _, Sha256};

use crate::author::AuthorPublicKey;
use crate::codec::{Hex, from_hex};
use crate::name::{Name, NameError, Zone, parse_str};

/// What a host runs: a lower-case letter and up to 31 of `a–z 0–9 _ -`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServiceName(Arc<str>);

impl ServiceName {
    /// The longest one in bytes.
    pub const MAX: usize = 32;

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ServiceName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let rest = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'_' | b'-');
        let starts = text.as_bytes().first().is_some_and(u8::is_ascii_lowercase);
        if starts && text.len() <= Self::MAX && text.as_bytes().iter().all(rest) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Service)
        }
    }
}

/// What a host says that it is called: a lower-case DNS name of 1 to 120 bytes, without a final dot. There is one spelling
/// of each.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct HostName(Arc<str>);

impl HostName {
    /// The longest one in bytes.
    pub const MAX: usize = 120;
    /// The longest part between two dots in bytes.
    pub const MAX_LABEL: usize = 63;

    /// The name of a host as its own system tells it: in lower case, and without the dot that may end it.
    ///
    /// # Errors
    /// [`NameError::Host`] when that is no host name either.
    pub fn canonical(text: &str) -> Result<Self, NameError> {
        text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase().parse()
    }

    /// Its text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for HostName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        let label = |label: &str| {
            let bytes = label.as_bytes();
            (1..=Self::MAX_LABEL).contains(&bytes.len())
                && bytes.first() != Some(&b'-')
                && bytes.last() != Some(&b'-')
                && bytes.iter().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || *b == b'-')
        };
        if text.len() <= Self::MAX && text.split('.').all(label) {
            Ok(Self(text.into()))
        } else {
            Err(NameError::Host)
        }
    }
}

/// Which key a host has: the first 16 bytes of the SHA-256 of its Ed25519 public key, written as 32 digits. It is in the
/// host's name, so that nobody takes the name of another host of the same service.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Fingerprint([u8; Self::SIZE]);

impl Fingerprint {
    /// Its length in bytes.
    pub const SIZE: usize = 16;

    /// That of a key.
    #[must_use]
    pub fn of(key: &AuthorPublicKey) -> Self {
        let hash: [u8; 32] = Sha256::digest(key.as_bytes()).into();
        let mut bytes = [0; Self::SIZE];
        bytes.copy_from_slice(hash.split_at(Self::SIZE).0);
        Self(bytes)
    }

    /// Its bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; Self::SIZE] {
        &self.0
    }
}

impl FromStr for Fingerprint {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        from_hex(text).map(Self).ok_or(NameError::Fingerprint)
    }
}

/// The name that a host gets by enrolling.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnrolledName {
    /// What it runs.
    pub service: ServiceName,
    /// What it is called.
    pub host: HostName,
    /// Which key it has.
    pub fingerprint: Fingerprint,
}

impl EnrolledName {
    /// The full name, `service.host::fingerprint@zone`.
    #[must_use]
    pub fn name(&self, zone: &Zone) -> Name {
        // 32 + 1 + 120 + 2 + 32 bytes at the most, and all of the alphabet of names.
        Name::join(&self.to_string(), zone.as_str())
    }

    /// The parts of a name that was put together like this; `None` for any other name.
    #[must_use]
    pub fn of(name: &Name) -> Option<Self> {
        let (service, rest) = name.local().split_once('.')?;
        let (host, fingerprint) = rest.split_once("::")?;
        Some(Self {
            service: service.parse().ok()?,
            host: host.parse().ok()?,
            fingerprint: fingerprint.parse().ok()?,
        })
    }
}

/// The part before the `@`.
impl fmt::Display for EnrolledName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { service, host, fingerprint } = self;
        write!(f, "{service}.{host}::{fingerprint}")
    }
}

impl fmt::Display for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Hex(&self.0).fmt(f)
    }
}

impl fmt::Debug for ServiceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for HostName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ServiceName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for HostName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl Serialize for Fingerprint {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ServiceName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a service such as nanoprobe")
    }
}

impl<'de> Deserialize<'de> for HostName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a host name such as web1.example.com")
    }
}

impl<'de> Deserialize<'de> for Fingerprint {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        parse_str(deserializer, "a fingerprint, 32 digits of 0-9 a-f")
    }
}

#[cfg(test)]
mod tests;
